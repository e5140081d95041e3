"""A deduplication as the driver sees it: which tasks, in which order, named by what decides their results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gristmill.pipeline import dedup_tasks
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.exchange import BATCH_ROWS, range_count, received, sent_identity
from gristmill.pipeline.identity import platform_identity, stage_identity
from gristmill.pipeline.ledger import LedgerText
from gristmill.pipeline.parts import Pack
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.steps import Manifest, Task, step_key
from gristmill.stages.deduplicator import Deduplicator

EMITTED_ROW_BYTES = 40
LEAST_BATCH_ROWS = 256
"""Fewest emitted rows in a record batch: smaller ones cost more to open than to read."""
FOREST_FAN_IN = 16
"""Files of pairs that one task merges."""


class Deduplication:
    """Runs one deduplicator over the packs of a run."""

    def __init__(
        self, runner: Runner, stage: Deduplicator, packs: Sequence[Pack], range_bytes: int, ledger_text: LedgerText
    ) -> None:
        """Prepare; `range_bytes` is about how many bytes of emitted rows one resolving task streams over."""
        self.runner, self.stage, self.packs = runner, stage, list(packs)
        self.ledger_text = ledger_text
        self._base = {
            "stage": stage_identity(stage),
            "code": code_hash("gristmill.pipeline.dedup_tasks"),
            "platform": platform_identity(),
        }
        rows = sum(pack.kept for pack in packs) * stage.rows_per_document
        self.ranges = range_count(rows * EMITTED_ROW_BYTES, range_bytes)
        # a resolving task holds one batch of each pack, even where all rows share a key and meet in one range
        self.batch_rows = min(BATCH_ROWS, max(LEAST_BATCH_ROWS, range_bytes // (EMITTED_ROW_BYTES * max(1, len(packs)))))

    def run(self) -> dict[int, Manifest]:
        """Manifests of the removing tasks by pack number; packs that lose nothing have none."""
        decided = self._resolve()
        if not self.stage.one_key:
            edges = [entry for manifest in decided for entry in manifest["sent"]]
            if self.stage.least_similarity is not None:
                offered = self._measure(dedup_tasks.offer, "candidates", decided)
                verified = self._measure(dedup_tasks.verify, "verify", offered.values())
                edges = [entry for manifest in verified.values() for entry in manifest["edges"]]
            decided = self._cluster([entry["file"] for entry in edges])
        offered = self._measure(dedup_tasks.offer, "offer", decided)
        text = self.ledger_text
        removed = self._measure(
            dedup_tasks.remove, ["remove", text.mode, text.per_rule, text.seed], offered.values(), ledger_text=text
        )
        return {number: manifest | {"rule": self.stage.rule} for number, manifest in removed.items()}

    def _tasks(self, step: str, work: Iterable[tuple[Any, dict[str, Any], Pack | None]]) -> list[Manifest]:
        """Run the function `step` of `dedup_tasks` for each of (what decides its result, arguments, pack)."""
        tasks = [
            Task(
                step_key(step, decides=decides, **self._base),
                getattr(dedup_tasks, step),
                arguments,
                f"{self.stage.label}: {step}" + (f", pack {pack.number}" if pack else ""),
                pack.kept if pack else None,
            )
            for decides, arguments, pack in work
        ]
        return self.runner.run(f"{self.stage.label}: {step}", tasks)

    def _resolve(self) -> list[Manifest]:
        """Bring equal keys together; pairs of documents come out."""
        emitted = self._tasks(
            "emit",
            [
                (
                    [*pack.identity(), self.ranges],
                    {"stage": self.stage, "pack": pack, "ranges": self.ranges, "batch_rows": self.batch_rows},
                    pack,
                )
                for pack in self.packs
            ],
        )
        chain = self.stage.least_similarity is not None and not self.stage.one_key
        return self._tasks(
            "resolve",
            [(sent_identity(sent), {"sent": sent, "chain": chain}, None) for sent in received(emitted).values()],
        )

    def _measure(self, function: Any, step: Any, manifests: Iterable[Manifest], **more: Any) -> dict[int, Manifest]:
        """Run a task for each pack that rows were sent to; `step` tells the uses of one function apart."""
        by_pack = received(manifests)
        done = self._tasks(
            function.__name__,
            [
                (
                    [step, self.packs[number].identity(), sent_identity(sent)],
                    {"stage": self.stage, "pack": self.packs[number], "sent": sent} | more,
                    self.packs[number],
                )
                for number, sent in by_pack.items()
            ],
        )
        return dict(zip(by_pack, done, strict=True))

    def _cluster(self, files: list[str]) -> list[Manifest]:
        """Merge files of pairs up a tree of forests, and send the outcome to the packs of the keepers."""
        if not files:
            return []
        merged = False
        while len(files) > 1 or not merged:
            groups = [files[start : start + FOREST_FAN_IN] for start in range(0, len(files), FOREST_FAN_IN)]
            done = self._tasks("forest", [(group, {"files": group, "keep": self.stage.keep}, None) for group in groups])
            files = [manifest["edges"][0]["file"] for manifest in done]
            merged = True
        return self._tasks("decide", [(files, {"file": files[0]}, None)])
