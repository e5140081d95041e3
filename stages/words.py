r"""Ways of splitting text into words, lines and paragraphs: their names, and plain definitions of what the kernels compute.

Words (spec of published pipelines in brackets):

- `whitespace`: `str.split()` [DCLM, Dolma].
- `wordpunct`: runs of `\w` and runs of what is neither `\w` nor whitespace [RedPajama v2].
- `uax29`: segments between the word boundaries of Unicode's UAX #29, without those that are all whitespace [DCLM's n-grams].
  Flavours whose published code takes spaCy's or NLTK's words take these.
- `uax29_alphanumeric`: of those, the ones whose first character is alphanumeric, so without punctuation.
- `segmented`, `segmented_alphanumeric`: the same, but for words of scripts without spaces, which a dictionary finds; see
  `gristmill.stages.segmentation`.
- `segmented_by_rules`, `segmented_by_rules_alphanumeric`: the same by rules on syllables.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from gristmill.stages import uax29_classes as wb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Splitting(NamedTuple):
    """A way of splitting text."""

    number: int
    """What the kernels call it."""
    plainly: Callable[[str], list[str]]
    """The same, one text at a time."""


_LETTERS = (wb.A_LETTER, wb.HEBREW_LETTER)
_BETWEEN_LETTERS = (wb.MID_LETTER, wb.MID_NUM_LET, wb.SINGLE_QUOTE)
_BETWEEN_NUMBERS = (wb.MID_NUM, wb.MID_NUM_LET, wb.SINGLE_QUOTE)
_SKIPPED = (wb.EXTEND, wb.FORMAT, wb.ZWJ)
_LINE_ENDS = (wb.CR, wb.LF, wb.NEWLINE)


def _no_boundary(found: list[int], pictographs: list[bool], at: int) -> bool:
    """Whether UAX #29 keeps the characters `at - 1` and `at` together; `found` are the classes of the text."""
    if found[at - 1] == wb.CR and found[at] == wb.LF:  # WB3
        return True
    if found[at - 1] in _LINE_ENDS or found[at] in _LINE_ENDS:  # WB3a, WB3b
        return False
    if found[at - 1] == wb.ZWJ and pictographs[at]:  # WB3c
        return True
    if found[at - 1] == found[at] == wb.W_SEG_SPACE:  # WB3d
        return True
    if found[at] in _SKIPPED:  # WB4
        return True
    before: list[int] = []  # classes before `at`, nearest first, without those that WB4 skips
    for index in range(at - 1, -1, -1):
        if found[index] not in _SKIPPED or index == 0 or found[index - 1] in _LINE_ENDS:
            before.append(found[index])
            if len(before) >= 2 and found[index] != wb.REGIONAL_INDICATOR:
                break
    previous, earlier = before[0], before[1] if len(before) > 1 else wb.OTHER
    current = found[at]
    after = next((found[index] for index in range(at + 1, len(found)) if found[index] not in _SKIPPED), wb.OTHER)
    indicators = next((count for count, value in enumerate(before) if value != wb.REGIONAL_INDICATOR), len(before))
    wordlike = (*_LETTERS, wb.NUMERIC, wb.KATAKANA)
    return (
        (previous in _LETTERS and current in _LETTERS)  # WB5
        or (previous in _LETTERS and current in _BETWEEN_LETTERS and after in _LETTERS)  # WB6
        or (earlier in _LETTERS and previous in _BETWEEN_LETTERS and current in _LETTERS)  # WB7
        or (previous == wb.HEBREW_LETTER and current == wb.SINGLE_QUOTE)  # WB7a
        or (previous == wb.HEBREW_LETTER and current == wb.DOUBLE_QUOTE and after == wb.HEBREW_LETTER)  # WB7b
        or (earlier == wb.HEBREW_LETTER and previous == wb.DOUBLE_QUOTE and current == wb.HEBREW_LETTER)  # WB7c
        or (previous == current == wb.NUMERIC)  # WB8
        or (previous in _LETTERS and current == wb.NUMERIC)  # WB9
        or (previous == wb.NUMERIC and current in _LETTERS)  # WB10
        or (earlier == wb.NUMERIC and previous in _BETWEEN_NUMBERS and current == wb.NUMERIC)  # WB11
        or (previous == wb.NUMERIC and current in _BETWEEN_NUMBERS and after == wb.NUMERIC)  # WB12
        or (previous == current == wb.KATAKANA)  # WB13
        or (previous in (*wordlike, wb.EXTEND_NUM_LET) and current == wb.EXTEND_NUM_LET)  # WB13a
        or (previous == wb.EXTEND_NUM_LET and current in wordlike)  # WB13b
        or (previous == current == wb.REGIONAL_INDICATOR and indicators % 2 == 1)  # WB15, WB16
    )


def uax29_segments_plainly(text: str, classes: NDArray[np.uint8] | None = None) -> list[str]:
    """All segments between the word boundaries of UAX #29 §4.1, whitespace and punctuation among them.

    Args:
        text: any.
        classes: of other classes than Unicode's, if given; a table like `uax29_classes.word_break_classes`.
    """
    table = wb.word_break_classes() if classes is None else classes
    entries = [int(table[ord(character)]) for character in text]
    found = [entry & wb.CLASS_MASK for entry in entries]
    pictographs = [bool(entry & wb.PICTOGRAPH) for entry in entries]
    inner = [at for at in range(1, len(text)) if not _no_boundary(found, pictographs, at)]
    boundaries = [0, *inner, len(text)] if text else []
    return [text[begin:end] for begin, end in pairwise(boundaries)]


def _uax29_words(text: str) -> list[str]:
    return [segment for segment in uax29_segments_plainly(text) if segment.strip()]


def _uax29_alphanumeric_words(text: str) -> list[str]:
    return [segment for segment in uax29_segments_plainly(text) if segment[0].isalnum()]


def _segmented(dictionary: bool, alphanumeric: bool) -> Callable[[str], list[str]]:
    def words(text: str) -> list[str]:
        from gristmill.stages.segmentation import segmented_words_plainly

        return segmented_words_plainly(text, dictionary, alphanumeric)

    return words


def _wordpunct_words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]+", text)


def _stripped(pieces: list[str]) -> list[str]:
    return [stripped for piece in pieces if (stripped := piece.strip())]


SPLITTERS: dict[str, Splitting] = {
    "whitespace": Splitting(0, str.split),
    "wordpunct": Splitting(1, _wordpunct_words),
    "uax29": Splitting(2, _uax29_words),
    "uax29_alphanumeric": Splitting(3, _uax29_alphanumeric_words),
    # the numbers of UAX #29: it takes apart a text in which the words are marked, see `TextFeatures.word_view`
    "segmented": Splitting(2, _segmented(dictionary=True, alphanumeric=False)),
    "segmented_alphanumeric": Splitting(3, _segmented(dictionary=True, alphanumeric=True)),
    "segmented_by_rules": Splitting(2, _segmented(dictionary=False, alphanumeric=False)),
    "segmented_by_rules_alphanumeric": Splitting(3, _segmented(dictionary=False, alphanumeric=True)),
}
"""Word splitters by name."""

SEGMENT_KINDS: dict[str, Splitting] = {
    "stripped_lines": Splitting(0, lambda text: _stripped(text.split("\n"))),
    "all_lines": Splitting(1, lambda text: text.split("\n")),
    "newline_runs": Splitting(2, lambda text: re.split(r"\n+", text)),
    "splitlines": Splitting(3, str.splitlines),
    "stripped_paragraphs": Splitting(4, lambda text: _stripped(text.split("\n\n"))),
    "blank_line_runs": Splitting(5, lambda text: re.split(r"\n{2,}", text.strip())),
}
"""Ways of splitting into lines and paragraphs by name."""


def split_words_plainly(text: str, words: str) -> list[str]:
    """Words of a text by the splitter of this name."""
    return SPLITTERS[words].plainly(text)


def split_segments_plainly(text: str, kind: str) -> list[str]:
    """Lines or paragraphs of a text, by the kind of this name."""
    return SEGMENT_KINDS[kind].plainly(text)


_WORDLESS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" + "".join(
    map(
        chr,
        [
            *(0xAB, 0xB4, 0xBB, 0x2013, 0x2014, 0x2019, 0x201C, 0x201D, 0x201E, 0x2026, 0x2236, 0x2501, 0x25BA),
            *(0x3001, 0x3002, 0x3008, 0x3009, 0x300A, 0x300B, 0x300C, 0x300D, 0x3010, 0x3011),
            *(0xFF01, 0xFF05, 0xFF08, 0xFF09, 0xFF0C, 0xFF0E, 0xFF11, 0xFF1A, 0xFF1B, 0xFF1F, 0xFF5E),
            *(point for point in range(0x20) if point not in (0x09, 0x0A)),
            *range(0x7F, 0xA0),
        ],
    )
)
"""Characters that make no word by themselves [code: datatrove utils/text.py, its punctuation set, after CCNet's]."""


@cache
def wordless_marks() -> NDArray[np.uint8]:
    """1 for the code points that make no word by themselves: ASCII punctuation, other common marks, control characters.

    Returns:
        uint8 of shape (0x110000,), not to be written to.
    """
    import numpy as np

    marks = np.zeros(0x110000, dtype=np.uint8)
    marks[[ord(character) for character in _WORDLESS]] = 1
    return marks
