"""A compiled kernel that marks the words of a document, a bit a byte, 64 bytes at a time.

Text of ASCII characters takes a few instructions for 64 bytes. Around other characters, from one space to the next, the splitters
of `text_kernels` and `uax29_kernel` step in, which go from character to character.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.byte_masks import ALL, NONE, ONE, address, ascii_space, between, first_bits, letters, lowest, ones
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import split_at_whitespace, split_words_and_punctuation
from gristmill.stages.uax29_kernel import split_uax29

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Masks = NDArray[np.uint64]

WHITESPACE_WORDS = 0
WORDPUNCT_WORDS = 1
UAX29_WORDS = 2
UAX29_ALPHANUMERIC_WORDS = 3

FIRSTS, INSIDES, LASTS = 0, 1, 2
"""Rows of the marks: first bytes of words, all their bytes, last bytes."""

_TOP = np.uint64(63)
_BLANK, _NEWLINE = 0x20, 0x0A


@njit("int64(uint8[::1], int64, int64, int64, uint8[::1], uint8[::1], int64[::1], int64[::1])")
def split_by_character(
    data: Bytes, begin: int, end: int, splitter: int, flags: Bytes, classes: Bytes, starts: Positions, ends: Positions
) -> int:
    """Words of one document by the splitter of that number; returns how many. Arguments as in `text_kernels`."""
    if splitter == WHITESPACE_WORDS:
        return split_at_whitespace(data, begin, end, flags, starts, ends)
    if splitter == WORDPUNCT_WORDS:
        return split_words_and_punctuation(data, begin, end, flags, starts, ends)
    return split_uax29(data, begin, end, splitter == UAX29_ALPHANUMERIC_WORDS, flags, classes, starts, ends)


@njit("UniTuple(uint64, 3)(int64, int64)", inline=True)
def _word_characters(at: int, left: int) -> tuple[np.uint64, np.uint64, np.uint64]:
    r"""ASCII letters, ASCII digits, and both with the underscore: the ASCII part of `\w`."""
    alphabetic, digits = letters(at, left), between(at, left, 0x30, 0x39)
    return alphabetic, digits, alphabetic | digits | between(at, left, 0x5F, 0x5F)


@njit("uint64(int64, int64, uint64, uint64, uint64, uint64, uint64, uint64)", inline=True)
def _joints(
    at: int,
    left: int,
    letter: np.uint64,
    letter_before: np.uint64,
    letter_after: np.uint64,
    digit: np.uint64,
    digit_before: np.uint64,
    digit_after: np.uint64,
) -> np.uint64:
    """WB6, WB7, WB11, WB12 for ASCII: `'` and `.` between letters or between digits, `:` between letters, `,` and `;` between
    digits; `before` and `after` hold the last bit of the block before and the first one of the block after."""
    both = between(at, left, 0x27, 0x27) | between(at, left, 0x2E, 0x2E)
    colons = between(at, left, 0x3A, 0x3A)
    commas = between(at, left, 0x2C, 0x2C) | between(at, left, 0x3B, 0x3B)
    between_letters = ((letter << ONE) | letter_before) & ((letter >> ONE) | (letter_after << _TOP))
    between_digits = ((digit << ONE) | digit_before) & ((digit >> ONE) | (digit_after << _TOP))
    return (between_letters & (both | colons)) | (between_digits & (both | commas))


@njit("boolean(uint8[::1], int64, int64, int64, uint64[:, ::1])")
def _mark_ascii(data: Bytes, begin: int, end: int, splitter: int, marks: Masks) -> bool:
    """Mark the words as if all characters were ASCII, all but their last bytes; returns whether something else is there."""
    blocks = (end - begin + 63) >> 6
    other = carry = carry_other = letter_before = digit_before = NONE
    letter, digit, word = NONE, NONE, NONE
    if blocks:
        letter, digit, word = _word_characters(address(data, begin), data.size - begin)
    for block in range(blocks):
        position = begin + 64 * block
        at, left = address(data, position), data.size - position
        inside = first_bits(end - position)
        space = ascii_space(at, left)
        beyond = between(at, left, 0x80, 0xFF) & inside
        if splitter == WHITESPACE_WORDS:
            found = ~space & inside
            marks[FIRSTS, block] = found & ~((found << ONE) | carry)
            marks[INSIDES, block] = found
            carry = found >> _TOP
            other |= beyond
            continue
        next_letter, next_digit, next_word = NONE, NONE, NONE
        if block + 1 < blocks:
            next_letter, next_digit, next_word = _word_characters(at + 64, left - 64)
        found = word
        if splitter != WORDPUNCT_WORDS:
            letter, digit = letter & inside, digit & inside
            after = first_bits(end - position - 64)
            found |= _joints(
                at, left, letter, letter_before, next_letter & after & ONE, digit, digit_before, next_digit & after & ONE
            )
            letter_before, digit_before = letter >> _TOP, digit >> _TOP
        found &= inside
        punctuation = ~(space | found) & inside
        firsts = found & ~((found << ONE) | carry)
        if splitter == WORDPUNCT_WORDS:
            marks[FIRSTS, block] = firsts | (punctuation & ~((punctuation << ONE) | carry_other))
            marks[INSIDES, block] = found | punctuation
            carry_other = punctuation >> _TOP
        elif splitter == UAX29_WORDS:
            marks[FIRSTS, block] = firsts | punctuation
            marks[INSIDES, block] = found | punctuation
        else:
            # a word that begins with an underscore is none, however it goes on
            other |= firsts & ~(letter | digit)
            marks[FIRSTS, block] = firsts
            marks[INSIDES, block] = found
        carry = found >> _TOP
        other |= beyond
        letter, digit, word = next_letter, next_digit, next_word
    return bool(other != NONE)


@njit("void(uint64[:, ::1], int64, int64)", inline=True)
def _clear(marks: Masks, first: int, last: int) -> None:
    """Take the marks of the bytes [first, last) away."""
    for block in range(first >> 6, (last + 63) >> 6):
        kept = ~(ALL << np.uint64(max(first - 64 * block, 0))) | ~first_bits(last - 64 * block)
        marks[FIRSTS, block] &= kept
        marks[INSIDES, block] &= kept


@njit("void(uint64[:, ::1], int64, int64)", inline=True)
def _mark(marks: Masks, first: int, last: int) -> None:
    """Mark the word [first, last)."""
    marks[FIRSTS, first >> 6] |= ONE << np.uint64(first & 63)
    for block in range(first >> 6, (last + 63) >> 6):
        marks[INSIDES, block] |= (ALL << np.uint64(max(first - 64 * block, 0))) & first_bits(last - 64 * block)


@njit("boolean(uint8[::1], int64)", inline=True)
def _may_part(data: Bytes, position: int) -> bool:
    """Whether what stands before never matters for the words from `position` on: it is an ASCII character after a space."""
    before, here = data[position - 1], data[position]
    return bool((before in (_BLANK, _NEWLINE)) and here < 0x80 and here != _BLANK)


@njit("void(uint8[::1], int64, int64, int64, uint8[::1], uint8[::1], uint64[:, ::1], int64[::1], int64[::1])")
def _mark_others(
    data: Bytes,
    begin: int,
    end: int,
    splitter: int,
    flags: Bytes,
    classes: Bytes,
    marks: Masks,
    starts: Positions,
    ends: Positions,
) -> None:
    """Mark the words anew around what `_mark_ascii` cannot tell."""
    done = begin
    for block in range((end - begin + 63) >> 6):
        position = begin + 64 * block
        at, left = address(data, position), data.size - position
        other = between(at, left, 0x80, 0xFF)
        if splitter == UAX29_ALPHANUMERIC_WORDS:
            other |= between(at, left, 0x5F, 0x5F)
        other &= first_bits(end - position)
        while other:
            first = position + lowest(other)
            other &= other - ONE
            if first < done:
                continue
            last = first + 1
            while first > done and not _may_part(data, first):
                first -= 1
            while last < end and not _may_part(data, last):
                last += 1
            done = last
            _clear(marks, first - begin, last - begin)
            for word in range(split_by_character(data, first, last, splitter, flags, classes, starts, ends)):
                _mark(marks, starts[word] - begin, ends[word] - begin)


@njit("int64(uint8[::1], int64, int64, int64, uint8[::1], uint8[::1], uint64[:, ::1], int64[::1], int64[::1])")
def mark_words(
    data: Bytes,
    begin: int,
    end: int,
    splitter: int,
    flags: Bytes,
    classes: Bytes,
    marks: Masks,
    starts: Positions,
    ends: Positions,
) -> int:
    """Mark the words of one document by the splitter of that number.

    Args:
        data, begin, end, flags: see `text_kernels`.
        splitter: number of the splitter.
        classes: of `uax29_classes.word_break_classes`.
        marks: shape (3, at least n_bytes // 64 + 2): FIRSTS, INSIDES and LASTS, a bit a byte from `begin` on; written.
        starts, ends: room as for the spans of the document's words.

    Returns:
        How many words there are.
    """
    if _mark_ascii(data, begin, end, splitter, marks):
        _mark_others(data, begin, end, splitter, flags, classes, marks, starts, ends)
    words = 0
    blocks = (end - begin + 63) >> 6
    for block in range(blocks):
        going_on = (marks[INSIDES, block] & ~marks[FIRSTS, block]) >> ONE
        if block + 1 < blocks:
            going_on |= (marks[INSIDES, block + 1] & ~marks[FIRSTS, block + 1]) << _TOP
        marks[LASTS, block] = marks[INSIDES, block] & ~going_on
        words += ones(marks[FIRSTS, block])
    return words


@njit("uint64[:, ::1](int64)", inline=True)
def room_for_marks(size: int) -> Masks:
    """Room for the marks of documents of up to `size` bytes."""
    return np.empty((3, (size >> 6) + 2), dtype=np.uint64)


@njit("void(uint64[:, ::1], int64, int64, int64[::1], int64[::1])")
def write_spans(marks: Masks, begin: int, end: int, starts: Positions, ends: Positions) -> None:
    """Write where the words of a document begin and end that `mark_words` has marked."""
    opened = closed = 0
    for block in range((end - begin + 63) >> 6):
        position = begin + 64 * block
        firsts, lasts = marks[FIRSTS, block], marks[LASTS, block]
        while firsts:
            starts[opened] = position + lowest(firsts)
            firsts &= firsts - ONE
            opened += 1
        while lasts:
            ends[closed] = position + lowest(lasts) + 1
            lasts &= lasts - ONE
            closed += 1
