"""Where lines, paragraphs and spans of sentences stand in the texts of a batch, and what the texts are without some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.cut_kernels import CUT_COLUMNS, FIRST_BYTE, FIRST_CHAR, LAST_BYTE, LAST_CHAR, ROW, with_room
from gristmill.stages.numba_cache import njit
from gristmill.stages.repeated_lines_kernels import END, START, add_unit_cuts, text_units
from gristmill.stages.text_kernels import code_point_at, code_point_start_before, count_code_points
from gristmill.stages.unicode_tables import WHITESPACE, tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import Spans, TextFeatures

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Rows = NDArray[np.int64]

_NEWLINE = 10


@njit("Tuple((int64[::1], int64[::1], int64[::1]))(uint8[::1], int64[::1], boolean, uint8[::1])")
def _units(data: Bytes, offsets: Positions, paragraphs: bool, flags: Bytes) -> tuple[Positions, Positions, Positions]:
    units = np.empty((64, 4), dtype=np.int64)
    found = np.empty((data.size // 40 + 64, 3), dtype=np.int64)
    filled = 0
    for row in range(offsets.size - 1):
        units, count = text_units(data, offsets[row], offsets[row + 1], paragraphs, flags, units)
        found = with_room(found, filled + count)
        for unit in range(count):
            found[filled, 0], found[filled, 1], found[filled, 2] = row, units[unit, START], units[unit, END]
            filled += 1
    return found[:filled, 0].copy(), found[:filled, 1].copy(), found[:filled, 2].copy()


def unit_spans(features: TextFeatures, paragraphs: bool) -> tuple[Positions, Positions, Positions]:
    """Lines, also blank ones, or paragraphs, which are parted by blank lines.

    Returns:
        Document, first byte and end (in `features.data`) of each, ascending.
    """
    return _units(features.data, features.offsets, paragraphs, tables().flags)


def sentence_spans(sentences: Spans, size: int) -> tuple[Positions, Positions, Positions]:
    """Every `size` sentences of a document in a row.

    Returns:
        Document, first byte and end of each span, ascending.
    """
    count = np.diff(sentences.offsets)
    rows = np.repeat(np.arange(len(count), dtype=np.int64), count)
    first = np.flatnonzero(rows[: len(rows) - size + 1] == rows[size - 1 :]) if len(rows) >= size else np.zeros(0, np.int64)
    return rows[first], sentences.starts[first], sentences.ends[first + size - 1]


@njit("Tuple((uint8[::1], int64[::1]))(uint8[::1], int64[::1], int64[:, ::1])")
def _without(data: Bytes, offsets: Positions, cuts: Rows) -> tuple[Bytes, Positions]:
    """The texts without the cuts, which are ascending and do not overlap."""
    out = np.empty(data.size, dtype=np.uint8)
    new_offsets = np.zeros(offsets.size, dtype=np.int64)
    filled = cut = 0
    for row in range(offsets.size - 1):
        position = offsets[row]
        while cut < cuts.shape[0] and cuts[cut, ROW] == row:
            stop = cuts[cut, FIRST_BYTE]
            out[filled : filled + stop - position] = data[position:stop]
            filled += stop - position
            position = cuts[cut, LAST_BYTE]
            cut += 1
        stop = offsets[row + 1]
        out[filled : filled + stop - position] = data[position:stop]
        filled += stop - position
        new_offsets[row + 1] = filled
    return out[:filled].copy(), new_offsets


@njit("int64[:, ::1](uint8[::1], int64[::1], boolean, int64[::1], int64[::1], uint8[::1])")
def _unit_cuts(data: Bytes, offsets: Positions, paragraphs: bool, rows: Positions, starts: Positions, flags: Bytes) -> Rows:
    units = np.empty((64, 4), dtype=np.int64)
    cuts = np.empty((rows.size + 1, CUT_COLUMNS), dtype=np.int64)
    is_cut = np.empty(0, dtype=np.bool_)
    given = cut = 0
    while given < rows.size:
        row = rows[given]
        begin, end = offsets[row], offsets[row + 1]
        units, count = text_units(data, begin, end, paragraphs, flags, units)
        if count > is_cut.size:
            is_cut = np.empty(2 * count, dtype=np.bool_)
        for unit in range(count):
            is_cut[unit] = given < rows.size and rows[given] == row and starts[given] == units[unit, START]
            given += is_cut[unit]
        if given < rows.size and rows[given] == row:
            raise ValueError("a unit to be cut is none of its text's")
        cuts, cut = add_unit_cuts(data, row, begin, end, units, count, is_cut, cuts, cut)
    return cuts[:cut].copy()


def cut_units(features: TextFeatures, paragraphs: bool, rows: Positions, starts: Positions) -> tuple[Bytes, Positions, Rows]:
    """Cut lines or paragraphs with what parts them from the next one, at the end of a text from the one before.

    Args:
        features: the texts.
        paragraphs: units are paragraphs.
        rows, starts: document and first byte (in `features.data`) of the units that go, ascending, no one twice.

    Returns:
        UTF-8 bytes of the texts after, their offsets (n_documents + 1), and rows of cuts as in `cut_kernels`.
    """
    cuts = _unit_cuts(features.data, features.offsets, paragraphs, rows, starts, tables().flags)
    return *_without(features.data, features.offsets, cuts), cuts


@njit("int64(uint8[::1], int64, int64, uint8[::1])")
def _before_blanks(data: Bytes, begin: int, position: int, flags: Bytes) -> int:
    """The end of what stands before the white space that ends at `position`."""
    while position > begin:
        start = code_point_start_before(data, position)
        if not flags[code_point_at(data, start)[0]] & WHITESPACE:
            break
        position = start
    return position


@njit("int64(uint8[::1], int64, int64, uint8[::1])")
def _after_blanks(data: Bytes, position: int, end: int, flags: Bytes) -> int:
    """The beginning of what follows the white space at `position`."""
    while position < end:
        point, width = code_point_at(data, position)
        if not flags[point] & WHITESPACE:
            break
        position += width
    return position


@njit("boolean(uint8[::1], int64, int64)")
def _has_newline(data: Bytes, begin: int, end: int) -> bool:
    position = begin
    while position < end and data[position] != _NEWLINE:
        position += 1
    return position < end


@njit("int64[:, ::1](uint8[::1], int64[::1], int64[::1], int64[::1], int64[::1], uint8[::1])")
def _span_cuts(data: Bytes, offsets: Positions, rows: Positions, starts: Positions, ends: Positions, flags: Bytes) -> Rows:
    cuts = np.empty((rows.size, CUT_COLUMNS), dtype=np.int64)
    cut = given = 0
    row, position, chars = -1, 0, 0
    while given < rows.size:
        if rows[given] != row:
            row, chars = rows[given], 0
            position = offsets[row]
        begin, end = offsets[row], offsets[row + 1]
        first, last = starts[given], ends[given]
        after = _after_blanks(data, last, end, flags)
        given += 1
        while given < rows.size and rows[given] == row and starts[given] <= after:
            if ends[given] > last:
                last = ends[given]
                after = _after_blanks(data, last, end, flags)
            given += 1
        before = _before_blanks(data, begin, first, flags)
        if before == begin:
            first, last = begin, after
        elif after == end or not _has_newline(data, before, first) or _has_newline(data, last, after):
            first = before
            last = end if after == end else last
        else:
            last = after
        chars += count_code_points(data, position, first)
        size = count_code_points(data, first, last)
        cuts[cut, ROW], cuts[cut, FIRST_CHAR], cuts[cut, LAST_CHAR] = row, chars, chars + size
        cuts[cut, FIRST_BYTE], cuts[cut, LAST_BYTE] = first, last
        cut += 1
        position, chars = last, chars + size
    return cuts[:cut].copy()


def cut_spans(features: TextFeatures, rows: Positions, starts: Positions, ends: Positions) -> tuple[Bytes, Positions, Rows]:
    """Cut the union of spans of sentences, which may overlap; of the white space on the two sides one stays.

    It is that behind the span, unless only that before it holds a newline; none stays at the ends of a text.

    Args:
        features: the texts.
        rows, starts, ends: document and bytes (in `features.data`) of the spans, ascending.

    Returns:
        UTF-8 bytes of the texts after, their offsets (n_documents + 1), and rows of cuts as in `cut_kernels`.
    """
    cuts = _span_cuts(features.data, features.offsets, rows, starts, ends, tables().flags)
    return *_without(features.data, features.offsets, cuts), cuts


def units_plainly(text: str, paragraphs: bool) -> list[tuple[int, int]]:
    """First character and end of each line or paragraph of a text, as `unit_spans` finds them."""
    units: list[tuple[int, int]] = []
    position, is_open = 0, False
    for line in text.split("\n"):
        end = position + len(line)
        if is_open and line.strip():
            units[-1] = (units[-1][0], end)
        elif line.strip() or not paragraphs:
            units.append((position, end))
        is_open = paragraphs and bool(line.strip())
        position = end + 1
    return units


def cut_units_plainly(text: str, paragraphs: bool, gone: set[int]) -> str:
    """The text that `cut_units` leaves of one whose units of these numbers go."""
    units = units_plainly(text, paragraphs)
    stay = [number for number in range(len(units)) if number not in gone]
    if not gone:
        return text
    if not stay:
        return ""
    last = stay[-1]
    pieces = [text[: units[0][0]]]
    for number in stay:
        following = units[number + 1][0] if number < last else units[number][1]
        pieces.append(text[units[number][0] : following])
    if last == len(units) - 1:
        pieces.append(text[units[last][1] :])
    return "".join(pieces)


def cut_spans_plainly(text: str, spans: list[tuple[int, int]]) -> str:
    """The text that `cut_spans` leaves of one without these spans (first character and end, ascending)."""
    gone = np.zeros(len(text), dtype=bool)
    for start, end in spans:
        gone[start:end] = True
    blank = np.array([character.isspace() for character in text], dtype=bool)
    for start, end in _runs(blank):  # between two that go, white space goes too
        if start and end < len(text) and gone[start - 1] and gone[end]:
            gone[start:end] = True
    for start, end in list(_runs(gone)):
        before, after = start, end
        while before and blank[before - 1]:
            before -= 1
        while after < len(text) and blank[after]:
            after += 1
        if before == 0:
            gone[:after] = True
        elif after == len(text) or "\n" not in text[before:start] or "\n" in text[end:after]:
            gone[before : after if after == len(text) else end] = True
        else:
            gone[end:after] = True
    return "".join(character for character, is_gone in zip(text, gone.tolist(), strict=True) if not is_gone)


def _runs(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
