"""The tasks of a corpus stage, as its driver gives them to the runner: each named by what decides its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gristmill.pipeline.dedup_index import IndexPack
from gristmill.pipeline.parts import Pack, Part
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.steps import Manifest, Task, step_key

Work = Iterable[tuple[Any, dict[str, Any], Pack | IndexPack | Part | None]]
"""For each task: what decides its result (JSON), the arguments of its function, and the documents that it works on."""


def run_tasks(
    runner: Runner, label: str, base: Mapping[str, Any], function: Callable[..., Manifest], work: Work
) -> list[tuple[str, Manifest]]:
    """Run a function once for each piece of work.

    Args:
        runner: carries out the tasks.
        label: of the stage.
        base: what decides the results of all its tasks: settings, code, platform.
        function: of each task.
        work: see `Work`.

    Returns:
        Name of the step and manifest of each task.
    """
    step = f"{label}: {function.__name__.replace('_', ' ')}"
    tasks = [
        Task(
            step_key(function.__name__, decides=decides, **base),
            function,
            arguments,
            _about(step, documents),
            documents.kept if documents else None,
        )
        for decides, arguments, documents in work
    ]
    return [(task.key, manifest) for task, manifest in zip(tasks, runner.run(step, tasks), strict=True)]


def _about(step: str, documents: Pack | IndexPack | Part | None) -> str:
    if documents is None:
        return step
    if isinstance(documents, Part):
        return f"{step}, {documents.source}: {documents.file}"
    return f"{step}, pack {documents.number}"
