"""What a run learned of benchmarks in its corpus, as the report shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gristmill.pipeline import display
from gristmill.pipeline.published import PublishedRun

CONTAMINATION = "contamination.json"
SHOWN = 20
"""Items that are shown, those of which the corpus holds most."""


def contamination_of(published: PublishedRun) -> list[dict[str, Any]]:
    """For each stage that looked for benchmarks what the report shows: `stage`, `told`, `benchmarks`, `items`, `touched`.

    Empty where there was none.
    """
    if not published.storage.exists(CONTAMINATION):
        return []
    return [_shown(stage) for stage in published.storage.get_json(CONTAMINATION)["stages"]]


def _shown(stage: Mapping[str, Any]) -> dict[str, Any]:
    if stage["method"] == "embedding":
        least = f"a passage whose similarity to it is at least {stage['share']:g}; shares are similarities"
    else:
        least = "any part of it" if stage["share"] is None else f"{stage['share']:.0%} of it"
    done = {"remove": "the documents were removed", "cut": "it was cut out", "report": "nothing was changed"}[stage["action"]]
    told = (
        f"An item is found where the corpus holds {least} (method {stage['method']}); {done}. Which items are clean, to evaluate "
        f"on, is in {CONTAMINATION}."
    )
    most_first = sorted(stage["items"], key=lambda item: -item["share"])[:SHOWN]
    return {
        "stage": stage["stage"],
        "told": told,
        "benchmarks": [row | {"sources": _sources(row["found_in"])} for row in stage["benchmarks"]],
        "items": [
            {name: item[name] for name in ("benchmark", "id")}
            | {"share": f"{item['share']:.0%}", "left": f"{item['left']:.0%}", "sources": ", ".join(item["sources"])}
            for item in most_first
        ],
        "touched": len(stage["items"]),
    }


def _sources(found: Mapping[str, int]) -> str:
    return ", ".join(f"{source} {display.count(number)}" for source, number in found.items() if number)
