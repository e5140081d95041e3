"""Whether a file is a whole fastText model, read from its own lengths.

The library itself reads a file that was cut off without end, or takes what memory holds for the missing numbers.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

MAGIC, VERSION = 793712314, 12
_ARGUMENTS = struct.Struct("<12id")
_DICTIONARY = struct.Struct("<iiiqq")
_AFTER_WORD = 9
"""Bytes of an entry after its word and null byte: count (int64) and type (int8)."""
_SUPERVISED = 3
PREFIX = "fasttext:"


def is_word_vectors(model: str) -> bool:
    """Whether a setting that may also name a folder names a file of word vectors: by its ending, or by `fasttext:` before it."""
    return model.startswith(PREFIX) or (model.endswith((".bin", ".vec")) and not os.path.isdir(model))


def path_of_vectors(model: str) -> str:
    """The file that a setting names."""
    return model.removeprefix(PREFIX)


def check_file(path: str) -> None:
    """Read the lengths in a fastText file (format 12, that of all releases since 2017) and compare them with the file's.

    Raises:
        ValueError: it is no fastText file, is cut off or goes on after its end, or its model has no labels.
        OSError: it cannot be read.
    """
    with _checked(path) as data:
        if _ARGUMENTS.unpack_from(data, 8)[7] != _SUPERVISED:
            raise ValueError("holds word vectors, and no labels")


class VectorsFile(NamedTuple):
    """What a file of word vectors holds, and where."""

    words: list[bytes]
    """In the order of their rows, the most frequent first."""
    counts: list[int]
    shortest: int
    """Fewest characters of an n-gram inside words, their ends marked by < and >."""
    longest: int
    """Most of them; 0: words alone have vectors."""
    buckets: int
    """Rows that these n-grams share by their hash, after those of words."""
    dimensions: int
    matrix_at: int
    """Byte where the numbers begin, float32 of shape (n_words + buckets, dimensions)."""


def read_vectors_file(path: str) -> VectorsFile:
    """The words of a file of word vectors, and where its numbers lie; the numbers themselves are not read.

    Raises:
        ValueError: as `check_file`, or the file holds a classifier, or numbers in a compressed form.
        OSError: it cannot be read.
    """
    with _checked(path) as data:
        arguments = _ARGUMENTS.unpack_from(data, 8)
        if arguments[7] == _SUPERVISED:
            raise ValueError("holds a classifier; should hold word vectors (skipgram or cbow)")
        position = 8 + _ARGUMENTS.size
        entries = _DICTIONARY.unpack_from(data, position)[0]
        position += _DICTIONARY.size
        words, counts = [], []
        for _ in range(entries):
            ended = data.find(b"\0", position)
            words.append(data[position:ended])
            counts.append(struct.unpack_from("<q", data, ended + 1)[0])
            position = ended + 1 + _AFTER_WORD
        if _byte(data, position):
            raise ValueError("its numbers are compressed (.ftz); should be those of training (.bin)")
        rows, columns = struct.unpack_from("<qq", data, position + 1)
        buckets, shortest, longest = arguments[8:11]
        if rows != entries + buckets or columns != arguments[0]:
            raise ValueError(f"has {rows:,} rows; should have {entries:,} of words and {buckets:,} of parts of words")
        return VectorsFile(words, counts, shortest, longest, buckets, int(columns), position + 17)


@contextmanager
def _checked(path: str) -> Iterator[mmap.mmap]:
    """The bytes of a fastText file that is as long as it says."""
    if Path(path).stat().st_size < 8 + _ARGUMENTS.size + _DICTIONARY.size:
        raise ValueError("too short to be one")
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        magic, version = struct.unpack_from("<ii", data, 0)
        if magic != MAGIC:
            raise ValueError("does not begin as one does")
        if version != VERSION:
            raise ValueError(f"has format {version}; this library reads format {VERSION}")
        try:
            end = _end(data, 8 + _ARGUMENTS.size)
        except (struct.error, IndexError):
            raise ValueError(f"cut off: {len(data):,} bytes are not all of it") from None
        if end != len(data):
            raise ValueError(f"cut off or damaged: it should have {end:,} bytes and has {len(data):,}")
        yield data


def _end(data: mmap.mmap, position: int) -> int:
    """Where the model ends that begins with its dictionary at `position`."""
    entries, _, _, _, pruned = _DICTIONARY.unpack_from(data, position)
    position += _DICTIONARY.size
    for _ in range(entries):
        ended = data.find(b"\0", position)
        if ended < 0:
            raise IndexError("no end of a word")
        position = ended + 1 + _AFTER_WORD
    position += 8 * max(pruned, 0)
    quantized_input = _byte(data, position)
    position = _matrix(data, position + 1, quantized_input)
    quantized_output = _byte(data, position)
    return _matrix(data, position + 1, quantized_input and quantized_output)


def _byte(data: mmap.mmap, position: int) -> bool:
    return bool(data[position])


def _matrix(data: mmap.mmap, position: int, quantized: bool) -> int:
    """Where a matrix ends."""
    if not quantized:
        rows, columns = struct.unpack_from("<qq", data, position)
        return int(position + 16 + 4 * rows * columns)
    with_norms = _byte(data, position)
    rows, _, codes = struct.unpack_from("<qqi", data, position + 1)
    position = _quantizer(data, position + 21 + codes)
    return _quantizer(data, position + rows) if with_norms else position


def _quantizer(data: mmap.mmap, position: int) -> int:
    """Where a product quantizer ends: four numbers, then 256 centroids."""
    (dimensions,) = struct.unpack_from("<i", data, position)
    return int(position + 16 + 4 * 256 * dimensions)
