"""Which characters end sentences, close quotations, have case or are digits: one table that compiled kernels can index."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TERMINAL = 1
"""Class: ends sentences. Unicode's Sentence_Terminal (version 15.0) and three Khmer marks, which is what datatrove calls terminal
punctuation [code: datatrove utils/text.py]. Quotation marks and the ellipsis character are not among them."""
CLOSER = 2
"""Class: may stand between the end of a sentence and the white space after it (quotation marks, closing brackets)."""
LOWER = 4
"""Class: `str.islower`."""
UPPER = 8
"""Class: `str.isupper`."""
DIGIT = 16
"""Class: `str.isdigit`, so superscripts and circled digits, too."""
SHAD = 32
"""Class: Tibetan's marks between clauses and sentences, none of them in Unicode's Sentence_Terminal, but all that Tibetan has."""
SPACED = 64
"""Class: letters and signs of Thai and Lao, whose sentences end at a space and at no mark."""

_TERMINAL = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D6 17D9-17DA "
    "1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 2E2E 2E3C 2E53-2E54 "
    "3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF0E FF1F "
    "FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 "
    "1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C "
    "11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F 1DA88"
)


def terminal_marks() -> str:
    """All characters of class TERMINAL, by code point."""
    pairs = [(part.split("-")[0], part.split("-")[-1]) for part in _TERMINAL.split()]
    return "".join(chr(point) for first, last in pairs for point in range(int(first, 16), int(last, 16) + 1))


def shads() -> str:
    """All characters of class SHAD: shad, nyis shad, tsheg shad, their ornamented forms, gter tsheg."""
    return "".join(map(chr, (*range(0x0F0D, 0x0F13), 0x0F14)))


def spaced_letters() -> str:
    """All characters of class SPACED, by code point."""
    return "".join(
        chr(point)
        for first, last in ((0xE01, 0xE3A), (0xE40, 0xE4E), (0xE81, 0xECE), (0xEDC, 0xEDF))
        for point in range(first, last + 1)
    )


def closing_marks() -> str:
    """All characters of class CLOSER: straight quotation marks, closing punctuation (Pe), quotation marks (Pi, Pf)."""
    return "".join(
        character
        for character in map(chr, range(0x10000))  # none beyond
        if character in "\"'" or unicodedata.category(character) in ("Pe", "Pf", "Pi")
    )


@cache
def line_classes() -> NDArray[np.uint8]:
    """The classes of each code point, added up.

    Returns:
        uint8 of shape (0x110000,), the same array at every call, not to be written to.
    """
    import numpy as np

    classes = np.zeros(0x110000, dtype=np.uint8)
    one_character = np.arange(0x20000, dtype=np.uint32).view("U1")  # no letter with case, no digit beyond
    low = classes[:0x20000]
    for value, test in ((LOWER, np.char.islower), (UPPER, np.char.isupper), (DIGIT, np.char.isdigit)):
        low[test(one_character)] |= value
    classes[[ord(character) for character in terminal_marks()]] |= TERMINAL
    classes[[ord(character) for character in closing_marks()]] |= CLOSER
    classes[[ord(character) for character in shads()]] |= SHAD
    classes[[ord(character) for character in spaced_letters()]] |= SPACED
    return classes
