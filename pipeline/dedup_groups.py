"""A deduplication whose documents of one key are compared with one another, as the driver sees it."""

from __future__ import annotations

from typing import Any

from gristmill.pipeline import dedup_group_tasks as tasks
from gristmill.pipeline.dedup import Deduplication
from gristmill.pipeline.exchange import received, sent_identity
from gristmill.pipeline.steps import Manifest
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.group_deduplicator import GroupDeduplicator


class GroupDeduplication(Deduplication):
    """Runs a `GroupDeduplicator`: learns its model where it has one, and resolves keys by comparing what shares one."""

    stage: GroupDeduplicator
    model: str | None = None
    """File of the learned model."""

    def run(self) -> dict[int, Manifest]:
        """As `Deduplication.run`."""
        if self.stage.fitted:
            self._learn()
        return super().run()

    def _learn(self) -> None:
        work = [(pack.identity(), {"stage": self.stage, "pack": pack}, pack) for pack in self.own]
        files = [manifest["held"]["file"] for manifest in self._tasks(tasks.draw_sample, work) if manifest["held"]]
        if files:
            (learned,) = self._tasks(tasks.learn, [(files, {"stage": self.stage, "files": files}, None)])
            self.model = learned["held"]["file"]

    def _emit(self, wave: int) -> list[Manifest]:
        how: dict[str, Any] = {"wave": wave, "ranges": self.ranges, "batch_rows": self.batch_rows, "model": self.model}
        how["width"] = self._emit_width
        work = [([*pack.identity(), how], {"stage": self.stage, "pack": pack} | how, pack) for pack in self.own]
        return self._tasks(tasks.emit_grouped, work)

    def _resolved(self, emitted: list[Manifest], wave: int) -> list[Manifest]:
        more = {"stage": self.stage, "width": self._pack_width}
        work = [([sent_identity(sent), self._pack_width], {"sent": sent} | more, None) for sent in received(emitted).values()]
        return self._tasks(tasks.resolve_grouped, work)


def deduplication_of(stage: Deduplicator) -> type[Deduplication]:
    """What runs a stage."""
    return GroupDeduplication if isinstance(stage, GroupDeduplicator) else Deduplication
