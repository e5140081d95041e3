"""RedPajama-V2's natural-language signals (Weber et al. 2024, arXiv:2411.12372), by the names under which they are published.

Values are rounded to 8 decimals, as there. Where RedPajama has no value (a ratio of nothing), it is 0 here. Its signals of single
lines, `rps_lines_*`, are one number a document here: the share of lines, or of the characters of all lines. Normalised text is
without ASCII punctuation, in lower case, in canonical decomposition (NFD); its words stand between white space. Raw words are
runs of word characters and runs of what is neither that nor white space.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gristmill.stages import line_kernels, ngram_kernels
from gristmill.stages import redpajama_kernels as kernels
from gristmill.stages import redpajama_word_kernels as word_kernels
from gristmill.stages.character_classes import character_classes, lower_decompositions
from gristmill.stages.features import TextFeatures
from gristmill.stages.redpajama_kernels import normalise_plainly
from gristmill.stages.signals import signal
from gristmill.stages.signals.fractions import ratio, ratio_plainly
from gristmill.stages.unicode_tables import tables
from gristmill.stages.words import split_words_plainly

if TYPE_CHECKING:
    from numpy.typing import NDArray

RPV2 = "Weber et al. 2024, arXiv:2411.12372 [code: RedPajama-Data app/src/core/quality_signals]"
_DECIMALS = 8
_BLOCK_BYTES = 1 << 20


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """As RedPajama stores them."""
    return np.round(values, _DECIMALS)


def rounded_plainly(value: float) -> float:
    """As RedPajama stores it."""
    return float(np.round(value, _DECIMALS))


def normalised(features: TextFeatures) -> Iterator[TextFeatures]:
    """Features of the normalised texts, of some documents after the others: what is not kept takes no memory."""
    first = 0
    while first < len(features):
        last = max(int(np.searchsorted(features.offsets, features.offsets[first] + _BLOCK_BYTES, "right")) - 1, first + 1)
        data, starts = kernels.normalised(
            features.data, features.offsets[first : last + 1], tables().flags, character_classes(), *lower_decompositions()
        )
        buffers = [None, pa.py_buffer(starts), pa.py_buffer(data)]
        yield TextFeatures(pa.Array.from_buffers(pa.large_string(), last - first, buffers))
        first = last


def raw_counts(features: TextFeatures) -> NDArray[np.int64]:
    """What `redpajama_kernels.raw_statistics` counts."""
    return features.kept(
        "rpv2_raw",
        lambda: kernels.raw_statistics(features.data, features.offsets, tables().flags, character_classes()),
    )


def _lines(features: TextFeatures) -> NDArray[np.int64]:
    return features.kept("rpv2_lines", lambda: kernels.raw_line_statistics(features.data, features.offsets, tables().flags))


def _normalised_counts(features: TextFeatures) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """What `redpajama_word_kernels.normalised_statistics` counts."""

    def compute() -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        blocks = [
            word_kernels.normalised_statistics(texts.data, texts.offsets, character_classes(), ngram_kernels.FIRST)
            for texts in normalised(features)
        ]
        if not blocks:
            return np.zeros((0, 5), np.int64), np.zeros((0, 2)), np.zeros((0, 22), np.int64)
        words, unigrams, ngrams = zip(*blocks, strict=True)
        return np.concatenate(words), np.concatenate(unigrams), np.concatenate(ngrams)

    return features.kept("rpv2_normalised", compute)


def word_counts(features: TextFeatures) -> NDArray[np.int64]:
    """Characters, words and phrases of the normalised texts; the columns are those of `redpajama_word_kernels`."""
    return _normalised_counts(features)[0]


def _unigrams(features: TextFeatures) -> NDArray[np.float64]:
    return _normalised_counts(features)[1]


def _ngrams(features: TextFeatures) -> NDArray[np.int64]:
    return _normalised_counts(features)[2]


def raw_words(text: str) -> list[str]:
    """Runs of word characters and runs of what is neither that nor white space."""
    return split_words_plainly(text, "wordpunct")


def _lines_plainly(text: str) -> list[str]:
    parts = text.split("\n")
    return parts if parts[-1] else parts[:-1]


def _line_share_plainly(text: str, holds: Callable[[str], bool]) -> float:
    lines = _lines_plainly(text)
    return rounded_plainly(ratio_plainly(sum(map(holds, lines)), len(lines)))


@signal(unit="characters", source=RPV2)
def ccnet_length(features: TextFeatures) -> NDArray[np.float64]:
    """Unicode code points in the document."""
    return raw_counts(features)[:, kernels.CHARACTERS].astype(np.float64)


def ccnet_length_plainly(text: str) -> float:
    """What `ccnet_length` computes, one text at a time."""
    return float(len(text))


@signal(unit="lines", source=RPV2)
def ccnet_nlines(features: TextFeatures) -> NDArray[np.float64]:
    """Lines of the document, empty ones among them."""
    return _lines(features)[:, kernels.LINES].astype(np.float64)


def ccnet_nlines_plainly(text: str) -> float:
    """What `ccnet_nlines` computes, one text at a time."""
    return float(len(_lines_plainly(text)))


@signal(unit="fraction", source=RPV2)
def rps_doc_curly_bracket(features: TextFeatures) -> NDArray[np.float64]:
    """Curly brackets, open and closed, by the number of characters; 0 for empty text."""
    counts = raw_counts(features)
    return rounded(ratio(counts[:, kernels.CURLY_BRACKETS], counts[:, kernels.CHARACTERS]))


def rps_doc_curly_bracket_plainly(text: str) -> float:
    """What `rps_doc_curly_bracket` computes, one text at a time."""
    return rounded_plainly(ratio_plainly(text.count("{") + text.count("}"), len(text)))


@signal(unit="fraction", source=RPV2)
def rps_doc_frac_all_caps_words(features: TextFeatures) -> NDArray[np.float64]:
    """Share of the raw words that are `str.isupper`; 0 without words."""
    counts = raw_counts(features)
    return rounded(ratio(counts[:, kernels.ALL_CAPS], counts[:, kernels.WORDS]))


def rps_doc_frac_all_caps_words_plainly(text: str) -> float:
    """What `rps_doc_frac_all_caps_words` computes, one text at a time."""
    words = raw_words(text)
    return rounded_plainly(ratio_plainly(sum(map(str.isupper, words)), len(words)))


@signal(unit="fraction", source=RPV2)
def rps_doc_frac_no_alph_words(features: TextFeatures) -> NDArray[np.float64]:
    """Share of the raw words without a letter from a to z; 0 without words."""
    counts = raw_counts(features)
    return rounded(ratio(counts[:, kernels.WITHOUT_LETTER], counts[:, kernels.WORDS]))


def rps_doc_frac_no_alph_words_plainly(text: str) -> float:
    """What `rps_doc_frac_no_alph_words` computes, one text at a time."""
    words = raw_words(text)
    return rounded_plainly(ratio_plainly(sum(not re.search("[a-zA-Z]", word) for word in words), len(words)))


@signal(unit="sentences", source=RPV2)
def rps_doc_num_sentences(features: TextFeatures) -> NDArray[np.float64]:
    r"""Matches of `\b[^.!?]+[.!?]*`."""
    return raw_counts(features)[:, kernels.SENTENCES].astype(np.float64)


def rps_doc_num_sentences_plainly(text: str) -> float:
    """What `rps_doc_num_sentences` computes, one text at a time."""
    return float(len(re.findall(r"\b[^.!?]+[.!?]*", text)))


@signal(unit="fraction", source=RPV2)
def rps_doc_symbol_to_word_ratio(features: TextFeatures) -> NDArray[np.float64]:
    """Occurrences of `#`, `...` and `…` by the number of raw words; 0 without words."""
    symbols = features.symbol_counts
    found = symbols[:, line_kernels.HASHES] + symbols[:, line_kernels.DOTS] + symbols[:, line_kernels.ELLIPSES]
    return rounded(ratio(found, raw_counts(features)[:, kernels.WORDS]))


def rps_doc_symbol_to_word_ratio_plainly(text: str) -> float:
    """What `rps_doc_symbol_to_word_ratio` computes, one text at a time."""
    return rounded_plainly(ratio_plainly(sum(map(text.count, ("#", "...", "…"))), len(raw_words(text))))


@signal(unit="words", source=RPV2)
def rps_doc_word_count(features: TextFeatures) -> NDArray[np.float64]:
    """Normalised words."""
    return word_counts(features)[:, word_kernels.NORMALISED_WORDS].astype(np.float64)


def rps_doc_word_count_plainly(text: str) -> float:
    """What `rps_doc_word_count` computes, one text at a time."""
    return float(len(normalise_plainly(text).split()))


@signal(unit="characters", source=RPV2)
def rps_doc_mean_word_length(features: TextFeatures) -> NDArray[np.float64]:
    """Mean length of the normalised words, where accents are characters of their own; 0 without words."""
    counts = word_counts(features)
    words = counts[:, word_kernels.NORMALISED_WORDS]
    return rounded(ratio(counts[:, word_kernels.NORMALISED_CHARACTERS] - np.maximum(words - 1, 0), words))


def rps_doc_mean_word_length_plainly(text: str) -> float:
    """What `rps_doc_mean_word_length` computes, one text at a time."""
    words = normalise_plainly(text).split()
    return rounded_plainly(ratio_plainly(sum(map(len, words)), len(words)))


@signal(unit="fraction", source=RPV2)
def rps_doc_frac_unique_words(features: TextFeatures) -> NDArray[np.float64]:
    """Different normalised words by the number of all; 0 without words."""
    words = word_counts(features)[:, word_kernels.NORMALISED_WORDS]
    return rounded(ratio(_unigrams(features)[:, 0].astype(np.int64), words))


def rps_doc_frac_unique_words_plainly(text: str) -> float:
    """What `rps_doc_frac_unique_words` computes, one text at a time."""
    words = normalise_plainly(text).split()
    return rounded_plainly(ratio_plainly(len(set(words)), len(words)))


@signal(unit="nats", source=RPV2)
def rps_doc_unigram_entropy(features: TextFeatures) -> NDArray[np.float64]:
    """Entropy of the distribution of normalised words: the sum of -p ln p; 0 without words."""
    return rounded(np.abs(_unigrams(features)[:, 1]))


def rps_doc_unigram_entropy_plainly(text: str) -> float:
    """What `rps_doc_unigram_entropy` computes, one text at a time."""
    counts = Counter(normalise_plainly(text).split()).values()
    total = sum(counts)
    return rounded_plainly(abs(sum(-count / total * math.log(count / total) for count in counts)))


@signal(unit="fraction", source=RPV2)
def rps_doc_lorem_ipsum(features: TextFeatures) -> NDArray[np.float64]:
    """Occurrences of lorem ipsum in the normalised text by its number of characters; 0 for empty text."""
    counts = word_counts(features)
    return rounded(ratio(counts[:, word_kernels.LOREM_IPSUMS], counts[:, word_kernels.NORMALISED_CHARACTERS]))


def rps_doc_lorem_ipsum_plainly(text: str) -> float:
    """What `rps_doc_lorem_ipsum` computes, one text at a time."""
    content = normalise_plainly(text)
    return rounded_plainly(ratio_plainly(content.count("lorem ipsum"), len(content)))


@signal(unit="fraction", source=RPV2)
def rps_doc_frac_lines_end_with_ellipsis(features: TextFeatures) -> NDArray[np.float64]:
    """Share of the lines that end in `...` or `…`; 0 without lines."""
    counts = _lines(features)
    return rounded(ratio(counts[:, kernels.ELLIPSES], counts[:, kernels.LINES]))


def rps_doc_frac_lines_end_with_ellipsis_plainly(text: str) -> float:
    """What `rps_doc_frac_lines_end_with_ellipsis` computes, one text at a time."""
    return _line_share_plainly(text, lambda line: line.rstrip().endswith(("...", "…")))


@signal(unit="fraction", source=RPV2)
def rps_lines_start_with_bulletpoint(features: TextFeatures) -> NDArray[np.float64]:
    """Share of the lines that begin with a bullet point (• ‣ ▶ ◀ ◦ ■ □ ▪ ▫ –); 0 without lines."""
    counts = _lines(features)
    return rounded(ratio(counts[:, kernels.BULLETS], counts[:, kernels.LINES]))


def rps_lines_start_with_bulletpoint_plainly(text: str) -> float:
    """What `rps_lines_start_with_bulletpoint` computes, one text at a time."""
    return _line_share_plainly(text, lambda line: line.lstrip().startswith(tuple(kernels.BULLET_POINTS)))


@signal(unit="fraction", source=RPV2)
def rps_lines_ending_with_terminal_punctution_mark(features: TextFeatures) -> NDArray[np.float64]:
    """Share of the lines that end in `.`, `!`, `?` or `”`; 0 without lines. The name is spelt as published."""
    counts = _lines(features)
    return rounded(ratio(counts[:, kernels.TERMINAL], counts[:, kernels.LINES]))


def rps_lines_ending_with_terminal_punctution_mark_plainly(text: str) -> float:
    """What `rps_lines_ending_with_terminal_punctution_mark` computes, one text at a time."""
    return _line_share_plainly(text, lambda line: line.rstrip().endswith(tuple(kernels.TERMINAL_MARKS)))


@signal(unit="words", source=RPV2)
def rps_lines_num_words(features: TextFeatures) -> NDArray[np.float64]:
    """Normalised words a line; 0 without lines."""
    return rounded(ratio(word_counts(features)[:, word_kernels.NORMALISED_WORDS], _lines(features)[:, kernels.LINES]))


def rps_lines_num_words_plainly(text: str) -> float:
    """What `rps_lines_num_words` computes, one text at a time."""
    return rounded_plainly(ratio_plainly(len(normalise_plainly(text).split()), len(_lines_plainly(text))))


@signal(unit="words", source=RPV2)
def rps_lines_javascript_counts(features: TextFeatures) -> NDArray[np.float64]:
    """Normalised words that are javascript."""
    return word_counts(features)[:, word_kernels.JAVASCRIPTS].astype(np.float64)


def rps_lines_javascript_counts_plainly(text: str) -> float:
    """What `rps_lines_javascript_counts` computes, one text at a time."""
    return float(normalise_plainly(text).split().count("javascript"))


@signal(unit="fraction", source=RPV2)
def rps_lines_uppercase_letter_fraction(features: TextFeatures) -> NDArray[np.float64]:
    """Share of the characters that are upper case; 0 for empty text."""
    counts = raw_counts(features)
    return rounded(ratio(counts[:, kernels.UPPER_CASE], counts[:, kernels.CHARACTERS]))


def rps_lines_uppercase_letter_fraction_plainly(text: str) -> float:
    """What `rps_lines_uppercase_letter_fraction` computes, one text at a time."""
    return rounded_plainly(ratio_plainly(sum(map(str.isupper, text)), len(text)))


@signal(unit="fraction", source=RPV2)
def rps_lines_numerical_chars_fraction(features: TextFeatures) -> NDArray[np.float64]:
    """Share of the normalised text's characters that are `str.isnumeric`; 0 for empty text."""
    counts = word_counts(features)
    return rounded(ratio(counts[:, word_kernels.NUMERICS], counts[:, word_kernels.NORMALISED_CHARACTERS]))


def rps_lines_numerical_chars_fraction_plainly(text: str) -> float:
    """What `rps_lines_numerical_chars_fraction` computes, one text at a time."""
    content = normalise_plainly(text)
    return rounded_plainly(ratio_plainly(sum(map(str.isnumeric, content)), len(content)))


def _ngrams_plainly(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]


def _top(n: int) -> tuple[Callable[..., Any], Callable[..., float]]:
    @signal(unit="fraction", source=RPV2)
    def top(features: TextFeatures) -> NDArray[np.float64]:
        counts = _ngrams(features)
        return rounded(ratio(counts[:, n], counts[:, 1]))

    def plainly(text: str) -> float:
        words = normalise_plainly(text).split()
        ngram, count = (Counter(_ngrams_plainly(words, n)).most_common(1) or [((), 0)])[0]
        return rounded_plainly(ratio_plainly(sum(map(len, ngram)) * count if count > 1 else 0, sum(map(len, words))))

    top.__doc__ = f"Characters of the first of the most frequent normalised {n}-grams, as a share; 0 if none occurs twice."
    plainly.__doc__ = f"What `rps_doc_frac_chars_top_{n}gram` computes, one text at a time."
    return top, plainly


def _duplicate(n: int) -> tuple[Callable[..., Any], Callable[..., float]]:
    @signal(unit="fraction", source=RPV2)
    def duplicate(features: TextFeatures) -> NDArray[np.float64]:
        counts = _ngrams(features)
        return rounded(ratio(counts[:, n], counts[:, 1]))

    def plainly(text: str) -> float:
        words = normalise_plainly(text).split()
        ngrams = _ngrams_plainly(words, n)
        counts = Counter(ngrams)
        covered = {at + place for at, ngram in enumerate(ngrams) if counts[ngram] > 1 for place in range(n)}
        return rounded_plainly(ratio_plainly(sum(len(words[place]) for place in covered), sum(map(len, words))))

    duplicate.__doc__ = (
        f"Characters in normalised {n}-grams that occur more than once, each counted once, as a share; 0 without any."
    )
    plainly.__doc__ = f"What `rps_doc_frac_chars_dupe_{n}grams` computes, one text at a time."
    return duplicate, plainly


rps_doc_frac_chars_top_2gram, rps_doc_frac_chars_top_2gram_plainly = _top(2)
rps_doc_frac_chars_top_3gram, rps_doc_frac_chars_top_3gram_plainly = _top(3)
rps_doc_frac_chars_top_4gram, rps_doc_frac_chars_top_4gram_plainly = _top(4)
rps_doc_frac_chars_dupe_5grams, rps_doc_frac_chars_dupe_5grams_plainly = _duplicate(5)
rps_doc_frac_chars_dupe_6grams, rps_doc_frac_chars_dupe_6grams_plainly = _duplicate(6)
rps_doc_frac_chars_dupe_7grams, rps_doc_frac_chars_dupe_7grams_plainly = _duplicate(7)
rps_doc_frac_chars_dupe_8grams, rps_doc_frac_chars_dupe_8grams_plainly = _duplicate(8)
rps_doc_frac_chars_dupe_9grams, rps_doc_frac_chars_dupe_9grams_plainly = _duplicate(9)
rps_doc_frac_chars_dupe_10grams, rps_doc_frac_chars_dupe_10grams_plainly = _duplicate(10)
