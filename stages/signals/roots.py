"""ROOTS's signals (Laurençon et al. 2022, arXiv:2303.03915): repetition of characters and words, special, stop and flagged words.

Words are those between whitespace (or of UAX #29) without special characters at their ends; words of nothing else do not count.
Special characters are Unicode's punctuation, symbols, decimal digits and whitespace; ROOTS lists them one by one and has some
letters among them. Lower case is that of each code point on its own.
"""

from __future__ import annotations

from collections import Counter
from math import isqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from gristmill.stages import roots_kernels as kernels
from gristmill.stages import roots_word_kernels as word_kernels
from gristmill.stages.character_classes import character_classes, is_special_plainly
from gristmill.stages.character_kernels import CHARACTERS, SPECIALS
from gristmill.stages.features import TextFeatures
from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.signals import signal
from gristmill.stages.signals.fractions import ratio, ratio_plainly
from gristmill.stages.unicode_tables import tables
from gristmill.stages.word_lists import stop_words, words_in_file
from gristmill.stages.words import SPLITTERS, split_words_plainly

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOTS = "Laurençon et al. 2022, arXiv:2303.03915 [code: bigscience data-preparation 01b_oscar_cleaning_and_filtering]"

Pairs = Literal["none", "joined", "spaced"]


def _lowered(text: str) -> str:
    return "".join(character.lower() if len(character.lower()) == 1 else character for character in text)


def _stripped(word: str) -> str:
    while word and is_special_plainly(word[0]):
        word = word[1:]
    while word and is_special_plainly(word[-1]):
        word = word[:-1]
    return word


def bare_word(word: str) -> str:
    """The word in lower case, without special characters at its ends; empty if it has no others."""
    return _stripped(_lowered(word))


def roots_words_plainly(text: str, words: str) -> list[str]:
    """Lower-cased words without special characters at their ends."""
    return [stripped for word in split_words_plainly(text, words) if (stripped := _stripped(_lowered(word)))]


def hashed_words(features: TextFeatures, words: str) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of the words of all documents, and where those of each begin."""
    number, lower, classes = SPLITTERS[words].number, tables().lower, character_classes()

    def compute() -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        data, offsets, flags, breaks = features.word_view(words)
        spans = np.zeros(len(features) + 1, dtype=np.int64)
        hashes = np.empty(len(features.data) // 5 + 64, dtype=np.uint64)
        document = 0
        while True:
            document, needed = word_kernels.fill_word_hashes(
                data, offsets, document, number, flags, breaks, classes, lower, hashes, spans
            )
            filled = int(spans[document])
            if document == len(features):
                return hashes[:filled].copy(), spans
            room = max(filled + needed, len(hashes) * 3 // 2)
            hashes = np.concatenate([hashes[:filled], np.empty(room - filled, dtype=np.uint64)])

    return features.kept(("roots_words", words), compute)


def _word_repetition(features: TextFeatures, words: str, n: int) -> NDArray[np.int64]:
    number, lower, classes = SPLITTERS[words].number, tables().lower, character_classes()

    def compute() -> NDArray[np.int64]:
        data, offsets, flags, breaks = features.word_view(words)
        return word_kernels.word_repetition(data, offsets, number, n, flags, breaks, classes, lower)

    return features.kept(("roots_word_repetition", words, n), compute)


@signal(unit="words", source=ROOTS)
def roots_word_count(features: TextFeatures, words: str = "whitespace", n: int = 5) -> NDArray[np.float64]:
    """Words in the document that are more than special characters.

    Args:
        features: of the texts.
        words: a splitter of `gristmill.stages.words`.
        n: that of word_repetition_ratio, so that both take one pass over the text.
    """
    return _word_repetition(features, words, n)[:, word_kernels.WORDS].astype(np.float64)


def roots_word_count_plainly(text: str, words: str = "whitespace", n: int = 5) -> float:
    """What `roots_word_count` computes, one text at a time."""
    return float(len(roots_words_plainly(text, words)))


@signal(unit="fraction", source=ROOTS)
def character_repetition_ratio(features: TextFeatures, n: int = 10) -> NDArray[np.float64]:
    """Share of the character n-grams that the most frequent ones make up; 0 for fewer than n characters.

    Of d different n-grams, s of which occur once, the min(floor(sqrt(d)), d - s) most frequent ones.
    """
    return features.kept(("character_repetition", n), lambda: kernels.character_repetition(features.data, features.offsets, n))


def character_repetition_ratio_plainly(text: str, n: int = 10) -> float:
    """What `character_repetition_ratio` computes, one text at a time."""
    counts = sorted(Counter(text[at : at + n] for at in range(len(text) - n + 1)).values(), reverse=True)
    top = min(isqrt(len(counts)), len(counts) - counts.count(1))
    return ratio_plainly(sum(counts[:top]), sum(counts))


@signal(unit="fraction", source=ROOTS)
def word_repetition_ratio(features: TextFeatures, words: str = "whitespace", n: int = 5) -> NDArray[np.float64]:
    """Share of the word n-grams that occur more than once; 0 for fewer than n words.

    Args:
        features: of the texts.
        words: a splitter of `gristmill.stages.words`.
        n: words of an n-gram.
    """
    counts = _word_repetition(features, words, n)
    return ratio(counts[:, word_kernels.REPEATED_WORD_NGRAMS], counts[:, word_kernels.WORD_NGRAMS])


def word_repetition_ratio_plainly(text: str, words: str = "whitespace", n: int = 5) -> float:
    """What `word_repetition_ratio` computes, one text at a time."""
    found = roots_words_plainly(text, words)
    counts = Counter(tuple(found[at : at + n]) for at in range(len(found) - n + 1)).values()
    return ratio_plainly(sum(count for count in counts if count > 1), sum(counts))


@signal(unit="fraction", source=ROOTS)
def special_character_fraction(features: TextFeatures) -> NDArray[np.float64]:
    """Share of the characters that are punctuation, symbols, decimal digits or whitespace; 0 for empty text."""
    counts = features.character_sorts
    return ratio(counts[:, SPECIALS], counts[:, CHARACTERS])


def special_character_fraction_plainly(text: str) -> float:
    """What `special_character_fraction` computes, one text at a time."""
    return ratio_plainly(sum(map(is_special_plainly, text)), len(text))


def _listed(language: str, path: str) -> frozenset[str]:
    """The list that the switches name, as its words are compared."""
    found = words_in_file(path) if path else stop_words(language)
    return frozenset(_stripped(_lowered(word)) for word in found)


@cached_by_files
def _list_table(language: str, path: str) -> NDArray[np.uint64]:
    entries = TextFeatures(pa.array(sorted(_listed(language, path)), pa.large_string()))
    return word_kernels.word_list(entries.data, entries.offsets, tables().lower)


def _listed_fraction(features: TextFeatures, words: str, pairs: Pairs, slots: NDArray[np.uint64]) -> NDArray[np.float64]:
    if not slots.any():
        return np.zeros(len(features))
    joint = {"none": word_kernels.WORDS_ALONE, "joined": word_kernels.JOINED, "spaced": ord(" ")}[pairs]
    data, offsets, flags, breaks = features.word_view(words)
    number, classes, lower = SPLITTERS[words].number, character_classes(), tables().lower
    counts = word_kernels.listed_words(data, offsets, number, slots, joint, flags, breaks, classes, lower)
    return np.minimum(ratio(counts[:, word_kernels.LISTED], counts[:, word_kernels.WORDS]), 1.0)


def _listed_fraction_plainly(text: str, words: str, pairs: Pairs, entries: frozenset[str]) -> float:
    found = roots_words_plainly(text, words)
    joint = " " if pairs == "spaced" else ""
    joined = [joint.join(found[at : at + 2]) for at in range(len(found) - 1)] if pairs != "none" else []
    return min(ratio_plainly(sum(word in entries for word in found + joined), len(found)), 1.0)


@signal(unit="fraction", source=ROOTS)
def stop_word_fraction(
    features: TextFeatures, language: str = "en", path: str = "", words: str = "whitespace", pairs: Pairs = "none"
) -> NDArray[np.float64]:
    """Stop words of a language, by the number of words, at most 1; 0 without words, or without a list for the language.

    Args:
        features: of the texts.
        language: code of a language for which jusText has a list.
        path: a list of one's own, one word a line; instead of jusText's.
        words: a splitter of `gristmill.stages.words`.
        pairs: two neighbouring words may be one of the list, `joined` or `spaced` (with a blank between).
    """
    return features.kept(
        ("stop_word_fraction", language, path, words, pairs),
        lambda: _listed_fraction(features, words, pairs, _list_table(language, path)),
    )


def stop_word_fraction_plainly(
    text: str, language: str = "en", path: str = "", words: str = "whitespace", pairs: Pairs = "none"
) -> float:
    """What `stop_word_fraction` computes, one text at a time."""
    return _listed_fraction_plainly(text, words, pairs, _listed(language, path))


@signal(unit="fraction", source=ROOTS)
def flagged_word_fraction(
    features: TextFeatures, path: str = "", words: str = "whitespace", pairs: Pairs = "none"
) -> NDArray[np.float64]:
    """Words of a list of the user's, by the number of words, at most 1; 0 without words or without a list.

    Args:
        features: of the texts.
        path: the list, one word a line.
        words, pairs: as of `stop_word_fraction`.
    """
    return features.kept(
        ("flagged_word_fraction", path, words, pairs),
        lambda: _listed_fraction(features, words, pairs, _list_table("", path)),
    )


def flagged_word_fraction_plainly(text: str, path: str = "", words: str = "whitespace", pairs: Pairs = "none") -> float:
    """What `flagged_word_fraction` computes, one text at a time."""
    return _listed_fraction_plainly(text, words, pairs, _listed("", path))
