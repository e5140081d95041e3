"""Compiled kernels for MinHash: from the texts of a batch to the keys of its bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.hashing import mix32, mix32_plainly, mix64, mix64_plainly
from gristmill.stages.numba_cache import njit
from gristmill.stages.shingles import shingle_document, work_space
from gristmill.stages.unicode_tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]
    Signature = NDArray[np.uint32]

_EMPTY = np.uint32(0xFFFFFFFF)
_CHECK_SEED = np.uint64(0xD6E8FEB86659FD93)
_KEY_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)
_CHECK_MULTIPLIER = np.uint64(0x94D049BB133111EB)


def permutations(count: int, seed: int) -> tuple[Signature, Signature]:
    """Factors and summands of the permutations h -> a * h + b modulo 2^32, the same as datasketch 2 draws for `affine32`.

    Args:
        count: how many permutations.
        seed: 0 to 2^32 - 1.

    Returns:
        a (odd, so that no two hashes meet) and b, each of shape (count,).

    Source: datasketch 2, `MinHash._init_permutations`.
    """
    # the legacy generator, because datasketch draws from it; its stream never changes
    generator = np.random.RandomState(seed)
    a = generator.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    b = generator.randint(0, 1 << 32, count, dtype=np.uint32)
    return a, b


@njit("void(uint32[::1], int64, uint32[::1], uint32[::1], uint32[::1])")
def sign(hashes: Signature, count: int, a: Signature, b: Signature, signature: Signature) -> None:
    """Compute one MinHash signature.

    Args:
        hashes: hashes of the shingles after `mix32`; repeats do no harm.
        count: how many of them there are.
        a, b: the permutations.
        signature: filled: for each permutation the smallest a * h + b modulo 2^32; 2^32 - 1 where there are no hashes.
    """
    size = signature.size
    signature[:] = _EMPTY
    # Permutations run in the inner loop, where LLVM makes vectors of them; 8 hashes a pass, so that a, b and the signature are
    # loaded once for 8. 78 G hashes/s at 9000 permutations against 38 with one permutation a pass over all hashes (AVX-512).
    whole = count // 8 * 8
    for index in range(0, whole, 8):
        h0, h1, h2, h3 = hashes[index], hashes[index + 1], hashes[index + 2], hashes[index + 3]
        h4, h5, h6, h7 = hashes[index + 4], hashes[index + 5], hashes[index + 6], hashes[index + 7]
        for slot in range(size):
            u, v = a[slot], b[slot]
            first = min(min(np.uint32(u * h0 + v), np.uint32(u * h1 + v)), min(np.uint32(u * h2 + v), np.uint32(u * h3 + v)))
            second = min(min(np.uint32(u * h4 + v), np.uint32(u * h5 + v)), min(np.uint32(u * h6 + v), np.uint32(u * h7 + v)))
            signature[slot] = min(signature[slot], min(first, second))
    for index in range(whole, count):
        h0 = hashes[index]
        for slot in range(size):
            signature[slot] = min(signature[slot], np.uint32(a[slot] * h0 + b[slot]))


@njit("void(uint64[::1], int64, uint32[::1])")
def _mix(shingles: Hashes, count: int, mixed: Signature) -> None:
    """Fill `mixed` with what `sign` takes."""
    for index in range(count):
        mixed[index] = mix32(np.uint32(shingles[index] & np.uint64(0xFFFFFFFF)))


@njit(
    "Tuple((uint32[:, ::1], boolean[::1]))"
    "(uint8[::1], int64[::1], int64, boolean, uint8[::1], int32[::1], uint32[::1], uint32[::1])"
)
def _signatures(
    data: Bytes, offsets: Positions, n: int, characters: bool, flags: Bytes, lower: NDArray[np.int32], a: Signature, b: Signature
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    documents = offsets.size - 1
    target, units, shingles = work_space(offsets, characters)
    mixed = np.empty(shingles.size, dtype=np.uint32)
    result = np.empty((documents, a.size), dtype=np.uint32)
    signed = np.zeros(documents, dtype=np.bool_)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        count = shingle_document(data, begin, end, n, characters, flags, lower, target, units, shingles)
        _mix(shingles, count, mixed)
        sign(mixed, count, a, b, result[document])
        signed[document] = count > 0
    return result, signed


def signatures(
    features: TextFeatures, n: int, count: int, seed: int, characters: bool = False
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """MinHash signatures of texts.

    Args:
        features: the texts.
        n: units in a shingle.
        count: how many permutations.
        seed: of the permutations.
        characters: whether the units of shingles are characters; else they are words.

    Returns:
        Signatures, shape (n_documents, count), those that datasketch's scheme `affine32` gives for the low 32 bits of the shingle
        hashes; and which documents have a shingle, shape (n_documents,).
    """
    table = tables()
    return _signatures(features.data, features.offsets, n, characters, table.flags, table.lower, *permutations(count, seed))


@njit("UniTuple(uint64, 2)(uint32[::1], int64, int64, int64)", inline=True)
def hash_band(signature: Signature, band: int, start: int, rows: int) -> tuple[np.uint64, np.uint64]:
    """Two hashes of a band's number and its values, which begin at `start`, each by a multiplier of its own."""
    key = mix64(np.uint64(band + 1))
    check = key ^ _CHECK_SEED
    for slot in range(start, start + rows):
        value = np.uint64(signature[slot])
        key = (key ^ value) * _KEY_MULTIPLIER
        key ^= key >> np.uint64(32)
        check = (check ^ value) * _CHECK_MULTIPLIER
        check ^= check >> np.uint64(29)
    return mix64(key), mix64(check)


@njit(
    "Tuple((uint64[::1], uint64[::1], int64[::1]))"
    "(uint8[::1], int64[::1], int64, boolean, int64, int64, int64, uint8[::1], int32[::1], uint32[::1], uint32[::1])"
)
def _band_keys(
    data: Bytes,
    offsets: Positions,
    n: int,
    characters: bool,
    first: int,
    bands: int,
    rows: int,
    flags: Bytes,
    lower: NDArray[np.int32],
    a: Signature,
    b: Signature,
) -> tuple[Hashes, Hashes, Positions]:
    documents = offsets.size - 1
    target, units, shingles = work_space(offsets, characters)
    mixed = np.empty(shingles.size, dtype=np.uint32)
    signature = np.empty(a.size, dtype=np.uint32)
    keys = np.empty(documents * bands, dtype=np.uint64)
    checks = np.empty(documents * bands, dtype=np.uint64)
    places = np.empty(documents * bands, dtype=np.int64)
    filled = 0
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        count = shingle_document(data, begin, end, n, characters, flags, lower, target, units, shingles)
        _mix(shingles, count, mixed)
        if count == 0:
            continue
        sign(mixed, count, a, b, signature)
        for band in range(bands):
            keys[filled], checks[filled] = hash_band(signature, first + band, band * rows, rows)
            places[filled] = document
            filled += 1
    return keys[:filled], checks[:filled], places[:filled]


def band_keys(
    features: TextFeatures,
    n: int,
    bands: int,
    rows: int,
    seed: int,
    first: int = 0,
    last: int | None = None,
    characters: bool = False,
) -> tuple[Hashes, Hashes, Positions]:
    """Keys under which documents with an equal band meet.

    Args:
        features: the texts.
        n: units in a shingle.
        bands: how many bands.
        rows: values of the signature in a band.
        seed: of the permutations.
        first, last: only the bands [first, last); all unless given.
        characters: whether the units of shingles are characters; else they are words.

    Returns:
        Key, check and document of each band, documents in order; a document without a shingle has none.
    """
    table = tables()
    last = bands if last is None else last
    a, b = (values[first * rows : last * rows] for values in permutations(bands * rows, seed))
    counted = last - first
    return _band_keys(features.data, features.offsets, n, characters, first, counted, rows, table.flags, table.lower, a, b)


def signature_plainly(hashes: Iterable[int], count: int, seed: int) -> list[int]:
    """Signature of a set of 32-bit hashes, as `signatures` computes it."""
    mixed = [mix32_plainly(value) for value in hashes]
    a, b = (values.tolist() for values in permutations(count, seed))
    return [min(((a[slot] * value + b[slot]) % 2**32 for value in mixed), default=2**32 - 1) for slot in range(count)]


def band_plainly(values: list[int], band: int) -> tuple[int, int]:
    """Key and check of the values of a band, as `hash_band` computes them."""
    mask = (1 << 64) - 1
    key = mix64_plainly(band + 1)
    check = key ^ int(_CHECK_SEED)
    for value in values:
        key = (key ^ value) * int(_KEY_MULTIPLIER) & mask
        key ^= key >> 32
        check = (check ^ value) * int(_CHECK_MULTIPLIER) & mask
        check ^= check >> 29
    return mix64_plainly(key), mix64_plainly(check)
