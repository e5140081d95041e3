"""Compiled kernels that walk UTF-8 text: code points, hashes, words and segments of one document at a time.

All of them take `data`, the UTF-8 bytes of a whole batch (uint8), and the byte range [begin, end) of one document in it; the text
is valid UTF-8, as Arrow's strings are. Spans are written as byte positions into `starts` and `ends`, which have room for one span
a byte and one more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from gristmill.stages.byte_masks import ONE, address, between, first_bits, lowest
from gristmill.stages.numba_cache import njit
from gristmill.stages.unicode_tables import WHITESPACE, WORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

STRIPPED_LINES = 0
"""Split at every newline, whitespace stripped from both ends, empty lines left out."""
ALL_LINES = 1
"""Split at every newline; empty lines count."""
NEWLINE_RUNS = 2
"""Split at every run of newlines; empty only before a leading and after a trailing run."""
SPLITLINES = 3
"""`str.splitlines`."""
STRIPPED_PARAGRAPHS = 4
"""Split at every two newlines, whitespace stripped from both ends, empty paragraphs left out."""
BLANK_LINE_RUNS = 5
"""The stripped text split at every run of two or more newlines."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_NEWLINE, _CARRIAGE_RETURN = 10, 13
_IN_ASCII_WORD = np.array([byte < 0x80 and not chr(byte).isspace() for byte in range(256)])


int64 = cast("Callable[[Any], int]", np.int64)
"""A signed number of what may be unsigned: Numba adds the two kinds up to a float. For the type checker it is an int."""


@intrinsic
def _load8(_typing: Any, data: Any, position: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, position), generate


load8 = cast("Callable[[Bytes, int], np.uint64]", _load8)
"""The 8 bytes from a position on as one uint64, whatever its alignment; the caller sees to it that they exist."""


@njit("UniTuple(int64, 2)(uint8[::1], int64)", inline=True)
def code_point_at(data: Bytes, position: int) -> tuple[int, int]:
    """The code point that begins at a byte, and how many bytes it takes."""
    first = int64(data[position])
    if first < 0x80:
        return first, 1
    second = int64(data[position + 1]) & 0x3F
    if first < 0xE0:
        return ((first & 0x1F) << 6) | second, 2
    third = int64(data[position + 2]) & 0x3F
    if first < 0xF0:
        return ((first & 0x0F) << 12) | (second << 6) | third, 3
    return ((first & 0x07) << 18) | (second << 12) | (third << 6) | (int64(data[position + 3]) & 0x3F), 4


@njit("int64(uint8[::1], int64)", inline=True)
def code_point_start_before(data: Bytes, position: int) -> int:
    """Where the code point begins that ends just before `position`."""
    position -= 1
    while data[position] & 0xC0 == 0x80:
        position -= 1
    return position


@njit("int64(uint8[::1], int64, int64)", inline=True)
def append_code_point(target: Bytes, size: int, point: int) -> int:
    """Write a code point as UTF-8; returns the new size."""
    if point < 0x80:
        target[size] = point
        return size + 1
    if point < 0x800:
        target[size] = 0xC0 | (point >> 6)
        target[size + 1] = 0x80 | (point & 0x3F)
        return size + 2
    if point < 0x10000:
        target[size] = 0xE0 | (point >> 12)
        target[size + 1] = 0x80 | ((point >> 6) & 0x3F)
        target[size + 2] = 0x80 | (point & 0x3F)
        return size + 3
    target[size] = 0xF0 | (point >> 18)
    target[size + 1] = 0x80 | ((point >> 12) & 0x3F)
    target[size + 2] = 0x80 | ((point >> 6) & 0x3F)
    target[size + 3] = 0x80 | (point & 0x3F)
    return size + 4


@njit("boolean(uint8[::1], int64, int64)")
def is_ascii(data: Bytes, begin: int, end: int) -> bool:
    """Whether all bytes are below 0x80."""
    position = begin
    bits = np.uint64(0)
    while position + 8 <= end:
        bits |= load8(data, position)
        position += 8
    while position < end:
        bits |= np.uint64(data[position])
        position += 1
    return bool((bits & np.uint64(0x8080808080808080)) == np.uint64(0))


@njit("int64(uint8[::1], int64, int64)", inline=True)
def count_code_points(data: Bytes, begin: int, end: int) -> int:
    """Code points in [begin, end): bytes that do not continue one (10xxxxxx), eight at a time."""
    count = end - begin
    position = begin
    while position < end and position + 8 <= data.size:
        word = load8(data, position)
        if end - position < 8:
            word &= (np.uint64(1) << np.uint64(8 * (end - position))) - np.uint64(1)
        continuing = (word >> np.uint64(7)) & (~word >> np.uint64(6)) & np.uint64(0x0101010101010101)
        count -= int64((continuing * np.uint64(0x0101010101010101)) >> np.uint64(56))  # the eight bytes added up
        position += 8
    while position < end:
        count -= data[position] & 0xC0 == 0x80
        position += 1
    return count


@njit("uint64(uint8[::1], int64, int64)", inline=True)
def hash_bytes(data: Bytes, begin: int, end: int) -> np.uint64:
    """A 64-bit hash of [begin, end).

    One to one for strings of the same length up to 8 bytes; for longer ones two different strings of a document share a hash with
    a chance of about 2^-64 a pair and would then be counted as the same word or line.
    """
    hashed = np.uint64(end - begin) * _MULTIPLIER
    position = begin
    while position + 8 <= end:
        hashed = (hashed ^ load8(data, position)) * _MULTIPLIER
        hashed ^= hashed >> np.uint64(29)
        position += 8
    rest = end - position
    if rest > 0:
        if position + 8 <= data.size:
            tail = load8(data, position) & ((np.uint64(1) << np.uint64(8 * rest)) - np.uint64(1))
        else:
            tail = np.uint64(0)
            for index in range(rest):
                tail |= np.uint64(data[position + index]) << np.uint64(8 * index)
        hashed = (hashed ^ tail) * _MULTIPLIER
        hashed ^= hashed >> np.uint64(29)
    return hashed


@njit("uint64(uint8[::1], int64, int64)", inline=True)
def hash_word(data: Bytes, begin: int, end: int) -> np.uint64:
    """What `hash_bytes` computes; sooner for what is not empty and has at most 8 bytes, as most words have."""
    size = end - begin
    if size <= 8 and begin + 8 <= data.size:
        packed = load8(data, begin) & (np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - 8 * size))
        hashed = ((np.uint64(size) * _MULTIPLIER) ^ packed) * _MULTIPLIER
        return hashed ^ (hashed >> np.uint64(29))
    return hash_bytes(data, begin, end)


@njit("int64(uint8[::1], int64, int64, uint8[::1], int64[::1], int64[::1])")
def split_at_whitespace(data: Bytes, begin: int, end: int, flags: Bytes, starts: Positions, ends: Positions) -> int:
    """Words as `str.split` finds them; returns how many."""
    # Both arrays are written at every character and the counts move on at a word's ends: no branch there, since the length of a
    # word cannot be predicted
    opened = closed = inside = 0
    position = begin
    while position < end:
        byte = data[position]
        now = int64(_IN_ASCII_WORD[byte])
        size = 1
        if byte >= 0x80:
            point, size = code_point_at(data, position)
            now = int64(flags[point] & WHITESPACE == 0)
        starts[opened] = position
        opened += now & ~inside
        ends[closed] = position
        closed += inside & ~now
        inside = now
        position += size
    if inside:
        ends[closed] = end
    return opened


@njit("int64(uint8[::1], int64, int64, uint8[::1], int64[::1], int64[::1])")
def split_words_and_punctuation(data: Bytes, begin: int, end: int, flags: Bytes, starts: Positions, ends: Positions) -> int:
    r"""Words as the pattern `\w+|[^\w\s]+` finds them; returns how many."""
    words = 0
    kind = 0
    position = begin
    while position < end:
        point, size = code_point_at(data, position)
        found = flags[point] & (WORD | WHITESPACE)  # neither: punctuation and the like
        if found & WHITESPACE:
            if kind:
                ends[words - 1] = position
            kind = 0
        else:
            now = 2 if found else 1
            if now != kind:
                if kind:
                    ends[words - 1] = position
                starts[words] = position
                words += 1
                kind = now
        position += size
    if kind:
        ends[words - 1] = end
    return words


@njit("UniTuple(int64, 2)(uint8[::1], int64, int64, uint8[::1])", inline=True)
def strip(data: Bytes, begin: int, end: int, flags: Bytes) -> tuple[int, int]:
    """The range without whitespace at its ends, as `str.strip` does it; empty ranges have begin == end."""
    while begin < end:
        point, size = code_point_at(data, begin)
        if not flags[point] & WHITESPACE:
            break
        begin += size
    while begin < end:
        last = code_point_start_before(data, end)
        point, _ = code_point_at(data, last)
        if not flags[point] & WHITESPACE:
            break
        end = last
    return begin, end


@njit("int64(uint8[::1], int64, int64)")
def find_newline(data: Bytes, begin: int, end: int) -> int:
    """Position of the first newline in [begin, end), `end` where there is none."""
    position = begin
    ones, highs = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
    while position + 8 <= end:
        # a byte of `zeros` is 0 exactly where the text has a newline; the expression below is not 0 if there is such a byte
        zeros = load8(data, position) ^ (ones * np.uint64(_NEWLINE))
        if (zeros - ones) & ~zeros & highs:
            break
        position += 8
    while position < end and data[position] != _NEWLINE:
        position += 1
    return position


@njit("UniTuple(int64, 2)(uint8[::1], int64, int64)")
def find_line_boundary(data: Bytes, begin: int, end: int) -> tuple[int, int]:
    """First line boundary of `str.splitlines` in [begin, end): where it begins and ends; (end, end) where there is none."""
    for block in range(begin, end, 64):
        at, left = address(data, block), data.size - block
        found = between(at, left, 10, 13) | between(at, left, 28, 30)
        found |= between(at, left, 0xC2, 0xC2) | between(at, left, 0xE2, 0xE2)  # first bytes of U+0085, U+2028, U+2029
        found &= first_bits(end - block)
        while found:
            position = block + lowest(found)
            found &= found - ONE
            byte = data[position]
            if byte < 0x80:
                pair = byte == _CARRIAGE_RETURN and position + 1 < end and data[position + 1] == _NEWLINE
                return position, position + (2 if pair else 1)
            point, size = code_point_at(data, position)
            if point == 0x85 or point == 0x2028 or point == 0x2029:
                return position, position + size
    return end, end


@njit("int64(uint8[::1], int64, int64, int64, uint8[::1], int64[::1], int64[::1])")
def split_segments(data: Bytes, begin: int, end: int, kind: int, flags: Bytes, starts: Positions, ends: Positions) -> int:
    """Lines or paragraphs of a kind named above; returns how many."""
    segments = 0
    if kind == SPLITLINES:
        while begin < end:
            starts[segments] = begin
            ends[segments], begin = find_line_boundary(data, begin, end)
            segments += 1
        return segments
    if kind == BLANK_LINE_RUNS:
        begin, end = strip(data, begin, end, flags)
    needed = 2 if kind >= STRIPPED_PARAGRAPHS else 1
    position = begin
    while True:
        stop = find_newline(data, position, end)
        after = stop + 1
        if kind != ALL_LINES and kind != STRIPPED_LINES:
            while after < end and data[after] == _NEWLINE:
                after += 1
            if after - stop < needed and stop < end:
                position = after
                continue
        first, last = begin, stop
        if kind in (STRIPPED_LINES, STRIPPED_PARAGRAPHS):
            first, last = strip(data, begin, stop, flags)
        if first < last or kind not in (STRIPPED_LINES, STRIPPED_PARAGRAPHS):
            starts[segments] = first
            ends[segments] = last
            segments += 1
        if stop >= end:
            return segments
        begin = position = after
