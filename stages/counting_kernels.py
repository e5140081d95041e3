"""Compiled kernels that count 64-bit keys: which of them may occur more than once, and how often they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import int64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Positions = NDArray[np.int64]
    Keys = NDArray[np.uint64]

MIXER = np.uint64(0xD6E8FEB86659FD93)
ONE, SHIFT = np.uint64(1), np.uint64(32)
_BIT = np.uint64(63)
_SIX = np.uint64(6)


@njit("uint64(uint64)", inline=True)
def mix(key: np.uint64) -> np.uint64:
    """Spread the bits of a key; 0, which marks an empty slot, comes out only of 0."""
    key = (key ^ (key >> SHIFT)) * MIXER
    return key ^ (key >> SHIFT)


@njit("int64(uint64[::1], int32[::1], int64, uint64)", inline=True)
def count_key(slots: Keys, counts: NDArray[np.int32], size: int, key: np.uint64) -> int:
    """Count a key in an open-addressing table of `size` slots, a power of two; returns how often it has now been seen."""
    key = max(mix(key), ONE)
    slot = int64(key) & (size - 1)
    while slots[slot] != 0 and slots[slot] != key:
        slot = (slot + 1) & (size - 1)
    if slots[slot] == 0:
        slots[slot] = key
        counts[slot] = 0
    counts[slot] += 1
    return int64(counts[slot])


@njit("int64(int64)", inline=True)
def table_size(items: int) -> int:
    """Slots of a table for so many keys: a power of two, at least twice their number."""
    size = 16
    while size < 2 * items:
        size *= 2
    return size


@njit("int64(int64)", inline=True)
def filter_size(keys: int) -> int:
    """Elements of `seen` and of `again` for so many keys: 8 bits a key, or more."""
    return keys // 4 + 2


@njit("uint64(uint64[::1], int64, uint64[::1], uint64[::1])")
def _mark_repeated(keys: Keys, found: int, seen: Keys, again: Keys) -> np.uint64:
    """Set a bit in `seen` for each key, and one in `again` where it was set; returns by how much to shift a key to its bit."""
    words, shift = 1, np.uint64(58)
    while 64 * words < 8 * found:
        words *= 2
        shift -= ONE
    seen[:words] = 0
    again[:words] = 0
    for index in range(found):
        place = (keys[index] * MIXER) >> shift
        word, bit = int64(place >> _SIX), ONE << (place & _BIT)
        before = seen[word]
        again[word] |= before & bit
        seen[word] = before | bit
    return shift


@njit("int64(uint64[::1], int64, uint64[::1], uint64[::1])")
def keep_candidates(keys: Keys, found: int, seen: Keys, again: Keys) -> int:
    """Move the keys that may occur more than once to the front; returns how many.

    Most n-grams of a text occur once. A bit a key, in tables that stay in the processor's cache, tells most of them from the
    rest, which are counted exactly.
    """
    shift = _mark_repeated(keys, found, seen, again)
    kept = 0
    for index in range(found):
        place = (keys[index] * MIXER) >> shift
        keys[kept] = keys[index]
        kept += int64((again[int64(place >> _SIX)] >> (place & _BIT)) & ONE)
    return kept


@njit("int64(uint64[::1], int64, int64[::1], uint64[::1], uint64[::1])")
def keep_candidates_with_places(keys: Keys, found: int, places: Positions, seen: Keys, again: Keys) -> int:
    """What `keep_candidates` does, with the index that each key had written to `places`."""
    shift = _mark_repeated(keys, found, seen, again)
    kept = 0
    for index in range(found):
        place = (keys[index] * MIXER) >> shift
        keys[kept] = keys[index]
        places[kept] = index
        kept += int64((again[int64(place >> _SIX)] >> (place & _BIT)) & ONE)
    return kept
