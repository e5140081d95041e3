"""The tasks of publication: files cut by cumulative sizes in address order, so that no partition shows in them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.pipeline.chain import EDITS, REPORTS
from gristmill.pipeline.counts import text_bytes
from gristmill.pipeline.exchange import Sent, key_ranges, merged, write_exchange
from gristmill.pipeline.ledger import LEDGER
from gristmill.pipeline.parts import Part, Rows, read_part
from gristmill.pipeline.published import EDITED, ID, KEPT, REMOVED, REPORTED, SIGNALS, URL, index_hash
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import concat, read_batches, write_parquet
from gristmill.stages.documents import DOCUMENTS
from gristmill.tokenizers.sampling import keyed_hashes

INDEX = pa.schema(
    [("hash", pa.uint64()), ("kind", pa.uint8()), ("outcome", pa.uint8()), ("file", pa.string()), ("row", pa.int64())]
)
INDEX_ORDER = ["hash", "kind", "outcome", "row"]
T = TypeVar("T")


@dataclass(frozen=True)
class Cut:
    """A published file: what begins in [begin, end) of a running sum."""

    name: str
    begin: int
    end: int


def cuts(total: int, size: int, prefix: str) -> list[Cut]:
    """Files of `size` each over a running sum that ends at `total`; one file at least."""
    count = max(1, -(-total // size))
    ends = [*((number + 1) * size for number in range(count - 1)), max(count * size, total + 1)]
    # the last one also holds what begins where the sum ends: documents without text
    return [Cut(f"{prefix}{number:05d}.parquet", number * size, end) for number, end in enumerate(ends)]


def spread(items: Sequence[T], sizes: Sequence[int], size: int, prefix: str) -> Iterator[tuple[Cut, list[tuple[T, int]]]]:
    """Cut what lies end to end: each cut with the items that may reach into it, and with each item the sum before it."""
    ends = list(accumulate(sizes))
    starts = [0, *ends][: len(ends)]
    for cut in cuts(ends[-1] if ends else 0, size, prefix):
        first, stop = bisect_left(ends, cut.begin), bisect_left(starts, cut.end)
        yield cut, list(zip(items[first:stop], starts[first:stop], strict=True))


def publish_documents(work: Storage, prefix: str, *, held: list[tuple[Part, int]], cut: Cut, ranges: int) -> Manifest:
    """Write the documents whose text begins in the cut, in bytes of the source's text; with each part comes the sum before it."""
    tables = []
    for part, before in held:
        for table, _ in read_part(work, part):
            sizes = text_bytes(table)
            begins = before + np.cumsum(sizes) - sizes
            before += int(sizes.sum())
            tables.append(table.filter(pa.array((begins >= cut.begin) & (begins < cut.end))))
    documents = concat(tables, DOCUMENTS)
    entry = write_parquet(work, f"{prefix}.parquet", documents, row_group_rows=1000)
    return _published(work, prefix, cut.name, entry, documents, KEPT, ranges)


def _published(
    work: Storage, prefix: str, name: str, entry: dict[str, Any], rows: pa.Table, outcome: int, ranges: int
) -> Manifest:
    """Manifest of a published file, with the index rows of its ids and URLs sent to their ranges.

    Rows of one document that stand together are listed by the first of them.
    """
    index = [_index_rows(rows["id"], ID, outcome, name)]
    if "url" in rows.column_names:
        index.append(_index_rows(rows["url"], URL, outcome, name))
    table = pa.concat_tables(index)
    sent = write_exchange(work, f"{prefix}.index.arrow", table, key_ranges(table["hash"].to_numpy(), ranges), INDEX_ORDER)
    return {"files": [entry, *([sent] if sent else [])], "published": [entry | {"name": name}], "sent": [sent] if sent else []}


def _index_rows(values: pa.ChunkedArray, kind: int, outcome: int, name: str) -> pa.Table:
    listed = values.to_pylist()
    many = outcome in (EDITED, REPORTED)
    found = [
        (index_hash(value), row)
        for row, value in enumerate(listed)
        if value is not None and not (many and row and listed[row - 1] == value)
    ]
    hashes, rows = np.array([one for one, _ in found], dtype=np.uint64), np.array([row for _, row in found], dtype=np.int64)
    count = len(found)
    return pa.table(
        [hashes, np.full(count, kind, np.uint8), np.full(count, outcome, np.uint8), [name] * count, rows], schema=INDEX
    )


def _batches(work: Storage, rows: Rows) -> Iterator[pa.Table]:
    if rows.batch is None:
        return read_batches(work, rows.file)
    return read_batches(work, rows.file, first=rows.batch, stop=rows.batch + 1)


def _rows_inside(work: Storage, held: list[tuple[Rows, int]], cut: Cut) -> Iterator[pa.Table]:
    """The rows whose number lies in the cut; what is `held` comes with the number of its first row."""
    for one, start in held:
        if start + one.rows <= cut.begin:
            continue
        for table in _batches(work, one):
            begin, end = max(cut.begin - start, 0), min(cut.end - start, table.num_rows)
            start += table.num_rows
            if begin < end:
                yield table.slice(begin, end - begin)


def sample_texts(work: Storage, prefix: str, *, held: list[Rows], per_rule: int, seed: int) -> Manifest:
    """For each source and rule of a stage the keyed id hash up to which removed documents keep their text.

    Every pass has kept the texts of its own lowest hashes, so the lowest of all are among them.
    """
    lowest: dict[str, np.ndarray] = {}
    for table in (table for one in held for table in _batches(work, one)):
        with_text = table.select(["id", "source", "rule"]).filter(table["text"].is_valid())
        hashes = keyed_hashes(with_text["id"].to_pylist(), seed)
        groups = np.array(_groups(with_text))
        for group in set(groups.tolist()):
            both = np.concatenate([lowest.get(group, np.empty(0, np.uint64)), hashes[groups == group]])
            lowest[group] = np.sort(both)[:per_rule]
    return {"files": [], "bounds": {group: int(hashes[-1]) for group, hashes in sorted(lowest.items())}}


def _groups(ledger: pa.Table) -> list[str]:
    """Source and rule of each ledger row as one string."""
    return [f"{source}\0{rule}" for source, rule in zip(ledger["source"].to_pylist(), ledger["rule"].to_pylist(), strict=True)]


def publish_ledger(
    work: Storage,
    prefix: str,
    *,
    held: list[tuple[Rows, int]],
    cut: Cut,
    bounds: dict[str, int] | None,
    seed: int,
    ranges: int,
) -> Manifest:
    """Write the ledger rows of one stage whose number lies in the cut; with `bounds`, texts above them are left out."""
    ledger = concat(_rows_inside(work, held, cut), LEDGER)
    if bounds is not None:
        hashes = keyed_hashes(ledger["id"].to_pylist(), seed).tolist()
        # a group without a bound has no text to keep
        inside = [one <= bounds.get(group, -1) for one, group in zip(hashes, _groups(ledger), strict=True)]
        texts = pc.if_else(pa.array(inside, pa.bool_()), ledger["text"], pa.scalar(None, pa.large_string()))
        ledger = ledger.set_column(ledger.schema.get_field_index("text"), LEDGER.field("text"), texts)
    return _published(work, prefix, cut.name, write_parquet(work, f"{prefix}.parquet", ledger), ledger, REMOVED, ranges)


def publish_signals(
    work: Storage, prefix: str, *, held: list[tuple[Rows, int]], cut: Cut, version: int, columns: list[str], ranges: int
) -> Manifest:
    """Write the signals of one source and text version whose row number lies in the cut; all files have all columns."""
    schema = pa.schema(
        [("id", pa.string()), ("source", pa.string()), ("version", pa.int32()), *((name, pa.float64()) for name in columns)]
    )
    tables = []
    for table in _rows_inside(work, held, cut):
        count = table.num_rows
        table = table.append_column("version", pa.array(np.full(count, version, np.int32)))
        for name in columns:
            if name not in table.column_names:
                table = table.append_column(name, pa.nulls(count, pa.float64()))
        tables.append(table)
    signals = concat(tables, schema)
    return _published(work, prefix, cut.name, write_parquet(work, f"{prefix}.parquet", signals), signals, SIGNALS, ranges)


def publish_places(
    work: Storage, prefix: str, *, held: list[tuple[Rows, int]], cut: Cut, reported: bool, ranges: int
) -> Manifest:
    """Write what one editor cut, or what one filter tells of, and whose row number lies in the file's range."""
    places = concat(_rows_inside(work, held, cut), REPORTS if reported else EDITS)
    # small row groups: `why` reads the one that holds a document's rows, texts and all
    entry = write_parquet(work, f"{prefix}.parquet", places, row_group_rows=1000)
    return _published(work, prefix, cut.name, entry, places, REPORTED if reported else EDITED, ranges)


def publish_index(work: Storage, prefix: str, *, sent: list[Sent], name: str) -> Manifest:
    """Write the index rows of one range of hashes, sorted."""
    rows = concat(merged(work, sent, INDEX_ORDER), INDEX)
    rows = rows.sort_by([(column, "ascending") for column in ("hash", "kind", "outcome", "file", "row")])
    entry = write_parquet(work, f"{prefix}.parquet", rows)
    return {"files": [entry], "published": [entry | {"name": name}], "sent": []}
