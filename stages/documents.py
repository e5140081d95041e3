"""Columns of a batch of documents, and the batch itself."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.features import TextFeatures

DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("date", pa.timestamp("us", tz="UTC")),
        pa.field("content_type", pa.string()),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float64()),
        pa.field("meta", pa.string()),
    ]
)
"""Published documents, one row each, sorted by address (file in the source's sorted order, position)."""

WITH_HTML = DOCUMENTS.append(pa.field("html", pa.large_binary()))
"""Documents between reading and extraction; `text` is empty there."""


class Batch:
    """Documents and what has been computed about their text, shared by every stage until the text changes."""

    def __init__(self, table: pa.Table) -> None:
        """Hold `table`, whose columns are those of `DOCUMENTS` or `WITH_HTML`."""
        self.table = table
        self.given: dict[str, np.ndarray] = {}
        """Signals that an earlier step has measured for the stage at work, float64 of shape (n_documents,) each."""
        self._signals: dict[tuple[str, tuple[tuple[str, Any], ...]], np.ndarray] = {}

    @classmethod
    def of(cls, table: pa.Table) -> Batch:
        """A batch of any table with a column `text`; the other columns of documents are null where it lacks them.

        Raises:
            ValueError: there is no column `text`, or one of the columns holds something else than documents have there
                (bytes that are no UTF-8, say).
        """
        if "text" not in table.column_names:
            raise ValueError(f"the table has no column text; it has {', '.join(table.column_names) or 'none'}")
        columns = {}
        for column in DOCUMENTS:
            if column.name not in table.column_names:
                columns[column.name] = pa.nulls(table.num_rows, column.type)
                continue
            try:
                columns[column.name] = table[column.name].cast(column.type)
                # kernels trust that text is UTF-8, which a column from elsewhere need not be
                columns[column.name].validate(full=True)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                found = table.schema.field(column.name).type
                raise ValueError(f"column {column.name} (of type {found}) does not hold {column.type}: {error}") from None
        return cls(pa.table(columns))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def with_table(self, table: pa.Table) -> Batch:
        """The same documents with other columns beside an unchanged `text`; what has been computed stays."""
        batch = Batch(table)
        batch._signals = self._signals
        batch.given = self.given
        if "features" in self.__dict__:
            batch.__dict__["features"] = self.features
        return batch

    @cached_property
    def features(self) -> TextFeatures:
        """Word, line and n-gram positions of the texts, each computed when first asked for."""
        from gristmill.stages.features import TextFeatures

        return TextFeatures(self.table["text"])

    def signal(self, name: str, switches: tuple[tuple[str, Any], ...] = ()) -> np.ndarray:
        """Values of a signal of the catalogue, float64 of shape (n_documents,), computed once."""
        from gristmill.stages.signals import compute

        key = (name, switches)
        if key not in self._signals:
            self._signals[key] = compute(name, self.features, dict(switches))
        return self._signals[key]
