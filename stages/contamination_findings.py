"""Benchmarks seen from a corpus: which items are found in it, how much of each, in which sources, and which are clean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gristmill.stages.contamination_index import QUESTION
from gristmill.stages.contamination_scores import CorpusCounts

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from gristmill.stages.contamination_index import Index
    from gristmill.stages.contamination_scores import Scorer
    from gristmill.stages.contamination_similarity import SimilarItems
    from gristmill.stages.decontaminate import Decontaminate

    Floats = NDArray[np.float64]

DECIMALS = 6


def findings_of(
    stage: Decontaminate,
    totals: Mapping[str, np.ndarray],
    left: Mapping[str, np.ndarray],
    highest: pa.Table | None = None,
) -> dict[str, Any]:
    """What `contamination.json` says of a stage.

    Args:
        stage: with its settings.
        totals: counts of the corpus as it came to the stage.
        left: of the documents that went on from it, as they went on.
        highest: with embeddings the passage nearest to each text of an item, by its number.

    Returns:
        `benchmarks`: for each how many items it has, how many were long enough to be looked for, found in the corpus as it
        came, in each source, and found in what is left; `items`: those of which the corpus holds anything, with the share of
        the question or answer that the corpus as a whole holds (method embedding: the greatest similarity of a passage, in
        steps of a hundredth from the bound on), what is left, and each source by itself; `clean`: by benchmark
        the ids of items that were looked for and are not found in what is left; `not_looked_for`: ids of those too short; method
        embedding: `nearest`, for each item the passage of the corpus that is nearest to it, whether it reaches the bound or not.
    """
    scorer = stage.scorer(totals)
    before, after = CorpusCounts.of(totals), CorpusCounts.of(left)
    runs = scorer.index.runs
    share = item_shares(scorer, before.every(runs))
    remaining = item_shares(scorer, after.every(runs))
    by_source = {source: item_shares(scorer, held) for source, held in sorted(before.holding.items())}
    looked_for = searched(scorer.index)
    found, stays = stage.is_found(share), stage.is_found(remaining)
    items = scorer.index.items
    rows_of: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        rows_of.setdefault(item.benchmark, []).append(number)
    benchmarks, clean, short = [], {}, {}
    for name, numbers in rows_of.items():
        rows = np.array(numbers)
        benchmarks.append(
            {
                "benchmark": name,
                "items": len(rows),
                "looked_for": int(looked_for[rows].sum()),
                "found": int(found[rows].sum()),
                "found_in": {source: int(stage.is_found(shares[rows]).sum()) for source, shares in by_source.items()},
                "touched": int((share[rows] > 0).sum()),
                "left": int(stays[rows].sum()),
                "clean": int((looked_for[rows] & ~stays[rows]).sum()),
            }
        )
        clean[name] = [items[row].id for row in numbers if looked_for[row] and not stays[row]]
        short[name] = [items[row].id for row in numbers if not looked_for[row]]
    touched = [
        {
            "benchmark": items[row].benchmark,
            "id": items[row].id,
            "share": _rounded(share[row]),
            "left": _rounded(remaining[row]),
            "found": bool(found[row]),
            "sources": {source: _rounded(shares[row]) for source, shares in by_source.items() if shares[row] > 0},
        }
        for row in np.flatnonzero(share > 0).tolist()
    ]
    way = stage.way
    found_here: dict[str, Any] = {
        "stage": stage.label,
        "method": stage.way_name,
        "action": stage.action,
        "share": way.share,
        "documents": before.documents,
        "documents_left": after.documents,
        "benchmarks": benchmarks,
        "items": touched,
        "clean": clean,
        "not_looked_for": {name: ids for name, ids in short.items() if ids},
    }
    return found_here if highest is None else found_here | {"nearest": nearest_of(scorer.index, highest)}


def nearest_of(index: Index | SimilarItems, highest: pa.Table) -> list[dict[str, Any]]:
    """For each item, in their order, the passage nearest to its question or its answer, of equal ones to the question: benchmark,
    id, `similarity`, the `document` and its `source`, from which character of it (`start`) to which (`end`)."""
    rows: dict[int, dict[str, Any]] = {}
    for row in sorted(highest.to_pylist(), key=lambda one: (-one["value"], one["key"])):
        rows.setdefault(int(index.text_item[row["key"]]), row)
    return [
        {
            "benchmark": index.items[item].benchmark,
            "id": index.items[item].id,
            "similarity": _rounded(row["value"]),
            "document": row["id"],
            "source": row["source"],
            "start": row["start"],
            "end": row["end"],
        }
        for item, row in sorted(rows.items())
    ]


def item_shares(scorer: Scorer | SimilarItems, holding: NDArray[np.int64]) -> Floats:
    """The share of each item that documents hold together, the greater of its question's and its answer's; shape (n_items,).

    Args:
        scorer: whose weights are those of the whole corpus.
        holding: how many of the documents hold each run; may be shorter than there are runs.
    """
    index = scorer.index
    held = np.flatnonzero(holding)
    shares = scorer.shares(np.zeros(len(held), dtype=np.int64), held.astype(np.int64))
    found = np.zeros(len(index.items), dtype=np.float64)
    np.maximum.at(found, index.text_item[shares.texts], shares.shares)
    return found


def not_looked_for(index: Index | SimilarItems) -> dict[str, int]:
    """Benchmarks of which no item is looked for, with how many items they have."""
    items: dict[str, int] = {}
    some: set[str] = set()
    for item, looked_for in zip(index.items, searched(index).tolist(), strict=True):
        items[item.benchmark] = items.get(item.benchmark, 0) + 1
        if looked_for:
            some.add(item.benchmark)
    return {name: number for name, number in items.items() if name not in some}


def searched(index: Index | SimilarItems) -> NDArray[np.bool_]:
    """Which items have a question that is looked for; shape (n_items,)."""
    found = np.zeros(len(index.items), dtype=bool)
    found[index.text_item[(index.text_runs > 0) & (index.text_part == QUESTION)]] = True
    return found


def _rounded(share: float) -> float:
    return round(float(share), DECIMALS)
