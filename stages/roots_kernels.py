"""Compiled kernels for ROOTS's rule on repeated n-grams of characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.byte_masks import next_beyond_ascii
from gristmill.stages.counting_kernels import ONE, filter_size, keep_candidates, table_size, tally
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, int64, load8
from gristmill.stages.word_kernels import longest_document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

BASE, _LAST = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


@njit("int64(uint8[::1], int64, int64, int64, uint64[::1], uint64[::1])")
def _rolling_hashes(data: Bytes, begin: int, end: int, n: int, window: Hashes, hashes: Hashes) -> int:
    """What `character_ngram_hashes` writes, by a hash that rolls from each character to the next, whatever they are."""
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


@njit("int64(uint8[::1], int64, int64, int64, uint64[::1], uint64[::1])")
def character_ngram_hashes(data: Bytes, begin: int, end: int, n: int, window: Hashes, hashes: Hashes) -> int:
    """Hashes of the character n-grams of [begin, end), written to `hashes`; returns how many. `window` has room for n.

    An n-gram of 8 to 16 ASCII characters is two numbers of 8 bytes, which is a third of the work of a rolling hash. Around other
    characters the hash rolls: what holds one is never the same as what holds none.
    """
    if not 8 <= n <= 16:
        return _rolling_hashes(data, begin, end, n, window, hashes)
    found = 0
    position = begin
    while position < end:
        other = next_beyond_ascii(data, position, end)
        for first in range(position, other - n + 1):
            hashes[found] = load8(data, first) * BASE + load8(data, first + n - 8) * _LAST
            found += 1
        if other == end:
            break
        first = max(position, other - n + 1)
        stop = end
        while True:  # up to n ASCII characters in a row
            _, size = code_point_at(data, other)
            position = other + size
            stop = min(position + n, end)
            other = next_beyond_ascii(data, position, stop)
            if other == stop:
                break
        found += _rolling_hashes(data, first, min(position + n - 1, end), n, window, hashes[found:])
    return found


@njit("float64[::1](uint8[::1], int64[::1], int64)")
def character_repetition(data: Bytes, offsets: Positions, n: int) -> NDArray[np.float64]:
    """Share of a document's character n-grams that the most frequent ones make up.

    With d different n-grams of which s occur once, the min(floor(sqrt(d)), d - s) most frequent ones. n-grams are told apart by
    a 64-bit hash.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
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
    at_least = np.zeros(longest + 2, dtype=np.int64)
    for document in range(documents):
        grams = character_ngram_hashes(data, offsets[document], offsets[document + 1], n, window, hashes)
        candidates = keep_candidates(hashes, grams, seen, again)
        if table_size(candidates) > slots.size:
            slots = np.empty(table_size(candidates), dtype=np.uint64)
            counts = np.empty(slots.size, dtype=np.int32)
        most = tally(hashes, candidates, slots, counts, at_least)
        different = grams - candidates + at_least[1]
        top = min(int64(np.sqrt(different)), at_least[2])
        total = 0
        for times in range(1, most + 1):
            total += min(at_least[times], top)
            at_least[times] = 0
        if total:
            result[document] = total / grams
    return result
