"""Corpus editors: stages that cut from documents what repeats across the corpus (lines, paragraphs, spans).

What is common to them (the exchange of units by key, the choice of the copies that stay, the cutting, the ledger) is the engine's
work; an editor says which units a text has, how many copies stay, and what a text is without some of its units.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gristmill.stages.corpus_stage import CorpusStage

if TYPE_CHECKING:
    import pyarrow as pa

    from gristmill.stages.documents import Batch
    from gristmill.stages.editor import Edited


@dataclass(frozen=True)
class Copies:
    """Which copies of a unit stay."""

    stay: int
    """So many stay, the first ones in the order of (rank, address, start); 0: none of a unit that repeats."""
    tolerated: int = 1
    """Units with at most so many copies are left alone; `stay` is 0 or equal to it."""


class CorpusEditor(CorpusStage):
    """Cuts from documents what repeats in the corpus. One document stays one; one left empty is removed by the engine."""

    @property
    def changes_text(self) -> bool:
        return True

    @property
    def bytes_per_unit(self) -> int:
        """About how many bytes of text there are for each unit that is emitted, for the size of the exchange."""
        return 40

    @property
    def filter_bytes(self) -> int | None:
        """Bytes of Bloom filters that say which units were there before, in place of exact counts; None: copies are counted.

        Only for stages whose `copies` are the first one; `key` alone tells units apart then.
        """
        return None

    @abstractmethod
    def copies(self) -> Copies:
        """Which copies of a unit stay."""

    @abstractmethod
    def emit(self, batch: Batch) -> pa.Table:
        """The units of the texts.

        Returns:
            Columns `key` uint64, `check` uint64 (units are the same when both are equal), `row` int64 (of the batch), `start`
            and `end` int64 (bytes of the document's text), and where another order than that of addresses says which copies
            stay, `rank` int64 (lowest first); any number of rows a document, in any order.
        """

    @abstractmethod
    def cut(self, batch: Batch, units: pa.Table) -> Edited:
        """Cut units from the batch's documents.

        Args:
            batch: documents, among them those with units to cut.
            units: columns `row`, `start`, `end` (bytes of the document's text), ascending, no row twice; they may overlap.
        """
