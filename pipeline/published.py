"""A run folder as it was published: its facts, and single rows out of its Parquet files without reading the rest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.storage import Storage

if TYPE_CHECKING:
    import pyarrow.parquet as pq

ID, URL = 0, 1
"""What an index row hashes (`kind`)."""
KEPT, REMOVED, SIGNALS, EDITED, REPORTED = range(5)
"""Where an index row points (`outcome`): a document, a ledger row, a row of signals; the first of a document's rows in a file
of `edits/` or `reports/`, in which they stand together."""

RunFolder = str | os.PathLike[str]


def index_hash(text: str) -> int:
    """The 64 bits under which `index/` lists an id or URL: blake2b of its UTF-8, 8 bytes, little-endian."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, order=True)
class Place:
    """A row of a published file."""

    file: str
    """Path relative to the run folder."""
    row: int
    outcome: int


class PublishedRun:
    """Reads a run folder: `run.json`, `funnel.json`, and rows of its tables.

    Raises:
        UserError: the folder is missing, holds no run, or holds one that has not finished.
    """

    def __init__(self, folder: RunFolder | Storage) -> None:
        """Look into a folder, or into one that is open already; nothing is read before it is asked for."""
        self.storage = folder if isinstance(folder, Storage) else Storage(os.fspath(folder))
        self.folder = self.storage.url
        self._group: tuple[tuple[str, int, tuple[str, ...] | None], Any] | None = None

    @cached_property
    def facts(self) -> dict[str, Any]:
        """`run.json`."""
        try:
            facts = self._read_json("run.json")
        except FileNotFoundError:
            missing = not self.storage.exists()
            what = "no such folder" if missing else "holds no run.json, so it is not the folder of a run"
            raise UserError(f"{self.folder}: {what}; give a folder that `gristmill run --output` wrote") from None
        if facts.get("status") == "publishing":
            raise UserError(
                f"{self.folder}: a run is being published there, or was stopped while it was; "
                "give the same `gristmill run` command again, it completes it"
            )
        return facts

    @cached_property
    def funnel(self) -> dict[str, Any]:
        """`funnel.json`."""
        status = self.facts.get("status")
        try:
            return self._read_json("funnel.json")
        except FileNotFoundError:
            raise UserError(
                f"{self.folder}: the run has published nothing yet (status: {status}); "
                "give the same `gristmill run` command again, it continues where it stopped"
            ) from None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the funnel, one a stage and source."""
        rows: list[dict[str, Any]] = self.funnel["rows"]
        return rows

    @property
    def records_read(self) -> int:
        """Records that the readers gave out, all sources together."""
        return sum(row["in"] for row in self.rows if row["stage"] == "read")

    def stages_of(self, source: str) -> list[dict[str, Any]]:
        """The stages that documents of this source go through, in order."""
        return [stage for stage in self.facts.get("stages", []) if not stage.get("sources") or source in stage["sources"]]

    def files(self, folder: str) -> list[str]:
        """Parquet files under a folder of the run, relative to the run, sorted."""
        return [name for name in self.storage.find(folder) if name.endswith(".parquet")]

    @contextmanager
    def parquet(self, file: str) -> Iterator[pq.ParquetFile]:
        """Open one of the run's Parquet files."""
        import pyarrow.parquet as pq

        try:
            handle = self.storage.open(file)
        except FileNotFoundError:
            raise UserError(f"{self.folder}: {file} is gone, though the run lists it; run the recipe again") from None
        with handle:
            yield pq.ParquetFile(handle)

    def row(self, place: Place, leave_out: tuple[str, ...] | None = None) -> dict[str, Any]:
        """One row, reading only the row group that holds it.

        Args:
            place: where it is.
            leave_out: columns not to read (texts, say).
        """
        with self.parquet(place.file) as parquet:
            row, group = place.row, 0
            while group < parquet.num_row_groups and row >= (rows := parquet.metadata.row_group(group).num_rows):
                row, group = row - rows, group + 1
            if group == parquet.num_row_groups:
                raise UserError(
                    f"{self.folder}: {place.file} has no row {place.row}, though index/ names it; run the recipe again"
                )
            key = (place.file, group, leave_out)
            # rows are asked for in file order, so remembering the last group reads each only once
            if self._group is None or self._group[0] != key:
                columns = [name for name in parquet.schema_arrow.names if name not in (leave_out or ())]
                self._group = (key, parquet.read_row_group(group, columns=columns))
        found: dict[str, Any] = self._group[1].slice(row, 1).to_pylist()[0]
        return found

    def rows_of(self, place: Place, document_id: str) -> list[dict[str, Any]]:
        """The rows of a document that stand together from this place on; none where the first is another's."""
        rows: list[dict[str, Any]] = []
        with self.parquet(place.file) as parquet:
            first = 0
            for group in range(parquet.num_row_groups):
                last = first + parquet.metadata.row_group(group).num_rows
                if last > place.row:
                    ids = parquet.read_row_group(group, columns=["id"])["id"].to_pylist()
                    begin = max(place.row - first, 0)
                    end = next((at for at in range(begin, len(ids)) if ids[at] != document_id), len(ids))
                    if begin < end:
                        rows += parquet.read_row_group(group).slice(begin, end - begin).to_pylist()
                    if end < len(ids):
                        break
                first = last
        return rows

    def lookup(self, text: str, kind: int) -> list[Place]:
        """Rows that the index lists under the hash of an id or URL; another text can share the hash, so compare."""
        if not self._index_files:
            raise UserError(
                f"{self.folder}: holds no index/ of ids and URLs (status: {self.facts.get('status')}); run the recipe again"
            )
        wanted = index_hash(text)
        low, high = 0, len(self._index_files)
        while low < high:
            middle = (low + high) // 2
            if self._highest_hash(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        places: list[Place] = []
        for file in self._index_files[low:]:
            found, beyond = self._lookup_in(file, wanted, kind)
            places += found
            if beyond:
                break
        return sorted(places)

    @cached_property
    def _index_files(self) -> list[str]:
        return self.files("index")

    def _highest_hash(self, number: int) -> int:
        with self.parquet(self._index_files[number]) as parquet:
            groups = parquet.metadata.num_row_groups
            if groups and parquet.metadata.num_rows:
                return int(parquet.metadata.row_group(groups - 1).column(0).statistics.max)
        # an empty file ends where the one before it does
        return self._highest_hash(number - 1) if number else -1

    def _lookup_in(self, file: str, wanted: int, kind: int) -> tuple[list[Place], bool]:
        """Places in one index file, and whether the file reaches beyond the hash."""
        import numpy as np

        places: list[Place] = []
        with self.parquet(file) as parquet:
            for group in range(parquet.num_row_groups):
                statistics = parquet.metadata.row_group(group).column(0).statistics
                if statistics is None:
                    continue  # a row group without rows
                if statistics.min > wanted:
                    return places, True
                if statistics.max < wanted:
                    continue
                rows = parquet.read_row_group(group)
                hashes = rows["hash"].to_numpy()
                # np.uint64, not int: beside an int64 NumPy would compare as float64, which cannot tell neighbours apart
                first, last = (int(hashes.searchsorted(np.uint64(wanted), side)) for side in ("left", "right"))
                places += [
                    Place(row["file"], row["row"], row["outcome"])
                    for row in rows.slice(first, last - first).to_pylist()
                    if row["kind"] == kind
                ]
        return places, False

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            read = self.storage.get_json(name)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{self.folder}/{name}: is not JSON ({error}); this file is not one that Gristmill wrote") from None
        except (PermissionError, NotADirectoryError, IsADirectoryError) as error:
            raise UserError(
                f"{self.folder}/{name}: {error.strerror}; give a folder that `gristmill run --output` wrote"
            ) from None
        if not isinstance(read, dict):
            raise UserError(f"{self.folder}/{name}: is no JSON object; this file is not one that Gristmill wrote")
        return read
