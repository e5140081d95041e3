"""What editors that cut have in common: documents written from the pieces that stay, and a row for each part that does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, count_code_points, find_line_boundary, load8, strip

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Rows = NDArray[np.int64]

START, END, BREAK = 0, 1, 2
"""Columns of pieces: byte range in the text before; 1 for a line boundary, which is written as a newline."""
PIECE_COLUMNS = 3
ROW, FIRST_CHAR, LAST_CHAR, FIRST_BYTE, LAST_BYTE = 0, 1, 2, 3, 4
"""Columns of cuts: document, characters [first, last) of its text before, bytes [first, last) of the batch."""
CUT_COLUMNS = 5


@njit("int64[:, ::1](int64[:, ::1], int64)")
def with_room(rows: Rows, needed: int) -> Rows:
    """The same rows with room for at least `needed`."""
    if needed <= rows.shape[0]:
        return rows
    larger = np.empty((max(needed, 2 * rows.shape[0]), rows.shape[1]), dtype=np.int64)
    larger[: rows.shape[0]] = rows
    return larger


@njit("int64(int64[:, ::1], int64, int64, int64, int64)", inline=True)
def add_piece(pieces: Rows, count: int, start: int, end: int, boundary: int) -> int:
    """Put down a piece, for which there is room; returns how many there are."""
    pieces[count, START] = start
    pieces[count, END] = end
    pieces[count, BREAK] = boundary
    return count + 1


@njit("UniTuple(int64, 2)(uint8[::1], int64[:, ::1], int64, int64, uint8[::1])")
def strip_pieces(data: Bytes, pieces: Rows, first: int, last: int, flags: Bytes) -> tuple[int, int]:
    """Those of the pieces [first, last) that make the text without white space at its ends; the outer two are shortened."""
    while first < last:
        begin, end = strip(data, pieces[first, START], pieces[first, END], flags)
        if begin < end:
            pieces[first, START] = begin
            break
        first += 1
    while first < last:
        begin, end = strip(data, pieces[last - 1, START], pieces[last - 1, END], flags)
        if begin < end:
            pieces[last - 1, END] = end
            break
        last -= 1
    return first, last


@njit(
    "UniTuple(int64, 2)"
    "(uint8[::1], int64, int64, int64, uint8[::1], int64[:, ::1], int64, int64, uint8[::1], int64, int64[:, ::1], int64)"
)
def write_pieces(
    data: Bytes,
    row: int,
    begin: int,
    end: int,
    flags: Bytes,
    pieces: Rows,
    first: int,
    last: int,
    out: Bytes,
    filled: int,
    cuts: Rows,
    cut: int,
) -> tuple[int, int]:
    """Write what stays of a document, without white space at its ends, and a row for each part that does not stay.

    Args:
        data: UTF-8 bytes of all documents before.
        row, begin, end: the document and its bytes.
        flags: the table of `unicode_tables`.
        pieces, first, last: what stays, in order, is the pieces [first, last).
        out, filled: bytes of all documents after, written from `filled` on.
        cuts, cut: rows of cuts, written from `cut` on; there is room for one more than there are pieces.

    Returns:
        The bytes and the cuts that there are now.
    """
    first, last = strip_pieces(data, pieces, first, last, flags)
    run = position = counted = begin  # from `run` to `position` the text is as before; `chars` are those before `counted`
    chars = 0
    for piece in range(first, last + 1):
        start = pieces[piece, START] if piece < last else end
        boundary = piece < last and pieces[piece, BREAK]
        if start == position and piece < last and (not boundary or (pieces[piece, END] == start + 1 and data[start] == 10)):
            position = pieces[piece, END]
            continue
        out[filled : filled + position - run] = data[run:position]
        filled += position - run
        if start > position:
            chars += count_code_points(data, counted, position)
            size = count_code_points(data, position, start)
            cuts[cut, ROW] = row
            cuts[cut, FIRST_CHAR] = chars
            cuts[cut, LAST_CHAR] = chars + size
            cuts[cut, FIRST_BYTE] = position
            cuts[cut, LAST_BYTE] = start
            cut += 1
            chars += size
            counted = start
        run = start
        if piece < last:
            position = pieces[piece, END]
            if boundary:
                out[filled] = 10
                filled += 1
                run = position
    return filled, cut


@njit("UniTuple(int64, 2)(uint8[::1], int64, int64)")
def next_line_boundary(data: Bytes, begin: int, end: int) -> tuple[int, int]:
    """What `find_line_boundary` finds, eight bytes at a time where they are ASCII without control characters."""
    position = begin
    blanks, highs = np.uint64(0x2020202020202020), np.uint64(0x8080808080808080)
    while position + 8 <= end:
        word = load8(data, position)
        if (word | (word - blanks)) & highs:  # a byte below 0x20 borrows from the one above it
            stop = position + 8
            while position < stop:
                byte = data[position]
                if byte < 0x80:
                    if byte < 0x20 and (10 <= byte <= 13 or 28 <= byte <= 30):
                        return find_line_boundary(data, position, end)
                    position += 1
                else:
                    point, size = code_point_at(data, position)
                    if point == 0x85 or point == 0x2028 or point == 0x2029:
                        return position, position + size
                    position += size
        else:
            position += 8
    return find_line_boundary(data, position, end)


@njit("int64(uint8[::1], int64[:, ::1], uint8[::1], int64[::1])")
def _gather(data: Bytes, cuts: Rows, out: Bytes, offsets: Positions) -> int:
    filled = 0
    for cut in range(cuts.shape[0]):
        first, last = cuts[cut, FIRST_BYTE], cuts[cut, LAST_BYTE]
        out[filled : filled + last - first] = data[first:last]
        filled += last - first
        offsets[cut + 1] = filled
    return filled


def _strings(data: Bytes, offsets: Positions) -> pa.Array:
    import pyarrow as pa

    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def with_text(table: pa.Table, data: Bytes, offsets: Positions) -> pa.Table:
    """The documents with other texts.

    Args:
        table: documents.
        data: UTF-8 bytes of the new texts.
        offsets: shape (n_documents + 1,).
    """
    at = table.schema.get_field_index("text")
    return table.set_column(at, table.schema.field(at), _strings(data, offsets).cast(table.schema.field(at).type))


def cuts_table(data: Bytes, cuts: Rows) -> pa.Table:
    """The cuts as `gristmill.stages.editor.Edited` holds them.

    Args:
        data: UTF-8 bytes of all documents before.
        cuts: shape (n_cuts, CUT_COLUMNS).
    """
    import pyarrow as pa

    offsets = np.zeros(len(cuts) + 1, dtype=np.int64)
    text = np.empty(int((cuts[:, LAST_BYTE] - cuts[:, FIRST_BYTE]).sum()), dtype=np.uint8)
    _gather(data, cuts, text, offsets)
    numbers = {"row": cuts[:, ROW], "start": cuts[:, FIRST_CHAR], "end": cuts[:, LAST_CHAR]}
    return pa.table(
        {name: pa.array(np.ascontiguousarray(values)) for name, values in numbers.items()} | {"text": _strings(text, offsets)}
    )


def spans_by_row(cuts: Rows) -> dict[int, list[tuple[int, int]]]:
    """By document its cuts, as characters [first, last) of its text; rows ascend.

    Args:
        cuts: shape (n_cuts, CUT_COLUMNS).
    """
    found: dict[int, list[tuple[int, int]]] = {}
    for row, first, last in cuts[:, [ROW, FIRST_CHAR, LAST_CHAR]].tolist():
        found.setdefault(row, []).append((first, last))
    return found
