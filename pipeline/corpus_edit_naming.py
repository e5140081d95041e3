"""What a corpus editor cut names who has it: ids of the documents with the first copies go to the ledger and to cuts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.pipeline.dedup_index import IndexPack
from gristmill.pipeline.dedup_index_tasks import held_ids
from gristmill.pipeline.dedup_tasks import row_of
from gristmill.pipeline.exchange import ExchangeFiles, Sent, merged
from gristmill.pipeline.parts import Pack
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches
from gristmill.stages.documents import Batch

NONE = np.uint64(2**64 - 1)
"""The document with the first copy, where no copy stays."""
OF_LEDGER, OF_CUT = 0, 1
"""What a question is about: a row of the ledger, or of the edits."""
_ORDER = ["of", "part", "row"]
_CONTINUES = np.uint8(0xC0), np.uint8(0x80)
"""Bits of a byte that tell whether it continues a code point, and what they are then."""


def questions(firsts: np.ndarray, of: int, part: int, before: int, pack: int) -> pa.Table:
    """Questions for the ids of documents, one for each row with a known first copy.

    Args:
        firsts: uint64 of shape (n_rows,): address of the document with the first copy, or `NONE`.
        of: what the rows are.
        part: number of the part that they belong to.
        before: rows of the part before these.
        pack: where the answer goes.
    """
    rows = np.arange(before, before + len(firsts), dtype=np.int64)
    known = firsts != NONE
    count = int(known.sum())
    return pa.table(
        {
            "first": pa.array(firsts[known], pa.uint64()),
            "pack": pa.array(np.full(count, pack, dtype=np.int64)),
            "of": pa.array(np.full(count, of, dtype=np.int64)),
            "part": pa.array(np.full(count, part, dtype=np.int64)),
            "row": pa.array(rows[known]),
        }
    )


def first_unit_of_cuts(batch: Batch, rows: np.ndarray, starts: np.ndarray, cuts: pa.Table) -> np.ndarray:
    """The first unit that begins in each cut, or after it where none does.

    Args:
        batch: the documents.
        rows, starts: document and first byte (of its text) of each unit that goes, ascending.
        cuts: columns `row`, `start`, `end` (characters of the text); each holds a unit.

    Returns:
        int64 of shape (n_cuts,), for cuts by `row`, `start` and `end`.
    """
    data, offsets = batch.features.data, batch.features.offsets
    begins = offsets[rows]
    places = np.unique(np.concatenate([begins, begins + starts]))
    # a byte more, since a blank unit may begin at the very end
    opens = np.append((data & _CONTINUES[0]) != _CONTINUES[1], False)
    counted = np.concatenate([[0], np.cumsum(np.add.reduceat(opens, places, dtype=np.int64))])
    characters = counted[np.searchsorted(places, begins + starts)] - counted[np.searchsorted(places, begins)]
    width = np.int64(int(offsets[-1]) + 2)
    cuts = cuts.sort_by([("row", "ascending"), ("start", "ascending"), ("end", "ascending")])
    wanted = cuts["row"].to_numpy() * width + cuts["start"].to_numpy()
    found: np.ndarray = np.minimum(np.searchsorted(rows * width + characters, wanted), len(rows) - 1)
    return found


def answer(work: Storage, prefix: str, *, pack: Pack | IndexPack, sent: list[Sent]) -> Manifest:
    """Send the ids of documents of this pack to those that asked."""
    answers = ExchangeFiles(work, f"{prefix}.answer", _ORDER, lambda rows: rows["pack"].to_numpy())
    for asked in merged(work, sent, ["first"]):
        wanted, place = np.unique(row_of(asked["first"].to_numpy()), return_inverse=True)
        ids = held_ids(work, pack, wanted).take(pa.array(place))
        answers.add(asked.append_column("id", ids))
    return answers.close()


def name_kept(
    work: Storage, prefix: str, *, ledgers: dict[str, dict[str, Any]], edits: dict[str, dict[str, Any]], sent: list[Sent]
) -> Manifest:
    """Write the ledger rows and cuts of a pack's parts anew, with the ids of the documents that hold the first copies.

    A document whose first unit stands earlier in itself names no other in the ledger; a cut says so.
    """
    answers = pa.concat_tables([*merged(work, sent, _ORDER)])
    written: dict[str, dict[str, Any]] = {"ledger": {}, "edits": {}}
    for kind, of, column, entries in (("ledger", OF_LEDGER, "kept_id", ledgers), ("edits", OF_CUT, "detail", edits)):
        own = answers.filter(pa.array(answers["of"].to_numpy() == of))
        for part, entry in entries.items():
            inside = own.filter(pa.array(own["part"].to_numpy() == int(part)))
            writer: StreamWriter | None = None
            before = 0
            for table in read_batches(work, entry["file"]):
                writer = writer or StreamWriter(work, f"{prefix}.{part}.{kind}.arrow", table.schema)
                kept = _named(inside, before, table["id"].combine_chunks(), of)
                before += table.num_rows
                if of == OF_CUT:  # beside what the stage says of the cut itself
                    told = [
                        [one for one in both if one] for both in zip(table[column].to_pylist(), kept.to_pylist(), strict=True)
                    ]
                    kept = pa.array(["; ".join(both) or None for both in told], pa.string())
                place = table.schema.get_field_index(column)
                writer.write(table.set_column(place, table.schema.field(place), kept.cast(table.schema.field(place).type)))
            if writer is not None:
                written[kind][part] = writer.close() | {"stages": entry["stages"]}
    return {"files": [entry for by_part in written.values() for entry in by_part.values()], **written}


def _named(answers: pa.Table, before: int, own: pa.Array, of: int) -> pa.Array:
    """What rows from `before` on say of the documents that hold the first copies; `own` are the ids of the rows' documents."""
    rows = answers["row"].to_numpy()
    begin, end = np.searchsorted(rows, [before, before + len(own)])
    at = np.full(len(own), -1, dtype=np.int64)
    at[rows[begin:end] - before] = np.arange(begin, end)
    kept = answers["id"].combine_chunks().take(pa.array(np.maximum(at, 0), mask=at < 0))
    same = pc.equal(kept, own)
    if of == OF_LEDGER:
        return pc.if_else(same, pa.scalar(None, kept.type), kept)
    return pc.if_else(same, "also before it in this document", pc.binary_join_element_wise("also in ", kept, ""))
