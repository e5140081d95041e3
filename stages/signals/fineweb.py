"""Signals of FineWeb's own rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from gristmill.stages import fineweb_kernels as kernels
from gristmill.stages import word_kernels
from gristmill.stages.line_classes import line_classes, terminal_marks
from gristmill.stages.signals import signal
from gristmill.stages.signals.fractions import ratio, ratio_plainly
from gristmill.stages.unicode_tables import tables
from gristmill.stages.words import split_words_plainly

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

FINEWEB = "Penedo et al. 2024, arXiv:2406.17557, section 3.6 [code: datatrove filters/fineweb_quality_filter.py]"

Blank = Literal["skipped", "counted"]
Marks = Literal["terminal", "ascii"]

SHORT_CHARS = 30


def _counts(features: TextFeatures, short_chars: int = SHORT_CHARS) -> NDArray[np.int64]:
    return features.kept(
        ("fineweb_line_counts", short_chars),
        lambda: kernels.line_counts(features.data, features.offsets, short_chars, tables().flags, line_classes()),
    )


def _lines_plainly(text: str, blank: Blank) -> list[str]:
    return [line for line in text.split("\n") if blank == "counted" or line.strip()]


@signal(unit="lines", source=FINEWEB)
def full_line_count(features: TextFeatures) -> NDArray[np.float64]:
    """Lines that are not blank."""
    return _counts(features)[:, kernels.FULL_LINES].astype(np.float64)


def full_line_count_plainly(text: str) -> float:
    """What `full_line_count` computes, one text at a time."""
    return float(len(_lines_plainly(text, "skipped")))


@signal(unit="fraction", source=FINEWEB)
def ended_line_fraction(features: TextFeatures, marks: Marks = "terminal") -> NDArray[np.float64]:
    r"""Share of the lines whose last character is an end mark; 0 without lines.

    Args:
        features: of the texts.
        marks: `terminal`: Unicode's terminal punctuation, at the end of lines that are not blank [datatrove since December 2024];
            `ascii`: one of `.'"!?`, of all lines, blank ones too [datatrove before].
    """
    counts = _counts(features)
    if marks == "ascii":
        return ratio(counts[:, kernels.ENDED_QUOTED], counts[:, kernels.ALL_LINES])
    return ratio(counts[:, kernels.ENDED], counts[:, kernels.FULL_LINES])


def ended_line_fraction_plainly(text: str, marks: Marks = "terminal") -> float:
    """What `ended_line_fraction` computes, one text at a time."""
    found = _lines_plainly(text, "counted" if marks == "ascii" else "skipped")
    ends = tuple(terminal_marks()) if marks == "terminal" else (".", "'", '"', "!", "?")
    return ratio_plainly(sum(line.endswith(ends) for line in found), len(found))


@signal(unit="fraction", source=FINEWEB)
def lines_of_few_chars_fraction(
    features: TextFeatures, blank: Blank = "skipped", chars: int = SHORT_CHARS
) -> NDArray[np.float64]:
    """Share of the lines that are short; 0 without lines.

    Args:
        features: of the texts.
        blank: whether blank lines are lines (short ones then, if they have few blanks).
        chars: most characters of a short line.
    """
    counts = _counts(features, chars)
    if blank == "counted":
        return ratio(counts[:, kernels.SHORT], counts[:, kernels.ALL_LINES])
    return ratio(counts[:, kernels.SHORT_FULL], counts[:, kernels.FULL_LINES])


def lines_of_few_chars_fraction_plainly(text: str, blank: Blank = "skipped", chars: int = SHORT_CHARS) -> float:
    """What `lines_of_few_chars_fraction` computes, one text at a time."""
    found = _lines_plainly(text, blank)
    return ratio_plainly(sum(len(line) <= chars for line in found), len(found))


@signal(unit="fraction", source=FINEWEB)
def copied_line_char_fraction(features: TextFeatures, chars: int = SHORT_CHARS) -> NDArray[np.float64]:
    """Characters of lines that stood before in the document, of all characters but newlines; 0 without any.

    Args:
        features: of the texts.
        chars: that of `lines_of_few_chars_fraction`, so that both take one pass over the text; changes nothing.
    """
    counts = _counts(features, chars)
    return ratio(counts[:, kernels.COPIES_CHARS], counts[:, kernels.CHARS])


def copied_line_char_fraction_plainly(text: str, chars: int = SHORT_CHARS) -> float:
    """What `copied_line_char_fraction` computes, one text at a time."""
    found = _lines_plainly(text, "skipped")
    copies = sum(len(line) for at, line in enumerate(found) if line in found[:at])
    return ratio_plainly(copies, len(text) - text.count("\n"))


@signal(unit="newlines", source=FINEWEB)
def newlines_per_word(features: TextFeatures, words: str = "uax29") -> NDArray[np.float64]:
    """Newlines per word; 0 without words."""
    return ratio(_counts(features)[:, kernels.NEWLINES], features.word_statistics(words)[:, word_kernels.WORDS])


def newlines_per_word_plainly(text: str, words: str = "uax29") -> float:
    """What `newlines_per_word` computes, one text at a time."""
    return ratio_plainly(text.count("\n"), len(split_words_plainly(text, words)))
