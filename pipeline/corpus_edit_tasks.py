"""The tasks of a corpus editor: emit units, resolve which copies stay, cut, and name what stands for a document that fell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gristmill.pipeline.chain import Outcome, take_edit
from gristmill.pipeline.corpus_edit_naming import NONE, OF_CUT, OF_LEDGER, first_unit_of_cuts, questions
from gristmill.pipeline.counts import Counts
from gristmill.pipeline.dedup_tasks import pack_of, row_of
from gristmill.pipeline.exchange import ExchangeFiles, Sent, key_ranges, merged, write_exchange
from gristmill.pipeline.keep_values import KeepValues, keep_of
from gristmill.pipeline.parts import ADDRESS_ROW_BITS, Pack, read_pack, read_part
from gristmill.pipeline.passes import PassSettings, Writers, take_outcome
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.stages.corpus_editor import Copies, CorpusEditor
from gristmill.stages.documents import Batch

if TYPE_CHECKING:
    from gristmill.pipeline.corpus_edit_index_tasks import Filters

IN_ORDER = ["address", "start"]
"""Order of emitted units where a Bloom filter tells which of them were there before."""
EMITTED = ["key", "check", "rank", "address", "start"]
"""Order of emitted units: the copies of one stand together, those that stay first."""
UNIT = ["address", "start"]
"""Order of units on their way to be cut."""
UNITS = pa.schema([("address", pa.uint64()), ("start", pa.int64()), ("end", pa.int64()), ("first", pa.uint64())])
"""A unit of a document, by bytes of its text; `first` is the document with the first copy."""
_SHIFT = np.uint64(ADDRESS_ROW_BITS)


def emit_units(
    work: Storage, prefix: str, *, stage: CorpusEditor, pack: Pack, ranges: int, batch_rows: int, width: int
) -> Manifest:
    """Send the units of each document to the key ranges."""
    stage.set_up()
    in_order = stage.filter_bytes is not None
    order = IN_ORDER if in_order else EMITTED
    files = ExchangeFiles(
        work, f"{prefix}.emit", order, lambda rows: key_ranges(rows["key"].to_numpy(), ranges), batch_rows, width
    )
    values = KeepValues(keep_of(stage))
    base = np.uint64(pack.number) << _SHIFT
    for table, rows in read_pack(work, pack):
        units = stage.emit(Batch(table))
        at = rows[units["row"].to_numpy()].astype(np.uint64)
        columns = {"key": units["key"], "address": pa.array(base | at)}
        if not in_order:
            rank = units["rank"] if "rank" in units.column_names else pa.array(np.zeros(len(at), dtype=np.int64))
            columns |= {"check": units["check"], "rank": rank}
            values.see(table, rank.to_numpy())
        files.add(pa.table(columns | {"start": units["start"], "end": units["end"]}))
    return files.close() | values.told()


def _unit_files(work: Storage, prefix: str, width: int) -> ExchangeFiles:
    """Files of units, sent to the packs of their documents."""
    return ExchangeFiles(work, f"{prefix}.units", UNIT, lambda units: pack_of(units["address"].to_numpy()), width=width)


def _add_units(found: ExchangeFiles, rows: pa.Table, first: np.ndarray) -> None:
    """Put down emitted rows whose copies go, each with the address of the first copy."""
    found.add(pa.table([rows["address"], rows["start"], rows["end"], pa.array(first, pa.uint64())], schema=UNITS))


def resolve_units(work: Storage, prefix: str, *, sent: list[Sent], copies: Copies, width: int, first_pack: int = 0) -> Manifest:
    """Stream over the units of a key range; those whose copies do not stay go to the packs of their documents.

    The state is the key at hand, how many copies it had so far and, while it is not known whether they are too many, the first
    `tolerated` of them: however many rows share a key. Packs before `first_pack` are those of an index: their copies count, and
    have been judged.
    """
    own = np.uint64(first_pack) << _SHIFT
    found = _unit_files(work, prefix, width)
    key: tuple[int, int] | None = None
    seen, first = 0, NONE
    pending: list[pa.Table] = []
    for table in merged(work, sent, EMITTED):
        keys, checks, addresses = (table[name].to_numpy() for name in ("key", "check", "address"))
        starts = np.ones(len(keys), dtype=bool)
        starts[1:] = (keys[1:] != keys[:-1]) | (checks[1:] != checks[:-1])
        starts[0] = key != (keys[0], checks[0])
        if starts[0]:
            seen, pending = 0, []
        group = np.cumsum(starts) - starts[0]  # 0: the key at hand, or the first of this piece
        heads = np.flatnonzero(starts) if starts[0] else np.concatenate([[0], np.flatnonzero(starts)])
        before = np.zeros(len(heads), dtype=np.int64)
        before[0] = seen
        ordinal = np.arange(len(keys)) - heads[group] + before[group]
        firsts = addresses[heads]
        if not starts[0]:
            firsts[0] = first
        size = np.bincount(group) + before
        # the last key may go on in the next piece: what is not too many yet waits
        many = size > copies.tolerated
        if many[0] and pending:
            for held in pending:
                _add_units(found, held, np.full(held.num_rows, _kept(first, copies), dtype=np.uint64))
            pending = []
        goes = many[group] & (ordinal >= copies.stay) & (addresses >= own)
        _add_units(found, table.filter(pa.array(goes)), np.where(copies.stay > 0, firsts[group[goes]], NONE))
        if copies.stay == 0 and not many[-1]:
            pending = [*(pending if group[-1] == 0 else []), table.filter(pa.array(group == group[-1]))]
        elif group[-1] > 0:
            pending = []
        key, seen, first = (keys[-1], checks[-1]), int(size[-1]), firsts[-1]
    return found.close()


def resolve_seen(
    work: Storage, prefix: str, *, sent: list[Sent], filter_bytes: int, width: int, filters: Filters | None = None
) -> Manifest:
    """Stream over the units of a key range in the order of the corpus; those that a Bloom filter has seen go.

    Returns:
        Beside `sent`: `filter` {bits and functions of the filter, units that were new, bits set, about how many were there
        before}, and `own`, where `filters` asks for it, the entry of a file with the filter of these units alone.
    """
    from gristmill.pipeline.corpus_edit_index_tasks import write_filter
    from gristmill.stages.bloom import INDEX_HASHES, BloomFilter

    found = _unit_files(work, prefix, width)
    seen, before = (
        (BloomFilter(filter_bytes, sum(one.rows for one in sent)), 0) if filters is None else filters.joined(filter_bytes)
    )
    own = BloomFilter(filter_bytes, 0, INDEX_HASHES) if filters is not None and filters.extends else None
    new = 0
    for one in sent:  # packs in their order, and of each its files in the order of their addresses: nothing is to be merged
        for table in merged(work, [one], IN_ORDER):
            keys = table["key"].to_numpy()
            goes = seen.add(keys)
            if own is not None:
                own.add(keys)
            new += len(goes) - int(goes.sum())
            gone = table.filter(pa.array(goes))
            _add_units(found, gone, np.full(gone.num_rows, NONE, dtype=np.uint64))
    manifest = found.close()
    told = {"bits": seen.bits, "hashes": seen.hashes, "units": new, "bits_set": seen.bits_set, "before": before}
    if own is None:
        return manifest | {"filter": told}
    entry = write_filter(work, f"{prefix}.filter.arrow", own)
    return manifest | {"filter": told, "own": entry, "files": [*manifest["files"], entry]}


def _kept(first: np.uint64, copies: Copies) -> np.uint64:
    return first if copies.stay else NONE


def _received_units(work: Storage, sent: list[Sent]) -> pa.Table:
    """The units that a pack received, by address and start, each once: at most as many as its texts have."""
    units = pa.concat_tables([*merged(work, sent, UNIT)]).combine_chunks()
    if units.num_rows:
        address, start, end = (units[name].to_numpy() for name in ("address", "start", "end"))
        new = np.ones(len(address), dtype=bool)
        new[1:] = (address[1:] != address[:-1]) | (start[1:] != start[:-1]) | (end[1:] != end[:-1])
        units = units.filter(pa.array(new))
    return units


def _units_of(units: pa.Table, rows: np.ndarray) -> tuple[np.ndarray, pa.Table]:
    """The units of documents at ascending pack rows.

    Returns:
        Which of `rows` have units (int64, ascending), and the units with `row` an index into them.
    """
    held = row_of(units["address"].to_numpy())
    begin, end = np.searchsorted(held, rows[0]), np.searchsorted(held, rows[-1], side="right")
    inside = units.slice(begin, end - begin)
    own, index = np.unique(held[begin:end], return_inverse=True)
    places = np.searchsorted(rows, own)
    table = pa.table(
        {"row": pa.array(index.astype(np.int64)), "start": inside["start"], "end": inside["end"], "first": inside["first"]}
    )
    return places, table


def cut_units(
    work: Storage, prefix: str, *, stage: CorpusEditor, pack: Pack, sent: list[Sent], settings: PassSettings
) -> Manifest:
    """Write the parts of a pack anew that have units to cut.

    Returns:
        `parts` {number of the part: what a pass over it records}, and `sent`: for each document that fell, its ledger row and
        the document with the first copy of its first unit, to the pack of the latter; so also of cuts where they are to be named.
    """
    stage.set_up()
    units = _received_units(work, sent)
    parts: dict[str, Manifest] = {}
    asked: list[pa.Table] = []
    held = row_of(units["address"].to_numpy())
    for number, (part, start) in enumerate(zip(pack.parts, pack.starts, strict=True)):
        if np.searchsorted(held, start) == np.searchsorted(held, start + part.rows):
            continue
        writers = Writers(work, f"{prefix}.{number}", replace(settings, source=part.source, stages=(stage,)))
        counts: dict[str, Counts] = {}
        fallen = cuts = 0
        for table, rows in read_part(work, part):
            outcome, firsts, of_cuts = _cut(stage, table, units, rows + start, settings.name_cuts)
            asked += [
                questions(firsts, OF_LEDGER, number, fallen, pack.number),
                questions(of_cuts, OF_CUT, number, cuts, pack.number),
            ]
            fallen, cuts = fallen + len(firsts), cuts + len(of_cuts)
            take_outcome(counts, writers, outcome, writers.settings)
        parts[str(number)] = writers.finish() | {"counts": counts}
    entry = None
    if asked:
        every = pa.concat_tables(asked)
        entry = write_exchange(work, f"{prefix}.asked.arrow", every, pack_of(every["first"].to_numpy()), ["first"])
    files = [file for manifest in parts.values() for file in manifest["files"]] + ([entry] if entry else [])
    return {"files": files, "parts": parts, "sent": [entry] if entry else []}


def _cut(
    stage: CorpusEditor, table: pa.Table, units: pa.Table, rows: np.ndarray, name_cuts: bool
) -> tuple[Outcome, np.ndarray, np.ndarray]:
    """Cut a batch; also returns for each document that fell, in the order of the ledger, the document with the first copy.

    And so of each cut, in the order of the edits, where they are to be named.
    """
    own, inside = _units_of(units, rows)
    outcome = Outcome(table)
    whole = Batch(table)
    at = own[inside["row"].to_numpy()]
    edited = stage.cut(whole, inside.select(["row", "start", "end"]).set_column(0, "row", pa.array(at)))
    # a document that had no unit to cut stays as it is: others that are cut near it decide nothing
    had = set(own.tolist())
    edited = replace(edited, losses=[loss for loss in edited.losses if loss.row in had])
    take_edit(outcome, stage, whole, edited)
    lost = np.sort(np.array([loss.row for loss in edited.losses], dtype=np.int64))
    firsts = inside["first"].to_numpy()
    of_cuts = np.zeros(0, dtype=np.uint64)
    if name_cuts and edited.cuts is not None and edited.cuts.num_rows:
        of_cuts = firsts[first_unit_of_cuts(whole, at, inside["start"].to_numpy(), edited.cuts)]
    return outcome, firsts[np.searchsorted(at, lost)], of_cuts
