"""Signals about repeated lines, paragraphs and word n-grams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from gristmill.stages import line_kernels as kernels
from gristmill.stages import word_kernels
from gristmill.stages.signals import signal
from gristmill.stages.signals.fractions import ratio, ratio_plainly
from gristmill.stages.words import split_segments_plainly, split_words_plainly

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

GOPHER = "Rae et al. 2021, arXiv:2112.11446, app. A.1, table A1"

Copies = Literal["all", "extra"]
Of = Literal["segments", "text", "words"]
Counting = Literal["union", "greedy", "occurrences"]


def _segment_fraction(features: TextFeatures, kind: str, copies: Copies) -> NDArray[np.float64]:
    counts = features.segment_copies(kind)
    return ratio(counts[:, kernels.COPIES if copies == "all" else kernels.EXTRA_COPIES], counts[:, kernels.SEGMENTS])


def _segment_char_fraction(features: TextFeatures, kind: str, copies: Copies, of: Of) -> NDArray[np.float64]:
    counts = features.segment_copies(kind)
    if of == "segments":
        whole = counts[:, kernels.SEGMENT_CHARS]
    elif of == "text":
        whole = features.character_counts
    else:
        whole = features.word_statistics("whitespace")[:, word_kernels.CHARS]
    return ratio(counts[:, kernels.COPIES_CHARS if copies == "all" else kernels.EXTRA_CHARS], whole)


def _copies_plainly(text: str, kind: str, copies: Copies) -> list[str]:
    """The copies: all of the segments that occur more than once, or all but the first of each."""
    counts = Counter(split_segments_plainly(text, kind))
    return [segment for segment, count in counts.items() for _ in range((count if copies == "all" else count - 1) * (count > 1))]


def _segment_fraction_plainly(text: str, kind: str, copies: Copies) -> float:
    return ratio_plainly(len(_copies_plainly(text, kind, copies)), len(split_segments_plainly(text, kind)))


def _segment_char_fraction_plainly(text: str, kind: str, copies: Copies, of: Of) -> float:
    whole = {"segments": split_segments_plainly(text, kind), "text": [text], "words": text.split()}[of]
    return ratio_plainly(sum(map(len, _copies_plainly(text, kind, copies))), sum(map(len, whole)))


@signal(unit="fraction", source=GOPHER)
def duplicate_line_fraction(features: TextFeatures, lines: str = "stripped_lines", copies: Copies = "all") -> NDArray[np.float64]:
    """Share of the lines that are copies of another; 0 without lines.

    Args:
        features: of the texts.
        lines: a way of splitting of `gristmill.stages.words`.
        copies: of k equal lines, `all` k count, or the k - 1 `extra` ones.
    """
    return _segment_fraction(features, lines, copies)


def duplicate_line_fraction_plainly(text: str, lines: str = "stripped_lines", copies: Copies = "all") -> float:
    """What `duplicate_line_fraction` computes, one text at a time."""
    return _segment_fraction_plainly(text, lines, copies)


@signal(unit="fraction", source=GOPHER)
def duplicate_paragraph_fraction(
    features: TextFeatures, paragraphs: str = "stripped_paragraphs", copies: Copies = "all"
) -> NDArray[np.float64]:
    """Share of the paragraphs that are copies of another; 0 without any. Switches as of `duplicate_line_fraction`."""
    return _segment_fraction(features, paragraphs, copies)


def duplicate_paragraph_fraction_plainly(text: str, paragraphs: str = "stripped_paragraphs", copies: Copies = "all") -> float:
    """What `duplicate_paragraph_fraction` computes, one text at a time."""
    return _segment_fraction_plainly(text, paragraphs, copies)


@signal(unit="fraction", source=GOPHER)
def duplicate_line_char_fraction(
    features: TextFeatures, lines: str = "stripped_lines", copies: Copies = "all", of: Of = "segments"
) -> NDArray[np.float64]:
    """Characters in lines that are copies of another, as a share; 0 for empty text.

    Args:
        features: of the texts.
        lines: a way of splitting of `gristmill.stages.words`.
        copies: of k equal lines, `all` k count, or the k - 1 `extra` ones.
        of: the whole: characters of the `segments`, of the `text`, or of its whitespace-separated `words`.
    """
    return _segment_char_fraction(features, lines, copies, of)


def duplicate_line_char_fraction_plainly(
    text: str, lines: str = "stripped_lines", copies: Copies = "all", of: Of = "segments"
) -> float:
    """What `duplicate_line_char_fraction` computes, one text at a time."""
    return _segment_char_fraction_plainly(text, lines, copies, of)


@signal(unit="fraction", source=GOPHER)
def duplicate_paragraph_char_fraction(
    features: TextFeatures, paragraphs: str = "stripped_paragraphs", copies: Copies = "all", of: Of = "segments"
) -> NDArray[np.float64]:
    """Characters in paragraphs that are copies of another, as a share; 0 for empty text.

    Switches as of `duplicate_line_char_fraction`.
    """
    return _segment_char_fraction(features, paragraphs, copies, of)


def duplicate_paragraph_char_fraction_plainly(
    text: str, paragraphs: str = "stripped_paragraphs", copies: Copies = "all", of: Of = "segments"
) -> float:
    """What `duplicate_paragraph_char_fraction` computes, one text at a time."""
    return _segment_char_fraction_plainly(text, paragraphs, copies, of)


def _whole(features: TextFeatures, words: str, counting: Counting) -> NDArray[np.int64]:
    return features.character_counts if counting == "greedy" else features.ngram_char_counts(words, counting)[:, 1]


def _ngrams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[place : place + n]) for place in range(len(words) - n + 1)]


def _chars(words: list[str] | tuple[str, ...]) -> int:
    return sum(map(len, words))


def _top_plainly(text: str, n: int, words: str, counting: Counting) -> float:
    found = split_words_plainly(text, words)
    counts = Counter(_ngrams(found, n))
    if not counts:
        return 0.0
    most = max(counts.values())
    top = [ngram for ngram, count in counts.items() if count == most]
    if counting == "greedy":
        return ratio_plainly(most * len(" ".join(top[0])), len(text))
    if counting == "occurrences":
        return ratio_plainly(most * _chars(top[0]), _chars(found))
    return ratio_plainly(most * max(map(_chars, top)) if most > 1 else 0, _chars(found))


def _duplicate_plainly(text: str, n: int, words: str, counting: Counting) -> float:
    found = split_words_plainly(text, words)
    ngrams = _ngrams(found, n)
    counts = Counter(ngrams)
    if counting == "occurrences":
        repeated = sum(_chars(ngram) for ngram in ngrams if counts[ngram] > 1)
        return ratio_plainly(repeated, sum(map(_chars, ngrams)))
    if counting == "greedy":
        seen, repeated, place = set(), 0, 0
        while place < len(ngrams):
            if ngrams[place] in seen:
                repeated += _chars(ngrams[place])
                place += n
            else:
                seen.add(ngrams[place])
                place += 1
        return ratio_plainly(repeated, len(text))
    covered = {place + k for place, ngram in enumerate(ngrams) if counts[ngram] > 1 for k in range(n)}
    return ratio_plainly(sum(len(found[place]) for place in covered), _chars(found))


def _top(n: int) -> tuple[Callable[..., Any], Callable[..., float]]:
    @signal(unit="fraction", source=GOPHER)
    def top(features: TextFeatures, words: str = "uax29_alphanumeric", counting: Counting = "union") -> NDArray[np.float64]:
        return ratio(features.ngram_char_counts(words, counting)[:, n], _whole(features, words, counting))

    def plainly(text: str, words: str = "uax29_alphanumeric", counting: Counting = "union") -> float:
        return _top_plainly(text, n, words, counting)

    top.__doc__ = f"""Characters in all occurrences of the most frequent word {n}-gram, as a share; 0 without one.

    Args:
        features: of the texts.
        words: a splitter of `gristmill.stages.words`.
        counting: `union`: of the characters of words; the longest of the most frequent; 0 if none occurs twice. `occurrences`: of
            the characters of words; the first of the most frequent, even if it occurs once. `greedy`: of the characters of the
            text; the first of the most frequent, even if it occurs once, with the spaces between its words.
    """
    plainly.__doc__ = f"What `top_{n}gram_char_fraction` computes, one text at a time."
    return top, plainly


def _duplicate(n: int) -> tuple[Callable[..., Any], Callable[..., float]]:
    @signal(unit="fraction", source=GOPHER)
    def duplicate(features: TextFeatures, words: str = "uax29_alphanumeric", counting: Counting = "union") -> NDArray[np.float64]:
        counts = features.ngram_char_counts(words, counting)
        return ratio(counts[:, n], counts[:, n + 6] if counting == "occurrences" else _whole(features, words, counting))

    def plainly(text: str, words: str = "uax29_alphanumeric", counting: Counting = "union") -> float:
        return _duplicate_plainly(text, n, words, counting)

    duplicate.__doc__ = f"""Characters in word {n}-grams that occur more than once, as a share; 0 without any.

    Args:
        features: of the texts.
        words: a splitter of `gristmill.stages.words`.
        counting: `union`: of the characters of words, each counted once. `occurrences`: of the characters of all {n}-grams, each
            occurrence counted with all its characters. `greedy`: of the characters of the text; a scan that adds an {n}-gram seen
            before and jumps over it, so that the first occurrence is free.
    """
    plainly.__doc__ = f"What `duplicate_{n}gram_char_fraction` computes, one text at a time."
    return duplicate, plainly


top_2gram_char_fraction, top_2gram_char_fraction_plainly = _top(2)
top_3gram_char_fraction, top_3gram_char_fraction_plainly = _top(3)
top_4gram_char_fraction, top_4gram_char_fraction_plainly = _top(4)
duplicate_5gram_char_fraction, duplicate_5gram_char_fraction_plainly = _duplicate(5)
duplicate_6gram_char_fraction, duplicate_6gram_char_fraction_plainly = _duplicate(6)
duplicate_7gram_char_fraction, duplicate_7gram_char_fraction_plainly = _duplicate(7)
duplicate_8gram_char_fraction, duplicate_8gram_char_fraction_plainly = _duplicate(8)
duplicate_9gram_char_fraction, duplicate_9gram_char_fraction_plainly = _duplicate(9)
duplicate_10gram_char_fraction, duplicate_10gram_char_fraction_plainly = _duplicate(10)
