"""What a recipe would do: steps, partitions, what is finished already, and an estimate from a few documents. Runs nothing."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

from gristmill.pipeline.cluster import InProcess
from gristmill.pipeline.driver import Driver, Options, source_steps, steps_of
from gristmill.pipeline.forgotten import Forgotten
from gristmill.pipeline.inputs import COMPRESSED, INFLATION, Unit, find_files, plan_units
from gristmill.pipeline.left_out import without_missing_lists
from gristmill.pipeline.passes import READ, read_pass
from gristmill.pipeline.progress import Progress
from gristmill.pipeline.recipe import Recipe
from gristmill.pipeline.run_folder import WORK, check_folder, storage_at
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.setup_check import try_stages
from gristmill.pipeline.steps import StepStore
from gristmill.pipeline.storage import Storage
from gristmill.stages.stage import Stage

SAMPLE_RECORDS = 30
"""Records of each source that are taken through its first pass for the estimate."""


def plan(
    recipe: Recipe,
    *,
    output: str | os.PathLike[str] | None = None,
    work: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    sample: float | None = None,
) -> list[dict[str, Any]]:
    """Say which steps a run would take.

    The estimate of a source's first pass comes from its first records, taken through that pass in a temporary folder.

    Returns:
        A row a step: `step`, `source` (None across sources), `partitions` and `finished` (None where they are not known
        before the steps before it have run), `input_bytes`, `cpu_seconds` (estimated for one core, first passes only).

    Raises:
        UserError: something about the recipe or its inputs is wrong.
        StageUnavailable: a stage cannot work here.
    """
    recipe, _ = without_missing_lists(recipe)
    folder = storage_at(output if output is not None else f"out/{recipe.name}", "output")
    check_folder(folder, recipe)
    kept = storage_at(work, "work") if work is not None else Storage(f"{folder.url.rstrip('/')}/{WORK}")
    files = find_files(recipe.sources, [folder, kept])
    try_stages([*(stage for source in recipe.sources.values() for stage in source.stages), *recipe.stages])
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="gristmill-plan-") as scratch, Progress(quiet=True) as progress:
        runner = Runner(InProcess(), Storage(scratch), StepStore(Storage(scratch)), progress)
        driver = Driver(recipe, runner, Options(limit, sample, forgotten=Forgotten.of(folder)))
        finished = StepStore(kept)
        for name, source in recipe.sources.items():
            units = plan_units(name, source.read, recipe.partition_bytes, runner, files[name])
            first, *later = source_steps(source.stages)
            tasks = [driver.read_task(name, unit, first, limit) for unit in units]
            sizes = [_unit_bytes(unit) for unit in units]
            rows.append(
                {
                    "step": ", ".join([READ, *(stage.label for stage in first)]),
                    "source": name,
                    "partitions": len(tasks),
                    # under a limit each task's name hangs on what those before it have read
                    "finished": sum(finished.get(task.key) is not None for task in tasks) if limit is None else None,
                    "input_bytes": sum(sizes),
                    "cpu_seconds": _estimate(driver, name, units, first, sum(sizes)),
                }
            )
            rows += [_later(_named(chain), name) for chain in later]
    rows += [_later(_named(chain), None) for chain in steps_of(recipe.stages)]
    if recipe.tokenize is not None:
        rows.append(_later("tokenize", None))
    rows.append(_later("publish", None))
    return rows


def _named(chain: tuple[Stage, ...]) -> str:
    return ", ".join(stage.label for stage in chain)


def _later(step: str, source: str | None) -> dict[str, Any]:
    return {"step": step, "source": source, "partitions": None, "finished": None, "input_bytes": None, "cpu_seconds": None}


def _unit_bytes(unit: Unit) -> int:
    """Bytes of the files, as they are stored, that a unit reads."""
    total = 0
    for one, mark in zip(unit.slices, unit.fingerprints, strict=True):
        size = int(mark.split(" ")[0])
        total += min(size, one.stop if one.stop is not None else size) - one.start
    return total


def _estimate(driver: Driver, source: str, units: list[Unit], first: tuple[Stage, ...], input_bytes: int) -> float | None:
    """Seconds of one core for the first pass over what will be read, from the first records of the first unit."""
    if not units:
        return None
    task = driver.read_task(source, units[0], first, SAMPLE_RECORDS)
    read_pass(driver.runner.work, "data/warm", **task.arguments)
    began = time.perf_counter()
    manifest = read_pass(driver.runner.work, "data/estimate", **task.arguments)
    seconds = time.perf_counter() - began
    counts = manifest["counts"].get(READ, {"in": 0, "bytes_in": 0})
    if not counts["bytes_in"]:
        return None
    inflation = INFLATION if units[0].slices[0].path.endswith(COMPRESSED) else 1
    times: float = input_bytes * inflation / counts["bytes_in"] * (driver.options.sample or 1.0)
    if driver.options.limit is not None:
        times = min(times, driver.options.limit / counts["in"])
    return round(seconds * max(1.0, times), 1)
