"""Deduplicators: corpus stages that find documents which repeat one another and keep one of each cluster.

What is common to them (exchange of rows by key, verification, clusters, keepers, ledger) is the engine's work; a
deduplicator says which rows a batch emits, and how similar two documents are.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import model_validator

from gristmill.stages.indexed import Indexed
from gristmill.stages.keeper import Keep

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch


class Deduplicator(Indexed):
    """A corpus stage that removes all but one of each cluster of documents."""

    one_key: ClassVar[bool] = False
    """Whether a document emits at most one row and equal keys say all: then no pair needs clustering."""

    keep: Keep = "longest"
    """Which document of a cluster stays: `longest` (most characters), `earliest` or `latest` (place in the corpus), `newest` or
    `oldest` (date), `highest:COLUMN` or `lowest:COLUMN` (a number, a date, or `meta.KEY`), `sources:A,B` (the source named
    first). Of equal ones the earliest stays."""

    against: str | None = None
    """Folder of an index that an earlier run wrote with the same settings: documents that repeat one of its are removed too."""

    index: str | None = None
    """Folder where an index of this run's documents is written for later runs, or extended by them. It needs `keep: earliest`,
    and documents must count one by one (`cluster: direct`, where there is a choice): then crawl A, and B against A's index, leave
    what A and B in one run would."""

    @model_validator(mode="after")
    def _fits_an_index(self) -> Self:
        if (self.index or self.against) and self.keep != "earliest":
            raise ValueError(
                f"keep: {self.keep} with an index; what an earlier run kept cannot be taken back, so it must be keep: earliest"
            )
        if self.index and not (self.one_key or self.direct):
            raise ValueError("an index needs cluster: direct; a cluster of later documents could join two that are kept already")
        return self

    def index_settings(self) -> dict[str, Any]:
        """All but those that say what becomes of documents that are alike."""
        return self.model_dump(mode="json", exclude={"name", "checkpoint", "keep", "cluster", "index", "against", "verify"})

    def index_probe(self, probe: Batch) -> Any:
        emitted = [self.emit(probe, wave) if self.waves > 1 else self.emit(probe) for wave in range(self.waves)]
        sketches = self.sketches(probe)
        found = [[table[name].to_pylist() for name in ("key", "check")] for table in emitted]
        return [found, None if sketches is None else sketches.to_pylist()]

    @property
    def rows_per_document(self) -> int:
        """Rows that a document emits at most, for the size of the exchange."""
        return 1

    @property
    def direct(self) -> bool:
        """Whether a document goes only where one before it (in the order of `keep`) is like it itself, kept or not; else all
        documents that a chain of like ones links are one cluster, of which one stays."""
        return False

    @property
    def rule(self) -> str:
        """Drop reason in the ledger."""
        return "duplicate"

    @property
    def least_similarity(self) -> float | None:
        """Similarity that a candidate pair must reach to count; None: candidates count as they are."""
        return None

    @property
    def waves(self) -> int:
        """Waves in which the rows are emitted and resolved, so that those of one lie on disk at a time."""
        return 1

    @abstractmethod
    def emit(self, batch: Batch, wave: int = 0) -> pa.Table:
        """Rows that bring documents together which may repeat one another.

        Args:
            batch: documents.
            wave: 0 to `waves` - 1: which of the rows; each belongs to one wave, and rows of different waves never meet.

        Returns:
            Columns `key` uint64, `check` uint64 (rows meet when both are equal), `row` int64 (of the batch);
            any number of rows a document, in any order.
        """

    def sketches(self, batch: Batch) -> pa.ListArray | None:
        """What `similarity` compares, list<uint64> a document; None where equal keys mean similarity 1."""
        return None

    def signatures(self, batch: Batch) -> pa.ListArray | None:
        """What an index holds of each document for other programs to read, list<uint32> or null; None where there is nothing."""
        return None

    def similarity(self, left: pa.ListArray, right: pa.ListArray) -> np.ndarray:
        """Similarity of pairs of sketches, float64 of shape (n_pairs,). A stage with sketches defines it."""
        raise TypeError(f"{type(self).__name__} gives sketches, but no similarity of them")
