"""Filters on a score of 0 to 1: a least one, the best share of the corpus or of each language, or chance in favour of the better.

Sources: the best share, e.g. DCLM's top 10% (Li et al. 2024, arXiv:2406.11794); chance by a Pareto draw, GPT-3 (Brown et al.
2020, arXiv:2005.14165, app. A; alpha 9) and the Pile (Gao et al. 2020, arXiv:2101.00027; alpha 3).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PrivateAttr, model_validator

from gristmill.stages.corpus_filter import CorpusFilter, Survey
from gristmill.stages.filter import Filter, Rule

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch

BINS = 1 << 16
"""Bins of the histogram from which the bound of a share is read: a power of two, so that each edge is a number of its own."""
EVERYTHING = "*"
"""Name of the histogram of all documents together, and of those without a language."""

Share = Annotated[float, Field(gt=0, le=1)]


class ScoreFilter(CorpusFilter):
    """What a filter on a score can be told. Without any of the settings all documents stay, and the score is stored."""

    at_least: Annotated[float, Field(ge=0, le=1)] | None = None
    """Lowest score that stays."""

    top: Share | None = None
    """Share of the documents that stays, those with the highest scores: all documents are looked at first. Scores are told apart
    by 1/65536; documents in the bin of the bound stay, so that never fewer stay than asked for."""

    by: Literal["corpus", "language"] = "corpus"
    """Of what `top` is a share: of all documents, or of those of each language."""

    pareto: PositiveFloat | None = None
    """Keep a document where a draw from the Lomax law of this alpha is above 1 - score, so with probability (2 - score)^-alpha:
    9 in GPT-3, 3 in the Pile. The draw hangs on the document's id and `seed` alone."""

    seed: NonNegativeInt = 0
    """Of the draws of `pareto`."""

    _bounds: dict[str, float] | None = PrivateAttr(default=None)
    """Least scores that `top` came to, by language."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("at_least", "top", "pareto") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} each say what stays; give one, or two steps with a name each")
        if self.by == "language" and self.top is None:
            raise ValueError("by: language says of what `top` is a share; set top too")
        rows = self.per_language if isinstance(self.per_language, dict) else {}
        for language, row in rows.items():
            if wrong := sorted(set(row) - {"at_least"}):
                raise ValueError(f"per_language.{language}: {wrong[0]} is one for all languages; at_least may differ")
        return self

    @property
    def sees_corpus(self) -> bool:
        return self.top is not None

    @abstractmethod
    def scores(self, batch: Batch) -> np.ndarray:
        """The score of each document, float64 of shape (n_documents,), 0 to 1, rounded to 6 decimals; NaN where there is none."""

    def score_of(self, batch: Batch) -> np.ndarray:
        """The scores, asked for once: rules, columns and details need them, and a survey has measured them before."""
        if "score" in batch.given:
            return batch.given["score"]
        known = f"{self.label}: score"
        if known not in batch.given:
            batch.given[known] = self.scores(batch)
        return batch.given[known]

    def rules(self) -> Iterator[Rule]:
        """The one that is asked for."""
        yield Rule("low_score", "score", at_least=self.at_least)
        yield Rule("not_among_top", "score_above_bound", at_least=None if self.top is None else 0.0)
        yield Rule("not_drawn", "pareto_margin", above=None if self.pareto is None else 0.0)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """The score; how far it is above the bound of its corpus or language; what the draw leaves above 1 - score."""
        import numpy as np

        score = self.score_of(batch)
        found = {"score": score}
        if self.top is not None:
            bounds = self._bounds or {}
            least = np.array([bounds.get(name, 0.0) for name in self._groups(batch.table)])
            found["score_above_bound"] = score - least
        if self.pareto is not None:
            found["pareto_margin"] = lomax(uniform(batch.table["id"].to_pylist(), self.seed), self.pareto) - (1 - score)
        return found

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """The score and the bound that it did not reach."""
        if rule.name == "low_score":
            return [None] * len(rows)
        score = self.score_of(batch)
        if rule.name == "not_drawn":
            return [f"score {score[row]:.6f}" for row in rows]
        groups = self._groups(batch.table)
        bounds = self._bounds or {}
        return [f"score {score[row]:.6f}, bound {bounds.get(groups[row], 0.0):.6f}" for row in rows]

    def survey(self, batch: Batch) -> Survey:
        """A histogram of the scores, of each language where they are judged apart."""
        import numpy as np

        score = self.scores(batch)
        groups = np.array(self._groups(batch.table), dtype=object)
        bins = np.minimum((np.nan_to_num(score, nan=0.0) * BINS).astype(np.int64), BINS - 1)
        known = ~np.isnan(score)
        return Survey({name: np.bincount(bins[known & (groups == name)]) for name in set(groups)}, {"score": score})

    def settled(self, totals: Mapping[str, np.ndarray]) -> Filter:
        """The filter with the bounds that the histograms give."""
        share = self.top if self.top is not None else 1.0
        return self.with_bounds({name: bound_of(counts, share) for name, counts in totals.items()})

    def _groups(self, table: pa.Table) -> list[str]:
        """The histogram that each document counts in."""
        if self.by == "corpus":
            return [EVERYTHING] * table.num_rows
        return [language or EVERYTHING for language in table["language"].to_pylist()]


def bound_of(counts: np.ndarray, share: float) -> float:
    """The highest lower edge of a bin with at least a share of all documents in it and above."""
    import numpy as np

    above = np.cumsum(counts[::-1])[::-1]
    enough = np.flatnonzero(above >= share * above[0]) if len(above) else np.zeros(1, dtype=np.int64)
    return float(enough[-1]) / BINS


def uniform(ids: list[str], seed: int) -> np.ndarray:
    """A number in (0, 1] for each id, by a keyed hash (BLAKE2b); float64 of shape (n_ids,)."""
    import numpy as np

    key = b"pareto" + seed.to_bytes(8, "little")
    digests = [blake2b(one.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest() for one in ids]
    numbers = np.frombuffer(b"".join(digests), dtype="<u8")
    return (numbers.astype(np.float64) + 1.0) / 2.0**64


def lomax(chance: np.ndarray, alpha: float) -> np.ndarray:
    """Draws of the Lomax law, which NumPy's `pareto` is (Pareto's own, less 1): P(draw > x) = (1 + x)^-alpha."""
    import numpy as np

    drawn: np.ndarray = np.power(chance, -1.0 / alpha) - 1.0
    return drawn
