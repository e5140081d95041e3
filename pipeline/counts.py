"""Counts of the funnel: what went into a stage and what it kept, and their sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Counts = dict[str, Any]
"""`in`, `kept`, `removed`, `edited`, `rules` {rule: count}, `bytes_in`, `bytes_kept`, `words_in`, `words_kept`; of a filter that
could not judge some documents `not_judged` {their language, or nothing: count}.

Words are None before extraction."""

NOT_JUDGED = "not_judged"
_BY_NAME = ("rules", NOT_JUDGED)


def text_bytes(documents: pa.Table) -> np.ndarray:
    """Bytes of each document's content: its HTML where it is not extracted yet, else its text; int64."""
    lengths = _integers(pc.binary_length(documents["text"].combine_chunks()))
    if "html" in documents.column_names:
        html = pc.fill_null(pc.binary_length(documents["html"].combine_chunks()), 0)
        lengths = np.maximum(lengths, _integers(html))
    return lengths


def whitespace_words(texts: pa.ChunkedArray) -> np.ndarray:
    """Words between white space in each text, int64 of shape (n_documents,)."""
    # Arrow's splitter, not our kernel: a changed kernel must not make the extraction step run again
    trimmed = pc.utf8_trim_whitespace(texts.combine_chunks())
    counts = _integers(pc.list_value_length(pc.utf8_split_whitespace(trimmed)))
    counts[pc.equal(pc.binary_length(trimmed), 0).to_numpy(zero_copy_only=False)] = 0
    return counts


def _integers(values: pa.Array) -> np.ndarray:
    numbers: np.ndarray = values.to_numpy(zero_copy_only=False)
    return numbers.astype(np.int64)


def add(total: Counts | None, more: Counts) -> Counts:
    """The sum of two counts."""
    if total is None:
        return {name: dict(value) if name in _BY_NAME else value for name, value in more.items()}
    summed: Counts = {}
    for name in dict.fromkeys([*total, *more]):
        if name in _BY_NAME:
            held, value = total.get(name, {}), more.get(name, {})
            summed[name] = {key: held.get(key, 0) + value.get(key, 0) for key in sorted({*held, *value})}
        else:
            summed[name] = None if more[name] is None or total[name] is None else total[name] + more[name]
    return summed


def count(
    sizes_in: np.ndarray,
    words_in: np.ndarray | None,
    kept: np.ndarray,
    rules: dict[str, int],
    edited: int = 0,
    sizes_kept: np.ndarray | None = None,
    words_kept: np.ndarray | None = None,
) -> Counts:
    """Counts of one stage over one batch; sizes and words of shape (n_documents,), `kept` bool of the same shape."""
    after = sizes_in if sizes_kept is None else sizes_kept
    words_after = words_in if words_kept is None else words_kept
    return {
        "in": len(kept),
        "kept": int(kept.sum()),
        "removed": int((~kept).sum()),
        "edited": edited,
        "rules": {rule: number for rule, number in sorted(rules.items()) if number},
        "bytes_in": int(sizes_in.sum()),
        "bytes_kept": int(after[kept].sum()),
        "words_in": None if words_in is None else int(words_in.sum()),
        "words_kept": None if words_after is None else int(words_after[kept].sum()),
    }
