"""The best or worst share of the corpus by any number that documents have: a signal, a column, a key of `meta`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import PrivateAttr, model_validator

from gristmill.stages.corpus_filter import CorpusFilter, Survey
from gristmill.stages.filter import Filter, Rule
from gristmill.stages.score_filter import Share

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch

EVERYTHING = "*"
MANTISSA_BITS = 14
"""Bits of the mantissa that tell values apart: whole numbers up to 32,767 exactly, others by a 16,384th of their power of two."""
NUMBERS = ("position", "date", "language_score")
"""Columns of documents that hold numbers or dates."""


class Percentile(CorpusFilter):
    """Keep the share of the documents with the highest or lowest values: of the corpus, of each language or of each source.

    Values are told apart by a 16,384th of their power of two, whole numbers up to 32,767 exactly; documents in the bin of the
    bound stay, so that never fewer stay than asked for. Documents without a value stay.
    """

    kind: ClassVar[str] = "percentile"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    signal: str
    """What is compared: a signal of the catalogue, such as `word_count`, a column of numbers (`language_score`, `date`), or
    `meta.KEY`, e.g. a score that an earlier stage has put there."""

    top: Share | None = None
    """Share that stays, of the highest values."""

    bottom: Share | None = None
    """Share that stays, of the lowest values."""

    by: Literal["corpus", "language", "source"] = "corpus"
    """Of what it is a share."""

    _bounds: dict[str, float] | None = PrivateAttr(default=None)
    """Bounds that the share came to, by group."""

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        from gristmill.stages.signals import MODULES

        if (self.top is None) == (self.bottom is None):
            raise ValueError("set top or bottom, one of the two")
        if self.signal not in MODULES and self.signal not in NUMBERS and not self.signal.startswith("meta."):
            raise ValueError(f"{self.signal}: no such signal; take one of the catalogue, {', '.join(NUMBERS)} or meta.KEY")
        if self.per_language:
            raise ValueError("per_language: a share of each language is asked for with by: language")
        return self

    def rules(self) -> Iterator[Rule]:
        """How far the value is on the right side of its bound."""
        yield Rule("not_among_top" if self.top is not None else "not_among_bottom", "inside_bound", at_least=0.0)

    def survey(self, batch: Batch) -> Survey:
        """A histogram of the values, of each group."""
        import numpy as np

        values = self._values(batch)
        groups = np.array(self._groups(batch), dtype=object)
        known = ~np.isnan(values)
        totals: dict[str, np.ndarray] = {}
        for group in set(groups[known]):
            power, place = bins_of(self._sign * values[known & (groups == group)])
            for one in np.unique(power):
                totals[f"{one}:{group}"] = np.bincount(place[power == one])
        return Survey(totals, {"value": values})

    def settled(self, totals: Mapping[str, np.ndarray]) -> Filter:
        """The filter with the bounds that the histograms give."""
        by_group: dict[str, dict[int, np.ndarray]] = {}
        for name, counts in totals.items():
            power, _, group = name.partition(":")
            by_group.setdefault(group, {})[int(power)] = counts
        share = self.top if self.top is not None else self.bottom or 1.0
        bounds = {group: self._sign * bound_of(counts, share) for group, counts in by_group.items()}
        return self.with_bounds(bounds)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """The value; how far it is inside its bound."""
        import numpy as np

        values = self._values(batch)
        bounds = self._bounds or {}
        least = np.array([bounds.get(group, np.nan) for group in self._groups(batch)])
        with np.errstate(invalid="ignore"):
            return {"value": values, "inside_bound": self._sign * (values - least)}

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """The value and its bound."""
        values, groups, bounds = self._values(batch), self._groups(batch), self._bounds or {}
        return [f"{self.signal} {values[row]:.10g}, bound {bounds[groups[row]]:.10g}" for row in rows]

    def when_nothing_is_judged(self) -> str:
        """Which number nobody has."""
        if self.signal.startswith("meta."):
            return f"None has a number under {self.signal}; does a stage before this one, or the input, put it there?"
        return f"None has a {self.signal}"

    @property
    def _sign(self) -> int:
        return 1 if self.top is not None else -1

    def _values(self, batch: Batch) -> np.ndarray:
        """float64 of shape (n_documents,); NaN where there is none."""
        from gristmill.stages.keeper import column_numbers
        from gristmill.stages.signals import MODULES

        if "value" in batch.given:
            return batch.given["value"]
        if self.signal in MODULES:
            return batch.signal(self.signal)
        return column_numbers(batch.table, self.signal)

    def _groups(self, batch: Batch) -> list[str]:
        if self.by == "corpus":
            return [EVERYTHING] * len(batch)
        return [group or EVERYTHING for group in batch.table[self.by].to_pylist()]

    def code(self) -> list[str]:
        """What reads columns."""
        return ["gristmill.stages.keeper", "gristmill.stages.score_filter"]


def bins_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power of two (with sign) and place in it of each value: both ascend with the value; int64 of shape (n,) each."""
    import numpy as np

    from gristmill.stages.keeper import ordered_bits

    ordered = ordered_bits(values)
    return ordered >> np.int64(52), (ordered >> np.int64(52 - MANTISSA_BITS)) & np.int64((1 << MANTISSA_BITS) - 1)


def lowest_of(power: int, place: int) -> float:
    """The lowest value of a bin."""
    import numpy as np

    ordered = (power << 52) | (place << (52 - MANTISSA_BITS))
    bits = ordered if ordered >= 0 else ordered ^ (2**63 - 1)
    return float(np.array(bits, dtype=np.int64).view(np.float64))


def bound_of(histogram: Mapping[int, np.ndarray], share: float) -> float:
    """The highest lower edge of a bin with at least a share of all documents in it and above.

    Args:
        histogram: power of two -> counts by place, as `bins_of` has them; not empty.
        share: above 0, at most 1.
    """
    import numpy as np

    missing = share * sum(int(counts.sum()) for counts in histogram.values())
    for power in sorted(histogram, reverse=True):
        counts = histogram[power]
        above = np.cumsum(counts[::-1])
        # 1e-9: 0.1 * 30 is a little above 3
        enough = np.flatnonzero(above >= missing - 1e-9)
        if len(enough):
            return lowest_of(power, len(counts) - 1 - int(enough[0]))
        missing -= int(above[-1])
    return lowest_of(min(histogram), 0)
