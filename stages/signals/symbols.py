"""Signals about hash signs and ellipses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gristmill.stages import line_kernels as kernels
from gristmill.stages import word_kernels
from gristmill.stages.signals import signal
from gristmill.stages.signals.fractions import ratio, ratio_plainly
from gristmill.stages.words import split_words_plainly

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

GOPHER = "Rae et al. 2021, arXiv:2112.11446, app. A.1"


def _words(features: TextFeatures, words: str) -> NDArray[np.int64]:
    return features.word_statistics(words)[:, word_kernels.WORDS]


@signal(unit="fraction", source=GOPHER)
def symbols_per_word(features: TextFeatures, words: str = "whitespace") -> NDArray[np.float64]:
    """Hash signs and ellipses (`...`, `. . .`, `…`), added up, per word; 0 without words."""
    return ratio(features.symbol_counts.sum(axis=1), _words(features, words))


def symbols_per_word_plainly(text: str, words: str = "whitespace") -> float:
    """What `symbols_per_word` computes, one text at a time."""
    return ratio_plainly(sum(map(text.count, ("#", "...", ". . .", "…"))), len(split_words_plainly(text, words)))


@signal(unit="fraction", source=GOPHER)
def hashes_per_word(features: TextFeatures, words: str = "whitespace") -> NDArray[np.float64]:
    """Hash signs per word; 0 without words."""
    return ratio(features.symbol_counts[:, kernels.HASHES], _words(features, words))


def hashes_per_word_plainly(text: str, words: str = "whitespace") -> float:
    """What `hashes_per_word` computes, one text at a time."""
    return ratio_plainly(text.count("#"), len(split_words_plainly(text, words)))


@signal(unit="fraction", source=GOPHER)
def ellipses_per_word(features: TextFeatures, words: str = "whitespace", spaced: bool = True) -> NDArray[np.float64]:
    """Ellipses (`...`, `…`, and `. . .` if `spaced`) per word; 0 without words."""
    counts = features.symbol_counts
    found = counts[:, kernels.DOTS] + counts[:, kernels.ELLIPSES]
    return ratio(found + counts[:, kernels.SPACED_DOTS] if spaced else found, _words(features, words))


def ellipses_per_word_plainly(text: str, words: str = "whitespace", spaced: bool = True) -> float:
    """What `ellipses_per_word` computes, one text at a time."""
    found = text.count("...") + text.count("…") + (text.count(". . .") if spaced else 0)
    return ratio_plainly(found, len(split_words_plainly(text, words)))


@signal(unit="fraction", source="Soldaini et al. 2024, arXiv:2402.00159 [code: dolma taggers/gopher.py]")
def words_with_a_symbol_fraction(features: TextFeatures, words: str = "whitespace") -> NDArray[np.float64]:
    """Share of the words that hold a hash sign or the character `…`; 0 without words."""
    return ratio(features.word_statistics(words)[:, word_kernels.WITH_A_SYMBOL], _words(features, words))


def words_with_a_symbol_fraction_plainly(text: str, words: str = "whitespace") -> float:
    """What `words_with_a_symbol_fraction` computes, one text at a time."""
    found = split_words_plainly(text, words)
    return ratio_plainly(sum("#" in word or "…" in word for word in found), len(found))
