"""Word boundaries of UAX #29 (Unicode Text Segmentation §4.1), compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages import uax29_classes as wb
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, int64
from gristmill.stages.unicode_tables import ALPHANUMERIC, WHITESPACE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

_CLASS = wb.CLASS_MASK
_ASCII_WORD = wb.ASCII_WORD
_ASCII_WORD_BIT = wb.ASCII_WORD.bit_length() - 1
_UNDERSCORE = wb.ASCII_WORD | wb.EXTEND_NUM_LET
_PICTOGRAPH = wb.PICTOGRAPH
_CR, _LF, _NEWLINE, _ZWJ = wb.CR, wb.LF, wb.NEWLINE, wb.ZWJ
_EXTEND, _FORMAT, _REGIONAL, _KATAKANA = wb.EXTEND, wb.FORMAT, wb.REGIONAL_INDICATOR, wb.KATAKANA
_HEBREW, _LETTER, _NUMERIC, _CONNECTOR = wb.HEBREW_LETTER, wb.A_LETTER, wb.NUMERIC, wb.EXTEND_NUM_LET
_SINGLE_QUOTE, _DOUBLE_QUOTE = wb.SINGLE_QUOTE, wb.DOUBLE_QUOTE
_MID_NUM_LET, _MID_LETTER, _MID_NUM, _SPACE = wb.MID_NUM_LET, wb.MID_LETTER, wb.MID_NUM, wb.W_SEG_SPACE


@njit("boolean(int64)", inline=True)
def _is_skipped(found: int) -> bool:
    """WB4: what belongs to the character before it."""
    return found in (_EXTEND, _FORMAT, _ZWJ)


@njit("boolean(int64)", inline=True)
def _is_letter(found: int) -> bool:
    return found in (_LETTER, _HEBREW)


@njit("boolean(int64)", inline=True)
def _joins_letters(found: int) -> bool:
    return found in (_MID_LETTER, _MID_NUM_LET, _SINGLE_QUOTE)


@njit("boolean(int64)", inline=True)
def _joins_numbers(found: int) -> bool:
    return found in (_MID_NUM, _MID_NUM_LET, _SINGLE_QUOTE)


@njit("int64(uint8[::1], int64, int64, uint8[::1])")
def _next_class(data: Bytes, position: int, end: int, classes: Bytes) -> int:
    """Class of the first character from `position` on that WB4 does not skip; OTHER at the end."""
    while position < end:
        point, size = code_point_at(data, position)
        found: int = classes[point] & _CLASS
        if not _is_skipped(found):
            return found
        position += size
    return 0


@njit("boolean(int64, int64, int64, boolean)")
def _joined(before: int, previous: int, current: int, odd_indicators: bool) -> bool:
    """WB5 to WB16, those that look no further than the current character."""
    if _is_letter(current):
        if _is_letter(previous) or previous in (_NUMERIC, _CONNECTOR):
            return True
        if previous == _DOUBLE_QUOTE:
            return before == _HEBREW and current == _HEBREW
        return _is_letter(before) and _joins_letters(previous)
    if current == _NUMERIC:
        if _is_letter(previous) or previous in (_NUMERIC, _CONNECTOR):
            return True
        return before == _NUMERIC and _joins_numbers(previous)
    if current == _KATAKANA:
        return previous in (_KATAKANA, _CONNECTOR)
    if current == _CONNECTOR:
        return _is_letter(previous) or previous in (_NUMERIC, _KATAKANA, _CONNECTOR)
    if current == _SINGLE_QUOTE and previous == _HEBREW:
        return True
    return current == _REGIONAL and previous == _REGIONAL and odd_indicators


@njit("boolean(int64, int64, uint8[::1], int64, int64, uint8[::1])")
def _joins_ahead(previous: int, current: int, data: Bytes, position: int, end: int, classes: Bytes) -> bool:
    """WB6, WB7b and WB12: the character after the current one, which begins at `position` or later, decides."""
    if _is_letter(previous) and _joins_letters(current):
        return _is_letter(_next_class(data, position, end, classes))
    if previous == _NUMERIC and _joins_numbers(current):
        return _next_class(data, position, end, classes) == _NUMERIC
    if previous == _HEBREW and current == _DOUBLE_QUOTE:
        return _next_class(data, position, end, classes) == _HEBREW
    return False


@njit("int64(uint8[::1], int64, int64, boolean, uint8[::1], uint8[::1], int64[::1], int64[::1])")
def split_uax29(
    data: Bytes,
    begin: int,
    end: int,
    alphanumeric: bool,
    flags: Bytes,
    classes: Bytes,
    starts: Positions,
    ends: Positions,
) -> int:
    """Segments between the word boundaries of a document, without those that are all whitespace; returns how many.

    Args:
        data, begin, end, flags, starts, ends: see `text_kernels`.
        alphanumeric: leave out segments whose first character is not alphanumeric, too (punctuation, symbols).
        classes: of `uax29_classes.word_break_classes`.
    """
    words = 0
    position = begin
    start = begin
    wanted = False  # the segment is one to give
    before = previous = raw = 0  # classes: `raw` of the character just before, the others without what WB4 skips
    odd_indicators = False
    while position < end:
        point, size = code_point_at(data, position)
        entry = int64(classes[point])
        current = entry & _CLASS
        if position == begin:
            joined = False
        elif (raw == _CR and current == _LF) or (raw == _ZWJ and entry & _PICTOGRAPH) or (raw == _SPACE and current == _SPACE):
            joined = True
        elif 1 <= raw <= _NEWLINE or 1 <= current <= _NEWLINE:
            joined = False
        elif _is_skipped(current) or _joined(before, previous, current, odd_indicators):
            joined = True
        else:
            joined = _joins_ahead(previous, current, data, position + size, end, classes)
        if not joined:
            if wanted:
                starts[words] = start
                ends[words] = position
                words += 1
            start = position
            wanted = flags[point] & (ALPHANUMERIC if alphanumeric else WHITESPACE) != 0
            wanted = wanted == alphanumeric
        elif not alphanumeric and not flags[point] & WHITESPACE:
            wanted = True
        if not _is_skipped(current) or 1 <= raw <= _NEWLINE or position == begin:
            odd_indicators = current == _REGIONAL and not (previous == _REGIONAL and odd_indicators)
            before = previous
            previous = current
        raw = current
        position += size
        if not (entry & _ASCII_WORD and wanted):
            continue
        # Most of most texts passes here: ASCII words with single spaces between them. No branch at the ends of words, since their
        # length cannot be predicted: the span is written at every byte, and their number moves on
        inside = 1
        while position < end:
            entry = int64(classes[data[position]])  # a byte of another character has no flag ASCII_WORD
            now = (entry & _ASCII_WORD) >> _ASCII_WORD_BIT
            going_on = (now & (inside | int64(entry != _UNDERSCORE))) | (inside & int64(data[position] == 0x20))
            if not going_on:
                break
            starts[words] = start
            ends[words] = position
            words += inside & ~now
            start += (position - start) * (now ^ inside)
            inside = now
            position += 1
        previous = raw = int64(classes[data[position - 1]]) & _CLASS
        wanted = inside != 0
    if wanted:
        starts[words] = start
        ends[words] = end
        words += 1
    return words
