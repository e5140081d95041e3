"""Quality by a fastText classifier: the probability that a text is of the good kind that the model was trained on.

Sources: "reference or crawl" of GPT-3 (Brown et al. 2020, arXiv:2005.14165), the Pile (Gao et al. 2020, arXiv:2101.00027) and
LLaMA (Touvron et al. 2023, arXiv:2302.13971); "instruction-like or crawl" of DCLM (Li et al. 2024, arXiv:2406.11794).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from gristmill.stages.score_filter import ScoreFilter
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch


class QualityClassifier(ScoreFilter):
    """Score documents with a fastText model, and keep those above a score, the best share, or by chance the better ones.

    The score is the probability of the label `positive`, rounded to 6 decimals; it is the signal `score`, and stands in `meta`
    under `key`, for keepers (`keep: highest:meta.quality`) and mixtures.
    """

    kind: ClassVar[str] = "quality_classifier"
    libraries: ClassVar[tuple[str, ...]] = ("fasttext", "numpy")

    model: str
    """fastText model file, such as `gristmill classifier train` writes."""

    positive: str = "positive"
    """Label of the good kind, without `__label__`: `positive` of our own models, `hq` of DCLM's."""

    key: str = "quality"
    """Key under which the score stands in `meta`; empty stores none."""

    max_characters: PositiveInt | None = None
    """Characters of a text that are looked at; all of them unless given."""

    last_characters: NonNegativeInt = 0
    """With `max_characters`: characters at the end of a longer text that are looked at too (the Pile: 4000 and 1500)."""

    @model_validator(mode="after")
    def _ends_need_a_beginning(self) -> Self:
        if self.last_characters and self.max_characters is None:
            raise ValueError("last_characters are looked at besides max_characters; set max_characters too")
        return self

    def scores(self, batch: Batch) -> np.ndarray:
        """Probability of the label; NaN for blank texts, which pass."""
        from gristmill.stages.fasttext_scores import label_scores

        texts = batch.table["text"]
        return label_scores(self.model, texts, self.positive, self.max_characters, self.last_characters)

    def annotate(self, batch: Batch) -> Batch:
        """Put the score into `meta`."""
        from gristmill.stages.meta import with_meta

        if not self.key:
            return batch
        return batch.with_table(with_meta(batch.table, {self.key: self.score_of(batch).tolist()}))

    def set_up(self) -> None:
        """Load the model.

        Raises:
            StageUnavailable: it is missing, is no fastText model, or does not know the label.
        """
        from gristmill.stages.language_model import labels_of

        labels = labels_of(self.model)
        if self.positive not in labels:
            its = ", ".join(sorted(labels)[:5])
            raise StageUnavailable(f"{self.label}: {self.model} has no label {self.positive!r}; its labels are {its}")

    def files(self) -> list[str]:
        """The model file."""
        from gristmill.stages.language_model import model_file

        return [model_file(self.model)]

    def code(self) -> list[str]:
        """What asks the model."""
        return ["gristmill.stages.fasttext_scores", "gristmill.stages.language_model", "gristmill.stages.meta"]
