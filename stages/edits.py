"""What editors share: reading single texts of a batch, putting changed ones back, and the rows that say what was cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.stages.editor import Loss

if TYPE_CHECKING:
    from gristmill.stages.features import TextFeatures


class Cut(NamedTuple):
    """Characters [start, end) of a text that an editor took out or replaced."""

    row: int
    start: int
    end: int
    text: str
    put: str | None = None
    """What stands there now."""


CUTS = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("text", pa.large_string()),
        pa.field("put", pa.large_string()),
    ]
)
"""Columns of `Edited.cuts`."""


def text_of(features: TextFeatures, row: int) -> str:
    """One text of the batch; U+FFFD stands for bytes that are no UTF-8."""
    return features.data[features.offsets[row] : features.offsets[row + 1]].tobytes().decode("utf-8", "replace")


def with_texts(table: pa.Table, texts: Mapping[int, str]) -> pa.Table:
    """The table with other texts in some rows.

    Args:
        table: documents.
        texts: by row.
    """
    if not texts:
        return table
    at = table.schema.get_field_index("text")
    mask = np.zeros(table.num_rows, dtype=bool)
    mask[list(texts)] = True
    changed = pa.array([texts[row] for row in sorted(texts)], pa.large_string())
    column = pc.replace_with_mask(table["text"].combine_chunks().cast(pa.large_string()), pa.array(mask), changed)
    return table.set_column(at, table.schema.field(at), column)


def cuts_table(cuts: Iterable[Cut]) -> pa.Table:
    """The cuts as `Edited.cuts` holds them."""
    columns: list[tuple[object, ...]] = list(zip(*cuts, strict=True)) or [()] * len(CUTS)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, CUTS, strict=True)], schema=CUTS)


def losses_of(before: pa.Table, after: pa.Table) -> list[Loss]:
    """A `Loss` for each document without text: `nothing_left`, or `empty` where it had none before."""
    was_empty, is_empty = (pc.equal(pc.binary_length(table["text"]), 0).to_numpy() for table in (before, after))
    return [Loss(int(row), "empty" if was_empty[row] else "nothing_left") for row in np.flatnonzero(is_empty)]
