"""The tasks of publication: files cut by cumulative sizes in address order, so that no partition shows in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.pipeline.chain import EDITS
from gristmill.pipeline.exchange import Sent, key_ranges, merged, write_exchange
from gristmill.pipeline.ledger import LEDGER
from gristmill.pipeline.parts import Part, read_part
from gristmill.pipeline.published import ID, KEPT, REMOVED, SIGNALS, URL, index_hash
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import concat, read_batches, write_parquet
from gristmill.stages.documents import DOCUMENTS
from gristmill.tokenizers.sampling import keyed_hashes

INDEX = pa.schema(
    [("hash", pa.uint64()), ("kind", pa.uint8()), ("outcome", pa.uint8()), ("file", pa.string()), ("row", pa.int64())]
)
INDEX_ORDER = ["hash", "kind", "outcome", "row"]


@dataclass(frozen=True)
class Cut:
    """A published file: what lies in [begin, end) of a running sum."""

    name: str
    begin: int
    end: int


@dataclass(frozen=True)
class Rows:
    """Rows in a batch of a file of the work folder, `start` rows after the first of their kind."""

    file: str
    batch: int | None
    start: int
    rows: int


def cuts(total: int, size: int, prefix: str, suffix: str = ".parquet") -> list[Cut]:
    """Files of `size` each over a running sum that ends at `total`; one file at least."""
    count = max(1, -(-total // size))
    return [Cut(f"{prefix}{number:05d}{suffix}", number * size, (number + 1) * size) for number in range(count)]


def publish_documents(work: Storage, prefix: str, *, parts: list[tuple[Part, int]], cut: Cut, ranges: int) -> Manifest:
    """Write the documents whose text begins in the cut, counted in bytes over the source; parts come with the sum before them."""
    tables = []
    for part, before in parts:
        for table, _ in read_part(work, part):
            sizes = pc.binary_length(table["text"].combine_chunks()).to_numpy(zero_copy_only=False).astype(np.int64)
            begins = before + np.cumsum(sizes) - sizes
            before += int(sizes.sum())
            tables.append(table.filter(pa.array((begins >= cut.begin) & (begins < cut.end))))
    documents = concat(tables, DOCUMENTS)
    entry = write_parquet(work, f"{prefix}.parquet", documents, row_group_rows=1000)
    return _published(work, prefix, cut.name, entry, documents, KEPT, ranges)


def _published(
    work: Storage, prefix: str, name: str, entry: dict[str, Any], rows: pa.Table, outcome: int, ranges: int
) -> Manifest:
    """Manifest of a published file, with the index rows of its ids and URLs sent to their ranges."""
    index = [_index_rows(rows["id"], ID, outcome, name)]
    if "url" in rows.column_names:
        index.append(_index_rows(rows["url"], URL, outcome, name))
    table = pa.concat_tables(index)
    sent = write_exchange(work, f"{prefix}.index.arrow", table, key_ranges(table["hash"].to_numpy(), ranges), INDEX_ORDER)
    return {"files": [entry, *([sent] if sent else [])], "published": [entry | {"name": name}], "sent": [sent] if sent else []}


def _index_rows(values: pa.ChunkedArray, kind: int, outcome: int, name: str) -> pa.Table:
    held = [(index_hash(value), row) for row, value in enumerate(values.to_pylist()) if value is not None]
    hashes, rows = np.array([one for one, _ in held], dtype=np.uint64), np.array([row for _, row in held], dtype=np.int64)
    count = len(held)
    return pa.table(
        [hashes, np.full(count, kind, np.uint8), np.full(count, outcome, np.uint8), [name] * count, rows], schema=INDEX
    )


def _ledger_batches(work: Storage, rows: list[Rows]) -> Iterator[tuple[pa.Table, int]]:
    for one in rows:
        first = 0 if one.batch is None else one.batch
        start = one.start
        for table in read_batches(work, one.file, first=first, stop=None if one.batch is None else first + 1):
            yield table, start
            start += table.num_rows


def sample_texts(work: Storage, prefix: str, *, rows: list[Rows], per_rule: int, seed: int) -> Manifest:
    """For each source and rule of a stage the keyed id hash up to which removed documents keep their text.

    Every pass has kept the texts of its own lowest hashes, so the lowest of all are among them.
    """
    lowest: dict[str, np.ndarray] = {}
    for table, _ in _ledger_batches(work, rows):
        table = table.select(["id", "source", "rule"]).filter(table["text"].is_valid())
        hashes = keyed_hashes(table["id"].to_pylist(), seed)
        groups = np.array(
            [f"{source}\0{rule}" for source, rule in zip(*(table[name].to_pylist() for name in ("source", "rule")), strict=True)]
        )
        for group in np.unique(groups):
            both = np.concatenate([lowest.get(group, np.empty(0, np.uint64)), hashes[groups == group]])
            lowest[str(group)] = np.sort(both)[:per_rule]
    return {"files": [], "bounds": {group: int(hashes[-1]) for group, hashes in sorted(lowest.items())}}


def publish_ledger(
    work: Storage, prefix: str, *, rows: list[Rows], cut: Cut, bounds: dict[str, int] | None, seed: int, ranges: int
) -> Manifest:
    """Write the ledger rows of one stage whose number lies in the cut; with `bounds`, texts above them are left out."""
    tables = []
    for table, start in _ledger_batches(work, rows):
        begin, end = max(cut.begin - start, 0), min(cut.end - start, table.num_rows)
        if begin >= end:
            continue
        table = table.slice(begin, end - begin)
        if bounds is not None:
            hashes = keyed_hashes(table["id"].to_pylist(), seed)
            groups = zip(*(table[name].to_pylist() for name in ("source", "rule")), strict=True)
            limits = np.array([bounds.get(f"{source}\0{rule}", -1) for source, rule in groups], dtype=object)
            inside = np.array([int(one) <= limit for one, limit in zip(hashes, limits, strict=True)], dtype=bool)
            texts = pc.if_else(pa.array(inside), table["text"].combine_chunks(), pa.scalar(None, pa.large_string()))
            table = table.set_column(table.schema.get_field_index("text"), LEDGER.field("text"), texts)
        tables.append(table)
    ledger = concat(tables, LEDGER)
    return _published(work, prefix, cut.name, write_parquet(work, f"{prefix}.parquet", ledger), ledger, REMOVED, ranges)


def publish_signals(
    work: Storage, prefix: str, *, rows: list[Rows], cut: Cut, version: int, columns: list[str], ranges: int
) -> Manifest:
    """Write the signals of one source and text version whose row number lies in the cut; all files have all columns."""
    schema = pa.schema(
        [("id", pa.string()), ("source", pa.string()), ("version", pa.int32()), *((name, pa.float64()) for name in columns)]
    )
    tables = []
    for table, start in _ledger_batches(work, rows):
        begin, end = max(cut.begin - start, 0), min(cut.end - start, table.num_rows)
        if begin >= end:
            continue
        table = table.slice(begin, end - begin)
        count = table.num_rows
        table = table.append_column("version", pa.array(np.full(count, version, np.int32)))
        for name in columns:
            if name not in table.column_names:
                table = table.append_column(name, pa.nulls(count, pa.float64()))
        tables.append(table)
    signals = concat(tables, schema)
    return _published(work, prefix, cut.name, write_parquet(work, f"{prefix}.parquet", signals), signals, SIGNALS, ranges)


def publish_edits(work: Storage, prefix: str, *, rows: list[Rows], cut: Cut) -> Manifest:
    """Write the cuts of editors whose row number lies in the cut."""
    tables = []
    for table, start in _ledger_batches(work, rows):
        begin, end = max(cut.begin - start, 0), min(cut.end - start, table.num_rows)
        if begin < end:
            tables.append(table.slice(begin, end - begin))
    entry = write_parquet(work, f"{prefix}.parquet", concat(tables, EDITS))
    return {"files": [entry], "published": [entry | {"name": cut.name}], "sent": []}


def publish_index(work: Storage, prefix: str, *, sent: list[Sent], name: str) -> Manifest:
    """Write the index rows of one range of hashes, sorted."""
    rows = concat(merged(work, sent, INDEX_ORDER), INDEX)
    rows = rows.sort_by([(column, "ascending") for column in ("hash", "kind", "outcome", "file", "row")])
    entry = write_parquet(work, f"{prefix}.parquet", rows)
    return {"files": [entry], "published": [entry | {"name": name}]}
