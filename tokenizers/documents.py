"""Documents from files, as batches: Parquet, JSON lines and plain text, as a tokenizer needs them.

Columns `id`, `text`, `source` and `language`. Without a column `id` a document is called by its file and its place there; without
a column `source`, its source is the file's name up to the first dot.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_A_TIME = 256
JSON_ENDINGS = (".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst", ".ndjson.gz", ".json.gz")
TEXT_ENDINGS = (".txt", ".txt.gz")
ENDINGS = (".parquet", *JSON_ENDINGS, *TEXT_ENDINGS)
LANGUAGES = ("language", "lang")


def schema() -> pa.Schema:
    """The columns of a batch."""
    import pyarrow as pa

    return pa.schema([("id", pa.string()), ("text", pa.large_string()), ("source", pa.string()), ("language", pa.string())])


def document_files(path: str) -> list[str]:
    """The files of documents behind a path, sorted: itself, or those below a folder (of a run, its documents only).

    Raises:
        FileNotFoundError: there is nothing at the path.
        ValueError: the folder holds no such file.
    """
    from fsspec.core import url_to_fs

    fs, where = url_to_fs(path)
    if fs.isfile(where):
        return [str(fs.unstrip_protocol(where))]
    if not fs.isdir(where):
        raise FileNotFoundError(f"{path}: nothing is there; give a file of documents, a folder of them, or a run folder")
    if fs.isdir(f"{where}/documents"):  # beside it lie removed/ and signals/, which are no documents to learn from
        where = f"{where}/documents"
    found = sorted(str(file) for file in fs.find(where) if str(file).endswith(ENDINGS))
    if not found:
        raise ValueError(f"{path}: holds no .parquet, .jsonl or .txt file; give a folder of documents or a run folder")
    return [str(fs.unstrip_protocol(file)) for file in found]


def batches_of(files: Sequence[str], rows: int = ROWS_AT_A_TIME) -> Iterator[pa.RecordBatch]:
    """The documents of files, some at a time, in order; see `schema`.

    Raises:
        ValueError: a file is not what its name says, or has no column `text`; the message names the file and the line.
    """
    for file in files:
        if file.endswith(JSON_ENDINGS):
            yield from _grouped(_json_rows(file), rows)
        elif file.endswith(TEXT_ENDINGS):
            yield from _grouped(_text_row(file), rows)
        else:
            yield from _parquet(file, rows)


def _stem(file: str) -> str:
    return file.rsplit("/", 1)[-1].split(".", 1)[0]


def _grouped(found: Iterator[dict[str, Any]], rows: int) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    waiting: list[dict[str, Any]] = []
    for row in found:
        waiting.append(row)
        if len(waiting) == rows:
            yield pa.RecordBatch.from_pylist(waiting, schema=schema())
            waiting = []
    if waiting:
        yield pa.RecordBatch.from_pylist(waiting, schema=schema())


def _text_row(file: str) -> Iterator[dict[str, Any]]:
    import fsspec

    try:
        with fsspec.open(file, "rt", encoding="utf-8", newline="", compression="infer") as stream:
            text = stream.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: is not UTF-8: {error}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(file, error) from error
    yield {"id": file.rsplit("/", 1)[-1], "text": text, "source": _stem(file), "language": None}


def _json_rows(file: str) -> Iterator[dict[str, Any]]:
    import fsspec

    name = file.rsplit("/", 1)[-1]
    with fsspec.open(file, "rb", compression="infer") as stream:
        for number, line in enumerate(_lines(file, stream), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{file}:{number}: is no JSON: {error}") from error
            if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                there = f"it has {', '.join(row)}" if isinstance(row, dict) else f"it is a {type(row).__name__}"
                raise ValueError(f"{file}:{number}: has no string text; {there}")
            source, language = row.get("source"), next((row[key] for key in LANGUAGES if row.get(key)), None)
            yield {
                "id": str(row["id"]) if row.get("id") is not None else f"{name}#{number}",
                # half a surrogate pair, which JSON can spell, is no text
                "text": row["text"].encode("utf-8", "replace").decode(),
                "source": source if isinstance(source, str) else _stem(file),
                "language": language if isinstance(language, str) else None,
            }


def _lines(file: str, stream: Any) -> Iterator[bytes]:
    """The lines of an open file, of which no part is taken for the whole.

    Raises:
        ValueError: it is cut off, or damaged.
    """
    try:
        yield from stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(file, error) from error


def _damaged(file: str, error: Exception) -> ValueError:
    return ValueError(f"{file}: is not the gzip file that its name says, or only a part of it: {error}")


def _parquet(file: str, rows: int) -> Iterator[pa.RecordBatch]:
    import fsspec
    import pyarrow as pa
    import pyarrow.parquet as pq

    with fsspec.open(file, "rb") as stream:
        try:
            parquet = pq.ParquetFile(stream)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{file}: is no readable Parquet file: {error}") from error
        names = parquet.schema_arrow.names
        if "text" not in names:
            raise ValueError(f"{file}: has no column text; it has {', '.join(names)}")
        language = next((name for name in LANGUAGES if name in names), None)
        wanted = [name for name in ("id", "text", "source", language) if name is not None and name in names]
        first = 0
        for batch in _parquet_batches(file, parquet, rows, wanted):
            columns = {name: batch[name] for name in wanted}
            if "id" not in columns:
                columns["id"] = [f"{file.rsplit('/', 1)[-1]}#{first + i}" for i in range(len(batch))]
            if "source" not in columns:
                columns["source"] = [_stem(file)] * len(batch)
            columns["language"] = columns[language] if language else pa.nulls(len(batch), pa.string())
            first += len(batch)
            arrays = [
                one.cast(field.type) if isinstance(one := columns[field.name], pa.Array) else pa.array(one, field.type)
                for field in schema()
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema())


def _parquet_batches(file: str, parquet: Any, rows: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, some at a time.

    Raises:
        ValueError: its data are damaged, though its foot is not.
    """
    import pyarrow as pa

    try:
        yield from parquet.iter_batches(batch_size=rows, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: is damaged: {error}") from error
