"""Which documents are not in normal form already: a compiled look at the code points, so that few become Python strings."""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.normalise import BLANKS, CONTROLS, LINE_ENDS
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, int64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

MOJIBAKE = 1
"""A C1 control, one of Â Ã Œ œ, or two characters beyond ASCII side by side that misread UTF-8 may consist of."""
NFC = 2
"""A character that NFC may change or compose with what is before it."""
NFKC = 4
"""The same for NFKC."""
CONTROL = 8
"""A character of `CONTROLS`."""
LINE_END = 16
"""A character of `LINE_ENDS`."""
SPACE = 32
"""Behind a line's indentation: two blanks in a row, or one that is no space; blanks at a line's end; three newlines in a row, or
one at either end of the text."""
INDENTATION = 64
"""A line that begins with a blank."""

_MAY_BE_MISREAD = 128
_IS_BLANK, _IS_COMMON, _IS_CYRILLIC, _IS_GREEK = 1, 2, 4, 8
_COMMON = "‘’“”–—…•"
"""Marks that stand side by side in good text."""
_CYRILLIC, _GREEK = (0x410, 0x44F), (0x391, 0x3C9)


@cache
def tables() -> tuple[Bytes, Bytes]:
    """What matters of each code point, shape (0x110000,) each.

    Returns:
        The flags above as far as one code point decides them, and 128 for what misread UTF-8 may consist of; and 1 for blanks, 2
        for common marks, 4 and 8 for Cyrillic and Greek letters.
    """
    flags = np.zeros(0x110000, dtype=np.uint8)
    kinds = np.zeros(0x110000, dtype=np.uint8)
    assigned = [*range(0xA0, 0x32400), *range(0xE0000, 0xE0200)]
    for point in assigned:
        character = chr(point)
        if not unicodedata.is_normalized("NFKC", character):
            flags[point] |= NFKC
            if not unicodedata.is_normalized("NFC", character):
                flags[point] |= NFC
        if unicodedata.combining(character):
            flags[point] |= NFC | NFKC
        parts = unicodedata.decomposition(character).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            flags[int(parts[1], 16)] |= NFC | NFKC
    for first, last in ((0x1161, 0x1175), (0x11A8, 0x11C2)):  # the later parts of Hangul syllables
        flags[first : last + 1] |= NFC | NFKC
    flags[[ord(character) for character in CONTROLS]] |= CONTROL
    flags[[ord(character) for character in LINE_ENDS]] |= LINE_END
    flags[0x80:0xA0] |= MOJIBAKE
    flags[[ord(character) for character in "ÂÃŒœ"]] |= MOJIBAKE
    # all characters of the single-byte encodings that ftfy undoes; letters of one alphabet are told apart below
    flags[0x80:0x530] |= _MAY_BE_MISREAD
    flags[0x2000:0x2600] |= _MAY_BE_MISREAD
    flags[[0xFB01, 0xFB02, 0xFFFD]] |= _MAY_BE_MISREAD
    kinds[[ord(character) for character in BLANKS]] = _IS_BLANK
    kinds[[ord(character) for character in _COMMON]] = _IS_COMMON
    kinds[_CYRILLIC[0] : _CYRILLIC[1] + 1] = _IS_CYRILLIC
    kinds[_GREEK[0] : _GREEK[1] + 1] = _IS_GREEK
    return flags, kinds


@njit("uint8(uint8[::1], int64, int64, uint8[::1], uint8[::1])")
def _not_normal(data: Bytes, begin: int, end: int, flags: Bytes, kinds: Bytes) -> int:
    found = 0
    newlines = 1  # in a row; the beginning counts as the end of a line
    if begin < end and (data[begin] == 10 or data[end - 1] == 10):
        found |= SPACE
    indented = True
    blank = misread = False
    kind = 0
    position = begin
    while position < end:
        byte = data[position]
        if byte > 32 and byte < 127:
            indented = blank = misread = False
            newlines = 0
            position += 1
            continue
        point, size = int64(byte), 1
        if byte >= 0x80:
            point, size = code_point_at(data, position)
            point = min(point, flags.size - 1)  # of bytes that are no UTF-8
        position += size
        flag = flags[point]
        found |= flag & ~_MAY_BE_MISREAD
        if point == 10:
            newlines += 1
            if blank or newlines > 2:
                found |= SPACE
            indented = True
            blank = misread = False
            continue
        newlines = 0
        before, kind = kind, int64(kinds[point])
        is_misread = flag & _MAY_BE_MISREAD != 0
        if is_misread and misread and not (before == kind and kind > _IS_BLANK):
            found |= MOJIBAKE
        misread = is_misread
        if kind == _IS_BLANK:
            if indented:
                found |= INDENTATION
            elif blank or point != 32:
                found |= SPACE
            blank = True
        else:
            indented = blank = False
    if blank:
        found |= SPACE
    return found


@njit("uint8[::1](uint8[::1], int64[::1], uint8[::1], uint8[::1])")
def _not_normal_of_all(data: Bytes, offsets: Positions, flags: Bytes, kinds: Bytes) -> Bytes:
    found = np.empty(offsets.size - 1, dtype=np.uint8)
    for document in range(offsets.size - 1):
        found[document] = _not_normal(data, offsets[document], offsets[document + 1], flags, kinds)
    return found


def not_normal(features: TextFeatures) -> Bytes:
    """What each document may hold that normalisation changes.

    Returns:
        Shape (n_documents,), uint8: the flags above, added up.
    """
    return _not_normal_of_all(features.data, features.offsets, *tables())


def not_normal_plainly(text: str) -> int:
    """What `not_normal` computes for one text."""
    flags, kinds = (table.tolist() for table in tables())
    found = 0
    for character in text:
        found |= flags[ord(character)] & ~_MAY_BE_MISREAD
    for one, other in pairwise(text):
        before, after = ord(one), ord(other)
        if flags[before] & flags[after] & _MAY_BE_MISREAD and not (kinds[before] == kinds[after] > _IS_BLANK):
            found |= MOJIBAKE
    for line in text.split("\n"):
        body = line.lstrip(BLANKS)
        found |= INDENTATION if body != line else 0
        spaced = body != body.rstrip(BLANKS) or (line and not body)
        found |= SPACE if spaced or "  " in body or any(blank in body for blank in BLANKS if blank != " ") else 0
    return found | (SPACE if text.strip("\n") != text or "\n\n\n" in text else 0)
