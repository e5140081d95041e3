"""Compiled kernels for short lines of web pages: counters (`3 likes`), and phrases to cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at
from gristmill.stages.unicode_tables import DECIMAL_DIGIT, WHITESPACE, WORD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Points = NDArray[np.int32]
    Positions = NDArray[np.int64]
    Rows = NDArray[np.int64]

ANYWHERE, AT_END, AT_START = 0, 1, 2
"""Where a phrase must stand to be cut, in the order in which DCLM cuts them."""

_COUNTED_WORDS = "likes shares comments retweets reposts quotes bookmarks upvotes downvotes downloads views followers"
COUNTED = tuple(_COUNTED_WORDS.split())
"""What counters count. [code: dclm]"""
_COUNTED_BYTES = np.frombuffer("".join(COUNTED).encode(), dtype=np.uint8)
_COUNTED_OFFSETS = np.cumsum([0, *map(len, COUNTED)])


@njit("boolean(uint8[::1], int64, int64, int64, uint8[::1])")
def has_more_words(data: Bytes, begin: int, end: int, most: int, flags: Bytes) -> bool:
    """Whether [begin, end) has more than so many words between white space; reads no further than it must."""
    words = 0
    inside = False
    position = begin
    while position < end and words <= most:
        point, size = code_point_at(data, position)
        space = flags[point] & WHITESPACE != 0
        words += not space and not inside
        inside = not space
        position += size
    return words > most


@njit("int64(uint8[::1], int64, int64, uint8[::1])", inline=True)
def _skip_no_word(data: Bytes, position: int, end: int, flags: Bytes) -> int:
    while position < end:
        point, size = code_point_at(data, position)
        if flags[point] & WORD:
            break
        position += size
    return position


@njit("boolean(uint8[::1], int64, int64, uint8[::1], int32[::1])")
def is_counter(data: Bytes, begin: int, end: int, flags: Bytes, lower: Points) -> bool:
    """Whether the line is a number and what it counts: `1,234 likes`, `* 5.5k views! *`."""
    position = _skip_no_word(data, begin, end, flags)
    if position == end:
        return False
    point, size = code_point_at(data, position)
    if not flags[point] & DECIMAL_DIGIT:
        return False
    while position < end:
        point, size = code_point_at(data, position)
        if not (flags[point] & DECIMAL_DIGIT or point == 0x2C or point == 0x2E):
            break
        position += size
    if position < end and (lower[point] == 0x6B or lower[point] == 0x6D or lower[point] == 0x62):  # k, m, b
        position += size
    spaces = position
    while position < end:
        point, size = code_point_at(data, position)
        if not flags[point] & WHITESPACE:
            break
        position += size
    if position == spaces:
        return False
    for word in range(_COUNTED_OFFSETS.size - 1):
        at, same = position, True
        for index in range(_COUNTED_OFFSETS[word], _COUNTED_OFFSETS[word + 1]):
            if at >= end:
                same = False
                break
            point, size = code_point_at(data, at)
            if lower[point] != _COUNTED_BYTES[index]:
                same = False
                break
            at += size
        if same:
            return _skip_no_word(data, at, end, flags) == end
    return False


@njit("int64(uint8[::1], int64, int64, boolean, int32[::1], int64[::1], int32[::1])")
def _phrase_at(data: Bytes, position: int, end: int, last: bool, phrases: Points, offsets: Positions, lower: Points) -> int:
    """Where the first of the phrases ends that stands at `position` (with `last`: up to the end); -1 where none does."""
    for phrase in range(offsets.size - 1):
        at, same = position, True
        for index in range(offsets[phrase], offsets[phrase + 1]):
            if at >= end:
                same = False
                break
            point, size = code_point_at(data, at)
            if lower[point] != phrases[index]:
                same = False
                break
            at += size
        if same and (at == end or not last):
            return at
    return -1


@njit("int64(uint8[::1], int64, int64, uint8[::1])", inline=True)
def _after_a_space(data: Bytes, position: int, end: int, flags: Bytes) -> int:
    """Behind the white space character at `position`, or `position` where there is none."""
    if position < end:
        point, size = code_point_at(data, position)
        if flags[point] & WHITESPACE:
            return position + size
    return position


@njit("int64(uint8[::1], int64, int64, int64, int32[::1], int64[::1], uint8[::1], int32[::1], int64[:, ::1])")
def find_phrases(
    data: Bytes, begin: int, end: int, where: int, phrases: Points, offsets: Positions, flags: Bytes, lower: Points, found: Rows
) -> int:
    """Byte ranges of the phrases in a line, each with one white space character on its side; returns how many."""
    count = 0
    position = begin
    while position < end:
        start = position if where == AT_START else _after_a_space(data, position, end, flags)
        stop = _phrase_at(data, start, end, where == AT_END, phrases, offsets, lower)
        if stop < 0 and start > position:
            stop = _phrase_at(data, position, end, where == AT_END, phrases, offsets, lower)
        if stop >= 0:
            if where == AT_START:
                stop = _after_a_space(data, stop, end, flags)
            found[count, 0] = position
            found[count, 1] = stop
            count += 1
            position = stop
        else:
            position += code_point_at(data, position)[1]
        if where == AT_START:
            break
    return count
