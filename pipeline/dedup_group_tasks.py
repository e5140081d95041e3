"""Tasks of deduplications whose documents of one key are compared with one another: learn, emit, resolve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.pipeline.dedup_tasks import EMITTED, PAIRS, pair_files
from gristmill.pipeline.exchange import ExchangeFiles, Sent, key_ranges, merged
from gristmill.pipeline.keep_values import KeepValues
from gristmill.pipeline.parts import ADDRESS_ROW_BITS, Pack, read_pack
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches
from gristmill.stages.documents import Batch
from gristmill.stages.group_deduplicator import GroupDeduplicator
from gristmill.stages.keeper import ranks

ROWS_AT_ONCE = 4096
"""Rows compared in one go: bounds the pairs in memory where all are alike."""


def _lowest(table: pa.Table, number: int) -> pa.Table:
    """The rows with the lowest hashes, ascending."""
    order = np.argsort(table["hash"].to_numpy(), kind="stable")[:number]
    return table.take(pa.array(order)).combine_chunks()


def draw_sample(work: Storage, prefix: str, *, stage: GroupDeduplicator, pack: Pack) -> Manifest:
    """Write what a model is learned from, of the documents of a pack with the lowest hashes."""
    stage.set_up()
    held: pa.Table | None = None
    for table, _ in read_pack(work, pack):
        drawn = stage.sample(Batch(table))
        held = _lowest(drawn if held is None else pa.concat_tables([held, drawn]), stage.sample_documents)
    return _written(work, f"{prefix}.sample.arrow", held)


def _written(work: Storage, name: str, table: pa.Table | None) -> Manifest:
    if table is None or table.num_rows == 0:
        return {"files": [], "held": None}
    writer = StreamWriter(work, name, table.schema)
    writer.write(table)
    entry = writer.close()
    return {"files": [entry], "held": entry}


def learn(work: Storage, prefix: str, *, stage: GroupDeduplicator, files: list[str]) -> Manifest:
    """Learn the stage's model from the drawn samples; it stands from there on, whatever would be learned another time."""
    stage.set_up()
    samples = [table for file in files for table in read_batches(work, file)]
    drawn = _lowest(pa.concat_tables(samples), stage.sample_documents)
    return _written(work, f"{prefix}.model.arrow", stage.fit(drawn))


def emit_grouped(
    work: Storage,
    prefix: str,
    *,
    stage: GroupDeduplicator,
    pack: Pack,
    wave: int,
    ranges: int,
    batch_rows: int,
    model: str | None,
    width: int,
) -> Manifest:
    """Send the keys of each document, with its address, its rank and what it is compared by, to the key ranges."""
    stage.set_up()
    learned = pa.concat_tables(read_batches(work, model)) if model else None
    files = ExchangeFiles(
        work, f"{prefix}.emit", EMITTED, lambda rows: key_ranges(rows["key"].to_numpy(), ranges), batch_rows, width
    )
    values = KeepValues(stage.keep)
    for table, rows in read_pack(work, pack):
        emitted = stage.emit_grouped(Batch(table), wave, learned)
        addresses = (np.uint64(pack.number) << np.uint64(ADDRESS_ROW_BITS)) | rows.astype(np.uint64)
        at = emitted["row"].to_numpy()
        rank = ranks(stage.keep, table, addresses)
        values.see(table, rank)
        sent = emitted.drop_columns(["row"]).append_column("rank", pa.array(rank[at]))
        files.add(sent.append_column("address", pa.array(addresses[at])))
    return files.close() | values.told()


def key_again(
    work: Storage, prefix: str, *, stage: GroupDeduplicator, files: list[str], model: str, ranges: int, batch_rows: int
) -> Manifest:
    """Emitted rows as they would be with another model."""
    stage.set_up()
    learned = pa.concat_tables(read_batches(work, model))
    again = ExchangeFiles(work, f"{prefix}.emit", EMITTED, lambda rows: key_ranges(rows["key"].to_numpy(), ranges), batch_rows)
    for file in files:
        for table in read_batches(work, file):
            again.add(table.set_column(table.schema.get_field_index("key"), "key", stage.keys_of(table, learned)))
    return again.close()


def resolve_grouped(
    work: Storage, prefix: str, *, stage: GroupDeduplicator, sent: list[Sent], first_pack: int, width: int
) -> Manifest:
    """Stream over the rows of a key range: of each key, equal checks become pairs with the first of them, and those of different
    checks are compared with one another.

    The state is at most `most_compared` rows of one key. Packs before `first_pack` are those of an index: their documents have
    been judged.

    Returns:
        Beside `sent`: `crowded`, whether a key has more than `most_compared` different checks.
    """
    stage.set_up()
    found = pair_files(work, prefix, width)
    own = np.uint64(first_pack) << np.uint64(ADDRESS_ROW_BITS)
    held: pa.Table | None = None
    crowded = False
    for table in merged(work, sent, EMITTED):
        for start in range(0, table.num_rows, ROWS_AT_ONCE):
            piece = table.slice(start, ROWS_AT_ONCE)
            before = 0 if held is None else held.num_rows
            rows = piece if held is None else pa.concat_tables([held, piece])
            held, most = _compared(stage, rows.combine_chunks(), before, found, own)
            crowded |= most > stage.most_compared
    return found.close() | {"crowded": crowded}


def _compared(
    stage: GroupDeduplicator, rows: pa.Table, before: int, found: ExchangeFiles, own: np.uint64
) -> tuple[pa.Table, int]:
    """Add the pairs of rows, those `before` being compared already, whose later document has an address from `own` on.

    Returns:
        What later rows may have to be compared with, and how many different checks a key had here at most.
    """
    keys, checks = rows["key"].to_numpy(), rows["check"].to_numpy()
    opens = np.ones(len(keys), dtype=bool)
    opens[1:] = (keys[1:] != keys[:-1]) | (checks[1:] != checks[:-1])
    place = np.flatnonzero(opens)
    head = place[np.cumsum(opens) - 1]
    repeats = np.flatnonzero(~opens)
    distinct = rows.take(pa.array(place)).combine_chunks()
    # what was compared already stands in front, one row a check
    left, right = stage.meet(distinct, min(before, len(place)))
    pairs = _ordered(rows, np.concatenate([head[repeats], place[left]]), np.concatenate([repeats, place[right]]))
    found.add(pairs.filter(pa.array(pairs["b"].to_numpy() >= own)))
    last = int(np.searchsorted(keys[place], keys[-1], side="left"))
    sizes = np.diff(np.flatnonzero(np.concatenate([[True], keys[place][1:] != keys[place][:-1], [True]])))
    return distinct.slice(max(last, distinct.num_rows - stage.most_compared)), int(sizes.max())


def _ordered(rows: pa.Table, one: np.ndarray, other: np.ndarray) -> pa.Table:
    """Pairs of rows with the document first that stays before the other: the lower rank, then the lower address."""
    rank, address = rows["rank"].to_numpy(), rows["address"].to_numpy()
    swap = (rank[other] < rank[one]) | ((rank[other] == rank[one]) & (address[other] < address[one]))
    a, b = np.where(swap, other, one), np.where(swap, one, other)
    pairs: dict[str, Any] = {"a": address[a], "b": address[b], "a_rank": rank[a], "b_rank": rank[b]}
    different = address[a] != address[b]
    return pa.table(pairs, schema=PAIRS).filter(pa.array(different))
