r"""Shingles of a text: its distinct n-grams of words or characters, as 64-bit hashes, and how similar two sets of them are.

Words are the maximal runs of `\w`, each code point in lower case (where that is one code point). A shingle is n words in a row;
it is hashed from the hashes of its words, so that a text is read once whatever n is. Characters: `character_shingles`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from gristmill.stages.character_shingles import hash_characters
from gristmill.stages.hashing import mix64, mix64_plainly
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, load8
from gristmill.stages.unicode_tables import WORD, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

_SEED = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)
BASE = np.uint64(0x94D049BB133111EB)
"""Shingles are polynomials in this odd number, their coefficients the hashes of the words."""


_ARROW_VALUES = "Array(uint64, 1, 'C', readonly=True)"


def _cttz(_typing: Any, value: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


_trailing_zeros = cast("Callable[[np.uint64], np.uint64]", intrinsic(_cttz))
"""How many low bits of a uint64 are 0; 64 for 0."""


@njit("uint64(uint64, uint64)", inline=True)
def _with_chunk(hashed: np.uint64, chunk: np.uint64) -> np.uint64:
    hashed = (hashed ^ chunk) * _MULTIPLIER
    return hashed ^ (hashed >> np.uint64(29))


@njit("UniTuple(uint64, 2)(uint64)", inline=True)
def _letters_and_others(eight: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Which of 8 bytes are ASCII letters, and which are no ASCII word characters: the highest bit of each byte is set."""
    highs = np.uint64(0x8080808080808080)
    seven = eight & ~highs
    folded = seven | np.uint64(0x2020202020202020)
    # Adding 0x80 - x to a byte below 0x80 sets its highest bit where the byte is at least x, and carries nothing over
    letters = (folded + np.uint64(0x1F1F1F1F1F1F1F1F)) & ~(folded + np.uint64(0x0505050505050505))
    digits = (seven + np.uint64(0x5050505050505050)) & ~(seven + np.uint64(0x4646464646464646))
    not_underscore = (seven ^ np.uint64(0x5F5F5F5F5F5F5F5F)) + np.uint64(0x7F7F7F7F7F7F7F7F)
    others = (~(letters | digits | ~not_underscore) | eight) & highs
    return letters & highs, others


@njit("Tuple((uint64, int64))(uint8[::1], int64, int64, uint8[::1], int32[::1])")
def _hash_any_word(data: Bytes, begin: int, end: int, flags: Bytes, lower: NDArray[np.int32]) -> tuple[np.uint64, int]:
    """Hash of the word that begins at a byte, and where it ends; `begin` itself where there is none."""
    hashed = _SEED
    chunk = np.uint64(0)
    filled = np.uint64(0)  # bits of `chunk`
    position = begin
    while position < end:
        point, size = code_point_at(data, position)
        if not flags[point] & WORD:
            break
        position += size
        small = np.uint64(lower[point])
        if small < 0x80:
            encoded, bits = small, np.uint64(8)
        elif small < 0x800:
            encoded = np.uint64(0x80C0) | (small >> np.uint64(6)) | ((small & np.uint64(0x3F)) << np.uint64(8))
            bits = np.uint64(16)
        elif small < 0x10000:
            encoded = np.uint64(0x8080E0) | (small >> np.uint64(12)) | ((small & np.uint64(0xFC0)) << np.uint64(2))
            encoded |= (small & np.uint64(0x3F)) << np.uint64(16)
            bits = np.uint64(24)
        else:
            encoded = np.uint64(0x808080F0) | (small >> np.uint64(18)) | ((small & np.uint64(0x3F000)) >> np.uint64(4))
            encoded |= ((small & np.uint64(0xFC0)) << np.uint64(10)) | ((small & np.uint64(0x3F)) << np.uint64(24))
            bits = np.uint64(32)
        chunk |= encoded << filled
        filled += bits
        if filled >= np.uint64(64):
            hashed = _with_chunk(hashed, chunk)
            filled -= np.uint64(64)
            chunk = encoded >> (bits - filled) if filled else np.uint64(0)
    if filled:
        hashed = _with_chunk(hashed, chunk)
    return hashed, position


@njit("int64(uint8[::1], int64, int64, uint8[::1], int32[::1], uint64[::1])")
def hash_words(data: Bytes, begin: int, end: int, flags: Bytes, lower: NDArray[np.int32], hashes: Hashes) -> int:
    """Hash the words of one document.

    ASCII words are taken 8 bytes at a time: twice as fast as byte by byte.

    Args:
        data: UTF-8 bytes of the batch.
        begin, end: the document's bytes.
        flags, lower: the tables of `unicode_tables`.
        hashes: filled; has room for (end - begin) // 2 + 1.

    Returns:
        How many words there are.
    """
    highs = np.uint64(0x8080808080808080)
    words = 0
    position = begin
    safe = min(end, data.size - 7)  # 8 bytes can be read from before here on
    while position < end:
        start = position
        hashed = _SEED
        ascii_word = False
        while position < safe:
            eight: np.uint64 = load8(data, position)
            letters, others = _letters_and_others(eight)
            chunk = eight | (letters >> np.uint64(2))
            if not others:
                hashed = _with_chunk(hashed, chunk)
                position += 8
                continue
            # below the lowest bit of `others`: the bytes before the one that ends the word
            before = others ^ (others - np.uint64(1))
            ascii_word = not before & eight & highs
            size = int(_trailing_zeros(others) >> np.uint64(3))
            if size:
                hashed = _with_chunk(hashed, chunk & (before >> np.uint64(8)))
            position += size
            break
        if not ascii_word or position >= safe:
            # not ASCII, or near the end of the document
            hashed, position = _hash_any_word(data, start, end, flags, lower)
            if position == start:
                _, size = code_point_at(data, position)
                position += size
                continue
            hashes[words] = hashed
            words += 1
        else:
            hashes[words] = hashed
            words += position > start
            position += 1
    return words


@njit("Tuple((uint64[::1], int64[::1]))(uint8[::1], int64[::1], uint8[::1], int32[::1])")
def _hash_all_words(data: Bytes, offsets: Positions, flags: Bytes, lower: NDArray[np.int32]) -> tuple[Hashes, Positions]:
    documents = offsets.size - 1
    hashes = np.empty((offsets[-1] - offsets[0]) // 2 + documents + 1, dtype=np.uint64)
    ends = np.zeros(documents + 1, dtype=np.int64)
    for document in range(documents):
        filled = ends[document]
        ends[document + 1] = filled + hash_words(data, offsets[document], offsets[document + 1], flags, lower, hashes[filled:])
    return hashes[: ends[-1]], ends


def hash_all_words(features: TextFeatures) -> tuple[Hashes, Positions]:
    """Hashes of the words of each document, in order, and where each document's begin; shape (n_documents + 1,)."""
    table = tables()
    return _hash_all_words(features.data, features.offsets, table.flags, table.lower)


@njit("int64(uint64[::1], int64, int64, uint64[::1])")
def shingle_words(words: Hashes, count: int, n: int, shingles: Hashes) -> int:
    """Hash each n words in a row.

    Args:
        words: hashes of the words.
        count: how many of them there are.
        n: words in a shingle.
        shingles: filled, in the order of the text, repeats included.

    Returns:
        How many shingles there are: count - n + 1, at least 0.
    """
    if count < n:
        return 0
    highest = np.uint64(1)  # what the first word of a shingle is multiplied with
    for _ in range(n - 1):
        highest *= BASE
    rolling = np.uint64(0)
    for index in range(n):
        rolling = rolling * BASE + words[index]
    shingles[0] = mix64(rolling)
    for index in range(n, count):
        rolling = (rolling - words[index - n] * highest) * BASE + words[index]
        shingles[index - n + 1] = mix64(rolling)
    return count - n + 1


@njit("int64(uint8[::1], int64, int64, int64, boolean, uint8[::1], int32[::1], uint8[::1], uint64[::1], uint64[::1])")
def shingle_document(
    data: Bytes,
    begin: int,
    end: int,
    n: int,
    characters: bool,
    flags: Bytes,
    lower: NDArray[np.int32],
    target: Bytes,
    units: Hashes,
    shingles: Hashes,
) -> int:
    """Hash the n-grams of one document.

    Args:
        data: UTF-8 bytes of the batch.
        begin, end: the document's bytes.
        n: units in a shingle.
        characters: whether units are characters; else they are words.
        flags, lower: the tables of `unicode_tables`.
        target, units: work space, as `work_space` makes it.
        shingles: filled, in the order of the text, repeats included.

    Returns:
        How many shingles there are.
    """
    if characters:
        count = hash_characters(data, begin, end, flags, lower, target, units)
    else:
        count = hash_words(data, begin, end, flags, lower, units)
    return shingle_words(units, count, n, shingles)


@njit("Tuple((uint8[::1], uint64[::1], uint64[::1]))(int64[::1], boolean)")
def work_space(offsets: Positions, characters: bool) -> tuple[Bytes, Hashes, Hashes]:
    """What `shingle_document` works in, large enough for the longest document: target, units, shingles."""
    longest = 0
    for document in range(offsets.size - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    room = longest + 1 if characters else longest // 2 + 1
    target = np.empty(longest * 3 // 2 + 24 if characters else 0, dtype=np.uint8)
    return target, np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.uint64)


@njit("Tuple((uint64[::1], int64[::1]))(uint8[::1], int64[::1], int64, boolean, uint8[::1], int32[::1])")
def _shingle_sets(
    data: Bytes, offsets: Positions, n: int, characters: bool, flags: Bytes, lower: NDArray[np.int32]
) -> tuple[Hashes, Positions]:
    documents = offsets.size - 1
    target, units, shingles = work_space(offsets, characters)
    total = offsets[-1] - offsets[0]
    found = np.empty(total if characters else total // 2 + documents, dtype=np.uint64)
    ends = np.zeros(documents + 1, dtype=np.int64)
    filled = 0
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        count = shingle_document(data, begin, end, n, characters, flags, lower, target, units, shingles)
        ordered = np.sort(shingles[:count])
        for index in range(count):
            if index == 0 or ordered[index] != ordered[index - 1]:
                found[filled] = ordered[index]
                filled += 1
        ends[document + 1] = filled
    return found[:filled].copy(), ends


def shingle_sets(features: TextFeatures, n: int, characters: bool = False) -> pa.ListArray:
    """The distinct shingles of each document.

    Args:
        features: the texts.
        n: units in a shingle.
        characters: whether units are characters; else they are words.

    Returns:
        list<uint64>, one a document: hashes in ascending order; empty for texts of fewer than n units.
    """
    import pyarrow as pa

    table = tables()
    hashes, offsets = _shingle_sets(features.data, features.offsets, n, characters, table.flags, table.lower)
    if len(hashes) < 2**31:
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(hashes))
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(hashes))


@njit(f"float64[::1]({_ARROW_VALUES}, int64[::1], {_ARROW_VALUES}, int64[::1])")
def _jaccard(left: Hashes, left_offsets: Positions, right: Hashes, right_offsets: Positions) -> NDArray[np.float64]:
    pairs = left_offsets.size - 1
    result = np.zeros(pairs, dtype=np.float64)
    for pair in range(pairs):
        i, i_end = left_offsets[pair], left_offsets[pair + 1]
        j, j_end = right_offsets[pair], right_offsets[pair + 1]
        union = i_end - i + j_end - j
        common = 0
        while i < i_end and j < j_end:
            a, b = left[i], right[j]
            common += a == b
            i += a <= b
            j += b <= a
        union -= common
        if union:
            result[pair] = common / union
    return result


def jaccard(left: pa.Array, right: pa.Array) -> NDArray[np.float64]:
    """Jaccard similarity of pairs of sets: how many elements both hold, over how many either holds.

    Args:
        left, right: list<uint64> or large_list<uint64> of the same length, each list ascending without repeats; a null is an
            empty set.

    Returns:
        Shape (n_pairs,), float64. 0 where both sets are empty.

    Raises:
        ValueError: the two differ in length.
    """
    if len(left) != len(right):
        raise ValueError(f"jaccard compares pairs: left has {len(left)} sets, right {len(right)}")
    return _jaccard(*_lists(left), *_lists(right))


def _lists(array: pa.Array) -> tuple[Hashes, Positions]:
    """Values and offsets of an array of lists; slices are not copied."""
    if array.null_count:
        array = array.fill_null([])
    return array.values.to_numpy(zero_copy_only=False), array.offsets.to_numpy(zero_copy_only=False).astype(np.int64)


def words_plainly(text: str) -> list[str]:
    r"""Words of a text: runs of `\w`, each character in lower case where that is one character."""
    lowered = "".join(character.lower() if len(character.lower()) == 1 else character for character in text)
    return re.findall(r"\w+", lowered)


def shingles_plainly(text: str, n: int) -> set[str]:
    """Distinct n-grams of words, joined by one space; none for texts of fewer than n words."""
    words = words_plainly(text)
    return {" ".join(words[index : index + n]) for index in range(len(words) - n + 1)}


def shingle_hash_plainly(shingle: str) -> int:
    """Hash of one shingle, as the kernels compute it."""
    mask = (1 << 64) - 1
    rolling = 0
    for word in shingle.split(" "):
        data = word.encode()
        hashed = int(_SEED)
        for position in range(0, len(data), 8):
            hashed = (hashed ^ int.from_bytes(data[position : position + 8], "little")) * int(_MULTIPLIER) & mask
            hashed ^= hashed >> 29
        rolling = (rolling * int(BASE) + hashed) & mask
    return mix64_plainly(rolling)


def jaccard_plainly(left: Sequence[int], right: Sequence[int]) -> float:
    """What `jaccard` computes, for one pair."""
    union = set(left) | set(right)
    return len(set(left) & set(right)) / len(union) if union else 0.0
