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
_SECOND_MULTIPLIER = np.uint64(0x9FB21C651E98DF25)
_BIT = np.uint64(63)
_SIX = np.uint64(6)


@njit("uint64(uint64)", inline=True)
def mix(key: np.uint64) -> np.uint64:
    """Spread the bits of a key; 0, which marks an empty slot, comes out only of 0."""
    key = (key ^ (key >> SHIFT)) * MIXER
    return key ^ (key >> SHIFT)


@njit("int64(int64)", inline=True)
def table_size(items: int) -> int:
    """Slots of a table for so many keys: a power of two, at least twice their number."""
    size = 16
    while size < 2 * items:
        size *= 2
    return size


@njit("int64(uint64[::1], int64, uint64[::1], int32[::1], int64[::1])")
def tally(keys: Keys, found: int, slots: Keys, counts: NDArray[np.int32], at_least: Positions) -> int:
    """Count how often keys occur.

    There is no branch on whether a key was there before, since that cannot be predicted.

    Args:
        keys: the first `found` are looked at.
        found: how many keys.
        slots, counts: room for an open-addressing table of `table_size(found)` slots; written.
        at_least: zeros, shape (at least found + 1,): at t, how many keys occur t times or more; written. The k greatest counts
            add up to the sum of min(k, at_least[t]).

    Returns:
        The greatest count; at_least is 0 beyond it.
    """
    size = table_size(found)
    counts[:size] = 0
    most = 0
    for index in range(found):
        key = keys[index]
        slot = int64(mix(key)) & (size - 1)
        while counts[slot] and slots[slot] != key:
            slot = (slot + 1) & (size - 1)
        slots[slot] = key
        times = int64(counts[slot]) + 1
        counts[slot] = times
        at_least[times] += 1
        most = max(most, times)
    return most


@njit("int64(int64)", inline=True)
def filter_size(keys: int) -> int:
    """Elements of `seen` and of `again` for so many keys: 8 bits a key, or more."""
    return keys // 4 + 2


@njit("void(uint64[::1], int64, uint64, uint64, int64, uint64[::1], uint64[::1])")
def _mark_repeated(keys: Keys, found: int, multiplier: np.uint64, shift: np.uint64, words: int, seen: Keys, again: Keys) -> None:
    """Set a bit in `seen` for each key, and one in `again` where it was set."""
    seen[:words] = 0
    again[:words] = 0
    for index in range(found):
        place = (keys[index] * multiplier) >> shift
        word, bit = int64(place >> _SIX), ONE << (place & _BIT)
        before = seen[word]
        again[word] |= before & bit
        seen[word] = before | bit


@njit("UniTuple(int64, 2)(int64)", inline=True)
def _filter_shape(keys: int) -> tuple[int, int]:
    """Elements of `seen` and `again` that so many keys take, and by how much a key is shifted to its bit."""
    words, shift = 1, 58
    while 64 * words < 8 * keys:
        words *= 2
        shift -= 1
    return words, shift


@njit("int64(uint64[::1], int64, uint64[::1], uint64[::1])")
def keep_candidates(keys: Keys, found: int, seen: Keys, again: Keys) -> int:
    """Move the keys that may occur more than once to the front; returns how many.

    Most n-grams of a text occur once. A bit a key, in tables that stay in the processor's cache, tells most of them from the
    rest, which are counted exactly. A second round, with bits of its own for the few that are left, leaves hardly any others.
    """
    words, shift = _filter_shape(found)
    multiplier = MIXER
    for _ in range(2):
        _mark_repeated(keys, found, multiplier, np.uint64(shift), words, seen, again)
        kept = 0
        for index in range(found):
            place = (keys[index] * multiplier) >> np.uint64(shift)
            keys[kept] = keys[index]
            kept += int64((again[int64(place >> _SIX)] >> (place & _BIT)) & ONE)
        found = kept
        multiplier = _SECOND_MULTIPLIER
    return found


@njit("int64(uint64[::1], int64, int64[::1], uint64[::1], uint64[::1])")
def keep_candidates_with_places(keys: Keys, found: int, places: Positions, seen: Keys, again: Keys) -> int:
    """What one round of `keep_candidates` does, with the index that each key had written to `places`."""
    words, shift = _filter_shape(found)
    _mark_repeated(keys, found, MIXER, np.uint64(shift), words, seen, again)
    kept = 0
    for index in range(found):
        place = (keys[index] * MIXER) >> np.uint64(shift)
        keys[kept] = keys[index]
        places[kept] = index
        kept += int64((again[int64(place >> _SIX)] >> (place & _BIT)) & ONE)
    return kept
