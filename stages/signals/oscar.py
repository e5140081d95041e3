"""OSCAR 22.01's annotations as signals (Abadji et al. 2022, arXiv:2201.06642).

Lines are parted at newlines. With `trimmed`, lines of at most 100 characters at the beginning and at the end of a document are
left out, as OSCAR does before it looks at the document.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages import oscar_kernels as kernels
from gristmill.stages.character_classes import character_classes
from gristmill.stages.signals import signal
from gristmill.stages.signals.fractions import ratio, ratio_plainly

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

OSCAR = "Abadji et al. 2022, arXiv:2201.06642 [code: oscar-project/ungoliant v1.2.3]"

SHORT = 100
"""A line of at most so many characters is short."""
END_SHARE = 0.2
"""Share of the lines that is looked at for header and footer."""


def _statistics(features: TextFeatures, trimmed: bool) -> NDArray[np.int64]:
    return features.kept(
        ("oscar_lines", trimmed),
        lambda: kernels.line_statistics(features.data, features.offsets, character_classes(), trimmed, SHORT, END_SHARE),
    )


def lines_plainly(text: str, trimmed: bool) -> list[str]:
    """The lines that OSCAR looks at."""
    parts = text.split("\n")
    lines = [line.removesuffix("\r") for line in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
    while trimmed and lines and len(lines[0]) <= SHORT:
        lines = lines[1:]
    while trimmed and lines and len(lines[-1]) <= SHORT:
        lines = lines[:-1]
    return lines


def _short_fraction_plainly(lines: list[str]) -> float:
    return ratio_plainly(sum(len(line.encode()) < SHORT for line in lines), len(lines))


@signal(unit="lines", source=OSCAR)
def oscar_line_count(features: TextFeatures, trimmed: bool = False) -> NDArray[np.float64]:
    """Lines of the document, empty ones among them; OSCAR calls fewer than 5 `tiny`."""
    return _statistics(features, trimmed)[:, kernels.LINES].astype(np.float64)


def oscar_line_count_plainly(text: str, trimmed: bool = False) -> float:
    """What `oscar_line_count` computes, one text at a time."""
    return float(len(lines_plainly(text, trimmed)))


@signal(unit="fraction", source=OSCAR)
def short_line_fraction(features: TextFeatures, trimmed: bool = False) -> NDArray[np.float64]:
    """Share of the lines of at most 100 characters; 0 without lines; OSCAR calls more than a half `short_sentences`."""
    counts = _statistics(features, trimmed)
    return ratio(counts[:, kernels.SHORT_LINES], counts[:, kernels.LINES])


def short_line_fraction_plainly(text: str, trimmed: bool = False) -> float:
    """What `short_line_fraction` computes, one text at a time."""
    lines = lines_plainly(text, trimmed)
    return ratio_plainly(sum(len(line) <= SHORT for line in lines), len(lines))


@signal(unit="fraction", source=OSCAR)
def header_short_line_fraction(features: TextFeatures, trimmed: bool = False) -> NDArray[np.float64]:
    """Share of the first fifth of the lines that has fewer than 100 bytes; 0 for fewer than 5 lines; above a half: `header`."""
    counts = _statistics(features, trimmed)
    return ratio(counts[:, kernels.SHORT_FIRST], counts[:, kernels.END_LINES])


def header_short_line_fraction_plainly(text: str, trimmed: bool = False) -> float:
    """What `header_short_line_fraction` computes, one text at a time."""
    lines = lines_plainly(text, trimmed)
    return _short_fraction_plainly(lines[: int(len(lines) * END_SHARE)])


@signal(unit="fraction", source=OSCAR)
def footer_short_line_fraction(features: TextFeatures, trimmed: bool = False) -> NDArray[np.float64]:
    """Share of the last fifth of the lines that has fewer than 100 bytes; 0 for fewer than 5 lines; above a half: `footer`."""
    counts = _statistics(features, trimmed)
    return ratio(counts[:, kernels.SHORT_LAST], counts[:, kernels.END_LINES])


def footer_short_line_fraction_plainly(text: str, trimmed: bool = False) -> float:
    """What `footer_short_line_fraction` computes, one text at a time."""
    lines = lines_plainly(text, trimmed)
    return _short_fraction_plainly(lines[len(lines) - int(len(lines) * END_SHARE) :])


@signal(unit="fraction", source=OSCAR)
def non_letter_fraction(features: TextFeatures, trimmed: bool = False) -> NDArray[np.float64]:
    """Share of the characters that are neither letter nor mark; 0 for empty text; OSCAR calls more than a half `noisy`.

    Of the lines joined by newlines, as OSCAR's documents are: a newline at the end does not count.
    """
    counts = _statistics(features, trimmed)
    return ratio(counts[:, kernels.NO_LETTERS], counts[:, kernels.CHARACTERS])


def non_letter_fraction_plainly(text: str, trimmed: bool = False) -> float:
    """What `non_letter_fraction` computes, one text at a time."""
    joined = "\n".join(lines_plainly(text, trimmed))
    return ratio_plainly(sum(unicodedata.category(character)[0] not in "LM" for character in joined), len(joined))


@signal(unit="fraction", source=OSCAR)
def long_line_char_fraction(features: TextFeatures, trimmed: bool = False) -> NDArray[np.float64]:
    """Characters in lines of at least 100 characters, as a share of those in all lines; 0 for empty text."""
    counts = _statistics(features, trimmed)
    return ratio(counts[:, kernels.LONG_LINE_CHARS], counts[:, kernels.LINE_CHARS])


def long_line_char_fraction_plainly(text: str, trimmed: bool = False) -> float:
    """What `long_line_char_fraction` computes, one text at a time."""
    lengths = [len(line) for line in lines_plainly(text, trimmed)]
    return ratio_plainly(sum(length for length in lengths if length >= SHORT), sum(lengths))
