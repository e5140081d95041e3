"""Compiled kernels for ROOTS's rules on words: repeated word n-grams, words of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.character_classes import SPECIAL
from gristmill.stages.counting_kernels import MIXER, ONE, SHIFT, count_key, filter_size, keep_candidates, mix, table_size
from gristmill.stages.numba_cache import njit
from gristmill.stages.roots_kernels import BASE
from gristmill.stages.text_kernels import code_point_at, code_point_start_before, int64
from gristmill.stages.word_kernels import longest_document, split_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

WORDS, WORD_NGRAMS, REPEATED_WORD_NGRAMS = 0, 1, 2
"""Columns of `word_repetition`."""


@njit("UniTuple(int64, 2)(uint8[::1], int64, int64, uint8[::1])", inline=True)
def strip_special(data: Bytes, begin: int, end: int, classes: Bytes) -> tuple[int, int]:
    """The range without special characters at its ends; begin == end if it has no others."""
    while begin < end:
        point, size = code_point_at(data, begin)
        if not classes[point] & SPECIAL:
            break
        begin += size
    while begin < end:
        last = code_point_start_before(data, end)
        point, _ = code_point_at(data, last)
        if not classes[point] & SPECIAL:
            break
        end = last
    return begin, end


@njit("UniTuple(uint64, 2)(uint8[::1], int64, int64, int32[::1])", inline=True)
def _hash_lowered(data: Bytes, begin: int, end: int, lower: NDArray[np.int32]) -> tuple[np.uint64, np.uint64]:
    """Hash of the range in lower case, and its factor f, with which hash(a + b) = hash(a) * f + hash(b)."""
    hashed, factor = np.uint64(0), ONE
    while begin < end:
        point, size = int64(data[begin]), 1
        if point >= 0x80:
            point, size = code_point_at(data, begin)
        hashed = hashed * BASE + np.uint64(lower[point] + 1)
        factor *= BASE
        begin += size
    return hashed, factor


@njit(
    "int64(uint8[::1], int64, int64, int64, uint8[::1], uint8[::1], uint8[::1], int32[::1],"
    " int64[::1], int64[::1], uint64[::1], uint64[::1])"
)
def _hashed_words(
    data: Bytes,
    begin: int,
    end: int,
    splitter: int,
    flags: Bytes,
    breaks: Bytes,
    classes: Bytes,
    lower: NDArray[np.int32],
    starts: Positions,
    ends: Positions,
    hashes: Hashes,
    factors: Hashes,
) -> int:
    """Lower-cased words without special characters at their ends, those that are nothing else left out; returns how many."""
    kept = 0
    for word in range(split_words(data, begin, end, splitter, flags, breaks, starts, ends)):
        first, last = strip_special(data, starts[word], ends[word], classes)
        if first < last:
            hashes[kept], factors[kept] = _hash_lowered(data, first, last, lower)
            kept += 1
    return kept


@njit(
    "UniTuple(int64, 2)(uint8[::1], int64[::1], int64, int64, uint8[::1], uint8[::1], uint8[::1], int32[::1],"
    " uint64[::1], int64[::1])"
)
def fill_word_hashes(
    data: Bytes,
    offsets: Positions,
    document: int,
    splitter: int,
    flags: Bytes,
    breaks: Bytes,
    classes: Bytes,
    lower: NDArray[np.int32],
    hashes: Hashes,
    spans: Positions,
) -> tuple[int, int]:
    """Hash the words of the documents from `document` on, as far as `hashes` surely has room.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        document: the first document; its words go to `spans[document]`.
        splitter: number of the word splitter; special characters at the ends of words go, words of nothing else do not count.
        flags, breaks, classes, lower: tables of `unicode_tables`, `uax29_classes` and `character_classes`.
        hashes: of the words of all documents; written.
        spans: shape (n_documents + 1,): where the words of each document begin in `hashes`; written.

    Returns:
        The first document that did not fit, and the room that it may need.
    """
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    factors = np.empty(room, dtype=np.uint64)
    while document < offsets.size - 1:
        filled = spans[document]
        begin, end = offsets[document], offsets[document + 1]
        needed = end - begin + 1
        if filled + needed > hashes.size:
            return document, needed
        into = hashes[filled:]
        words = _hashed_words(data, begin, end, splitter, flags, breaks, classes, lower, starts, ends, into, factors)
        document += 1
        spans[document] = filled + words
    return document, 0


@njit("int64[:, ::1](uint64[::1], int64[::1], int64)")
def word_repetition(hashes: Hashes, spans: Positions, n: int) -> NDArray[np.int64]:
    """Count the words of each document, its word n-grams, and those of them that occur more than once.

    Args:
        hashes, spans: as `fill_word_hashes` writes them.
        n: words of an n-gram, at least 1.

    Returns:
        Shape (n_documents, 3); the columns are named above.
    """
    documents = spans.size - 1
    result = np.zeros((documents, 3), dtype=np.int64)
    slots, counts = np.empty(16, dtype=np.uint64), np.empty(16, dtype=np.int32)
    longest = longest_document(spans)
    keys = np.empty(longest + 1, dtype=np.uint64)
    seen, again = np.empty(filter_size(longest), dtype=np.uint64), np.empty(filter_size(longest), dtype=np.uint64)
    for document in range(documents):
        begin, end = spans[document], spans[document + 1]
        grams = max(end - begin - n + 1, 0)
        for first in range(grams):
            key = np.uint64(0)
            for word in range(begin + first, begin + first + n):
                key = (key ^ hashes[word]) * MIXER
                key ^= key >> SHIFT
            keys[first] = key
        candidates = keep_candidates(keys, grams, seen, again)
        size = table_size(candidates * 5 // 8 + 1)  # more than all candidates, though most keys occur twice
        if size > slots.size:
            slots, counts = np.empty(size, dtype=np.uint64), np.empty(size, dtype=np.int32)
        slots[:size] = 0
        repeated = 0
        for index in range(candidates):
            times = count_key(slots, counts, size, keys[index])
            if times > 1:
                repeated += 2 if times == 2 else 1
        result[document, WORDS] = end - begin
        result[document, WORD_NGRAMS] = grams
        result[document, REPEATED_WORD_NGRAMS] = repeated
    return result


@njit("uint64[::1](uint8[::1], int64[::1], int32[::1])")
def word_list(data: Bytes, offsets: Positions, lower: NDArray[np.int32]) -> Hashes:
    """An open-addressing table of the words of a list, one a document; empty ones are left out."""
    size = table_size(offsets.size)
    slots = np.zeros(size, dtype=np.uint64)
    for word in range(offsets.size - 1):
        if offsets[word] == offsets[word + 1]:
            continue
        hashed, _ = _hash_lowered(data, offsets[word], offsets[word + 1], lower)
        key = max(mix(hashed), ONE)
        slot = int64(key) & (size - 1)
        while slots[slot] != 0 and slots[slot] != key:
            slot = (slot + 1) & (size - 1)
        slots[slot] = key
    return slots


@njit("int64(uint64[::1], uint64)", inline=True)
def _listed(slots: Hashes, key: np.uint64) -> int:
    key = max(mix(key), ONE)
    slot = int64(key) & (slots.size - 1)
    while slots[slot] != 0 and slots[slot] != key:
        slot = (slot + 1) & (slots.size - 1)
    return int64(slots[slot] == key)


@njit("int64[::1](uint64[::1], int64[::1], uint64[::1])")
def listed_word_counts(hashes: Hashes, spans: Positions, slots: Hashes) -> Positions:
    """How many words of each document are on a list.

    Args:
        hashes, spans: as `fill_word_hashes` writes them.
        slots: the list as `word_list` gives it.

    Returns:
        Shape (n_documents,).
    """
    result = np.zeros(spans.size - 1, dtype=np.int64)
    for document in range(spans.size - 1):
        found = 0
        for word in range(spans[document], spans[document + 1]):
            found += _listed(slots, hashes[word])
        result[document] = found
    return result


@njit("int64[::1](uint8[::1], int64[::1], int64, uint64[::1], int64, uint8[::1], uint8[::1], uint8[::1], int32[::1])")
def listed_pair_counts(
    data: Bytes,
    offsets: Positions,
    splitter: int,
    slots: Hashes,
    joint: int,
    flags: Bytes,
    breaks: Bytes,
    classes: Bytes,
    lower: NDArray[np.int32],
) -> Positions:
    """How many pairs of neighbouring words of each document, joined, are on a list.

    Args:
        data, offsets, splitter, flags, breaks, classes, lower: as in `fill_word_hashes`.
        slots: the list as `word_list` gives it.
        joint: code point between the two, -1 for none.

    Returns:
        Shape (n_documents,).
    """
    documents = offsets.size - 1
    result = np.zeros(documents, dtype=np.int64)
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    hashes, factors = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.uint64)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        words = _hashed_words(data, begin, end, splitter, flags, breaks, classes, lower, starts, ends, hashes, factors)
        found = 0
        for word in range(1, words):
            key = hashes[word - 1]
            if joint >= 0:
                key = key * BASE + np.uint64(joint + 1)
            found += _listed(slots, key * factors[word] + hashes[word])
        result[document] = found
    return result
