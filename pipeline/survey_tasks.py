"""The tasks of a corpus filter: survey the documents, add up what was counted, judge by the sums."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.pipeline.chain import run_chain
from gristmill.pipeline.counts import Counts
from gristmill.pipeline.parts import Part, read_part
from gristmill.pipeline.passes import PassSettings, Writers, take_outcome
from gristmill.pipeline.steps import Manifest, file_entry
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches
from gristmill.stages.corpus_filter import CorpusFilter
from gristmill.stages.documents import Batch
from gristmill.stages.editor import Editor
from gristmill.stages.filter import Filter

TOTALS = pa.schema([("name", pa.string()), ("counts", pa.large_list(pa.int64()))])
HIGHEST = pa.schema(
    [("key", pa.int64()), ("value", pa.float64()), ("id", pa.string()), ("source", pa.string()), ("file", pa.string())]
    + [(name, pa.int64()) for name in ("position", "start", "end")]
)
Totals = dict[str, np.ndarray]
_ROW = "row of the batch"


def add_totals(held: Totals, more: Totals) -> Totals:
    """The sum of two surveys; the shorter of two arrays counts as filled up with zeros."""
    summed = dict(held)
    for name, counts in more.items():
        known = summed.get(name)
        if known is None:
            summed[name] = counts.astype(np.int64)
            continue
        longer, shorter = (known, counts) if len(known) >= len(counts) else (counts, known)
        longer = longer.astype(np.int64)
        longer[: len(shorter)] += shorter
        summed[name] = longer
    return summed


def highest_of(tables: Sequence[pa.Table]) -> pa.Table:
    """Of each key the row with the highest value, of equal ones the first by source, file, position and start; by key.

    The outcome does not hang on the order of the tables, nor on which of them were brought together before.
    """
    given = pa.concat_tables([HIGHEST.empty_table(), *tables])
    by = [
        ("key", "ascending"),
        ("value", "descending"),
        *((name, "ascending") for name in ("source", "file", "position", "start")),
    ]
    given = given.take(pc.sort_indices(given, sort_keys=by))
    keys = given["key"].to_numpy()
    return given.filter(pa.array(np.append(True, np.diff(keys) != 0)[: len(keys)]))


def _with_addresses(found: pa.Table, table: pa.Table) -> pa.Table:
    """What a survey found highest in a batch, with the address of each document instead of its row."""
    documents = table.select(["id", "source", "file", "position"]).take(found["row"])
    for name in documents.column_names:
        found = found.append_column(name, documents[name])
    return found.select(HIGHEST.names).cast(HIGHEST)


def _write_highest(work: Storage, name: str, found: pa.Table) -> dict[str, Any]:
    writer = StreamWriter(work, name, HIGHEST)
    writer.write(found)
    return writer.close()


def _write_totals(work: Storage, name: str, totals: Totals) -> dict[str, Any]:
    writer = StreamWriter(work, name, TOTALS)
    names = sorted(totals)
    if names:
        offsets = np.concatenate([[0], np.cumsum([len(totals[one]) for one in names])]).astype(np.int64)
        values = pa.array(np.concatenate([totals[one] for one in names]).astype(np.int64))
        writer.write(pa.table([pa.array(names), pa.LargeListArray.from_arrays(pa.array(offsets), values)], schema=TOTALS))
    return writer.close()


def read_totals(work: Storage, name: str) -> Totals:
    """The sums that a file of a survey holds."""
    return {
        row["name"].as_py(): np.asarray(row["counts"].values.to_numpy(zero_copy_only=False))
        for table in read_batches(work, name)
        for row in ({"name": table["name"][at], "counts": table["counts"][at]} for at in range(table.num_rows))
    }


def survey_part(work: Storage, prefix: str, *, stage: CorpusFilter, part: Part) -> Manifest:
    """Survey the kept documents of a part: `totals`, and where the stage gave some `signals` (one row a kept document) and
    `highest`."""
    stage.set_up()
    totals: Totals = {}
    writer: StreamWriter | None = None
    highest: pa.Table | None = None
    for table, _ in read_part(work, part):
        found = stage.survey(Batch(table))
        totals = add_totals(totals, found.totals)
        if found.highest is not None:
            more = _with_addresses(found.highest, table)
            highest = highest_of([more] if highest is None else [highest, more])
        if found.signals:
            columns = pa.table({name: pa.array(values, pa.float64()) for name, values in sorted(found.signals.items())})
            writer = writer or StreamWriter(work, f"{prefix}.signals.arrow", columns.schema)
            writer.write(columns)
    entry = _write_totals(work, f"{prefix}.totals.arrow", totals)
    signals = writer.close() if writer else None
    near = _write_highest(work, f"{prefix}.highest.arrow", highest) if highest is not None else None
    files = [one for one in (entry, signals, near) if one]
    return {"files": files, "totals": entry, "signals": signals, "highest": near}


def join_highest(work: Storage, prefix: str, *, files: list[str]) -> Manifest:
    """The highest of each key of surveys together."""
    found = highest_of([])
    for name in files:
        found = highest_of([found, *read_batches(work, name)])
    entry = _write_highest(work, f"{prefix}.highest.arrow", found)
    return {"files": [entry], "highest": entry}


def sum_totals(work: Storage, prefix: str, *, files: list[str]) -> Manifest:
    """Add up surveys."""
    totals: Totals = {}
    for name in files:
        totals = add_totals(totals, read_totals(work, name))
    entry = _write_totals(work, f"{prefix}.totals.arrow", totals)
    return {"files": [entry], "totals": entry}


_SETTLED: dict[tuple[str, str, str], Filter | Editor] = {}


def settled_stage(work: Storage, stage: CorpusFilter, totals: str) -> Filter | Editor:
    """The filter, or the editor, as the corpus settled it, made once per process: the sums may be large."""
    key = (work.url, totals, stage.model_dump_json())
    if key not in _SETTLED:
        _SETTLED.clear()
        settled = stage.settled(read_totals(work, totals))
        settled.set_up()
        _SETTLED[key] = settled
    return _SETTLED[key]


def judge_part(
    work: Storage, prefix: str, *, stage: CorpusFilter, part: Part, totals: str, signals: str | None, settings: PassSettings
) -> Manifest:
    """Take the documents of a part through the stage as the corpus settled it; `left` has the totals of those that go on, where
    the stage counts them again."""
    settled = settled_stage(work, stage, totals)
    writers = Writers(work, prefix, settings)
    counts: dict[str, Counts] = {}
    # the survey wrote one batch for each that it read, so both are read side by side
    given = read_batches(work, signals) if signals else None
    left: Totals = {}
    for table, _ in read_part(work, part):
        measured = next(given) if given else None
        held = {name: measured[name].to_numpy() for name in measured.column_names} if measured else {}
        outcome = run_chain(table.append_column(_ROW, pa.array(np.arange(table.num_rows))), (settled,), held)
        rows = outcome.documents[_ROW].to_numpy()
        outcome.documents = outcome.documents.drop_columns([_ROW])
        take_outcome(counts, writers, outcome, settings)
        if stage.findings_file:
            batch = Batch(outcome.documents)
            batch.given = {name: values[rows] for name, values in held.items()}
            left = add_totals(left, stage.survey(batch).totals)
    manifest = writers.finish() | {"counts": counts}
    if stage.findings_file:
        manifest["left"] = _write_totals(work, f"{prefix}.left.arrow", left)
        manifest["files"].append(manifest["left"])
    return manifest


def find_out(
    work: Storage, prefix: str, *, stage: CorpusFilter, totals: str | None, left: str | None, highest: str | None
) -> Manifest:
    """What the stage learned of the corpus, as a file of JSON: `findings`."""
    found = stage.findings(
        read_totals(work, totals) if totals else {},
        read_totals(work, left) if left else {},
        highest_of(list(read_batches(work, highest))) if highest else None,
    )
    name = f"{prefix}.findings.json"
    work.put(name, json.dumps(found, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace"))
    entry = file_entry(work, name)
    return {"files": [entry], "findings": entry}


def gather_findings(work: Storage, prefix: str, *, name: str, files: list[str]) -> Manifest:
    """The findings of a run's stages as one published file: `{"stages": [...]}`, in the order in which documents met them."""
    held = prefix + ".json"
    text = json.dumps({"stages": [work.get_json(file) for file in files]}, ensure_ascii=False, indent=1)
    work.put(held, text.encode("utf-8", "backslashreplace"))
    entry = file_entry(work, held)
    return {"files": [entry], "published": [entry | {"name": name}]}
