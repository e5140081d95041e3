"""Deduplicators: corpus stages that find documents which repeat one another and keep one of each cluster.

What is common to them (exchange of rows by key, verification, clusters, keepers, ledger) is the engine's work; a
deduplicator says which rows a batch emits, and how similar two documents are.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from gristmill.stages.corpus_stage import CorpusStage
from gristmill.stages.keeper import Keep

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch


class Deduplicator(CorpusStage):
    """A corpus stage that removes all but one of each cluster of documents."""

    one_key: ClassVar[bool] = False
    """Whether a document emits at most one row and equal keys say all: then no pair needs clustering."""

    keep: Keep = "longest"
    """Which document of a cluster stays: `longest` (most characters), `earliest` or `latest` (place in the corpus), `newest` or
    `oldest` (date), `highest:COLUMN` or `lowest:COLUMN` (a number, a date, or `meta.KEY`), `sources:A,B` (the source named
    first). Of equal ones the earliest stays."""

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

    def similarity(self, left: pa.ListArray, right: pa.ListArray) -> np.ndarray:
        """Similarity of pairs of sketches, float64 of shape (n_pairs,). A stage with sketches defines it."""
        raise TypeError(f"{type(self).__name__} gives sketches, but no similarity of them")
