"""The Word_Break classes of UAX #29 (Unicode Text Segmentation), one a code point, for compiled kernels.

The general categories are the interpreter's (`unicodedata`); what it does not know (scripts, line-break classes, pictographs) is
listed here from the definitions of UAX #29 table 3, as of Unicode 16.0.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from gristmill.stages.unicode_tables import categories

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OTHER = 0
CR = 1
LF = 2
NEWLINE = 3
EXTEND = 4
ZWJ = 5
REGIONAL_INDICATOR = 6
FORMAT = 7
KATAKANA = 8
HEBREW_LETTER = 9
A_LETTER = 10
SINGLE_QUOTE = 11
DOUBLE_QUOTE = 12
MID_NUM_LET = 13
MID_LETTER = 14
MID_NUM = 15
NUMERIC = 16
EXTEND_NUM_LET = 17
W_SEG_SPACE = 18

CLASS_MASK = 31
"""The bits of an entry that hold the class."""
PICTOGRAPH = 32
"""Flag beside the class: Extended_Pictographic."""
ASCII_WORD = 64
"""Flag beside the class: an ASCII letter, digit or underscore; any two of them belong to one word."""

Ranges = list[tuple[int, int]]


def _ranges(text: str) -> Ranges:
    """Read `'41-5A 5F'`: hexadecimal code points, ranges inclusive."""
    pairs = [part.split("-") for part in text.split()]
    return [(int(pair[0], 16), int(pair[-1], 16)) for pair in pairs]


_KATAKANA = _ranges(
    "3031-3035 309B-309C 30A0-30FA 30FC-30FF 31F0-31FF 32D0-32FE 3300-3357 FF66-FF9D 1AFF0-1AFF3 1AFF5-1AFFB 1AFFD-1AFFE "
    "1B000 1B120-1B122 1B155 1B164-1B167"
)
HIRAGANA = _ranges("3041-3096 309D-309F 1B001-1B11F 1B132 1B150-1B152 1F200")
IDEOGRAPHIC = _ranges(
    "3006-3007 3021-3029 3038-303A 3400-4DBF 4E00-9FFF F900-FAD9 16FE4 16FF2-16FF3 17000-18AFF 18B00-18CD5 18CFF-18D1E "
    "1B170-1B2FB 20000-3FFFD"
)
# Line_Break=Complex_Context: Thai, Lao, Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham, Tai Viet, Ahom; UAX #29 leaves their words
# to dictionaries, so that each letter stands alone
_COMPLEX_CONTEXT = _ranges(
    "E01-E4E E81-EC6 EDC-EDF 1000-103F 1050-108F 109A-109F 1780-17D7 17DC-17DD 1950-196D 1970-1974 1980-19C9 19DE-19DF "
    "1A20-1A7C 1AA0-1AAD A9E0-A9EF A9FA-A9FE AA60-AAC2 AADB-AADF 11700-1172B 1173A-1173B 1173F-11746"
)
_HEBREW = _ranges("5D0-5EA 5EF-5F2 FB1D FB1F-FB28 FB2A-FB36 FB38-FB3C FB3E FB40-FB41 FB43-FB44 FB46-FB4F")
_MORE_LETTERS = _ranges(
    "2C2-2C5 2D2-2D7 2DE-2DF 2E5-2EB 2ED 2EF-2FF 55A-55C 55E 58A 5F3 70F A708-A716 A720-A721 A789-A78A AB5B 24B6-24E9 "
    "1F130-1F149 1F150-1F169 1F170-1F189"
)
_PREPENDED_NUMBER_SIGNS = _ranges("600-605 6DD 890-891 8E2 110BD 110CD")
_PICTOGRAPHS = _ranges(
    "A9 AE 203C 2049 2122 2139 2194-2199 21A9-21AA 231A-231B 2328 2388 23CF 23E9-23F3 23F8-23FA 24C2 25AA-25AB 25B6 25C0 "
    "25FB-25FE 2600-2605 2607-2612 2614-2685 2690-2705 2708-2712 2714 2716 271D 2721 2728 2733-2734 2744 2747 274C 274E "
    "2753-2755 2757 2763-2767 2795-2797 27A1 27B0 27BF 2934-2935 2B05-2B07 2B1B-2B1C 2B50 2B55 3030 303D 3297 3299 "
    "1F000-1F0FF 1F10D-1F10F 1F12F 1F16C-1F171 1F17E-1F17F 1F18E 1F191-1F19A 1F1AD-1F1E5 1F201-1F20F 1F21A 1F22F "
    "1F232-1F23A 1F23C-1F23F 1F249-1F3FA 1F400-1F53D 1F546-1F64F 1F680-1F6FF 1F774-1F77F 1F7D5-1F7FF 1F80C-1F80F "
    "1F848-1F84F 1F85A-1F85F 1F888-1F88F 1F8AE-1F8FF 1F90C-1F93A 1F93C-1F945 1F947-1FAFF 1FC00-1FFFD"
)
_SMALL_CLASSES: dict[int, str] = {
    CR: "D",
    LF: "A",
    NEWLINE: "B-C 85 2028-2029",
    ZWJ: "200D",
    REGIONAL_INDICATOR: "1F1E6-1F1FF",
    SINGLE_QUOTE: "27",
    DOUBLE_QUOTE: "22",
    MID_NUM_LET: "2E 2018-2019 2024 FE52 FF07 FF0E",
    MID_LETTER: "3A B7 387 55F 5F4 2027 FE13 FE55 FF1A",
    MID_NUM: "2C 3B 37E 589 60C-60D 66C 7F8 2044 FE50 FE54 FF0C FF1B",
}


@cache
def word_break_classes() -> NDArray[np.uint8]:
    """The class of each code point, plus the flags above.

    Returns:
        uint8 of shape (0x110000,), the same array at every call, not to be written to.
    """
    import numpy as np

    found = categories()
    major = found.astype("S1")
    classes = np.zeros(0x110000, dtype=np.uint8)

    def put(ranges: Ranges, value: int, among: NDArray[np.bool_] | None = None) -> None:
        for first, last in ranges:
            part = classes[first : last + 1]
            part[slice(None) if among is None else among[first : last + 1]] = value

    letters = (major == b"L") | (found == b"Nl")
    classes[letters] = A_LETTER
    put(_MORE_LETTERS, A_LETTER)
    for scripts in (IDEOGRAPHIC, HIRAGANA, _COMPLEX_CONTEXT):
        put(scripts, OTHER, letters)
    put(_KATAKANA, KATAKANA)
    put(_HEBREW, HEBREW_LETTER, letters)
    classes[(found == b"Nd")] = NUMERIC
    put(_ranges("66B 19DA"), NUMERIC)
    classes[found == b"Cf"] = FORMAT
    put(_ranges("200B"), OTHER)
    put(_PREPENDED_NUMBER_SIGNS, NUMERIC)
    put(_ranges("70F"), A_LETTER)
    classes[major == b"M"] = EXTEND
    put(_ranges("200C FF9E-FF9F 1F3FB-1F3FF E0020-E007F"), EXTEND)
    classes[found == b"Pc"] = EXTEND_NUM_LET
    put(_ranges("202F"), EXTEND_NUM_LET)
    put(_ranges("20 1680 2000-2006 2008-200A 205F 3000"), W_SEG_SPACE)
    for value, code_points in _SMALL_CLASSES.items():
        put(_ranges(code_points), value)
    for first, last in _PICTOGRAPHS:
        classes[first : last + 1] |= PICTOGRAPH
    for first, last in _ranges("30-39 41-5A 5F 61-7A"):
        classes[first : last + 1] |= ASCII_WORD
    return classes
