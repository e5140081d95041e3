"""Filters: named lists of rules, each a bound on a signal."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from gristmill.stages.stage import Stage

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch


@dataclass(frozen=True)
class Rule:
    """A bound on a signal. A bound that is None is off; 0 is a value. NaN (signal not applicable) passes."""

    name: str
    """Drop reason in the ledger, e.g. `too_few_words`."""
    signal: str
    """Name of the signal, in the catalogue or computed by the filter itself."""
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    switches: Mapping[str, Any] = field(default_factory=dict)
    """How published code differs in computing the signal (word splitter, what counts as a line, ...)."""

    @property
    def threshold(self) -> float | None:
        """The bound that is set, None when the rule is off."""
        bounds = [bound for bound in (self.at_least, self.at_most, self.above, self.below) if bound is not None]
        if len(bounds) > 1:
            raise ValueError(f"rule {self.name} has {len(bounds)} bounds; make it {len(bounds)} rules")
        return float(bounds[0]) if bounds else None

    @property
    def switch_items(self) -> tuple[tuple[str, Any], ...]:
        """The switches as a sorted, hashable key."""
        return tuple(sorted(self.switches.items()))

    def failed(self, values: np.ndarray) -> np.ndarray:
        """Which documents break the bound.

        Args:
            values: the signal, float64 of shape (n_documents,).

        Returns:
            bool of shape (n_documents,).
        """
        import numpy as np

        failed: np.ndarray = np.zeros(len(values), dtype=bool)
        if self.at_least is not None:
            failed = np.less(values, self.at_least)
        elif self.at_most is not None:
            failed = np.greater(values, self.at_most)
        elif self.above is not None:
            failed = np.less_equal(values, self.above)
        elif self.below is not None:
            failed = np.greater_equal(values, self.below)
        return failed


@dataclass(frozen=True)
class Verdict:
    """What a filter found in a batch."""

    rules: list[Rule]
    """Rules that are on, in the order in which they are tried."""
    values: list[np.ndarray]
    """For each rule the values of its signal, float64 of shape (n_documents,)."""
    failed: np.ndarray
    """bool of shape (n_rules, n_documents)."""
    signals: dict[str, np.ndarray] = field(default_factory=dict)
    """All that was measured, also signals that no rule bounds; float64 of shape (n_documents,) each."""

    @property
    def kept(self) -> np.ndarray:
        """bool of shape (n_documents,): no rule failed."""
        import numpy as np

        return np.asarray(~self.failed.any(axis=0))

    @property
    def first_failed(self) -> np.ndarray:
        """int64 of shape (n_documents,): index of the first failed rule, -1 for kept documents."""
        import numpy as np

        if not self.rules:
            return np.full(self.failed.shape[1], -1, dtype=np.int64)
        return np.where(self.failed.any(axis=0), self.failed.argmax(axis=0), -1)

    @property
    def first_failed_rule(self) -> list[str | None]:
        """Name of the first failed rule of each document, None for kept ones."""
        return [None if index < 0 else self.rules[index].name for index in self.first_failed]


class Filter(Stage):
    """A named list of rules. What judges, writes the ledger, prints help and answers what-if is written elsewhere, once."""

    evaluate: Literal["first", "all"] = "first"
    """`first`: the ledger names the first failed rule; `all`: it also lists every failed rule."""

    @abstractmethod
    def rules(self) -> Iterator[Rule]:
        """The rules in the order in which they are tried."""

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """Values of the signals that the rules name, float64 of shape (n_documents,) each.

        A filter whose signals are not in the catalogue (they need a model, a list, the URL) computes them here.
        """
        return {rule.signal: batch.signal(rule.signal, rule.switch_items) for rule in self.active_rules()}

    def annotate(self, batch: Batch) -> Batch:
        """Add what the filter learned to the documents' columns (the language, say); texts stay as they are."""
        return batch

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """A word more on why these rows failed `rule` (the word that was found, say), for the ledger's `detail`."""
        return [None] * len(rows)

    def active_rules(self) -> list[Rule]:
        """The rules whose bound is set."""
        return [rule for rule in self.rules() if rule.threshold is not None]

    def judge(self, documents: Batch | pa.Table) -> Verdict:
        """Measure the documents and hold every rule against them.

        Args:
            documents: a batch, or any table with a column `text` (`url` for what looks at URLs).

        Raises:
            ValueError: the table has no such column.
        """
        import numpy as np

        from gristmill.stages.documents import Batch

        batch = documents if isinstance(documents, Batch) else Batch.of(documents)
        rules = self.active_rules()
        signals = self.measure(batch)
        values = [signals[rule.signal] for rule in rules]
        failed = np.zeros((len(rules), len(batch)), dtype=bool)
        for index, rule in enumerate(rules):
            failed[index] = rule.failed(values[index])
        return Verdict(rules, values, failed, signals)
