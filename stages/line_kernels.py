"""Compiled kernels that count symbols, bullets and ellipses, and repeated lines and paragraphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.byte_masks import ONE, address, between, first_bits, lowest, ones
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, count_code_points, hash_bytes, int64, is_ascii, split_segments, strip
from gristmill.stages.word_kernels import longest_document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

HASHES, DOTS, SPACED_DOTS, ELLIPSES = 0, 1, 2, 3
"""Columns of `symbol_counts`."""
SEGMENTS, BULLETS, ENDS_IN_DOTS, ENDS_IN_SPACED_DOTS, ENDS_IN_ELLIPSIS = 0, 1, 2, 3, 4
"""Columns of `line_marks`."""
SEGMENT_CHARS, EXTRA_COPIES, EXTRA_CHARS, COPIES, COPIES_CHARS = 1, 2, 3, 4, 5
"""Columns of `segment_copies`, after SEGMENTS."""

_HASH_SIGN, _DOT, _BLANK = 0x23, 0x2E, 0x20


@njit("boolean(uint8[::1], int64, int64)", inline=True)
def _three_dots(data: Bytes, begin: int, end: int) -> bool:
    return end - begin >= 3 and data[begin] == _DOT and data[begin + 1] == _DOT and data[begin + 2] == _DOT


@njit("boolean(uint8[::1], int64, int64)", inline=True)
def _three_spaced_dots(data: Bytes, begin: int, end: int) -> bool:
    if end - begin < 5 or data[begin + 1] != _BLANK or data[begin + 3] != _BLANK:
        return False
    return bool(data[begin] == _DOT and data[begin + 2] == _DOT and data[begin + 4] == _DOT)


@njit("boolean(uint8[::1], int64, int64)", inline=True)
def _ellipsis(data: Bytes, begin: int, end: int) -> bool:
    return end - begin >= 3 and data[begin] == 0xE2 and data[begin + 1] == 0x80 and data[begin + 2] == 0xA6


@njit("int64[:, ::1](uint8[::1], int64[::1])")
def symbol_counts(data: Bytes, offsets: Positions) -> NDArray[np.int64]:
    """Occurrences of `#`, `...`, `. . .` and the ellipsis character, each counted without overlaps, as `str.count` does.

    Returns:
        Shape (n_documents, 4).
    """
    result = np.zeros((offsets.size - 1, 4), dtype=np.int64)
    for document in range(offsets.size - 1):
        begin, end = offsets[document], offsets[document + 1]
        hashes = dots = spaced = ellipses = 0
        next_dots = next_spaced = begin
        for block in range(begin, end, 64):
            at, left = address(data, block), data.size - block
            inside = first_bits(end - block)
            hashes += ones(inside & between(at, left, _HASH_SIGN, _HASH_SIGN))
            first = inside & between(at, left, _DOT, _DOT)
            if first:
                third = first & between(at + 2, left - 2, _DOT, _DOT)
                while third:
                    position = block + lowest(third)
                    third &= third - ONE
                    if position >= next_dots and _three_dots(data, position, end):
                        dots += 1
                        next_dots = position + 3
                    if position >= next_spaced and _three_spaced_dots(data, position, end):
                        spaced += 1
                        next_spaced = position + 5
            first = inside & between(at, left, 0xE2, 0xE2)
            if first:
                ellipses += ones(first & between(at + 1, left - 1, 0x80, 0x80) & between(at + 2, left - 2, 0xA6, 0xA6))
        result[document, HASHES] = hashes
        result[document, DOTS] = dots
        result[document, SPACED_DOTS] = spaced
        result[document, ELLIPSES] = ellipses
    return result


@njit("int64[:, ::1](uint8[::1], int64[::1], int64, boolean, uint8[::1], int64[::1])")
def line_marks(data: Bytes, offsets: Positions, kind: int, stripped: bool, flags: Bytes, bullets: Positions) -> NDArray[np.int64]:
    """Count lines, those that begin with a bullet, and those that end in an ellipsis of each sort.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        kind: number of the way of splitting.
        stripped: look for bullets and ellipses inside of the whitespace around a line.
        flags: the table of `unicode_tables`.
        bullets: code points.

    Returns:
        Shape (n_documents, 5); the columns are named above.
    """
    result = np.zeros((offsets.size - 1, 5), dtype=np.int64)
    room = longest_document(offsets) + 1
    starts = np.empty(room, dtype=np.int64)
    ends = np.empty(room, dtype=np.int64)
    for document in range(offsets.size - 1):
        lines = split_segments(data, offsets[document], offsets[document + 1], kind, flags, starts, ends)
        result[document, SEGMENTS] = lines
        for line in range(lines):
            first, last = starts[line], ends[line]
            if stripped:
                first, last = strip(data, first, last, flags)
            if first == last:
                continue
            point, _ = code_point_at(data, first)
            for bullet in bullets:
                if bullet == point:
                    result[document, BULLETS] += 1
                    break
            if _three_dots(data, max(first, last - 3), last):
                result[document, ENDS_IN_DOTS] += 1
            elif _three_spaced_dots(data, max(first, last - 5), last):
                result[document, ENDS_IN_SPACED_DOTS] += 1
            elif _ellipsis(data, max(first, last - 3), last):
                result[document, ENDS_IN_ELLIPSIS] += 1
    return result


@njit("int64[:, ::1](uint8[::1], int64[::1], int64, uint8[::1])")
def segment_copies(data: Bytes, offsets: Positions, kind: int, flags: Bytes) -> NDArray[np.int64]:
    """Count lines or paragraphs that occur more than once in their document, and their code points.

    Two different segments with the same 64-bit hash (see `hash_bytes`) would be counted as copies.

    Args:
        data, offsets, kind, flags: as in `line_marks`.

    Returns:
        Shape (n_documents, 6): segments and their code points; extra copies (all but the first of each) and their code points;
        all copies of those that occur more than once, and their code points.
    """
    result = np.zeros((offsets.size - 1, 6), dtype=np.int64)
    room = longest_document(offsets) + 1
    starts = np.empty(room, dtype=np.int64)
    ends = np.empty(room, dtype=np.int64)
    hashes = np.empty(0, dtype=np.uint64)
    copies = np.empty(0, dtype=np.int64)
    slots = np.empty(0, dtype=np.int64)
    for document in range(offsets.size - 1):
        begin, end = offsets[document], offsets[document + 1]
        segments = split_segments(data, begin, end, kind, flags, starts, ends)
        ascii_only = is_ascii(data, begin, end)
        size = 16
        while size < 2 * segments:
            size *= 2
        if size > slots.size:
            hashes = np.empty(size, dtype=np.uint64)
            copies = np.empty(size, dtype=np.int64)
            slots = np.empty(size, dtype=np.int64)
        slots[:size] = -1
        for segment in range(segments):
            first, last = starts[segment], ends[segment]
            hashed = hash_bytes(data, first, last)
            length = last - first if ascii_only else count_code_points(data, first, last)
            result[document, SEGMENT_CHARS] += length
            slot = int64(hashed >> np.uint64(20)) & (size - 1)
            while slots[slot] >= 0 and hashes[slots[slot]] != hashed:
                slot = (slot + 1) & (size - 1)
            earlier = slots[slot]
            if earlier < 0:
                slots[slot] = segment
                hashes[segment] = hashed
                copies[segment] = 1
                continue
            copies[earlier] += 1
            new = 2 if copies[earlier] == 2 else 1  # with the second copy the first becomes a copy, too
            result[document, EXTRA_COPIES] += 1
            result[document, EXTRA_CHARS] += length
            result[document, COPIES] += new
            result[document, COPIES_CHARS] += new * length
        result[document, SEGMENTS] = segments
    return result


@njit("UniTuple(int64, 2)(uint8[::1], int64[::1], int64, int64, uint8[::1], int64[::1], int64[::1], int64[::1])")
def fill_segment_spans(
    data: Bytes,
    offsets: Positions,
    document: int,
    kind: int,
    flags: Bytes,
    starts: Positions,
    ends: Positions,
    spans: Positions,
) -> tuple[int, int]:
    """Write the segments of the documents from `document` on, as far as there is surely room; see `fill_word_spans`."""
    while document < offsets.size - 1:
        filled = spans[document]
        needed = offsets[document + 1] - offsets[document] + 1
        if filled + needed > starts.size:
            return document, needed
        segments = split_segments(data, offsets[document], offsets[document + 1], kind, flags, starts[filled:], ends[filled:])
        document += 1
        spans[document] = filled + segments
    return document, 0
