"""What another mixture would change, in tokens and epochs."""

from __future__ import annotations

from typing import Any

from gristmill.tokenizers.mixture_plan import MixturePlan


def differences(old: MixturePlan, new: MixturePlan) -> dict[str, Any]:
    """Compare two plans.

    Returns:
        `tokens`: old and new; `sources`: a row for each source of either whose tokens, epochs or share differ, with all three
        before and after (0 where it is missing), in the order of the new plan, gone ones last; `phases` likewise.
    """
    rows = []
    before, after = ({source.source: source for source in plan.sources} for plan in (old, new))
    for name in [*after, *(name for name in before if name not in after)]:
        a, b = before.get(name), after.get(name)
        row = {
            "source": name,
            "tokens_before": a.tokens if a else 0,
            "tokens_after": b.tokens if b else 0,
            "change": (b.tokens if b else 0) - (a.tokens if a else 0),
            "epochs_before": round(a.epochs, 4) if a else 0.0,
            "epochs_after": round(b.epochs, 4) if b else 0.0,
            "weight_before": round(a.weight, 6) if a else 0.0,
            "weight_after": round(b.weight, 6) if b else 0.0,
        }
        if any(row[f"{what}_before"] != row[f"{what}_after"] for what in ("tokens", "epochs", "weight")) or not (a and b):
            rows.append(row)
    phases: list[dict[str, Any]] = [
        {
            "phase": phase.name,
            "start_before": None,
            "start_after": phase.start,
            "tokens_before": None,
            "tokens_after": phase.tokens,
        }
        for phase in new.phases
    ]
    then = {phase.name: phase for phase in old.phases}
    for row in phases:
        if phase := then.pop(str(row["phase"]), None):
            row |= {"start_before": phase.start, "tokens_before": phase.tokens}
    phases += [
        {
            "phase": phase.name,
            "start_before": phase.start,
            "start_after": None,
            "tokens_before": phase.tokens,
            "tokens_after": None,
        }
        for phase in then.values()
    ]
    changed = [row for row in phases if row["start_before"] != row["start_after"] or row["tokens_before"] != row["tokens_after"]]
    return {"tokens": {"before": old.tokens, "after": new.tokens}, "sources": rows, "phases": changed}
