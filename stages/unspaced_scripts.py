"""Scripts that put no spaces between words: which characters belong to them, and what each does in a syllable.

Han, Hiragana and Katakana make one group, since words of Japanese mix them; Thai, Lao, Khmer, Myanmar are groups of their own,
the small scripts of South-East Asia (Tai Le, New Tai Lue, Tai Tham, Tai Viet, Ahom) one together. Tibetan parts its syllables
with a mark (tsheg), which counts as white space here, and needs nothing else.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_GROUP, CJK, THAI, LAO, KHMER, MYANMAR, SMALL = range(7)
"""Groups of letters; a run goes on as long as the group is the same."""
JOINING = 7
"""Instead of a group: belongs to whatever it follows (combining marks, format characters)."""
GROUP_MASK = 7
"""The bits of an entry that hold the group."""

LETTER, MARK, FOLLOWING, LEADING, STACKER, KILLER, LOW_TONE = (role << 3 for role in range(7))
"""Roles in a syllable: a consonant or other letter; a mark; a letter that goes on a syllable (vowel, repetition); a vowel written
before its consonant; what puts the next consonant below (coeng, virama); what mutes its consonant (asat, thanthakhat); Myanmar's
dot below, which may stand between a consonant and its asat."""
ROLE_MASK = 7 << 3
"""The bits of an entry that hold the role."""

MARK_OF_WORDS = "\u200b"
"""Zero width space, Unicode's own character for marking words in such scripts."""
DELIMITERS = "\u200b\u0f0b\u0f0c"
"""Count as white space between segmented words: the zero width space and Tibetan's two forms of tsheg."""

# Letters of these blocks with Line_Break=Complex_Context (`uax29_classes`), Thai to the small scripts
_BLOCKS = (
    (THAI, (0xE01, 0xE4E)), (LAO, (0xE81, 0xEDF)), (MYANMAR, (0x1000, 0x109F)), (MYANMAR, (0xA9E0, 0xA9FE)),
    (MYANMAR, (0xAA60, 0xAA7F)), (KHMER, (0x1780, 0x17DD)), (SMALL, (0x1950, 0x19DF)), (SMALL, (0x1A20, 0x1AAD)),
    (SMALL, (0xAA80, 0xAADF)), (SMALL, (0x11700, 0x11746)),
)  # fmt: skip
_ROLES = {
    FOLLOWING: "ะาๅฯๆະາຽໆៗ",
    LEADING: "เแโใไເແໂໃໄ",
    STACKER: "\u17d2\u1039\u1a60",
    KILLER: "\u0e4c\u0ecc\u17cb\u17cd\u103a",
    LOW_TONE: "\u1037",
}
_SARA_AM = "ำຳ"  # letters to Unicode, but marks of the consonant before them in a grapheme cluster


@cache
def script_table(dictionary: bool) -> NDArray[np.uint8]:
    """Group and role of each code point.

    Args:
        dictionary: with the group CJK; without a dictionary those scripts are left to UAX #29.

    Returns:
        uint8 of shape (0x110000,), the same array at every call, not to be written to.
    """
    import numpy as np

    from gristmill.stages import uax29_classes as wb

    classes = wb.word_break_classes() & wb.CLASS_MASK
    table = np.zeros(0x110000, dtype=np.uint8)
    for group, (first, last) in _BLOCKS:
        for point in range(first, last + 1):
            if unicodedata.category(chr(point))[0] == "L" and classes[point] == wb.OTHER:
                table[point] = group
    if dictionary:
        for script in (wb.HIRAGANA, wb.IDEOGRAPHIC):
            for first, last in script:
                part = table[first : last + 1]
                part[classes[first : last + 1] == wb.OTHER] = CJK
        table[classes == wb.KATAKANA] = CJK
        table[[0x3005, 0x303B]] = CJK  # repeat the character before them
    table[np.isin(classes, (wb.EXTEND, wb.FORMAT, wb.ZWJ))] = JOINING | MARK
    table[[ord(character) for character in _SARA_AM]] = JOINING | MARK
    for role, characters in _ROLES.items():
        for character in characters:
            table[ord(character)] = (table[ord(character)] & GROUP_MASK) | role
    return table


@cache
def segmented_classes(dictionary: bool) -> NDArray[np.uint8]:
    """`uax29_classes.word_break_classes` with the letters of the groups as letters, so that only marks of words part them.

    Returns:
        uint8 of shape (0x110000,), the same array at every call, not to be written to.
    """
    from gristmill.stages import uax29_classes as wb

    groups = script_table(dictionary) & GROUP_MASK
    classes = wb.word_break_classes().copy()
    letters = (groups != NO_GROUP) & (groups != JOINING)
    classes[letters] = (classes[letters] & (0xFF ^ wb.CLASS_MASK)) | wb.A_LETTER
    classes[[ord(character) for character in _SARA_AM]] = wb.EXTEND
    return classes


@cache
def segmented_flags() -> NDArray[np.uint8]:
    """`unicode_tables.tables().flags` with `DELIMITERS` as white space; uint8 of shape (0x110000,), not to be written to."""
    from gristmill.stages.unicode_tables import WHITESPACE, tables

    flags = tables().flags.copy()
    flags[[ord(character) for character in DELIMITERS]] |= WHITESPACE
    return flags
