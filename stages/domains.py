"""Topics or formats of documents, by a fastText classifier (as WebOrganizer's domains, Wettig et al. 2025, arXiv:2502.10341)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar
from weakref import WeakKeyDictionary

from pydantic import Field, PositiveInt

from gristmill.stages.filter import Filter, Rule
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch


class Domains(Filter):
    """Label documents with a fastText model, and keep those with the labels that are asked for.

    The label and its probability stand in `meta` under `key` and `<key>_score`, which mixtures can use
    (`where: meta.topic == "science"`).
    """

    kind: ClassVar[str] = "domains"
    libraries: ClassVar[tuple[str, ...]] = ("fasttext", "numpy")

    model: str
    """fastText model file with the labels."""

    key: str = "topic"
    """Key under which the label stands in `meta`; empty stores none."""

    keep: tuple[str, ...] | None = None
    """Labels that stay; all of them unless given."""

    at_least: Annotated[float, Field(ge=0, le=1)] | None = None
    """Lowest probability of the label that stays."""

    max_characters: PositiveInt | None = None
    """Characters of a text that are looked at; all of them unless given."""

    def rules(self) -> Iterator[Rule]:
        """The labels that stay, then the probability."""
        yield Rule("unwanted_label", "is_kept_label", at_least=None if self.keep is None else 1.0)
        yield Rule("low_score", "label_score", at_least=self.at_least)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """Probability of the label, NaN for blank texts; whether it is kept."""
        import numpy as np

        labels, scores = self._asked(batch)
        found = {"label_score": scores}
        if self.keep is not None:
            kept = set(self.keep)
            found["is_kept_label"] = np.array([label in kept for label in labels], dtype=np.float64)
        return found

    def annotate(self, batch: Batch) -> Batch:
        """Put label and probability into `meta`."""
        from gristmill.stages.meta import with_meta

        if not self.key:
            return batch
        labels, scores = self._asked(batch)
        annotated = batch.with_table(with_meta(batch.table, {self.key: labels, f"{self.key}_score": scores.tolist()}))
        _labelled[annotated] = _labelled[batch]
        return annotated

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """The label."""
        labels, _ = self._asked(batch)
        return [labels[row] for row in rows]

    def _asked(self, batch: Batch) -> tuple[list[str | None], np.ndarray]:
        from gristmill.stages.fasttext_scores import likeliest

        known = _labelled.setdefault(batch, {})
        question = (self.model, self.max_characters)
        if question not in known:
            known[question] = likeliest(self.model, batch.table["text"], self.max_characters)
        return known[question]

    def set_up(self) -> None:
        """Load the model.

        Raises:
            StageUnavailable: it is missing, is no fastText model, or does not know a label that is to be kept.
        """
        from gristmill.stages.language_model import labels_of

        labels = labels_of(self.model)
        if unknown := [label for label in self.keep or () if label not in labels]:
            raise StageUnavailable(
                f"{self.label}.keep: {self.model} has no label {unknown[0]!r}; there are {', '.join(sorted(labels)[:5])}, ..."
            )

    def files(self) -> list[str]:
        """The model file."""
        from gristmill.stages.language_model import model_file

        return [model_file(self.model)]

    def code(self) -> list[str]:
        """What asks the model."""
        return ["gristmill.stages.fasttext_scores", "gristmill.stages.language_model", "gristmill.stages.meta"]


_labelled: WeakKeyDictionary[Batch, dict[tuple[str, int | None], tuple[list[str | None], np.ndarray]]] = WeakKeyDictionary()
"""Answers for the batches in work: rules, columns and details ask for the same ones."""
