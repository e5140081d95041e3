"""MADLAD-400's signals (Kudugunta et al. 2023, arXiv:2309.04662): how many sentences are questionable, and policy phrases.

Sentences are those of `gristmill.stages.sentences`; which ones MADLAD-400 took is not published.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.stages import madlad_kernels as kernels
from gristmill.stages.c4_phrase_kernels import POLICY_PHRASES
from gristmill.stages.character_classes import character_classes
from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.line_classes import line_classes
from gristmill.stages.sentences import split_sentences_plainly
from gristmill.stages.signals import signal
from gristmill.stages.signals.fractions import ratio, ratio_plainly
from gristmill.stages.unicode_tables import tables
from gristmill.stages.word_lists import words_in_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

MADLAD = "Kudugunta et al. 2023, arXiv:2309.04662, section 2.3 [code: allenai/datamap-rs src/map_fxn.rs]"


@cached_by_files
def _pattern(path: str) -> str:
    """All patterns of the file as one."""
    return "|".join(f"(?:{pattern})" for pattern in sorted(words_in_file(path)))


def _cursed(features: TextFeatures, path: str) -> NDArray[np.uint8]:
    """CURSED for each sentence that one of the file's patterns matches."""
    sentences = features.sentences
    if not len(sentences.starts) or not _pattern(path):
        return np.zeros(len(sentences.starts), np.uint8)
    # the sentences and what stands between them, over the same bytes
    offsets = np.empty(2 * len(sentences.starts), np.int64)
    offsets[::2], offsets[1::2] = sentences.starts, sentences.ends
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(features.data)]
    pieces = pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)
    matched = pc.match_substring_regex(pieces.take(pa.array(np.arange(0, len(offsets) - 1, 2))), pattern=_pattern(path))
    return np.where(matched.to_numpy(zero_copy_only=False), np.uint8(kernels.CURSED), np.uint8(0))


def _counts(features: TextFeatures, path: str = "") -> NDArray[np.int64]:
    def compute() -> NDArray[np.int64]:
        if not path:
            return kernels.questionable_counts(
                features.data, features.offsets, tables().flags, character_classes(), line_classes()
            )
        sentences = features.sentences
        reasons = kernels.questionable_sentences(
            features.data, sentences.starts, sentences.ends, tables().flags, character_classes()
        )
        return kernels.reason_counts(reasons | _cursed(features, path), sentences.offsets)

    return features.kept(("madlad_sentences", path), compute)


def _is_list_case(sentence: str) -> bool:
    tokens = sentence.split()
    return len(tokens) >= kernels.MIN_TOKENS and 2 * sum(token[0].isupper() for token in tokens) > len(tokens)


def _is_odd_length(sentence: str) -> bool:
    return not kernels.MIN_CHARACTERS <= len(sentence) <= kernels.MAX_CHARACTERS


def _is_dangerous(sentence: str) -> bool:
    return 5 * sum(character in kernels.DANGEROUS for character in sentence) > len(sentence)


@signal(unit="fraction", source=MADLAD)
def questionable_sentence_fraction(features: TextFeatures, path: str = "") -> NDArray[np.float64]:
    """Share of the sentences that are questionable for any of the other reasons here; 0 without sentences.

    Args:
        features: of the texts.
        path: file of regular expressions (RE2), one a line, that match cursed sentences.
    """
    counts = _counts(features, path)
    return ratio(counts[:, 1], counts[:, 0])


def questionable_sentence_fraction_plainly(text: str, path: str = "") -> float:
    """What `questionable_sentence_fraction` computes, one text at a time."""
    patterns = words_in_file(path) if path else frozenset()
    sentences = split_sentences_plainly(text)
    questionable = [
        _is_list_case(sentence)
        or _is_odd_length(sentence)
        or _is_dangerous(sentence)
        or any(re.search(pattern, sentence) for pattern in patterns)
        for sentence in sentences
    ]
    return ratio_plainly(sum(questionable), len(sentences))


@signal(unit="fraction", source=MADLAD)
def list_case_sentence_fraction(features: TextFeatures) -> NDArray[np.float64]:
    """Share of the sentences with at least 12 tokens, more than half of which begin with a capital; 0 without sentences."""
    counts = _counts(features)
    return ratio(counts[:, 2], counts[:, 0])


def list_case_sentence_fraction_plainly(text: str) -> float:
    """What `list_case_sentence_fraction` computes, one text at a time."""
    sentences = split_sentences_plainly(text)
    return ratio_plainly(sum(map(_is_list_case, sentences)), len(sentences))


@signal(unit="fraction", source=MADLAD)
def odd_length_sentence_fraction(features: TextFeatures) -> NDArray[np.float64]:
    """Share of the sentences of fewer than 20 or more than 500 characters; 0 without sentences."""
    counts = _counts(features)
    return ratio(counts[:, 3], counts[:, 0])


def odd_length_sentence_fraction_plainly(text: str) -> float:
    """What `odd_length_sentence_fraction` computes, one text at a time."""
    sentences = split_sentences_plainly(text)
    return ratio_plainly(sum(map(_is_odd_length, sentences)), len(sentences))


@signal(unit="fraction", source=MADLAD)
def danger_char_sentence_fraction(features: TextFeatures) -> NDArray[np.float64]:
    """Share of the sentences more than a fifth of whose characters are digits or among {}+/()>; 0 without sentences."""
    counts = _counts(features)
    return ratio(counts[:, 4], counts[:, 0])


def danger_char_sentence_fraction_plainly(text: str) -> float:
    """What `danger_char_sentence_fraction` computes, one text at a time."""
    sentences = split_sentences_plainly(text)
    return ratio_plainly(sum(map(_is_dangerous, sentences)), len(sentences))


@signal(unit="0 or 1", source=MADLAD)
def has_policy_phrase(features: TextFeatures) -> NDArray[np.float64]:
    """1 if terms of use, privacy policy, cookie policy, uses cookies, use of cookies or use cookies occurs, in any case."""
    return features.kept("policy_phrases", lambda: kernels.policy_phrases(features.data, features.offsets)).astype(np.float64)


def has_policy_phrase_plainly(text: str) -> float:
    """What `has_policy_phrase` computes, one text at a time."""
    return float(any(phrase in text.lower() for phrase in POLICY_PHRASES))
