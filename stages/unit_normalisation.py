"""The form in which lines, paragraphs and spans are compared, and its hash: kernels, and what they compute in plain Python."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.hashing import hash128, hash128_plainly
from gristmill.stages.normalisation import (
    COLLAPSE_WHITESPACE,
    LOWERCASE,
    REMOVE_PUNCTUATION,
    append_code_point,
    normalise,
    normalise_plainly,
)
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, count_code_points, int64, strip
from gristmill.stages.unicode_tables import CODE_POINTS, DECIMAL_DIGIT, tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]
    Map = NDArray[np.int32]

FORMS = {"exact": 0, "stripped": 1, "lowercase": 2, "ccnet": 3, "loose": 4}
"""Forms by name: the bytes as they are; without white space at the ends; so and in lower case (C4's); CCNet's; and that of the
stage `exact`, without punctuation, in lower case, each run of white space one blank."""
_EXACT, _LOWERCASE, _CCNET, _LOOSE = 0, 2, 3, 4
_LOOSELY = LOWERCASE | COLLAPSE_WHITESPACE | REMOVE_PUNCTUATION

_CCNET_PUNCTUATION = (
    *(0xAB, 0xB4, 0xBB, 0x2013, 0x2014, 0x2019, 0x201C, 0x201D, 0x201E, 0x2026, 0x2236, 0x2501, 0x25BA, 0x3001, 0x3002),
    *range(0x3008, 0x300E),
    *(0x3010, 0x3011, 0xFF01, 0xFF05, 0xFF08, 0xFF09, 0xFF0C, 0xFF0E, 0xFF11, 0xFF1A, 0xFF1B, 0xFF1F, 0xFF5E),
)
"""What CCNet leaves out beside control characters [code: cc_net text_normalizer.py]; U+FF11 is a digit, and is 0 by then."""
_CCNET_LEFT_OUT = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), *_CCNET_PUNCTUATION]))
_CCNET_PATTERN = re.compile(f"[{re.escape(_CCNET_LEFT_OUT)}]")

_CAPITAL_SIGMA, _DOTTED_I = 0x3A3, 0x130
"""The code points whose lower case is more than a code point, or depends on the letters around them."""


@cache
def form_map(form: int) -> Map:
    """What each code point becomes, -1 for those that are left out; shape (0x110000,). Not to be written to."""
    flags, lower = tables()
    if form < _LOWERCASE or form == _LOOSE:
        return np.arange(CODE_POINTS, dtype=np.int32)
    if form == _LOWERCASE:
        return lower
    found = lower.copy()
    found[flags[lower] & DECIMAL_DIGIT != 0] = ord("0")
    left_out = np.array([ord(character) for character in _CCNET_LEFT_OUT])
    found[np.isin(found, left_out)] = -1
    return found


@njit("Tuple((int64, boolean))(uint8[::1], int64, int64, int32[::1], uint8[::1])")
def _map_code_points(data: Bytes, begin: int, end: int, mapped: Map, target: Bytes) -> tuple[int, bool]:
    """Write what the code points become; returns the bytes written, and whether one of them has no lower case of its own."""
    size = 0
    is_odd = False
    position = begin
    while position < end:
        byte = data[position]
        if byte < 0x80:
            becomes = mapped[byte]
            target[size] = becomes & 0x7F  # overwritten by the next one where it is left out
            size += int64(becomes >= 0)
            position += 1
            continue
        point, width = code_point_at(data, position)
        position += width
        is_odd |= point in (_CAPITAL_SIGMA, _DOTTED_I)
        becomes = mapped[point]
        if becomes >= 0:
            size = append_code_point(target, size, int64(becomes))
    return size, is_odd


@njit("uint32(uint32, uint32)", inline=True)
def _rotate32(value: np.uint32, bits: np.uint32) -> np.uint32:
    return np.uint32(np.uint32(value << bits) | np.uint32(value >> np.uint32(np.uint32(32) - bits)))


@njit("void(uint8[::1], int64, uint32[::1], uint32[::1])")
def _sha1_block(data: Bytes, begin: int, state: NDArray[np.uint32], words: NDArray[np.uint32]) -> None:
    for at in range(16):
        place = begin + 4 * at
        words[at] = np.uint32(
            (int64(data[place]) << 24) | (int64(data[place + 1]) << 16) | (int64(data[place + 2]) << 8) | int64(data[place + 3])
        )
    for at in range(16, 80):
        words[at] = _rotate32(words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16], np.uint32(1))
    a, b, c, d, e = state[0], state[1], state[2], state[3], state[4]
    for at in range(80):
        if at < 20:
            mixed, constant = np.uint32((b & c) | (~b & d)), np.uint32(0x5A827999)
        elif at < 40:
            mixed, constant = np.uint32(b ^ c ^ d), np.uint32(0x6ED9EBA1)
        elif at < 60:
            mixed, constant = np.uint32((b & c) | (b & d) | (c & d)), np.uint32(0x8F1BBCDC)
        else:
            mixed, constant = np.uint32(b ^ c ^ d), np.uint32(0xCA62C1D6)
        new = np.uint32(_rotate32(a, np.uint32(5)) + mixed + e + constant + words[at])
        e, d, c, b, a = d, c, _rotate32(b, np.uint32(30)), a, new
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e


@njit("uint64(uint8[::1], int64, uint32[::1], uint32[::1])")
def _sha1_prefix(data: Bytes, size: int, state: NDArray[np.uint32], words: NDArray[np.uint32]) -> np.uint64:
    """The first 8 bytes of SHA-1, as a little-endian number; `data` has room for 72 bytes more than `size`."""
    state[0], state[1], state[2], state[3], state[4] = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0
    padded = (size + 72) // 64 * 64
    data[size] = 0x80
    data[size + 1 : padded] = 0
    for at in range(8):
        data[padded - 1 - at] = (8 * size) >> (8 * at) & 0xFF
    for begin in range(0, padded, 64):
        _sha1_block(data, begin, state, words)
    prefix = np.uint64(0)
    for at in range(8):
        byte = np.uint64(state[at // 4] >> np.uint32(24 - 8 * (at % 4))) & np.uint64(0xFF)
        prefix |= byte << np.uint64(8 * at)
    return prefix


@njit(
    "Tuple((uint64[::1], uint64[::1], int64[::1], int64[::1]))"
    "(uint8[::1], int64[::1], int64[::1], int64, boolean, int64, uint8[::1], int32[::1])"
)
def _unit_keys(
    data: Bytes, starts: Positions, ends: Positions, form: int, sha1: bool, least: int, flags: Bytes, mapped: Map
) -> tuple[Hashes, Hashes, Positions, Positions]:
    longest = 0
    for unit in range(starts.size):
        longest = max(longest, ends[unit] - starts[unit])
    target = np.empty(longest * 3 // 2 + 96, dtype=np.uint8)
    state, words = np.empty(5, dtype=np.uint32), np.empty(80, dtype=np.uint32)
    keys, checks = np.empty(starts.size, dtype=np.uint64), np.empty(starts.size, dtype=np.uint64)
    places, odd = np.empty(starts.size, dtype=np.int64), np.empty(starts.size, dtype=np.int64)
    filled = odd_units = 0
    for unit in range(starts.size):
        first, last = strip(data, starts[unit], ends[unit], flags)
        if last - first < least or count_code_points(data, first, last) < least:
            continue
        is_odd = False
        if form == _EXACT:
            first, last = starts[unit], ends[unit]
        if form <= 1:
            size = last - first
            target[:size] = data[first:last]
        elif form == _LOOSE:
            size = normalise(data, first, last, _LOOSELY, flags, mapped, target)
        else:
            size, is_odd = _map_code_points(data, first, last, mapped, target)
        if is_odd:
            odd[odd_units] = filled
            odd_units += 1
        if sha1:
            keys[filled], checks[filled] = _sha1_prefix(target, size, state, words), np.uint64(0)
        else:
            keys[filled], checks[filled] = hash128(target, size, np.uint64(0))
        places[filled] = unit
        filled += 1
    return keys[:filled], checks[:filled], places[:filled], odd[:odd_units]


def unit_keys(
    data: Bytes, starts: Positions, ends: Positions, form: int, sha1: bool, least: int
) -> tuple[Hashes, Hashes, Positions]:
    """Hashes of units in the form in which they are compared.

    Args:
        data: UTF-8 bytes.
        starts, ends: byte ranges of the units.
        form: a value of `FORMS`.
        sha1: give the first 8 bytes of SHA-1 as the key and 0 as the check, in place of both halves of `hash128`.
        least: fewest code points of a unit, without white space at its ends; those with fewer are left out.

    Returns:
        Keys, checks, and which of the units they belong to.
    """
    flags, lower = tables()
    mapped = lower if form == _LOOSE else form_map(form)
    keys, checks, places, odd = _unit_keys(data, starts, ends, form, sha1, least, flags, mapped)
    if len(odd):
        # what Python makes of them is in lower case, and stays as it is when it is lowered again
        units = places[odd]
        texts = [
            bytes(data[start:end]).decode().strip().lower().encode()
            for start, end in zip(starts[units].tolist(), ends[units].tolist(), strict=True)
        ]
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        lowered = np.frombuffer(bytearray(b"".join(texts)), dtype=np.uint8)
        keys[odd], checks[odd], _, _ = _unit_keys(lowered, offsets[:-1], offsets[1:], form, sha1, 0, flags, mapped)
    return keys, checks, places


def form_plainly(text: str, form: int) -> str:
    """A unit in the form in which it is compared."""
    if form == _EXACT:
        return text
    text = text.strip()
    if form == _LOOSE:
        return normalise_plainly(text, _LOOSELY)
    if form >= _LOWERCASE:
        text = text.lower()
    if form == _CCNET:
        text = _CCNET_PATTERN.sub("", re.sub(r"\d", "0", text))
    return text


def unit_key_plainly(text: str, form: int, sha1: bool) -> tuple[int, int]:
    """Key and check that `unit_keys` gives for a unit."""
    data = form_plainly(text, form).encode()
    if sha1:
        return int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest()[:8], "little"), 0
    return hash128_plainly(data)
