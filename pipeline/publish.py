"""Publication: the outcome of a run is written into its folder, and files of an earlier one are taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gristmill.pipeline import publish_tasks
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.exchange import destinations, sent_to
from gristmill.pipeline.identity import platform_identity
from gristmill.pipeline.ledger import LedgerText
from gristmill.pipeline.publish_tasks import Cut, Rows, cuts
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.state import RunState
from gristmill.pipeline.steps import Manifest, Task, step_key
from gristmill.pipeline.storage import Storage, place

LEDGER_FILE_ROWS = 500_000
SIGNAL_FILE_ROWS = 500_000
INDEX_RANGE_ROWS = 2_000_000
FOLDERS = ("documents", "removed", "signals", "edits", "index", "shards")
"""Folders of a run that hold published files and nothing else."""


@dataclass
class Publication:
    """Writes what a run publishes into its work folder first; `install` puts it in place."""

    runner: Runner
    state: RunState
    ledger_text: LedgerText
    file_bytes: int
    signals: bool
    edits: bool = False
    files: list[dict[str, Any]] = field(default_factory=list)
    """Published files: name, and file, size and sha256 in the work folder."""

    def __post_init__(self) -> None:
        self._base = {"code": code_hash("gristmill.pipeline.publish_tasks"), "platform": platform_identity()}
        rows = sum(part.kept for part in self.state.parts) + sum(
            rows[-1].start + rows[-1].rows for rows in self.state.ledger.values()
        )
        # ids, URLs and signals of each document
        self._ranges = max(1, -(-rows * 4 // INDEX_RANGE_ROWS))

    def write(self) -> None:
        """Write documents, ledger, signals and index."""
        manifests = self._run("publish documents", self._documents())
        manifests += self._run("publish ledger", self._ledger())
        if self.signals:
            manifests += self._run("publish signals", self._signals())
        if self.edits:
            manifests += self._run("publish edits", self._edits())
        entries = [entry for manifest in manifests for entry in manifest["sent"]]
        index = [
            self._task(
                publish_tasks.publish_index,
                [number, self._ranges, [[one.file, one.first] for one in sent_to(entries, number)]],
                {"sent": sent_to(entries, number), "name": f"index/{place_in:05d}.parquet"},
            )
            for place_in, number in enumerate(destinations(entries))
        ]
        manifests += self._run("publish index", index)
        for manifest in manifests:
            self.files += manifest["published"]

    def add(self, manifests: list[Manifest]) -> None:
        """Publish further files that tasks wrote (token shards)."""
        for manifest in manifests:
            self.files += manifest["published"]

    def _run(self, step: str, tasks: list[Task]) -> list[Manifest]:
        return self.runner.run(step, tasks)

    def _task(self, function: Callable[..., Manifest], decides: Any, arguments: dict[str, Any]) -> Task:
        return Task(step_key(function.__name__, decides=decides, **self._base), function, arguments, function.__name__)

    def _documents(self) -> list[Task]:
        tasks = []
        for source in self.state.versions:
            parts, before = [], 0
            for part in self.state.parts:
                if part.source == source:
                    parts.append((part, before))
                    before += part.bytes
            for cut in cuts(before, self.file_bytes, f"documents/{source}/"):
                inside = [(part, start) for part, start in parts if start < cut.end and start + part.bytes > cut.begin]
                identity = [[part.key, [[one.file, one.part] for one in part.removals], start] for part, start in inside]
                tasks.append(
                    self._task(
                        publish_tasks.publish_documents,
                        [identity, cut.name, cut.begin, cut.end, self._ranges],
                        {"parts": inside, "cut": cut, "ranges": self._ranges},
                    )
                )
        return tasks

    def _ledger(self) -> list[Task]:
        stages = [label for label in self.state.labels if label in self.state.ledger]
        keep = self.ledger_text
        bounds: dict[str, dict[str, int] | None] = dict.fromkeys(stages)
        if keep.mode == "sample":
            sampled = self._run(
                "sample ledger texts",
                [
                    self._task(
                        publish_tasks.sample_texts,
                        [_identity(self.state.ledger[stage]), keep.per_rule, keep.seed],
                        {"rows": self.state.ledger[stage], "per_rule": keep.per_rule, "seed": keep.seed},
                    )
                    for stage in stages
                ],
            )
            bounds = {stage: manifest["bounds"] for stage, manifest in zip(stages, sampled, strict=True)}
        tasks = []
        for stage in stages:
            rows = self.state.ledger[stage]
            number = self.state.labels.index(stage)
            for cut in cuts(_total(rows), LEDGER_FILE_ROWS, f"removed/{number:02d}-{stage}-"):
                inside = _inside(rows, cut)
                tasks.append(
                    self._task(
                        publish_tasks.publish_ledger,
                        [_identity(inside), cut.name, cut.begin, cut.end, bounds[stage], keep.seed, self._ranges],
                        {"rows": inside, "cut": cut, "bounds": bounds[stage], "seed": keep.seed, "ranges": self._ranges},
                    )
                )
        return tasks

    def _signals(self) -> list[Task]:
        columns = list(self.state.signal_columns)
        tasks = []
        for number, ((source, version), rows) in enumerate(sorted(self.state.signals.items(), key=self._signal_order)):
            for cut in cuts(_total(rows), SIGNAL_FILE_ROWS, f"signals/{number:02d}-{source}-{version}-"):
                inside = _inside(rows, cut)
                tasks.append(
                    self._task(
                        publish_tasks.publish_signals,
                        [_identity(inside), cut.name, cut.begin, cut.end, version, columns, self._ranges],
                        {"rows": inside, "cut": cut, "version": version, "columns": columns, "ranges": self._ranges},
                    )
                )
        return tasks

    def _edits(self) -> list[Task]:
        if not self.state.edits:
            return []
        tasks = []
        for cut in cuts(_total(self.state.edits), LEDGER_FILE_ROWS, "edits/"):
            inside = _inside(self.state.edits, cut)
            decides = [_identity(inside), cut.name, cut.begin, cut.end]
            tasks.append(self._task(publish_tasks.publish_edits, decides, {"rows": inside, "cut": cut}))
        return tasks

    def _signal_order(self, item: tuple[tuple[str, int], list[Rows]]) -> tuple[int, int]:
        source, version = item[0]
        return list(self.state.versions).index(source), version

    def install(self, folder: Storage) -> dict[str, dict[str, Any]]:
        """Put the files in place and take away what an earlier run published; returns name -> size and sha256."""
        final = {one["name"]: one for one in sorted(self.files, key=lambda one: str(one["name"]))}
        for name, one in final.items():
            place(self.runner.work, one["file"], folder, name)
        for known in FOLDERS:
            for name in folder.find(known):
                if name not in final:
                    folder.delete(name)
        return {name: {"size": one["size"], "sha256": one["sha256"]} for name, one in final.items()}


def _total(rows: list[Rows]) -> int:
    return rows[-1].start + rows[-1].rows if rows else 0


def _inside(rows: list[Rows], cut: Cut) -> list[Rows]:
    return [one for one in rows if one.start < cut.end and one.start + one.rows > cut.begin]


def _identity(rows: list[Rows]) -> list[list[Any]]:
    return [[one.file, one.batch, one.start] for one in rows]
