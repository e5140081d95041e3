"""The tasks around an index: bring its packs into the work folder, write a run's own, list what a cluster would take from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.pipeline.dedup_index import IndexPack
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.exchange import Sent
from gristmill.pipeline.parts import Pack, read_pack
from gristmill.pipeline.steps import Manifest, file_entry
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches, write_parquet
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.documents import Batch

HELD = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("removed", pa.bool_()),
        ("sketch", pa.large_list(pa.uint64())),
        ("signature", pa.large_list(pa.uint32())),
    ]
)
"""A document in an index, and whether its own run removed it; `sketch` and `signature` are null where the stage has none."""


def bring_pack(work: Storage, prefix: str, *, index: Storage, pack: dict[str, Any]) -> Manifest:
    """Copy a pack of the index into the work folder.

    Raises:
        UserError: a file is not what the index says.
    """
    entries = [_brought(work, prefix, index, at, entry) for at, entry in enumerate([pack["held"], *pack["emitted"]])]
    return {"files": entries, "held": entries[0], "sent": entries[1:]}


def bring_file(work: Storage, prefix: str, *, index: Storage, entry: dict[str, Any]) -> Manifest:
    """Copy a file of the index into the work folder.

    Raises:
        UserError: it is not what the index says.
    """
    held = _brought(work, prefix, index, 0, entry)
    return {"files": [held], "held": held}


def _brought(work: Storage, prefix: str, index: Storage, number: int, entry: dict[str, Any]) -> dict[str, Any]:
    name = f"{prefix}.{number}.arrow"
    with index.open(entry["file"]) as source, work.create(name) as copy:
        while block := source.read(1 << 22):
            copy.write(block)
    copied = file_entry(work, name)
    if copied["sha256"] != entry["sha256"]:
        raise damaged(index, entry["file"])
    return entry | copied


def damaged(index: Storage, file: str) -> UserError:
    """What to tell of a file of an index whose bytes are others than were written."""
    return UserError(
        f"{index.url}/{file}: is not as index.json says; the index is damaged: bring it back from a copy, or write a new index "
        "by running the earlier runs again"
    )


def index_pack(work: Storage, prefix: str, *, stage: Deduplicator, pack: Pack, removals: str | None) -> Manifest:
    """Write what an index holds of the documents of a pack, some of which stand in a file of removals."""
    stage.set_up()
    gone = [np.zeros(0, dtype=np.int64)]
    if removals is not None:
        starts = np.array(pack.starts)
        gone += [starts[table["part"].to_numpy()] + table["row"].to_numpy() for table in read_batches(work, removals)]
    removed = np.concatenate(gone)
    writer = StreamWriter(work, f"{prefix}.documents.arrow", HELD)
    for table, rows in read_pack(work, pack):
        batch = Batch(table)
        sketches, signatures = stage.sketches(batch), stage.signatures(batch)
        columns = {
            "row": pa.array(rows),
            "id": table["id"],
            "removed": pa.array(np.isin(rows, removed)),
            "sketch": pa.nulls(len(batch), HELD.field("sketch").type) if sketches is None else sketches,
            "signature": pa.nulls(len(batch), HELD.field("signature").type) if signatures is None else signatures,
        }
        writer.write(pa.table(columns))
    entry = writer.close()
    return {"files": [entry], "held": entry}


def held_ids(work: Storage, pack: Pack | IndexPack, wanted: np.ndarray) -> pa.Array:
    """Ids of documents of a pack, by ascending rows."""
    if isinstance(pack, Pack):
        from gristmill.pipeline.parts import take_rows

        return take_rows(work, pack, wanted, ["id"])["id"].combine_chunks()
    return _held_column(work, pack, wanted, "id")


def held_sketches(work: Storage, stage: Deduplicator, pack: Pack | IndexPack, wanted: np.ndarray) -> pa.Array | None:
    """Sketches of documents of a pack, by ascending rows; None where the stage has none."""
    if isinstance(pack, Pack):
        from gristmill.pipeline.parts import take_rows

        sketches = stage.sketches(Batch(take_rows(work, pack, wanted)))
        return None if sketches is None else sketches.cast(pa.large_list(pa.uint64()))
    sketches = _held_column(work, pack, wanted, "sketch")
    return None if len(sketches) and sketches.null_count == len(sketches) else sketches


def _held_column(work: Storage, pack: IndexPack, wanted: np.ndarray, column: str) -> pa.Array:
    found = []
    for table in read_batches(work, pack.file, ["row", column]):
        found.append(table.filter(pa.array(np.isin(table["row"].to_numpy(), wanted))))
    return pa.concat_tables(found).combine_chunks()[column].combine_chunks()


def list_bridged(work: Storage, prefix: str, *, stage: Deduplicator, pack: IndexPack, sent: list[Sent], name: str) -> Manifest:
    """Write which documents that stand in the index as kept a cluster of this run would have removed: id, kept_id, similarity."""
    from gristmill.pipeline.dedup_tasks import measured, row_of

    stage.set_up()
    found = []
    for piece, ids, similarity in measured(work, stage, pack, sent):
        rows = row_of(piece["b"].to_numpy())
        wanted, place = np.unique(rows, return_inverse=True)
        at = pa.array(place)
        own, gone = (_held_column(work, pack, wanted, column).take(at) for column in ("id", "removed"))
        listed = pa.table({"id": own, "kept_id": ids, "similarity": similarity})
        found.append(listed.filter(pc.invert(gone)))
    if not any(table.num_rows for table in found):
        return {"files": [], "published": []}
    entry = write_parquet(work, f"{prefix}.parquet", pa.concat_tables(found))
    return {"files": [entry], "published": [entry | {"name": name}]}
