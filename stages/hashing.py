"""Hash functions for compiled kernels, and what each computes in plain Python.

Scalars only: the kernels that hash texts build on them. All arithmetic is modulo 2^32 or 2^64.

Source: finalizers and the 128-bit hash are those of MurmurHash3 (A. Appleby, public domain).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import load8

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MASK_64 = (1 << 64) - 1
_MASK_32 = (1 << 32) - 1
_C1 = np.uint64(0x87C37B91114253D5)
_C2 = np.uint64(0x4CF5AD432745937F)


@njit("uint32(uint32)", inline=True)
def mix32(value: np.uint32) -> np.uint32:
    """Spread 32 bits over 32 bits, one to one (MurmurHash3 `fmix32`)."""
    value = np.uint32(value ^ (value >> np.uint32(16)))
    value = np.uint32(value * np.uint32(0x85EBCA6B))
    value = np.uint32(value ^ (value >> np.uint32(13)))
    value = np.uint32(value * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ (value >> np.uint32(16)))


def mix32_plainly(value: int) -> int:
    """What `mix32` computes."""
    value ^= value >> 16
    value = value * 0x85EBCA6B & _MASK_32
    value ^= value >> 13
    value = value * 0xC2B2AE35 & _MASK_32
    return value ^ value >> 16


@njit("uint64(uint64)", inline=True)
def mix64(value: np.uint64) -> np.uint64:
    """Spread 64 bits over 64 bits, one to one (MurmurHash3 `fmix64`)."""
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


def mix64_plainly(value: int) -> int:
    """What `mix64` computes."""
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & _MASK_64
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & _MASK_64
    return value ^ value >> 33


@njit("uint64(uint64, uint64)", inline=True)
def rotate_left(value: np.uint64, bits: np.uint64) -> np.uint64:
    """Rotate 64 bits to the left by 1 to 63 bits."""
    return (value << bits) | (value >> (np.uint64(64) - bits))


@njit("UniTuple(uint64, 2)(uint8[::1], int64, uint64)")
def hash128(data: NDArray[np.uint8], size: int, seed: np.uint64) -> tuple[np.uint64, np.uint64]:
    """MurmurHash3 x64 128 of the first `size` bytes.

    Args:
        data: bytes; the last of them are taken 8 at a time, so it holds at least 16 more than `size`.
        size: how many of them to hash.
        seed: both halves begin with it.

    Returns:
        Low and high half.
    """
    low, high = seed, seed
    whole = size // 16 * 16
    for position in range(0, whole, 16):
        low ^= rotate_left(load8(data, position) * _C1, np.uint64(31)) * _C2
        low = (rotate_left(low, np.uint64(27)) + high) * np.uint64(5) + np.uint64(0x52DCE729)
        high ^= rotate_left(load8(data, position + 8) * _C2, np.uint64(33)) * _C1
        high = (rotate_left(high, np.uint64(31)) + low) * np.uint64(5) + np.uint64(0x38495AB5)
    rest = size - whole
    if rest > 8:
        tail = load8(data, whole + 8) & ((np.uint64(1) << np.uint64(8 * (rest - 8))) - np.uint64(1))
        high ^= rotate_left(tail * _C2, np.uint64(33)) * _C1
    if rest > 0:
        tail = load8(data, whole)
        if rest < 8:
            tail &= (np.uint64(1) << np.uint64(8 * rest)) - np.uint64(1)
        low ^= rotate_left(tail * _C1, np.uint64(31)) * _C2
    low ^= np.uint64(size)
    high ^= np.uint64(size)
    low += high
    high += low
    low = mix64(low)
    high = mix64(high)
    low += high
    high += low
    return low, high


def _rotate_left_plainly(value: int, bits: int) -> int:
    return (value << bits | value >> 64 - bits) & _MASK_64


def hash128_plainly(data: bytes, seed: int = 0) -> tuple[int, int]:
    """What `hash128` computes."""
    c1, c2 = int(_C1), int(_C2)

    def scrambled(chunk: bytes, first: int, bits: int, second: int) -> int:
        return _rotate_left_plainly(int.from_bytes(chunk, "little") * first & _MASK_64, bits) * second & _MASK_64

    low = high = seed
    whole = len(data) // 16 * 16
    for position in range(0, whole, 16):
        low ^= scrambled(data[position : position + 8], c1, 31, c2)
        low = ((_rotate_left_plainly(low, 27) + high) * 5 + 0x52DCE729) & _MASK_64
        high ^= scrambled(data[position + 8 : position + 16], c2, 33, c1)
        high = ((_rotate_left_plainly(high, 31) + low) * 5 + 0x38495AB5) & _MASK_64
    high ^= scrambled(data[whole + 8 :], c2, 33, c1)
    low ^= scrambled(data[whole : whole + 8], c1, 31, c2)
    low, high = low ^ len(data), high ^ len(data)
    low = (low + high) & _MASK_64
    high = (high + low) & _MASK_64
    low, high = mix64_plainly(low), mix64_plainly(high)
    low = (low + high) & _MASK_64
    return low, (high + low) & _MASK_64
