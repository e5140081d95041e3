"""Bloom filters: whether a key was seen before, in memory that does not grow, with mistakes to one side at a known rate.

Source: B. Bloom 1970; k = m / n ln 2 functions by double hashing, Kirsch and Mitzenmacher 2006.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.hashing import mix64, mix64_plainly
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import int64

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MOST_HASHES = 16
"""Further functions make the rate better by less than they take."""
INDEX_HASHES = 7
"""Functions of filters that later runs extend, which cannot know how many keys there will be: best at 10 bits a key, where a new
key is taken for an old one once in 120 times."""
_SECOND = 0x9E3779B97F4A7C15
_MASK_64 = (1 << 64) - 1


def best_hashes(bits: int, keys: int) -> int:
    """How many functions make the rate the least for so many keys; 1 to 16."""
    return min(MOST_HASHES, max(1, round(bits / max(1, keys) * math.log(2))))


def false_positive_rate(bits: int, hashes: int, keys: int) -> float:
    """Probability that a key is found in a filter of so many bits and functions that holds `keys` others."""
    return (-math.expm1(hashes * keys * math.log1p(-1 / bits))) ** hashes if bits > 1 else float(keys > 0)


def expected_false_positives(bits: int, hashes: int, keys: int, steps: int = 256) -> float:
    """Keys among the first `keys` that are new and yet found: the sum of the rates that the filter has on the way."""
    rates = [false_positive_rate(bits, hashes, round(keys * (step + 0.5) / steps)) for step in range(steps)]
    return keys * sum(rates) / steps


def keys_of_bits(bits: int, hashes: int, bits_set: int) -> int:
    """About how many different keys a filter holds that has so many bits set (Swamidass and Baldi 2007)."""
    return round(-bits / hashes * math.log1p(-min(bits_set, bits - 1) / bits))


@njit("boolean[::1](uint64[::1], int64, int64, uint64[::1])")
def _add(words: NDArray[np.uint64], bits: int, hashes: int, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    seen = np.empty(keys.size, dtype=np.bool_)
    for row in range(keys.size):
        value = mix64(keys[row])
        step = mix64(keys[row] ^ np.uint64(_SECOND)) | np.uint64(1)
        found = True
        for _ in range(hashes):
            # the upper half times the number of bits: every bit is reached at any size, powers of two among them
            bit = int64((value >> np.uint64(32)) * np.uint64(bits) >> np.uint64(32))
            mark = np.uint64(1) << np.uint64(bit & 63)
            found &= words[bit >> 6] & mark != 0
            words[bit >> 6] |= mark
            value += step
        seen[row] = found
    return seen


class BloomFilter:
    """A set of uint64 keys that may take a new key for an old one, never an old one for new."""

    def __init__(self, size: int, keys: int, hashes: int | None = None) -> None:
        """Make room.

        Args:
            size: bytes, 8 to 2^29 - 8.
            keys: how many are expected, which decides the number of functions.
            hashes: the number of functions instead.

        Raises:
            ValueError: the size is not in these bounds.
        """
        self.bits = size // 8 * 64
        if not 0 < self.bits < 1 << 32:
            raise ValueError(f"a Bloom filter of {size} bytes; it should have 8 to {2**29 - 8}")
        self.hashes = best_hashes(self.bits, keys) if hashes is None else hashes
        self.words = np.zeros(self.bits // 64, dtype=np.uint64)

    def add(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Put keys in, one after the other; whether each was there before (or a false positive), bool of shape (n_keys,)."""
        return _add(self.words, self.bits, self.hashes, np.array(keys))  # a copy: read-only arrays are another type

    def join(self, words: NDArray[np.uint64]) -> None:
        """Put in all keys of another filter of as many bits and functions, given by its `words`.

        Raises:
            ValueError: it has another size.
        """
        if len(words) != len(self.words):
            raise ValueError(f"a filter of {64 * len(words)} bits cannot join one of {self.bits}")
        self.words |= words

    @property
    def bits_set(self) -> int:
        """How many bits are set."""
        return int(np.bitwise_count(self.words).sum())


def seen_plainly(bits: int, hashes: int, keys: Iterable[int]) -> list[bool]:
    """What `BloomFilter.add` says of keys put into an empty filter."""
    is_set: set[int] = set()
    seen = []
    for key in keys:
        value, step = mix64_plainly(key), mix64_plainly(key ^ _SECOND) | 1
        places = {((value + at * step & _MASK_64) >> 32) * bits >> 32 for at in range(hashes)}
        seen.append(places <= is_set)
        is_set |= places
    return seen
