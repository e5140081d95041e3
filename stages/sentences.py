"""Sentences by rules: a compiled counter and the plain splitter that it equals.

A sentence ends

1. at every line boundary (of `str.splitlines`);
2. at a mark of `line_classes.TERMINAL` beyond ASCII (`。`, `؟`, `।`, `።`, `۔`, ...), wherever it stands: scripts that have marks
   of their own need no space after them; Tibetan's shad is such a mark, and several with white space between them are one end;
3. at a run of `.`, `!`, `?`, with the quotation marks and closing brackets after it, where white space or the end of the line
   follows. A run of dots only does not end a sentence where the next word begins with a small letter; a single dot does not
   either after an initial (one letter, after anything but a letter: `J. Smith`, `the U.S. Army`), after a title (`Dr.`) or
   `e.g.`, or after `No.`, `Fig.`, `Jan.` and their like before a digit;
4. at white space between two letters of Thai or Lao, which have no other mark there. Clauses end so, too: of the pieces, not all
   are whole sentences.

What follows the last end, up to the end of the line, is a sentence too, if it is more than white space.

Published pipelines take punkt (C4; NLTK's trained model for English: about 150 abbreviations and statistics on which words begin
sentences) or spaCy's sentencizer (datatrove: every `.`, `!`, `?` that its tokenizer makes a token of its own). Theirs part at the
dot of `etc. The`, as here, and may part or not after `U.S.`, where this never parts; punkt does not know rules 2 and 4.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.line_classes import (
    CLOSER,
    LOWER,
    SHAD,
    SPACED,
    TERMINAL,
    closing_marks,
    shads,
    spaced_letters,
    terminal_marks,
)
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, code_point_start_before, int64, load8, strip
from gristmill.stages.unicode_tables import DECIMAL_DIGIT, LETTER, WHITESPACE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

_NEVER_LAST_WORDS = (
    "mr mrs ms dr prof rev hon gen col capt cmdr lt sgt maj sen rep gov pres st mt messrs mme mlle e.g i.e cf vs viz"
)
NEVER_LAST = frozenset(_NEVER_LAST_WORDS.split())
"""Abbreviations that end no sentence."""
_NOT_BEFORE_DIGITS_WORDS = "no nos fig figs vol vols pp ch sec eq art jan feb mar apr jun jul aug sep sept oct nov dec ca approx"
NOT_BEFORE_DIGITS = frozenset(_NOT_BEFORE_DIGITS_WORDS.split())
"""Abbreviations that end no sentence before a digit."""
_LONGEST = 8
ENDS = TERMINAL | SHAD
"""Classes of the marks that end sentences."""

_DOT = 0x2E


def _packed(words: frozenset[str]) -> NDArray[np.uint64]:
    return np.array(sorted(int.from_bytes(word.encode(), "little") for word in words), dtype=np.uint64)


_NEVER_LAST, _NOT_BEFORE_DIGITS = _packed(NEVER_LAST), _packed(NOT_BEFORE_DIGITS)


@njit("boolean(uint64)")
def _is_never_last(word: np.uint64) -> bool:
    found = np.searchsorted(_NEVER_LAST, word)
    return bool(found < _NEVER_LAST.size and _NEVER_LAST[found] == word)


@njit("boolean(uint64)")
def _is_not_before_digits(word: np.uint64) -> bool:
    found = np.searchsorted(_NOT_BEFORE_DIGITS, word)
    return bool(found < _NOT_BEFORE_DIGITS.size and _NOT_BEFORE_DIGITS[found] == word)


@njit("boolean(uint8[::1], int64, int64, int64, int64, uint8[::1])")
def _is_abbreviation(data: Bytes, line: int, dot: int, following: int, end: int, flags: Bytes) -> bool:
    """Whether the single dot at `dot` belongs to what stands before it; `following` is where the next word begins."""
    begin = dot
    packed = np.uint64(0)
    letters = 0
    while begin > line and letters <= _LONGEST:
        byte = data[begin - 1]
        small = byte | 0x20
        if not (97 <= small <= 122 or byte == _DOT):
            break
        begin -= 1
        letters += 1
        packed = (packed << np.uint64(8)) | np.uint64(byte if byte == _DOT else small)
    whole = letters <= _LONGEST
    if whole and begin > line and data[begin - 1] >= 0x80:
        before, _ = code_point_at(data, code_point_start_before(data, begin))
        whole = not flags[before] & LETTER
    if whole and letters and _is_never_last(packed):
        return True
    if following < end and whole and letters and _is_not_before_digits(packed):
        point, _ = code_point_at(data, following)
        if flags[point] & DECIMAL_DIGIT:
            return True
    if dot == line:
        return False
    last = code_point_start_before(data, dot)
    point, _ = code_point_at(data, last)
    if not flags[point] & LETTER:
        return False
    if last == line:
        return True
    point, _ = code_point_at(data, code_point_start_before(data, last))
    return not flags[point] & LETTER


@njit("boolean(int64)", inline=True)
def is_line_boundary(point: int) -> bool:
    r"""Whether `str.splitlines` splits there; of `\r\n` the first decides, and between the two there is nothing to count."""
    if point > 0x1E:
        return point == 0x85 or point == 0x2028 or point == 0x2029
    return 10 <= point <= 13 or point >= 28


_ONES, _HIGHS, _BLANKS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080), np.uint64(0x2020202020202020)
_DOTS, _CALLS, _ASKS = _ONES * np.uint64(0x2E), _ONES * np.uint64(0x21), _ONES * np.uint64(0x3F)


@njit("boolean(uint64)", inline=True)
def _plain(word: np.uint64) -> bool:
    """Whether eight bytes are ASCII without `.`, `!`, `?` and control characters; sometimes false where they are."""
    dots, calls, asks = word ^ _DOTS, word ^ _CALLS, word ^ _ASKS
    marks = ((dots - _ONES) & ~dots) | ((calls - _ONES) & ~calls) | ((asks - _ONES) & ~asks)
    return not (marks | word | (word - _BLANKS)) & _HIGHS


@njit("UniTuple(int64, 2)(uint8[::1], int64, int64, int64, uint8[::1], uint8[::1])")
def ends_at(data: Bytes, line: int, mark: int, end: int, flags: Bytes, classes: Bytes) -> tuple[int, int]:
    """Whether the run of marks that begins at `mark` ends a sentence (1 or 0), and where to read on."""
    position = mark
    beyond = False
    only_dots = True
    while position < end:
        point, size = code_point_at(data, position)
        if not classes[point] & ENDS:
            break
        beyond |= size > 1
        only_dots &= point == _DOT
        position += size
    marks_end = position
    while position < end:
        point, size = code_point_at(data, position)
        if not classes[point] & (ENDS | CLOSER):
            break
        beyond |= bool(classes[point] & ENDS) & (size > 1)
        position += size
    following = position
    line_ends = position == end
    while following < end:
        point, size = code_point_at(data, following)
        if classes[point] & SHAD:
            beyond = True
        elif not flags[point] & WHITESPACE:
            break
        elif is_line_boundary(point):
            line_ends = True
            break
        following += size
    if beyond or line_ends or following == end:
        return 1, following
    if following == position:
        return 0, position
    if only_dots:
        point, _ = code_point_at(data, following)
        if classes[point] & LOWER:
            return 0, following
        if marks_end == mark + 1 and _is_abbreviation(data, line, mark, following, end, flags):
            return 0, following
    return 1, following


@njit("UniTuple(int64, 2)(uint8[::1], int64, int64, uint8[::1], uint8[::1])")
def ends_at_space(data: Bytes, position: int, end: int, flags: Bytes, classes: Bytes) -> tuple[int, int]:
    """Whether white space at `position`, after a letter of SPACED, ends a sentence (1 or 0), and where to read on."""
    following = position
    while following < end:
        point, size = code_point_at(data, following)
        if not flags[point] & WHITESPACE:
            ended = following > position and classes[point] & SPACED
            return (1, following) if ended else (0, position)
        if is_line_boundary(point):
            break
        following += size
    return 0, position


@njit("int64(uint8[::1], int64, int64, uint8[::1], uint8[::1])")
def count_sentences(data: Bytes, begin: int, end: int, flags: Bytes, classes: Bytes) -> int:
    """Sentences in [begin, end).

    Args:
        data: UTF-8 bytes.
        begin, end: the document.
        flags, classes: the tables of `unicode_tables` and `line_classes`.
    """
    count = 0
    line = rest = position = begin  # `rest`: what follows the last end
    while position < end:
        if position + 8 <= end and _plain(load8(data, position)):
            position += 8
            continue
        point, size = code_point_at(data, position)
        if is_line_boundary(point):
            first, last = strip(data, rest, position, flags)
            count += first < last
            position += size
            line = rest = position
        elif classes[point] & (ENDS | SPACED):
            if classes[point] & SPACED:
                ended, position = ends_at_space(data, position + size, end, flags, classes)
            else:
                ended, position = ends_at(data, line, position, end, flags, classes)
            if ended:
                count += 1
                rest = position
        else:
            position += size
    first, last = strip(data, rest, end, flags)
    return count + int64(first < last)


@njit("int64[::1](uint8[::1], int64[::1], uint8[::1], uint8[::1])")
def sentence_counts(data: Bytes, offsets: Positions, flags: Bytes, classes: Bytes) -> Positions:
    """Sentences of each document.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        flags, classes: the tables of `unicode_tables` and `line_classes`.

    Returns:
        Shape (n_documents,).
    """
    result = np.zeros(offsets.size - 1, dtype=np.int64)
    for document in range(offsets.size - 1):
        result[document] = count_sentences(data, offsets[document], offsets[document + 1], flags, classes)
    return result


@cache
def _ends() -> re.Pattern[str]:
    marks, closers, letters = re.escape(terminal_marks() + shads()), re.escape(closing_marks()), spaced_letters()
    by_mark = rf"(?P<run>[{marks}]+)[{marks}{closers}]*(?P<space>[\s{shads()}]*)"
    return re.compile(rf"{by_mark}|(?P<spaced>[{letters}]\s+(?=[{letters}]))")


def _no_end(before: str, following: str) -> bool:
    """Whether a single dot between these two belongs to what stands before it."""
    letters = re.findall(r"[A-Za-z.]*", before)[-2] if before else ""
    whole = not before[: len(before) - len(letters)][-1:].isalpha()
    if whole and letters.lower() in NEVER_LAST:
        return True
    if whole and letters.lower() in NOT_BEFORE_DIGITS and following[0].isdecimal():
        return True
    return before[-1:].isalpha() and not before[-2:-1].isalpha()


def split_sentences_plainly(text: str) -> list[str]:
    """Sentences of a text, without white space at their ends: what `count_sentences` counts."""
    sentences = []
    for line in text.splitlines():
        begin = 0
        for match in _ends().finditer(line):
            following = line[match.end() :]
            beyond = any(not mark.isascii() for mark in match[0] if mark in terminal_marks() + shads())
            if following and not beyond and not match["spaced"]:
                if not match["space"]:
                    continue
                if not match["run"].strip(".") and following[0].islower():
                    continue
                if match["run"] == "." and _no_end(line[: match.start()], following):
                    continue
            sentences.append(line[begin : match.end()].strip())
            begin = match.end()
        if rest := line[begin:].strip():
            sentences.append(rest)
    return sentences
