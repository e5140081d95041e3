"""Compiled kernels that say where the sentences of `gristmill.stages.sentences` stand, not only how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gristmill.stages.byte_masks import address, between, first_bits, lowest
from gristmill.stages.line_classes import SPACED
from gristmill.stages.numba_cache import njit
from gristmill.stages.sentences import ENDS, ends_at, ends_at_space
from gristmill.stages.text_kernels import code_point_at, find_line_boundary, int64, strip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]


@njit("int64(uint8[::1], int64, int64)", inline=True)
def _next_mark(data: Bytes, begin: int, end: int) -> int:
    """Where `.`, `!`, `?` or a character beyond ASCII comes first in [begin, end); `end` where none does."""
    for position in range(begin, end, 64):
        at, left = address(data, position), data.size - position
        found = between(at, left, 0x21, 0x21) | between(at, left, 0x2E, 0x2E) | between(at, left, 0x3F, 0x3F)
        found = (found | between(at, left, 0x80, 0xFF)) & first_bits(end - position)
        if found:
            return position + lowest(found)
    return end


@njit("int64(uint8[::1], int64, int64, uint8[::1], uint8[::1], int64[::1], int64[::1])")
def split_sentences(data: Bytes, begin: int, end: int, flags: Bytes, classes: Bytes, starts: Positions, ends: Positions) -> int:
    """Write the sentences in [begin, end), without white space at their ends, to `starts` and `ends`; returns how many."""
    count = 0
    while begin < end:
        line_end, after = find_line_boundary(data, begin, end)
        position = first = begin
        while position < line_end:
            position = _next_mark(data, position, line_end)
            if position == line_end:
                break
            point, size = code_point_at(data, position)
            if classes[point] & SPACED:
                ended, position = ends_at_space(data, position + size, line_end, flags, classes)
            elif classes[point] & ENDS:
                ended, position = ends_at(data, begin, position, line_end, flags, classes)
            else:
                position += size
                continue
            if ended:
                starts[count], ends[count] = strip(data, first, position, flags)
                count += 1
                first = position
        starts[count], ends[count] = strip(data, first, line_end, flags)
        count += int64(starts[count] < ends[count])
        begin = after
    return count


@njit("UniTuple(int64, 2)(uint8[::1], int64[::1], int64, uint8[::1], uint8[::1], int64[::1], int64[::1], int64[::1])")
def fill_sentence_spans(
    data: Bytes,
    offsets: Positions,
    document: int,
    flags: Bytes,
    classes: Bytes,
    starts: Positions,
    ends: Positions,
    spans: Positions,
) -> tuple[int, int]:
    """Write the sentences of the documents from `document` on, as far as there is surely room; see `fill_word_spans`."""
    while document < offsets.size - 1:
        filled = spans[document]
        begin, end = offsets[document], offsets[document + 1]
        needed = end - begin + 1
        if filled + needed > starts.size:
            return document, needed
        sentences = split_sentences(data, begin, end, flags, classes, starts[filled:], ends[filled:])
        document += 1
        spans[document] = filled + sentences
    return document, 0
