"""Signals about sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages import sentences as kernels
from gristmill.stages.line_classes import line_classes
from gristmill.stages.signals import signal
from gristmill.stages.unicode_tables import tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures


@signal(unit="sentences", source="the rules of gristmill.stages.sentences; for Raffel et al. 2020, arXiv:1910.10683, section 2.2")
def sentence_count(features: TextFeatures) -> NDArray[np.float64]:
    """Sentences in the document, those of each line counted by themselves; 0 for empty text."""
    return features.kept(
        "sentence_counts",
        lambda: kernels.sentence_counts(features.data, features.offsets, tables().flags, line_classes()),
    ).astype(np.float64)


def sentence_count_plainly(text: str) -> float:
    """What `sentence_count` computes, one text at a time."""
    return float(len(kernels.split_sentences_plainly(text)))
