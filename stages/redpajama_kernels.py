"""Compiled kernels for RedPajama-V2's signals: its normalised text, and what it counts in words, lines and sentences."""

from __future__ import annotations

import string
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.byte_masks import NONE, ONE, address, between, first_bits, lowest, ones
from gristmill.stages.character_classes import ASCII_PUNCTUATION, LOWER_OR_TITLE, UPPER
from gristmill.stages.ngram_kernels import hash_words
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import (
    append_code_point,
    code_point_at,
    code_point_start_before,
    find_newline,
    hash_bytes,
    hash_word,
    int64,
    split_at_whitespace,
    strip,
)
from gristmill.stages.unicode_tables import WHITESPACE, WORD
from gristmill.stages.word_kernels import longest_document, words_with
from gristmill.stages.word_marks import INSIDES, LASTS, WORDPUNCT_WORDS, mark_words, room_for_marks, write_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Points = NDArray[np.int32]
    Hashes = NDArray[np.uint64]
    Masks = NDArray[np.uint64]

CHARACTERS, CURLY_BRACKETS, UPPER_CASE, SENTENCES, WORDS, WITHOUT_LETTER, ALL_CAPS = range(7)
"""Columns of `raw_statistics`."""
LINES, BULLETS, TERMINAL, ELLIPSES = range(4)
"""Columns of `raw_line_statistics`."""

BULLET_POINTS = "\u2022\u2023\u25b6\u25c0\u25e6\u25a0\u25a1\u25aa\u25ab\u2013"
TERMINAL_MARKS = ".!?\u201d"

_BULLET_POINTS = np.array([ord(mark) for mark in BULLET_POINTS], dtype=np.int64)
_FEW = 32

_ASCII = [chr(byte) if byte < 0x80 else " " for byte in range(256)]
_SPACE = np.array([character.isspace() for character in _ASCII], dtype=np.int64)
_KEPT = np.array([not character.isspace() and character not in string.punctuation for character in _ASCII], dtype=np.int64)
_LOWER = np.array([ord(character.lower()) for character in _ASCII], dtype=np.uint8)


def normalise_plainly(text: str) -> str:
    """Without ASCII punctuation, each character in lower case, white space collapsed and stripped, canonically decomposed.

    The capital sigma becomes the plain small one everywhere; RedPajama's code writes the final one at the end of a word.
    """
    text = "".join(character.lower() for character in text if character not in string.punctuation)
    return unicodedata.normalize("NFD", " ".join(text.split()))


@njit("int64(uint8[::1], int64, int32[::1], int64, int32[::1], uint8[::1])")
def _append_marks(target: Bytes, size: int, marks: Points, count: int, ordered: Points, combining: Bytes) -> int:
    """Write marks in canonical order: by combining class, those of one class as they stand; returns the new size."""
    if count <= _FEW:
        for index in range(1, count):
            mark, place = marks[index], index
            while place and combining[marks[place - 1]] > combining[mark]:
                marks[place] = marks[place - 1]
                place -= 1
            marks[place] = mark
        for index in range(count):
            size = append_code_point(target, size, int64(marks[index]))
        return size
    # an insertion sort of a text that is all marks would never end
    starts = np.zeros(257, dtype=np.int64)
    for index in range(count):
        starts[int64(combining[marks[index]]) + 1] += 1
    starts = np.cumsum(starts)
    for index in range(count):
        klass = combining[marks[index]]
        ordered[starts[klass]] = marks[index]
        starts[klass] += 1
    for index in range(count):
        size = append_code_point(target, size, int64(ordered[index]))
    return size


@njit("Tuple((uint8[::1], int64[::1]))(uint8[::1], int64[::1], uint8[::1], uint8[::1], int32[::1], int32[::1], uint8[::1])")
def normalised(
    data: Bytes, offsets: Positions, flags: Bytes, classes: Bytes, first: Points, points: Points, combining: Bytes
) -> tuple[Bytes, Positions]:
    """The texts as `normalise_plainly` gives them.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        flags, classes: the tables of `unicode_tables` and `character_classes`.
        first, points, combining: those of `character_classes.lower_decompositions`.

    Returns:
        UTF-8 bytes of all normalised texts, and where each begins.
    """
    # no code point's decomposition takes more than three times its bytes; pages that are not written take no memory
    target = np.empty(3 * (offsets[-1] - offsets[0]) + 16, dtype=np.uint8)
    starts = np.empty(offsets.size, dtype=np.int64)
    marks = np.empty(2 * longest_document(offsets) + 16, dtype=np.int32)
    ordered = np.empty(marks.size, dtype=np.int32)
    size = 0
    for document in range(offsets.size - 1):
        starts[document] = size
        position, end = offsets[document], offsets[document + 1]
        waiting = space = 0
        while position < end:
            byte = data[position]
            if byte < 0x80 and not waiting:
                # without branches, which would be guessed wrong at every word: a byte that is not kept is overwritten by the next
                kept = _KEPT[byte]
                target[size] = 32
                size += space & kept & int64(size > starts[document])
                target[size] = _LOWER[byte]
                size += kept
                space = (space & (1 - kept)) | _SPACE[byte]
                position += 1
                continue
            point, width = code_point_at(data, position)
            position += width
            if classes[point] & ASCII_PUNCTUATION:
                continue
            if flags[point] & WHITESPACE:
                space = 1
                continue
            if waiting and (space or not combining[points[first[point]]]):
                size = _append_marks(target, size, marks, waiting, ordered, combining)
                waiting = 0
            if space and size > starts[document]:
                target[size] = 32
                size += 1
            space = 0
            for index in range(first[point], first[point + 1]):
                part = points[index]
                if combining[part]:
                    marks[waiting] = part
                    waiting += 1
                else:
                    if waiting:
                        size = _append_marks(target, size, marks, waiting, ordered, combining)
                        waiting = 0
                    size = append_code_point(target, size, int64(part))
        if waiting:
            size = _append_marks(target, size, marks, waiting, ordered, combining)
    starts[offsets.size - 1] = size
    return target[:size], starts


@njit("UniTuple(uint64, 3)(uint8[::1], int64, uint64, uint8[::1], uint8[::1])")
def _beyond_ascii(
    data: Bytes, position: int, leads: np.uint64, flags: Bytes, classes: Bytes
) -> tuple[np.uint64, np.uint64, np.uint64]:
    r"""Which of the characters that begin at `leads` are `\w`, upper case, and cased in another way."""
    in_word = upper = lower = NONE
    while leads:
        bit = leads & (~leads + ONE)
        point, _ = code_point_at(data, position + lowest(leads))
        leads ^= bit
        in_word |= bit if flags[point] & WORD else NONE
        upper |= bit if classes[point] & UPPER else NONE
        lower |= bit if classes[point] & LOWER_OR_TITLE else NONE
    return in_word, upper, lower


@njit("void(uint8[::1], int64, int64, uint8[::1], uint8[::1], uint64[:, ::1], int64[::1])")
def _count_raw(data: Bytes, begin: int, end: int, flags: Bytes, classes: Bytes, words: Masks, row: Positions) -> None:
    """Count characters, sentences, and sorts of the words that `words` marks; arguments as in `raw_statistics`."""
    characters = curly = upper_case = sentences = with_letter = all_caps = 0
    letter_carry = upper_carry = lower_carry = sentence_carry = NONE
    blocks = (end - begin + 63) >> 6
    for block in range(blocks):
        position = begin + 64 * block
        at, left = address(data, position), data.size - position
        within = first_bits(end - position)
        inside, lasts = words[INSIDES, block], words[LASTS, block]
        upper, lower = between(at, left, 0x41, 0x5A) & within, between(at, left, 0x61, 0x7A) & within
        letter = upper | lower
        in_word = letter | (within & (between(at, left, 0x30, 0x39) | between(at, left, 0x5F, 0x5F)))
        characters += ones(within & ~between(at, left, 0x80, 0xBF))
        curly += ones(within & (between(at, left, 0x7B, 0x7B) | between(at, left, 0x7D, 0x7D)))
        leads = within & between(at, left, 0xC0, 0xFF)
        if leads:
            more_in_word, more_upper, more_lower = _beyond_ascii(data, position, leads, flags, classes)
            in_word |= more_in_word
            upper |= more_upper
            lower |= more_lower
        upper_case += ones(upper)
        found, letter_carry = words_with(letter, inside, lasts, letter_carry)
        with_letter += ones(found)
        with_upper, upper_carry = words_with(upper & inside, inside, lasts, upper_carry)
        with_lower, lower_carry = words_with(lower & inside, inside, lasts, lower_carry)
        all_caps += ones(with_upper & ~with_lower)
        # a sentence is what lies between the marks at its end, if a word begins in it
        marks = between(at, left, 0x2E, 0x2E) | between(at, left, 0x21, 0x21) | between(at, left, 0x3F, 0x3F)
        if block == blocks - 1:
            marks |= ONE << np.uint64(end - position - 1)
        found, sentence_carry = words_with(in_word, within, marks & within, sentence_carry)
        sentences += ones(found)
    row[CHARACTERS] = characters
    row[CURLY_BRACKETS] = curly
    row[UPPER_CASE] = upper_case
    row[SENTENCES] = sentences
    row[WITHOUT_LETTER] = row[WORDS] - with_letter
    row[ALL_CAPS] = all_caps


@njit("int64[:, ::1](uint8[::1], int64[::1], uint8[::1], uint8[::1])")
def raw_statistics(data: Bytes, offsets: Positions, flags: Bytes, classes: Bytes) -> NDArray[np.int64]:
    r"""Count characters, sentences and words (runs of `\w` and of what is neither that nor white space) of each document.

    Args:
        data, offsets, flags, classes: as in `normalised`.

    Returns:
        Shape (n_documents, 7): characters; curly brackets; upper-case characters; matches of `\b[^.!?]+[.!?]*`; words; words
        without an ASCII letter; words that are `str.isupper`.
    """
    result = np.zeros((offsets.size - 1, 7), dtype=np.int64)
    longest = longest_document(offsets)
    words = room_for_marks(longest)
    starts, ends = np.empty(longest + 1, dtype=np.int64), np.empty(longest + 1, dtype=np.int64)
    for document in range(offsets.size - 1):
        begin, end = offsets[document], offsets[document + 1]
        row = result[document]
        row[WORDS] = mark_words(data, begin, end, WORDPUNCT_WORDS, flags, classes, words, starts, ends)
        _count_raw(data, begin, end, flags, classes, words, row)
    return result


@njit("int64[:, ::1](uint8[::1], int64[::1], uint8[::1])")
def raw_line_statistics(data: Bytes, offsets: Positions, flags: Bytes) -> NDArray[np.int64]:
    """Count the lines of each document, parted at newlines, a newline at the end beginning no further one.

    Args:
        data, offsets, flags: as in `normalised`.

    Returns:
        Shape (n_documents, 4): lines; those that begin with a bullet point, that end with a terminal mark, with an ellipsis,
        white space around them apart.
    """
    result = np.zeros((offsets.size - 1, 4), dtype=np.int64)
    for document in range(offsets.size - 1):
        begin, end = offsets[document], offsets[document + 1]
        row = result[document]
        while begin < end:
            stop = find_newline(data, begin, end)
            row[LINES] += 1
            first, last = strip(data, begin, stop, flags)
            begin = stop + 1
            if first == last:
                continue
            point, _ = code_point_at(data, first)
            if point >= 0x2013:
                for bullet in _BULLET_POINTS:
                    row[BULLETS] += int64(bullet == point)
            point, _ = code_point_at(data, code_point_start_before(data, last))
            row[TERMINAL] += int64(point == 0x2E or point == 0x21 or point == 0x3F or point == 0x201D)
            dots = last - first >= 3 and data[last - 1] == 0x2E and data[last - 2] == 0x2E and data[last - 3] == 0x2E
            row[ELLIPSES] += int64(point == 0x2026 or dots)
    return result


@njit("uint64[::1](uint8[::1], int64[::1])")
def entry_table(data: Bytes, offsets: Positions) -> Hashes:
    """An open-addressing table of the texts, empty ones left out; slots that hold none are 0."""
    size = 16
    while size < 8 * offsets.size:  # nearly empty: most words are looked up in one place
        size *= 2
    slots = np.zeros(size, dtype=np.uint64)
    for entry in range(offsets.size - 1):
        if offsets[entry] < offsets[entry + 1]:
            key = hash_bytes(data, offsets[entry], offsets[entry + 1])
            slot = int64(key >> np.uint64(20)) & (size - 1)
            while slots[slot] and slots[slot] != key:
                slot = (slot + 1) & (size - 1)
            slots[slot] = key
    return slots


@njit("int64[::1](uint8[::1], int64[::1], uint64[::1], int64, boolean, uint8[::1])")
def entry_counts(data: Bytes, offsets: Positions, slots: Hashes, n: int, raw: bool, flags: Bytes) -> Positions:
    """How often n neighbouring words of each document are an entry of the table.

    Args:
        data, offsets: normalised texts, or raw ones with n = 1.
        slots: as `entry_table` gives them.
        n: how many words.
        raw: words are runs of word characters and of what is neither that nor white space, else what stands between white space.
        flags: the table of `unicode_tables`.

    Returns:
        Shape (n_documents,).
    """
    result = np.zeros(offsets.size - 1, dtype=np.int64)
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    keys, chars = np.empty(room, dtype=np.uint64), np.empty(room + 1, dtype=np.int64)
    marks = room_for_marks(room)
    for document in range(offsets.size - 1):
        begin, end = offsets[document], offsets[document + 1]
        if raw:
            words = mark_words(data, begin, end, WORDPUNCT_WORDS, flags, flags, marks, starts, ends)
            write_spans(marks, begin, end, starts, ends)
        else:
            words = split_at_whitespace(data, begin, end, flags, starts, ends)
        if n == 1:
            hash_words(data, starts, ends, words, keys, chars)
        else:
            for word in range(words - n + 1):
                keys[word] = hash_word(data, starts[word], ends[word + n - 1])
        found = 0
        for word in range(words - n + 1):
            key = keys[word]
            slot = int64(key >> np.uint64(20)) & (slots.size - 1)
            while slots[slot] and slots[slot] != key:
                slot = (slot + 1) & (slots.size - 1)
            found += int64(slots[slot] == key)
        result[document] = found
    return result
