"""A compiled kernel for C4's rules on lines: which of them stay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.c4_phrase_kernels import (
    HAS_BRACE,
    HAS_JAVASCRIPT,
    HAS_LOREM_IPSUM,
    HAS_POLICY,
    POLICY_PHRASES,
    find_phrases,
    may_have_phrases,
)
from gristmill.stages.cut_kernels import (
    CUT_COLUMNS,
    PIECE_COLUMNS,
    add_piece,
    next_line_boundary,
    with_room,
    write_pieces,
)
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, strip
from gristmill.stages.unicode_tables import DECIMAL_DIGIT, WHITESPACE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Rows = NDArray[np.int64]

CITATIONS, END_MARK, JAVASCRIPT, POLICY = 1, 2, 4, 8
"""Rules that are on, added up."""
SINGLE_QUOTE, WORDS_BEFORE_CITATIONS = 16, 32
"""`'` is an end mark; words are counted before citation marks are cut."""
LEAVE_SURVIVORS, LEAVE_ANYWHERE = 64, 128
"""Lines with a mark that the page rules look for stay: those that pass the tests before that of the mark, or all."""

KEPT, TOO_LONG_WORD, NO_END_MARK, TOO_FEW_WORDS, SAYS_JAVASCRIPT, SAYS_POLICY, BLANK = 0, 1, 2, 3, 4, 5, 6
"""What becomes of a line; columns of the counts."""
FATES = 7

_EDIT = np.frombuffer(b"[edit]", dtype=np.uint8)
_CITATION_NEEDED = np.frombuffer(b"[citation needed]", dtype=np.uint8)


@njit("int64(uint8[::1], int64, int64, uint8[::1])")
def _citation(data: Bytes, position: int, end: int, flags: Bytes) -> int:
    """Where the citation mark ends that begins at this `[`; `position` where there is none."""
    for wanted in (_EDIT, _CITATION_NEEDED):
        if position + wanted.size <= end:
            same = True
            for index in range(wanted.size):
                same &= data[position + index] == wanted[index]
            if same:
                return position + wanted.size
    after = position + 1
    while after < end:
        point, size = code_point_at(data, after)
        if not flags[point] & DECIMAL_DIGIT:
            return after + 1 if point == 0x5D else position
        after += size
    return position


@njit("boolean(uint8[::1], int64, int64, int64, uint8[::1])")
def _has_words(data: Bytes, begin: int, end: int, least: int, flags: Bytes) -> bool:
    """Whether [begin, end) has at least so many words; reads no further than it must."""
    words = 0
    inside = False
    position = begin
    while position < end and words < least:
        point, size = code_point_at(data, position)
        space = flags[point] & WHITESPACE != 0
        words += not space and not inside
        inside = not space
        position += size
    return words >= least


@njit("boolean(uint8[::1], int64, int64, int64, uint8[::1])")
def _has_longer_word(data: Bytes, begin: int, end: int, most: int, flags: Bytes) -> bool:
    """Whether [begin, end) has a word of more than `most` characters."""
    while end - begin > most:  # look for a blank from the last place backwards where such a word would have to go on
        blank = begin + most
        while blank >= begin and data[blank] != 0x20:
            blank -= 1
        if blank < begin:
            break
        begin = blank + 1
    length = 0
    position = begin if end - begin > most else end
    while position < end:
        point, size = code_point_at(data, position)
        length = 0 if flags[point] & WHITESPACE else length + 1
        if length > most:
            return True
        position += size
    return False


@njit("boolean(uint8[::1], int64, int64, int64)")
def _has_end_mark(data: Bytes, begin: int, end: int, rules: int) -> bool:
    if begin == end:
        return False
    last = data[end - 1]
    if last == 0x2E:
        return not (end - begin >= 3 and data[end - 2] == 0x2E and data[end - 3] == 0x2E)
    return bool(last == 0x3F or last == 0x21 or last == 0x22 or (last == 0x27 and rules & SINGLE_QUOTE))


@njit("int64(uint8[::1], int64, int64, uint8[::1], int64, int64, boolean)")
def _fate(data: Bytes, begin: int, end: int, flags: Bytes, min_words: int, rules: int, counted: bool) -> int:
    """What becomes of a line after the test of its longest word; `counted`: it is known to have the words it needs."""
    if rules & END_MARK and not _has_end_mark(data, begin, end, rules):
        return NO_END_MARK
    if not counted and not _has_words(data, begin, end, min_words, flags):
        return TOO_FEW_WORDS
    if not rules & (JAVASCRIPT | POLICY):
        return KEPT
    found = find_phrases(data, begin, end)
    if found & HAS_LOREM_IPSUM and rules & LEAVE_SURVIVORS:
        return KEPT
    if found & HAS_JAVASCRIPT and rules & JAVASCRIPT:
        return SAYS_JAVASCRIPT
    if found & HAS_BRACE and rules & LEAVE_SURVIVORS:
        return KEPT
    if found & HAS_POLICY and rules & POLICY:
        return SAYS_POLICY
    return KEPT


@njit("UniTuple(int64, 2)(uint8[::1], int64, int64, uint8[::1], int64[:, ::1], int64, uint8[::1])")
def _without_citations(
    data: Bytes, begin: int, end: int, flags: Bytes, pieces: Rows, count: int, scratch: Bytes
) -> tuple[int, int]:
    """Put down the pieces of a line between citation marks, and copy them to `scratch`.

    Returns:
        How many pieces there are, and how many bytes were copied.
    """
    length = 0
    position = piece = begin
    while position < end:
        if data[position] == 0x5B:
            citation_end = _citation(data, position, end, flags)
            if citation_end > position:
                if position > piece:
                    count = add_piece(pieces, count, piece, position, 0)
                position = piece = citation_end
                continue
        scratch[length] = data[position]
        length += 1
        position += 1
    if end > piece:
        count = add_piece(pieces, count, piece, end, 0)
    return count, length


@njit("int64(uint8[::1], int64, int64)", inline=True)
def _brackets(data: Bytes, begin: int, end: int) -> int:
    count = 0
    for position in range(begin, end):
        count += data[position] == 0x5B
    return count


@njit("Tuple((uint8[::1], int64[::1], int64[:, ::1], int64[:, ::1]))(uint8[::1], int64[::1], uint8[::1], int64, int64, int64)")
def keep_lines(
    data: Bytes, offsets: Positions, flags: Bytes, max_word_chars: int, min_words: int, rules: int
) -> tuple[Bytes, Positions, Rows, Rows]:
    """Cut citation marks and lines.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        flags: the table of `unicode_tables`.
        max_word_chars: most characters of a word in a line that stays; below 0: no limit.
        min_words: fewest words of a line that stays.
        rules: the rules that are on, added up.

    Returns:
        Bytes of the new texts, their offsets, shape (n_documents + 1,), what became of their lines, shape (n_documents, FATES),
        and the cuts, shape (n_cuts, CUT_COLUMNS).
    """
    documents = offsets.size - 1
    out = np.empty(offsets[documents] - offsets[0], dtype=np.uint8)
    new_offsets = np.zeros(documents + 1, dtype=np.int64)
    fates = np.zeros((documents, FATES), dtype=np.int64)
    pieces = np.empty((256, PIECE_COLUMNS), dtype=np.int64)
    cuts = np.empty((256, CUT_COLUMNS), dtype=np.int64)
    scratch = np.empty(1024, dtype=np.uint8)
    filled = cut = 0
    for row in range(documents):
        line, end = offsets[row], offsets[row + 1]
        on = rules if may_have_phrases(data, line, end) else rules & ~(JAVASCRIPT | POLICY | LEAVE_ANYWHERE)
        bracketed = on & CITATIONS != 0 and _brackets(data, line, end) != 0
        count = 0
        boundary = boundary_end = -1  # of the line that was kept last
        while line < end:
            line_end, after = next_line_boundary(data, line, end)
            first, last = strip(data, line, line_end, flags)
            citations = _brackets(data, first, last) if bracketed else 0
            if count + citations + 2 > pieces.shape[0]:
                pieces = with_room(pieces, count + citations + 2)
            new_count = count
            if boundary >= 0:
                newline = boundary_end - 1 if data[boundary_end - 1] == 10 else boundary
                new_count = add_piece(pieces, count, newline, boundary_end, 1)
            leave = on & LEAVE_ANYWHERE != 0 and find_phrases(data, first, last) & (HAS_LOREM_IPSUM | HAS_BRACE) != 0
            fate = KEPT
            if citations:
                if last - first > scratch.size:
                    scratch = np.empty(2 * (last - first), dtype=np.uint8)
                new_count, length = _without_citations(data, first, last, flags, pieces, new_count, scratch)
            elif last > first:
                new_count = add_piece(pieces, new_count, first, last, 0)
            if leave:
                pass
            elif max_word_chars >= 0 and _has_longer_word(data, first, last, max_word_chars, flags):
                fate = TOO_LONG_WORD
            elif citations:
                counted = rules & WORDS_BEFORE_CITATIONS != 0
                fate = _fate(scratch, 0, length, flags, min_words, on, counted)
                if counted and fate != NO_END_MARK and not _has_words(data, first, last, min_words, flags):
                    fate = TOO_FEW_WORDS
            else:
                fate = _fate(data, first, last, flags, min_words, on, False)
            if fate == KEPT:
                count = new_count
                boundary, boundary_end = line_end, after
            fates[row, BLANK if first == last else fate] += 1
            line = after
        cuts = with_room(cuts, cut + count + 1)
        filled, cut = write_pieces(data, row, offsets[row], end, flags, pieces, 0, count, out, filled, cuts, cut)
        new_offsets[row + 1] = filled
    return out[:filled], new_offsets, fates, cuts[:cut]


def fate_plainly(raw: str, line: str, max_word_chars: int, min_words: int, rules: int) -> int:
    """What becomes of a line; `raw` has its citation marks, `line` has them no more."""
    lowered = line.lower()
    lorem, brace = "lorem ipsum" in lowered, "{" in line
    if rules & LEAVE_ANYWHERE and ("lorem ipsum" in raw.lower() or "{" in raw):
        return KEPT
    if max_word_chars >= 0 and any(len(word) > max_word_chars for word in raw.split()):
        return TOO_LONG_WORD
    marks = (".", "?", "!", '"', "'") if rules & SINGLE_QUOTE else (".", "?", "!", '"')
    if rules & END_MARK and (not line.endswith(marks) or line.endswith("...")):
        return NO_END_MARK
    if len((raw if rules & WORDS_BEFORE_CITATIONS else line).split()) < min_words:
        return TOO_FEW_WORDS
    if lorem and rules & LEAVE_SURVIVORS:
        return KEPT
    if rules & JAVASCRIPT and "javascript" in lowered:
        return SAYS_JAVASCRIPT
    if brace and rules & LEAVE_SURVIVORS:
        return KEPT
    if rules & POLICY and any(phrase in lowered for phrase in POLICY_PHRASES):
        return SAYS_POLICY
    return KEPT


def keep_lines_plainly(text: str, max_word_chars: int, min_words: int, rules: int) -> str:
    """What `keep_lines` leaves of a text."""
    kept = []
    for raw in map(str.strip, text.splitlines()):
        line = re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", raw) if rules & CITATIONS else raw
        if fate_plainly(raw, line, max_word_chars, min_words, rules) == KEPT:
            kept.append(line)
    return "\n".join(kept).strip()
