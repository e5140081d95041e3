"""Every table that goes to storage is written here, so that equal rows give equal bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from gristmill.pipeline.storage import Storage

ROW_GROUP_ROWS = 10_000
ROW_GROUP_BYTES = 64 << 20


class Counting:
    """A binary file that counts and hashes what is written to it."""

    def __init__(self, file: Any) -> None:
        """Write through to `file`."""
        self.file = file
        self.size = 0
        self.hash = hashlib.sha256()

    def write(self, data: Any) -> int:
        """Write bytes or a buffer."""
        view = memoryview(data).cast("B")
        self.file.write(view)
        self.size += len(view)
        self.hash.update(view)
        return len(view)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def write_parquet(storage: Storage, name: str, table: pa.Table, row_group_rows: int = ROW_GROUP_ROWS) -> dict[str, Any]:
    """Write one Parquet file whose bytes depend on the rows alone, not on how the table was put together.

    Returns:
        `{"file", "size", "sha256", "rows"}`, for a manifest.
    """
    # the same rows in one or three chunks give different pages otherwise (tried)
    table = table.combine_chunks()
    with storage.create(name) as file:
        counting = Counting(file)
        with pa.PythonFile(counting, mode="w") as sink:
            pq.write_table(
                table,
                sink,
                compression="zstd",
                compression_level=3,
                row_group_size=row_group_rows,
                use_dictionary=True,
                version="2.6",
            )
    return {"file": name, "size": counting.size, "sha256": counting.hash.hexdigest(), "rows": table.num_rows}


class StreamWriter:
    """Writes record batches to one Arrow IPC file, for tables that only the pipeline itself reads."""

    def __init__(self, storage: Storage, name: str, schema: pa.Schema, compression: str | None = "zstd") -> None:
        """Open `name` for batches of `schema`; `compression` None leaves them as they are."""
        self.name = name
        self.schema = schema
        self.rows = 0
        self.batches = 0
        self._file = storage.create(name)
        self._counting = Counting(self._file)
        self._sink = pa.PythonFile(self._counting, mode="w")
        self._writer = pa.ipc.new_file(self._sink, schema, options=pa.ipc.IpcWriteOptions(compression=compression))

    def write(self, table: pa.Table) -> None:
        """Append a table as one record batch."""
        if table.num_rows == 0:
            return
        table = table.select(self.schema.names).cast(self.schema).combine_chunks()
        for batch in table.to_batches():
            self._writer.write_batch(batch)
            self.batches += 1
        self.rows += table.num_rows

    def close(self) -> dict[str, Any]:
        """Finish the file; returns `{"file", "size", "sha256", "rows"}`."""
        self._writer.close()
        self._sink.close()
        self._file.close()
        return {"file": self.name, "size": self._counting.size, "sha256": self._counting.hash.hexdigest(), "rows": self.rows}


def read_batches(
    storage: Storage, name: str, columns: list[str] | None = None, first: int = 0, stop: int | None = None
) -> Iterator[pa.Table]:
    """Record batches `first` to `stop` of an Arrow IPC file, each as a table; only `columns` where given."""
    with storage.open(name) as file, pa.PythonFile(file, mode="r") as source:
        options = None
        if columns is not None:
            schema = pa.ipc.open_file(source).schema
            options = pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(column) for column in columns])
            source.seek(0)
        reader = pa.ipc.open_file(source, options=options) if options else pa.ipc.open_file(source)
        for index in range(first, reader.num_record_batches if stop is None else stop):
            yield pa.Table.from_batches([reader.get_batch(index)])


def schema_of(storage: Storage, name: str) -> pa.Schema:
    """Columns of an Arrow IPC file."""
    with storage.open(name) as file, pa.PythonFile(file, mode="r") as source:
        return pa.ipc.open_file(source).schema


def concat(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """Tables one after another as one; no table gives an empty one of `schema`."""
    held = [table.select(schema.names).cast(schema) for table in tables]
    return pa.concat_tables(held) if held else schema.empty_table()
