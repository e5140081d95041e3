"""What each rule of a filter removes alone, and what only it removes, counted from the stored signals of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.published import PublishedRun
from gristmill.pipeline.stored_signals import FilterRun, Judged, StoredSignals, fates
from gristmill.stages.filter import Filter

if TYPE_CHECKING:
    import numpy as np

RuleCounts = dict[tuple[str, str], dict[str, dict[str, int]]]
"""(stage label, source) -> `alone` and `only`, each documents by rule.

Both are of the documents that came to the stage: `alone` of a rule counts those that fail it, whatever the stage's other rules
say of them; `only` those that fail it and no other rule of the stage."""


def rule_counts(published: PublishedRun, wanted: Callable[[Filter], bool] = lambda stage: True) -> RuleCounts:
    """Count for each rule of the wanted filters what it removes alone, and what only it removes.

    Nothing is said of filters whose signals the run did not store, nor of those whose signals do not give its funnel.
    Held in memory is one row group.
    """
    try:
        stored = StoredSignals(published)
    except UserError:
        return {}
    counts: RuleCounts = {}
    for run in stored.runs:
        if run.version is not None and any(wanted(stage) for stage in run.filters):
            counts |= {
                (stage.label, run.source): count
                for stage, count in zip(run.filters, _count(stored, run), strict=True)
                if wanted(stage) and count is not None
            }
    return counts


def evaluates_all(stage: Filter) -> bool:
    """Whether the recipe asks for every failed rule of a filter."""
    return stage.evaluate == "all"


def _count(stored: StoredSignals, run: FilterRun) -> list[dict[str, dict[str, int]] | None]:
    """The counts of each filter of a run; None where they are not those of the funnel."""
    import numpy as np

    names = [list(dict.fromkeys(rule.name for rule in stage.active_rules())) for stage in run.filters]
    alone = [np.zeros(len(rules), dtype=np.int64) for rules in names]
    only = [np.zeros(len(rules), dtype=np.int64) for rules in names]
    kept = [0] * len(run.filters)
    for batch in stored.batches(run):
        judged = [batch.judge(stage) for stage in run.filters]
        fate = fates(judged, batch.rows)
        begin = 0
        for place, one in enumerate(judged):
            # rules before `begin` are those of the filters before this one
            failed = _by_name(one, names[place])[:, (fate < 0) | (fate >= begin)]
            alone[place] += failed.sum(axis=1)
            only[place] += failed[:, failed.sum(axis=0) == 1].sum(axis=1)
            begin += len(one.rules)
            kept[place] += int(((fate < 0) | (fate >= begin)).sum())
    return [
        {
            "alone": {name: int(number) for name, number in zip(rules, alone[place], strict=True)},
            "only": {name: int(number) for name, number in zip(rules, only[place], strict=True)},
        }
        if (ran := stored.funnel.get((stage.label, run.source))) and ran["kept"] == kept[place]
        else None
        for place, (stage, rules) in enumerate(zip(run.filters, names, strict=True))
    ]


def _by_name(judged: Judged, names: list[str]) -> np.ndarray:
    """Which documents fail a rule of each name, bool of shape (n_names, n_documents); a filter may have several of one name."""
    import numpy as np

    failed = np.zeros((len(names), judged.failed.shape[1]), dtype=bool)
    for rule, row in zip(judged.rules, judged.failed, strict=True):
        failed[names.index(rule.name)] |= row
    return failed
