"""Compiled kernels for what C4 looks for in pages and lines: phrases and `{`; and what its rules on pages bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.byte_masks import ONE, address, between, first_bits, lowest, ones
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import count_code_points, find_newline, load8, strip

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

_PHRASES = ["lorem ipsum", "javascript", "terms of use", "privacy policy"]
_PHRASES += ["cookie policy", "uses cookies", "use of cookies", "use cookies"]
PHRASES = tuple(_PHRASES)
POLICY_PHRASES = PHRASES[2:]
_LOREM, _SCRIPT, _TERMS, _PRIVACY, _COOKIES = 0, 1, 2, 3, 4
_PHRASE_BYTES = np.frombuffer("".join(PHRASES).encode(), dtype=np.uint8)
_PHRASE_OFFSETS = np.cumsum([0, *map(len, PHRASES)])
_AT_K = np.array([phrase.index("k") for phrase in PHRASES[_COOKIES:]])

HAS_LOREM_IPSUM, HAS_JAVASCRIPT, HAS_POLICY, HAS_BRACE = 1, 2, 4, 8

_TRIGGERS = np.array([chr(byte) in "jJmMvVkK{" or byte == 0xE2 for byte in range(256)])


@njit("boolean(uint8[::1], int64)", inline=True)
def _kelvin_sign(data: Bytes, position: int) -> bool:
    """Whether the one character beyond ASCII stands there whose lower case is an ASCII letter (k) by itself."""
    return bool(data[position] == 0xE2 and data[position + 1] == 0x84 and data[position + 2] == 0xAA)


@njit("boolean(uint8[::1], int64, int64, int64, int64)")
def _says(data: Bytes, begin: int, position: int, end: int, phrase: int) -> bool:
    """Whether the lower-cased line [begin, end) has the phrase at `position`, which may lie before the line."""
    if position < begin:
        return False
    for index in range(_PHRASE_OFFSETS[phrase], _PHRASE_OFFSETS[phrase + 1]):
        if position >= end:
            return False
        byte = data[position]
        if 65 <= byte <= 90:
            byte |= 0x20
        if byte == _PHRASE_BYTES[index]:
            position += 1
        elif _PHRASE_BYTES[index] == 0x6B and _kelvin_sign(data, position):
            position += 3
        else:
            return False
    return True


@njit("int64(uint8[::1], int64, int64)")
def find_phrases(data: Bytes, begin: int, end: int) -> int:
    """Which of lorem ipsum, javascript, the policy phrases and `{` are in [begin, end); the HAS_ numbers added up."""
    found = 0
    for position in range(begin, end):
        byte = data[position]
        if not _TRIGGERS[byte]:
            continue
        small = byte | 0x20
        if byte == 0x7B:
            found |= HAS_BRACE
        elif small == 0x6A:  # j
            if _says(data, begin, position, end, _SCRIPT):
                found |= HAS_JAVASCRIPT
        elif small == 0x6D:  # m
            if _says(data, begin, position - 4, end, _LOREM):
                found |= HAS_LOREM_IPSUM
            elif _says(data, begin, position - 3, end, _TERMS):
                found |= HAS_POLICY
        elif small == 0x76:  # v
            if _says(data, begin, position - 3, end, _PRIVACY):
                found |= HAS_POLICY
        elif small == 0x6B or _kelvin_sign(data, position):
            for phrase in range(_AT_K.size):
                if _says(data, begin, position - _AT_K[phrase], end, _COOKIES + phrase):
                    found |= HAS_POLICY
    return found


_ONES, _HIGHS, _SMALL = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080), np.uint64(0x2020202020202020)
# four characters of each phrase that hardly any other text has, each eight times
_RARE = np.array(
    [int.from_bytes([byte] * 8, "little") for part in ("java", "m ip", "cy p", "okie", "f us") for byte in part.encode()],
    dtype=np.uint64,
)
_BRACES, _E2, _84 = np.uint64(0x7B7B7B7B7B7B7B7B), np.uint64(0xE2E2E2E2E2E2E2E2), np.uint64(0x8484848484848484)


@njit("uint64(uint64)", inline=True)
def _zero_bytes(word: np.uint64) -> np.uint64:
    """Not 0 exactly where one of the eight bytes is 0."""
    return (word - _ONES) & ~word & _HIGHS


@njit("boolean(uint8[::1], int64, int64)")
def may_have_phrases(data: Bytes, begin: int, end: int) -> bool:
    """Whether rare letters of a phrase, or a brace, are in [begin, end), eight places at a time; sometimes true where none is."""
    if end + 12 > data.size:
        return True
    for position in range(begin, end, 8):
        found = _zero_bytes(load8(data, position) ^ _BRACES)
        first, second = load8(data, position) | _SMALL, load8(data, position + 1) | _SMALL
        third, fourth = load8(data, position + 2) | _SMALL, load8(data, position + 3) | _SMALL
        for part in range(0, 20, 4):
            unlike = (first ^ _RARE[part]) | (second ^ _RARE[part + 1]) | (third ^ _RARE[part + 2]) | (fourth ^ _RARE[part + 3])
            found |= _zero_bytes(unlike)
        # a Kelvin sign begins with E2 84; so do others, which are rare enough
        found |= _zero_bytes((load8(data, position) ^ _E2) | (load8(data, position + 1) ^ _84))
        if found:
            return True
    return False


LOREM_IPSUM, BRACES, PAGE_CHARS = 0, 1, 2
"""Columns of `page_counts`."""


@njit("int64[:, ::1](uint8[::1], int64[::1], uint8[::1])")
def page_counts(data: Bytes, offsets: Positions, flags: Bytes) -> NDArray[np.int64]:
    """What the page rules bound: occurrences of lorem ipsum and of `{`, and characters of the lines that are not blank.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        flags: the table of `unicode_tables`.

    Returns:
        Shape (n_documents, 3). Lines are stripped and joined by one newline each for the characters.
    """
    result = np.zeros((offsets.size - 1, 3), dtype=np.int64)
    for row in range(offsets.size - 1):
        begin, end = offsets[row], offsets[row + 1]
        braces = ipsum = 0
        for block in range(begin, end, 64):
            at, left = address(data, block), data.size - block
            inside = first_bits(end - block)
            braces += ones(inside & between(at, left, 0x7B, 0x7B))
            # the m that ends lorem, and the space after it
            found = inside & (between(at, left, 0x4D, 0x4D) | between(at, left, 0x6D, 0x6D))
            found &= between(at + 1, left - 1, 0x20, 0x20)
            while found:
                ipsum += _says(data, begin, block + lowest(found) - 4, end, _LOREM)
                found &= found - ONE
        chars = 0
        while begin < end:
            line_end = find_newline(data, begin, end)
            first, last = strip(data, begin, line_end, flags)
            if first < last:
                chars += count_code_points(data, first, last) + (chars > 0)
            begin = line_end + 1
        result[row, LOREM_IPSUM] = ipsum
        result[row, BRACES] = braces
        result[row, PAGE_CHARS] = chars
    return result
