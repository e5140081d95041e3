"""Rows change hands between tasks: each emitting task writes one file, sorted by destination and key; readers merge by range."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter

BATCH_ROWS = 32_768
"""Rows that a reader holds of each file while it merges."""
TO = "to"
"""Column of rows that were sent to a coarse range of destinations (see `gather`): which of them."""
FLUSH_ROWS = 1 << 20
"""Rows that a writer holds before it writes a file."""


def key_ranges(keys: np.ndarray, ranges: int) -> np.ndarray:
    """Range of each uint64 key when all keys are cut into equal ranges; ascending with the key; int64."""
    return ((keys >> np.uint64(32)) * np.uint64(ranges) >> np.uint64(32)).astype(np.int64)


def range_count(total: int, size: int) -> int:
    """Ranges of at most `size` each over `total`; a power of two, so that what was sent holds until the total has doubled."""
    return 1 << (max(1, -(-total // size)) - 1).bit_length()


def sort_order(table: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """Row order by several columns (numbers), the first one counting most."""
    return np.lexsort([table[name].to_numpy() for name in reversed(columns)])


def write_exchange(
    work: Storage,
    name: str,
    rows: pa.Table,
    destinations: np.ndarray,
    order: Sequence[str],
    batch_rows: int = BATCH_ROWS,
    compression: str | None = "zstd",
    width: int = 1,
) -> dict[str, Any] | None:
    """Write rows so that each destination's can be read alone.

    Args:
        rows: what to send.
        destinations: int64 of shape (n_rows,).
        order: number columns by which each destination's rows are sorted.
        batch_rows: rows that a reader holds of this file at once.
        compression: of the file; None where the rows are such that it costs more than it saves.
        width: destinations that are read together; above 1 the rows come with the column `TO`.

    Returns:
        Manifest entry of the file with `ranges` {destination: [first batch, stop batch, rows]}; None without rows.
    """
    if rows.num_rows == 0:
        return None
    permutation = np.lexsort([*(rows[column].to_numpy() for column in reversed(order)), destinations])
    rows = rows.take(pa.array(permutation)).combine_chunks()
    destinations = destinations[permutation]
    if width > 1:
        rows = rows.append_column(TO, pa.array(destinations, pa.int64()))
        destinations = destinations // width
    writer = StreamWriter(work, name, rows.schema, compression)
    ranges: dict[str, list[int]] = {}
    cuts = np.flatnonzero(np.diff(destinations)) + 1
    for begin, end in zip([0, *cuts], [*cuts, len(destinations)], strict=True):
        first = writer.batches
        for start in range(begin, end, batch_rows):
            writer.write(rows.slice(start, min(batch_rows, end - start)))
        ranges[str(int(destinations[begin]))] = [first, writer.batches, int(end - begin)]
    return writer.close() | {"ranges": ranges}


class ExchangeFiles:
    """Collects rows and writes them in exchange files of bounded size."""

    def __init__(
        self,
        work: Storage,
        stem: str,
        order: Sequence[str],
        destination: Callable[[pa.Table], np.ndarray],
        batch_rows: int | None = None,
        width: int = 1,
    ) -> None:
        """Write files `<stem>0.arrow`, ... of rows sorted by `order`, each sent to its `destination` (int64)."""
        self._width = width
        self._work, self._stem, self._order, self._destination = work, stem, order, destination
        self._batch_rows = batch_rows
        self._held: list[pa.Table] = []
        self._rows = 0
        self.entries: list[dict[str, Any]] = []

    def add(self, rows: pa.Table) -> None:
        """Take rows, all of one schema."""
        if rows.num_rows:
            self._held.append(rows)
            self._rows += rows.num_rows
        if self._rows >= FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            rows = pa.concat_tables(self._held)
            name = f"{self._stem}{len(self.entries)}.arrow"
            batch_rows = BATCH_ROWS if self._batch_rows is None else self._batch_rows
            entry = write_exchange(self._work, name, rows, self._destination(rows), self._order, batch_rows, width=self._width)
            if entry:
                self.entries.append(entry)
        self._held, self._rows = [], 0

    def close(self) -> dict[str, Any]:
        """Write the rest; the files as `files` and `sent` of a manifest, and their `rows`."""
        self.flush()
        return sent_files(self.entries)


def sent_files(entries: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """Exchange files (None: one without rows) as `files` and `sent` of a manifest, and their `rows`."""
    held = [entry for entry in entries if entry is not None]
    return {"files": held, "sent": held, "rows": sum(entry["rows"] for entry in held)}


@dataclass(frozen=True)
class Sent:
    """Rows for one destination in one exchange file."""

    file: str
    first: int
    stop: int
    """Record batches [first, stop) of the file."""
    rows: int


def received(manifests: Iterable[dict[str, Any]]) -> dict[int, list[Sent]]:
    """Where the rows of each destination lie that tasks have `sent`: destinations ascending, files in the order of the tasks."""
    found: dict[int, list[Sent]] = {}
    for manifest in manifests:
        for entry in manifest["sent"]:
            for destination, place in entry["ranges"].items():
                found.setdefault(int(destination), []).append(Sent(entry["file"], *place))
    return dict(sorted(found.items()))


def sent_identity(sent: Sequence[Sent]) -> list[list[Any]]:
    """What decides the rows that a task receives, for the names of steps."""
    return [[one.file, one.first] for one in sent]


class _Cursor:
    """Reads the batches of one exchange file one at a time."""

    def __init__(self, work: Storage, sent: Sent) -> None:
        self._work, self._sent = work, sent
        self._next = sent.first
        self.held: pa.Table | None = None
        self.advance()

    def advance(self) -> None:
        """Hold the next batch, or nothing at the end."""
        self.held = None
        if self._next < self._sent.stop:
            # opened anew for each batch: with thousands of files no more than one is ever open
            with self._work.open(self._sent.file) as file, pa.PythonFile(file, mode="r") as source:
                self.held = pa.Table.from_batches([pa.ipc.open_file(source).get_batch(self._next)])
            self._next += 1

    @property
    def more(self) -> bool:
        """Whether batches follow the held one."""
        return self._next < self._sent.stop


def merged(work: Storage, sent: Sequence[Sent], order: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of one destination from all files, sorted by `order`, in pieces.

    Memory: one batch of each file. A piece ends where the first of the held batches ends, so that what is yielded is
    final; rows with equal values may be spread over pieces.
    """
    cursors = [_Cursor(work, one) for one in sent]
    while held := [(cursor, cursor.held) for cursor in cursors if cursor.held is not None]:
        bound = min((_last(table, order) for cursor, table in held if cursor.more), default=None)
        pieces = []
        for cursor, table in held:
            inside = table.num_rows if bound is None else _rows_up_to(table, order, bound)
            pieces.append(table.slice(0, inside))
            rest = table.slice(inside)
            if rest.num_rows:
                cursor.held = rest
            else:
                cursor.advance()
        piece = pa.concat_tables(pieces)
        yield piece.take(pa.array(sort_order(piece, order)))


def _last(table: pa.Table, order: Sequence[str]) -> tuple[Any, ...]:
    return tuple(table[name][table.num_rows - 1].as_py() for name in order)


def _rows_up_to(table: pa.Table, order: Sequence[str], bound: tuple[Any, ...]) -> int:
    """How many leading rows of a sorted table do not come after `bound`."""
    low, high = 0, table.num_rows
    columns = [table[name] for name in order]
    while low < high:
        middle = (low + high) // 2
        if tuple(column[middle].as_py() for column in columns) <= bound:
            low = middle + 1
        else:
            high = middle
    return low
