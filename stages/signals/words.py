"""Signals about the words of a document."""

from __future__ import annotations

import re
from statistics import median
from typing import TYPE_CHECKING, Literal

import numpy as np

from gristmill.stages import word_kernels as kernels
from gristmill.stages.signals import signal
from gristmill.stages.signals.fractions import ratio, ratio_plainly
from gristmill.stages.unicode_tables import tables
from gristmill.stages.words import SPLITTERS, split_words_plainly, wordless_marks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

GOPHER = "Rae et al. 2021, arXiv:2112.11446, app. A.1"

STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
"""Gopher's."""

Punctuation = Literal["counted", "ignored"]


@signal(unit="characters", source="Unicode code points")
def character_count(features: TextFeatures) -> NDArray[np.float64]:
    """Unicode code points in the document."""
    return features.character_counts.astype(np.float64)


def character_count_plainly(text: str) -> float:
    """What `character_count` computes, one text at a time."""
    return float(len(text))


@signal(unit="words", source=GOPHER)
def word_count(features: TextFeatures, words: str = "fasttext", punctuation: Punctuation = "counted") -> NDArray[np.float64]:
    """Words in the document.

    Args:
        features: of the texts.
        words: a splitter of `gristmill.stages.words`, or `fasttext`: what fastText parts at space, \\n, \\r, \\t, \\v, \\f and
            NUL, counting only words whose first character is alphanumeric [code: dclm baselines/mappers/core_utils.py].
        punctuation: `ignored`: words without a character outside of a set of punctuation do not count
            [code: datatrove filters/gopher_quality_filter.py]; not for `fasttext`.
    """
    if words == "fasttext":
        return features.kept(
            "fasttext_word_counts", lambda: kernels.fasttext_word_counts(features.data, features.offsets, tables().flags)
        ).astype(np.float64)
    column = kernels.UNPUNCTUATED if punctuation == "ignored" else kernels.WORDS
    return features.word_statistics(words)[:, column].astype(np.float64)


def words_that_count(text: str, words: str, punctuation: Punctuation) -> list[str]:
    """The words of a text, without those that are only punctuation if it is ignored."""
    found = split_words_plainly(text, words)
    if punctuation == "counted":
        return found
    return [word for word in found if any(not wordless_marks()[ord(character)] for character in word)]


def word_count_plainly(text: str, words: str = "fasttext", punctuation: Punctuation = "counted") -> float:
    """What `word_count` computes, one text at a time."""
    if words == "fasttext":
        return float(sum(word[0].isalnum() for word in re.split("[ \n\r\t\v\f\0]+", text) if word))
    return float(len(words_that_count(text, words, punctuation)))


@signal(unit="characters", source=GOPHER)
def mean_word_length(
    features: TextFeatures, words: str = "whitespace", punctuation: Punctuation = "counted"
) -> NDArray[np.float64]:
    """Mean length of the words; 0 without words. Switches as of `word_count`, but for `fasttext`."""
    counts = features.word_statistics(words)
    if punctuation == "ignored":
        return ratio(counts[:, kernels.UNPUNCTUATED_CHARS], counts[:, kernels.UNPUNCTUATED])
    return ratio(counts[:, kernels.CHARS], counts[:, kernels.WORDS])


def mean_word_length_plainly(text: str, words: str = "whitespace", punctuation: Punctuation = "counted") -> float:
    """What `mean_word_length` computes, one text at a time."""
    found = words_that_count(text, words, punctuation)
    return ratio_plainly(sum(map(len, found)), len(found))


@signal(unit="characters", source="Soldaini et al. 2024, arXiv:2402.00159 [code: dolma taggers/gopher.py]")
def median_word_length(features: TextFeatures, words: str = "whitespace") -> NDArray[np.float64]:
    """Median length of the words; 0 without words."""
    number = SPLITTERS[words].number

    def compute() -> NDArray[np.float64]:
        data, offsets, flags, classes = features.word_view(words)
        return kernels.median_word_lengths(data, offsets, number, flags, classes)

    return features.kept(("median_word_length", words), compute)


def median_word_length_plainly(text: str, words: str = "whitespace") -> float:
    """What `median_word_length` computes, one text at a time."""
    lengths = [len(word) for word in split_words_plainly(text, words)]
    return float(median(lengths)) if lengths else 0.0


@signal(unit="fraction", source=GOPHER)
def words_with_a_letter_fraction(features: TextFeatures, words: str = "whitespace") -> NDArray[np.float64]:
    """Share of the words that hold an alphabetic character (`str.isalpha`); 0 without words."""
    counts = features.word_statistics(words)
    return ratio(counts[:, kernels.WITH_A_LETTER], counts[:, kernels.WORDS])


def words_with_a_letter_fraction_plainly(text: str, words: str = "whitespace") -> float:
    """What `words_with_a_letter_fraction` computes, one text at a time."""
    found = split_words_plainly(text, words)
    return ratio_plainly(sum(any(map(str.isalpha, word)) for word in found), len(found))


@signal(unit="words", source=GOPHER)
def stop_word_count(
    features: TextFeatures, words: str = "whitespace", distinct: bool = False, any_case: bool = True, listed: str = ""
) -> NDArray[np.float64]:
    """How often the, be, to, of, and, that, have, with occur.

    Args:
        features: of the texts.
        words: a splitter of `gristmill.stages.words`.
        distinct: count how many of the eight occur at all.
        any_case: The is the, too.
        listed: the words of another list, in any case and without punctuation at their ends: the code of a language, or a file;
            see `gristmill.stages.stop_words`.
    """
    if listed:
        from gristmill.stages.stop_words import counts

        return counts(features, listed, words, distinct)
    if distinct:
        column = kernels.DISTINCT_STOP_WORDS_ANY_CASE if any_case else kernels.DISTINCT_STOP_WORDS
    else:
        column = kernels.STOP_WORDS_ANY_CASE if any_case else kernels.STOP_WORDS
    return features.word_statistics(words)[:, column].astype(np.float64)


def stop_word_count_plainly(
    text: str, words: str = "whitespace", distinct: bool = False, any_case: bool = True, listed: str = ""
) -> float:
    """What `stop_word_count` computes, one text at a time."""
    if listed:
        from gristmill.stages.stop_words import counts_plainly

        return counts_plainly(text, listed, words, distinct)
    found = [word.lower() if any_case else word for word in split_words_plainly(text, words)]
    stops = [word for word in found if word in STOP_WORDS]
    return float(len(set(stops)) if distinct else len(stops))
