"""How well tokenizers suit documents: bytes per token, words kept whole, unknowns, and whether decoding gives the text back.

A word is a run of letters, digits and underscores (`\\w+`): in scripts without spaces, a run up to the next punctuation mark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

WORD = re.compile(r"\w+")
ALL = "all"
CHARACTERS_AT_A_TIME = 500_000


@dataclass
class Counts:
    """Sums over documents under one tokenizer."""

    documents: int = 0
    bytes: int = 0
    tokens: int = 0
    words: int = 0
    word_tokens: int = 0
    """Tokens that hold a part of a word."""
    whole_words: int = 0
    """Words with a single token, which may hold more than the word, such as the space before it."""
    unknown: int = 0
    """Tokens that stand for text the vocabulary has nothing for."""
    byte_tokens: int = 0
    """Tokens that stand for one byte of a character without a token of its own."""
    lossless: int = 0
    """Documents that decoding gives back to the last character."""

    def add(self, other: Counts) -> None:
        """Add another's sums."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def row(self) -> dict[str, Any]:
        """The figures; null where there is nothing to divide by."""
        return {
            "documents": self.documents,
            "bytes": self.bytes,
            "tokens": self.tokens,
            "bytes_per_token": _share(self.bytes, self.tokens),
            "tokens_per_word": _share(self.word_tokens, self.words),
            "whole_words": _share(self.whole_words, self.words),
            "unknown": self.unknown,
            "byte_tokens": self.byte_tokens,
            "lossless": _share(self.lossless, self.documents),
        }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


class Measured:
    """One tokenizer, and how it does what is measured."""

    def __init__(self, name: str, tokenizer_json: str) -> None:
        """Load it.

        Raises:
            ValueError: it is no tokenizer.
        """
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # the library raises bare Exception
            raise ValueError(f"{name}: not the contents of a tokenizer.json: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self.name = name
        self.vocab_size = int(self._tokenizer.get_vocab_size())
        self._unknown, self._bytes = _odd_ids(self._tokenizer, json.loads(tokenizer_json)["model"])

    def counts(self, texts: list[str]) -> Iterator[Counts]:
        """What each text comes to."""
        for text, encoding in zip(texts, self._tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
            ids = encoding.ids
            words, word_tokens, whole = _words(text, encoding.offsets)
            yield Counts(
                documents=1,
                bytes=len(text.encode("utf-8", "replace")),
                tokens=len(ids),
                words=words,
                word_tokens=word_tokens,
                whole_words=whole,
                unknown=sum(i == self._unknown for i in ids) if self._unknown is not None else 0,
                byte_tokens=sum(i in self._bytes for i in ids) if self._bytes else 0,
                lossless=int(self._tokenizer.decode(ids, skip_special_tokens=False) == text),
            )


def _odd_ids(tokenizer: Any, model: Mapping[str, Any]) -> tuple[int | None, frozenset[int]]:
    """The id of the unknown token, and those of tokens that stand for bytes."""
    unknown = model.get("unk_id") if "unk_id" in model else None
    if unknown is None and model.get("unk_token"):
        unknown = tokenizer.token_to_id(model["unk_token"])
    named = (tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in range(256)) if model.get("byte_fallback") else ()
    return unknown, frozenset(i for i in named if i is not None)


def _words(text: str, offsets: list[tuple[int, int]]) -> tuple[int, int, int]:
    """Words of a text, tokens that hold parts of them, and words with a single token."""
    import numpy as np

    spans = np.array([match.span() for match in WORD.finditer(text)], dtype=np.int64).reshape(-1, 2)
    tokens = np.array(offsets, dtype=np.int64).reshape(-1, 2)
    if not len(spans):
        return 0, 0, 0
    # both ascend: a word's tokens are those that begin before it ends, without those that end before it begins
    held = np.searchsorted(tokens[:, 0], spans[:, 1], side="left") - np.searchsorted(tokens[:, 1], spans[:, 0], side="right")
    return len(spans), int(held.sum()), int((held == 1).sum())


def measure(tokenizers: Mapping[str, str], batches: Iterable[pa.RecordBatch]) -> list[dict[str, Any]]:
    """Measure tokenizers on documents.

    Args:
        tokenizers: name -> contents of a tokenizer.json.
        batches: documents, as `gristmill.tokenizers.documents` gives them; read once, some at a time.

    Returns:
        For each tokenizer: `tokenizer`, `vocab_size`, and of all documents `documents`, `bytes`, `tokens`, `bytes_per_token`,
        `tokens_per_word`, `whole_words` (a share), `unknown`, `byte_tokens` (numbers of tokens), `lossless` (share of the
        documents that decoding gives back); the same in `sources` and `languages`, by name; `lossy`: ids of the first documents
        that do not come back, at most 5.

    Raises:
        ValueError: one is no tokenizer, or there is no document.
    """
    loaded = [Measured(name, content) for name, content in tokenizers.items()]
    sums: list[dict[tuple[str, str], Counts]] = [{} for _ in loaded]
    lossy: list[list[str]] = [[] for _ in loaded]
    for rows in _groups(batches):
        texts = [str(row["text"]) for row in rows]
        for measured, total, lost in zip(loaded, sums, lossy, strict=True):
            for row, counts in zip(rows, measured.counts(texts), strict=True):
                for key in ((ALL, ALL), ("source", row["source"] or "unknown"), ("language", row["language"] or "unknown")):
                    total.setdefault(key, Counts()).add(counts)
                if not counts.lossless and len(lost) < 5:
                    lost.append(str(row["id"]))
    if not any(sums):
        raise ValueError("no documents with text to measure on")
    return [
        {"tokenizer": measured.name, "vocab_size": measured.vocab_size}
        | total[ALL, ALL].row()
        | {
            f"{kind}s": {name: total[kind, name].row() for of, name in sorted(total) if of == kind}
            for kind in ("source", "language")
        }
        | {"lossy": lost}
        for measured, total, lost in zip(loaded, sums, lossy, strict=True)
    ]


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[dict[str, Any]]]:
    """Documents that have text, a bounded number of characters at a time."""
    waiting: list[dict[str, Any]] = []
    characters = 0
    for batch in batches:
        for row in batch.to_pylist():
            if not row["text"]:
                continue
            waiting.append(row)
            characters += len(row["text"])
            if characters >= CHARACTERS_AT_A_TIME:
                yield waiting
                waiting, characters = [], 0
    if waiting:
        yield waiting


def suggested_vocabulary(parameters: float, width: int | None = None) -> dict[str, Any]:
    """An estimate of the vocabulary that suits a model of this size best, when compute is spent best.

    Vocabulary parameters grow as (other parameters)^0.83. An extrapolation from models of 33 million to 3 billion parameters on
    English-heavy text; other data or longer training move it.

    Args:
        parameters: of the model without embeddings and output layer.
        width: of the model; when None, that of a model of 12 width^2 parameters a layer with one layer per 128 of width.

    Returns:
        `vocab_size`, `parameters`, `width`, `estimate`: True.

    Raises:
        ValueError: parameters or width are not above 0.

    Source: Tao et al. 2024, arXiv:2407.13623: the exponent, and 3.145 million vocabulary parameters at 33 million others
    (both from memory; together they give the paper's 216 thousand tokens for 70 billion parameters within 3%).
    """
    if not 0 < parameters < float("inf"):
        raise ValueError(f"parameters is {parameters}; it must be above 0")
    if width is not None and width < 1:
        raise ValueError(f"width is {width}; it must be at least 1")
    width = width or max(1, round((parameters * 128 / 12) ** (1 / 3)))
    vocabulary_parameters = 3.145e6 * (parameters / 33e6) ** 0.83
    return {
        "vocab_size": max(257, round(vocabulary_parameters / width)),
        "parameters": int(parameters),
        "width": width,
        "estimate": True,
    }
