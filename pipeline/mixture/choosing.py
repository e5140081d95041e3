"""Which documents a source means, and in which bucket each is: its conditions, asked of documents and their signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from gristmill.pipeline.mixture import folders
from gristmill.pipeline.mixture.folders import Folder, columns_named
from gristmill.pipeline.mixture.meta_columns import is_meta
from gristmill.pipeline.mixture.reading import ReadMixture
from gristmill.pipeline.mixture.settings import Source
from gristmill.pipeline.mixture.where import Where

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Choose = Callable[["pa.Table"], "NDArray[np.int64]"]
"""From a table of documents to the bucket of each, -1 for those not meant."""
ROWS_AT_ONCE = 2_000_000
"""Rows of signals, or ids of chosen documents, that are held at once; where there are more, documents are gone through again."""


def buckets_of(source: Source, name: str) -> list[tuple[str, float | None]]:
    """Rows that a source is planned as, each with its repeat count; None without buckets."""
    if source.quality_buckets is None:
        return [(name, None)]
    return [(f"{name}:{label}", repeat) for label, repeat in source.quality_buckets.labels()]


def chooser(source: Source, schema: pa.Schema) -> Choose:
    """What decides about a batch of documents with these columns."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    condition = Where(source.where).expression(schema) if source.where is not None else None

    def choose(table: pa.Table) -> NDArray[np.int64]:
        bucket = np.zeros(len(table), dtype=np.int64)
        if (by := source.quality_buckets) is not None:
            column = table[by.column].combine_chunks()
            if by.at_least is not None:
                values = column.to_numpy(zero_copy_only=False)
                # a bound in the column's own precision: 0.8 of 32 bits is not below 0.8
                bounds = np.array(sorted(by.at_least, reverse=True)).astype(
                    values.dtype if values.dtype.kind == "f" else np.float64
                )
                with np.errstate(invalid="ignore"):
                    reached = (values[:, None] >= bounds[None, :]) & ~np.isnan(values.astype(np.float64))[:, None]
                bucket = np.where(reached.any(axis=1), reached.argmax(axis=1), -1).astype(np.int64)
            else:
                plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                labels = pa.array(list(by.equals or {}), plain.type)
                bucket = pc.fill_null(pc.index_in(plain, labels, skip_nulls=True), -1).to_numpy().astype(np.int64)
        if condition is not None:
            rows = table.append_column("row number", pa.array(np.arange(len(table)))).filter(condition)["row number"].to_numpy()
            kept = np.zeros(len(table), dtype=bool)
            kept[rows] = True
            bucket[~kept] = -1
        return bucket

    return choose


def chosen_documents(
    read: ReadMixture, name: str, folder: Folder, more: list[str]
) -> Iterator[tuple[pa.Table, NDArray[np.int64]]]:
    """Batches of documents with the columns that conditions name (and `more`), and the bucket of each document.

    Documents come in no particular order: where a condition names a signal and there are more than `ROWS_AT_ONCE` of such rows,
    those of one range of id hashes are looked at after those of another.
    """
    import pyarrow.parquet as pq

    _, from_signals = _split_columns(folder, columns_named(read, name))
    parts = 1
    if from_signals:
        parts = max(1, -(-sum(pq.read_metadata(file).num_rows for file in folder.signals) // ROWS_AT_ONCE))
    for part in range(parts):
        for table, _, chosen in _chosen_of_part(read, name, folder, more, part, parts):
            yield table, chosen


def _chosen_of_part(
    read: ReadMixture, name: str, folder: Folder, more: list[str], part: int, parts: int
) -> Iterator[tuple[pa.Table, NDArray[np.bytes_] | None, NDArray[np.int64]]]:
    """The documents whose id hashes are in one of equal ranges; with their hashes where there is a need to know those."""
    import pyarrow as pa

    named = columns_named(read, name)
    choose = chooser(read.mixture.sources[name], folder.columns)
    own, from_signals = _split_columns(folder, named)
    signals = _Signals(folder, from_signals, part, parts) if from_signals else None
    for table in folders.document_batches(folder, ["id", *sorted(own), *more]):
        hashes = None
        if signals is not None or parts > 1:
            hashes = id_hashes(table["id"])
            if parts > 1:
                inside = part_of(hashes, parts) == part
                table, hashes = table.filter(pa.array(inside)), hashes[inside]
        if signals is not None and hashes is not None:
            table = signals.beside(table, hashes)
        yield table, hashes, choose(table)


def id_hashes(ids: pa.ChunkedArray) -> NDArray[np.bytes_]:
    """Hashes of ids, 16 bytes each, as token shards have them; they compare and sort as bytes."""
    from gristmill.tokenizers.shards import doc_hashes

    return fixed(doc_hashes(ids.to_pylist()))


def fixed(hashes: pa.FixedSizeBinaryArray) -> NDArray[np.bytes_]:
    """An Arrow array of 16 bytes a row as one of NumPy. All are of one length, so that the zeros it does not see do no harm."""
    import numpy as np

    return np.frombuffer(hashes.buffers()[1], dtype="S16")[hashes.offset : hashes.offset + len(hashes)]


def part_of(hashes: NDArray[np.bytes_], parts: int) -> NDArray[np.int64]:
    """In which of equal ranges each hash is; ascending with the hash."""
    import numpy as np

    first = np.ascontiguousarray(hashes).view(">u4").reshape(-1, 4)[:, 0].astype(np.uint64)
    return (first * np.uint64(parts) >> np.uint64(32)).astype(np.int64)


def _split_columns(folder: Folder, named: set[str]) -> tuple[set[str], list[str]]:
    """Of the named columns those of the documents, and those of the signals."""
    import pyarrow.parquet as pq

    if not folder.signals:
        return named, []
    held = {name for file in folder.documents for name in pq.read_schema(file).names}
    own = {name for name in named if name in held or is_meta(name)}
    return own, sorted(named - own)


class _Signals:
    """Signals of the documents in one range of id hashes."""

    def __init__(self, folder: Folder, columns: list[str], part: int, parts: int) -> None:
        """Read them: of several text versions that measured one, the newest counts."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        pieces = []
        for file in folder.signals:
            with pq.ParquetFile(file) as parquet:
                held = parquet.schema_arrow.names
                if not (wanted := [column for column in columns if column in held]):
                    continue
                versions = ["version"] if "version" in held else []
                for batch in parquet.iter_batches(columns=["id", *versions, *wanted]):
                    piece = pa.table(batch.columns, names=batch.schema.names)
                    if parts > 1:
                        piece = piece.filter(pa.array(part_of(id_hashes(piece["id"]), parts) == part))
                    pieces.append(piece)
        table = pa.concat_tables(pieces, promote_options="default")
        if "version" in table.schema.names:
            table = table.sort_by([("id", "ascending"), ("version", "ascending")])
        # `last` passes over nulls: rows of versions that did not measure a signal do not hide it
        grouped = table.group_by("id", use_threads=False).aggregate([(column, "last") for column in columns])
        hashes = id_hashes(grouped["id"])
        order = np.argsort(hashes)
        self._hashes = hashes[order]
        self._columns = {column: grouped[f"{column}_last"].take(pa.array(order)) for column in columns}

    def beside(self, table: pa.Table, hashes: NDArray[np.bytes_]) -> pa.Table:
        """Documents with their signals; null where none was measured."""
        import numpy as np
        import pyarrow as pa

        rows = np.searchsorted(self._hashes, hashes)
        found = np.zeros(len(hashes), dtype=bool)
        inside = rows < len(self._hashes)
        found[inside] = self._hashes[rows[inside]] == hashes[inside]
        at = pa.array(rows, mask=~found)
        for column, values in self._columns.items():
            table = table.append_column(column, values.take(at))
        return table


class ChosenIds:
    """Buckets of a source's documents by the hashes of their ids, a range of hashes at a time."""

    def __init__(self, read: ReadMixture, name: str, folder: Folder) -> None:
        """Count the documents; they are looked at when they are asked for."""
        import pyarrow.parquet as pq

        rows = sum(pq.read_metadata(file).num_rows for file in (*folder.documents, *folder.signals) if file.suffix == ".parquet")
        self._parts = max(1, -(-rows // ROWS_AT_ONCE))
        self._read, self._name, self._folder = read, name, folder
        # token shards stand in the order of hashes, so that each range is asked for once a source of them
        self._of_part = lru_cache(maxsize=1)(self._chosen)

    def buckets(self, hashes: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """The bucket of each document; -1 where it is not chosen."""
        import numpy as np

        result = np.full(len(hashes), -1, dtype=np.int64)
        parts = part_of(hashes, self._parts)
        for part in np.unique(parts):
            here = np.flatnonzero(parts == part)
            ids, buckets = self._of_part(int(part))
            rows = np.searchsorted(ids, hashes[here])
            inside = rows < len(ids)
            here, rows = here[inside], rows[inside]
            same = ids[rows] == hashes[here]
            result[here[same]] = buckets[rows[same]]
        return result

    def _chosen(self, part: int) -> tuple[NDArray[np.bytes_], NDArray[np.int64]]:
        """Ascending hashes of the documents that are chosen in a range, and their buckets."""
        import numpy as np

        held: list[tuple[NDArray[np.bytes_], NDArray[np.int64]]] = [(np.empty(0, dtype="S16"), np.empty(0, dtype=np.int64))]
        for table, hashes, chosen in _chosen_of_part(self._read, self._name, self._folder, [], part, self._parts):
            kept = chosen >= 0
            held.append(((id_hashes(table["id"]) if hashes is None else hashes)[kept], chosen[kept]))
        ids, buckets = (np.concatenate(columns) for columns in zip(*held, strict=True))
        order = np.argsort(ids, kind="stable")
        return ids[order], buckets[order]
