"""Scores of a transformer that classifies texts, such as the educational value from 0 to 5 of FineWeb-Edu.

Source: Penedo et al. 2024, arXiv:2406.17557 (FineWeb-Edu): a regression on 512 tokens, documents of 3 and more stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import PositiveInt

from gristmill.stages.filter import Filter, Rule

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch


class EduScore(Filter):
    """Score documents with a sequence classifier of Hugging Face from a folder, and keep those of a score.

    The score is what a regression gives, or the probability of `positive`, rounded to 4 decimals; it is the signal `score`, and
    stands in `meta` under `key`, for keepers and mixtures. Blank documents have none and pass. The last decimal may differ with
    the processor, the device and what is scored beside a document; a run scores each document once and keeps to it.
    """

    kind: ClassVar[str] = "edu_score"
    libraries: ClassVar[tuple[str, ...]] = ("transformers", "torch", "numpy")

    model: str
    """Folder of the model: config.json, weights as safetensors, tokenizer. Nothing is fetched."""

    positive: str | None = None
    """Label whose probability is the score, where the model has several; of a regression its only output."""

    at_least: float | None = None
    """Lowest score that stays; 3 in FineWeb-Edu. There scores are rounded to whole numbers first, which 2.5 does here."""

    at_most: float | None = None
    """Highest score that stays, for models that find what is not wanted."""

    key: str = "edu_score"
    """Key under which the score stands in `meta`; empty stores none."""

    max_tokens: PositiveInt = 512
    """Tokens of a text that are looked at; fewer where the model reads no more."""

    batch_tokens: PositiveInt = 8192
    """Tokens that are looked at together, padding included; raise it on a GPU."""

    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1` ...; `auto` takes the first GPU where there is one."""

    def rules(self) -> Iterator[Rule]:
        """Both bounds of the score."""
        yield Rule("low_score", "score", at_least=self.at_least)
        yield Rule("high_score", "score", at_most=self.at_most)

    def score_of(self, batch: Batch) -> np.ndarray:
        """The scores, asked for once; NaN for blank texts."""
        from gristmill.stages.transformer_classifier import scores_of

        known = f"{self.label}: score"
        if known not in batch.given:
            batch.given[known] = scores_of(
                self.model,
                batch.table["text"].to_pylist(),
                label=self.positive,
                device=self.device,
                max_tokens=self.max_tokens,
                batch_tokens=self.batch_tokens,
            )
        return batch.given[known]

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """The score."""
        return {"score": self.score_of(batch)}

    def annotate(self, batch: Batch) -> Batch:
        """Put the score into `meta`."""
        from gristmill.stages.meta import with_meta

        if not self.key:
            return batch
        return batch.with_table(with_meta(batch.table, {self.key: self.score_of(batch).tolist()}))

    def set_up(self) -> None:
        """Load the model.

        Raises:
            StageUnavailable: a library, the device or the model is missing, or the model has no such label.
        """
        from gristmill.stages.transformer_classifier import load_classifier, number_of

        number_of(load_classifier(self.model, self.device), self.model, self.positive)

    def files(self) -> list[str]:
        """The files in the folder of the model."""
        from pathlib import Path

        folder = Path(self.model)
        return [str(path) for path in sorted(folder.iterdir()) if path.is_file()] if folder.is_dir() else []

    def code(self) -> list[str]:
        """What asks the model."""
        return ["gristmill.stages.transformer_classifier", "gristmill.stages.meta"]
