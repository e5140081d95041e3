"""Compiled kernels that count characters by what they are, 64 bytes at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.byte_masks import ONE, address, ascii_space, between, first_bits, letters, lowest, ones
from gristmill.stages.character_classes import LETTER_OR_MARK, SPECIAL
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, int64
from gristmill.stages.unicode_tables import ALPHANUMERIC, LETTER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

CHARACTERS, LETTERS, ALPHANUMERICS, LETTERS_OR_MARKS, SPECIALS = range(5)
"""Columns of `character_sorts`: code points; those with the flags of `unicode_tables` and `character_classes`."""


@njit("void(uint8[::1], int64, int64, uint8[::1], uint8[::1], int64[::1])")
def _count_sorts(data: Bytes, begin: int, end: int, flags: Bytes, classes: Bytes, row: Positions) -> None:
    """Count the characters of [begin, end); arguments as in `character_sorts`."""
    characters = ascii_letters = digits = marks = alphabetic = alphanumeric = letters_or_marks = special = 0
    for position in range(begin, end, 64):
        at, left = address(data, position), data.size - position
        inside = first_bits(end - position)
        characters += ones(inside & ~between(at, left, 0x80, 0xBF))
        ascii_letters += ones(inside & letters(at, left))
        digits += ones(inside & between(at, left, 0x30, 0x39))
        # of ASCII all but letters and control characters
        signs = between(at, left, 0x21, 0x40) | between(at, left, 0x5B, 0x60) | between(at, left, 0x7B, 0x7E)
        marks += ones(inside & (ascii_space(at, left) | signs))
        leads = inside & between(at, left, 0xC0, 0xFF)
        while leads:
            point, _ = code_point_at(data, position + lowest(leads))
            leads &= leads - ONE
            alphabetic += int64(flags[point] & LETTER != 0)
            alphanumeric += int64(flags[point] & ALPHANUMERIC != 0)
            letters_or_marks += int64(classes[point] & LETTER_OR_MARK != 0)
            special += int64(classes[point] & SPECIAL != 0)
    row[CHARACTERS] = characters
    row[LETTERS] = ascii_letters + alphabetic
    row[ALPHANUMERICS] = ascii_letters + digits + alphanumeric
    row[LETTERS_OR_MARKS] = ascii_letters + letters_or_marks
    row[SPECIALS] = marks + special


@njit("int64(uint8[::1], int64, int64, uint8[::1])")
def count_letters_or_marks(data: Bytes, begin: int, end: int, classes: Bytes) -> int:
    """How many characters of [begin, end) are letters or marks; `classes` as in `character_sorts`."""
    count = 0
    for position in range(begin, end, 64):
        at, left = address(data, position), data.size - position
        inside = first_bits(end - position)
        count += ones(inside & letters(at, left))
        leads = inside & between(at, left, 0xC0, 0xFF)
        while leads:
            point, _ = code_point_at(data, position + lowest(leads))
            leads &= leads - ONE
            count += int64(classes[point] & LETTER_OR_MARK != 0)
    return count


@njit("int64[:, ::1](uint8[::1], int64[::1], uint8[::1], uint8[::1])")
def character_sorts(data: Bytes, offsets: Positions, flags: Bytes, classes: Bytes) -> NDArray[np.int64]:
    """Count the characters of each document by what they are.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        flags, classes: the tables of `unicode_tables` and `character_classes`.

    Returns:
        Shape (n_documents, 5); the columns are named above.
    """
    result = np.zeros((offsets.size - 1, 5), dtype=np.int64)
    for document in range(offsets.size - 1):
        _count_sorts(data, offsets[document], offsets[document + 1], flags, classes, result[document])
    return result
