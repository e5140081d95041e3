"""A compiled kernel that finds the repeated word n-grams of each document, n from 2 to 10."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.byte_masks import ONE, ones
from gristmill.stages.counting_kernels import keep_candidates_with_places, table_size
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import count_code_points, hash_bytes, int64, load8
from gristmill.stages.word_kernels import longest_document, split_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

UNION, GREEDY, OCCURRENCES, FIRST = 0, 1, 2, 3
"""How published code counts repeated n-grams; see `ngram_char_counts`."""

SHORTEST, LONGEST, LONGEST_TOP = 2, 10, 4
"""The n looked at; up to LONGEST_TOP the most frequent n-gram is measured, beyond it all repeated ones."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_ALL, _HIGHS = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0x8080808080808080)


@njit("int64(uint64[::1], int64, int64[::1], int64[::1], int64[::1], int32[::1], uint64[::1])")
def _group(
    keys: Hashes, found: int, ids: Positions, counts: Positions, firsts: Positions, slots: NDArray[np.int32], slot_keys: Hashes
) -> int:
    """Number equal keys alike, in the order of their first occurrence.

    Args:
        keys: the first `found` are looked at.
        found: how many keys.
        ids: number of each key; written.
        counts, firsts: by number, how often the key occurs and its first index in `keys`; written.
        slots, slot_keys: room for an open-addressing table, a power of two of at least twice `found`; written.

    Returns:
        How many numbers.
    """
    size = 16
    shift = np.uint64(60)
    while size < 2 * found:
        size *= 2
        shift -= np.uint64(1)
    slots[:size] = -1
    groups = 0
    for index in range(found):
        key = keys[index]
        slot = int64((key * _MULTIPLIER) >> shift)
        while slots[slot] >= 0 and slot_keys[slot] != key:
            slot = (slot + 1) & (size - 1)
        group = int64(slots[slot])
        if group < 0:
            group = groups
            slots[slot] = group
            slot_keys[slot] = key
            counts[group] = 0
            firsts[group] = index
            groups += 1
        counts[group] += 1
        ids[index] = group
    return groups


@njit("int64(int64[::1], int64[::1], int64, int64[::1])")
def _keep_repeated(places: Positions, ids: Positions, found: int, counts: Positions) -> int:
    """Move the places and numbers of what occurs more than once to the front; returns how many."""
    kept = 0
    for index in range(found):
        group = ids[index]
        places[kept] = places[index]
        ids[kept] = group
        kept += int64(counts[group] > 1)
    return kept


@njit("int64(uint64[::1], int64[::1], int64[::1], int64)")
def _longer_candidates(keys: Hashes, places: Positions, ids: Positions, found: int) -> int:
    """Where an n-gram may be repeated, given the repeated (n-1)-grams: writes the places and the pairs of numbers; how many."""
    candidates = 0
    for index in range(found - 1):
        place = places[index]
        keys[candidates] = (np.uint64(ids[index]) << np.uint64(32)) | np.uint64(ids[index + 1])
        places[candidates] = place
        candidates += int64(places[index + 1] == place + 1)
    return candidates


@njit("int64(int64, int64, int64, int64, int64[::1], int64[::1], int64[::1], int64[::1])")
def _top_chars(
    counting: int, n: int, words: int, groups: int, counts: Positions, firsts: Positions, places: Positions, chars: Positions
) -> int:
    """Code points of all occurrences of the most frequent n-gram."""
    most = 1
    length = 0
    for group in range(groups):
        if counts[group] >= most and counts[group] > 1:
            first = places[firsts[group]]
            here = chars[first + n] - chars[first]
            if counts[group] > most or (counting == UNION and here > length):
                length = here
            most = counts[group]
    if most == 1:
        if counting in (UNION, FIRST) or words < n:
            return 0
        length = chars[n]  # of the n-grams that occur once, the first
    if counting == GREEDY:
        length += n - 1
    return most * length


@njit("int64(int64, int64, int64, int64, int64[::1], int64[::1], int64[::1], int64[::1])")
def _repeated_chars(
    counting: int, n: int, found: int, groups: int, ids: Positions, seen: Positions, places: Positions, chars: Positions
) -> int:
    """Code points in n-grams that occur more than once; `places` and `ids` hold only those."""
    total = 0
    covered = 0
    if counting == GREEDY:
        seen[:groups] = 0
    for index in range(found):
        place = places[index]
        if counting in (UNION, FIRST):
            total += chars[place + n] - chars[max(place, covered)]
            covered = place + n
        elif counting == OCCURRENCES:
            total += chars[place + n] - chars[place]
        elif place >= covered:
            if seen[ids[index]]:
                total += chars[place + n] - chars[place]
                covered = place + n
            seen[ids[index]] = 1
    return total


@njit("Tuple((uint64[:, ::1], int64[:, ::1]))(int64)")
def room_for_ngrams(words: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Room that `count_ngrams` needs for a document of so many words."""
    return np.empty((4, table_size(words)), dtype=np.uint64), np.empty((5, words + 1), dtype=np.int64)


@njit("void(uint8[::1], int64[::1], int64[::1], int64, uint64[::1], int64[::1])")
def hash_words(data: Bytes, starts: Positions, ends: Positions, words: int, keys: Hashes, chars: Positions) -> None:
    """Write the hash of each word of a document to `keys`, and the code points of those before it to `chars`, all at its end."""
    total = 0
    chars[0] = 0
    for word in range(words):
        first, last = starts[word], ends[word]
        size = last - first
        if size <= 8 and first + 8 <= data.size:  # most words: what `hash_bytes` computes, without a loop
            packed = load8(data, first) & (_ALL >> np.uint64(64 - 8 * size))
            hashed = ((np.uint64(size) * _MULTIPLIER) ^ packed) * _MULTIPLIER
            keys[word] = hashed ^ (hashed >> np.uint64(29))
            if packed & _HIGHS:
                size -= ones(packed & (~packed << ONE) & _HIGHS)
        else:
            keys[word] = hash_bytes(data, first, last)
            size = count_code_points(data, first, last)
        total += size
        chars[word + 1] = total


@njit("void(int64, int64, uint64[:, ::1], int64[:, ::1], int64[::1])")
def count_ngrams(counting: int, words: int, room: NDArray[np.uint64], numbers: NDArray[np.int64], row: Positions) -> None:
    """Measure the repeated n-grams of one document; see `ngram_char_counts`.

    Args:
        counting: how.
        words: of the document.
        room, numbers: as `room_for_ngrams` gives them; the first row of each as `hash_words` writes it.
        row: the document's row of the result; written.
    """
    keys, slot_keys, seen, again = room[0], room[1], room[2], room[3]
    chars, places, ids, counts, firsts = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    row[0] = words
    row[1] = chars[words]
    slots = np.empty(slot_keys.size, dtype=np.int32)
    found = 0
    for n in range(SHORTEST, LONGEST + 1):
        if n == SHORTEST:
            pairs = max(words - 1, 0)
            for index in range(pairs):
                keys[index] = keys[index] * _MULTIPLIER + keys[index + 1]
            candidates = keep_candidates_with_places(keys, pairs, places, seen, again)
        else:
            candidates = _longer_candidates(keys, places, ids, found)
        groups = _group(keys, candidates, ids, counts, firsts, slots, slot_keys) if candidates else 0
        if n <= LONGEST_TOP:
            row[n] = _top_chars(counting, n, words, groups, counts, firsts, places, chars) if words else 0
        found = _keep_repeated(places, ids, candidates, counts)
        if n > LONGEST_TOP:
            row[n] = _repeated_chars(counting, n, found, groups, ids, counts, places, chars)
            if counting == OCCURRENCES:
                for word in range(words - n + 1):
                    row[n + 6] += chars[word + n] - chars[word]


@njit("int64[:, ::1](uint8[::1], int64[::1], int64, int64, uint8[::1], uint8[::1])")
def ngram_char_counts(
    data: Bytes, offsets: Positions, splitter: int, counting: int, flags: Bytes, classes: Bytes
) -> NDArray[np.int64]:
    """Measure the repeated word n-grams of each document.

    An n-gram can only be repeated where the (n-1)-grams at its place and at the next are. So from 3 on each n looks only at what
    n-1 left, and the key of an n-gram is the pair of their numbers, which is exact. Only 2-grams are told apart by a 64-bit hash:
    were two different ones of a document to share it (a chance of about 2^-64 a pair), they would count as the same 2-gram.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        splitter: number of the word splitter.
        counting: UNION: the longest of the most frequent n-grams, 0 if none occurs twice; each code point in any repeated n-gram
            once. FIRST: as UNION, but the first of the most frequent n-grams. GREEDY: the first of the most frequent, with the
            spaces between its words; a scan that adds a repeat and jumps over it. OCCURRENCES: the first of the most frequent;
            every occurrence of repeated n-grams, overlaps and all.
        flags, classes: the tables of `unicode_tables` and `uax29_classes`.

    Returns:
        Shape (n_documents, 22): 0: words; 1: their code points; n, for n in 2..4: of the most frequent n-gram; n, for n in 5..10:
        of repeated n-grams; n + 6, for n in 5..10: of all n-grams; the rest unused.
    """
    documents = offsets.size - 1
    result = np.zeros((documents, 22), dtype=np.int64)
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    keys, numbers = room_for_ngrams(0)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        words = split_words(data, begin, end, splitter, flags, classes, starts, ends)
        if words >= numbers.shape[1]:
            keys, numbers = room_for_ngrams(2 * words)
        hash_words(data, starts, ends, words, keys[0], numbers[0])
        count_ngrams(counting, words, keys, numbers, result[document])
    return result
