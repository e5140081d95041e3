"""The tasks of a deduplication: emit, resolve, measure, cluster, remove. Rows travel by exchange; no task sees the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.pipeline.counts import text_bytes, whitespace_words
from gristmill.pipeline.exchange import Sent, key_ranges, merged, sort_order, write_exchange
from gristmill.pipeline.ledger import LedgerText, removal_rows
from gristmill.pipeline.parts import ADDRESS_ROW_BITS, Pack, characters, read_pack, take_rows
from gristmill.pipeline.passes import write_ledger
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.documents import Batch

EMITTED = ["key", "check", "rank", "address"]
"""Order of emitted rows: those that meet stand together, the likely keeper first."""
PAIRS = pa.schema([("a", pa.uint64()), ("b", pa.uint64()), ("a_length", pa.int64()), ("b_length", pa.int64())])
"""Two documents by address and their characters; `a` is the one that stays where a pair is a decision."""
FLUSH_ROWS = 1 << 20
PAIRS_AT_ONCE = 1024
_ROW_MASK = np.uint64((1 << ADDRESS_ROW_BITS) - 1)
_SHIFT = np.uint64(ADDRESS_ROW_BITS)


def pack_of(addresses: np.ndarray) -> np.ndarray:
    """Pack numbers of addresses, int64."""
    return (addresses >> _SHIFT).astype(np.int64)


def row_of(addresses: np.ndarray) -> np.ndarray:
    """Rows in their pack of addresses, int64."""
    return (addresses & _ROW_MASK).astype(np.int64)


def emit(work: Storage, prefix: str, *, stage: Deduplicator, pack: Pack, ranges: int, batch_rows: int) -> Manifest:
    """Send each document's keys, with its address and length, to the key ranges."""
    stage.set_up()
    tables = []
    for table, rows in read_pack(work, pack):
        emitted = stage.emit(Batch(table))
        at = emitted["row"].to_numpy()
        lengths = characters(table)[at]
        tables.append(
            pa.table(
                {
                    "key": emitted["key"],
                    "check": emitted["check"],
                    "rank": -lengths if stage.keep == "longest" else np.zeros(len(at), dtype=np.int64),
                    "address": (np.uint64(pack.number) << _SHIFT) | rows[at].astype(np.uint64),
                    "length": lengths,
                }
            )
        )
    if not tables:
        return {"files": [], "sent": []}
    rows_sent = pa.concat_tables(tables)
    targets = key_ranges(rows_sent["key"].to_numpy(), ranges)
    return _sent([write_exchange(work, f"{prefix}.emit.arrow", rows_sent, targets, EMITTED, batch_rows)])


def _sent(entries: Sequence[dict[str, Any] | None]) -> Manifest:
    held = [entry for entry in entries if entry is not None]
    return {"files": held, "sent": held, "rows": sum(entry["rows"] for entry in held)}


class _PairSink:
    """Collects pairs and writes them in files of bounded size, sent to the packs of `a`."""

    def __init__(self, work: Storage, prefix: str) -> None:
        self._work, self._prefix = work, prefix
        self._held: list[pa.Table] = []
        self._rows = 0
        self.entries: list[dict[str, Any]] = []

    def add(self, a: np.ndarray, b: np.ndarray, a_length: np.ndarray, b_length: np.ndarray) -> None:
        """Take pairs: addresses (uint64) and characters (int64), shape (n_pairs,) each."""
        if len(a):
            self._held.append(pa.table([a, b, a_length, b_length], schema=PAIRS))
            self._rows += len(a)
        if self._rows >= FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            pairs = pa.concat_tables(self._held)
            name = f"{self._prefix}.pairs{len(self.entries)}.arrow"
            entry = write_exchange(self._work, name, pairs, pack_of(pairs["a"].to_numpy()), ["a", "b"])
            if entry:
                self.entries.append(entry)
        self._held, self._rows = [], 0


def resolve(work: Storage, prefix: str, *, sent: list[Sent], chain: bool) -> Manifest:
    """Stream over the rows of a key range: rows of one key become pairs with the first of them (a star).

    The state is a few numbers however many rows share a key. With `chain` each row also meets the row before it, so
    that a group whose first member is unlike the others does not hide that those are alike. Pairs are written with
    the first row as `a`.
    """
    sink = _PairSink(work, prefix)
    key = check = None
    first = previous = (np.uint64(0), 0)
    for table in merged(work, sent, EMITTED):
        keys, checks = table["key"].to_numpy(), table["check"].to_numpy()
        addresses, lengths = table["address"].to_numpy(), table["length"].to_numpy()
        starts = np.ones(len(keys), dtype=bool)
        starts[1:] = (keys[1:] != keys[:-1]) | (checks[1:] != checks[:-1])
        starts[0] = not (keys[0] == key and checks[0] == check)
        head = np.maximum.accumulate(np.where(starts, np.arange(len(keys)), -1))
        carried = head < 0
        head_address = np.where(carried, first[0], addresses[head])
        head_length = np.where(carried, first[1], lengths[head])
        others = ~starts
        # a document whose keys repeat (equal bands) never pairs with itself
        star = others & (head_address != addresses)
        sink.add(head_address[star], addresses[star], head_length[star], lengths[star])
        if chain:
            before = np.concatenate([[previous[0]], addresses[:-1]]).astype(np.uint64)
            before_length = np.concatenate([[previous[1]], lengths[:-1]]).astype(np.int64)
            link = others & (before != head_address) & (before != addresses)
            sink.add(before[link], addresses[link], before_length[link], lengths[link])
        key, check = keys[-1], checks[-1]
        first = (head_address[-1], int(head_length[-1]))
        previous = (addresses[-1], int(lengths[-1]))
    sink.flush()
    return _sent(sink.entries)


def _unique_pairs(work: Storage, sent: list[Sent]) -> Iterator[pa.Table]:
    """The received pairs by `a` and `b`, each once, in pieces of about `FLUSH_ROWS`."""
    held: list[pa.Table] = []
    rows = 0
    last: tuple[int, int] | None = None
    for table in merged(work, sent, ["a", "b"]):
        a, b = table["a"].to_numpy(), table["b"].to_numpy()
        new = np.ones(len(a), dtype=bool)
        new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
        new[0] = last != (a[0], b[0])
        last = (a[-1], b[-1])
        held.append(table.filter(pa.array(new)))
        rows += held[-1].num_rows
        if rows >= FLUSH_ROWS:
            yield pa.concat_tables(held)
            held, rows = [], 0
    if rows:
        yield pa.concat_tables(held)


def offer(work: Storage, prefix: str, *, stage: Deduplicator, pack: Pack, sent: list[Sent]) -> Manifest:
    """Send what is needed of each `a` of this pack (its id and sketch) to the packs of the `b` that it is paired with.

    One document can be the `a` of any number of pairs, so they go out in files of bounded size.
    """
    stage.set_up()
    entries = []
    for number, pairs in enumerate(_unique_pairs(work, sent)):
        entries.append(_offered(work, f"{prefix}.offer{number}.arrow", stage, pack, pairs))
    return _sent(entries)


def _offered(work: Storage, name: str, stage: Deduplicator, pack: Pack, pairs: pa.Table) -> dict[str, Any] | None:
    targets = pack_of(pairs["b"].to_numpy())
    pairs = pairs.append_column("target", pa.array(targets))
    pairs = pairs.take(pa.array(sort_order(pairs, ["target", "a", "b"])))
    a, targets = pairs["a"].to_numpy(), pairs["target"].to_numpy()
    wanted, place = np.unique(row_of(a), return_inverse=True)
    documents = take_rows(work, pack, wanted)
    # each destination gets an id and a sketch once per `a`, on its first row there
    opens = np.ones(len(a), dtype=bool)
    opens[1:] = (a[1:] != a[:-1]) | (targets[1:] != targets[:-1])
    index = pa.array(np.where(opens, place, 0), mask=~opens)
    pairs = pairs.drop_columns(["target"]).append_column("a_id", documents["id"].combine_chunks().take(index))
    sketches = stage.sketches(Batch(documents))
    if sketches is not None:
        pairs = pairs.append_column("a_sketch", _large(sketches).take(index))
    return write_exchange(work, name, pairs, targets, ["a", "b"])


def _large(lists: pa.Array) -> pa.Array:
    return lists.cast(pa.large_list(pa.uint64()))


def _measured(
    work: Storage, stage: Deduplicator, pack: Pack, sent: list[Sent]
) -> Iterator[tuple[pa.Table, pa.Array, np.ndarray]]:
    """Offered pairs, piece by piece, with the id of `a` and the similarity of both."""
    seen = [row_of(np.unique(table["b"].to_numpy())) for table in merged(work, sent, ["a", "b"])]
    wanted = np.unique(np.concatenate(seen))
    own = stage.sketches(Batch(take_rows(work, pack, wanted)))
    held_id: pa.Array = pa.nulls(1, pa.string())
    held_sketch: pa.Array = pa.nulls(1, pa.large_list(pa.uint64()))
    for table in merged(work, sent, ["a", "b"]):
        for start in range(0, table.num_rows, PAIRS_AT_ONCE):
            piece = table.slice(start, PAIRS_AT_ONCE).combine_chunks()
            # what an `a` sent stands on its first row only; the last one of the piece before is carried along
            a_ids = pa.concat_arrays([held_id, piece["a_id"].combine_chunks()])
            fill = np.maximum.accumulate(np.where(a_ids.is_valid().to_numpy(zero_copy_only=False), np.arange(len(a_ids)), 0))[1:]
            ids = a_ids.take(pa.array(fill))
            similarity = np.ones(piece.num_rows)
            if own is not None:
                sketches = pa.concat_arrays([held_sketch, piece["a_sketch"].combine_chunks()]).take(pa.array(fill))
                right = _large(own).take(pa.array(np.searchsorted(wanted, row_of(piece["b"].to_numpy()))))
                similarity = stage.similarity(sketches, right)
                held_sketch = sketches.slice(len(sketches) - 1)
            held_id = ids.slice(len(ids) - 1)
            yield piece, ids, similarity


def verify(work: Storage, prefix: str, *, stage: Deduplicator, pack: Pack, sent: list[Sent]) -> Manifest:
    """Keep the offered pairs whose similarity reaches the stage's least one."""
    stage.set_up()
    least = stage.least_similarity
    writer = StreamWriter(work, f"{prefix}.edges.arrow", PAIRS)
    measured = 0
    for piece, _, similarity in _measured(work, stage, pack, sent):
        measured += piece.num_rows
        writer.write(piece.select(PAIRS.names).filter(pa.array(similarity >= (least if least is not None else 0.0))))
    entry = writer.close()
    return {"files": [entry], "edges": [entry], "measured": measured}


def components(pairs: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connected components of pairs.

    Returns:
        Addresses of all documents in pairs (ascending uint64), the component of each (int64), their lengths (int64).
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    nodes, place = np.unique(np.concatenate([a, b]), return_inverse=True)
    lengths = np.zeros(len(nodes), dtype=np.int64)
    lengths[place] = np.concatenate([pairs["a_length"].to_numpy(), pairs["b_length"].to_numpy()])
    graph = coo_matrix((np.ones(len(a), dtype=np.int8), (place[: len(a)], place[len(a) :])), shape=(len(nodes), len(nodes)))
    _, labels = connected_components(graph, directed=False)
    return nodes, labels.astype(np.int64), lengths


def stars(pairs: pa.Table, keep: str) -> pa.Table:
    """The same components with as few pairs as can be: each document with its component's keeper (`a`).

    Args:
        pairs: columns of `PAIRS`.
        keep: `longest` (most characters, then the first address) or `first` (the first address).
    """
    if pairs.num_rows == 0:
        return PAIRS.empty_table()
    nodes, labels, lengths = components(pairs)
    order = np.lexsort([nodes, -lengths if keep == "longest" else np.zeros_like(lengths), labels])
    heads = np.ones(len(order), dtype=bool)
    heads[1:] = labels[order][1:] != labels[order][:-1]
    keeper = order[heads][np.cumsum(heads) - 1]
    members = ~heads
    return pa.table(
        [nodes[keeper][members], nodes[order][members], lengths[keeper][members], lengths[order][members]], schema=PAIRS
    )


def forest(work: Storage, prefix: str, *, files: list[str], keep: str) -> Manifest:
    """Merge files of pairs into one with the same components and one pair a document."""
    held = PAIRS.empty_table()
    most = FLUSH_ROWS
    for name in files:
        for table in read_batches(work, name):
            held = pa.concat_tables([held, table.select(PAIRS.names)])
            if held.num_rows > most:
                held = stars(held, keep)
                # what is left may fill it again: merge as often as it doubles, not at each batch
                most = max(FLUSH_ROWS, 2 * held.num_rows)
    writer = StreamWriter(work, f"{prefix}.forest.arrow", PAIRS)
    writer.write(stars(held, keep))
    entry = writer.close()
    return {"files": [entry], "edges": [entry]}


def decide(work: Storage, prefix: str, *, file: str) -> Manifest:
    """Send the last forest's pairs, now decisions, to the packs of the documents that stay."""
    sink = _PairSink(work, prefix)
    for table in read_batches(work, file):
        sink.add(*(table[name].to_numpy() for name in PAIRS.names))
    sink.flush()
    return _sent(sink.entries)


def remove(work: Storage, prefix: str, *, stage: Deduplicator, pack: Pack, sent: list[Sent], ledger_text: LedgerText) -> Manifest:
    """Write the removals of a pack: rows for the next pass to skip, and ledger rows with the kept id and the similarity."""
    stage.set_up()
    found: list[pa.Table] = []
    for piece, ids, similarity in _measured(work, stage, pack, sent):
        found.append(pa.table({"row": row_of(piece["b"].to_numpy()), "kept_id": ids, "similarity": similarity}))
    decisions = pa.concat_tables(found).sort_by("row").combine_chunks()
    rows = decisions["row"].to_numpy()
    documents = take_rows(work, pack, rows)
    count = len(rows)
    threshold = stage.least_similarity
    ledger = removal_rows(
        documents,
        stage.label,
        rules=[stage.rule] * count,
        values=decisions["similarity"].to_pylist(),
        thresholds=[threshold] * count,
        details=[None] * count,
        kept_ids=decisions["kept_id"].combine_chunks(),
        similarities=decisions["similarity"].combine_chunks(),
    )
    entry = write_ledger(work, f"{prefix}.ledger.arrow", {stage.label: [ledger]}, ledger_text)
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
