"""Parts: the documents of a run as they lie in its work folder, in address order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import read_batches


@dataclass(frozen=True)
class Removals:
    """Rows that a corpus stage removed: those of `part` in a file with columns part int32, row int64."""

    file: str
    part: int


@dataclass(frozen=True)
class Rows:
    """Rows of a table that a step wrote: a record batch of a file of the work folder, or all of them."""

    file: str
    batch: int | None
    rows: int

    def identity(self) -> list[Any]:
        """What decides the rows, for the names of steps."""
        return [self.file, self.batch]


@dataclass(frozen=True)
class Part:
    """Documents of one source in one file of the work folder, ascending by address."""

    source: str
    file: str
    key: str
    """Name of the step that wrote it, and which of its files it is."""
    rows: int
    """Rows in the file, removed ones among them."""
    kept: int
    """Rows that no corpus stage has removed."""
    bytes: int
    """Text bytes of the kept rows."""
    words: int
    """Words of the kept rows."""
    removals: tuple[Removals, ...] = ()

    def identity(self) -> list[Any]:
        """What decides its kept documents, for the names of steps."""
        return [self.key, [[one.file, one.part] for one in self.removals]]


def removed_rows(work: Storage, part: Part) -> np.ndarray:
    """Which rows of a part corpus stages have removed; bool of shape (rows,)."""
    gone = np.zeros(part.rows, dtype=bool)
    for removals in part.removals:
        for table in read_batches(work, removals.file):
            rows = table["row"].to_numpy()[table["part"].to_numpy() == removals.part]
            gone[rows] = True
    return gone


def read_part(work: Storage, part: Part, columns: list[str] | None = None) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """The kept documents of a part, batch by batch, each with their rows in the part (int64)."""
    gone = removed_rows(work, part)
    start = 0
    for table in read_batches(work, part.file, columns):
        rows = np.arange(start, start + table.num_rows, dtype=np.int64)
        start += table.num_rows
        keep = ~gone[rows]
        if keep.all():
            yield table, rows
        elif keep.any():
            yield table.filter(pa.array(keep)), rows[keep]


@dataclass(frozen=True)
class Pack:
    """Neighbouring parts that one task of a corpus stage takes together. A document's address is its row over all of them."""

    number: int
    parts: tuple[Part, ...]

    @property
    def starts(self) -> list[int]:
        """Pack row at which each part begins."""
        starts, total = [], 0
        for part in self.parts:
            starts.append(total)
            total += part.rows
        return starts

    @property
    def span(self) -> int:
        """Addresses of its documents have rows below this."""
        return sum(part.rows for part in self.parts)

    @property
    def kept(self) -> int:
        """Documents that are still kept."""
        return sum(part.kept for part in self.parts)

    def identity(self) -> list[Any]:
        """What decides the documents of this pack, for the names of steps."""
        return [self.number, [part.identity() for part in self.parts]]


def make_packs(parts: Sequence[Part], pack_bytes: int, first: int = 0) -> list[Pack]:
    """Cut parts, in address order, into packs of about `pack_bytes` of text, numbered from `first` on."""
    packs: list[Pack] = []
    held: list[Part] = []
    size = 0
    for part in parts:
        if held and size + part.bytes > pack_bytes:
            packs.append(Pack(first + len(packs), tuple(held)))
            held, size = [], 0
        held.append(part)
        size += part.bytes
    if held:
        packs.append(Pack(first + len(packs), tuple(held)))
    return packs


ADDRESS_ROW_BITS = 36
"""An address is pack number << 36 | row in the pack: ascending with (source, file, position), whatever the packs."""


def read_pack(work: Storage, pack: Pack, columns: list[str] | None = None) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """The kept documents of a pack with their rows in the pack (int64)."""
    for part, start in zip(pack.parts, pack.starts, strict=True):
        for table, rows in read_part(work, part, columns):
            yield table, rows + start


def take_rows(work: Storage, pack: Pack, wanted: np.ndarray, columns: list[str] | None = None) -> pa.Table:
    """Documents at the given ascending rows of a pack, in that order."""
    found: list[pa.Table] = []
    schema: pa.Schema | None = None
    for part, start in zip(pack.parts, pack.starts, strict=True):
        inside = wanted[(wanted >= start) & (wanted < start + part.rows)] - start
        first = 0
        if not len(inside) and schema is not None:
            continue
        for table in read_batches(work, part.file, columns):
            schema = table.schema
            rows = inside[(inside >= first) & (inside < first + table.num_rows)] - first
            if len(rows):
                found.append(table.take(pa.array(rows)))
            first += table.num_rows
    if not found:
        if schema is None:
            raise ValueError("a pack without documents has no rows to take")
        return schema.empty_table()
    return pa.concat_tables(found)


def characters(documents: pa.Table) -> np.ndarray:
    """Characters of each text, int64."""
    lengths: np.ndarray = pc.utf8_length(documents["text"].combine_chunks()).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64)
