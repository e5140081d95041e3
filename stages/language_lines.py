"""Languages of a document's lines, and OSCAR 22.01's rules on them (Abadji et al. 2022, arXiv:2201.06642).

Definitions are those of ungoliant v1.2.3: a line is identified when the model gives a language at least 0.8, lines weigh by their
bytes. OSCAR looks at what is left after it has removed short lines; here all lines that are not blank count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.language_model import Predictions

MULTILINGUAL_LINES = 10
MULTILINGUAL_IDENTIFIED = 0.8
MULTILINGUAL_LANGUAGES = (2, 5)


class Lines(NamedTuple):
    """The lines of a batch that are not blank, in order."""

    texts: pa.Array
    """large_string, without line ends."""
    documents: np.ndarray
    """Row of each line's document, int64."""
    bytes: np.ndarray
    """UTF-8 bytes of each line, int64."""


class LineLanguages(NamedTuple):
    """What the lines of each document say; float64 of shape (n_documents,) each."""

    own_share: np.ndarray
    """Share of the bytes of lines that are identified as the document's language; NaN for a document without lines."""
    languages: np.ndarray
    """How many languages have at least the least share of the bytes."""
    unknown_share: np.ndarray
    """Share of the bytes of lines that are not identified; NaN for a document without lines."""
    multilingual: np.ndarray
    """1 where OSCAR's rule calls the document multilingual, else 0."""
    largest: list[str | None]
    """The language of most bytes of each document: OSCAR's language; None where most are not identified."""
    confidence: np.ndarray
    """Sum of bytes x probability of the lines in `largest`, over all bytes; 0 where there is none."""


def lines_of(texts: pa.Array) -> Lines:
    """Split texts at newlines; blank lines are left out."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    split = pc.split_pattern(texts, "\n")
    lines, documents = split.flatten(), pc.list_parent_indices(split)
    full = pc.match_substring_regex(lines, r"[^ \t\r\v\f\x00]")
    lines = lines.filter(full).cast(pa.large_string())
    sizes = pc.binary_length(lines).to_numpy().astype(np.int64)
    return Lines(lines, documents.filter(full).to_numpy().astype(np.int64), sizes)


def summarize(
    lines: Lines, found: Predictions, own: Sequence[str | None], least_score: float, least_share: float
) -> LineLanguages:
    """Add the lines of each document up.

    Args:
        lines: the lines.
        found: what the model says of them.
        own: the language of each document.
        least_score: score from which a line is identified.
        least_share: share of a document's bytes from which `languages` counts a language.
    """
    import numpy as np

    appeared = found.labels.dictionary.to_pylist()
    names = sorted(appeared)
    # numbered by name, so that of languages with as many bytes each the same one comes first beside any other documents
    rank = np.array([*(names.index(name) for name in appeared), len(names)], dtype=np.int64)
    unknown, documents = len(names), len(own)
    scores = found.nth_scores(0)
    numbers = np.where(scores >= least_score, rank[found.first_numbers()], unknown)
    sizes = lines.bytes.astype(np.float64)
    total = np.bincount(lines.documents, sizes, documents)
    count = np.bincount(lines.documents, minlength=documents)

    # one row for each language of each document
    groups, group = np.unique(lines.documents * (unknown + 1) + numbers, return_inverse=True)
    of_document, of_language = np.divmod(groups, unknown + 1)
    size = np.bincount(group, sizes, len(groups))
    weighed = np.bincount(group, sizes * scores, len(groups))
    known = of_language != unknown

    number_of = {name: number for number, name in enumerate(names)}
    own_number = np.array([number_of.get(name, -1) if name is not None else -1 for name in own], dtype=np.int64)
    is_own = of_language == own_number[of_document]

    def per_document(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        return np.bincount(of_document[chosen], values[chosen], documents)

    with np.errstate(invalid="ignore"):
        own_share = per_document(size, is_own) / total
        unknown_share = per_document(size, ~known) / total
    enough = known & (size >= least_share * total[of_document])
    largest = _largest(of_document, size, documents)
    there = largest >= 0
    language = np.where(there, of_language[largest], unknown)
    confidence = np.zeros(documents)
    in_language = there & (language != unknown)
    confidence[in_language] = weighed[largest[in_language]] / total[in_language]
    identified = np.bincount(lines.documents[numbers != unknown], minlength=documents)
    return LineLanguages(
        own_share,
        per_document(np.ones(len(groups)), enough),
        unknown_share,
        _multilingual(of_document, size, known, total, identified, count).astype(np.float64),
        [None if number == unknown else names[number] for number in language.tolist()],
        np.round(confidence, 6),
    )


def _largest(of_document: np.ndarray, size: np.ndarray, documents: int) -> np.ndarray:
    """Index of the largest group of each document, the first of equals; -1 where it has none."""
    import numpy as np

    order = np.lexsort((np.arange(len(size)), -size, of_document))
    found = np.full(documents, -1, dtype=np.int64)
    rows, first = np.unique(of_document[order], return_index=True)
    found[rows] = order[first]
    return found


def _multilingual(
    of_document: np.ndarray, size: np.ndarray, known: np.ndarray, total: np.ndarray, identified: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """OSCAR's rule: enough lines, most of them identified, two to five languages, each with an even share of bytes or more."""
    import numpy as np

    documents = len(total)
    languages = np.bincount(of_document[known], minlength=documents)
    groups = np.bincount(of_document, minlength=documents)
    even = np.floor(total / np.maximum(groups, 1))
    too_small = np.bincount(of_document[known & (size < even[of_document])], minlength=documents)
    too_large = np.bincount(of_document[~known & (size > even[of_document])], minlength=documents)
    fewest, most = MULTILINGUAL_LANGUAGES
    multilingual: np.ndarray = (
        (count >= MULTILINGUAL_LINES)
        & (identified > MULTILINGUAL_IDENTIFIED * count)
        & (languages >= fewest)
        & (languages <= most)
        & (too_small == 0)
        & (too_large == 0)
    )
    return multilingual
