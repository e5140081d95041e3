"""Ids are unique in a run: the tasks that make sure of it, by exchange."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.pipeline.exchange import Sent, key_ranges, merged, write_exchange
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import read_batches
from gristmill.tokenizers.shards import doc_hashes

ORDER = ["high", "low"]
SHOWN = 5


def halves(ids: list[str]) -> list[list[int]]:
    """The high and low 64 bits of the hash of each id."""
    return [[int.from_bytes(one[:8], "big"), int.from_bytes(one[8:], "big")] for one in doc_hashes(ids).to_pylist()]


def emit_ids(work: Storage, prefix: str, *, files: list[str], ranges: int) -> Manifest:
    """Send 128-bit hashes of all ids in files of documents and ledger rows to their ranges."""
    pieces = [np.empty((0, 2), dtype=np.uint64)]
    for name in files:
        for table in read_batches(work, name, ["id"]):
            hashes = doc_hashes(table["id"].to_pylist())
            pieces.append(np.frombuffer(hashes.buffers()[1], dtype=">u8").reshape(-1, 2)[: len(hashes)].astype(np.uint64))
    halves = np.concatenate(pieces)
    rows = pa.table({"high": halves[:, 0], "low": halves[:, 1]})
    entry = write_exchange(work, f"{prefix}.ids.arrow", rows, key_ranges(halves[:, 0], ranges), ORDER)
    return {"files": [entry] if entry else [], "sent": [entry] if entry else []}


def repeated_ids(work: Storage, prefix: str, *, sent: list[Sent]) -> Manifest:
    """Hashes of ids that occur more than once in a range; the first few, and how many there are."""
    found: list[list[int]] = []
    count = 0
    last: tuple[int, int] | None = None
    for table in merged(work, sent, ORDER):
        high, low = table["high"].to_numpy(), table["low"].to_numpy()
        again = np.zeros(len(high), dtype=bool)
        again[1:] = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
        again[0] = last == (high[0], low[0])
        last = (high[-1], low[-1])
        count += int(again.sum())
        for row in np.flatnonzero(again)[: SHOWN - len(found)]:
            found.append([int(high[row]), int(low[row])])
    return {"files": [], "repeated": found, "count": count}


def places_of(work: Storage, prefix: str, *, files: list[str], hashes: list[list[int]]) -> Manifest:
    """Where ids with the given hashes stand: `[id, source, file, position]` each."""
    wanted = {high.to_bytes(8, "big") + low.to_bytes(8, "big") for high, low in hashes}
    places: list[list[Any]] = []
    for name in files:
        for table in read_batches(work, name, ["id", "source", "file", "position"]):
            ids = doc_hashes(table["id"].to_pylist()).to_pylist()
            rows = [row for row, one in enumerate(ids) if one in wanted]
            places += [[table[column][row].as_py() for column in ("id", "source", "file", "position")] for row in rows]
    return {"files": [], "places": places}
