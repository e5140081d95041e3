"""A compiled kernel for mC4's rule on pages: how long their third longest line is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.byte_masks import address, between, first_bits, lowest
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import count_code_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

_NEWLINE = 0x0A


@njit("int64(uint8[::1], int64, int64)", inline=True)
def _next_newline(data: Bytes, begin: int, end: int) -> int:
    """Position of the first newline in [begin, end), `end` where there is none."""
    for position in range(begin, end, 64):
        found = first_bits(end - position) & between(address(data, position), data.size - position, _NEWLINE, _NEWLINE)
        if found:
            return position + lowest(found)
    return end


@njit("int64[::1](uint8[::1], int64[::1])")
def third_longest_lines(data: Bytes, offsets: Positions) -> Positions:
    """Characters of the third longest of the lines that newlines part; 0 for texts of fewer than three.

    Returns:
        Shape (n_documents,).
    """
    result = np.zeros(offsets.size - 1, dtype=np.int64)
    for document in range(offsets.size - 1):
        first = second = third = 0
        begin, end = offsets[document], offsets[document + 1]
        while begin <= end:
            stop = _next_newline(data, begin, end)
            # a line has at most as many characters as bytes: most are too short to be counted
            if stop - begin > third:
                length = count_code_points(data, begin, stop)
                if length > first:
                    first, second, third = length, first, second
                elif length > second:
                    second, third = length, second
                elif length > third:
                    third = length
            begin = stop + 1
        result[document] = third
    return result
