"""Compiled kernels for ROOTS's rules on words: repeated word n-grams, words of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.character_classes import SPECIAL, is_special_plainly
from gristmill.stages.counting_kernels import MIXER, ONE, SHIFT, filter_size, keep_candidates, mix, table_size, tally
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import append_code_point, code_point_at, code_point_start_before, hash_bytes, int64, load8
from gristmill.stages.word_kernels import longest_document, split_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

WORDS, WORD_NGRAMS, REPEATED_WORD_NGRAMS = 0, 1, 2
"""Columns of `word_repetition`."""
LISTED = 1
"""Column of `listed_words`, after WORDS."""
JOINED, WORDS_ALONE = -1, -2
"""How `listed_words` takes two neighbouring words, beside code points."""

_SPECIAL_ASCII = np.array([byte < 0x80 and is_special_plainly(chr(byte)) for byte in range(256)])
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_ALL, _HIGHS = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0x8080808080808080)
_TO_A, _TO_Z = np.uint64(0x3F3F3F3F3F3F3F3F), np.uint64(0x2525252525252525)  # added, set the top bit from A on, after Z


@njit("UniTuple(int64, 2)(uint8[::1], int64, int64, uint8[::1])")
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


@njit("uint64(uint64)", inline=True)
def _lowered(packed: np.uint64) -> np.uint64:
    """Eight ASCII characters in lower case."""
    capitals = ((packed + _TO_A) ^ (packed + _TO_Z)) & _HIGHS
    return packed | (capitals >> np.uint64(2))


@njit("int64(uint8[::1], int64, int64, int32[::1], uint8[::1], int64)")
def _append_lowered(data: Bytes, begin: int, end: int, lower: NDArray[np.int32], target: Bytes, size: int) -> int:
    """Write the range in lower case to `target`, which holds `size` bytes; returns the new size."""
    while begin < end:
        point, width = code_point_at(data, begin)
        size = append_code_point(target, size, int64(lower[point]))
        begin += width
    return size


@njit("uint64(uint8[::1], int64, int64, int32[::1], uint8[::1])")
def _hash_of_any(data: Bytes, begin: int, end: int, lower: NDArray[np.int32], scratch: Bytes) -> np.uint64:
    """What `hash_bytes` gives for the range in lower case."""
    return hash_bytes(scratch, 0, _append_lowered(data, begin, end, lower, scratch, 0))


@njit("void(uint8[::1], int64[::1], int64[::1], int64, int32[::1], uint8[::1], uint64[::1])")
def _hash_lowered(
    data: Bytes, starts: Positions, ends: Positions, words: int, lower: NDArray[np.int32], scratch: Bytes, hashes: Hashes
) -> None:
    """Write the hash of each word in lower case, eight ASCII characters at a time. `scratch` has room for the longest."""
    for word in range(words):
        position, end = starts[word], ends[word]
        size = end - position
        hashed = np.uint64(size) * _MULTIPLIER
        every = np.uint64(0)
        if end + 8 <= data.size:  # what `hash_bytes` computes
            while end - position > 8:
                packed = load8(data, position)
                every |= packed
                hashed = (hashed ^ _lowered(packed)) * _MULTIPLIER
                hashed ^= hashed >> np.uint64(29)
                position += 8
            packed = load8(data, position) & (_ALL >> np.uint64(64 - 8 * (end - position)))
            every |= packed
            hashed = (hashed ^ _lowered(packed)) * _MULTIPLIER
            hashes[word] = hashed ^ (hashed >> np.uint64(29))
        else:
            every = _HIGHS
        if every & _HIGHS:
            hashes[word] = _hash_of_any(data, starts[word], end, lower, scratch)


@njit(
    "int64(uint8[::1], int64, int64, int64, uint8[::1], uint8[::1], uint8[::1], int64[::1], int64[::1])",
)
def _bare_words(
    data: Bytes,
    begin: int,
    end: int,
    splitter: int,
    flags: Bytes,
    breaks: Bytes,
    classes: Bytes,
    starts: Positions,
    ends: Positions,
) -> int:
    """Words without special characters at their ends, those that are nothing else left out; returns how many."""
    kept = 0
    for word in range(split_words(data, begin, end, splitter, flags, breaks, starts, ends)):
        first, last = starts[word], ends[word]
        while first < last and _SPECIAL_ASCII[data[first]]:
            first += 1
        while first < last and _SPECIAL_ASCII[data[last - 1]]:
            last -= 1
        if first < last and (data[first] >= 0x80 or data[last - 1] >= 0x80):
            first, last = strip_special(data, first, last, classes)
        starts[kept], ends[kept] = first, last
        kept += int64(first < last)
    return kept


@njit("uint8[::1](int64)", inline=True)
def _room_for_lowered(size: int) -> Bytes:
    """Room for a text of so many bytes in lower case: no code point's takes more than twice its bytes."""
    return np.empty(2 * size + 16, dtype=np.uint8)


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
        hashes: of the words of all documents, in lower case; written.
        spans: shape (n_documents + 1,): where the words of each document begin in `hashes`; written.

    Returns:
        The first document that did not fit, and the room that it may need.
    """
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    scratch = _room_for_lowered(room)
    while document < offsets.size - 1:
        filled = spans[document]
        begin, end = offsets[document], offsets[document + 1]
        needed = end - begin + 1
        if filled + needed > hashes.size:
            return document, needed
        words = _bare_words(data, begin, end, splitter, flags, breaks, classes, starts, ends)
        _hash_lowered(data, starts, ends, words, lower, scratch, hashes[filled:])
        document += 1
        spans[document] = filled + words
    return document, 0


@njit("int64[:, ::1](uint8[::1], int64[::1], int64, int64, uint8[::1], uint8[::1], uint8[::1], int32[::1])")
def word_repetition(
    data: Bytes,
    offsets: Positions,
    splitter: int,
    n: int,
    flags: Bytes,
    breaks: Bytes,
    classes: Bytes,
    lower: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Count the words of each document, its word n-grams, and those of them that occur more than once.

    Args:
        data, offsets, splitter, flags, breaks, classes, lower: as in `fill_word_hashes`.
        n: words of an n-gram, at least 1.

    Returns:
        Shape (n_documents, 3); the columns are named above.
    """
    documents = offsets.size - 1
    result = np.zeros((documents, 3), dtype=np.int64)
    longest = longest_document(offsets) + 1
    starts, ends = np.empty(longest, dtype=np.int64), np.empty(longest, dtype=np.int64)
    scratch = _room_for_lowered(longest)
    hashes, keys = np.empty(longest, dtype=np.uint64), np.empty(longest, dtype=np.uint64)
    seen, again = np.empty(filter_size(longest), dtype=np.uint64), np.empty(filter_size(longest), dtype=np.uint64)
    slots, counts = np.empty(16, dtype=np.uint64), np.empty(16, dtype=np.int32)
    at_least = np.zeros(longest + 2, dtype=np.int64)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        words = _bare_words(data, begin, end, splitter, flags, breaks, classes, starts, ends)
        _hash_lowered(data, starts, ends, words, lower, scratch, hashes)
        grams = max(words - n + 1, 0)
        for first in range(grams):
            key = np.uint64(0)
            for word in range(first, first + n):
                key = (key ^ hashes[word]) * MIXER
                key ^= key >> SHIFT
            keys[first] = key
        candidates = keep_candidates(keys, grams, seen, again)
        if table_size(candidates) > slots.size:
            slots = np.empty(table_size(candidates), dtype=np.uint64)
            counts = np.empty(slots.size, dtype=np.int32)
        most = tally(keys, candidates, slots, counts, at_least)
        result[document, WORDS] = words
        result[document, WORD_NGRAMS] = grams
        result[document, REPEATED_WORD_NGRAMS] = candidates - (at_least[1] - at_least[2])
        at_least[: most + 1] = 0
    return result


@njit("uint64[::1](uint8[::1], int64[::1], int32[::1])")
def word_list(data: Bytes, offsets: Positions, lower: NDArray[np.int32]) -> Hashes:
    """An open-addressing table of the words of a list, one a document; empty ones are left out.

    It is nearly empty, so that most words are looked up in one place.
    """
    slots = np.zeros(4 * table_size(offsets.size), dtype=np.uint64)
    scratch = _room_for_lowered(longest_document(offsets))
    for word in range(offsets.size - 1):
        if offsets[word] == offsets[word + 1]:
            continue
        key = max(mix(_hash_of_any(data, offsets[word], offsets[word + 1], lower, scratch)), ONE)
        slot = int64(key) & (slots.size - 1)
        while slots[slot] != 0 and slots[slot] != key:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = key
    return slots


@njit("int64(uint64[::1], uint64)", inline=True)
def _listed(slots: Hashes, key: np.uint64) -> int:
    key = max(mix(key), ONE)
    slot = int64(key) & (slots.size - 1)
    while slots[slot] != 0 and slots[slot] != key:
        slot = (slot + 1) & (slots.size - 1)
    return int64(slots[slot] == key)


@njit("int64[:, ::1](uint8[::1], int64[::1], int64, uint64[::1], int64, uint8[::1], uint8[::1], uint8[::1], int32[::1])")
def listed_words(
    data: Bytes,
    offsets: Positions,
    splitter: int,
    slots: Hashes,
    joint: int,
    flags: Bytes,
    breaks: Bytes,
    classes: Bytes,
    lower: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Count the words of each document, and those that are on a list.

    Args:
        data, offsets, splitter, flags, breaks, classes, lower: as in `fill_word_hashes`.
        slots: the list as `word_list` gives it.
        joint: JOINED or a code point: two neighbouring words with that between them count, too. WORDS_ALONE: they do not.

    Returns:
        Shape (n_documents, 2).
    """
    documents = offsets.size - 1
    result = np.zeros((documents, 2), dtype=np.int64)
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    scratch, hashes = _room_for_lowered(room), np.empty(room, dtype=np.uint64)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        words = _bare_words(data, begin, end, splitter, flags, breaks, classes, starts, ends)
        found = 0
        _hash_lowered(data, starts, ends, words, lower, scratch, hashes)
        for word in range(words):
            key = max(mix(hashes[word]), ONE)
            slot = int64(key) & (slots.size - 1)
            while slots[slot] != 0 and slots[slot] != key:
                slot = (slot + 1) & (slots.size - 1)
            found += int64(slots[slot] == key)
        for word in range(1, words if joint != WORDS_ALONE else 0):
            size = _append_lowered(data, starts[word - 1], ends[word - 1], lower, scratch, 0)
            if joint != JOINED:
                size = append_code_point(scratch, size, joint)
            size = _append_lowered(data, starts[word], ends[word], lower, scratch, size)
            found += _listed(slots, hash_bytes(scratch, 0, size))
        result[document, WORDS] = words
        result[document, LISTED] = found
    return result
