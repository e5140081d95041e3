"""A deduplication as the driver sees it: which tasks, in which order, named by what decides their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gristmill.pipeline import dedup_tasks
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.exchange import destinations, sent_to
from gristmill.pipeline.identity import platform_identity, stage_identity
from gristmill.pipeline.ledger import LedgerText
from gristmill.pipeline.parts import Pack
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.steps import Manifest, Task, step_key
from gristmill.stages.deduplicator import Deduplicator

EMITTED_ROW_BYTES = 40
FOREST_FAN_IN = 16


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
        self.ranges = max(1, -(-rows * EMITTED_ROW_BYTES // range_bytes))

    def run(self) -> dict[int, Manifest]:
        """Manifests of the removing tasks by pack number; packs that lose nothing have none."""
        emitted = self._tasks(
            "emit", [(pack.identity(), {"stage": self.stage, "pack": pack, "ranges": self.ranges}, pack) for pack in self.packs]
        )
        resolved = self._resolve(emitted)
        decided = resolved
        if not self.stage.one_key:
            decided = self._cluster(self._verified(resolved) if self.stage.least_similarity is not None else resolved)
        offered = self._measure(dedup_tasks.offer, "offer", decided)
        removed = self._measure(dedup_tasks.remove, "remove", offered, ledger_text=self.ledger_text)
        return {number: manifest | {"rule": self.stage.rule} for number, manifest in removed.items()}

    def _tasks(self, step: str, work: list[tuple[Any, dict[str, Any], Pack | None]]) -> list[Manifest]:
        function = getattr(dedup_tasks, step)
        tasks = [
            Task(
                step_key(step, decides=decides, **self._base),
                function,
                arguments,
                f"{self.stage.label}: {step}" + (f", pack {pack.number}" if pack else ""),
                pack.kept if pack else None,
            )
            for decides, arguments, pack in work
        ]
        return self.runner.run(f"{self.stage.label}: {step}", tasks)

    def _resolve(self, emitted: list[Manifest]) -> list[Manifest]:
        entries = _entries(emitted)
        names = [entry["file"] for entry in entries]
        chain = self.stage.least_similarity is not None and not self.stage.one_key
        return self._tasks(
            "resolve",
            [
                ([names, self.ranges, number], {"sent": sent_to(entries, number), "chain": chain}, None)
                for number in destinations(entries)
            ],
        )

    def _measure(
        self, function: Any, step: str, manifests: Sequence[Manifest] | dict[int, Manifest], **more: Any
    ) -> dict[int, Manifest]:
        """Run a task for each pack that rows were sent to."""
        held = list(manifests.values()) if isinstance(manifests, dict) else list(manifests)
        entries = _entries(held)
        by_number = {pack.number: pack for pack in self.packs}
        numbers = destinations(entries)
        extra = {name: [value.mode, value.per_rule, value.seed] for name, value in more.items()}
        done = self._tasks(
            function.__name__,
            [
                (
                    [step, by_number[number].identity(), [[one.file, one.first] for one in sent_to(entries, number)], extra],
                    {"stage": self.stage, "pack": by_number[number], "sent": sent_to(entries, number)} | more,
                    by_number[number],
                )
                for number in numbers
            ],
        )
        return dict(zip(numbers, done, strict=True))

    def _verified(self, resolved: list[Manifest]) -> list[Manifest]:
        offered = self._measure(dedup_tasks.offer, "candidates", resolved)
        return list(self._measure(dedup_tasks.verify, "verify", offered).values())

    def _cluster(self, manifests: list[Manifest]) -> list[Manifest]:
        """Merge the pairs of all tasks up a tree of forests, and send the outcome to the packs of the keepers."""
        files = [entry["file"] for manifest in manifests for entry in manifest.get("edges", manifest.get("sent", []))]
        keep = self.stage.keep
        while len(files) > 1:
            groups = [files[start : start + FOREST_FAN_IN] for start in range(0, len(files), FOREST_FAN_IN)]
            done = self._tasks("forest", [(group, {"files": group, "keep": keep}, None) for group in groups])
            files = [manifest["edges"][0]["file"] for manifest in done]
        if not files:
            return []
        done = self._tasks("forest", [(["last", files], {"files": files, "keep": keep}, None)])
        return self._tasks("decide", [(done[0]["edges"][0]["file"], {"file": done[0]["edges"][0]["file"]}, None)])


def _entries(manifests: Sequence[Manifest]) -> list[dict[str, Any]]:
    return [entry for manifest in manifests for entry in manifest.get("sent", [])]
