"""Compiled kernels that count and measure the words of a batch, by any of the splitters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import (
    code_point_at,
    count_code_points,
    int64,
    is_ascii,
    load8,
    split_at_whitespace,
    split_words_and_punctuation,
)
from gristmill.stages.uax29_kernel import split_uax29
from gristmill.stages.unicode_tables import ALPHANUMERIC, LETTER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

WHITESPACE_WORDS = 0
WORDPUNCT_WORDS = 1
UAX29_WORDS = 2
UAX29_ALPHANUMERIC_WORDS = 3

WORDS, CHARS, WITH_A_LETTER, WITH_A_SYMBOL, UNPUNCTUATED, UNPUNCTUATED_CHARS = 0, 1, 2, 3, 4, 5
STOP_WORDS, STOP_WORDS_ANY_CASE, DISTINCT_STOP_WORDS, DISTINCT_STOP_WORDS_ANY_CASE = 6, 7, 8, 9
STATISTICS = 10
"""Columns of `word_statistics`."""


_PARTS_FASTTEXT_WORDS = np.array([chr(byte) in " \n\r\t\v\f\0" for byte in range(256)], dtype=np.int64)
_ASCII_ALPHANUMERIC = np.array([byte < 0x80 and chr(byte).isalnum() for byte in range(256)], dtype=np.int64)


_STOP_WORDS = [int.from_bytes(word.encode(), "little") for word in ("the", "be", "to", "of", "and", "that", "have", "with")]
# found by trying: the multiplier whose top three bits part the eight words, so that one comparison decides
_STOP_WORD_MULTIPLIER = np.uint64(0x1CCDD34080E97F75)
_STOP_WORD_IN_SLOT = np.array(
    sorted(_STOP_WORDS, key=lambda word: word * int(_STOP_WORD_MULTIPLIER) % 2**64 >> 61), dtype=np.uint64
)
_SIZE_BYTES = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0], dtype=np.uint64)  # no stop word has more than 4 bytes
_CASE_BITS = np.uint64(0x20202020)


@njit("int64(uint8[::1], int64, int64, int64, uint8[::1], uint8[::1], int64[::1], int64[::1])")
def split_words(
    data: Bytes, begin: int, end: int, splitter: int, flags: Bytes, classes: Bytes, starts: Positions, ends: Positions
) -> int:
    """Words of one document by the splitter of that number; returns how many. Arguments as in `text_kernels`."""
    if splitter == WHITESPACE_WORDS:
        return split_at_whitespace(data, begin, end, flags, starts, ends)
    if splitter == WORDPUNCT_WORDS:
        return split_words_and_punctuation(data, begin, end, flags, starts, ends)
    return split_uax29(data, begin, end, splitter == UAX29_ALPHANUMERIC_WORDS, flags, classes, starts, ends)


@njit("int64(int64[::1])")
def longest_document(offsets: Positions) -> int:
    """Bytes of the longest document."""
    longest = 0
    for document in range(offsets.size - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    return longest


@njit("uint64(uint8[::1], int64)", inline=True)
def _eight_bytes(data: Bytes, begin: int) -> np.uint64:
    """Up to 8 bytes from `begin` on as a little-endian number."""
    if begin + 8 <= data.size:
        return load8(data, begin)
    packed = np.uint64(0)
    for index in range(data.size - begin):
        packed |= np.uint64(data[begin + index]) << np.uint64(8 * index)
    return packed


@njit("int64(int64)", inline=True)
def _bits(mask: int) -> int:
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


@njit("boolean(uint8[::1], int64, int64, uint8[::1], int64)", inline=True)
def _has_flag(data: Bytes, begin: int, end: int, flags: Bytes, flag: int) -> bool:
    while begin < end:
        point, size = code_point_at(data, begin)
        if flags[point] & flag:
            return True
        begin += size
    return False


@njit("boolean(uint8[::1], int64, int64, uint8[::1])", inline=True)
def _has_unmarked(data: Bytes, begin: int, end: int, marks: Bytes) -> bool:
    while begin < end:
        point, size = code_point_at(data, begin)
        if not marks[point]:
            return True
        begin += size
    return False


@njit("boolean(uint8[::1], int64, int64)")
def _has_symbol(data: Bytes, begin: int, end: int) -> bool:
    """Whether a hash sign or an ellipsis character (E2 80 A6) is in the word."""
    for position in range(begin, end):
        if data[position] == 0x23:
            return True
        if data[position] == 0xE2 and data[position + 1] == 0x80 and data[position + 2] == 0xA6:
            return True
    return False


@njit("boolean(uint8[::1], int64, int64)")
def _may_have_symbol(data: Bytes, begin: int, end: int) -> bool:
    """Whether a hash sign or what looks like an ellipsis is there; no way out of the loop, so that it compiles to vector code."""
    found = 0
    for position in range(begin, end):
        found |= data[position] == 0x23
    for position in range(begin, end - 2):
        found |= (data[position] == 0xE2) & (data[position + 2] == 0xA6)
    return found != 0


@njit("int64[:, ::1](uint8[::1], int64[::1], int64, uint8[::1], uint8[::1], uint8[::1])")
def word_statistics(
    data: Bytes, offsets: Positions, splitter: int, flags: Bytes, classes: Bytes, marks: Bytes
) -> NDArray[np.int64]:
    """Count the words of each document, their code points, and words of several sorts.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        splitter: number of the splitter.
        flags, classes: the tables of `unicode_tables` and `uax29_classes`.
        marks: by code point, 1 for those that make no word by themselves (for `UNPUNCTUATED`).

    Returns:
        Shape (n_documents, STATISTICS); the columns are named above.
    """
    documents = offsets.size - 1
    result = np.zeros((documents, STATISTICS), dtype=np.int64)
    room = longest_document(offsets) + 1
    starts = np.empty(room, dtype=np.int64)
    ends = np.empty(room, dtype=np.int64)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        words = split_words(data, begin, end, splitter, flags, classes, starts, ends)
        ascii_only = is_ascii(data, begin, end)
        symbols = _may_have_symbol(data, begin, end)
        chars = letters = marked = unpunctuated = unpunctuated_chars = stops = any_case = seen = seen_any_case = 0
        for word in range(words):
            first, last = starts[word], ends[word]
            size = last - first
            length = size if ascii_only else count_code_points(data, first, last)
            chars += length
            letters += _has_flag(data, first, last, flags, LETTER)
            if symbols:
                marked += _has_symbol(data, first, last)
            if _has_unmarked(data, first, last, marks):
                unpunctuated += 1
                unpunctuated_chars += length
            packed = _eight_bytes(data, first) & _SIZE_BYTES[min(size, 5)]
            # bit 0x20 makes a small letter of a capital, and a small letter of nothing else
            lowered = packed | (_SIZE_BYTES[min(size, 5)] & _CASE_BITS)
            slot = (lowered * _STOP_WORD_MULTIPLIER) >> np.uint64(61)
            if _STOP_WORD_IN_SLOT[slot] == lowered:
                any_case += 1
                seen_any_case |= 1 << int64(slot)
                if packed == lowered:
                    stops += 1
                    seen |= 1 << int64(slot)
        result[document, WORDS] = words
        result[document, CHARS] = chars
        result[document, WITH_A_LETTER] = letters
        result[document, WITH_A_SYMBOL] = marked
        result[document, UNPUNCTUATED] = unpunctuated
        result[document, UNPUNCTUATED_CHARS] = unpunctuated_chars
        result[document, STOP_WORDS] = stops
        result[document, STOP_WORDS_ANY_CASE] = any_case
        result[document, DISTINCT_STOP_WORDS] = _bits(seen)
        result[document, DISTINCT_STOP_WORDS_ANY_CASE] = _bits(seen_any_case)
    return result


@njit("float64[::1](uint8[::1], int64[::1], int64, uint8[::1], uint8[::1])")
def median_word_lengths(data: Bytes, offsets: Positions, splitter: int, flags: Bytes, classes: Bytes) -> NDArray[np.float64]:
    """Median of the code points a word has, for each document; 0 without words. Arguments as in `word_statistics`."""
    documents = offsets.size - 1
    result = np.zeros(documents, dtype=np.float64)
    room = longest_document(offsets) + 1
    starts = np.empty(room, dtype=np.int64)
    ends = np.empty(room, dtype=np.int64)
    for document in range(documents):
        words = split_words(data, offsets[document], offsets[document + 1], splitter, flags, classes, starts, ends)
        for word in range(words):
            starts[word] = count_code_points(data, starts[word], ends[word])
        if words:
            result[document] = np.median(starts[:words])
    return result


@njit("int64[::1](uint8[::1], int64[::1], uint8[::1])")
def fasttext_word_counts(data: Bytes, offsets: Positions, flags: Bytes) -> Positions:
    """Tokens of fastText's reader whose first character is alphanumeric, for each document.

    fastText parts tokens at the bytes space, \\n, \\r, \\t, \\v, \\f and NUL and at no other whitespace.
    """
    result = np.zeros(offsets.size - 1, dtype=np.int64)
    for document in range(offsets.size - 1):
        # no branch at the end of a word: its length cannot be predicted
        count = 0
        parted = 1
        for position in range(offsets[document], offsets[document + 1]):
            byte = data[position]
            count += parted & _ASCII_ALPHANUMERIC[byte]
            if parted & int64(byte >= 0x80):
                point, _ = code_point_at(data, position)
                count += flags[point] & ALPHANUMERIC != 0
            parted = _PARTS_FASTTEXT_WORDS[byte]
        result[document] = count
    return result


@njit("int64[::1](uint8[::1], int64[::1])")
def character_counts(data: Bytes, offsets: Positions) -> Positions:
    """Code points of each document."""
    result = np.zeros(offsets.size - 1, dtype=np.int64)
    for document in range(offsets.size - 1):
        result[document] = count_code_points(data, offsets[document], offsets[document + 1])
    return result


@njit("UniTuple(int64, 2)(uint8[::1], int64[::1], int64, int64, uint8[::1], uint8[::1], int64[::1], int64[::1], int64[::1])")
def fill_word_spans(
    data: Bytes,
    offsets: Positions,
    document: int,
    splitter: int,
    flags: Bytes,
    classes: Bytes,
    starts: Positions,
    ends: Positions,
    spans: Positions,
) -> tuple[int, int]:
    """Write the words of the documents from `document` on, as far as `starts` and `ends` surely have room.

    Args:
        data, offsets, splitter, flags, classes: as in `word_statistics`.
        document: the first document to split; its words go to `spans[document]`.
        starts, ends: byte positions of the words of all documents, written.
        spans: shape (n_documents + 1,): where the words of each document begin in `starts`; written.

    Returns:
        The first document that did not fit, and the room that it may need.
    """
    while document < offsets.size - 1:
        filled = spans[document]
        needed = offsets[document + 1] - offsets[document] + 1
        if filled + needed > starts.size:
            return document, needed
        words = split_words(
            data, offsets[document], offsets[document + 1], splitter, flags, classes, starts[filled:], ends[filled:]
        )
        document += 1
        spans[document] = filled + words
    return document, 0
