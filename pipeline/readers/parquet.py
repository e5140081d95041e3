"""Parquet tables: one document a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.readers.batches import Collector, ReadBatch
from gristmill.pipeline.readers.columns import take_row
from gristmill.pipeline.readers.reader import ReadSettings, ranges_at

_MOST_ROWS = 8192


def read(
    fs: Any, path: str, file: str, source: str, start: int, stop: int | None, settings: ReadSettings, batch_bytes: int
) -> Iterator[ReadBatch]:
    """Read the rows of the row groups that begin in [start, stop); see `reader.read`."""
    out = Collector(source, file, batch_bytes, with_html=False)
    if fs.size(path) == 0:
        return
    with fs.open(path, "rb") as stored:
        table = _open(stored, path)
        _need_columns(table, path, settings)
        first = 0
        for number in range(table.metadata.num_row_groups):
            group = table.metadata.row_group(number)
            if first >= start and (stop is None or first < stop):
                yield from _read_group(table, number, first, settings, out)
            first += group.num_rows
    if out:
        yield out.batch()


def _read_group(table: Any, number: int, first: int, settings: ReadSettings, out: Collector) -> Iterator[ReadBatch]:
    """Read one row group in slices of about a batch."""
    group = table.metadata.row_group(number)
    row_bytes = max(1, group.total_byte_size // max(1, group.num_rows))
    rows = max(1, min(_MOST_ROWS, out.batch_bytes // row_bytes))
    position = first
    try:
        for batch in table.iter_batches(batch_size=rows, row_groups=[number]):
            _take(position, batch, row_bytes, settings, out)
            position += batch.num_rows
            if out.full:
                yield out.batch()
    except (pa.ArrowException, OSError) as error:
        if not _is_of_arrow(error):
            raise
        last = first + group.num_rows - 1
        what = f"row group {number}, rows {position} to {last}: {' '.join(str(error).split())[:200]}"
        out.gap(position, group.total_byte_size, what)


def _take(first: int, batch: pa.RecordBatch, row_bytes: int, settings: ReadSettings, out: Collector) -> None:
    columns: dict[str, list[Any]] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        columns[name] = _values(column)
    for at in range(batch.num_rows):
        row = {name: values[at] for name, values in columns.items()}
        broken = [name for name, value in row.items() if isinstance(value, _NotUtf8)]
        if broken:
            out.remove(first + at, None, "unreadable_record", detail=f"no UTF-8 in {', '.join(broken)}", bytes=row_bytes)
            continue
        text = row.get(settings.text_column)
        if isinstance(text, bytes):
            try:
                row[settings.text_column] = text = text.decode("utf-8")
            except UnicodeDecodeError as error:
                detail = f"no UTF-8 at byte {error.start} of {settings.text_column}"
                out.remove(first + at, None, "unreadable_record", detail=detail, bytes=len(text))
                continue
        size = len(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else 0
        if size > settings.max_record_bytes:
            id = (
                str(row[settings.id_column]) if settings.id_from == "column" and row.get(settings.id_column) is not None else None
            )
            out.remove(first + at, id, "too_large", value=size, threshold=settings.max_record_bytes, bytes=size)
            continue
        take_row(first + at, row, size, settings, out)


class _NotUtf8:
    """Stands for a string of a table that is none."""


def _values(column: pa.Array) -> list[Any]:
    """Python values; Arrow does not look whether the strings of a file are UTF-8, so that is found here."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        values = []
        for value in column:
            try:
                values.append(value.as_py())
            except UnicodeDecodeError:
                values.append(_NotUtf8())
    except (OverflowError, ValueError):
        # a date outside of what Python knows
        values = column.cast(pa.string()).to_pylist()
    return values


def split(fs: Any, path: str, settings: ReadSettings, target_bytes: int) -> list[tuple[int, int | None]]:
    """Ranges of whole row groups; see `reader.split`."""
    if fs.size(path) == 0:
        return [(0, None)]
    starts, since, first = [0], 0, 0
    with fs.open(path, "rb") as stored:
        metadata = _open(stored, path).metadata
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            if since >= target_bytes and first > starts[-1]:
                starts.append(first)
                since = 0
            since += group.total_byte_size
            first += group.num_rows
    return ranges_at(starts)


def check(fs: Any, path: str, settings: ReadSettings) -> None:
    """See `reader.check`."""
    if fs.size(path) == 0:
        return
    with fs.open(path, "rb") as stored:
        _need_columns(_open(stored, path), path, settings)


def _open(stored: Any, path: str) -> Any:
    """The table, or a message that says what the file is instead."""
    try:
        return pq.ParquetFile(stored, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        if not _is_of_arrow(error):
            raise
        stored.seek(0)
        begin = stored.read(40)
        if begin.startswith(b"PAR1"):
            problem = f"begins as one and its end is missing or damaged ({' '.join(str(error).split())[:120]}); copy it again"
        else:
            problem = f"begins with {begin!r}; a Parquet file begins with PAR1"
        raise UserError(f"{path} is no whole Parquet file: it {problem}") from None


def _is_of_arrow(error: Exception) -> bool:
    """Whether the content is to blame: Arrow raises bare OSErrors for damaged pages, storage raises its own kinds."""
    return isinstance(error, pa.ArrowException) or (type(error) is OSError and error.errno is None)


def _need_columns(table: Any, path: str, settings: ReadSettings) -> None:
    schema = table.schema_arrow
    for setting in ("text_column", "id_column"):
        if setting == "id_column" and settings.id_from != "column":
            continue
        name = getattr(settings, setting)
        if name not in schema.names:
            raise UserError(
                f"{path} has no column {name}; it has {', '.join(schema.names)}. Set {setting}: {_guess(schema, name)}"
            )
    kind = schema.field(settings.text_column).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary, pa.types.is_large_binary)
    if not (any(one(kind) for one in checks) or pa.types.is_null(kind)):
        raise UserError(
            f"{path}: column {settings.text_column} holds {kind}; text_column must hold strings. It has {schema.names}"
        )


def _guess(schema: pa.Schema, name: str) -> str:
    """A string column that may be meant."""
    strings = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    usual = ("text", "content", "body", "raw_content", "document") if name != "id" else ("id", "doc_id", "uuid", "url")
    return next((one for one in usual if one in strings), strings[-1] if strings else "...")
