"""Lines and paragraphs that a document has said already: compiled kernels that cut them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.cut_kernels import CUT_COLUMNS, FIRST_BYTE, FIRST_CHAR, LAST_BYTE, LAST_CHAR, ROW, with_room
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import count_code_points, find_newline, hash_bytes, int64, strip
from gristmill.stages.unicode_tables import tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Rows = NDArray[np.int64]

START, END, FIRST, LAST = 0, 1, 2, 3
"""Columns of units: the unit's bytes, and those without the white space at its ends (FIRST == LAST for blank ones)."""


@njit("Tuple((int64[:, ::1], int64))(uint8[::1], int64, int64, boolean, uint8[::1], int64[:, ::1])")
def text_units(data: Bytes, begin: int, end: int, paragraphs: bool, flags: Bytes, units: Rows) -> tuple[Rows, int]:
    """Lines, or paragraphs (lines in a row that are not blank) of a document, in room that grows as needed, and how many."""
    count = 0
    open_paragraph = False
    position = begin
    while True:
        stop = find_newline(data, position, end)
        first, last = strip(data, position, stop, flags)
        if open_paragraph and first < last:
            units[count - 1, END] = stop
            units[count - 1, LAST] = last
        elif first < last or not paragraphs:
            units = with_room(units, count + 1)
            units[count, START], units[count, END] = position, stop
            units[count, FIRST], units[count, LAST] = first, last
            count += 1
        open_paragraph = paragraphs and first < last
        if stop >= end:
            return units, count
        position = stop + 1


@njit("boolean(uint8[::1], int64, int64, int64, int64)")
def _are_equal(data: Bytes, first: int, last: int, other: int, other_last: int) -> bool:
    size = last - first
    same = 0
    while same < size and data[first + same] == data[other + same]:
        same += 1
    return bool(same == size and size == other_last - other)


@njit("void(uint8[::1], int64[:, ::1], int64, int64, int64, int64[::1], int64[::1], boolean[::1])")
def _mark_copies(
    data: Bytes, units: Rows, count: int, copies: int, least: int, slots: Positions, seen: Positions, is_cut: NDArray[np.bool_]
) -> None:
    """Set `is_cut` for units of at least `least` code points that stand before `copies` times already."""
    mask = slots.size - 1
    slots[:] = -1
    for unit in range(count):
        is_cut[unit] = False
        first, last = units[unit, FIRST], units[unit, LAST]
        if last - first < least or first == last or count_code_points(data, first, last) < least:
            continue
        slot = int64(hash_bytes(data, first, last) >> np.uint64(20)) & mask
        while slots[slot] >= 0 and not _are_equal(data, first, last, units[slots[slot], FIRST], units[slots[slot], LAST]):
            slot = (slot + 1) & mask
        if slots[slot] < 0:
            slots[slot] = unit
            seen[unit] = 0
        seen[slots[slot]] += 1
        is_cut[unit] = seen[slots[slot]] > copies


@njit("Tuple((int64[:, ::1], int64))(uint8[::1], int64, int64, int64, int64[:, ::1], int64, boolean[::1], int64[:, ::1], int64)")
def add_unit_cuts(
    data: Bytes, row: int, begin: int, end: int, units: Rows, count: int, is_cut: NDArray[np.bool_], cuts: Rows, cut: int
) -> tuple[Rows, int]:
    """Write a row for each unit that is cut, with what parts it from the next; at the end of a text, from the one before."""
    trailing = count
    while trailing > 0 and is_cut[trailing - 1]:
        trailing -= 1
    position, chars = begin, 0
    for unit in range(count):
        if not is_cut[unit]:
            continue
        if unit < trailing:
            first, last = units[unit, START], units[unit + 1, START]
        else:
            first = units[unit - 1, END] if unit else begin
            last = end if unit == count - 1 else units[unit, END]
        cuts = with_room(cuts, cut + 1)
        chars += count_code_points(data, position, first)
        size = count_code_points(data, first, last)
        cuts[cut, ROW] = row
        cuts[cut, FIRST_CHAR], cuts[cut, LAST_CHAR] = chars, chars + size
        cuts[cut, FIRST_BYTE], cuts[cut, LAST_BYTE] = first, last
        cut += 1
        position, chars = last, chars + size
    return cuts, cut


@njit("Tuple((uint8[::1], int64[::1], int64[:, ::1]))(uint8[::1], int64[::1], boolean, int64, int64, uint8[::1])")
def _cut_copies(
    data: Bytes, offsets: Positions, paragraphs: bool, copies: int, least: int, flags: Bytes
) -> tuple[Bytes, Positions, Rows]:
    units = np.empty((64, 4), dtype=np.int64)
    cuts = np.empty((64, CUT_COLUMNS), dtype=np.int64)
    slots, seen, is_cut = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.bool_)
    out = np.empty(data.size, dtype=np.uint8)
    new_offsets = np.zeros(offsets.size, dtype=np.int64)
    filled = cut = 0
    for row in range(offsets.size - 1):
        begin, end = offsets[row], offsets[row + 1]
        units, count = text_units(data, begin, end, paragraphs, flags, units)
        size = 16
        while size < 2 * count:
            size *= 2
        if size > slots.size:
            slots, seen, is_cut = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.bool_)
        _mark_copies(data, units, count, copies, least, slots[:size], seen, is_cut)
        first_cut = cut
        cuts, cut = add_unit_cuts(data, row, begin, end, units, count, is_cut, cuts, cut)
        position = begin
        for one in range(first_cut, cut + 1):
            stop = cuts[one, FIRST_BYTE] if one < cut else end
            out[filled : filled + stop - position] = data[position:stop]
            filled += stop - position
            if one < cut:
                position = cuts[one, LAST_BYTE]
        new_offsets[row + 1] = filled
    return out[:filled].copy(), new_offsets, cuts[:cut].copy()


def cut_copies(features: TextFeatures, paragraphs: bool, copies: int, least: int) -> tuple[Bytes, Positions, Rows]:
    """Cut lines or paragraphs that stand in their document before.

    Args:
        features: the texts.
        paragraphs: take paragraphs, parted by blank lines, in place of lines.
        copies: how many of the same stay, the first ones.
        least: fewest code points, without white space at the ends, of what is cut.

    Returns:
        UTF-8 bytes of the texts after, their offsets (n_documents + 1), and rows of cuts as in `cut_kernels`.
    """
    return _cut_copies(features.data, features.offsets, paragraphs, copies, least, tables().flags)


def cut_copies_plainly(text: str, paragraphs: bool, copies: int, least: int) -> str:
    """The text that `cut_copies` leaves."""
    lines = text.split("\n")
    units: list[list[str]] = [[]]  # with the blank lines behind them
    for line in lines:
        previous = units[-1]
        if not paragraphs or (line.strip() and (not previous or not previous[-1].strip())):
            units.append([])
        units[-1].append(line)
    seen: dict[str, int] = {}
    kept: list[str] = []
    for unit in units:
        content = "\n".join(unit).strip()
        seen[content] = seen.get(content, 0) + 1
        if not content or len(content) < least or seen[content] <= copies:
            kept += unit
            last = unit
    if paragraphs and units[-1] is not last:
        while not kept[-1].strip():
            kept.pop()
    return "\n".join(kept)
