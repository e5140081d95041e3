"""Signals of C4's page rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages import c4_phrase_kernels as kernels
from gristmill.stages.long_line_kernels import third_longest_lines
from gristmill.stages.signals import signal
from gristmill.stages.unicode_tables import tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

C4 = "Raffel et al. 2020, arXiv:1910.10683, section 2.2 [code: TFDS text/c4_utils.py]"


def _counts(features: TextFeatures, column: int) -> NDArray[np.float64]:
    counts = features.kept("c4_page_counts", lambda: kernels.page_counts(features.data, features.offsets, tables().flags))
    return counts[:, column].astype(np.float64)


@signal(unit="occurrences", source=C4)
def lorem_ipsum_count(features: TextFeatures) -> NDArray[np.float64]:
    """How often `lorem ipsum` occurs, in any case."""
    return _counts(features, kernels.LOREM_IPSUM)


def lorem_ipsum_count_plainly(text: str) -> float:
    """What `lorem_ipsum_count` computes, one text at a time."""
    return float(text.lower().count("lorem ipsum"))


@signal(unit="occurrences", source=C4)
def curly_bracket_count(features: TextFeatures) -> NDArray[np.float64]:
    """How often `{` occurs."""
    return _counts(features, kernels.BRACES)


def curly_bracket_count_plainly(text: str) -> float:
    """What `curly_bracket_count` computes, one text at a time."""
    return float(text.count("{"))


@signal(unit="characters", source="[code: TFDS text/c4_utils.py, split_wet_file and is_valid_length]")
def page_character_count(features: TextFeatures) -> NDArray[np.float64]:
    """Characters of the lines that are not blank, without white space at their ends, joined by newlines."""
    return _counts(features, kernels.PAGE_CHARS)


def page_character_count_plainly(text: str) -> float:
    """What `page_character_count` computes, one text at a time."""
    return float(len("\n".join(stripped for line in text.split("\n") if (stripped := line.strip()))))


@signal(
    unit="characters", source="Xue et al. 2021, arXiv:2010.11934, section 3.1 [code: TFDS text/c4_utils.py, paragraph_filter]"
)
def third_longest_line_length(features: TextFeatures) -> NDArray[np.float64]:
    """Characters of the third longest line; 0 with fewer than three lines."""
    return third_longest_lines(features.data, features.offsets).astype(np.float64)


def third_longest_line_length_plainly(text: str) -> float:
    """What `third_longest_line_length` computes, one text at a time."""
    return float(sorted([*map(len, text.split("\n")), 0, 0])[-3])
