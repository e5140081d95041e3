"""Compiled kernels for RedPajama-V2's signals: its normalised text, and what it counts in words, lines and sentences."""

from __future__ import annotations

import string
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.character_classes import ASCII_PUNCTUATION, LOWER_OR_TITLE, NUMERIC, UPPER
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import (
    code_point_at,
    code_point_start_before,
    find_newline,
    hash_bytes,
    int64,
    split_at_whitespace,
    split_words_and_punctuation,
    strip,
)
from gristmill.stages.unicode_tables import WHITESPACE, WORD
from gristmill.stages.word_kernels import longest_document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Points = NDArray[np.int32]
    Hashes = NDArray[np.uint64]

CHARACTERS, CURLY_BRACKETS, UPPER_CASE, SENTENCES, WORDS, WITHOUT_LETTER, ALL_CAPS = range(7)
"""Columns of `raw_statistics`."""
LINES, BULLETS, TERMINAL, ELLIPSES = range(4)
"""Columns of `raw_line_statistics`."""
NORMALISED_CHARACTERS, NUMERICS, LOREM_IPSUMS, NORMALISED_WORDS, JAVASCRIPTS = range(5)
"""Columns of `normalised_statistics`."""

BULLET_POINTS = "\u2022\u2023\u25b6\u25c0\u25e6\u25a0\u25a1\u25aa\u25ab\u2013"
TERMINAL_MARKS = ".!?\u201d"

_BULLET_POINTS = np.array([ord(mark) for mark in BULLET_POINTS], dtype=np.int64)
_LOREM_IPSUM = np.frombuffer(b"lorem ipsum", np.uint8).copy()
_JAVASCRIPT = np.frombuffer(b"javascript", np.uint8).copy()
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


@njit("int64(uint8[::1], int64, int64)", inline=True)
def _append(target: Bytes, size: int, point: int) -> int:
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
            size = _append(target, size, int64(marks[index]))
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
        size = _append(target, size, int64(ordered[index]))
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
    target = np.empty(3 * data.size + 16, dtype=np.uint8)
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
                    size = _append(target, size, int64(part))
        if waiting:
            size = _append_marks(target, size, marks, waiting, ordered, combining)
    starts[offsets.size - 1] = size
    return target[:size], starts


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
    for document in range(offsets.size - 1):
        position, end = offsets[document], offsets[document + 1]
        characters = curly = upper = sentences = words = with_letter = caps = 0
        in_sentence = kind = letter = cased = 0
        while position < end:
            point, size = int64(data[position]), 1
            if point >= 0x80:
                point, size = code_point_at(data, position)
            position += size
            flag, klass = int64(flags[point]), int64(classes[point])
            characters += 1
            curly += int64(point == 0x7B) + int64(point == 0x7D)
            upper += int64(klass & UPPER != 0)
            # without branches at the ends of words, whose length cannot be predicted
            in_word = int64(flag & WORD != 0)
            sentences += in_word & ~in_sentence
            ends = int64(point == 0x2E) | int64(point == 0x21) | int64(point == 0x3F)
            in_sentence = (in_sentence | in_word) & ~ends
            now = 2 * in_word + int64(flag & (WORD | WHITESPACE) == 0)
            changed = int64(now != kind)
            with_letter += letter & changed
            caps += changed & int64(cased == UPPER)
            words += changed & int64(now != 0)
            letter = (letter & ~changed) | int64(97 <= point | 32 <= 122)  # no white space is a letter or has case
            cased = (cased * (1 - changed)) | (klass & (UPPER | LOWER_OR_TITLE))
            kind = now
        row = result[document]
        row[CHARACTERS] = characters
        row[CURLY_BRACKETS] = curly
        row[UPPER_CASE] = upper
        row[SENTENCES] = sentences
        row[WORDS] = words
        row[WITHOUT_LETTER] = words - with_letter - letter
        row[ALL_CAPS] = caps + int64(cased == UPPER)
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


@njit("boolean(uint8[::1], int64, int64, Array(uint8, 1, 'C', True))", inline=True)
def _is(data: Bytes, begin: int, end: int, wanted: Bytes) -> bool:
    """Whether [begin, end) begins with `wanted`."""
    if end - begin < wanted.size:
        return False
    same = True
    for index in range(wanted.size):
        same &= data[begin + index] == wanted[index]
    return same


@njit("int64[:, ::1](uint8[::1], int64[::1], uint8[::1])")
def normalised_statistics(data: Bytes, offsets: Positions, classes: Bytes) -> NDArray[np.int64]:
    """Count in normalised texts: characters, numeric ones, `lorem ipsum`, words, and the word `javascript`.

    Args:
        data, offsets: as `normalised` returns them.
        classes: the table of `character_classes`.

    Returns:
        Shape (n_documents, 5).
    """
    result = np.zeros((offsets.size - 1, 5), dtype=np.int64)
    for document in range(offsets.size - 1):
        begin, end = offsets[document], offsets[document + 1]
        position = begin
        row = result[document]
        characters = numerics = spaces = 0
        while position < end:
            point, size = int64(data[position]), 1
            if point >= 0x80:
                point, size = code_point_at(data, position)
            elif point == 0x6C and _is(data, position, end, _LOREM_IPSUM):
                row[LOREM_IPSUMS] += 1
            elif point == 0x6A and (position == begin or data[position - 1] == 32) and _is(data, position, end, _JAVASCRIPT):
                after = position + _JAVASCRIPT.size
                row[JAVASCRIPTS] += int64(after == end or data[after] == 32)
            characters += 1
            spaces += int64(point == 32)
            numerics += int64(classes[point] & NUMERIC != 0)
            position += size
        row[NORMALISED_CHARACTERS] = characters
        row[NUMERICS] = numerics
        row[NORMALISED_WORDS] = spaces + 1 if end > begin else 0
    return result


@njit("float64[:, ::1](uint8[::1], int64[::1], uint8[::1])")
def unigrams(data: Bytes, offsets: Positions, flags: Bytes) -> NDArray[np.float64]:
    """Different words of each normalised text, and the entropy of their distribution in nats.

    Args:
        data, offsets: as `normalised` returns them.
        flags: the table of `unicode_tables`.

    Returns:
        Shape (n_documents, 2).
    """
    documents = offsets.size - 1
    result = np.zeros((documents, 2), dtype=np.float64)
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    keys, counts = np.empty(16, dtype=np.uint64), np.empty(16, dtype=np.int64)
    for document in range(documents):
        words = split_at_whitespace(data, offsets[document], offsets[document + 1], flags, starts, ends)
        size = 16
        while size < 2 * words:
            size *= 2
        if size > counts.size:
            keys, counts = np.empty(size, dtype=np.uint64), np.empty(size, dtype=np.int64)
        counts[:size] = 0
        different = 0
        for word in range(words):
            key = hash_bytes(data, starts[word], ends[word])
            slot = int64(key >> np.uint64(20)) & (size - 1)
            while counts[slot] and keys[slot] != key:
                slot = (slot + 1) & (size - 1)
            keys[slot] = key
            different += int64(counts[slot] == 0)
            counts[slot] += 1
        entropy = 0.0
        for slot in range(size):
            if counts[slot]:
                share = counts[slot] / words
                entropy -= share * np.log(share)
        result[document, 0] = different
        result[document, 1] = entropy
    return result


@njit("uint64[::1](uint8[::1], int64[::1])")
def entry_table(data: Bytes, offsets: Positions) -> Hashes:
    """An open-addressing table of the texts, empty ones left out; slots that hold none are 0."""
    size = 16
    while size < 2 * offsets.size:
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
    for document in range(offsets.size - 1):
        begin, end = offsets[document], offsets[document + 1]
        if raw:
            words = split_words_and_punctuation(data, begin, end, flags, starts, ends)
        else:
            words = split_at_whitespace(data, begin, end, flags, starts, ends)
        for word in range(words - n + 1):
            key = hash_bytes(data, starts[word], ends[word + n - 1])
            slot = int64(key >> np.uint64(20)) & (slots.size - 1)
            while slots[slot] and slots[slot] != key:
                slot = (slot + 1) & (slots.size - 1)
            result[document] += int64(slots[slot] == key)
    return result
