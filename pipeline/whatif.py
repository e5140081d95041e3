"""What another threshold would have kept and removed, answered from the stored signals of a run without reading a text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gristmill.pipeline import display
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.published import PublishedRun, RunFolder
from gristmill.pipeline.stored_signals import FilterRun, Judged, SignalBatch, StoredSignals, fates, is_corpus_stage
from gristmill.pipeline.whatif_changes import Changes, changed_stages
from gristmill.stages.filter import Filter

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

EXAMPLES = 10
"""Documents named on each side: those whose ids have the lowest keyed hashes."""

_NOTHING: dict[str, Any] = {"in": 0, "kept": 0, "removed": 0, "rules": {}}


def whatif(run: RunFolder, sets: Sequence[str]) -> dict[str, Any]:
    """What changed thresholds would have kept and removed.

    Exact up to the first editor, checkpoint or corpus stage after the changed filter: documents that pass only now have no
    signals beyond it, and what a deduplication would make of them is not known.

    Args:
        run: folder that `gristmill run` wrote, with signals.
        sets: changes as `gristmill run --set` takes them, `gopher_quality.min_words=30`; bounds of filters only.

    Returns:
        `stages`: a row a stage and source, `{"stage", "source", "before", "after"}`, each side `{"in", "kept", "removed",
        "rules"}` as in the funnel; `after` is None where nothing is judged. `rules`: `{"stage", "rule", "before", "after"}` of
        the rules that remove another number of documents, sources together. `newly_kept`, `newly_removed`: `{"documents",
        "examples"}`, each example `{"id", "source", "stage", "rule", "value", "threshold"}` with the rule that removes it
        (before, or after). `goes_on`: `{"source", "to", "more", "fewer"}`, the documents that would come to the first stage that
        is not judged, compared with the run.

    Raises:
        UserError: a change is none of a bound, or lies where signals give no answer; or the run has no signals.
    """
    stored = StoredSignals(PublishedRun(run))
    changes = changed_stages(stored, sets)
    asked = [one for one in stored.runs if any(changes.concerns(stage) for stage in one.filters)]
    _check_one_run_a_source(asked)
    compared = {one.source: _compare(stored, one, changes) for one in asked}
    after = {key: counts for one in compared.values() for key, counts in one.after.items()}
    unjudged = set(_unjudged(stored, compared))
    stages = []
    for row in stored.published.rows:
        key, before = (row["stage"], row["source"]), _side(row)
        stages.append(
            {"stage": key[0], "source": key[1], "before": before, "after": None if key in unjudged else after.get(key, before)}
        )
    return {
        "set": list(sets),
        "stages": stages,
        "rules": _changed_rules(stages),
        "newly_kept": _gathered(one.newly_kept for one in compared.values()),
        "newly_removed": _gathered(one.newly_removed for one in compared.values()),
        "goes_on": [
            {
                "source": source,
                "to": one.run.then,
                "more": one.newly_kept.documents,
                "fewer": one.newly_removed.documents,
            }
            for source, one in compared.items()
            if one.changed and one.run.then is not None
        ],
    }


@dataclass
class Examples:
    """How many documents there are of a sort, and those with the lowest keyed hashes."""

    documents: int = 0
    lowest: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def add(self, batch: SignalBatch, rows: np.ndarray, seed: int, about: Any) -> None:
        """Count documents of a batch; `about` tells of row and id what is shown of them."""
        import numpy as np

        from gristmill.tokenizers.sampling import keyed_hashes

        if not len(rows):
            return
        self.documents += len(rows)
        ids = batch.ids(rows)
        hashes = keyed_hashes(ids, seed)
        first = np.argsort(hashes, kind="stable")[:EXAMPLES]
        self.take((int(hashes[place]), about(int(rows[place]), ids[place])) for place in first)

    def take(self, others: Iterable[tuple[int, dict[str, Any]]]) -> None:
        """Keep the lowest of those known and of others."""
        self.lowest = sorted([*self.lowest, *others], key=lambda one: (one[0], one[1]["id"]))[:EXAMPLES]


@dataclass
class Comparison:
    """A filter run with its bounds as they were and as they would be."""

    run: FilterRun
    after: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """(stage label, source) -> counts with the changed bounds."""
    newly_kept: Examples = field(default_factory=Examples)
    newly_removed: Examples = field(default_factory=Examples)

    @property
    def changed(self) -> bool:
        """Whether other documents would pass the run."""
        return bool(self.newly_kept.documents or self.newly_removed.documents)


def _compare(stored: StoredSignals, run: FilterRun, changes: Changes) -> Comparison:
    """Judge all documents that came to a filter run, with both sets of bounds."""
    comparison = Comparison(run)
    new = [changes.new(stage) for stage in run.filters]
    if run.version is None:
        return comparison
    tallies = Tally(run.filters), Tally(new)
    seed = stored.recipe.seed
    for batch in stored.batches(run, *new):
        sides = []
        for filters, tally in ((run.filters, tallies[0]), (new, tallies[1])):
            judged = [batch.judge(stage) for stage in filters]
            sides.append((fate := fates(judged, batch.rows), _Reasons(run.source, filters, judged, fate)))
            tally.add(fate)
        (before, was_removed), (after, is_removed) = sides
        comparison.newly_kept.add(batch, ((before >= 0) & (after < 0)).nonzero()[0], seed, was_removed.about)
        comparison.newly_removed.add(batch, ((before < 0) & (after >= 0)).nonzero()[0], seed, is_removed.about)
    _check_against_funnel(stored, run.source, tallies[0].counts())
    comparison.after = {(label, run.source): counts for label, counts in tallies[1].counts().items()}
    return comparison


class Tally:
    """Documents of a filter run by the rule that removes them."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        """Begin with no document."""
        import numpy as np

        self._rules = [(stage.label, [rule.name for rule in stage.active_rules()]) for stage in filters]
        # the first is for documents that pass
        self._by_fate = np.zeros(1 + sum(len(names) for _, names in self._rules), dtype=np.int64)

    def add(self, fate: np.ndarray) -> None:
        """Count documents, `fate` as by `fates`."""
        import numpy as np

        self._by_fate += np.bincount(fate + 1, minlength=len(self._by_fate))

    def counts(self) -> dict[str, dict[str, Any]]:
        """`in`, `kept`, `removed` and `rules` of each filter by its label."""
        found: dict[str, dict[str, Any]] = {}
        left, place = int(self._by_fate.sum()), 1
        for label, names in self._rules:
            rules: Counter[str] = Counter()
            for name, number in zip(names, self._by_fate[place : place + len(names)].tolist(), strict=True):
                rules[name] += number
            place += len(names)
            removed = rules.total()
            found[label] = {
                "in": left,
                "kept": left - removed,
                "removed": removed,
                "rules": {name: number for name, number in sorted(rules.items()) if number},
            }
            left -= removed
        return found


class _Reasons:
    """Which rule removes a document of a batch, and its value."""

    def __init__(self, source: str, filters: Sequence[Filter], judged: Sequence[Judged], fate: np.ndarray) -> None:
        self._source, self._fate = source, fate
        self._rules = [
            (stage.label, one, index) for stage, one in zip(filters, judged, strict=True) for index in range(len(one.rules))
        ]

    def about(self, row: int, document_id: str) -> dict[str, Any]:
        """A removed document as an example."""
        label, one, index = self._rules[self._fate[row]]
        value, threshold = float(one.values[index][row]), one.threshold(index, row)
        # JSON knows no infinity
        shown = value if math.isfinite(value) else None
        told = {"stage": label, "rule": one.rules[index].name, "value": shown, "threshold": threshold}
        return {"id": document_id, "source": self._source} | told


def _check_one_run_a_source(asked: Sequence[FilterRun]) -> None:
    """Refuse changes on both sides of a stage that nothing is judged beyond."""
    first: dict[str, FilterRun] = {}
    for one in asked:
        if one.source in first:
            before, after = first[one.source], one
            raise UserError(
                f"{before.filters[-1].label} and {after.filters[0].label} stand before and after {before.then}, and what "
                f"comes newly through {before.then} has no signals; ask for one of them at a time, or run the recipe with both"
            )
        first[one.source] = one


def _check_against_funnel(stored: StoredSignals, source: str, counts: dict[str, dict[str, Any]]) -> None:
    """Refuse to answer where the rules as they are now do not give what the run did."""
    for label, found in counts.items():
        if found != (ran := _side(stored.funnel.get((label, source)) or _NOTHING)):
            raise UserError(
                f"{stored.published.folder}: its signals give {found['kept']:,} of {found['in']:,} documents of {source} kept by "
                f"{label}, its funnel says {ran['kept']:,} of {ran['in']:,}: run.json (status: "
                f"{stored.published.facts.get('status')}) or this version of Gristmill is not that of the signals; "
                "run the recipe again"
            )


def _side(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("in", "kept", "removed", "rules")}


def _unjudged(stored: StoredSignals, compared: dict[str, Comparison]) -> Iterator[tuple[str, str]]:
    """(stage label, source) of the stages that other documents would come to than those that the signals tell of."""
    if not any(one.changed for one in compared.values()):
        return
    across = stored.recipe.stages
    for source, settings in stored.recipe.sources.items():
        stages = [*settings.stages, *across]
        labels = [stage.label for stage in stages]
        one = compared.get(source)
        place = labels.index(one.run.filters[-1].label) + 1 if one else 0
        if one is None or not one.changed:
            # its own documents are as they were, until they are compared with those of other sources
            place = next((at for at in range(place, len(stages)) if is_corpus_stage(stages[at])), len(stages))
        yield from ((label, source) for label in labels[place:])


def _changed_rules(stages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules that remove another number of documents, in the order of the stages, the greatest change first."""
    numbers: dict[str, dict[str, list[int]]] = {}
    for row in stages:
        if row["after"] is None:
            continue
        for side in (0, 1):
            for rule, number in row[("before", "after")[side]]["rules"].items():
                numbers.setdefault(row["stage"], {}).setdefault(rule, [0, 0])[side] += number
    return [
        {"stage": stage, "rule": rule, "before": before, "after": after}
        for stage, rules in numbers.items()
        for rule, (before, after) in sorted(rules.items(), key=lambda item: (-abs(item[1][1] - item[1][0]), item[0]))
        if before != after
    ]


def _gathered(examples: Iterable[Examples]) -> dict[str, Any]:
    all_sources = Examples()
    for one in examples:
        all_sources.documents += one.documents
        all_sources.take(one.lowest)
    return {"documents": all_sources.documents, "examples": [example for _, example in all_sources.lowest]}


def print_whatif(run: RunFolder, sets: Sequence[str]) -> None:
    """Print `whatif` for people, to stdout."""
    answer = whatif(run, sets)
    console = display.stdout()
    _print_stages(console, answer["stages"])
    _print_rules(console, answer["rules"])
    for key, told in (("newly_kept", "newly kept"), ("newly_removed", "newly removed")):
        _print_examples(console, answer[key], told)
    for one in answer["goes_on"]:
        console.print(_onward(one), markup=False, soft_wrap=True)
    if not answer["newly_kept"]["documents"] and not answer["newly_removed"]["documents"]:
        console.print("the same documents are kept", markup=False)


def _onward(one: dict[str, Any]) -> str:
    fewer = f" and {display.count(one['fewer'])} fewer" if one["fewer"] else ""
    return f"{one['source']}: {display.count(one['more'])} more{fewer} would go on to {one['to']}, not judged"


def _print_stages(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    from rich.markup import escape

    from gristmill.pipeline.funnel import by_stage, table_for

    empty = dict.fromkeys(("edited", "bytes_in", "bytes_kept", "words_in", "words_kept"))
    before = by_stage([{**one, **empty, **one["before"]} for one in rows])
    judged = {stage["stage"] for stage in before} - {one["stage"] for one in rows if one["after"] is None}
    known = [one for one in rows if one["stage"] in judged]
    after = {one["stage"]: one for one in by_stage([{**one, **empty, **one["after"]} for one in known])}
    table = table_for(console, ["stage"], ["in", "kept", "would be in", "would be kept", "change"])
    for stage in before:
        new = after.get(stage["stage"])
        cells = [display.count(new["in"]), display.count(new["kept"]), _change(stage["kept"], new["kept"])] if new else ["-"] * 3
        table.add_row(escape(stage["stage"]), display.count(stage["in"]), display.count(stage["kept"]), *cells)
    console.print(table)
    console.print()


def _change(before: int, after: int) -> str:
    return f"{after - before:+,}" if after != before else "0"


def _print_rules(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    from rich.markup import escape

    from gristmill.pipeline.funnel import table_for

    if not rows:
        return
    table = table_for(console, ["stage", "rule"], ["removed", "would be removed", "change"])
    for row in rows:
        numbers = display.count(row["before"]), display.count(row["after"]), _change(row["before"], row["after"])
        table.add_row(escape(row["stage"]), escape(row["rule"]), *numbers)
    console.print(table)
    console.print()


def _print_examples(console: Console, side: dict[str, Any], told: str) -> None:
    if not side["documents"]:
        return
    most = f", {len(side['examples'])} of them" if side["documents"] > len(side["examples"]) else ""
    many = "" if side["documents"] == 1 else "s"
    console.print(f"{told}: {display.count(side['documents'])} document{many}{most}", style="bold", markup=False)
    for one in side["examples"]:
        reason = f"{one['stage']}: {one['rule']}  {display.value(one['value'])}, threshold {display.value(one['threshold'])}"
        console.print(f"  {display.visible(one['id'])}  {reason}", markup=False, soft_wrap=True)
    console.print()
