"""Data selection by importance resampling: documents by how much likelier they are in a target than in the raw text.

Source: Xie et al. 2023, arXiv:2302.03169 (DSIR) [code: p-lambda/dsir].
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from gristmill.stages.corpus_filter import CorpusFilter, Survey
from gristmill.stages.filter import Filter, Rule

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch

BINS, BINS_A_STEP = 1 << 17, 1 << 12
"""Bins of the histogram of keys: of the same width in asinh(key), so 1/4096 near 0 and 0.025% of a key that is far from it."""


class Importance(CorpusFilter):
    """Resample documents towards a target: keep those with the highest log importance weight plus Gumbel noise, which draws
    without replacement in proportion to the weights (DSIR).

    The log weight is the sum over a document's words and pairs of words of log(p_target / p_raw) of their bucket; it is the
    signal `importance` and stands in `meta`. Without `top` and `documents` all documents stay that are long enough.
    """

    kind: ClassVar[str] = "importance"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    weights: str
    """File of `gristmill importance train`."""

    top: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the documents that stays, of those long enough: all documents are looked at first. Keys are told apart by bins of
    0.025%; documents in the bin of the bound stay, so that never fewer stay than asked for."""

    documents: PositiveInt | None = None
    """Number of documents that stays, in place of a share; some more where keys are as good as equal."""

    at_least: float | None = None
    """Lowest log weight that stays."""

    min_words: NonNegativeInt = 100
    """Fewest words (runs of letters and digits, and of other marks) of a document that is chosen from, as in the paper's code."""

    noise: bool = True
    """Add Gumbel noise, which hangs on the document's id and `seed` alone; without it the best stay, and variety suffers."""

    seed: NonNegativeInt = 0
    """Of the noise."""

    key: str = "importance"
    """Key of the log weight in `meta`; empty stores none."""

    bound: float | None = None
    """Lowest key that `top` or `documents` came to; found by the run, not to be set."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.top is not None and self.documents is not None:
            raise ValueError("top and documents both say how many stay; give one")
        return self

    @property
    def sees_corpus(self) -> bool:
        return self.top is not None or self.documents is not None

    def rules(self) -> Iterator[Rule]:
        """Length, weight, then the draw."""
        yield Rule("too_few_words", "importance_words", at_least=self.min_words)
        yield Rule("low_importance", "importance", at_least=self.at_least)
        # the bound hangs on which documents can be drawn
        chosen_from = {"min_words": self.min_words, "at_least": self.at_least} if self.sees_corpus else {}
        yield Rule("not_drawn", "importance_above_bound", at_least=0.0 if self.sees_corpus else None, switches=chosen_from)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """The log weight, the words, the log weight with its noise, and how far that is above the bound of the draw."""
        known = "" if "importance" in batch.given else f"{self.label}: "
        if f"{known}importance" not in batch.given:
            batch.given |= {known + name: values for name, values in self._measured(batch).items()}
        found = {name: batch.given[known + name] for name in ("importance", "importance_words", "importance_key")}
        if self.sees_corpus:
            # without a bound all are drawn
            found["importance_above_bound"] = (
                found["importance_key"] - self.bound if self.bound is not None else 0 * found["importance"]
            )
        return found

    def _measured(self, batch: Batch) -> dict[str, np.ndarray]:
        import numpy as np

        from gristmill.stages.importance_weights import read_weights

        weight, words = read_weights(self.weights).score(batch.table["text"])
        noise = np.array(gumbel(batch.table["id"].to_pylist(), self.seed)) if self.noise else np.zeros(len(weight))
        return {"importance": weight, "importance_words": words.astype(np.float64), "importance_key": np.round(weight + noise, 6)}

    def annotate(self, batch: Batch) -> Batch:
        """Put the log weight into `meta`."""
        from gristmill.stages.meta import with_meta

        if not self.key:
            return batch
        return batch.with_table(with_meta(batch.table, {self.key: self.measure(batch)["importance"].tolist()}))

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """The log weight, with its noise and the bound, where the draw decided."""
        if rule.name != "not_drawn":
            return [None] * len(rows)
        found = self.measure(batch)
        weight, key = found["importance"], found["importance_key"]
        return [f"log weight {weight[row]:.6f}, with noise {key[row]:.6f}, bound {self.bound:.6f}" for row in rows]

    def survey(self, batch: Batch) -> Survey:
        """A histogram of the keys of the documents that can be drawn."""
        import numpy as np

        found = self._measured(batch)
        can = found["importance_words"] >= self.min_words
        if self.at_least is not None:
            can &= found["importance"] >= self.at_least
        bins = np.searchsorted(edges(), found["importance_key"][can], side="right") - 1
        return Survey({"keys": np.bincount(np.maximum(bins, 0))}, found)

    def settled(self, totals: Mapping[str, np.ndarray]) -> Filter:
        """The filter with the bound that the histogram gives."""
        import numpy as np

        counts = totals.get("keys", np.zeros(0, dtype=np.int64))
        above = np.cumsum(counts[::-1])[::-1]
        if not len(above):
            return self
        wanted = self.documents if self.documents is not None else (self.top or 1.0) * above[0]
        enough = np.flatnonzero(above >= wanted)
        # in the lowest bin is also what lies below it
        lowest = not len(enough) or enough[-1] == 0
        return self.model_copy(update={"bound": None if lowest else float(edges()[enough[-1]])})

    def set_up(self) -> None:
        """Read the weights.

        Raises:
            StageUnavailable: the file is missing, or holds none.
        """
        from gristmill.stages.importance_weights import read_weights

        read_weights(self.weights)

    def files(self) -> list[str]:
        """The file of the weights."""
        return [self.weights]

    def code(self) -> list[str]:
        """What scores texts."""
        return [f"gristmill.stages.{name}" for name in ("importance_weights", "importance_ngrams", "meta", "features")]


@cache
def edges() -> np.ndarray:
    """Lower edges of the bins, float64 of shape (BINS,), in order."""
    import numpy as np

    return np.array([math.sinh((number - BINS // 2) / BINS_A_STEP) for number in range(BINS)])


def gumbel(ids: list[str], seed: int) -> list[float]:
    """Noise for each id, of the standard Gumbel law, by a keyed hash (BLAKE2b)."""
    key = b"gumbel" + seed.to_bytes(8, "little")
    digests = [blake2b(one.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest() for one in ids]
    # the middles of 2^52 even steps, so that neither 0 nor 1 is drawn
    return [-math.log(-math.log(((int.from_bytes(digest, "little") >> 12) + 0.5) / 2.0**52)) for digest in digests]
