"""The tasks of a deduplication: emit, resolve, measure, remove. Rows travel by exchange; no task sees the corpus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.pipeline.counts import text_bytes, whitespace_words
from gristmill.pipeline.dedup_index import IndexPack
from gristmill.pipeline.dedup_index_tasks import held_ids, held_sketches
from gristmill.pipeline.exchange import ExchangeFiles, Sent, key_ranges, merged, sent_files, sort_order, write_exchange
from gristmill.pipeline.keep_values import KeepValues
from gristmill.pipeline.ledger import LedgerText, removal_rows
from gristmill.pipeline.parts import ADDRESS_ROW_BITS, Pack, read_pack, take_rows
from gristmill.pipeline.passes import write_ledger
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches, schema_of
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.documents import Batch
from gristmill.stages.keeper import ranks

EMITTED = ["key", "check", "rank", "address"]
"""Order of emitted rows: those that meet stand together, the likely keeper first."""
PAIR = ["a", "b"]
"""Order of pairs."""
PAIRS = pa.schema([("a", pa.uint64()), ("b", pa.uint64()), ("a_rank", pa.int64()), ("b_rank", pa.int64())])
"""Two documents by address and rank; `a` is the one that stays where a pair is a decision."""
EDGES = PAIRS.append(pa.field("similarity", pa.float64()))
"""Pairs that have been measured; null where that is still to be done."""
SKETCH = pa.large_list(pa.uint64())
PIECE_ROWS = 1 << 20
"""Pairs that are looked at together."""
PAIRS_AT_ONCE = 1024
OFFER_BYTES = 64 << 20
"""Sketches in a file of offered pairs, about: one document can be paired with some in each pack."""
_ROW_MASK = np.uint64((1 << ADDRESS_ROW_BITS) - 1)
_SHIFT = np.uint64(ADDRESS_ROW_BITS)


def pack_of(addresses: np.ndarray) -> np.ndarray:
    """Pack numbers of addresses, int64."""
    return (addresses >> _SHIFT).astype(np.int64)


def row_of(addresses: np.ndarray) -> np.ndarray:
    """Rows in their pack of addresses, int64."""
    return (addresses & _ROW_MASK).astype(np.int64)


def emit(
    work: Storage, prefix: str, *, stage: Deduplicator, pack: Pack, wave: int, ranges: int, batch_rows: int, width: int
) -> Manifest:
    """Send the keys of each document in a wave, with its address and rank, to the key ranges."""
    stage.set_up()
    files = ExchangeFiles(
        work, f"{prefix}.emit", EMITTED, lambda rows: key_ranges(rows["key"].to_numpy(), ranges), batch_rows, width
    )
    values = KeepValues(stage.keep)
    for table, rows in read_pack(work, pack):
        emitted = stage.emit(Batch(table), wave) if stage.waves > 1 else stage.emit(Batch(table))
        addresses = (np.uint64(pack.number) << _SHIFT) | rows.astype(np.uint64)
        at = emitted["row"].to_numpy()
        rank = ranks(stage.keep, table, addresses)
        values.see(table, rank)
        files.add(pa.table({"key": emitted["key"], "check": emitted["check"], "rank": rank[at], "address": addresses[at]}))
    return files.close() | values.told()


def pair_files(work: Storage, prefix: str, width: int = 1) -> ExchangeFiles:
    """Files of pairs, sent to the packs of `a`."""
    return ExchangeFiles(work, f"{prefix}.pairs", PAIR, lambda pairs: pack_of(pairs["a"].to_numpy()), width=width)


def _pairs(a: np.ndarray, b: np.ndarray, a_rank: np.ndarray, b_rank: np.ndarray) -> pa.Table:
    return pa.table([a, b, a_rank, b_rank], schema=PAIRS)


def resolve(work: Storage, prefix: str, *, sent: list[Sent], chain: bool, first_pack: int, width: int) -> Manifest:
    """Stream over the rows of a key range: rows of one key become pairs with the first of them (a star).

    The state is a few numbers however many rows share a key. With `chain` each row also meets the row before it, so
    that a group whose first member is unlike the others does not hide that those are alike. Pairs are written with
    the first row as `a`. Packs before `first_pack` are those of an index: their documents have been judged.
    """
    found = pair_files(work, prefix, width)
    own = np.uint64(first_pack) << _SHIFT
    key = check = None
    first = previous = (np.uint64(0), 0)
    for table in merged(work, sent, EMITTED):
        keys, checks = table["key"].to_numpy(), table["check"].to_numpy()
        addresses, rank = table["address"].to_numpy(), table["rank"].to_numpy()
        starts = np.ones(len(keys), dtype=bool)
        starts[1:] = (keys[1:] != keys[:-1]) | (checks[1:] != checks[:-1])
        starts[0] = not (keys[0] == key and checks[0] == check)
        head = np.maximum.accumulate(np.where(starts, np.arange(len(keys)), -1))
        carried = head < 0
        head_address = np.where(carried, first[0], addresses[head])
        head_rank = np.where(carried, first[1], rank[head])
        others = ~starts & (addresses >= own)
        # a document whose keys repeat (equal bands) never pairs with itself
        star = others & (head_address != addresses)
        found.add(_pairs(head_address[star], addresses[star], head_rank[star], rank[star]))
        if chain:
            before = np.concatenate([[previous[0]], addresses[:-1]]).astype(np.uint64)
            before_rank = np.concatenate([[previous[1]], rank[:-1]]).astype(np.int64)
            link = others & (before != head_address) & (before != addresses)
            found.add(_pairs(before[link], addresses[link], before_rank[link], rank[link]))
        key, check = keys[-1], checks[-1]
        first = (head_address[-1], int(head_rank[-1]))
        previous = (addresses[-1], int(rank[-1]))
    return found.close()


def _unique_pairs(work: Storage, sent: list[Sent]) -> Iterator[pa.Table]:
    """The received pairs by `a` and `b`, each once, in pieces of about `PIECE_ROWS`."""
    held: list[pa.Table] = []
    rows = 0
    last: tuple[int, int] | None = None
    for table in merged(work, sent, PAIR):
        a, b = table["a"].to_numpy(), table["b"].to_numpy()
        new = np.ones(len(a), dtype=bool)
        new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
        new[0] = last != (a[0], b[0])
        last = (a[-1], b[-1])
        held.append(table.filter(pa.array(new)))
        rows += held[-1].num_rows
        if rows >= PIECE_ROWS:
            yield pa.concat_tables(held)
            held, rows = [], 0
    if rows:
        yield pa.concat_tables(held)


def offer(
    work: Storage, prefix: str, *, stage: Deduplicator, pack: Pack | IndexPack, sent: list[Sent], decided: bool, width: int
) -> Manifest:
    """Send what is needed of each `a` of this pack (its id and sketch) to the packs of the `b` that it is paired with.

    One document can be the `a` of any number of pairs, so they go out in files of bounded size. Where the pairs are `decided`,
    `a` stays for `b`: then the size of its cluster goes along, and `clusters` of the manifest counts {size: clusters}.
    """
    stage.set_up()
    sizes: np.ndarray | None = None
    if decided:
        sizes = np.ones(pack.span, dtype=np.int64)
        for pairs in _unique_pairs(work, sent):
            np.add.at(sizes, row_of(pairs["a"].to_numpy()), 1)
    entries: list[dict[str, Any] | None] = []
    for pairs in _unique_pairs(work, sent):
        if sizes is not None:
            pairs = pairs.append_column("size", pa.array(sizes[row_of(pairs["a"].to_numpy())]))
        for piece in _offered(work, stage, pack, pairs):
            name = f"{prefix}.offer{len(entries)}.arrow"
            entries.append(write_exchange(work, name, piece, pack_of(piece["b"].to_numpy()), PAIR, PAIRS_AT_ONCE, width=width))
    manifest = sent_files(entries)
    if sizes is not None:
        size, clusters = np.unique(sizes[sizes > 1], return_counts=True)
        manifest["clusters"] = {str(one): int(number) for one, number in zip(size, clusters, strict=True)}
    return manifest


def _offered(work: Storage, stage: Deduplicator, pack: Pack | IndexPack, pairs: pa.Table) -> Iterator[pa.Table]:
    """Pairs, by `a` and `b`, with what the packs of `b` need of `a`; in pieces of about `OFFER_BYTES`.

    Each pack gets an id and a sketch once per `a` and piece, on its first row there.
    """
    rows, targets = row_of(pairs["a"].to_numpy()), pack_of(pairs["b"].to_numpy())
    wanted, place = np.unique(rows, return_inverse=True)
    ids = held_ids(work, pack, wanted)
    unknown = _unknown(pairs)
    compared = wanted if unknown.all() else np.unique(rows[unknown])
    sketches = held_sketches(work, stage, pack, compared) if len(compared) else pa.nulls(0, SKETCH)
    at = np.minimum(np.searchsorted(compared, rows), max(0, len(compared) - 1))
    has = compared[at] == rows if len(compared) else np.zeros(len(rows), dtype=bool)
    costs = np.full(len(rows), 64, dtype=np.int64)
    if sketches is not None and len(sketches):
        costs += np.where(_opens(rows, targets) & has, 8 * np.diff(sketches.offsets.to_numpy())[at], 0)
    bins = np.cumsum(costs) // OFFER_BYTES
    cuts = np.flatnonzero(np.diff(bins)) + 1
    for begin, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        piece, inside = pairs.slice(begin, end - begin), slice(begin, end)
        opens = _opens(rows[inside], targets[inside])
        piece = piece.append_column("a_id", ids.take(pa.array(place[inside], mask=~opens)))
        if sketches is not None:
            piece = piece.append_column("a_sketch", sketches.take(pa.array(at[inside], mask=~(opens & has[inside]))))
        yield piece


def _opens(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Which pairs, sorted by `a` and `b`, are the first of their `a` for their pack: so packs ascend within an `a`; bool."""
    opens = np.ones(len(rows), dtype=bool)
    opens[1:] = (rows[1:] != rows[:-1]) | (targets[1:] != targets[:-1])
    return opens


def _unknown(pairs: pa.Table) -> np.ndarray:
    """Which pairs are still to be measured; bool."""
    if "similarity" not in pairs.column_names:
        return np.ones(pairs.num_rows, dtype=bool)
    missing: np.ndarray = pairs["similarity"].combine_chunks().is_null().to_numpy(zero_copy_only=False)
    return missing


def measured(
    work: Storage, stage: Deduplicator, pack: Pack | IndexPack, sent: list[Sent]
) -> Iterator[tuple[pa.Table, pa.Array, np.ndarray]]:
    """Offered pairs, piece by piece, with the id of `a` and the similarity of both."""
    wanted = _to_measure(work, sent)
    own = held_sketches(work, stage, pack, wanted) if len(wanted) else None
    held_id: pa.Array = pa.nulls(1, pa.string())
    held_sketch: pa.Array = pa.nulls(1, SKETCH)
    for table in merged(work, sent, PAIR):
        for start in range(0, table.num_rows, PAIRS_AT_ONCE):
            piece = table.slice(start, PAIRS_AT_ONCE).combine_chunks()
            # what an `a` sent stands on its first row only; the last one of the piece before is carried along
            a_ids = pa.concat_arrays([held_id, piece["a_id"].combine_chunks()])
            fill = np.maximum.accumulate(np.where(a_ids.is_valid().to_numpy(zero_copy_only=False), np.arange(len(a_ids)), 0))[1:]
            ids = a_ids.take(pa.array(fill))
            similarity = np.ones(piece.num_rows)
            if "similarity" in piece.column_names:
                similarity = piece["similarity"].to_numpy().copy()
            unknown = np.flatnonzero(_unknown(piece))
            if own is not None:
                sketches = pa.concat_arrays([held_sketch, piece["a_sketch"].combine_chunks()])
                held_sketch = sketches.slice(int(fill[-1]), 1)
                right = own.take(pa.array(np.searchsorted(wanted, row_of(piece["b"].to_numpy()[unknown]))))
                similarity[unknown] = stage.similarity(sketches.take(pa.array(fill[unknown])), right)
            held_id = ids.slice(len(ids) - 1)
            yield piece, ids, similarity


def _to_measure(work: Storage, sent: list[Sent]) -> np.ndarray:
    """Rows in their pack of each `b` that is still to be compared with an `a`, ascending int64."""
    seen = []
    for one in sent:
        columns = ["b", *({"similarity"} & set(schema_of(work, one.file).names))]
        for table in read_batches(work, one.file, columns, one.first, one.stop):
            seen.append(np.unique(row_of(table["b"].to_numpy()[_unknown(table)])))
    return np.unique(np.concatenate(seen))


def verify(work: Storage, prefix: str, *, stage: Deduplicator, pack: Pack | IndexPack, sent: list[Sent]) -> Manifest:
    """Keep the offered pairs whose similarity reaches the stage's least one."""
    stage.set_up()
    least = stage.least_similarity
    writer = StreamWriter(work, f"{prefix}.edges.arrow", EDGES)
    compared = 0
    for piece, _, similarity in measured(work, stage, pack, sent):
        compared += piece.num_rows
        edges = piece.select(PAIRS.names).append_column("similarity", pa.array(similarity))
        writer.write(edges.filter(pa.array(similarity >= (least if least is not None else 0.0))))
    entry = writer.close()
    return {"files": [entry], "edges": [entry], "measured": compared}


def remove(work: Storage, prefix: str, *, stage: Deduplicator, pack: Pack, sent: list[Sent], ledger_text: LedgerText) -> Manifest:
    """Write the removals of a pack: rows for the next pass to skip, and ledger rows with the kept id and the similarity.

    Of a `direct` stage the offered pairs are candidates: a document goes where one reaches the least similarity, and the first
    of those (by rank and address) is named.
    """
    stage.set_up()
    threshold = stage.least_similarity
    found: list[pa.Table] = []
    for piece, ids, similarity in measured(work, stage, pack, sent):
        columns = {"row": row_of(piece["b"].to_numpy()), "kept_id": ids, "similarity": similarity}
        columns |= {"rank": piece["a_rank"], "a": piece["a"]}
        columns["size"] = piece["size"] if "size" in piece.column_names else pa.nulls(piece.num_rows, pa.int64())
        held = pa.table(columns)
        found.append(held.filter(pa.array(similarity >= threshold)) if stage.direct and threshold is not None else held)
    decisions = _first_of_each_row(pa.concat_tables(found))
    if decisions.num_rows == 0:
        return {"files": [], "removals": None, "ledger": None, "by_part": {}}
    rows = decisions["row"].to_numpy()
    documents = take_rows(work, pack, rows)
    entry = write_ledger(work, f"{prefix}.ledger.arrow", {stage.label: [_ledger_rows(stage, documents, decisions)]}, ledger_text)
    part = np.searchsorted(np.array(pack.starts), rows, side="right") - 1
    writer = StreamWriter(work, f"{prefix}.removals.arrow", pa.schema([("part", pa.int32()), ("row", pa.int64())]))
    writer.write(pa.table({"part": pa.array(part, pa.int32()), "row": rows - np.array(pack.starts)[part]}))
    removals = writer.close()
    sizes, words = text_bytes(documents), whitespace_words(documents["text"])
    by_part = {
        str(number): {
            "rows": int((part == number).sum()),
            "bytes": int(sizes[part == number].sum()),
            "words": int(words[part == number].sum()),
        }
        for number in np.unique(part)
    }
    return {"files": [removals, *([entry] if entry else [])], "removals": removals, "ledger": entry, "by_part": by_part}


def _first_of_each_row(found: pa.Table) -> pa.Table:
    """Of the decisions on each row the one with the first document, by rank and address."""
    found = found.take(pa.array(sort_order(found, ["row", "rank", "a"]))).combine_chunks()
    rows = found["row"].to_numpy()
    first = np.ones(len(rows), dtype=bool)
    first[1:] = rows[1:] != rows[:-1]
    return found.filter(pa.array(first)).combine_chunks()


def _ledger_rows(stage: Deduplicator, documents: pa.Table, decisions: pa.Table) -> pa.Table:
    count = decisions.num_rows
    return removal_rows(
        documents,
        stage.label,
        rules=[stage.rule] * count,
        values=decisions["similarity"].to_pylist(),
        thresholds=[stage.least_similarity] * count,
        details=[None if size is None else f"one of a cluster of {size}" for size in decisions["size"].to_pylist()],
        kept_ids=decisions["kept_id"].combine_chunks(),
        similarities=decisions["similarity"].combine_chunks(),
    )
