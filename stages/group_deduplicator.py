"""Deduplicators whose keys bring together more than repeats: documents of one key are compared with one another."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from gristmill.stages.deduplicator import Deduplicator

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch


class GroupDeduplicator(Deduplicator):
    """A deduplicator that says which documents of equal keys meet.

    Elsewhere rows meet where key and check are equal. Here equal checks meet too, and of the others of one key the stage tells
    which do. Each is compared with at most `most_compared` before it of its key, in the order of their checks: where a key has
    more documents with different checks than that, pairs further apart are not found by it.
    """

    most_compared: ClassVar[int] = 10_000
    """Documents of one key, with different checks, that one document is compared with at most."""
    when_crowded: ClassVar[str] = ""
    """What to do about keys with more documents than that."""
    when_none: ClassVar[str] = "has a key"
    """What is said of a corpus no document of which can be compared."""
    fitted: ClassVar[bool] = False
    """Whether a model is learned from a sample of the corpus before the documents are emitted."""

    @abstractmethod
    def meet(self, rows: pa.Table, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Which rows of one key are alike.

        Args:
            rows: columns `key`, `check` (no two rows have both equal), and what else `emit_grouped` gave; sorted by both.
            first: rows before it have been compared with each other.

        Returns:
            Rows i and j (int64) of each pair, i < j, j >= first, at most `most_compared` apart.
        """

    def sample(self, batch: Batch) -> pa.Table:
        """What a model is learned from: `hash` uint64 (the lowest of the corpus are taken) and what else `fit` needs."""
        raise TypeError(f"{type(self).__name__} learns no model")

    def fit(self, sample: pa.Table) -> pa.Table:
        """The model learned from a sample of the corpus, ascending by `hash`."""
        raise TypeError(f"{type(self).__name__} learns no model")

    @property
    def sample_documents(self) -> int:
        """Documents that a model is learned from at most."""
        return 0

    def keys_of(self, emitted: pa.Table, model: pa.Table) -> pa.Array:
        """Keys (uint64) of rows that were emitted with another model; for stages that learn one."""
        raise TypeError(f"{type(self).__name__} learns no model")

    def emit_grouped(self, batch: Batch, wave: int, model: pa.Table | None) -> pa.Table:
        """As `emit`, and more columns where `meet` needs them; `model` is what `fit` gave."""
        return self.emit(batch, wave)
