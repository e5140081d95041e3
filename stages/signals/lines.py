"""Signals about how lines begin and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gristmill.stages import line_kernels as kernels
from gristmill.stages.signals import signal
from gristmill.stages.signals.fractions import ratio, ratio_plainly
from gristmill.stages.words import split_segments_plainly

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

GOPHER = "Rae et al. 2021, arXiv:2112.11446, app. A.1"

BULLETS = "●•*-"
"""DCLM's."""

Ellipses = Literal["spaced", "plain", "character"]


@signal(unit="fraction", source=GOPHER)
def bullet_line_fraction(
    features: TextFeatures, lines: str = "stripped_lines", stripped: bool = True, bullets: str = BULLETS
) -> NDArray[np.float64]:
    """Share of the lines that begin with a bullet; 0 without lines.

    Args:
        features: of the texts.
        lines: a way of splitting of `gristmill.stages.words`.
        stripped: look past whitespace at the beginning of a line.
        bullets: the characters that are bullets.
    """
    marks = features.line_marks(lines, stripped, bullets)
    return ratio(marks[:, kernels.BULLETS], marks[:, kernels.SEGMENTS])


def bullet_line_fraction_plainly(
    text: str, lines: str = "stripped_lines", stripped: bool = True, bullets: str = BULLETS
) -> float:
    """What `bullet_line_fraction` computes, one text at a time."""
    found = [line.lstrip() if stripped else line for line in split_segments_plainly(text, lines)]
    return ratio_plainly(sum(line.startswith(tuple(bullets)) for line in found), len(found))


@signal(unit="fraction", source=GOPHER)
def ellipsis_line_fraction(
    features: TextFeatures,
    lines: str = "stripped_lines",
    stripped: bool = True,
    ellipses: Ellipses = "spaced",
    bullets: str = BULLETS,
) -> NDArray[np.float64]:
    """Share of the lines that end in an ellipsis; 0 without lines.

    Args:
        features: of the texts.
        lines: a way of splitting of `gristmill.stages.words`.
        stripped: look past whitespace at the end of a line.
        ellipses: `spaced`: `...`, `. . .` and `…`; `plain`: `...` and `…`; `character`: `…` only.
        bullets: those that bullet_line_fraction looks for, so that both take one pass over the text.
    """
    marks = features.line_marks(lines, stripped, bullets)
    found = marks[:, kernels.ENDS_IN_ELLIPSIS]
    if ellipses != "character":
        found = found + marks[:, kernels.ENDS_IN_DOTS]
    if ellipses == "spaced":
        found = found + marks[:, kernels.ENDS_IN_SPACED_DOTS]
    return ratio(found, marks[:, kernels.SEGMENTS])


def ellipsis_line_fraction_plainly(
    text: str,
    lines: str = "stripped_lines",
    stripped: bool = True,
    ellipses: Ellipses = "spaced",
    bullets: str = BULLETS,
) -> float:
    """What `ellipsis_line_fraction` computes, one text at a time."""
    found = [line.rstrip() if stripped else line for line in split_segments_plainly(text, lines)]
    endings = {"spaced": ("...", ". . .", "…"), "plain": ("...", "…"), "character": ("…",)}[ellipses]
    return ratio_plainly(sum(line.endswith(endings) for line in found), len(found))
