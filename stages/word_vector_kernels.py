"""Vectors of words from a fastText matrix, and of texts from those of their words.

Source: Bojanowski et al. 2017, arXiv:1607.04606 (a word's vector is the mean of its own and those of its parts); Arora et al.
2017, "A simple but tough-to-beat baseline for sentence embeddings" (words weigh a / (a + p), p being their share of all words).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.fasttext_training import hash_plainly
from gristmill.stages.numba_cache import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Positions = NDArray[np.int64]


@njit("int64(uint8[::1], int64, int64, int64, int64, int64, int64, int64[::1])")
def rows_of_parts(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    shortest: int,
    longest: int,
    buckets: int,
    first: int,
    rows: Positions,
) -> int:
    """Write the rows of a word's parts, its runs of `shortest` to `longest` characters, into `rows`.

    Args:
        data: bytes among which [start, end) are the word; its ends are taken to be marked by < and >, and one of these alone is
            no part.
        start, end: as said.
        shortest, longest: characters of a part.
        buckets: rows that all parts share.
        first: the first of them.
        rows: room for `longest` rows for each byte of the marked word.

    Returns:
        How many there are.
    """
    filled = 0
    length = end - start + 2
    if buckets == 0 or end == start:
        return 0
    for begin in range(length):
        if 0 < begin < length - 1 and data[start + begin - 1] & 0xC0 == 0x80:
            continue
        hashed = np.uint32(2166136261)
        at, characters = begin, 0
        while at < length and characters < longest:
            characters += 1
            inside = True
            while inside:
                byte = np.uint32(60) if at == 0 else (np.uint32(62) if at == length - 1 else np.uint32(data[start + at - 1]))
                if byte > np.uint32(127):
                    byte |= np.uint32(0xFFFFFF00)
                hashed = np.uint32((hashed ^ byte) * np.uint32(16777619))
                at += 1
                inside = at < length - 1 and data[start + at - 1] & 0xC0 == 0x80
            if characters >= shortest and not (characters == 1 and (begin == 0 or at == length)):
                rows[filled] = first + np.int64(hashed) % buckets
                filled += 1
    return filled


def rows_of_parts_plainly(word: bytes, shortest: int, longest: int, buckets: int, first: int) -> list[int]:
    """What `rows_of_parts` writes."""
    marked = f"<{word.decode()}>"
    parts = [
        marked[begin : begin + size]
        for begin in range(len(marked))
        for size in range(max(shortest, 1), longest + 1)
        if begin + size <= len(marked) and (size > 1 or 0 < begin < len(marked) - 1)
    ]
    return [first + (hash_plainly(part.encode()) & 0xFFFFFFFF) % buckets for part in parts] if buckets and word else []


@njit("int64(uint8[::1], int64[::1], int64[::1], int64, int64, int64, int64, int64[::1], int64[::1])")
def rows_of_words(
    data: NDArray[np.uint8],
    offsets: Positions,
    own: Positions,
    shortest: int,
    longest: int,
    buckets: int,
    n_words: int,
    rows: Positions,
    ends: Positions,
) -> int:
    """Write the rows whose mean is a word's vector, of some words, one after another.

    Args:
        data, offsets: UTF-8 bytes of the words, one after another; offsets of shape (n + 1,).
        own: the row of each, -1 for a word that has parts only.
        shortest, longest, buckets, n_words: of the file; the rows of parts are `n_words` to `n_words + buckets`.
        rows: room for `longest` rows for each byte and two more of each word, and one more a word.
        ends: where the rows of each word end, written; shape (n,).

    Returns:
        How many rows there are.
    """
    filled = 0
    for word in range(len(own)):
        if own[word] >= 0:
            rows[filled] = own[word]
            filled += 1
        filled += rows_of_parts(data, offsets[word], offsets[word + 1], shortest, longest, buckets, n_words, rows[filled:])
        ends[word] = filled
    return filled


@njit("void(int64[::1], int64[::1], float32[:, ::1], float64[:, ::1])")
def sums_of_rows(rows: Positions, ends: Positions, matrix: Matrix, vectors: NDArray[np.float64]) -> None:
    """Write the sum of each word's rows, of length 1, or 0 where it has none; shape (n, size)."""
    size = matrix.shape[1]
    begin = 0
    for word in range(len(ends)):
        vector = vectors[word]
        vector[:] = 0.0
        for at in range(begin, ends[word]):
            for d in range(size):
                vector[d] += matrix[rows[at], d]
        begin = ends[word]
        total = 0.0
        for d in range(size):
            total += vector[d] * vector[d]
        if total > 0.0:
            total = np.sqrt(total)
            for d in range(size):
                vector[d] /= total


@njit("void(int64[::1], int64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[::1])")
def add_words(
    words: Positions,
    texts: Positions,
    weights: NDArray[np.float64],
    vectors: NDArray[np.float64],
    sums: NDArray[np.float64],
    totals: NDArray[np.float64],
) -> None:
    """Add the weighted vectors of words to those of their texts, one after another, so that cuts between calls do not matter.

    Args:
        words: number of each word.
        texts: number of its text.
        weights, vectors: of words, by number.
        sums: of shape (n_texts, size), changed.
        totals: of the weights of each text, changed.
    """
    size = vectors.shape[1]
    for at in range(len(words)):
        word, text = words[at], texts[at]
        totals[text] += weights[word]
        for d in range(size):
            sums[text, d] += weights[word] * vectors[word, d]


@njit("void(float64[:, ::1], float64[::1], float64[::1])")
def finish_texts(sums: NDArray[np.float64], totals: NDArray[np.float64], common: NDArray[np.float64]) -> None:
    """Take what texts' vectors have along `common` (of length 1, or 0) off them, and make their lengths 1, or 0."""
    size = sums.shape[1]
    for text in range(len(sums)):
        vector = sums[text]
        along, length = 0.0, 0.0
        for d in range(size):
            along += vector[d] * common[d]
        for d in range(size):
            vector[d] -= along * common[d]
            length += vector[d] * vector[d]
        length = np.sqrt(length)
        # what rounding leaves of a text that is nothing but common is no direction
        for d in range(size):
            vector[d] = vector[d] / length if length > 1e-9 * totals[text] else 0.0


def text_vector_plainly(
    words: Sequence[str],
    weights: Mapping[str, float],
    vectors: Mapping[str, NDArray[np.float64]],
    common: NDArray[np.float64],
) -> NDArray[np.float64]:
    """What `add_words` and `finish_texts` make of one text, from its words."""
    total = np.sum([weights[word] * vectors[word] for word in words], axis=0) if words else np.zeros(len(common))
    total = total - (total @ common) * common
    length = float(np.linalg.norm(total))
    return total / length if length > 1e-9 * sum(weights[word] for word in words) else np.zeros(len(common))
