r"""A compiled kernel for RefinedWeb's line-wise corrections, as DCLM reproduced them, and its plain definition.

The corrections come one after the other, each over all lines that are left; after each but the one on the number of words, white
space at the ends of the text goes [code: dclm baselines/mappers/modifiers.py]. Lines end at newlines only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.cut_kernels import (
    BREAK,
    CUT_COLUMNS,
    END,
    PIECE_COLUMNS,
    START,
    add_piece,
    strip_pieces,
    with_room,
    write_pieces,
)
from gristmill.stages.line_classes import DIGIT, UPPER
from gristmill.stages.numba_cache import njit
from gristmill.stages.phrase_kernels import AT_END, AT_START, COUNTED, find_phrases, has_more_words, is_counter
from gristmill.stages.rare_parts import may_have
from gristmill.stages.text_kernels import code_point_at, find_newline, int64, is_ascii, strip

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Points = NDArray[np.int32]
    Positions = NDArray[np.int64]
    Rows = NDArray[np.int64]

UPPER_CASE, NUMERIC, COUNTER, FEW_WORDS, BLANK_AFTER_EDIT = 0, 1, 2, 3, 4
"""Why lines go; columns of the counts."""
REASONS = 5


@njit("boolean(uint8[::1], int64, int64, float64, uint8, uint8[::1])")
def _exceeds(data: Bytes, begin: int, end: int, most: float, wanted: int, classes: Bytes) -> bool:
    """Whether more than the share `most` of the characters are of the class `wanted`; false for an empty line."""
    if wanted == UPPER and is_ascii(data, begin, end):
        capitals = 0
        for index in range(begin, end):
            capitals += (data[index] >= 65) & (data[index] <= 90)
        return begin < end and capitals / (end - begin) > most
    found = chars = 0
    others_allowed = (1 - most) * (end - begin) + 1
    position = begin
    while position < end:
        point, size = code_point_at(data, position)
        found += classes[point] & wanted != 0
        chars += 1
        if chars - found > others_allowed:  # of bytes, so of characters all the more
            return False
        position += size
    return chars > 0 and found / chars > most


@njit("UniTuple(int64, 2)(uint8[::1], int64[:, ::1], int64, int64, uint8[::1])")
def _gathered(data: Bytes, pieces: Rows, first: int, last: int, scratch: Bytes) -> tuple[int, int]:
    """Copy the pieces [first, last) of a line to `scratch`; the bytes [0, size) there."""
    size = 0
    for piece in range(first, last):
        start, end = pieces[piece, START], pieces[piece, END]
        scratch[size : size + end - start] = data[start:end]
        size += end - start
    return 0, size


@njit("int64(int64[:, ::1], int64, int64, int64[:, ::1], int64, int64[:, ::1], int64)")
def _keep_but(pieces: Rows, first: int, last: int, found: Rows, ranges: int, kept: Rows, count: int) -> int:
    """Put down the pieces [first, last) of a line without byte ranges of the line; returns how many pieces there are now."""
    before = 0  # bytes of the line in the pieces before
    cut = 0
    for piece in range(first, last):
        start, end = pieces[piece, START], pieces[piece, END]
        shift = start - before
        position = start
        while cut < ranges and found[cut, 0] + shift < end:
            stop = found[cut, 0] + shift
            if stop > position:
                count = add_piece(kept, count, position, stop, 0)
            position = max(position, min(found[cut, 1] + shift, end))
            if found[cut, 1] + shift > end:
                break
            cut += 1
        if position < end:
            count = add_piece(kept, count, position, end, 0)
        before += end - start
    return count


@njit("boolean(uint8[::1], int64, int64, int64[:, ::1], int64, uint8[::1])")
def _blank_without(data: Bytes, begin: int, end: int, found: Rows, ranges: int, flags: Bytes) -> bool:
    """Whether a line is nothing but white space without these byte ranges."""
    position = begin
    for index in range(ranges + 1):
        stop = found[index, 0] if index < ranges else end
        first, last = strip(data, position, stop, flags)
        if first < last:
            return False
        if index < ranges:
            position = found[index, 1]
    return True


@njit("Tuple((int64[:, ::1], int64))(uint8[::1], int64, int64, int64[:, ::1])")
def _lines(data: Bytes, begin: int, end: int, pieces: Rows) -> tuple[Rows, int]:
    """The lines of a document as pieces (none for an empty line) with the newlines between them, and how many there are."""
    count = 0
    while True:
        line_end = find_newline(data, begin, end)
        pieces = with_room(pieces, count + 2)
        if begin < line_end:
            count = add_piece(pieces, count, begin, line_end, 0)
        if line_end >= end:
            return pieces, count
        count = add_piece(pieces, count, line_end, line_end + 1, 1)
        begin = line_end + 1


@njit(
    "boolean(uint8[::1], int64, int64, int64, float64, float64, int64, uint8[::1], int32[::1], uint8[::1])",
)
def _goes(
    data: Bytes,
    begin: int,
    end: int,
    correction: int,
    max_upper: float,
    max_digits: float,
    min_words: int,
    flags: Bytes,
    lower: Points,
    classes: Bytes,
) -> bool:
    """Whether a line goes by one of the first four corrections."""
    if correction == UPPER_CASE:
        return _exceeds(data, begin, end, max_upper, UPPER, classes)
    if correction == NUMERIC:
        return _exceeds(data, begin, end, max_digits, DIGIT, classes)
    if correction == COUNTER:
        return is_counter(data, begin, end, flags, lower)
    return begin < end and not has_more_words(data, begin, end, min_words - 1, flags)


@njit(
    "Tuple((int64[:, ::1], int64))(uint8[::1], int64[:, ::1], int64, int64, int64[:, ::1], int64, float64, float64, int64, int64,"
    "int32[::1], int64[::1], uint8[::1], int32[::1], uint8[::1], uint8[::1], int64[:, ::1], int64[::1])"
)
def _corrected(
    data: Bytes,
    pieces: Rows,
    first: int,
    last: int,
    kept: Rows,
    correction: int,
    max_upper: float,
    max_digits: float,
    min_words: int,
    max_edit_words: int,
    phrases: Points,
    phrase_offsets: Positions,
    flags: Bytes,
    lower: Points,
    classes: Bytes,
    scratch: Bytes,
    found: Rows,
    gone: Positions,
) -> tuple[Rows, int]:
    """Correct the lines in the pieces [first, last); `gone` counts those that go.

    Returns:
        The pieces after, and how many there are; -1 where nothing changes.
    """
    count = -1  # nothing is copied before the first line that changes
    boundary = -1  # of the line that was kept last
    line = first
    while line <= last:
        after = line
        while after < last and not pieces[after, BREAK]:
            after += 1
        buffer, begin, end = data, int64(0), int64(0)
        if after - line == 1:
            begin, end = pieces[line, START], pieces[line, END]
        elif after > line:
            buffer = scratch
            begin, end = _gathered(data, pieces, line, after, scratch)
        ranges = 0
        reason = -1
        if correction < BLANK_AFTER_EDIT:
            if _goes(buffer, begin, end, correction, max_upper, max_digits, min_words, flags, lower, classes):
                reason = correction
        elif max_edit_words < 0 or not has_more_words(buffer, begin, end, max_edit_words, flags):
            if end - begin >= found.shape[0]:
                found = with_room(found, end - begin + 1)
            where = correction - BLANK_AFTER_EDIT
            ranges = find_phrases(buffer, begin, end, where, phrases, phrase_offsets, flags, lower, found)
            if begin < end and _blank_without(buffer, begin, end, found, ranges, flags):
                reason = BLANK_AFTER_EDIT
        if count < 0 and (reason >= 0 or ranges):
            kept = with_room(kept, line - first)
            kept[: line - first] = pieces[first:line]
            count = max(line - first - 1, 0)  # without the boundary before this line
            boundary = line - 1 if line > first else -1
        if reason >= 0:
            gone[reason] += 1
        elif count >= 0:
            kept = with_room(kept, count + (after - line) + ranges + 1)
            if boundary >= 0:
                count = add_piece(kept, count, pieces[boundary, START], pieces[boundary, END], 1)
            found[:ranges] -= begin
            count = _keep_but(pieces, line, after, found, ranges, kept, count)
            boundary = after
        line = after + 1
    return kept, count


@njit(
    "Tuple((uint8[::1], int64[::1], int64[:, ::1], int64[:, ::1]))(uint8[::1], int64[::1], int64[::1], float64, float64, int64,"
    "int64, int32[::1], int64[::1], int64[::1], uint64[::1], uint8[::1], int32[::1], uint8[::1])"
)
def correct_lines(
    data: Bytes,
    offsets: Positions,
    corrections: Positions,
    max_upper: float,
    max_digits: float,
    min_words: int,
    max_edit_words: int,
    phrases: Points,
    phrase_offsets: Positions,
    phrase_sets: Positions,
    rare: NDArray[np.uint64],
    flags: Bytes,
    lower: Points,
    classes: Bytes,
) -> tuple[Bytes, Positions, Rows, Rows]:
    """Correct the lines of each document.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        corrections: those that are on, in their order: UPPER_CASE to FEW_WORDS, then BLANK_AFTER_EDIT + ANYWHERE, + AT_END,
            + AT_START for phrases that are cut.
        max_upper, max_digits: greatest shares of upper-case characters and of digits in a line.
        min_words: fewest words of a line.
        max_edit_words: most words of a line in which phrases are cut; below 0: no limit.
        phrases, phrase_offsets: code points of all phrases in lower case, and where each begins.
        phrase_sets: shape (4,): where the phrases of each kind begin among them.
        rare: what `rare_parts` makes of the phrases.
        flags, lower: the tables of `unicode_tables`.
        classes: the table of `line_classes`.

    Returns:
        Bytes of the new texts, their offsets, shape (n_documents + 1,), lines that went for each reason, shape (n_documents,
        REASONS), and the cuts, shape (n_cuts, CUT_COLUMNS).
    """
    documents = offsets.size - 1
    out = np.empty(offsets[documents] - offsets[0], dtype=np.uint8)
    new_offsets = np.zeros(documents + 1, dtype=np.int64)
    gone = np.zeros((documents, REASONS), dtype=np.int64)
    pieces = np.empty((256, PIECE_COLUMNS), dtype=np.int64)
    kept = np.empty((256, PIECE_COLUMNS), dtype=np.int64)
    cuts = np.empty((256, CUT_COLUMNS), dtype=np.int64)
    scratch = np.empty(0, dtype=np.uint8)
    found = np.empty((1000, 2), dtype=np.int64)
    # then a document without a phrase is as it was after the edits
    no_blank_lines = min_words > 0 and np.any(corrections == FEW_WORDS)
    filled = cut = 0
    for row in range(documents):
        begin, end = offsets[row], offsets[row + 1]
        pieces, count = _lines(data, begin, end, pieces)
        first, last = 0, count
        plain = no_blank_lines and not may_have(data, begin, end, rare)
        for correction in corrections:
            if first == last:
                break
            if correction >= BLANK_AFTER_EDIT and plain:
                break
            if correction > BLANK_AFTER_EDIT and scratch.size < end - begin:
                scratch = np.empty(end - begin, dtype=np.uint8)
            where = max(correction - BLANK_AFTER_EDIT, 0)
            chosen = phrase_offsets[phrase_sets[where] : phrase_sets[where + 1] + 1]
            kept, count = _corrected(
                data,
                pieces,
                first,
                last,
                kept,
                correction,
                max_upper,
                max_digits,
                min_words,
                max_edit_words,
                phrases,
                chosen,
                flags,
                lower,
                classes,
                scratch,
                found,
                gone[row],
            )
            if count >= 0:
                pieces, kept = kept, pieces
                first, last = 0, count
            if correction != FEW_WORDS:
                first, last = strip_pieces(data, pieces, first, last, flags)
        cuts = with_room(cuts, cut + last - first + 1)
        filled, cut = write_pieces(data, row, begin, end, flags, pieces, first, last, out, filled, cuts, cut)
        new_offsets[row + 1] = filled
    return out[:filled], new_offsets, gone, cuts[:cut]


def _folded(text: str) -> str:
    """Lower case, character for character."""
    return "".join(character.lower() if len(character.lower()) == 1 else character for character in text)


def _phrase_pattern(phrases: tuple[str, ...], where: int) -> str:
    found = "(?:" + "|".join(re.escape(_folded(phrase)) for phrase in phrases) + ")"
    return rf"^{found}\s?" if where == AT_START else rf"\s?{found}\Z" if where == AT_END else rf"\s?{found}"


def _edited_plainly(line: str, pattern: str, max_words: int) -> str | None:
    """The line without what the pattern finds; None where nothing but white space is left of it."""
    if 0 <= max_words < len(line.split()):
        return line
    places = [0, *(place for match in re.finditer(pattern, _folded(line)) for place in match.span()), len(line)]
    after = "".join(line[begin:end] for begin, end in zip(places[::2], places[1::2], strict=True))
    return None if line and not after.strip() else after


def correct_lines_plainly(
    text: str,
    corrections: list[int],
    max_upper: float,
    max_digits: float,
    min_words: int,
    max_edit_words: int,
    phrases: tuple[tuple[str, ...], ...],
) -> str:
    """What `correct_lines` leaves of a text; `phrases` are those of each kind."""
    counter = rf"\W*\d[,.\d]*[kmb]?\s+(?:{'|'.join(COUNTED)})\W*"
    for correction in corrections:
        lines: list[str] = text.split("\n")
        if correction == UPPER_CASE:
            lines = [line for line in lines if not line or sum(map(str.isupper, line)) / len(line) <= max_upper]
        elif correction == NUMERIC:
            lines = [line for line in lines if not line or sum(map(str.isdigit, line)) / len(line) <= max_digits]
        elif correction == COUNTER:
            lines = [line for line in lines if not re.fullmatch(counter, _folded(line))]
        elif correction == FEW_WORDS:
            lines = [line for line in lines if not line or len(line.split()) >= min_words]
        else:
            where = correction - BLANK_AFTER_EDIT
            pattern = _phrase_pattern(phrases[where], where)
            lines = [after for line in lines if (after := _edited_plainly(line, pattern, max_edit_words)) is not None]
        text = "\n".join(lines) if correction == FEW_WORDS else "\n".join(lines).strip()
    return text.strip()
