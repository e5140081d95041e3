"""What a run stored of its filters' signals, and what rules make of them, without reading a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.published import PublishedRun
from gristmill.pipeline.recipe import Recipe, recipe_from_resolved
from gristmill.stages.corpus_stage import sees_corpus
from gristmill.stages.filter import LANGUAGE_NUMBER, Filter, Rule
from gristmill.stages.stage import Stage

if TYPE_CHECKING:
    import numpy as np

SIGNALS = "signals"


@dataclass(frozen=True)
class FilterRun:
    """Filters one after another that measured the same texts of one source: all documents that came to the first of them."""

    source: str
    filters: tuple[Filter, ...]
    version: int | None
    """Text version under which `signals/` has them; None where they measured nothing."""
    then: str | None
    """Label of the step that documents come to next; None where the run ends."""


@dataclass(frozen=True)
class Judged:
    """What the rules of a filter say to a batch of documents."""

    rules: list[Rule]
    """The rules that are on, in the order in which they are tried."""
    values: list[np.ndarray]
    """For each rule the values of its signal, float64 of shape (n_documents,); NaN where it does not apply."""
    failed: np.ndarray
    """bool of shape (n_rules, n_documents)."""
    languages: np.ndarray | None = None
    """The documents' languages as `language_number` has them, where a bound depends on them."""

    def threshold(self, index: int, row: int) -> float | None:
        """The bound that a rule holds against a document, in the document's language."""
        rule = self.rules[index]
        return (rule if self.languages is None else rule.in_language(float(self.languages[row]))).threshold


@dataclass(frozen=True)
class SignalBatch:
    """Stored signals of some documents of a filter run."""

    rows: int
    signals: dict[str, np.ndarray]
    """`<stage>.<signal>` -> float64 of shape (n_documents,); NaN where it is null."""
    parquet: Any
    group: int

    def judge(self, stage: Filter) -> Judged:
        """Hold the rules of a filter against the signals."""
        import numpy as np

        rules = stage.active_rules()
        values = [self.signals[column(stage, rule)] for rule in rules]
        failed = np.zeros((len(rules), self.rows), dtype=bool)
        languages = self.signals[f"{stage.label}.{LANGUAGE_NUMBER}"] if any(rule.by_language for rule in rules) else None
        for index, rule in enumerate(rules):
            failed[index] = rule.failed(values[index], languages)
        return Judged(rules, values, failed, languages)

    def ids(self, rows: np.ndarray) -> list[str]:
        """Ids of some of the documents."""
        import pyarrow as pa

        found: list[str] = self.parquet.read_row_group(self.group, columns=["id"])["id"].take(pa.array(rows)).to_pylist()
        return found


class StoredSignals:
    """The signals of a published run, by the filters that measured them."""

    def __init__(self, published: PublishedRun) -> None:
        """Find out which file holds which filters' signals.

        Raises:
            UserError: the run has published nothing, or stored no signals, or holds a recipe that cannot be read.
        """
        self.published = published
        self.funnel = {(row["stage"], row["source"]): row for row in published.rows}
        self.recipe = recipe_from_resolved(published.facts.get("recipe", {}), f"{published.folder}/run.json")
        self.columns: frozenset[str] = frozenset()
        self._files: dict[tuple[str, int], list[str]] = {}
        self._find_files()
        self.runs = [run for name in self.recipe.sources for run in self._runs_of(name)]

    def _find_files(self) -> None:
        for file in self.published.files(SIGNALS):
            with self.published.parquet(file) as parquet:
                self.columns |= frozenset(name for name in parquet.schema_arrow.names if "." in name)
                if parquet.metadata.num_rows:
                    # a file holds one source and text version
                    first = parquet.read_row_group(0, columns=["source", "version"]).slice(0, 1).to_pylist()[0]
                    self._files.setdefault((first["source"], first["version"]), []).append(file)
        if not self.columns:
            raise UserError(
                f"{self.published.folder}: holds no signals; run the recipe again with --set output.signals=true, "
                "and with a filter that has a rule"
            )

    def _runs_of(self, source: str) -> Iterator[FilterRun]:
        """The filter runs that documents of a source go through, in order."""
        first = 0
        chains = chains_of(self.recipe, source)
        for number, chain in enumerate(chains):
            groups = [tuple(group) for _, group in groupby(chain, key=lambda stage: isinstance(stage, Filter))]
            measuring = [group for group in groups if isinstance(group[0], Filter)]
            versions = self._versions(source, measuring, first)
            first += len(measuring)
            later = [stage.label for after in chains[number + 1 :] for stage in after]
            for place, group in enumerate(groups):
                if isinstance(group[0], Filter):
                    then = next(iter([*(stage.label for after in groups[place + 1 :] for stage in after), *later]), None)
                    filters = tuple(stage for stage in group if isinstance(stage, Filter))
                    yield FilterRun(source, filters, versions.pop(0), then)

    def _versions(self, source: str, groups: Sequence[tuple[Stage, ...]], first: int) -> list[int | None]:
        """The text version under which each run of filters in a chain was stored; None for those that measured nothing."""
        numbers = range(first, first + len(groups))
        if all((source, number) in self._files for number in numbers):
            return list(numbers)
        left = iter(numbers)
        # a chain numbers what it measured: filters without signals, or a version that no document reached, leave a gap
        return [next(left) if any(self._measured(stage) for stage in group) else None for group in groups]

    def _measured(self, stage: Stage) -> bool:
        if not isinstance(stage, Filter):
            return False
        return bool(stage.active_rules()) or (
            len(self._places(stage.label)) == 1 and any(name.startswith(f"{stage.label}.") for name in self.columns)
        )

    def _places(self, label: str) -> list[Stage]:
        """The steps of this name in the recipe; sources may have their own."""
        every = [*(stage for source in self.recipe.sources.values() for stage in source.stages), *self.recipe.stages]
        return [stage for stage in every if stage.label == label]

    def holds(self, stage: Filter, rule: Rule) -> bool:
        """Whether a step of the recipe as it was run has stored the signal of a rule."""
        if any(known.signal == rule.signal for known in stage.active_rules()):
            return True
        # several steps of one name share their columns: what one has measured is null for the others
        return column(stage, rule) in self.columns and len(self._places(stage.label)) == 1

    def batches(self, run: FilterRun, *others: Filter) -> Iterator[SignalBatch]:
        """The stored signals of a filter run, a row group at a time, in the order of the documents.

        Args:
            run: the filters as they were.
            others: filters with other bounds, whose signals are wanted too.
        """
        wanted = sorted({name for stage in (*run.filters, *others) for name in columns_of(stage)})
        missing = [name for name in wanted if name not in self.columns]
        if run.version is None or (missing and not self._files.get((run.source, run.version))):
            return
        if missing:
            raise UserError(f"{self.published.folder}: its signals lack {', '.join(missing)}; run the recipe again")
        for file in self._files.get((run.source, run.version), []):
            with self.published.parquet(file) as parquet:
                for group in range(parquet.num_row_groups):
                    table = parquet.read_row_group(group, columns=wanted)
                    rows = parquet.metadata.row_group(group).num_rows
                    signals = {name: _floats(table[name]) for name in wanted}
                    yield SignalBatch(rows, signals, parquet, group)


def column(stage: Filter, rule: Rule) -> str:
    """Name of the column of `signals/` that a rule looks at."""
    return f"{stage.label}.{rule.signal}"


def columns_of(stage: Filter) -> set[str]:
    """Names of the columns of `signals/` that the rules of a filter look at."""
    rules = stage.active_rules()
    languages = {f"{stage.label}.{LANGUAGE_NUMBER}"} if any(rule.by_language for rule in rules) else set()
    return {column(stage, rule) for rule in rules} | languages


def chains_of(recipe: Recipe, source: str) -> list[tuple[Stage, ...]]:
    """The chains of per-document stages, and deduplications alone, that the documents of a source go through."""
    from gristmill.pipeline.driver import steps_of

    return [*steps_of(recipe.sources[source].stages), *steps_of(recipe.stages)]


def is_corpus_stage(stage: Stage) -> bool:
    """Whether a stage must see all documents to judge one."""
    return sees_corpus(stage)


def fates(judged: Sequence[Judged], documents: int) -> np.ndarray:
    """What filters one after another do to documents.

    Returns:
        int64 of shape (n_documents,): the number of the rule that removes each, the rules of all filters counted through;
        -1 for documents that pass.
    """
    import numpy as np

    fate = np.full(documents, -1, dtype=np.int64)
    before = 0
    for one in judged:
        if one.rules:
            dropped = (fate < 0) & one.failed.any(axis=0)
            fate[dropped] = before + one.failed[:, dropped].argmax(axis=0)
        before += len(one.rules)
    return fate


def _floats(values: Any) -> np.ndarray:
    import numpy as np

    # null is how NaN is stored: the signal does not apply
    floats: np.ndarray = values.to_numpy()
    return floats.astype(np.float64, copy=False)
