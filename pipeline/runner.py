"""Carries out the tasks of a step: those that are finished are taken as they are, the others go to the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gristmill.pipeline.cluster import Cluster
from gristmill.pipeline.steps import Manifest, StepStore, Task
from gristmill.pipeline.storage import Storage

if TYPE_CHECKING:
    from gristmill.pipeline.progress import Progress


@dataclass
class Runner:
    """What the driver does tasks with."""

    cluster: Cluster
    work: Storage
    store: StepStore
    progress: Progress
    computed: dict[str, int] = field(default_factory=dict)
    """Tasks that were carried out, by step."""
    reused: dict[str, int] = field(default_factory=dict)
    """Tasks whose earlier result was taken, by step."""

    def run(self, step: str, tasks: Sequence[Task]) -> list[Manifest]:
        """Manifests of the tasks, in their order; each is recorded as soon as its task ends."""
        found: dict[str, Manifest] = {}
        missing: list[Task] = []
        for task in tasks:
            manifest = self.store.get(task.key)
            if manifest is None:
                missing.append(task)
            else:
                found[task.key] = manifest
        if not tasks:
            return []
        self.reused[step] = self.reused.get(step, 0) + len(found)
        shown = self.progress.step(step, total=len(tasks))
        if found:
            shown.reuse(len(found))
        # where nothing is missing the cluster is not asked
        for task, manifest in self.cluster.carry_out(self.work, missing) if missing else ():
            self.store.put(task.key, manifest)
            found[task.key] = manifest
            self.computed[step] = self.computed.get(step, 0) + 1
            shown.advance(documents=_documents(task, manifest))
        shown.done()
        return [found[task.key] for task in tasks]


def _documents(task: Task, manifest: Manifest) -> int:
    if task.documents is not None:
        return task.documents
    return int(manifest.get("counts", {}).get("read", {}).get("in", 0))
