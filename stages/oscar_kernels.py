"""A compiled kernel for OSCAR's annotations: short and long lines, at the beginning and the end, and what is no letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.character_kernels import count_letters_or_marks
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import count_code_points, find_newline, int64
from gristmill.stages.word_kernels import longest_document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

LINES, SHORT_LINES, LINE_CHARS, LONG_LINE_CHARS, END_LINES, SHORT_FIRST, SHORT_LAST, CHARACTERS, NO_LETTERS = range(9)
"""Columns of `line_statistics`."""

_CARRIAGE_RETURN = 13


@njit("int64(uint8[::1], int64, int64, int64[::1], int64[::1])")
def split_at_newlines(data: Bytes, begin: int, end: int, starts: Positions, ends: Positions) -> int:
    """Lines as Rust's `str::lines` gives them: parted at newlines, without one carriage return before; returns how many."""
    lines = 0
    while begin < end:
        stop = find_newline(data, begin, end)
        starts[lines] = begin
        ends[lines] = stop - 1 if stop < end and stop > begin and data[stop - 1] == _CARRIAGE_RETURN else stop
        lines += 1
        begin = stop + 1
    return lines


@njit("int64[:, ::1](uint8[::1], int64[::1], uint8[::1], boolean, int64, float64)")
def line_statistics(
    data: Bytes, offsets: Positions, classes: Bytes, trimmed: bool, short: int, end_share: float
) -> NDArray[np.int64]:
    """Measure the lines of each document.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        classes: the table of `character_classes`.
        trimmed: leave out the lines of at most `short` characters at the beginning and at the end of the document.
        short: in characters, or bytes for the first and last lines; see the columns.
        end_share: share of the lines that are the first lines, and share that are the last, rounded down.

    Returns:
        Shape (n_documents, 9): lines; those of at most `short` characters; characters of all lines; characters of lines of at
        least `short`; how many are the first lines (and the last); first lines of fewer than `short` bytes; last lines of so
        few; characters of the lines joined by newlines; those of them that are neither letter nor mark.
    """
    documents = offsets.size - 1
    result = np.zeros((documents, 9), dtype=np.int64)
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    for document in range(documents):
        lines = split_at_newlines(data, offsets[document], offsets[document + 1], starts, ends)
        first = 0
        if trimmed:
            while first < lines and count_code_points(data, starts[first], ends[first]) <= short:
                first += 1
            while first < lines and count_code_points(data, starts[lines - 1], ends[lines - 1]) <= short:
                lines -= 1
        total = lines - first
        at_an_end = int64(total * end_share)
        row = result[document]
        row[LINES] = total
        row[END_LINES] = at_an_end
        row[CHARACTERS] = max(total - 1, 0)
        for line in range(first, lines):
            position, end = starts[line], ends[line]
            few_bytes = int64(end - position < short)
            row[SHORT_FIRST] += few_bytes & int64(line < first + at_an_end)
            row[SHORT_LAST] += few_bytes & int64(line >= lines - at_an_end)
            characters = count_code_points(data, position, end)
            row[SHORT_LINES] += int64(characters <= short)
            row[LINE_CHARS] += characters
            row[LONG_LINE_CHARS] += characters if characters >= short else 0
            row[CHARACTERS] += characters
        row[NO_LETTERS] = row[CHARACTERS]
        if total > 0:  # what parts the lines is no letter
            row[NO_LETTERS] -= count_letters_or_marks(data, starts[first], ends[lines - 1], classes)
    return result
