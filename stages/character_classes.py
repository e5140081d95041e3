"""More of what Unicode says about each code point: marks, symbols, cases, numbers, and canonical decompositions."""

from __future__ import annotations

import string
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from gristmill.stages.unicode_tables import CODE_POINTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LETTER_OR_MARK = 1
"""Flag: general category L* or M*."""
SPECIAL = 2
"""Flag: punctuation, symbol, decimal digit or whitespace: what ROOTS strips from words and counts as special characters."""
UPPER = 4
"""Flag: `str.isupper`."""
LOWER_OR_TITLE = 8
"""Flag: a cased character that is not upper case; a word that holds one is not `str.isupper`."""
NUMERIC = 16
"""Flag: `str.isnumeric`."""
ASCII_PUNCTUATION = 32
"""Flag: in `string.punctuation`."""


@cache
def character_classes() -> NDArray[np.uint8]:
    """The flags above, added up, of each code point, from the interpreter's own Unicode data (0.5 s, once a process).

    Returns:
        uint8 of shape (0x110000,), not to be written to.
    """
    import numpy as np

    one_character = np.arange(CODE_POINTS, dtype=np.uint32).view("U1")
    major = np.frombuffer("".join(unicodedata.category(chr(point))[0] for point in range(CODE_POINTS)).encode(), np.uint8)
    upper = np.char.isupper(one_character)
    cased = upper | np.char.islower(one_character) | np.char.istitle(one_character)
    special = np.isin(major, np.frombuffer(b"PSZ", np.uint8)) | np.char.isdecimal(one_character) | np.char.isspace(one_character)
    classes = np.zeros(CODE_POINTS, dtype=np.uint8)
    classes[np.isin(major, np.frombuffer(b"LM", np.uint8))] |= LETTER_OR_MARK
    classes[special] |= SPECIAL
    classes[upper] |= UPPER
    classes[cased & ~upper] |= LOWER_OR_TITLE
    classes[np.char.isnumeric(one_character)] |= NUMERIC
    classes[[ord(mark) for mark in string.punctuation]] |= ASCII_PUNCTUATION
    return classes


def is_special_plainly(character: str) -> bool:
    """What the flag SPECIAL says."""
    return unicodedata.category(character)[0] in "PSZ" or character.isdecimal() or character.isspace()


class Decompositions(NamedTuple):
    """Lower case and canonical decomposition (NFD) of each code point on its own."""

    first: NDArray[np.int32]
    """Shape (0x110000 + 1,): where those of each code point begin in `points`, and the end."""
    points: NDArray[np.int32]
    """Code points, one after the other."""
    combining: NDArray[np.uint8]
    """Shape (0x110000,): canonical combining class, by which NFD orders marks."""


_BLOCK = 0x800


def _lower_decomposition(point: int) -> str:
    if 0xD800 <= point < 0xE000:  # no text holds a surrogate on its own
        return chr(0xFFFD)
    return unicodedata.normalize("NFD", chr(point).lower())


@cache
def lower_decompositions() -> Decompositions:
    """The tables from the interpreter's own Unicode data (1 s, once a process); not to be written to."""
    import numpy as np

    first = np.zeros(CODE_POINTS + 1, dtype=np.int32)
    blocks = []
    for begin in range(0, CODE_POINTS, _BLOCK):  # strings for all at once take 120 MB
        pieces = [_lower_decomposition(point) for point in range(begin, begin + _BLOCK)]
        first[begin + 1 : begin + _BLOCK + 1] = [len(piece) for piece in pieces]
        blocks.append(np.frombuffer("".join(pieces).encode("utf-32-le"), np.int32))
    np.cumsum(first, out=first)
    combining = np.frombuffer(bytes(unicodedata.combining(chr(point)) for point in range(CODE_POINTS)), np.uint8).copy()
    return Decompositions(first, np.concatenate(blocks), combining)
