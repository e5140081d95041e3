"""The tasks of a window editor: k-grams that are selected twice, the windows that select them, and which of those repeat.

What is exchanged is small. A pack sends each selected k-gram once (9 bytes); and each window that may repeat once for every
chunk of a pack, however often it stands there, while a file of its own tells where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.pipeline.corpus_edit_naming import NONE
from gristmill.pipeline.corpus_edit_tasks import UNITS
from gristmill.pipeline.dedup_index import IndexPack
from gristmill.pipeline.exchange import ExchangeFiles, Sent, key_ranges, merged, sent_files
from gristmill.pipeline.parts import ADDRESS_ROW_BITS, Pack, read_pack
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches
from gristmill.stages.documents import Batch
from gristmill.stages.window_editor import WindowEditor

CHUNK_GRAMS = 1 << 23
"""Selected k-grams that a task holds (8 bytes each) before it sends them."""
CHUNK_WINDOWS = 1 << 21
"""Windows that a task holds (some 100 bytes each while they are sorted) before it sends them."""
CHUNK_BITS = 24
"""A chunk is pack number << 24 | its number in the pack: ascending with the address."""
_SHIFT = np.uint64(ADDRESS_ROW_BITS)
HELD = pa.schema([("row", pa.int64()), ("id", pa.string()), ("text", pa.large_string())])
"""A document in an index."""


def _write_sorted(work: Storage, name: str, rows: pa.Table, ranges: int, batch_rows: int) -> dict[str, Any] | None:
    """`write_exchange` of rows that are in the order of their keys already."""
    if rows.num_rows == 0:
        return None
    bounds = np.flatnonzero(np.diff(key_ranges(rows["key"].to_numpy(), ranges))) + 1
    writer = StreamWriter(work, name, rows.schema)
    held: dict[str, list[int]] = {}
    for begin, end in zip([0, *bounds.tolist()], [*bounds.tolist(), rows.num_rows], strict=True):
        first = writer.batches
        for start in range(begin, end, batch_rows):
            writer.write(rows.slice(start, min(batch_rows, end - start)))
        (place,) = key_ranges(rows["key"].slice(begin, 1).to_numpy(), ranges).tolist()
        held[str(place)] = [first, writer.batches, end - begin]
    return writer.close() | {"ranges": held}


def emit_grams(work: Storage, prefix: str, *, stage: WindowEditor, pack: Pack, ranges: int, batch_rows: int) -> Manifest:
    """Send the hash of each k-gram that a window selects to the key ranges, once, and whether it was selected more often."""
    from gristmill.stages.substring_kernels import winnow

    stage.set_up()
    held: list[np.ndarray] = []
    entries: list[dict[str, Any] | None] = []

    def flush() -> None:
        keys = np.sort(np.concatenate(held)) if held else np.zeros(0, np.uint64)
        held.clear()
        heads = _heads(keys)
        many = np.diff(np.append(heads, len(keys))) > 1
        packs = np.full(len(heads), pack.number, dtype=np.int32)
        rows = pa.table({"key": keys[heads], "many": many, "pack": packs})
        entries.append(_write_sorted(work, f"{prefix}.grams{len(entries)}.arrow", rows, ranges, batch_rows))

    for table, _ in read_pack(work, pack):
        units = stage.units(Batch(table))
        held.append(winnow(units.data, units.width, units.offsets, *stage.grams)[0])
        if sum(map(len, held)) >= CHUNK_GRAMS:
            flush()
    flush()
    return sent_files(entries)


def _differ(*columns: np.ndarray) -> np.ndarray:
    """Which rows differ from the one before in one of the columns; the first does."""
    new = np.zeros(len(columns[0]), dtype=bool)
    new[:1] = True
    for values in columns:
        new[1:] |= values[1:] != values[:-1]
    return new


def _heads(keys: np.ndarray) -> np.ndarray:
    """Where each group of equal neighbours begins."""
    return np.flatnonzero(_differ(keys))


def _narrow(values: np.ndarray) -> np.ndarray:
    """The same numbers in 32 bits, where they fit."""
    return values.astype(np.int32) if int(values.max()) < 2**31 else values


def _whole_groups(work: Storage, sent: Sequence[Sent]) -> Iterator[pa.Table]:
    """The rows of a key range by key, those of a key in one piece and in the order of the files; a key has one row a chunk."""
    rest: pa.Table | None = None
    for piece in merged(work, sent, ["key"]):
        table = piece if rest is None else pa.concat_tables([rest, piece])
        keys = table["key"].to_numpy()
        begin = int(np.searchsorted(keys, keys[-1]))
        rest = table.slice(begin)
        if begin:
            yield table.slice(0, begin)
    if rest is not None:
        yield rest


def resolve_grams(work: Storage, prefix: str, *, sent: list[Sent], first_pack: int) -> Manifest:
    """Send the k-grams that were selected at least twice back to the packs that have them.

    Packs before `first_pack` are those of an index: only what packs of this run have too concerns them.
    """
    found = ExchangeFiles(work, f"{prefix}.grams", ["key"], lambda rows: rows["pack"].to_numpy().astype(np.int64))
    for table in _whole_groups(work, sent):
        heads = _heads(table["key"].to_numpy())
        sizes = np.diff(np.append(heads, table.num_rows))
        own = np.logical_or.reduceat(table["pack"].to_numpy() >= first_pack, heads)
        repeated = (np.repeat(sizes > 1, sizes) | table["many"].to_numpy()) & np.repeat(own, sizes)
        found.add(table.filter(pa.array(repeated)).drop_columns("many"))
    return found.close()


class _Windows:
    """Collects the windows of a pack that may repeat, and sends each once a chunk."""

    def __init__(self, work: Storage, prefix: str, pack: Pack | IndexPack, ranges: int, batch_rows: int) -> None:
        self._work, self._prefix, self._pack, self._ranges, self._batch_rows = work, prefix, pack.number, ranges, batch_rows
        self._held: list[tuple[np.ndarray, ...]] = []
        self._count = 0
        self.entries: list[dict[str, Any] | None] = []
        self.places: list[dict[str, Any]] = []

    def add(self, low: np.ndarray, high: np.ndarray, *places: np.ndarray) -> None:
        """Take windows in the order of their places: pack row, unit of the document, first and last byte of it."""
        if self._count + len(low) > CHUNK_WINDOWS:  # before, not after: else a chunk could be twice as large
            self.flush()
        self._held.append((low, high, *places))
        self._count += len(low)

    def flush(self) -> None:
        """Write a chunk."""
        if not self._count:
            return
        low, high, rows, units, starts, ends = map(np.concatenate, zip(*self._held, strict=True))
        self._held, self._count = [], 0
        order = np.argsort(low)
        keys, checks = low[order], high[order]
        new = _differ(keys)
        if (~new[1:] & (checks[1:] != checks[:-1])).any():  # halves that are equal by chance
            order = np.lexsort([high, low])
            keys, checks = low[order], high[order]
            new = _differ(keys, checks)
        heads = np.flatnonzero(new)
        sizes = np.diff(np.append(heads, len(low)))
        first = np.minimum.reduceat(order, heads)
        group = np.empty(len(low), dtype=np.int32)
        group[order] = np.cumsum(new) - 1
        number = len(self.places)
        sent = {
            "key": keys[heads],
            "check": checks[heads],
            "many": sizes > 1,
            "chunk": np.full(len(first), self._pack << CHUNK_BITS | number, dtype=np.int64),
            "group": np.arange(len(first), dtype=np.int32),
            "address": (np.uint64(self._pack) << _SHIFT) | rows[first].astype(np.uint64),
        }
        name = f"{self._prefix}.windows{number}.arrow"
        self.entries.append(_write_sorted(self._work, name, pa.table(sent), self._ranges, self._batch_rows))
        numbers = {"row": rows, "unit": units, "start": starts, "end": ends}
        places = pa.table({"group": group} | {name: _narrow(values) for name, values in numbers.items()})
        # read once, on the next task's way: what zstd saves is not worth its time
        writer = StreamWriter(self._work, f"{self._prefix}.places{number}.arrow", places.schema, compression="lz4")
        writer.write(places)
        self.places.append(writer.close())


def index_texts(work: Storage, prefix: str, *, pack: Pack) -> Manifest:
    """Write what an index holds of a pack's documents: their texts as they are before this stage, of which later runs hash
    the windows that may repeat in their own."""
    writer = StreamWriter(work, f"{prefix}.documents.arrow", HELD)
    for table, rows in read_pack(work, pack, ["id", "text"]):
        writer.write(pa.table({"row": pa.array(rows), "id": table["id"], "text": table["text"]}, schema=HELD))
    held = writer.close()
    return {"files": [held], "held": held}


def _texts(work: Storage, pack: Pack | IndexPack) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """The documents of a pack, of this run or of an index, with their rows in it."""
    if isinstance(pack, Pack):
        yield from read_pack(work, pack)
        return
    for table in read_batches(work, pack.file):
        yield table, table["row"].to_numpy()


def emit_windows(
    work: Storage, prefix: str, *, stage: WindowEditor, pack: Pack | IndexPack, sent: list[Sent], ranges: int, batch_rows: int
) -> Manifest:
    """Send the windows whose k-gram was selected at least twice to the key ranges.

    Returns:
        `sent`, and `places`: for each chunk a file that tells where its windows stand.
    """
    from gristmill.stages import substring_kernels as kernels

    stage.set_up()
    known = kernels.hash_set(np.concatenate([rows["key"].to_numpy() for rows in merged(work, sent, ["key"])]))
    windows = _Windows(work, prefix, pack, ranges, batch_rows)
    for table, pack_rows in _texts(work, pack):
        units = stage.units(Batch(table))
        hashes, runs, run_offsets = kernels.winnow(units.data, units.width, units.offsets, *stage.grams)
        chosen = np.flatnonzero(kernels.are_in(known, hashes))
        totals = np.cumsum(runs[chosen, kernels.WINDOWS])
        begin = 0
        while begin < len(chosen):
            done = totals[begin - 1] if begin else 0
            stop = max(begin + 1, int(np.searchsorted(totals, done + CHUNK_WINDOWS, side="right")))
            own = np.ascontiguousarray(runs[chosen[begin:stop]])
            low, high, places = kernels.window_hashes(units.data, units.width, own, stage.window)
            rows = np.searchsorted(run_offsets, chosen[begin:stop], side="right") - 1
            rows = np.repeat(rows, own[:, kernels.WINDOWS])
            starts, ends = units.bounds(places, places + stage.window - 1, rows)
            windows.add(low, high, pack_rows[rows], places - units.offsets[rows], starts, ends)
            begin = stop
    windows.flush()
    done_files = sent_files(windows.entries)
    return done_files | {"files": [*done_files["files"], *windows.places], "places": windows.places}


def resolve_windows(work: Storage, prefix: str, *, sent: list[Sent], first_stays: bool, first_pack: int) -> Manifest:
    """Tell the chunks which of their windows other chunks have too; where the first copy stays, earlier ones, and which document
    holds it. Packs before `first_pack` are those of an index, where nothing is cut."""
    found = ExchangeFiles(work, f"{prefix}.repeats", ["chunk", "group"], lambda rows: rows["chunk"].to_numpy() >> CHUNK_BITS)
    for table in _whole_groups(work, sent):
        keys, checks = table["key"].to_numpy(), table["check"].to_numpy()
        if ((keys[1:] == keys[:-1]) & (checks[1:] != checks[:-1])).any():  # halves that are equal by chance
            order = np.lexsort([table["chunk"].to_numpy(), checks, keys])
            table = table.take(pa.array(order))
            keys, checks = keys[order], checks[order]
        new = _differ(keys, checks)
        heads = np.flatnonzero(new)
        sizes = np.diff(np.append(heads, len(keys)))
        tells = np.repeat(sizes > 1, sizes)
        first = np.full(len(keys), NONE, dtype=np.uint64)
        if first_stays:
            tells &= ~new
            first = np.repeat(table["address"].to_numpy()[heads], sizes)
        else:
            tells &= ~table["many"].to_numpy()  # else the chunk knows by itself
        tells &= table["chunk"].to_numpy() >> CHUNK_BITS >= first_pack
        told = table.select(["chunk", "group"]).append_column("first", pa.array(first))
        found.add(told.filter(pa.array(tells)))
    return found.close()


def join_windows(
    work: Storage, prefix: str, *, pack: Pack, length: int, places: list[dict[str, Any]], sent: list[Sent], first_stays: bool
) -> Manifest:
    """Join the windows of a pack that are to be cut to spans, and send them to the pack itself.

    Args:
        work, prefix: where to write.
        pack: the pack.
        length: units of a window.
        places: the files of `emit_windows`.
        sent: what `resolve_windows` told its chunks.
        first_stays: whether the first copy of a window stays.
    """
    found = ExchangeFiles(work, f"{prefix}.spans", ["address", "start"], lambda rows: np.full(rows.num_rows, pack.number))
    told = _by_chunk(merged(work, sent, ["chunk", "group"]))
    following = next(told, None)
    last = [np.zeros(0, dtype=np.int64)] * 5 + [np.zeros(0, dtype=np.uint64)]
    for number, file in enumerate(places):
        repeats = None
        if following is not None and following[0] == number:
            _, *repeats = following
            following = next(told, None)
        table = pa.concat_tables(read_batches(work, file["file"])).combine_chunks()
        names = ("group", "row", "unit", "start", "end")
        groups, rows, units, starts, ends = (table[name].to_numpy().astype(np.int64, copy=False) for name in names)
        goes, first = _going(groups, rows, repeats, pack.number, first_stays)
        # a span may go on from one chunk to the next: its last one so far comes along
        going = (rows[goes], units[goes], units[goes] + length, starts[goes], ends[goes], first[goes])
        spans = _joined([np.concatenate(both) for both in zip(last, going, strict=True)])
        found.add(_units(pack, [values[:-1] for values in spans]))
        last = [values[-1:] for values in spans]
    found.add(_units(pack, last))
    return found.close()


def _joined(windows: list[np.ndarray]) -> list[np.ndarray]:
    """Windows that overlap or touch, as one each: rows, first units, units after the last, starts, ends, documents."""
    rows, units, after = windows[:3]
    heads = np.ones(len(rows), dtype=bool)
    heads[1:] = (rows[1:] != rows[:-1]) | (units[1:] > after[:-1])
    begin = np.flatnonzero(heads)
    last = np.append(begin[1:], len(rows)) - 1 if len(begin) else begin
    return [rows[begin], units[begin], after[last], windows[3][begin], windows[4][last], windows[5][begin]]


def _units(pack: Pack, spans: list[np.ndarray]) -> pa.Table:
    """Spans of `_joined` as units of the documents of a pack; those that hold no whole character are none."""
    rows, _, _, starts, ends, first = spans
    addresses = (np.uint64(pack.number) << _SHIFT) | rows.astype(np.uint64)
    return pa.table([addresses, starts, ends, first], schema=UNITS).filter(pa.array(ends > starts))


def _by_chunk(tables: Iterable[pa.Table]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each chunk in turn: its number, the groups that were told of, and the documents with their first copies."""
    held: list[pa.Table] = []
    for table in tables:
        heads = _heads(table["chunk"].to_numpy())
        for begin, end in pairwise([*heads.tolist(), table.num_rows]):
            if held and held[-1]["chunk"][0] != table["chunk"][begin]:
                yield _told(held)
                held = []
            held.append(table.slice(begin, end - begin))
    if held:
        yield _told(held)


def _told(rows: list[pa.Table]) -> tuple[int, np.ndarray, np.ndarray]:
    table = pa.concat_tables(rows)
    return table["chunk"][0].as_py() & ((1 << CHUNK_BITS) - 1), table["group"].to_numpy(), table["first"].to_numpy()


def _going(
    groups: np.ndarray, rows: np.ndarray, told: Sequence[np.ndarray] | None, pack: int, first_stays: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Which windows of a chunk are to be cut, and the document with the first copy of each."""
    count = int(groups.max()) + 1
    if not first_stays:
        repeated = np.bincount(groups, minlength=count) > 1
        if told is not None:
            repeated[told[0]] = True
        return repeated[groups], np.full(len(groups), NONE, dtype=np.uint64)
    local = np.zeros(count, dtype=np.int64)
    local[groups[::-1]] = np.arange(len(groups))[::-1]  # the first of each, since it is written last
    first = (np.uint64(pack) << _SHIFT) | rows[local].astype(np.uint64)
    earlier = np.zeros(count, dtype=bool)
    if told is not None:
        earlier[told[0]] = True
        first[told[0]] = told[1]
    goes = earlier[groups]
    goes |= local[groups] != np.arange(len(groups))
    return goes, first[groups]
