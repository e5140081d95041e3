"""What stages did inside one document: what editors cut from it, and what filters tell of it though it stayed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gristmill.pipeline import display
from gristmill.pipeline.published import EDITED, ID, REPORTED, PublishedRun

SHOWN = 5
"""Places of a stage that are printed; all are in the JSON."""
_EXCERPT = 120
"""Characters of a text that are printed."""


def places_of(published: PublishedRun, document_id: str, source: str, stages: Sequence[str], kept: bool) -> dict[str, list[Any]]:
    """What `why` says of places in a document: `edits`, `edited_by`, `maybe_edited_by`, `reports`.

    Args:
        published: the run.
        document_id: its id.
        source: its source.
        stages: labels of those that it went through, the last one that in which it ended.
        kept: whether it got through the last one, too.
    """
    edits = _rows(published, document_id, EDITED, stages)
    cut = {row["stage"] for row in edits}
    changed = {
        row["stage"]: row for row in published.rows if row["source"] == source and row["edited"] and row["words_in"] is not None
    }
    told = _labels(published, "edits")
    passed = stages if kept else stages[:-1]
    return {
        "edits": edits,
        "edited_by": [label for label in stages if label in cut],
        # where a stage has written down its cuts, a document without one is as it was
        "maybe_edited_by": [label for label in passed if label in changed and label not in told],
        "reports": _rows(published, document_id, REPORTED, stages),
    }


def _labels(published: PublishedRun, folder: str) -> set[str]:
    """The stages of which a folder holds rows: its files are called `<number>-<stage>-<number>.parquet`."""
    names = (file.rpartition("/")[2] for file in published.files(folder))
    return {name.partition("-")[2].rpartition("-")[0] for name in names}


def _rows(published: PublishedRun, document_id: str, outcome: int, stages: Sequence[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for place in published.lookup(document_id, ID):
        if place.outcome == outcome:
            found += published.rows_of(place, document_id)
    order = {label: at for at, label in enumerate(stages)}
    # sorted keeps the order of files, which is that of the places in the text
    found.sort(key=lambda row: order.get(row["stage"], len(order)))
    return [{name: value for name, value in row.items() if name not in ("id", "source")} for row in found]


def place_lines(fate: Mapping[str, Any], stage: str) -> Iterator[str]:
    """What is printed of a stage: how much it cut and where, or what it found."""
    edits = [row for row in fate["edits"] if row["stage"] == stage]
    if edits:
        size = sum(row["end"] - row["start"] for row in edits)
        places = f"{_number(len(edits), 'place')}, {_number(size, 'character')}"
        yield f"marked {places}, and left the text as it is:" if all(map(_stays, edits)) else f"cut {places}:"
    elif stage in fate["maybe_edited_by"]:
        yield "may have changed it: what it cut was not kept (`output: {edits: true}` keeps it, where a stage tells)"
    yield from _places(edits)
    reports = [row for row in fate["reports"] if row["stage"] == stage]
    if reports:
        yield f"found {_number(len(reports), 'item')}, and left the text as it is:"
    yield from _places(reports)


def _places(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows[:SHOWN]:
        put = "" if row.get("put") is None or _stays(row) else f" -> {_quoted(row['put'])}"
        text = "" if row["text"] is None else f": {_quoted(row['text'])}"
        detail = f" ({row['detail']})" if row.get("detail") else ""
        yield f"  characters {row['start']:,}-{row['end']:,}{text}{put}{detail}"
    if len(rows) > SHOWN:
        yield f"  and {len(rows) - SHOWN:,} more; --json has all"


def _stays(row: Mapping[str, Any]) -> bool:
    """Whether what stood there still does, as where only the loss is masked."""
    return row.get("put") is not None and bool(row["put"] == row["text"])


def _number(number: int, what: str) -> str:
    return f"{display.count(number)} {what}{'' if number == 1 else 's'}"


def _quoted(text: str) -> str:
    return f'"{display.excerpt(text, _EXCERPT)}"'
