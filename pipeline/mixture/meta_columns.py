"""Keys of the documents' `meta`, under the name `meta.KEY`, as columns that conditions can compare."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX = "meta."
_ROWS = 8192


def is_meta(column: str) -> bool:
    """Whether a name means a key of `meta`."""
    return column.startswith(PREFIX)


def meta_fields(files: Sequence[Path], columns: Iterable[str]) -> list[pa.Field]:
    """What the keys hold, by the first document that has each: text, true or false, else numbers; keys of no document left out.

    Args:
        files: Parquet files of documents.
        columns: names `meta.KEY`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = {column.removeprefix(PREFIX): column for column in columns}
    found: dict[str, pa.Field] = {}
    for file in files:
        with pq.ParquetFile(file) as parquet:
            if "meta" not in parquet.schema_arrow.names:
                continue
            for batch in parquet.iter_batches(batch_size=_ROWS, columns=["meta"]):
                for told in _read(batch["meta"].to_pylist()):
                    for key in wanted.keys() - found.keys():
                        if (type_ := _type_of(told.get(key))) is not None:
                            found[key] = pa.field(wanted[key], type_)
                if len(found) == len(wanted):
                    break
        if len(found) == len(wanted):
            break
    return [found[key] for key in wanted if key in found]


def with_meta_columns(table: pa.Table, fields: Sequence[pa.Field]) -> pa.Table:
    """Documents with columns for keys of their `meta`; null where a document lacks the key or holds something of another kind."""
    import pyarrow as pa

    told = _read(table["meta"].to_pylist()) if "meta" in table.column_names else [{}] * len(table)
    for field in fields:
        key = field.name.removeprefix(PREFIX)
        values = [value if _type_of(value := one.get(key)) == field.type else None for one in told]
        table = table.append_column(field, pa.array(values, field.type))
    return table


def _read(metas: list[str | None]) -> list[dict[str, Any]]:
    read = [json.loads(meta) if meta else {} for meta in metas]
    return [one if isinstance(one, dict) else {} for one in read]


def _type_of(value: Any) -> pa.DataType | None:
    import pyarrow as pa

    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int | float):
        return pa.float64()
    return pa.string() if isinstance(value, str) else None
