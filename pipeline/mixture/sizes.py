"""How many tokens a source has: counted from shards, by a tokenizer, or estimated; and which documents they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gristmill.pipeline.mixture import folders
from gristmill.pipeline.mixture.choosing import ChosenIds, buckets_of, chooser, chosen_documents, fixed
from gristmill.pipeline.mixture.folders import SHARD_COLUMNS, Folder, columns_named
from gristmill.pipeline.mixture.reading import ReadMixture
from gristmill.tokenizers.mixture_plan import PlannedShard, PlannedShards

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Counted = Literal["exact", "tokenizer", "estimated", "published"]


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


def _of_shards(read: ReadMixture, name: str, folder: Folder) -> tuple[list[Measured], int]:
    """Count chosen documents of shards from their `.docs.parquet`."""
    import numpy as np

    source = read.mixture.sources[name]
    buckets = buckets_of(source, name)
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
    import pyarrow.parquet as pq

    from gristmill.tokenizers.shards import HASH_BYTES

    by_id = ChosenIds(read, name, folder) if folder.documents else None
    named = columns_named(read, name)
    choose = chooser(read.mixture.sources[name], folder.columns)
    for shard in (shard for entry in folder.entries for shard in entry.shards):
        stored = ["doc_id"] if by_id is not None else [SHARD_COLUMNS.get(column, column) for column in named]
        table = pq.read_table(
            f"{folder.shards}/{shard.path}.docs.parquet", columns=[*dict.fromkeys(["n_tokens", "n_bytes", *stored])]
        )
        lengths, sizes = (table[column].to_numpy().astype(np.int64) for column in ("n_tokens", "n_bytes"))
        if by_id is not None:
            # read back as binary of any length
            chosen = by_id.buckets(fixed(pa.concat_arrays(table["doc_id"].cast(pa.binary(HASH_BYTES)).chunks)))
        else:
            chosen = choose(pa.table({column: table[SHARD_COLUMNS.get(column, column)] for column in named}))
        yield lengths, sizes, chosen


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
    buckets = buckets_of(read.mixture.sources[name], name)
    tallies = [_Tally() for _ in buckets]
    seen = 0
    for table, chosen in chosen_documents(read, name, folder, ["text"]):
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


def document_bytes(read: ReadMixture, name: str, folder: Folder) -> list[int]:
    """Bytes of the chosen documents, in each bucket."""
    return [row.bytes or 0 for row in _of_documents(read, name, folder, ("estimated", None))[0]]
