"""Compiled kernels for SimHash: fingerprints, keys of their blocks, and which of one key are close."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.hashing import mix64, mix64_plainly
from gristmill.stages.numba_cache import njit
from gristmill.stages.shingles import shingle_document, work_space
from gristmill.stages.unicode_tables import tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

BITS = 64


@njit("uint64(uint64[::1], int64, int32[::1])")
def simhash(features: Hashes, count: int, counters: NDArray[np.int32]) -> np.uint64:
    """SimHash of features: each bit is 1 where more features have 1 there than 0.

    Args:
        features: hashes; one that is there twice counts twice.
        count: how many of them there are.
        counters: work space of 64.
    """
    counters[:] = 0
    for index in range(count):
        feature = features[index]
        for bit in range(BITS):
            counters[bit] += np.int32((feature >> np.uint64(bit)) & np.uint64(1))
    result = np.uint64(0)
    for bit in range(BITS):
        if 2 * counters[bit] > count:
            result |= np.uint64(1) << np.uint64(bit)
    return result


@njit("Tuple((uint64[::1], boolean[::1]))(uint8[::1], int64[::1], int64, boolean, uint8[::1], int32[::1])")
def _simhashes(
    data: Bytes, offsets: Positions, n: int, characters: bool, flags: Bytes, lower: NDArray[np.int32]
) -> tuple[Hashes, NDArray[np.bool_]]:
    documents = offsets.size - 1
    target, units, shingles = work_space(offsets, characters)
    counters = np.empty(BITS, dtype=np.int32)
    hashes, hashed = np.zeros(documents, dtype=np.uint64), np.zeros(documents, dtype=np.bool_)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        count = shingle_document(data, begin, end, n, characters, flags, lower, target, units, shingles)
        hashes[document] = simhash(shingles, count, counters)
        hashed[document] = count > 0
    return hashes, hashed


def simhashes(features: TextFeatures, n: int, characters: bool) -> tuple[Hashes, NDArray[np.bool_]]:
    """SimHashes of texts.

    Args:
        features: the texts.
        n: units in a window.
        characters: whether units are characters; else they are words.

    Returns:
        SimHash of each text (0 without a window), and which texts have a window; each of shape (n_documents,).
    """
    table = tables()
    return _simhashes(features.data, features.offsets, n, characters, table.flags, table.lower)


def block_masks(blocks: int, distance: int) -> list[int]:
    """Bits of each choice of blocks - distance blocks; 64 bits cut into blocks of lengths that differ by at most 1.

    Two SimHashes that differ in at most `distance` bits differ in at most as many blocks, so they agree in one of the choices.
    """
    edges = [BITS * block // blocks for block in range(blocks + 1)]
    parts = [(1 << end) - (1 << begin) for begin, end in pairwise(edges)]
    return [sum(choice) for choice in combinations(parts, blocks - distance)]


@njit("uint64[:, ::1](uint64[::1], uint64[::1])")
def _block_keys(hashes: Hashes, masks: Hashes) -> NDArray[np.uint64]:
    keys = np.empty((hashes.size, masks.size), dtype=np.uint64)
    for choice in range(masks.size):
        # the number of the choice, so that equal bits of different blocks do not meet
        salt = mix64(np.uint64(choice + 1))
        for document in range(hashes.size):
            keys[document, choice] = mix64((hashes[document] & masks[choice]) ^ salt)
    return keys


def block_keys(hashes: Hashes, blocks: int, distance: int) -> NDArray[np.uint64]:
    """Keys of shape (n_hashes, choices of blocks): equal where two SimHashes agree in all bits of a choice."""
    return _block_keys(hashes, np.array(block_masks(blocks, distance), dtype=np.uint64))


@njit("int64(uint64)", inline=True)
def _ones(bits: np.uint64) -> int:
    """How many bits are 1."""
    bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit("int64[::1](uint64[::1], uint64[::1])")
def _distances(left: Hashes, right: Hashes) -> Positions:
    result = np.empty(left.size, dtype=np.int64)
    for pair in range(left.size):
        result[pair] = _ones(left[pair] ^ right[pair])
    return result


def distances(left: Hashes, right: Hashes) -> Positions:
    """Bits in which pairs of SimHashes differ, int64 of shape (n_pairs,)."""
    return _distances(np.array(left, dtype=np.uint64), np.array(right, dtype=np.uint64))


@njit("UniTuple(int64[::1], 2)(uint64[::1], uint64[::1], int64, int64, int64)")
def _close_pairs(keys: Hashes, hashes: Hashes, first: int, distance: int, most: int) -> tuple[Positions, Positions]:
    room = 1024
    left, right = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    found = 0
    for later in range(first, keys.size):
        earlier = later - 1
        while earlier >= 0 and later - earlier <= most and keys[earlier] == keys[later]:
            if _ones(hashes[earlier] ^ hashes[later]) <= distance:
                if found == room:
                    room *= 2
                    wider_left, wider_right = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
                    wider_left[:found], wider_right[:found] = left, right
                    left, right = wider_left, wider_right
                left[found], right[found] = earlier, later
                found += 1
            earlier -= 1
    return left[:found].copy(), right[:found].copy()


def close_pairs(keys: Hashes, hashes: Hashes, first: int, distance: int, most: int) -> tuple[Positions, Positions]:
    """Pairs of rows of equal keys whose SimHashes differ in at most `distance` bits.

    Args:
        keys: ascending.
        hashes: SimHash of each row.
        first: rows before it are not compared with each other.
        distance: most bits that differ.
        most: rows that a pair lies apart at most.

    Returns:
        Earlier and later row of each pair.
    """
    return _close_pairs(np.array(keys, dtype=np.uint64), np.array(hashes, dtype=np.uint64), first, distance, most)


def simhash_plainly(features: Iterable[int], bits: int = BITS) -> int:
    """What `simhash` computes."""
    held = list(features)
    return sum(1 << bit for bit in range(bits) if sum(1 if one >> bit & 1 else -1 for one in held) > 0)


def block_key_plainly(hashed: int, mask: int, choice: int) -> int:
    """Key of one choice of blocks."""
    return mix64_plainly((hashed & mask) ^ mix64_plainly(choice + 1))
