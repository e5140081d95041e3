"""Compiled kernels for ROOTS's rules: repeated character and word n-grams, words of a list, special characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.character_classes import SPECIAL
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, code_point_start_before, int64
from gristmill.stages.word_kernels import longest_document, split_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

WORDS, WORD_NGRAMS, REPEATED_WORD_NGRAMS = 0, 1, 2
"""Columns of `word_repetition`."""
CHARACTERS, MATCHING = 0, 1
"""Columns of `class_counts`."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIXER = np.uint64(0xD6E8FEB86659FD93)
_ONE, _SHIFT = np.uint64(1), np.uint64(32)


@njit("uint64(uint64)", inline=True)
def _mix(key: np.uint64) -> np.uint64:
    """Spread the bits of a key; 0, which marks an empty slot, comes out only of 0."""
    key = (key ^ (key >> _SHIFT)) * _MIXER
    return key ^ (key >> _SHIFT)


@njit("int64(uint64[::1], int32[::1], int64, uint64)", inline=True)
def _count(slots: Hashes, counts: NDArray[np.int32], size: int, key: np.uint64) -> int:
    """Count a key in an open-addressing table of `size` slots, a power of two; returns how often it has now been seen."""
    key = max(_mix(key), _ONE)
    slot = int64(key) & (size - 1)
    while slots[slot] != 0 and slots[slot] != key:
        slot = (slot + 1) & (size - 1)
    if slots[slot] == 0:
        slots[slot] = key
        counts[slot] = 0
    counts[slot] += 1
    return int64(counts[slot])


@njit("int64(int64)", inline=True)
def _table_size(items: int) -> int:
    size = 16
    while size < 2 * items:
        size *= 2
    return size


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
    leaving = _ONE
    for _ in range(n):
        leaving *= _BASE
    hashed = np.uint64(0)
    characters = turn = 0
    while begin < end:
        point, width = int64(data[begin]), 1
        if point >= 0x80:
            point, width = code_point_at(data, begin)
        begin += width
        entering = np.uint64(point + 1)
        hashed = hashed * _BASE + entering
        if characters >= n:
            hashed -= leaving * window[turn]
        window[turn] = entering
        turn = turn + 1 if turn + 1 < n else 0
        characters += 1
        if characters >= n:
            hashes[characters - n] = hashed
    return max(characters - n + 1, 0)


@njit("int64(uint64[::1], int64, uint64[::1], uint64[::1])")
def _keep_candidates(hashes: Hashes, found: int, seen: Hashes, again: Hashes) -> int:
    """Move the hashes that may occur more than once to the front; returns how many.

    Most n-grams of a text occur once. A bit a hash, in tables that stay in the processor's cache, tells most of them from the
    rest, which are counted exactly.
    """
    words, shift = 1, np.uint64(58)
    while 64 * words < 8 * found:
        words *= 2
        shift -= _ONE
    seen[:words] = 0
    again[:words] = 0
    for index in range(found):
        place = (hashes[index] * _MIXER) >> shift
        word, bit = int64(place >> np.uint64(6)), _ONE << (place & np.uint64(63))
        before = seen[word]
        again[word] |= before & bit
        seen[word] = before | bit
    kept = 0
    for index in range(found):
        place = (hashes[index] * _MIXER) >> shift
        hashes[kept] = hashes[index]
        kept += int64((again[int64(place >> np.uint64(6))] >> (place & np.uint64(63))) & _ONE)
    return kept


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
    seen, again = np.empty(longest // 4 + 2, dtype=np.uint64), np.empty(longest // 4 + 2, dtype=np.uint64)
    slots, counts = np.empty(16, dtype=np.uint64), np.empty(16, dtype=np.int32)
    for document in range(documents):
        grams = _character_ngram_hashes(data, offsets[document], offsets[document + 1], n, window, hashes)
        candidates = _keep_candidates(hashes, grams, seen, again)
        size = _table_size(candidates)
        if size > slots.size:
            slots, counts = np.empty(size, dtype=np.uint64), np.empty(size, dtype=np.int32)
        slots[:size] = 0
        different = grams - candidates
        several = 0
        for index in range(candidates):
            times = _count(slots, counts, size, hashes[index])
            different += int64(times == 1)
            several += int64(times == 2)
        top = min(int64(np.sqrt(different)), several)
        if top:
            repeated = np.empty(several, dtype=np.int32)
            found = 0
            for slot in range(size):
                if slots[slot] != 0 and counts[slot] > 1:
                    repeated[found] = counts[slot]
                    found += 1
            result[document] = np.sort(repeated)[several - top :].sum() / grams
    return result


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
    hashed, factor = np.uint64(0), _ONE
    while begin < end:
        point, size = int64(data[begin]), 1
        if point >= 0x80:
            point, size = code_point_at(data, begin)
        hashed = hashed * _BASE + np.uint64(lower[point] + 1)
        factor *= _BASE
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


@njit("int64[:, ::1](uint8[::1], int64[::1], int64, int64, uint8[::1], uint8[::1], uint8[::1], int32[::1])")
def word_repetition(
    data: Bytes, offsets: Positions, splitter: int, n: int, flags: Bytes, breaks: Bytes, classes: Bytes, lower: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Count the words of each document, its word n-grams, and those of them that occur more than once.

    Args:
        data, offsets: as in `class_counts`.
        splitter: number of the word splitter; special characters at the ends of words go, words of nothing else do not count.
        n: words of an n-gram, at least 1.
        flags, breaks, classes, lower: tables of `unicode_tables`, `uax29_classes` and `character_classes`.

    Returns:
        Shape (n_documents, 3); the columns are named above.
    """
    documents = offsets.size - 1
    result = np.zeros((documents, 3), dtype=np.int64)
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    hashes, factors = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.uint64)
    slots, counts = np.empty(16, dtype=np.uint64), np.empty(16, dtype=np.int32)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        words = _hashed_words(data, begin, end, splitter, flags, breaks, classes, lower, starts, ends, hashes, factors)
        size = _table_size(words)
        if size > slots.size:
            slots, counts = np.empty(size, dtype=np.uint64), np.empty(size, dtype=np.int32)
        slots[:size] = 0
        repeated = 0
        for first in range(words - n + 1):
            key = np.uint64(0)
            for word in range(first, first + n):
                key = (key ^ hashes[word]) * _MIXER
                key ^= key >> _SHIFT
            seen = _count(slots, counts, size, key)
            if seen > 1:
                repeated += 2 if seen == 2 else 1
        result[document, WORDS] = words
        result[document, WORD_NGRAMS] = max(words - n + 1, 0)
        result[document, REPEATED_WORD_NGRAMS] = repeated
    return result


@njit("uint64[::1](uint8[::1], int64[::1], int32[::1])")
def word_list(data: Bytes, offsets: Positions, lower: NDArray[np.int32]) -> Hashes:
    """An open-addressing table of the words of a list, one a document; empty ones are left out."""
    size = _table_size(offsets.size)
    slots = np.zeros(size, dtype=np.uint64)
    for word in range(offsets.size - 1):
        if offsets[word] == offsets[word + 1]:
            continue
        hashed, _ = _hash_lowered(data, offsets[word], offsets[word + 1], lower)
        key = max(_mix(hashed), _ONE)
        slot = int64(key) & (size - 1)
        while slots[slot] != 0 and slots[slot] != key:
            slot = (slot + 1) & (size - 1)
        slots[slot] = key
    return slots


@njit("int64(uint64[::1], uint64)", inline=True)
def _listed(slots: Hashes, key: np.uint64) -> int:
    key = max(_mix(key), _ONE)
    slot = int64(key) & (slots.size - 1)
    while slots[slot] != 0 and slots[slot] != key:
        slot = (slot + 1) & (slots.size - 1)
    return int64(slots[slot] == key)


@njit("int64[:, ::1](uint8[::1], int64[::1], int64, uint64[::1], boolean, int64, uint8[::1], uint8[::1], uint8[::1], int32[::1])")
def listed_word_counts(
    data: Bytes,
    offsets: Positions,
    splitter: int,
    slots: Hashes,
    pairs: bool,
    joint: int,
    flags: Bytes,
    breaks: Bytes,
    classes: Bytes,
    lower: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Count the words of each document and those on a list.

    Args:
        data, offsets, splitter, flags, breaks, classes, lower: as in `word_repetition`.
        slots: the list as `word_list` gives it.
        pairs: two neighbouring words, joined, may be on the list, too.
        joint: code point between the two, -1 for none.

    Returns:
        Shape (n_documents, 2): words, words (and pairs) on the list.
    """
    documents = offsets.size - 1
    result = np.zeros((documents, 2), dtype=np.int64)
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    hashes, factors = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.uint64)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        words = _hashed_words(data, begin, end, splitter, flags, breaks, classes, lower, starts, ends, hashes, factors)
        found = 0
        for word in range(words):
            found += _listed(slots, hashes[word])
            if pairs and word:
                key = hashes[word - 1]
                if joint >= 0:
                    key = key * _BASE + np.uint64(joint + 1)
                found += _listed(slots, key * factors[word] + hashes[word])
        result[document, 0] = words
        result[document, 1] = found
    return result
