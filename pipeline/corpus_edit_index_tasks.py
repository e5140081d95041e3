"""The tasks around an index of a corpus editor: the copies that count of each unit, and the bits of Bloom filters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.pipeline.corpus_edit_tasks import EMITTED
from gristmill.pipeline.dedup_index_tasks import damaged
from gristmill.pipeline.exchange import ExchangeFiles, key_ranges, merged, received
from gristmill.pipeline.parts import Pack, read_pack
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter
from gristmill.stages.bloom import INDEX_HASHES, BloomFilter, keys_of_bits

HELD = pa.schema([("row", pa.int64()), ("id", pa.string())])
"""A document in an index."""
UNITS = ["key", "address", "check", "rank", "start", "end"]
"""Columns of an emitted unit; where it came by an exchange of two levels it has another."""


def index_units(
    work: Storage, prefix: str, *, pack: Pack, emitted: list[dict[str, Any]], stay: int, ranges: int, batch_rows: int
) -> Manifest:
    """Write what an index holds of a pack: its documents' ids, and of each unit the first `stay` copies, since no others count.

    Each pack's stand for themselves, so that a run written anew leaves those of other runs right.
    """
    writer = StreamWriter(work, f"{prefix}.documents.arrow", HELD)
    for table, rows in read_pack(work, pack, ["id"]):
        writer.write(pa.table({"row": pa.array(rows), "id": table["id"]}, schema=HELD))
    held = writer.close()
    files = ExchangeFiles(work, f"{prefix}.emit", EMITTED, lambda units: key_ranges(units["key"].to_numpy(), ranges), batch_rows)
    for sent in received([{"sent": emitted}]).values():
        last: tuple[int, int] | None = None
        seen = 0
        for table in merged(work, sent, EMITTED):
            keys, checks = table["key"].to_numpy(), table["check"].to_numpy()
            starts = np.ones(len(keys), dtype=bool)
            starts[1:] = (keys[1:] != keys[:-1]) | (checks[1:] != checks[:-1])
            starts[0] = last != (keys[0], checks[0])
            at = np.arange(len(keys))
            head = np.maximum.accumulate(np.where(starts, at, -1))
            ordinal = np.where(head >= 0, at - head, at + seen)
            files.add(table.select(UNITS).filter(pa.array(ordinal < stay)))
            last, seen = (keys[-1], checks[-1]), int(ordinal[-1]) + 1
    written = files.close()
    return written | {"files": [held, *written["files"]], "held": held}


@dataclass(frozen=True)
class Filters:
    """Bloom filters of one key range in the segments of an index."""

    index: Storage
    entries: Sequence[dict[str, Any]] = ()
    extends: bool = False
    """Whether the keys of this run are wanted as a filter of their own."""

    def identity(self) -> list[Any]:
        """What decides the keys in them, for the names of steps."""
        return [self.extends, [entry["sha256"] for entry in self.entries]]

    def joined(self, size: int) -> tuple[BloomFilter, int]:
        """One filter of `size` bytes with the keys of all, and about how many those are.

        Raises:
            UserError: a file is not what the index says.
        """
        made = BloomFilter(size, 0, INDEX_HASHES)
        for entry in self.entries:
            with self.index.open(entry["file"]) as file:
                data = file.read()
            if hashlib.sha256(data).hexdigest() != entry["sha256"]:
                raise damaged(self.index, entry["file"])
            made.join(pa.ipc.open_file(data).read_all()["word"].to_numpy())
        return made, keys_of_bits(made.bits, made.hashes, made.bits_set)


def write_filter(work: Storage, name: str, made: BloomFilter) -> dict[str, Any]:
    """Manifest entry of a file with the bits of a filter."""
    table = pa.table({"word": pa.array(made.words)})
    writer = StreamWriter(work, name, table.schema)
    writer.write(table)
    return writer.close()
