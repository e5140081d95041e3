"""Decontamination: documents that hold items of benchmarks are removed, cut or reported, and the items are told clean or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, PrivateAttr, model_validator

from gristmill.stages.contamination_ways import WAYS, WORD_VECTORS_SHARE, Way
from gristmill.stages.corpus_filter import CorpusFilter, Survey
from gristmill.stages.filter import Filter, Rule
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.contamination_index import Index, Looks
    from gristmill.stages.contamination_scores import Scorer
    from gristmill.stages.contamination_similarity import Closest, Nearness, SimilarItems
    from gristmill.stages.documents import Batch
    from gristmill.stages.editor import Editor

Share = Annotated[float, Field(gt=0, le=1)]


class Decontaminate(CorpusFilter):
    """Find items of benchmarks in the corpus: remove the documents that hold them, cut them out, or only report.

    The run folder tells in contamination.json which items are found, in which sources, and which are clean.
    """

    kind: ClassVar[str] = "decontaminate"
    findings_file: ClassVar[str | None] = "contamination.json"

    benchmarks: tuple[str, ...] = ()
    """Files of benchmark items (.jsonl, .jsonl.gz, .parquet), or folders of them. Which fields are question, answer and id is in
    configs/benchmarks by the name of the benchmark, which is an item's field `benchmark` or the file's name."""

    method: Literal["weighted", "ngram", "substring", "embedding"] = "weighted"
    """`weighted`: 13 words in a row, each weighted by rarity in the corpus, so that common phrases do not count; `ngram`: as
    published, see `flavour`; `substring`: 50 characters in a row, drawn at random (GPT-4); `embedding`: passages that mean what
    an item means, by a `model`: finds rephrased items, slowly."""

    flavour: Literal["gpt3", "palm", "llama3"] | None = None
    """Of `ngram`: `gpt3` (the default; 13 words, any that at most 10 documents hold), `palm` (70% of an item's 8-grams) or
    `llama3` (half of an item's words stand in its 8-grams that are found)."""

    action: Literal["remove", "cut", "report"] = "remove"
    """`remove` the documents in which an item is found, `cut` what is found out of them, or only `report` it."""

    share: Share | None = None
    """Least share of an item's question or answer that makes it found; default: that of the method (weighted 0.5, palm 0.7,
    llama3 0.5). gpt3 and substring have none: one match is enough."""

    model: str | None = None
    """embedding: folder of a sentence-transformers model (extra `semantic`), or file of fastText's word vectors (.bin, .vec or
    fasttext:FILE; see `gristmill embeddings train`); nothing is downloaded."""

    similarity_at_least: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """embedding: least cosine similarity of a passage to an item's question or answer that makes it found; default 0.85, with
    word vectors 0.95: ours; what is right hangs on the model."""

    words: PositiveInt | None = None
    """Words in a row that are compared; default: that of the method (13, or 8 for palm and llama3). embedding: words of the
    windows that paragraphs of more than twice as many are cut to; default 50."""

    shortest: PositiveInt | None = None
    """Fewest words (substring: characters) of a question that is looked for; one with less than an n-gram is looked for as a
    whole. Default: that of the method (weighted 8, gpt3 13, palm and llama3 8, substring 1, embedding 8)."""

    common: PositiveInt | None = None
    """gpt3: an n-gram that more documents hold is a common phrase and does not count; default 10."""

    answers: bool = True
    """Look for answers too, if they are as long as an n-gram."""

    window: NonNegativeInt | None = None
    """Characters that `cut` takes on either side of what is found; default 0, gpt3 200."""

    min_piece: NonNegativeInt | None = None
    """Fewest characters of a piece between cuts that stays; default 0, gpt3 200."""

    max_pieces: PositiveInt | None = None
    """A document that `cut` splits into more pieces is removed; default: no limit, gpt3 10."""

    question: str | None = None
    """Field of the question, for benchmarks that have other fields than configs/benchmarks says."""

    answer: str | None = None
    """Field of the answer, likewise."""

    _scorer: Any = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.flavour and self.method != "ngram":
            raise ValueError(f"flavour: {self.flavour} with method: {self.method}; flavours are of method: ngram")
        way = self._published
        if self.method == "embedding" and self.model is None:
            raise ValueError(
                "no model with method: embedding; give the folder of a sentence-transformers model, or word vectors: --model PATH"
            )
        for name in ("model", "similarity_at_least"):
            if getattr(self, name) is not None and self.method != "embedding":
                raise ValueError(f"{name}: {getattr(self, name)} with method: {self.method}; it is one of method: embedding")
        if self.share is not None and self.method == "embedding":
            raise ValueError(f"share: {self.share} with method: embedding; give similarity_at_least")
        if self.share is not None and way.share is None:
            raise ValueError(
                f"share: {self.share} with {self.way_name}, where one match is enough; take weighted, palm or llama3"
            )
        if self.common is not None and way.measure != "rare_runs":
            raise ValueError(f"common: {self.common} with {self.way_name}; it is one of method: ngram with flavour: gpt3")
        if self.words is not None and way.tokens == "characters":
            raise ValueError(f"words: {self.words} with method: substring, which compares {way.length} characters")
        for name in ("window", "min_piece", "max_pieces"):
            if getattr(self, name) is not None and self.action != "cut":
                raise ValueError(f"{name}: {getattr(self, name)} with action: {self.action}; it is one of action: cut")
        if self.shortest is not None and self.shortest > self.way.length:
            raise ValueError(
                f"shortest: {self.shortest} is more than an n-gram of {self.way.length}; give at most {self.way.length}"
            )
        return self

    @property
    def way_name(self) -> str:
        """The method, or the flavour of `ngram`."""
        return (self.flavour or "gpt3") if self.method == "ngram" else self.method

    @property
    def _published(self) -> Way:
        return WAYS[self.way_name]

    @property
    def way(self) -> Way:
        """The method with the settings that were given."""
        way = self._published
        length = self.words or way.length
        given: dict[str, Any] = {
            "share": self.share or self.similarity_at_least or self._word_vectors_share,
            "length": length,
            "shortest": self.shortest or min(way.shortest, length),
            "common": self.common,
            "window": self.window,
            "min_piece": self.min_piece,
            "max_pieces": self.max_pieces,
        }
        if self.words and self.way_name == "gpt3" and self.shortest is None:
            given["shortest"] = length
        return way._replace(**{name: value for name, value in given.items() if value is not None})

    @property
    def _word_vectors_share(self) -> float | None:
        from gristmill.stages.fasttext_file import is_word_vectors

        return WORD_VECTORS_SHARE if self.model is not None and is_word_vectors(self.model) else None

    def rules(self) -> Iterator[Rule]:
        """One rule; none where contamination is only reported."""
        if self.action == "remove":
            yield self._rule

    @property
    def _rule(self) -> Rule:
        if self.way.share is None:
            return Rule("contaminated", "contamination", at_most=0)
        return Rule("contaminated", "contamination", below=self.way.share)

    def index(self) -> Index:
        """The benchmarks' items, ready to be looked for.

        Raises:
            StageUnavailable: a file cannot be read, or lacks the fields.
        """
        from gristmill.stages.contamination_index import index_of

        return index_of(tuple(self._benchmark_files()), self._looks, self.question, self.answer)

    @property
    def _looks(self) -> Looks:
        from gristmill.stages.contamination_index import Looks

        way = self.way
        return Looks(way.tokens, way.length, way.shortest, self.answers, way.samples)

    def similar_items(self) -> SimilarItems | None:
        """The benchmarks' items as embeddings; None for other methods.

        Raises:
            StageUnavailable: a file cannot be read, or lacks the fields; there is no model.
        """
        if self.model is None:
            return None
        from gristmill.stages.contamination_similarity import similar_items_of

        given = (self._looks, self.model, self.way.share or 1.0, self.question, self.answer)
        return similar_items_of(tuple(self._benchmark_files()), tuple(self._model_files()), *given)

    def scorer(self, totals: Mapping[str, np.ndarray]) -> Scorer | SimilarItems:
        """What says how much of items documents hold, in a corpus with these totals."""
        from gristmill.stages.contamination_scores import CorpusCounts, Scorer

        similar = self.similar_items()
        if similar is not None:
            return similar
        index, counts = self.index(), CorpusCounts.of(totals)
        every = counts.every(len(index.keys))
        return Scorer(index, self.way.measure, sum(counts.documents.values()), every, self.way.common or 0)

    def survey(self, batch: Batch) -> Survey:
        """Count in how many documents of each source each run of tokens is, and in each document how many there are.

        With embeddings: in how many each item is found, by similarity, the greatest similarity in each document, and the passage
        nearest to each item.
        """
        import numpy as np

        from gristmill.stages.contamination_scores import contamination_totals, pairs_of

        similar = self.similar_items()
        if similar is not None:
            # of what is left when all is surveyed, the nearest are known
            closest = None if "contamination" in batch.given else similar.none_closest()
            near, greatest = self._nearness(similar, batch, closest)
            totals = contamination_totals(batch.table["source"].to_pylist(), *similar.pairs(near), similar.runs)
            highest = None if closest is None else similar.highest(closest, batch.features)
            return Survey(totals, {"contamination": greatest}, highest)
        index = self.index()
        hits = index.find(batch.features, self.rows_to_search(batch))
        rows, runs = pairs_of(hits)
        totals = contamination_totals(batch.table["source"].to_pylist(), rows, runs, len(index.keys))
        return Survey(totals, {"matched_ngrams": np.bincount(hits[:, 0], minlength=len(batch)).astype(np.float64)})

    def _nearness(self, similar: SimilarItems, batch: Batch, closest: Closest | None) -> tuple[Nearness, np.ndarray]:
        """How near documents come to items, and the greatest similarity of each; those known to be far are not embedded again."""
        import numpy as np

        known, rows = batch.given.get("contamination"), self.rows_to_search(batch)
        if known is None or rows is None:
            near = similar.near(batch.features, np.arange(len(batch)), closest=closest)
            return near, near.greatest
        near = similar.near(batch.features, rows)
        greatest = known.copy()
        greatest[rows] = near.greatest[rows]
        return near, greatest

    def settled(self, totals: Mapping[str, np.ndarray]) -> Filter | Editor:
        """The stage that removes, cuts or reports in a corpus with these totals."""
        settled = self.model_copy()
        settled._scorer = self.scorer(totals)
        if self.action != "cut":
            return settled
        from gristmill.stages.decontaminate_cuts import CutContamination

        return CutContamination.of(settled)

    @property
    def settled_scorer(self) -> Scorer | SimilarItems:
        """The scorer of a stage that `settled` gave.

        Raises:
            TypeError: it is another one.
        """
        if self._scorer is None:
            raise TypeError(f"{self.label} has not seen the corpus yet; it judges by survey() and settled()")
        scorer: Scorer | SimilarItems = self._scorer
        return scorer

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """`contamination`: the greatest share of an item's question or answer that a document holds, or similarity to one;
        `matched_ngrams`: places where one of their n-grams stands (not with embeddings)."""
        import numpy as np

        from gristmill.stages.contamination_scores import Scorer, greatest, pairs_of

        scorer = self.settled_scorer
        if not isinstance(scorer, Scorer):
            # as the survey found it: embeddings cost too much to compute twice
            nearest = batch.given.get("contamination")
            return {"contamination": scorer.near(batch.features, np.arange(len(batch))).greatest if nearest is None else nearest}
        hits = scorer.index.find(batch.features, self.rows_to_search(batch))
        found = greatest(scorer.shares(*pairs_of(hits)), len(batch))
        return {"contamination": found, "matched_ngrams": np.bincount(hits[:, 0], minlength=len(batch)).astype(np.float64)}

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """For each document the item of which it holds most: benchmark, id, share, where (characters), and the text there."""
        from gristmill.stages.decontaminate_cuts import contamination_matches, told

        found = contamination_matches(self, batch.features, rows)
        return [told(self.settled_scorer.index, batch.features, found.get(int(row), [])) for row in rows]

    def reports(self, batch: Batch) -> pa.Table | None:
        """Under `action: report` where each item stands that is found in a document."""
        if self.action != "report":
            return None
        from gristmill.stages.decontaminate_cuts import contamination_reports

        return contamination_reports(self, batch.features, self.rows_to_search(batch))

    def rows_to_search(self, batch: Batch) -> np.ndarray | None:
        """Documents of a batch in which the survey found something that may count; None: nothing is known of them."""
        import numpy as np

        known = batch.given.get("contamination" if self.model else "matched_ngrams")
        if known is None:
            return None
        return np.flatnonzero(self.is_found(known) if self.model else known)

    def is_found(self, shares: np.ndarray) -> np.ndarray:
        """Whether items of whose texts a document, or a corpus, holds these shares are found there; bool of the same shape."""
        return self._rule.failed(shares)

    def findings(
        self, totals: Mapping[str, np.ndarray], left: Mapping[str, np.ndarray], highest: pa.Table | None = None
    ) -> dict[str, Any]:
        """What `contamination.json` says of this stage."""
        from gristmill.stages.contamination_findings import findings_of

        return findings_of(self, totals, left, highest)

    def set_up(self) -> None:
        """Read the benchmarks and load the kernels, or the model.

        Raises:
            StageUnavailable: there are none, a file cannot be read, or lacks the fields; there is no model.
        """
        if self.similar_items() is None:
            self.index()

    def doubts(self) -> list[str]:
        """Benchmarks of which no item is long enough to be looked for."""
        from gristmill.stages.contamination_findings import not_looked_for

        way = self.way
        unit = "characters" if way.tokens == "characters" else "words"
        return [
            f"{self.label}: looks for none of the {items:,} items of {benchmark}: their questions have fewer than {way.shortest} "
            f"{unit}; nothing is known of them. Give a lower `shortest`, another method, or leave {benchmark} out"
            for benchmark, items in not_looked_for(self.similar_items() or self.index()).items()
        ]

    def library_names(self) -> tuple[str, ...]:
        if self.model is None:
            return self.libraries
        from gristmill.stages.embeddings import model_libraries

        return tuple(dict.fromkeys((*self.libraries, *model_libraries(self.model))))

    def files(self) -> list[str]:
        """The files of benchmarks, and those of the model.

        Raises:
            StageUnavailable: none is given, or one is missing.
        """
        return self._benchmark_files() + self._model_files()

    def _benchmark_files(self) -> list[str]:
        from gristmill.stages.contamination_items import benchmark_files

        if not self.benchmarks:
            raise StageUnavailable(f"{self.label}: no benchmarks; name files of their items: --benchmarks FILE..., or a folder")
        return benchmark_files(self.benchmarks)

    def _model_files(self) -> list[str]:
        if self.model is None:
            return []
        from gristmill.stages.embeddings import model_files

        return model_files(self.model, self.label)

    def code(self) -> list[str]:
        """What reads items, finds them and counts."""
        seeking = ("contamination_ways", "contamination_index", "contamination_scores", "features")
        telling = ("decontaminate_cuts", "contamination_findings")
        similar = ("contamination_similarity", "embeddings", "word_vectors") if self.model else ()
        return [f"gristmill.stages.{module}" for module in (*seeking, *telling, *similar)]
