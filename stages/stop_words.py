"""The setting `stop_words` of `gopher_quality`: whose stop words a document must hold."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.language_codes import matching_key
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.word_lists import JUSTEXT_NAMES, STOPWORDS_ISO, is_file, stop_words_of, words_in_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures


def listed(stop_words: str) -> frozenset[str]:
    """The words of a list in lower case, without punctuation and the like at their ends.

    Args:
        stop_words: the code of a language that has a list, or a file.

    Raises:
        StageUnavailable: the file cannot be read, there is no list for the language, or its library is not there.
    """
    from gristmill.stages.signals.roots import bare_word

    found = words_in_file(stop_words) if is_file(stop_words) else stop_words_of(stop_words)
    return frozenset(bare for word in found if (bare := bare_word(word)))


@cached_by_files
def _table(stop_words: str) -> NDArray[np.uint64]:
    from gristmill.stages.features import TextFeatures
    from gristmill.stages.roots_word_kernels import word_list
    from gristmill.stages.unicode_tables import tables

    entries = TextFeatures(pa.array(sorted(listed(stop_words)), pa.large_string()))
    return word_list(entries.data, entries.offsets, tables().lower)


def counts(features: TextFeatures, stop_words: str, words: str, distinct: bool) -> NDArray[np.float64]:
    """How often words of a list occur in each document, or how many different ones.

    Args:
        features: of the texts.
        stop_words: as of `listed`.
        words: a splitter of `gristmill.stages.words`.
        distinct: count how many of the list occur at all.
    """
    return _counts(features, stop_words, words, distinct, np.arange(len(features)))


def _counts(features: TextFeatures, stop_words: str, words: str, distinct: bool, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    from gristmill.stages.signals.roots import hashed_words
    from gristmill.stages.stop_word_kernels import stop_word_counts

    hashes, spans = hashed_words(features, words)
    return stop_word_counts(hashes, spans, rows, _table(stop_words), distinct).astype(np.float64)


def counts_by_language(
    features: TextFeatures, languages: Sequence[str | None], words: str, distinct: bool
) -> NDArray[np.float64]:
    """`counts` by the list of each document's language; NaN for a document whose language has none.

    Args:
        features: of the texts.
        languages: code of each document's language, or a model's label for it (`deu_Latn`); None: not known.
        words, distinct: as of `counts`.
    """
    result = np.full(len(features), np.nan)
    lists = np.array([None if language is None else list_for(language) for language in languages], dtype=object)
    for name in sorted({name for name in lists if name is not None}):
        rows = np.flatnonzero(lists == name)
        result[rows] = _counts(features, name, words, distinct, rows)
    return result


@cache
def list_for(language: str) -> str | None:
    """Code of the list for a language, which may be given as a model names it; None where there is none."""
    return matching_key(language, {*JUSTEXT_NAMES, *STOPWORDS_ISO})


def counts_plainly(text: str, stop_words: str, words: str, distinct: bool) -> float:
    """What `counts` computes, one text at a time."""
    from gristmill.stages.signals.roots import roots_words_plainly

    found = [word for word in roots_words_plainly(text, words) if word in listed(stop_words)]
    return float(len(set(found)) if distinct else len(found))


def check(stop_words: str | None) -> list[str]:
    """See that the lists of a setting can be read; returns the files among them.

    Raises:
        StageUnavailable: one cannot.
    """
    if stop_words is None:
        return []
    if stop_words == "document":
        stop_words_of(STOPWORDS_ISO[0])  # the library that some languages need
        return []
    if not listed(stop_words):
        raise StageUnavailable(f"stop_words: {stop_words} holds no word")
    return [stop_words] if is_file(stop_words) else []
