"""Compiled kernels that count and measure the words of a batch, by any of the splitters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.byte_masks import NONE, ONE, address, between, first_bits, highest, letters, lowest, ones
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, count_code_points, int64, is_ascii, load8
from gristmill.stages.unicode_tables import ALPHANUMERIC, LETTER
from gristmill.stages.word_marks import FIRSTS, INSIDES, LASTS, mark_words, room_for_marks, write_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Masks = NDArray[np.uint64]

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
_ELLIPSIS = 0x2026
_CASE_BITS = np.uint64(0x20202020)


@njit("int64(uint8[::1], int64, int64, int64, uint8[::1], uint8[::1], int64[::1], int64[::1])")
def split_words(
    data: Bytes, begin: int, end: int, splitter: int, flags: Bytes, classes: Bytes, starts: Positions, ends: Positions
) -> int:
    """Words of one document by the splitter of that number; returns how many. Arguments as in `text_kernels`."""
    marks = room_for_marks(end - begin)
    words = mark_words(data, begin, end, splitter, flags, classes, marks, starts, ends)
    write_spans(marks, begin, end, starts, ends)
    return words


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


@njit("uint64(int64, int64, int64)", inline=True)
def _first_letters(at: int, left: int, a: int) -> np.uint64:
    """Where one of a, b, h, o, t, w is; `a` is the code of the first in their case."""
    found = between(at, left, a, a + 1) | between(at, left, a + 7, a + 7)
    found |= between(at, left, a + 14, a + 14)
    return found | between(at, left, a + 19, a + 19) | between(at, left, a + 22, a + 22)


@njit("int64(int64)", inline=True)
def _bits(mask: int) -> int:
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


@njit("UniTuple(uint64, 4)(uint8[::1], int64, uint64, uint8[::1], uint8[::1])")
def _beyond_ascii(data: Bytes, position: int, leads: np.uint64, flags: Bytes, marks: Bytes) -> tuple[np.uint64, ...]:
    """Which of the characters that begin at `leads` are letters, ellipses, or no marks."""
    found = ellipses = unmarked = NONE
    while leads:
        bit = leads & (~leads + ONE)
        point, _ = code_point_at(data, position + lowest(leads))
        leads ^= bit
        found |= bit if flags[point] & LETTER else NONE
        ellipses |= bit if point == _ELLIPSIS else NONE
        unmarked |= NONE if marks[point] else bit
    return found, ellipses, unmarked, NONE


@njit("UniTuple(uint64, 2)(uint64, uint64, uint64, uint64)", inline=True)
def words_with(sort: np.uint64, inside: np.uint64, lasts: np.uint64, carry: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The last bytes of the words that hold a byte of a sort.

    The bytes of a word but its last are ones that an addition carries through: each byte of the sort, added, reaches the last.

    Args:
        sort: where bytes of the sort are, all of them inside of words.
        inside, lasts: the marks.
        carry: 1 if the word that goes on from the block before holds one, else 0.

    Returns:
        The mask, and the carry for the next block.
    """
    through = inside & ~lasts
    added = through + (sort & through)
    total = added + carry
    return (total | sort) & lasts, np.uint64(added < through) | np.uint64(total < added)


@njit("void(uint8[::1], int64, int64, uint8[::1], uint8[::1], uint64[:, ::1], int64[::1])")
def _count_words(data: Bytes, begin: int, end: int, flags: Bytes, marks: Bytes, words: Masks, row: Positions) -> None:
    """Count the words that `words` marks, but for the stop words; arguments as in `word_statistics`."""
    letter_carry = symbol_carry = unmarked_carry = NONE
    chars = with_letter = with_symbol = unpunctuated = marked_chars = 0
    marked = 0  # characters so far of the word that goes on from the block before, if they are all marks
    for block in range((end - begin + 63) >> 6):
        position = begin + 64 * block
        at, left = address(data, position), data.size - position
        inside, lasts = words[INSIDES, block], words[LASTS, block]
        characters = inside & ~between(at, left, 0x80, 0xBF)
        letter = letters(at, left) & inside
        unmarked = (letter | between(at, left, 0x30, 0x39)) & inside
        symbol = between(at, left, 0x23, 0x23) & inside
        leads = between(at, left, 0xC0, 0xFF) & inside
        if leads:
            more_letters, ellipses, more_unmarked, _ = _beyond_ascii(data, position, leads, flags, marks)
            letter |= more_letters
            symbol |= ellipses
            unmarked |= more_unmarked
        chars += ones(characters)
        found, letter_carry = words_with(letter, inside, lasts, letter_carry)
        with_letter += ones(found)
        found, symbol_carry = words_with(symbol, inside, lasts, symbol_carry)
        with_symbol += ones(found)
        found, unmarked_carry = words_with(unmarked, inside, lasts, unmarked_carry)
        unpunctuated += ones(found)
        # Words of nothing but marks: most are one byte
        alone = lasts & ~found
        single = alone & words[FIRSTS, block]
        marked_chars += ones(single)
        alone &= ~single
        while alone:
            last = lowest(alone)
            alone &= alone - ONE
            firsts = words[FIRSTS, block] & first_bits(last + 1)
            if firsts:
                marked_chars += ones(characters & first_bits(last + 1) & ~first_bits(highest(firsts)))
            else:
                marked_chars += marked + ones(characters & first_bits(last + 1))
        tail = words[FIRSTS, block] | lasts
        if not tail:
            marked += ones(characters)
        elif words[FIRSTS, block] and highest(words[FIRSTS, block]) > highest(lasts):
            marked = ones(characters & ~first_bits(highest(words[FIRSTS, block])))
        else:
            marked = 0
    row[CHARS] = chars
    row[WITH_A_LETTER] = with_letter
    row[WITH_A_SYMBOL] = with_symbol
    row[UNPUNCTUATED] = unpunctuated
    row[UNPUNCTUATED_CHARS] = chars - marked_chars


@njit("void(uint8[::1], int64, int64, uint64[:, ::1], int64[::1])")
def _count_stop_words(data: Bytes, begin: int, end: int, words: Masks, row: Positions) -> None:
    """Count the stop words among the words that `words` marks; arguments as in `word_statistics`."""
    stops = any_case = seen = seen_any_case = 0
    blocks = (end - begin + 63) >> 6
    for block in range(blocks):
        position = begin + 64 * block
        at, left = address(data, position), data.size - position
        lasts = words[LASTS, block]
        following = words[LASTS, block + 1] if block + 1 < blocks else NONE
        # words of two to four bytes, whose first is one of a, b, h, o, t, w
        short = NONE
        for more in range(1, 4):
            short |= (lasts >> np.uint64(more)) | (following << np.uint64(64 - more))
        small, capital = _first_letters(at, left, 0x61), _first_letters(at, left, 0x41)
        candidates = words[FIRSTS, block] & ~lasts & short & (small | capital)
        while candidates:
            bit = lowest(candidates)
            candidates &= candidates - ONE
            ahead = lasts >> np.uint64(bit)
            if bit:
                ahead |= following << np.uint64(64 - bit)
            size = lowest(ahead) + 1
            packed = _eight_bytes(data, position + bit) & _SIZE_BYTES[size]
            # bit 0x20 makes a small letter of a capital, and a small letter of nothing else
            lowered = packed | (_SIZE_BYTES[size] & _CASE_BITS)
            slot = (lowered * _STOP_WORD_MULTIPLIER) >> np.uint64(61)
            if _STOP_WORD_IN_SLOT[slot] == lowered:
                any_case += 1
                seen_any_case |= 1 << int64(slot)
                if packed == lowered:
                    stops += 1
                    seen |= 1 << int64(slot)
    row[STOP_WORDS] = stops
    row[STOP_WORDS_ANY_CASE] = any_case
    row[DISTINCT_STOP_WORDS] = _bits(seen)
    row[DISTINCT_STOP_WORDS_ANY_CASE] = _bits(seen_any_case)


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
    longest = longest_document(offsets)
    words, room = room_for_marks(longest), longest + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        row = result[document]
        row[WORDS] = mark_words(data, begin, end, splitter, flags, classes, words, starts, ends)
        _count_words(data, begin, end, flags, marks, words, row)
        _count_stop_words(data, begin, end, words, row)
    return result


@njit("int64(int64[::1], int64)", inline=True)
def _length_at(counts: Positions, rank: int) -> int:
    """Which length has the word of that rank, the shortest being of rank 0, given how many words have each length."""
    length, below = 0, counts[0]
    while below <= rank:
        length += 1
        below += counts[length]
    return length


@njit("float64[::1](uint8[::1], int64[::1], int64, uint8[::1], uint8[::1])")
def median_word_lengths(data: Bytes, offsets: Positions, splitter: int, flags: Bytes, classes: Bytes) -> NDArray[np.float64]:
    """Median of the code points a word has, for each document; 0 without words. Arguments as in `word_statistics`."""
    documents = offsets.size - 1
    result = np.zeros(documents, dtype=np.float64)
    room = longest_document(offsets) + 1
    starts = np.empty(room, dtype=np.int64)
    ends = np.empty(room, dtype=np.int64)
    counts = np.empty(256, dtype=np.int64)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        words = split_words(data, begin, end, splitter, flags, classes, starts, ends)
        ascii_only = is_ascii(data, begin, end)
        counts[:] = 0
        for word in range(words):
            size = ends[word] - starts[word]
            starts[word] = size if ascii_only else count_code_points(data, starts[word], ends[word])
            counts[min(starts[word], 255)] += 1
        if not words:
            continue
        # lengths are small numbers: counting them finds the middle ones without a sort
        lower = _length_at(counts, (words - 1) // 2)
        upper = _length_at(counts, words // 2)
        result[document] = (lower + upper) / 2 if upper < 255 else np.median(starts[:words])
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
