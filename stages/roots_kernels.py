"""Compiled kernels for ROOTS's rules on characters: repeated n-grams, special characters; and counting by hash tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.counting_kernels import ONE, count_key, filter_size, keep_candidates, table_size
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, int64
from gristmill.stages.word_kernels import longest_document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

CHARACTERS, MATCHING = 0, 1
"""Columns of `class_counts`."""

BASE = np.uint64(0x9E3779B97F4A7C15)


@njit("int64[:, ::1](uint8[::1], int64[::1], uint8[::1], int64)")
def class_counts(data: Bytes, offsets: Positions, classes: Bytes, flag: int) -> NDArray[np.int64]:
    """Code points of each document, and those that have a flag.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        classes: flags by code point.
        flag: the flag looked for; several added up: any of them.

    Returns:
        Shape (n_documents, 2).
    """
    result = np.zeros((offsets.size - 1, 2), dtype=np.int64)
    for document in range(offsets.size - 1):
        position, end = offsets[document], offsets[document + 1]
        characters = matching = 0
        while position < end:
            byte = int64(data[position])
            size = 1
            if byte >= 0x80:
                byte, size = code_point_at(data, position)
            characters += 1
            matching += int64(classes[byte] & flag != 0)
            position += size
        result[document, CHARACTERS] = characters
        result[document, MATCHING] = matching
    return result


@njit("int64(uint8[::1], int64, int64, int64, uint64[::1], uint64[::1])")
def _character_ngram_hashes(data: Bytes, begin: int, end: int, n: int, window: Hashes, hashes: Hashes) -> int:
    """Hashes of the character n-grams of [begin, end), written to `hashes`; returns how many. `window` has room for n."""
    leaving = ONE
    for _ in range(n):
        leaving *= BASE
    hashed = np.uint64(0)
    characters = turn = 0
    while begin < end:
        point, width = int64(data[begin]), 1
        if point >= 0x80:
            point, width = code_point_at(data, begin)
        begin += width
        entering = np.uint64(point + 1)
        hashed = hashed * BASE + entering
        if characters >= n:
            hashed -= leaving * window[turn]
        window[turn] = entering
        turn = turn + 1 if turn + 1 < n else 0
        characters += 1
        if characters >= n:
            hashes[characters - n] = hashed
    return max(characters - n + 1, 0)


@njit("int64(uint64[::1], int32[::1], int64, int64, int64[::1])")
def _sum_of_greatest(slots: Hashes, counts: NDArray[np.int32], size: int, top: int, histogram: Positions) -> int:
    """Sum of the `top` greatest counts of a table. `histogram` is room for small counts; great ones, of which there are few, are
    sorted."""
    histogram[:] = 0
    great = 0
    for slot in range(size):
        if slots[slot] != 0:
            count = int64(counts[slot])
            histogram[min(count, histogram.size - 1)] += 1
            great += int64(count >= histogram.size - 1)
    total = 0
    if great:
        found = np.empty(great, dtype=np.int64)
        great = 0
        for slot in range(size):
            if slots[slot] != 0 and counts[slot] >= histogram.size - 1:
                found[great] = counts[slot]
                great += 1
        taken = min(great, top)
        total = np.sort(found)[great - taken :].sum()
        top -= taken
    for count in range(histogram.size - 2, 0, -1):
        taken = min(histogram[count], top)
        total += taken * count
        top -= taken
    return int64(total)


@njit("float64[::1](uint8[::1], int64[::1], int64)")
def character_repetition(data: Bytes, offsets: Positions, n: int) -> NDArray[np.float64]:
    """Share of a document's character n-grams that the most frequent ones make up.

    With d different n-grams of which s occur once, the min(floor(sqrt(d)), d - s) most frequent ones. n-grams are told apart by
    a 64-bit hash.

    Args:
        data, offsets: as in `class_counts`.
        n: characters of an n-gram, at least 1.

    Returns:
        float64 of shape (n_documents,); 0 for documents of fewer than n characters.
    """
    documents = offsets.size - 1
    result = np.zeros(documents, dtype=np.float64)
    longest = longest_document(offsets)
    hashes, window = np.empty(longest + 1, dtype=np.uint64), np.empty(n, dtype=np.uint64)
    seen, again = np.empty(filter_size(longest), dtype=np.uint64), np.empty(filter_size(longest), dtype=np.uint64)
    slots, counts = np.empty(16, dtype=np.uint64), np.empty(16, dtype=np.int32)
    histogram = np.empty(256, dtype=np.int64)
    for document in range(documents):
        grams = _character_ngram_hashes(data, offsets[document], offsets[document + 1], n, window, hashes)
        candidates = keep_candidates(hashes, grams, seen, again)
        size = table_size(candidates * 5 // 8 + 1)  # more than all candidates, though most keys occur twice
        if size > slots.size:
            slots, counts = np.empty(size, dtype=np.uint64), np.empty(size, dtype=np.int32)
        slots[:size] = 0
        different = grams - candidates
        several = 0
        for index in range(candidates):
            times = count_key(slots, counts, size, hashes[index])
            different += int64(times == 1)
            several += int64(times == 2)
        top = min(int64(np.sqrt(different)), several)
        if top:
            result[document] = _sum_of_greatest(slots, counts, size, top, histogram) / grams
    return result
