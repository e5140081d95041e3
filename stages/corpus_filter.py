"""Corpus filters: filters whose thresholds hang on the whole corpus (percentiles, the rarity of n-grams)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr

from gristmill.stages.corpus_stage import CorpusStage
from gristmill.stages.filter import Filter

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch
    from gristmill.stages.editor import Editor


@dataclass(frozen=True)
class Survey:
    """What a corpus filter learned of a batch."""

    totals: dict[str, np.ndarray]
    """int64 arrays by name (fixed-bin histograms, counts of n-grams): those of all batches are added, in any order, so each name
    has one shape in the whole corpus, or the shorter ones count as filled up with zeros."""
    signals: dict[str, np.ndarray] = field(default_factory=dict)
    """Signals that cost much to compute, float64 of shape (n_documents,): kept, and given back in `batch.given`."""
    highest: pa.Table | None = None
    """For some keys where in the batch the highest value is: columns key, row (of the batch), start, end (characters of its
    text), all int64, and value float64. Of all batches the highest of each key is kept, of equal ones the first by source, file,
    position and start."""


class CorpusFilter(Filter, CorpusStage):
    """A filter that looks at all documents before it judges one: first a survey of each batch, then `settled` by their sum."""

    findings_file: ClassVar[str | None] = None
    """File of the run folder (.json) that tells the `findings` of the run's stages. For these what goes on from the stage is
    surveyed too; `batch.given` then holds the signals of the first survey."""

    _bounds: Any = PrivateAttr(default=None)
    """What the run found in the corpus; no setting, so that none can be given by hand."""

    def with_bounds(self, bounds: Any) -> Self:
        """The stage with the bounds that were found."""
        settled = self.model_copy()
        settled._bounds = bounds
        return settled

    @abstractmethod
    def survey(self, batch: Batch) -> Survey:
        """Count what the verdicts hang on."""

    @abstractmethod
    def settled(self, totals: Mapping[str, np.ndarray]) -> Filter | Editor:
        """The filter that judges documents of a corpus with these totals, or the editor that cuts from them; the label stays.

        Its `measure` or `edit` may take from `batch.given` what `survey` gave as signals.

        Args:
            totals: the sums of what `survey` gave; empty for an empty corpus.
        """

    def findings(
        self, totals: Mapping[str, np.ndarray], left: Mapping[str, np.ndarray], highest: pa.Table | None = None
    ) -> dict[str, Any] | None:
        """What the stage learned of the corpus beside its verdicts, as JSON; only where there is a `findings_file`.

        Args:
            totals: the sums of what `survey` gave.
            left: likewise, of the documents that went on from the stage, as they went on.
            highest: the highest of each key that `survey` gave, with `id` and `source` of the document; None where it gave none.
        """
        return None
