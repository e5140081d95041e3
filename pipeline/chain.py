"""A chain of per-document stages over one batch: who stays, who leaves and why, and what was measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.pipeline.counts import NOT_JUDGED, Counts, count, text_bytes, whitespace_words
from gristmill.pipeline.ledger import removal_rows
from gristmill.stages.documents import DOCUMENTS, Batch
from gristmill.stages.editor import Edited, Editor
from gristmill.stages.filter import Filter, Verdict
from gristmill.stages.stage import Stage

EDITS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("text", pa.large_string()),
        pa.field("put", pa.large_string()),
        pa.field("detail", pa.large_string()),
    ]
)
"""A cut: characters [start, end) of the document's text before the stage, what stood there, what stands there now (null:
nothing), and a word more on why. `REPORTS` has the same columns but `put`: places that a stage tells of and leaves alone."""

REPORTS = pa.schema([field for field in EDITS if field.name != "put"])


@dataclass
class Outcome:
    """What a chain made of a batch."""

    documents: pa.Table
    """The documents that stay, in their order."""
    removed: dict[str, pa.Table] = field(default_factory=dict)
    """Ledger rows by stage label."""
    signals: list[pa.Table] = field(default_factory=list)
    """One table a text version: id, source, then `<stage>.<signal>`; a row for each document that had this version."""
    counts: dict[str, Counts] = field(default_factory=dict)
    """Counts by stage label."""
    edits: dict[str, pa.Table] = field(default_factory=dict)
    """What editors cut, columns of `EDITS`, by stage label."""
    reports: dict[str, pa.Table] = field(default_factory=dict)
    """What filters tell of documents that stay, columns of `REPORTS`, by stage label."""


def run_chain(documents: pa.Table, stages: tuple[Stage, ...], given: dict[str, np.ndarray] | None = None) -> Outcome:
    """Take a batch of one source through per-document stages (filters and editors) in their order.

    `given` holds signals that an earlier step has measured, for a chain of one stage.

    All filters between two editors measure all documents that came out of the first of them, also those that one of
    them removes: so a changed threshold can be judged later from the stored signals.
    """
    outcome = Outcome(documents)
    for is_filter, run in groupby(stages, key=lambda stage: isinstance(stage, Filter)):
        if is_filter:
            _run_filters(outcome, [stage for stage in run if isinstance(stage, Filter)], given)
        else:
            for stage in run:
                if not isinstance(stage, Editor):
                    raise TypeError(f"{stage.label} is neither a filter nor an editor")
                _run_editor(outcome, stage, given)
    return outcome


def _words(documents: pa.Table) -> np.ndarray | None:
    return None if "html" in documents.column_names else whitespace_words(documents["text"])


def _run_filters(outcome: Outcome, filters: list[Filter], given: dict[str, np.ndarray] | None) -> None:
    batch = Batch(outcome.documents)
    batch.given = given or {}
    sizes, words = text_bytes(batch.table), _words(batch.table)
    alive = np.ones(len(batch), dtype=bool)
    removed_at: list[tuple[Filter, Verdict, np.ndarray]] = []
    columns: dict[str, np.ndarray] = {}
    for stage in filters:
        verdict = stage.judge(batch)
        reported = stage.reports(batch)
        columns |= {f"{stage.label}.{name}": values for name, values in verdict.signals.items()}
        before, alive = alive, alive & verdict.kept
        dropped = np.flatnonzero(before & ~alive)
        first = verdict.first_failed
        rules = Counter(verdict.rules[index].name for index in first[dropped])
        outcome.counts[stage.label] = count(sizes[before], None if words is None else words[before], alive[before], dict(rules))
        if unjudged := _not_judged(batch, before & ~verdict.judged):
            outcome.counts[stage.label][NOT_JUDGED] = unjudged
        removed_at.append((stage, verdict, dropped))
        if reported is not None:
            reported = reported.filter(pa.array(alive[reported["row"].to_numpy()]))
        if reported is not None and reported.num_rows:
            outcome.reports[stage.label] = _places(batch.table, stage.label, reported, REPORTS)
        batch = stage.annotate(batch)
    for stage, verdict, dropped in removed_at:
        outcome.removed[stage.label] = _filter_removals(batch, stage, verdict, dropped)
    if columns:
        table = pa.table({"id": batch.table["id"], "source": batch.table["source"]})
        for name, values in columns.items():
            table = table.append_column(pa.field(name, pa.float64()), pa.array(values, pa.float64(), from_pandas=True))
        outcome.signals.append(table)
    outcome.documents = batch.table.filter(pa.array(alive))


def _not_judged(batch: Batch, rows: np.ndarray) -> dict[str, int]:
    """Documents by language, those without one under an empty name."""
    if not rows.any():
        return {}
    if "language" not in batch.table.column_names:
        return {"": int(rows.sum())}
    languages = batch.table["language"].filter(pa.array(rows)).to_pylist()
    return dict(sorted(Counter(language or "" for language in languages).items()))


def _filter_removals(batch: Batch, stage: Filter, verdict: Verdict, rows: np.ndarray) -> pa.Table:
    first = verdict.first_failed[rows]
    details: list[str | None] = [None] * len(rows)
    for index in np.unique(first):
        places = np.flatnonzero(first == index)
        for place, detail in zip(places, stage.details(batch, verdict.rules[index], rows[places]), strict=True):
            details[place] = detail
    every = stage.evaluate == "all"
    return removal_rows(
        _without_html(batch.table).take(pa.array(rows)),
        stage.label,
        rules=[verdict.rules[index].name for index in first],
        values=[float(verdict.values[index][row]) for index, row in zip(first, rows, strict=True)],
        thresholds=[verdict.threshold(int(index), int(row)) for index, row in zip(first, rows, strict=True)],
        details=details,
        failed_rules=[
            [rule.name for rule, failed in zip(verdict.rules, verdict.failed[:, row], strict=True) if failed] if every else None
            for row in rows
        ],
    )


def _run_editor(outcome: Outcome, stage: Editor, given: dict[str, np.ndarray] | None) -> None:
    batch = Batch(outcome.documents)
    batch.given = given or {}
    take_edit(outcome, stage, batch, stage.edit(batch))


def take_edit(outcome: Outcome, stage: Stage, batch: Batch, edited: Edited) -> None:
    """Record what an editor made of a batch: texts and counts, what it lost, what it cut."""
    sizes, words = text_bytes(batch.table), _words(batch.table)
    table = edited.table
    if table.num_rows != len(batch):
        raise ValueError(f"{stage.label} made {table.num_rows} documents of {len(batch)}; one document stays one document")
    alive = np.ones(len(batch), dtype=bool)
    alive[[loss.row for loss in edited.losses]] = False
    changed = pc.not_equal(table["text"].combine_chunks(), batch.table["text"].combine_chunks()).to_numpy(zero_copy_only=False)
    if edited.marked:
        changed = changed.copy()
        changed[edited.marked] = True
    outcome.counts[stage.label] = count(
        sizes,
        words,
        alive,
        dict(Counter(loss.rule for loss in edited.losses)),
        edited=int((changed & alive).sum()),
        sizes_kept=text_bytes(table),
        words_kept=_words(table),
    )
    lost = sorted(edited.losses, key=lambda loss: loss.row)
    outcome.removed[stage.label] = removal_rows(
        _without_html(batch.table).take(pa.array([loss.row for loss in lost], pa.int64())),
        stage.label,
        rules=[loss.rule for loss in lost],
        values=[loss.value for loss in lost],
        thresholds=[loss.threshold for loss in lost],
        details=[loss.detail for loss in lost],
    )
    outcome.documents = table.filter(pa.array(alive))
    if edited.cuts is not None and edited.cuts.num_rows:
        outcome.edits[stage.label] = _places(batch.table, stage.label, edited.cuts, EDITS)


def _places(documents: pa.Table, stage: str, places: pa.Table, schema: pa.Schema) -> pa.Table:
    """Places in documents as they are written down: those of one document stand together, in their order."""
    places = places.sort_by([("row", "ascending"), ("start", "ascending"), ("end", "ascending")])
    owners = documents.select(["id", "source"]).take(places["row"])
    columns = {"id": owners["id"], "source": owners["source"], "stage": pa.array([stage] * places.num_rows, pa.string())}
    for name in schema.names[3:]:
        columns[name] = places[name] if name in places.column_names else pa.nulls(places.num_rows, pa.large_string())
    return pa.table(columns).cast(schema)


def _without_html(documents: pa.Table) -> pa.Table:
    return documents.select([name for name in DOCUMENTS.names if name in documents.column_names])
