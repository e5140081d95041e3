"""RedPajama-V2's signals that compare words with lists; see `gristmill.stages.signals.redpajama`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gristmill.stages import redpajama_kernels as kernels
from gristmill.stages import redpajama_word_kernels as word_kernels
from gristmill.stages.features import TextFeatures
from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.redpajama_kernels import normalise_plainly
from gristmill.stages.signals import signal
from gristmill.stages.signals.fractions import ratio, ratio_plainly
from gristmill.stages.signals.redpajama import RPV2, normalised, raw_counts, raw_words, rounded, rounded_plainly, word_counts
from gristmill.stages.unicode_tables import tables
from gristmill.stages.word_lists import stop_words, words_in_file

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cached_by_files
def _stop_word_table(language: str, path: str) -> NDArray[np.uint64]:
    entries = words_in_file(path) if path else stop_words(language)
    texts = TextFeatures(pa.array(sorted(entries), pa.large_string()))
    return kernels.entry_table(texts.data, texts.offsets)


@signal(unit="fraction", source=RPV2)
def rps_doc_stop_word_fraction(features: TextFeatures, language: str = "en", path: str = "") -> NDArray[np.float64]:
    """Share of the raw words that are stop words, case and all; 0 if there are no normalised words.

    Args:
        features: of the texts.
        language: code of a language for which jusText has a list; RedPajama's own lists are others.
        path: a list of one's own, one word a line; instead of jusText's.
    """

    def compute() -> NDArray[np.int64]:
        slots = _stop_word_table(language, path)
        return kernels.entry_counts(features.data, features.offsets, slots, 1, True, tables().flags)

    found = features.kept(("rpv2_stop_words", language, path), compute)
    spoken = word_counts(features)[:, word_kernels.NORMALISED_WORDS] > 0
    return rounded(ratio(found * spoken, raw_counts(features)[:, kernels.WORDS]))


def rps_doc_stop_word_fraction_plainly(text: str, language: str = "en", path: str = "") -> float:
    """What `rps_doc_stop_word_fraction` computes, one text at a time."""
    entries = words_in_file(path) if path else stop_words(language)
    words = raw_words(text) if normalise_plainly(text) else []
    return rounded_plainly(ratio_plainly(sum(word in entries for word in words), len(words)))


def _bad_words(path: str) -> frozenset[str]:
    return frozenset(normalise_plainly(entry) for entry in words_in_file(path)) - {""} if path else frozenset()


@cached_by_files
def _bad_word_table(path: str) -> tuple[NDArray[np.uint64], tuple[int, ...]]:
    """The entries, and how many words they have."""
    entries = sorted(_bad_words(path))
    texts = TextFeatures(pa.array(entries, pa.large_string()))
    return kernels.entry_table(texts.data, texts.offsets), tuple(sorted({1 + entry.count(" ") for entry in entries}))


@signal(unit="occurrences", source=RPV2)
def rps_doc_ldnoobw_words(features: TextFeatures, path: str = "") -> NDArray[np.float64]:
    """Normalised words, and sequences of them, that are on a list of bad words; 0 without a list.

    Args:
        features: of the texts.
        path: the list, one entry a line.
    """
    slots, lengths = _bad_word_table(path)
    if not lengths:
        return np.zeros(len(features))
    found = [
        sum(kernels.entry_counts(texts.data, texts.offsets, slots, n, False, tables().flags) for n in lengths)
        for texts in normalised(features)
    ]
    return np.concatenate([*found, np.zeros(0)]).astype(np.float64)


def rps_doc_ldnoobw_words_plainly(text: str, path: str = "") -> float:
    """What `rps_doc_ldnoobw_words` computes, one text at a time."""
    words, entries = normalise_plainly(text).split(), _bad_words(path)
    runs = (" ".join(words[at : at + n]) for n in {1 + entry.count(" ") for entry in entries} for at in range(len(words) - n + 1))
    return float(sum(run in entries for run in runs))
