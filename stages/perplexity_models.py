"""The perplexity of texts by a model file: one of this package, or one of KenLM."""

from __future__ import annotations

import os
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gristmill.stages.features import TextFeatures
from gristmill.stages.ngram_model import NgramModel, read_model
from gristmill.stages.ngram_tokens import ASCII_TWINS, tokens_of
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_KENLM = (b"mmap lm http://kheafield.com/code", b"\\data\\")
_OF_THREE = {"…": "...", "—": " - ", "．": ". "}
"""What CCNet writes out, beside ASCII twins (from memory)."""
_LARGEST = 300.0
"""Largest log10 of a perplexity that is told; float64 ends at 308."""


def is_kenlm(path: str) -> bool:
    """Whether a file is a model of KenLM, binary or ARPA (also compressed), by how it begins.

    Raises:
        StageUnavailable: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise StageUnavailable(f"{path}: cannot be read: {error.strerror or error}") from error
    return start.lstrip().startswith(_KENLM) or path.endswith((".arpa", ".arpa.gz"))


def own_model(path: str) -> NgramModel:
    """A model of this package, kept for the process as long as its file stays what it is.

    Raises:
        StageUnavailable: it is missing, or none.
    """
    try:
        held = os.stat(path)
    except OSError as error:
        raise StageUnavailable(f"{path}: cannot be read: {error.strerror or error}") from error
    return _own_model(path, held.st_size, held.st_mtime_ns)


@cache
def _own_model(path: str, size: int, mtime_ns: int) -> NgramModel:
    return read_model(path)


@cache
def kenlm_model(path: str) -> Any:
    """A model of KenLM, kept for the process.

    Raises:
        StageUnavailable: the library is missing, or cannot read the file.
    """
    try:
        import kenlm
    except ImportError as error:
        raise StageUnavailable(
            f"{path}: is a model of KenLM, which is not installed ({error}); pip install 'gristmill[kenlm]' (needs a C++ "
            "compiler), or train a model with `gristmill perplexity train`"
        ) from error
    try:
        config = kenlm.Config()
        config.show_progress = False
        return kenlm.Model(path, config)
    except Exception as error:  # whatever the library raises
        raise StageUnavailable(f"{path}: KenLM cannot read it: {error}") from error


@cache
def pieces_model(path: str) -> Any:
    """A model of SentencePiece, kept for the process.

    Raises:
        StageUnavailable: the library or the file is missing, or the file is none.
    """
    try:
        import sentencepiece
    except ImportError as error:
        raise StageUnavailable(f"{path}: needs sentencepiece ({error}); pip install 'gristmill[kenlm]'") from error
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.Load(path)
    except Exception as error:
        raise StageUnavailable(f"{path}: is no model of SentencePiece: {error}") from error
    return processor


def load(model: str, pieces: str | None) -> None:
    """Load what `perplexities` asks.

    Raises:
        StageUnavailable: see the functions above; or pieces are given for a model of this package, which has words.
    """
    if is_kenlm(model):
        kenlm_model(model)
        if pieces is not None:
            pieces_model(pieces)
    elif pieces is not None:
        raise StageUnavailable(f"{model}: is a model of words; `sentencepiece` goes with models of KenLM, leave it out")
    else:
        own_model(model)


def perplexities(texts: pa.ChunkedArray | pa.Array, model: str, pieces: str | None = None) -> NDArray[np.float64]:
    """The perplexity of each text, rounded to 1 decimal; NaN for blank ones.

    Each line that is not blank is a sentence with its end: 10^(-sum of log10 probabilities / number of tokens and ends).

    Args:
        texts: string or large_string without nulls.
        model: path of a model.
        pieces: path of a SentencePiece model that cuts the lines for a model of KenLM; without it, blanks do.
    """
    if is_kenlm(model):
        sums, counts = _by_kenlm(texts.to_pylist(), kenlm_model(model), pieces_model(pieces) if pieces else None)
    else:
        own = own_model(model)
        sums, counts = own.score(tokens_of(TextFeatures(texts), own.words))
    with np.errstate(invalid="ignore"):
        logs = np.minimum(-sums / np.where(counts, counts, np.nan), _LARGEST)
    return np.array([round(10.0**one, 1) for one in logs.tolist()])


def _by_kenlm(texts: list[str], model: Any, pieces: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    sums, counts = np.zeros(len(texts)), np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        for line in text.split("\n"):
            form = ccnet_form(line)
            if pieces is not None:
                form = " ".join(pieces.EncodeAsPieces(form))
            if words := len(form.split()):
                sums[row] += model.score(form)
                counts[row] += words + 1
    return sums, counts


def ccnet_form(line: str) -> str:
    """A line as CCNet's models were given it: stripped, in lower case, without accents, digits 0, punctuation ASCII, nothing that
    cannot be printed [code: cc_net text_normalizer.py; `ccnet_lm`]."""
    line = line.strip().lower()
    if line.isascii():
        return line.translate(_ASCII)
    line = "".join(one for one in unicodedata.normalize("NFD", line) if unicodedata.category(one) != "Mn")
    line = "".join("0" if one.isdecimal() else _OF_THREE.get(one) or ASCII_TWINS.get(one, one) for one in line)
    return line.translate(_UNPRINTABLE)


_UNPRINTABLE = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)])
_ASCII: dict[int, str | None] = {**_UNPRINTABLE, **{ord(digit): "0" for digit in "123456789"}}
