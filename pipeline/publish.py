"""Publication: the outcome of a run as files in its work folder, which `run_folder.publish` puts in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gristmill.pipeline import publish_tasks
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.exchange import range_count, received, sent_identity
from gristmill.pipeline.identity import platform_identity
from gristmill.pipeline.ledger import LedgerText
from gristmill.pipeline.parts import Part, Rows
from gristmill.pipeline.publish_tasks import spread
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.state import RunState
from gristmill.pipeline.steps import Manifest, Task, step_key

FILE_ROWS = 500_000
"""Rows of a published file of ledger rows or signals."""
TEXT_FILE_ROWS = 20_000
"""Rows of a published file where each may hold a text: a task holds all of a file."""
INDEX_RANGE_ROWS = 2_000_000
FOLDERS = ("documents", "removed", "signals", "edits", "reports", "index", "against", "shards", "held_out")
"""Folders of a run that hold published files and nothing else."""
FINDINGS = ("contamination.json",)
"""Published files beside them that only some runs have: what corpus filters learned of the corpus (`findings_file`)."""


@dataclass
class Publication:
    """Writes what a run publishes into its work folder."""

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
        removed = sum(one.rows for held in self.state.ledger.values() for one in held)
        documents = sum(part.kept for part in self.state.parts) + removed
        # four rows a document: its id and URL, and its id again for each of two text versions with signals; one more for each
        # editor that cut from it, or filter that tells of it
        listed = [self.state.reports, *([self.state.edits] if self.edits else [])]
        places = sum(one.rows for table in listed for rows in table.values() for one in rows)
        stages = len({stage for table in listed for stage, _ in table})
        self._ranges = range_count(documents * 4 + min(places, documents * stages), INDEX_RANGE_ROWS)

    def write(self) -> None:
        """Write documents, ledger, signals, edits, reports and index."""
        manifests = self.runner.run("publish documents", self._documents())
        manifests += self.runner.run("publish ledger", self._ledger())
        if self.signals:
            manifests += self.runner.run("publish signals", self._signals())
        if self.edits:
            manifests += self.runner.run("publish edits", self._places("edits", self.state.edits))
        manifests += self.runner.run("publish reports", self._places("reports", self.state.reports))
        index = [
            self._task(
                publish_tasks.publish_index,
                [number, self._ranges, sent_identity(sent)],
                {"sent": sent, "name": f"index/{place_in:05d}.parquet"},
            )
            for place_in, (number, sent) in enumerate(received(manifests).items())
        ]
        self.add(manifests)
        self.add(self.runner.run("publish index", index))

    def add(self, manifests: list[Manifest]) -> None:
        """Publish the files that tasks wrote (token shards, say)."""
        for manifest in manifests:
            self.files += manifest["published"]

    def _task(self, function: Callable[..., Manifest], decides: Any, arguments: dict[str, Any]) -> Task:
        return Task(step_key(function.__name__, decides=decides, **self._base), function, arguments, function.__name__)

    def _cut_tasks(
        self,
        function: Callable[..., Manifest],
        held: Sequence[Part | Rows],
        size: int,
        prefix: str,
        **more: Any,
    ) -> Iterator[Task]:
        """A task for each file: parts are cut by bytes of text, rows by their number; `more` are further arguments."""
        sizes = [one.bytes if isinstance(one, Part) else one.rows for one in held]
        for cut, inside in spread(held, sizes, size, prefix):
            decides = [[one.identity(), start] for one, start in inside]
            yield self._task(function, [decides, cut.name, cut.begin, cut.end, more], {"held": inside, "cut": cut} | more)

    def _documents(self) -> list[Task]:
        tasks: list[Task] = []
        for source in self.state.versions:
            parts = [part for part in self.state.parts if part.source == source]
            tasks += self._cut_tasks(
                publish_tasks.publish_documents, parts, self.file_bytes, f"documents/{source}/", ranges=self._ranges
            )
        return tasks

    def _ledger(self) -> list[Task]:
        ledger = self.state.by_stage(self.state.ledger)
        keep = self.ledger_text
        bounds: dict[str, dict[str, int] | None] = dict.fromkeys(ledger)
        if keep.mode == "sample":
            samples = [
                self._task(
                    publish_tasks.sample_texts,
                    [[one.identity() for one in rows], keep.per_rule, keep.seed],
                    {"held": rows, "per_rule": keep.per_rule, "seed": keep.seed},
                )
                for rows in ledger.values()
            ]
            sampled = self.runner.run("sample ledger texts", samples)
            bounds = {stage: manifest["bounds"] for stage, manifest in zip(ledger, sampled, strict=True)}
        file_rows = TEXT_FILE_ROWS if keep.mode == "all" else FILE_ROWS
        return [
            task
            for stage, rows in ledger.items()
            for task in self._cut_tasks(
                publish_tasks.publish_ledger,
                rows,
                file_rows,
                f"removed/{self.state.labels.index(stage):02d}-{stage}-",
                bounds=bounds[stage],
                seed=keep.seed,
                ranges=self._ranges,
            )
        ]

    def _signals(self) -> list[Task]:
        columns = list(self.state.signal_columns)
        sources = list(self.state.versions)
        keys = sorted(self.state.signals, key=lambda key: (sources.index(key[0]), key[1]))
        return [
            task
            for number, (source, version) in enumerate(keys)
            for task in self._cut_tasks(
                publish_tasks.publish_signals,
                self.state.signals[source, version],
                FILE_ROWS,
                f"signals/{number:02d}-{source}-{version}-",
                version=version,
                columns=columns,
                ranges=self._ranges,
            )
        ]

    def _places(self, folder: str, places: dict[tuple[str, str], list[Rows]]) -> list[Task]:
        """Tasks for `edits` or `reports`."""
        return [
            task
            for stage, rows in self.state.by_stage(places).items()
            for task in self._cut_tasks(
                publish_tasks.publish_places,
                rows,
                TEXT_FILE_ROWS,
                f"{folder}/{self.state.labels.index(stage):02d}-{stage}-",
                reported=folder == "reports",
                ranges=self._ranges,
            )
        ]
