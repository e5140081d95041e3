"""A compiled kernel that counts what FineWeb's rules bound, in one pass over the lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.line_classes import TERMINAL
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import (
    code_point_at,
    code_point_start_before,
    count_code_points,
    find_newline,
    hash_bytes,
    int64,
    strip,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

ALL_LINES, FULL_LINES, ENDED, ENDED_QUOTED, SHORT, SHORT_FULL, COPIES_CHARS, CHARS, NEWLINES = 0, 1, 2, 3, 4, 5, 6, 7, 8
"""Columns of `line_counts`: lines; full ones, that is, not blank; full lines that end in terminal punctuation; lines that end in
one of `.'"!?`; short lines; short full lines; characters of extra copies of full lines; characters but newlines; newlines."""
COLUMNS = 9


@njit("int64[:, ::1](uint8[::1], int64[::1], int64, uint8[::1], uint8[::1])")
def line_counts(data: Bytes, offsets: Positions, short_chars: int, flags: Bytes, classes: Bytes) -> NDArray[np.int64]:
    """Count lines of several sorts. Lines end at newlines only; nothing is stripped.

    Two different lines with the same 64-bit hash (see `hash_bytes`) would be counted as copies.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        short_chars: most characters of a short line.
        flags, classes: the tables of `unicode_tables` and `line_classes`.

    Returns:
        Shape (n_documents, COLUMNS); the columns are named above.
    """
    result = np.zeros((offsets.size - 1, COLUMNS), dtype=np.int64)
    table = np.zeros(64, dtype=np.uint64)
    used = np.zeros(64, dtype=np.int64)  # the document that used a slot last, plus one: nothing is cleared between documents
    for row in range(offsets.size - 1):
        position, end = offsets[row], offsets[row + 1]
        newlines = 0
        for byte in data[position:end]:
            newlines += byte == 10
        if 2 * (newlines + 1) > table.size:
            size = table.size
            while size < 2 * (newlines + 1):
                size *= 2
            table = np.zeros(size, dtype=np.uint64)
            used = np.zeros(size, dtype=np.int64)
        counts = result[row]
        counts[ALL_LINES] = newlines + 1
        counts[NEWLINES] = newlines
        while True:
            line_end = find_newline(data, position, end)
            chars = count_code_points(data, position, line_end)
            counts[CHARS] += chars
            counts[SHORT] += chars <= short_chars
            if position < line_end:
                last = data[line_end - 1]
                counts[ENDED_QUOTED] += last == 0x2E or last == 0x27 or last == 0x22 or last == 0x21 or last == 0x3F
                first, stripped_end = strip(data, position, line_end, flags)
                if first < stripped_end:
                    counts[FULL_LINES] += 1
                    counts[SHORT_FULL] += chars <= short_chars
                    point, _ = code_point_at(data, code_point_start_before(data, line_end))
                    counts[ENDED] += classes[point] & TERMINAL != 0
                    hashed = hash_bytes(data, position, line_end)
                    slot = int64(hashed >> np.uint64(20)) & (table.size - 1)
                    while used[slot] == row + 1 and table[slot] != hashed:
                        slot = (slot + 1) & (table.size - 1)
                    if used[slot] == row + 1:
                        counts[COPIES_CHARS] += chars
                    else:
                        used[slot] = row + 1
                        table[slot] = hashed
            if line_end >= end:
                break
            position = line_end + 1
    return result
