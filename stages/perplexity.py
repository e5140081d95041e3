"""Perplexity under an n-gram model of good text, and the buckets head, middle and tail that CCNet made of it.

Source: Wenzek et al. 2020, arXiv:1911.00359 (CCNet), section 3.3; the numbers of its code, cc_net `cutoff.csv`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PrivateAttr, field_validator, model_validator

from gristmill.stages.corpus_filter import CorpusFilter, Survey
from gristmill.stages.filter import Filter, Rule
from gristmill.stages.language_codes import matching_key

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch

CCNET = {
    "en": (340.0, 520.0),
    "de": (370.0, 590.0),
    "fr": (180.0, 330.0),
    "es": (180.0, 290.0),
    "it": (220.0, 360.0),
    "zh": (1460.0, 1950.0),
    "ru": (210.0, 310.0),
    "ja": (1110.0, 1450.0),
}
"""Perplexities below which documents are `head` and `middle`, by language [code: cc_net cutoff.csv]."""
BUCKETS = ("head", "middle", "tail")
OTHER = "all"
"""Bucket of documents that have no perplexity, or are in a language without bounds, as in CCNet."""
EVERYTHING = "*"
"""Name of the histogram of all documents together, and of those without a language."""
BINS, BINS_A_DECADE = 1 << 16, 1 << 13
"""Bins of the histograms: of the same width in log10, from 1 to 10^8; a bin is 0.03% wide."""

Bounds = tuple[PositiveFloat, PositiveFloat]
Share = Annotated[float, Field(gt=0, lt=1)]


class Perplexity(CorpusFilter):
    """Measure how surprised an n-gram model of good text is by a document, sort documents into head, middle and tail by it, and
    drop what surprises too much.

    The perplexity (a token's, each line a sentence, rounded to 1 decimal) is the signal `perplexity`; with the bucket it stands
    in `meta`, for keepers (`keep: lowest:meta.perplexity`) and mixtures. Blank documents have none, nor have those in a language
    without a model; they pass, and their bucket is `all`.
    """

    kind: ClassVar[str] = "perplexity"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    model: str | dict[str, str]
    """Model file: of `gristmill perplexity train`, or of KenLM (ARPA or binary; extra `kenlm`); or one for each language, by the
    column `language`: `{en: en.lm, de: de.lm}`."""

    sentencepiece: str | dict[str, str] | None = None
    """SentencePiece model that cuts lines for a model of KenLM, as CCNet's need it (extra `kenlm`); or one for each language."""

    buckets: Literal["corpus", "ccnet"] | Bounds | dict[str, Bounds] | None = None
    """Bounds of head and middle: `corpus`, so that the corpus is parted by `shares` (all documents are looked at first); `ccnet`,
    its published numbers, which mean something under CCNet's own models only; two perplexities; or two for each language."""

    shares: tuple[Share, Share] = (1 / 3, 2 / 3)
    """Shares of the documents that are head, and that are head or middle, for `buckets: corpus`. CCNet's paper has even thirds,
    its code 0.3 and 0.6."""

    by: Literal["language", "corpus"] = "language"
    """Whether `buckets: corpus` parts the documents of each language by themselves."""

    keep: Literal["head", "middle"] | None = None
    """Worst bucket that stays; without it all do."""

    max_perplexity: PositiveFloat | None = None
    """Highest perplexity that stays."""

    min_perplexity: PositiveFloat | None = None
    """Lowest perplexity that stays: what repeats itself, or stands in the reference text, surprises too little."""

    key: str = "perplexity"
    """Key of the perplexity in `meta`; empty stores none."""

    bucket_key: str = "bucket"
    """Key of the bucket in `meta`, where there are buckets; empty stores none."""

    _bounds: dict[str, Bounds] | None = PrivateAttr(default=None)
    """Bounds that `buckets: corpus` came to, by language."""

    @field_validator("shares", "buckets")
    @classmethod
    def _in_order(cls, given: object) -> object:
        for pair in given.values() if isinstance(given, dict) else [given]:
            if isinstance(pair, tuple) and pair[0] > pair[1]:
                raise ValueError(f"the bound of head is {pair[0]}, above that of middle, {pair[1]}; give the lower one first")
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.keep is not None and self.buckets is None:
            raise ValueError("keep names a bucket, and there are none; set buckets, e.g. to corpus")
        if isinstance(self.sentencepiece, dict) != isinstance(self.model, dict) and self.sentencepiece is not None:
            raise ValueError("model and sentencepiece go together: give one of each, or a table of languages for each")
        for name, table in (
            ("sentencepiece", self.sentencepiece),
            ("buckets", self.buckets),
            ("per_language", self.per_language),
        ):
            if isinstance(table, dict) and isinstance(self.model, dict):
                for language in table:
                    if matching_key(language, self.model) is None:
                        raise ValueError(
                            f"{name}.{language}: there is no model of this language; model has {', '.join(self.model)}"
                        )
        return self

    @property
    def sees_corpus(self) -> bool:
        return self.buckets == "corpus"

    def rules(self) -> Iterator[Rule]:
        """The bounds, then the bucket."""
        yield Rule("high_perplexity", "perplexity", at_most=self.max_perplexity)
        yield Rule("low_perplexity", "perplexity", at_least=self.min_perplexity)
        yield Rule("worse_bucket", "perplexity_bucket", at_most=None if self.keep is None else float(BUCKETS.index(self.keep)))

    def languages_judged(self) -> list[str] | None:
        """Those with a model; where only the bucket decides, of these those with bounds of buckets."""
        found = super().languages_judged()
        if isinstance(self.model, dict):
            found = [language for language in self.model if found is None or matching_key(language, tuple(found))]
        table = CCNET if self.buckets == "ccnet" else self.buckets
        if isinstance(table, dict) and [rule.name for rule in self.active_rules()] == ["worse_bucket"]:
            found = [language for language in (found or table) if matching_key(language, tuple(table))]
        return found

    def perplexity_of(self, batch: Batch) -> np.ndarray:
        """The perplexity of each document, asked for once; NaN where there is none."""
        if "perplexity" in batch.given:
            return batch.given["perplexity"]
        known = f"{self.label}: perplexity"
        if known not in batch.given:
            batch.given[known] = self._measured(batch.table)
        return batch.given[known]

    def _measured(self, table: pa.Table) -> np.ndarray:
        import numpy as np
        import pyarrow as pa

        from gristmill.stages.perplexity_models import perplexities

        if isinstance(self.model, str):
            return perplexities(table["text"], self.model, self._pieces(None))
        keys = self._keys(table, self.model)
        found = np.full(table.num_rows, np.nan)
        for language, model in self.model.items():
            rows = np.array([row for row, key in enumerate(keys) if key == language], dtype=np.int64)
            if len(rows):
                found[rows] = perplexities(table["text"].take(pa.array(rows)), model, self._pieces(language))
        return found

    def _pieces(self, language: str | None) -> str | None:
        return self.sentencepiece.get(language or "") if isinstance(self.sentencepiece, dict) else self.sentencepiece

    @staticmethod
    def _keys(table: pa.Table, keys: Mapping[str, object]) -> list[str | None]:
        """For each document the key that is meant for its language."""
        column = table["language"].to_pylist()
        known = {language: matching_key(language, tuple(keys)) for language in set(column) if language}
        return [known.get(language) for language in column]

    def buckets_of(self, batch: Batch) -> np.ndarray:
        """Number of each document's bucket, 0 to 2; NaN where it has none."""
        import numpy as np

        values = self.perplexity_of(batch)
        bounds = np.full((len(batch), 2), np.nan)
        if isinstance(self.buckets, tuple):
            bounds[:] = self.buckets
        elif self.buckets == "corpus":
            found = self._bounds or {}
            bounds[:] = [found.get(name, (np.nan, np.nan)) for name in self._groups(batch.table)]
        elif self.buckets is not None:
            table = CCNET if self.buckets == "ccnet" else self.buckets
            bounds[:] = [table[key] if key else (np.nan, np.nan) for key in self._keys(batch.table, table)]
        unknown = np.isnan(values) | np.isnan(bounds[:, 0])
        numbers = (values >= bounds[:, 0]).astype(np.float64) + (values >= bounds[:, 1])
        return np.where(unknown, np.nan, numbers)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """The perplexity and, where there are buckets, the number of the document's."""
        found = {"perplexity": self.perplexity_of(batch)}
        return found if self.buckets is None else found | {"perplexity_bucket": self.buckets_of(batch)}

    def annotate(self, batch: Batch) -> Batch:
        """Put perplexity and bucket into `meta`."""
        from gristmill.stages.meta import with_meta

        held: dict[str, Sequence[Any]] = {}
        if self.key:
            held[self.key] = self.perplexity_of(batch).tolist()
        if self.bucket_key and self.buckets is not None:
            held[self.bucket_key] = [OTHER if one != one else BUCKETS[int(one)] for one in self.buckets_of(batch).tolist()]
        return batch.with_table(with_meta(batch.table, held)) if held else batch

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """The perplexity, where a bucket decided."""
        values = self.perplexity_of(batch)
        return [f"perplexity {values[row]:.1f}" if rule.name == "worse_bucket" else None for row in rows]

    def survey(self, batch: Batch) -> Survey:
        """A histogram of the perplexities, of each language where they are parted by themselves."""
        import numpy as np

        values = self._measured(batch.table)
        bins = np.searchsorted(edges(), values, side="right") - 1
        groups = np.array(self._groups(batch.table), dtype=object)
        known = ~np.isnan(values)
        counts = {name: np.bincount(np.maximum(bins[known & (groups == name)], 0)) for name in set(groups[known])}
        return Survey(counts, {"perplexity": values})

    def settled(self, totals: Mapping[str, np.ndarray]) -> Filter:
        """The filter with the bounds that the histograms give."""
        low, high = self.shares
        found = {name: (bound_of(counts, low), bound_of(counts, high)) for name, counts in totals.items()}
        return self.with_bounds(found)

    def _groups(self, table: pa.Table) -> list[str]:
        """The histogram that each document counts in."""
        if self.by == "corpus":
            return [EVERYTHING] * table.num_rows
        return [language or EVERYTHING for language in table["language"].to_pylist()]

    def _model_files(self) -> list[tuple[str, str | None]]:
        if isinstance(self.model, str):
            return [(self.model, self._pieces(None))]
        return [(model, self._pieces(language)) for language, model in self.model.items()]

    def set_up(self) -> None:
        """Load the models.

        Raises:
            StageUnavailable: one is missing, is no model, or needs a library that is not there.
        """
        from gristmill.stages.perplexity_models import load

        for model, pieces in self._model_files():
            load(model, pieces)

    def files(self) -> list[str]:
        """The files of the models."""
        return [path for pair in self._model_files() for path in pair if path is not None]

    def library_names(self) -> tuple[str, ...]:
        """KenLM and SentencePiece where its models need them."""
        from gristmill.stages.perplexity_models import is_kenlm

        pairs = self._model_files()
        kenlm = ("kenlm",) if any(is_kenlm(model) for model, _ in pairs) else ()
        return self.libraries + kenlm + (("sentencepiece",) if any(pieces for _, pieces in pairs) else ())

    def code(self) -> list[str]:
        """What asks the models."""
        names = ("perplexity_models", "ngram_model", "ngram_tokens", "meta", "features")
        return [f"gristmill.stages.{name}" for name in names]


@cache
def edges() -> np.ndarray:
    """Lower edges of the bins, float64 of shape (BINS,)."""
    import numpy as np

    return np.array([10.0 ** (number / BINS_A_DECADE) for number in range(BINS)])


def bound_of(counts: np.ndarray, share: float) -> float:
    """The lowest upper edge of a bin with at least a share of all documents below it."""
    import numpy as np

    below = np.cumsum(counts)
    enough = int(np.searchsorted(below, share * below[-1])) if len(below) else 0
    return float(10.0 ** ((enough + 1) / BINS_A_DECADE))
