"""How many tokens a source has: counted from shards, by a tokenizer, or estimated; and which documents they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gristmill.pipeline.mixture import folders
from gristmill.pipeline.mixture.folders import SHARD_COLUMNS, Folder, columns_named
from gristmill.pipeline.mixture.reading import ReadMixture
from gristmill.pipeline.mixture.settings import Source
from gristmill.pipeline.mixture.where import Where
from gristmill.tokenizers.mixture_plan import PlannedShard, PlannedShards

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Counted = Literal["exact", "tokenizer", "estimated", "published"]
Choose = Callable[["pa.Table"], "NDArray[np.int64]"]
"""From a table of documents to the bucket of each, -1 for those not meant."""


@dataclass(frozen=True)
class Measured:
    """What a source, or a bucket of one, holds."""

    name: str
    """The source's, with `:bucket` where it has such."""
    source: str
    repeat: float | None
    """Of the bucket; None where the source has no buckets."""
    tokens: int
    documents: int | None
    bytes: int | None
    counted: Counted
    shards: tuple[PlannedShards, ...] = ()
    """Folders absolute."""
    spans: NDArray[np.int64] | None = None


@dataclass
class _Tally:
    documents: int = 0
    bytes: int = 0
    tokens: int = 0


def published(read: ReadMixture) -> list[Measured]:
    """Sizes as the mixture's file states them.

    Raises:
        UserError: a source states none.
    """
    result = []
    for name, source in read.mixture.sources.items():
        if source.size is None:
            raise read.error(("sources", name), "states no size; leave --sizes published out to count its documents")
        size = source.size
        tokens = size.tokens if size.tokens is not None else round((size.bytes or 0) / read.mixture.bytes_per_token)
        counted: Counted = "published" if size.tokens is not None else "estimated"
        result.append(
            Measured(name, name, None, tokens, size.documents, None if size.bytes is None else int(size.bytes), counted)
        )
    return result


def measured(read: ReadMixture) -> tuple[list[Measured], str | None]:
    """Count what the sources hold.

    Returns:
        A row a source, or a row a bucket of one; and the sha256 of the shards' tokenizer.

    Raises:
        UserError: a source has no folder or no documents, a column is unknown, or there are two tokenizers.
    """
    found = {name: folders.open_folder(read, name) for name in read.mixture.sources}
    if without := [name for name, folder in found.items() if folder is None]:
        hint = "or give --sizes published" if all(source.size for source in read.mixture.sources.values()) else "a folder each"
        raise read.error(("sources", without[0]), f"{', '.join(without)}: no documents or shards are named; name them, {hint}")
    tokenizer = folders.check_tokenizers(read, found)
    count = _counter(read)
    rows = [row for name, folder in found.items() if folder is not None for row in _source(read, name, folder, count)]
    return rows, tokenizer


def _source(read: ReadMixture, name: str, folder: Folder, count: tuple[Counted, Any]) -> list[Measured]:
    source = read.mixture.sources[name]
    if folder.manifest is not None and not columns_named(read, name):
        entries = folder.entries
        whole = _Tally(sum(e.docs for e in entries), sum(e.bytes_utf8 for e in entries), sum(e.tokens for e in entries))
        rows = [Measured(name, name, None, whole.tokens, whole.documents, whole.bytes, "exact", _planned(folder))]
        seen = whole.documents
    elif folder.manifest is not None:
        rows, seen = _of_shards(read, name, folder)
    else:
        rows, seen = _of_documents(read, name, folder, count)
    if not sum(row.tokens * (1 if row.repeat is None else row.repeat) for row in rows):
        if seen and columns_named(read, name):
            key = "where" if source.where is not None else "quality_buckets"
            raise read.error(
                ("sources", name, key), f"chooses none of {seen:,} documents in {folder.path}; loosen it, or remove the source"
            )
        raise read.error(("sources", name), f"{folder.path} holds no documents; remove the source, or name another folder")
    return rows


def _planned(folder: Folder) -> tuple[PlannedShards, ...]:
    return tuple(
        PlannedShards(
            folder=os.path.abspath(str(folder.shards)),
            source=entry.name,
            shards=tuple(PlannedShard(path=s.path, tokens=s.tokens, sha256=s.sha256) for s in entry.shards),
        )
        for entry in folder.entries
    )


def _buckets(source: Source, name: str) -> list[tuple[str, float | None]]:
    if source.quality_buckets is None:
        return [(name, None)]
    return [(f"{name}:{label}", repeat) for label, repeat in source.quality_buckets.labels()]


def _chooser(source: Source, schema: pa.Schema) -> Choose:
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


def _of_shards(read: ReadMixture, name: str, folder: Folder) -> tuple[list[Measured], int]:
    """Count chosen documents of shards from their `.docs.parquet`."""
    import numpy as np

    source = read.mixture.sources[name]
    buckets = _buckets(source, name)
    tallies = [_Tally() for _ in buckets]
    spans: list[list[NDArray[np.int64]]] = [[] for _ in buckets]
    seen, at = 0, 0
    for lengths, sizes, chosen in _shard_rows(read, name, folder):
        ends = at + np.cumsum(lengths)
        at, seen = at + int(lengths.sum()), seen + len(lengths)
        for index, tally in enumerate(tallies):
            here = chosen == index
            tally.documents += int(here.sum())
            tally.tokens += int(lengths[here].sum())
            tally.bytes += int(sizes[here].sum())
            spans[index].append(np.stack([ends[here] - lengths[here], ends[here]], axis=1))
    planned = _planned(folder)
    rows = [
        Measured(row, name, repeat, t.tokens, t.documents, t.bytes, "exact", planned, merged_spans(np.concatenate(own)))
        for (row, repeat), t, own in zip(buckets, tallies, spans, strict=True)
        if own
    ]
    return rows, seen


def merged_spans(spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ascending spans with those that touch joined, shape (n, 2)."""
    import numpy as np

    first = np.ones(len(spans), dtype=bool)
    first[1:] = spans[1:, 0] != spans[:-1, 1]
    last = np.append(first[1:], [True])[: len(spans)]
    return np.stack([spans[first, 0], spans[last, 1]], axis=1)


def _shard_rows(
    read: ReadMixture, name: str, folder: Folder
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Of the documents of each shard in turn: tokens, bytes, bucket."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    by_id = _chosen_ids(read, name, folder) if folder.documents else None
    named = columns_named(read, name)
    choose = None if by_id is not None else _chooser(read.mixture.sources[name], folder.columns)
    for shard in (shard for entry in folder.entries for shard in entry.shards):
        stored = ["doc_id"] if by_id is not None else [SHARD_COLUMNS.get(column, column) for column in named]
        table = pq.read_table(
            f"{folder.shards}/{shard.path}.docs.parquet", columns=[*dict.fromkeys(["n_tokens", "n_bytes", *stored])]
        )
        lengths, sizes = (table[column].to_numpy().astype(np.int64) for column in ("n_tokens", "n_bytes"))
        if by_id is not None:
            ids, buckets = by_id
            found = pc.index_in(table["doc_id"].combine_chunks(), ids)
            chosen = np.where(
                found.is_valid().to_numpy(zero_copy_only=False),
                buckets[pc.fill_null(found, 0).to_numpy()] if len(buckets) else -1,
                -1,
            )
        elif choose is not None:
            chosen = choose(pa.table({column: table[SHARD_COLUMNS.get(column, column)] for column in named}))
        yield lengths, sizes, chosen


def _chosen_ids(read: ReadMixture, name: str, folder: Folder) -> tuple[pa.Array, NDArray[np.int64]]:
    """Hashed ids of the chosen documents, and their buckets: 24 bytes a document, for all documents of the source."""
    import numpy as np
    import pyarrow as pa

    from gristmill.tokenizers.shards import HASH_BYTES, doc_hashes

    ids, buckets = [], []
    for table, chosen in _chosen_documents(read, name, folder, []):
        kept = chosen >= 0
        ids.append(doc_hashes(table["id"].filter(pa.array(kept)).to_pylist()))
        buckets.append(chosen[kept])
    if not ids:
        return pa.array([], pa.binary(HASH_BYTES)), np.zeros(0, dtype=np.int64)
    return pa.concat_arrays(ids), np.concatenate(buckets)


def _chosen_documents(
    read: ReadMixture, name: str, folder: Folder, more: list[str]
) -> Iterator[tuple[pa.Table, NDArray[np.int64]]]:
    """Batches of documents with the columns that conditions name (and `more`), and the bucket of each document."""
    named = columns_named(read, name)
    choose = _chooser(read.mixture.sources[name], folder.columns)
    own, from_signals = _split_columns(folder, named)
    signals = _signals(folder, from_signals) if from_signals else None
    for table in folders.document_batches(folder, ["id", *sorted(own), *more]):
        if signals is not None:
            table = table.join(signals, "id", join_type="left outer")
        yield table, choose(table)


def _split_columns(folder: Folder, named: set[str]) -> tuple[set[str], list[str]]:
    """Of the named columns those of the documents, and those of the signals."""
    import pyarrow.parquet as pq

    held = {name for file in folder.documents for name in pq.read_schema(file).names}
    return named & held, sorted(named - held)


def _signals(folder: Folder, columns: list[str]) -> pa.Table:
    """Id and signals, a row a document: a signal was measured on one version of the text, or the newest counts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for file in folder.signals:
        held = pq.read_schema(file).names
        if wanted := [column for column in columns if column in held]:
            versions = ["version"] if "version" in held else []
            parts.append(pq.read_table(file, columns=["id", *versions, *wanted]))
    table = pa.concat_tables(parts, promote_options="default")
    if "version" in table.schema.names:
        table = table.sort_by([("id", "ascending"), ("version", "ascending")])
    # `last` passes over nulls: rows of versions that did not measure a signal do not hide it
    grouped = table.group_by("id", use_threads=False).aggregate([(column, "last") for column in columns])
    return grouped.select(["id", *(f"{column}_last" for column in columns)]).rename_columns(["id", *columns])


def _counter(read: ReadMixture) -> tuple[Counted, Any]:
    if read.mixture.tokenizer is None:
        return "estimated", None
    from gristmill.tokenizers.encoding import Encoder

    content, _ = folders.given_tokenizer(read)
    try:
        return "tokenizer", Encoder(content)
    except ValueError as error:
        raise read.error(("tokenizer",), f"{read.mixture.tokenizer}: {error}") from error


def _of_documents(read: ReadMixture, name: str, folder: Folder, count: tuple[Counted, Any]) -> tuple[list[Measured], int]:
    """Count chosen documents that have no shards, a batch at a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    counted, encoder = count
    buckets = _buckets(read.mixture.sources[name], name)
    tallies = [_Tally() for _ in buckets]
    seen = 0
    for table, chosen in _chosen_documents(read, name, folder, ["text"]):
        seen += len(table)
        for index, tally in enumerate(tallies):
            texts = table["text"].filter(pa.array(chosen == index))
            tally.documents += len(texts)
            tally.bytes += pc.sum(pc.binary_length(texts)).as_py() or 0
            if encoder is not None:
                tally.tokens += int(np.asarray(pc.list_value_length(encoder.encode(texts))).sum())
    for tally in tallies:
        if encoder is None:
            tally.tokens = round(tally.bytes / read.mixture.bytes_per_token)
    rows = [
        Measured(row, name, repeat, t.tokens, t.documents, t.bytes, counted)
        for (row, repeat), t in zip(buckets, tallies, strict=True)
    ]
    return rows, seen
