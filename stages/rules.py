"""Bounds of one's own on any number that documents have: signals, columns, keys of `meta`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field, model_validator

from gristmill.stages.filter import Filter, Rule
from gristmill.stages.settings import Settings

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch

COLUMNS = ("date", "language_score", "position")
"""Columns of documents that hold numbers or dates; dates count in microseconds since 1970."""


class Bounds(Settings):
    """What a number must be. One lower and one upper bound at most."""

    at_least: float | None = None
    """Lowest value that stays."""
    above: float | None = None
    """A value right at it goes."""
    at_most: float | None = None
    """Highest value that stays."""
    below: float | None = None
    """A value right at it goes."""

    @model_validator(mode="after")
    def _one_a_side(self) -> Self:
        for side in (("at_least", "above"), ("at_most", "below")):
            if all(getattr(self, name) is not None for name in side):
                raise ValueError(f"{' and '.join(side)} bound the same side; give one of them")
        return self


class Rules(Filter):
    """Keep documents whose numbers are within bounds: any signal of the catalogue, a column, or a key of `meta`.

    A number is measured whether it has a bound or not, so `{word_count: {}}` stores a signal and drops nothing. A document
    without the number stays.
    """

    kind: ClassVar[str] = "rules"

    signals: Annotated[dict[str, Bounds], Field(min_length=1)]
    """Bounds by signal (`gristmill stage signals` lists them), column (`language_score`, `date`) or `meta.KEY`, e.g.
    `{word_count: {at_least: 50, at_most: 100000}, meta.quality: {above: 0.2}}`. The rules are tried in this order; they are
    called `low_` and `high_` with the signal's name."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        from difflib import get_close_matches

        from gristmill.stages.signals import MODULES

        for name in self.signals:
            if name not in MODULES and name not in COLUMNS and not name.startswith("meta."):
                near = ", ".join(get_close_matches(name, MODULES, n=3))
                raise ValueError(
                    f"signals.{name}: no such signal{f'; near it are {near}' if near else ''}. "
                    f"Take one of the catalogue (gristmill stage signals), {', '.join(COLUMNS)} or meta.KEY"
                )
        return self

    def rules(self) -> Iterator[Rule]:
        """A rule for each side of each signal, whether it is bounded or not."""
        for name, bounds in self.signals.items():
            yield Rule(f"low_{name}", name, at_least=bounds.at_least, above=bounds.above)
            yield Rule(f"high_{name}", name, at_most=bounds.at_most, below=bounds.below)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """All the numbers, also those without bounds."""
        from gristmill.stages.keeper import column_numbers
        from gristmill.stages.signals import MODULES

        return {name: batch.signal(name, ()) if name in MODULES else column_numbers(batch.table, name) for name in self.signals}

    def code(self) -> list[str]:
        """What reads columns."""
        return ["gristmill.stages.keeper"]
