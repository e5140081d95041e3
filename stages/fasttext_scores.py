"""What a fastText model says of texts, as the probability of one label or as the likeliest label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.stages.language_model import Predictions, labels_of, predict

if TYPE_CHECKING:
    from numpy.typing import NDArray


def ends_of(texts: pa.Array, first: int | None, last: int = 0) -> pa.Array:
    """The beginnings of texts; of those that are longer also the ends, after a space.

    Args:
        texts: string or large_string without nulls.
        first: characters at the start; all when None.
        last: characters at the end of texts with more than `first` and `last` together.
    """
    if first is None:
        return texts
    if not last:
        return pc.utf8_slice_codeunits(texts, 0, first)
    parts = [pc.utf8_slice_codeunits(texts, 0, first), pc.utf8_slice_codeunits(texts, -last), pa.scalar(" ", texts.type)]
    return pc.if_else(pc.greater(pc.utf8_length(texts), first + last), pc.binary_join_element_wise(*parts), texts)


def _predicted(model: str, texts: pa.ChunkedArray, k: int, first: int | None, last: int = 0) -> Predictions:
    column = texts.chunk(0) if texts.num_chunks == 1 else texts.combine_chunks()
    return predict(model, ends_of(column, first, last), k)


def label_scores(
    model: str, texts: pa.ChunkedArray, label: str, max_characters: int | None = None, last_characters: int = 0
) -> NDArray[np.float64]:
    """Probability of a label for each text, rounded to 6 decimals; NaN for blank texts.

    Args:
        model: path of a fastText file.
        texts: string or large_string without nulls.
        label: without `__label__`.
        max_characters: of each text; all when None.
        last_characters: of the ends of longer texts, beside `max_characters`.

    Raises:
        StageUnavailable: the model is missing, or no fastText file.
    """
    found = _predicted(model, texts, len(labels_of(model)), max_characters, last_characters)
    scores = np.full(len(texts), np.nan)
    names = found.labels.dictionary.to_pylist()
    # a text of which the model gives the label no probability at all is not named
    scores[found.known] = 0.0
    if label in names:
        at = np.flatnonzero(found.labels.indices.to_numpy() == names.index(label))
        scores[np.searchsorted(found.offsets, at, side="right") - 1] = found.scores[at]
    return scores


def likeliest(
    model: str, texts: pa.ChunkedArray, max_characters: int | None = None
) -> tuple[list[str | None], NDArray[np.float64]]:
    """The likeliest label of each text and its probability, rounded to 6 decimals; None and NaN for blank texts."""
    found = _predicted(model, texts, 1, max_characters)
    return found.first_labels(), np.where(found.known, found.nth_scores(0), np.nan)
