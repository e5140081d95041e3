"""The second level of an exchange: where senders and receivers are many, few of the pieces that they exchange are worth a read.

With one level each sender cuts its file for all destinations: senders x destinations segments, of a few rows each once there
are thousands of both, all named in the manifests that the driver holds. With two levels a sender cuts for coarse ranges of
destinations only. A task for each coarse range and group of senders then merges those rows and cuts them for the
destinations: 10,000 senders and destinations make twice 0.8 million segments instead of 100 million.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.pipeline.exchange import BATCH_ROWS, TO, Sent, merged, received, sent_identity
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter

MOST_SEGMENTS = 1 << 20
"""Segments of an exchange of one level at most: each is a read, and some 250 bytes of the driver's memory."""
GROUP_FILES = 128
"""Files that one task gathers from."""


def width_for(senders: int, destinations: int) -> int:
    """Destinations in a coarse range, a power of two near the root of all; 1 where one level does."""
    if senders * destinations <= MOST_SEGMENTS:
        return 1
    return 1 << -(-(max(2, destinations) - 1).bit_length() // 2)


class _Segments:
    """Writes sorted rows so that each destination's can be read alone, as they come."""

    def __init__(self, work: Storage, name: str, batch_rows: int) -> None:
        self._work, self._name, self._batch_rows = work, name, batch_rows
        self._writer: StreamWriter | None = None
        self._held: list[pa.Table] = []
        self._to, self._rows = -1, 0
        self._ranges: dict[str, list[int]] = {}

    def add(self, to: int, rows: pa.Table) -> None:
        """Take rows of a destination; destinations ascend."""
        if to != self._to:
            self._flush()
            self._to = to
        if self._rows and self._rows + rows.num_rows > self._batch_rows:
            self._flush()
        self._held.append(rows)
        self._rows += rows.num_rows

    def _flush(self) -> None:
        if not self._held:
            return
        rows = pa.concat_tables(self._held).combine_chunks()
        if self._writer is None:
            self._writer = StreamWriter(self._work, self._name, rows.schema)
        place = self._ranges.setdefault(str(self._to), [self._writer.batches, 0, 0])
        for start in range(0, rows.num_rows, self._batch_rows):
            self._writer.write(rows.slice(start, self._batch_rows))
        place[1:] = [self._writer.batches, place[2] + rows.num_rows]
        self._held, self._rows = [], 0

    def close(self) -> Manifest:
        """Write the rest; the file as `files` and `sent` of a manifest."""
        self._flush()
        if self._writer is None:
            return {"files": [], "sent": [], "rows": 0}
        entry = self._writer.close() | {"ranges": self._ranges}
        return {"files": [entry], "sent": [entry], "rows": entry["rows"]}


def gather(work: Storage, prefix: str, *, sent: list[Sent], order: list[str], batch_rows: int = BATCH_ROWS) -> Manifest:
    """Merge the rows of a coarse range from a group of files, and cut them for its destinations.

    Args:
        work: holds the files.
        prefix: of the names of what is written.
        sent: the rows, with their destination in the column `TO`.
        order: number columns by which the rows of each destination are sorted.
        batch_rows: rows that a reader holds of the new file at once.
    """
    segments = _Segments(work, f"{prefix}.gathered.arrow", batch_rows)
    for table in merged(work, sent, [TO, *order]):
        to = table[TO].to_numpy()
        rows = table.drop_columns([TO])
        cuts = np.flatnonzero(np.diff(to)) + 1
        for begin, end in zip([0, *cuts], [*cuts, len(to)], strict=True):
            segments.add(int(to[begin]), rows.slice(begin, end - begin))
    return segments.close()


def gather_work(
    manifests: Iterable[Manifest], order: Sequence[str], batch_rows: int = BATCH_ROWS
) -> list[tuple[list[Any], dict[str, Any]]]:
    """What decides the result of each gathering task, and its arguments, for rows that were sent to coarse ranges."""
    work = []
    for sent in received(manifests).values():
        for start in range(0, len(sent), GROUP_FILES):
            group = sent[start : start + GROUP_FILES]
            arguments = {"sent": group, "order": list(order), "batch_rows": batch_rows}
            work.append(([sent_identity(group), list(order), batch_rows], arguments))
    return work
