"""The ledger: every removed document with its stage, rule, value and threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.tokenizers.sampling import keyed_hashes

LEDGER = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("failed_rules", pa.list_(pa.string())),
        pa.field("kept_id", pa.string()),
        pa.field("similarity", pa.float64()),
        pa.field("detail", pa.string()),
        pa.field("text", pa.large_string()),
    ]
)


@dataclass(frozen=True)
class LedgerText:
    """Which removed documents keep their text in the ledger."""

    mode: str = "sample"
    """`sample`, `all` or `none`."""
    per_rule: int = 100
    """Documents a stage, rule and source whose text is kept under `sample`: those with the lowest keyed id hashes."""
    seed: int = 0


def lowest_rows(ids: Sequence[str], groups: Sequence[str], per_group: int, seed: int) -> np.ndarray:
    """Rows that hold the lowest sample hashes of their group.

    Returns:
        bool of shape (n_rows,); at most `per_group` true a group.
    """
    chosen = np.zeros(len(ids), dtype=bool)
    hashes = keyed_hashes(ids, seed)
    by_group: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        by_group.setdefault(group, []).append(row)
    for rows in by_group.values():
        places = np.array(rows)
        chosen[places[np.argsort(hashes[places], kind="stable")[:per_group]]] = True
    return chosen


def thin_texts(rows: pa.Table, keep: LedgerText) -> pa.Table:
    """Ledger rows with the text of only those documents that may be in the sample of their stage, rule and source."""
    if keep.mode == "all" or rows.num_rows == 0:
        return rows
    if keep.mode == "none":
        texts = pa.nulls(rows.num_rows, pa.large_string())
    else:
        groups = [
            "\0".join(group) for group in zip(*(rows[name].to_pylist() for name in ("source", "stage", "rule")), strict=True)
        ]
        chosen = lowest_rows(rows["id"].to_pylist(), groups, keep.per_rule, keep.seed)
        column = rows["text"].combine_chunks()
        texts = pc.if_else(pa.array(chosen), column, pa.scalar(None, pa.large_string()))
    return rows.set_column(rows.schema.get_field_index("text"), LEDGER.field("text"), texts)


def removal_rows(
    documents: pa.Table,
    stage: str,
    *,
    rules: Sequence[str],
    values: Sequence[float | None],
    thresholds: Sequence[float | None],
    details: Sequence[str | None],
    failed_rules: Sequence[list[str] | None] | None = None,
    kept_ids: pa.Array | None = None,
    similarities: pa.Array | None = None,
) -> pa.Table:
    """Ledger rows for documents that a stage removed, one a row of `documents`; the text is carried along."""
    count = documents.num_rows
    columns: dict[str, Any] = {name: documents[name] for name in ("id", "source", "file", "position", "url")}
    columns |= {
        "stage": pa.array([stage] * count, pa.string()),
        "rule": pa.array(rules, pa.string()),
        "value": pa.array(values, pa.float64()),
        "threshold": pa.array(thresholds, pa.float64()),
        "failed_rules": pa.array(failed_rules if failed_rules is not None else [None] * count, pa.list_(pa.string())),
        "kept_id": kept_ids if kept_ids is not None else pa.nulls(count, pa.string()),
        "similarity": similarities if similarities is not None else pa.nulls(count, pa.float64()),
        "detail": pa.array(details, pa.string()),
        "text": documents["text"],
    }
    return pa.table(columns, schema=LEDGER)
