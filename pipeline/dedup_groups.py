"""A deduplication whose documents of one key are compared with one another, as the driver sees it."""

from __future__ import annotations

from typing import Any

from gristmill.pipeline import dedup_group_tasks as tasks
from gristmill.pipeline import dedup_index_tasks
from gristmill.pipeline.dedup import Deduplication
from gristmill.pipeline.exchange import received, sent_identity
from gristmill.pipeline.steps import Manifest
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.group_deduplicator import GroupDeduplicator

MODEL = "model"
"""Name of the learned model in a segment of an index."""


class GroupDeduplication(Deduplication):
    """Runs a `GroupDeduplicator`: learns its model where it has one, and resolves keys by comparing what shares one."""

    stage: GroupDeduplicator
    _learned: dict[str, Any] | None = None
    """Entry of the model's file, where there is one."""

    def run(self) -> dict[int, Manifest]:
        """As `Deduplication.run`."""
        if self.stage.fitted:
            self._learn()
        return super().run()

    def _extra(self) -> dict[str, dict[str, Any]]:
        known = self.against.more(MODEL)
        return {} if self._learned is None or known else {MODEL: self._learned}

    def _learn(self) -> None:
        for entry in self.against.more(MODEL)[:1]:
            work = [(entry["sha256"], {"index": self.against.storage, "entry": entry}, None)]
            self._learned = self._tasks(dedup_index_tasks.bring_file, work)[0]["held"]
            return
        drawn = [(pack.identity(), {"stage": self.stage, "pack": pack}, pack) for pack in self.own]
        files = [manifest["held"]["file"] for manifest in self._tasks(tasks.draw_sample, drawn) if manifest["held"]]
        if files:
            (learned,) = self._tasks(tasks.learn, [(files, {"stage": self.stage, "files": files}, None)])
            self._learned = learned["held"]

    def _bring(self) -> None:
        """As `Deduplication._bring`; rows whose keys come from another model get those of the one at hand.

        That happens where the run that learned the index's model was started again, without forgotten documents, say.
        """
        super()._bring()
        if self._learned is None:
            return
        how = {"model": self._learned["file"], "ranges": self.ranges, "batch_rows": self.batch_rows}
        for at, manifest in enumerate(self._brought):
            if any(entry["model"] != self._learned["sha256"] for entry in manifest["sent"]):
                files = [entry["file"] for entry in manifest["sent"]]
                arguments = {"stage": self.stage, "files": files}
                (keyed,) = self._tasks(tasks.key_again, [([files, *how.values()], arguments | how, None)])
                self._brought[at] = {"sent": [entry | {"wave": 0} for entry in keyed["sent"]]}

    def _emit(self, wave: int) -> list[Manifest]:
        model = self._learned and self._learned["file"]
        how: dict[str, Any] = {"wave": wave, "ranges": self.ranges, "batch_rows": self.batch_rows, "model": model}
        how["width"] = self._emit_width
        work = [([*pack.identity(), how], {"stage": self.stage, "pack": pack} | how, pack) for pack in self.own]
        emitted = self._noted(self._tasks(tasks.emit_grouped, work), wave)
        for number, entries in self._emitted.items():
            self._emitted[number] = [entry | {"model": self._learned and self._learned["sha256"]} for entry in entries]
        documents = sum(pack.kept for pack in self.own)
        if documents and not any(manifest["rows"] for manifest in emitted):
            self.doubts.append(f"{self.stage.label}: none of the {documents:,} documents {self.stage.when_none}; all stay")
        return emitted

    def _resolved(self, emitted: list[Manifest], wave: int) -> list[Manifest]:
        more = {"first_pack": self.first_pack, "width": self._pack_width}
        arguments = more | {"stage": self.stage}
        sent = received([*self._brought_in(wave), *emitted]).values()
        work = [([sent_identity(one), *more.values()], {"sent": one} | arguments, None) for one in sent]
        resolved = self._tasks(tasks.resolve_grouped, work)
        if any(manifest["crowded"] for manifest in resolved):
            self.doubts.append(
                f"{self.stage.label}: more than {self.stage.most_compared:,} different documents share a key, and each was "
                f"compared with that many before it only: duplicates may have stayed. {self.stage.when_crowded}"
            )
        return resolved


def deduplication_of(stage: Deduplicator) -> type[Deduplication]:
    """What runs a stage."""
    return GroupDeduplication if isinstance(stage, GroupDeduplicator) else Deduplication
