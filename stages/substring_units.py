"""The units of exact substrings: bytes, words, or tokens of a tokenizer, as numbers with the places they stand at."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gristmill.stages.stage import StageUnavailable
from gristmill.stages.substring_kernels import PADDING, hash_words
from gristmill.stages.window_editor import Units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

_CHARACTERS_AT_A_TIME = 1_000_000  # the library keeps some 50 times the text of all that it encodes at once


def _padded(values: NDArray[Any]) -> NDArray[np.uint8]:
    padded = np.zeros(values.nbytes + PADDING, dtype=np.uint8)
    padded[: values.nbytes] = values.view(np.uint8)
    return padded


def byte_units(features: TextFeatures) -> Units:
    """Each byte of the texts."""
    first, last = features.offsets[0], features.offsets[-1]
    return Units(_padded(features.data[first:last]), 1, features.offsets - first, features.offsets[:-1])


def word_units(features: TextFeatures, words: str) -> Units:
    """Words by a splitter of `gristmill.stages.words`, told apart by 64-bit hashes.

    A word ends where the next one begins, the last one at the end of the text: cut with a word goes what stands behind it.
    """
    spans = features.words(words)
    ends = np.append(spans.starts[1:], features.offsets[-1])
    ends[spans.offsets[1:][np.diff(spans.offsets) > 0] - 1] = features.offsets[1:][np.diff(spans.offsets) > 0]
    hashes = hash_words(features.data, spans.starts, spans.ends)
    return Units(_padded(hashes), 8, spans.offsets, features.offsets[:-1], spans.starts, ends)


@lru_cache(maxsize=4)
def load_tokenizer(path: str, size: int, mtime_ns: int) -> Any:
    """The tokenizer in a file of this size and time of change.

    Raises:
        StageUnavailable: the file is no tokenizer.json.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises bare Exception
        raise StageUnavailable(f"tokenizer: {path} is no tokenizer.json: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # as text: a document that spells one out has no special token
    return tokenizer


def tokenizer_of(path: str) -> Any:
    """The tokenizer in a file.

    Raises:
        StageUnavailable: there is no such file, or it is no tokenizer.json.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise StageUnavailable(f"tokenizer: {path}: {error.strerror}; give the path of a tokenizer.json") from error
    return load_tokenizer(path, status.st_size, status.st_mtime_ns)


def tokenizer_sha256(path: str) -> str:
    """Of the file, in hexadecimal.

    Raises:
        StageUnavailable: as for `tokenizer_of`.
    """
    tokenizer_of(path)
    return sha256(Path(path).read_bytes()).hexdigest()


def token_units(features: TextFeatures, path: str) -> Units:
    """Tokens of the texts, without special tokens."""
    tokenizer = tokenizer_of(path)
    ids: list[NDArray[np.uint32]] = []
    starts: list[NDArray[np.int64]] = []
    ends: list[NDArray[np.int64]] = []
    counts: list[int] = []
    for row, encoding in enumerate(_encodings(tokenizer, features)):
        places = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        text = features.data[features.offsets[row] : features.offsets[row + 1]]
        characters = np.append(np.flatnonzero(text & 0xC0 != 0x80), len(text)) + features.offsets[row]
        begin, end = characters[places[:, 0]], characters[places[:, 1]]
        # tokens that are parts of one character all stand at the whole of it: it is in what has all of them
        later = begin.copy()
        later[1:] = np.maximum(begin[1:], np.maximum.accumulate(end)[:-1])
        end[:-1] = np.minimum(end[:-1], begin[1:])
        ids.append(np.array(encoding.ids, dtype=np.uint32))
        starts.append(later)
        ends.append(end)
        counts.append(len(places))
    offsets = np.zeros(len(features) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    numbers = np.concatenate([*ids, np.zeros(0, np.uint32)])
    first, last = (np.concatenate([*held, np.zeros(0, np.int64)]) for held in (starts, ends))
    return Units(_padded(numbers), 4, offsets, features.offsets[:-1], first, last)


def _encodings(tokenizer: Any, features: TextFeatures) -> Iterator[Any]:
    texts: list[str] = []
    characters = 0
    for row in range(len(features)):
        texts.append(features.data[features.offsets[row] : features.offsets[row + 1]].tobytes().decode())
        characters += len(texts[-1])
        if characters >= _CHARACTERS_AT_A_TIME:
            yield from tokenizer.encode_batch(texts, add_special_tokens=False)
            texts, characters = [], 0
    if texts:
        yield from tokenizer.encode_batch(texts, add_special_tokens=False)
