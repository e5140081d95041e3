"""Corpus stages that can be continued: an index holds what a run has seen, and a later run is judged against it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from gristmill.stages.corpus_stage import CorpusStage

if TYPE_CHECKING:
    from gristmill.stages.documents import Batch


class Indexed(CorpusStage):
    """A corpus stage with an index. The engine reads and writes it; the stage says which indexes are like its own."""

    against: str | None = None
    """Folder of an index that an earlier run wrote with the same settings: this run is judged as if that one's documents stood
    before its own."""

    index: str | None = None
    """Folder where an index of this run's documents is written for later runs, or extended by them."""

    @abstractmethod
    def index_settings(self) -> dict[str, Any]:
        """Settings, as JSON, that two stages have in common where one can read the other's index."""

    @abstractmethod
    def index_probe(self, probe: Batch) -> Any:
        """JSON of what an index would hold of a probe: it tells versions apart that compute other keys."""
