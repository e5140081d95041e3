"""Runs: a recipe carried out into a folder. What the command line calls, and what users of the library call."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from gristmill.pipeline.cluster import Cluster, DaskCluster, InProcess
from gristmill.pipeline.dedup_index import check_indexes
from gristmill.pipeline.doubts import doubts_of_judging, doubts_of_reading, doubts_of_stages
from gristmill.pipeline.driver import Driver, Options
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.forget_purge import Purged, purge
from gristmill.pipeline.forgotten import Forgotten, FoundAgain, Tombstone
from gristmill.pipeline.forgotten_inputs import check_inputs, doubts_of_places, with_marks
from gristmill.pipeline.inputs import Unit, find_files, plan_units
from gristmill.pipeline.keep_values import check_sources
from gristmill.pipeline.left_out import without_missing_lists
from gristmill.pipeline.progress import Progress
from gristmill.pipeline.publish import Publication
from gristmill.pipeline.readers.inputs import InputFile
from gristmill.pipeline.recipe import Recipe
from gristmill.pipeline.recipe_file import as_recipe
from gristmill.pipeline.run_facts import every_stage, facts_of
from gristmill.pipeline.run_folder import (
    RUN,
    WORK,
    Facts,
    check_folder,
    folders_of_work,
    publish,
    published,
    storage_at,
    taken,
    work_folders,
)
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.setup_check import set_up_stages, try_stages
from gristmill.pipeline.steps import StepStore
from gristmill.pipeline.storage import Storage


@dataclass(frozen=True)
class RunResult:
    """What a run came to."""

    folder: str
    funnel: dict[str, Any]
    """`funnel.json`."""
    computed: dict[str, int] = field(default_factory=dict)
    """Tasks carried out, by step."""
    reused: dict[str, int] = field(default_factory=dict)
    """Tasks whose result of an earlier run was taken, by step."""
    doubts: list[str] = field(default_factory=list)
    """What looks like a mistake, though the run went well: a source of which nothing could be read, a stage that could judge no
    document. They stand in `run.json` and in the report, too."""
    told: list[str] = field(default_factory=list)
    """Those of the doubts that stderr has been told of already, at the end of their step."""
    purged: Purged = field(default_factory=Purged)
    """What was deleted of the finished steps, where a forgetting was brought to its end."""

    @property
    def untold(self) -> list[str]:
        """Doubts that are still to be printed."""
        return [one for one in self.doubts if one not in self.told]


@dataclass(frozen=True)
class Workers:
    """Where the tasks of a run are carried out."""

    number: int | None = None
    """Processes on this machine; 0 is this process."""
    scheduler: str | None = None
    """Address of a running Dask scheduler instead."""
    cluster: str | None = None
    """YAML file that describes a Dask cluster to start instead."""


@dataclass(frozen=True)
class Job:
    """A run that is about to begin: what to do and where."""

    recipe: Recipe
    folder: Storage
    kept: Storage
    """Where finished steps are."""
    files: Mapping[str, list[InputFile]]
    """By source."""
    facts: dict[str, Any]
    """For `run.json`, as far as they are known before."""
    previous: Facts | None
    """`run.json` of the run that is in the folder."""
    options: Options
    workers: Workers
    verify: bool = False
    quiet: bool = False
    forget: Sequence[Tombstone] = ()
    """Documents that shall be left out from now on."""
    recorded: bool = False
    """The files are those of the earlier run, and may be gone by now where nothing has to be read again."""


def run(
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str],
    *,
    input: Sequence[str] = (),
    set: Sequence[str] = (),
    output: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster: str | None = None,
    work: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    sample: float | None = None,
    verify: bool = False,
    keep_going: bool = False,
    quiet: bool = False,
) -> RunResult:
    """Carry out a recipe into a folder; what an earlier run of it left there is reused where it still holds.

    Example: `gristmill.pipeline.run("refinedweb-lite", input=["crawl/*.warc.gz"], output="out/web")`. A script that leaves
    `workers` to be chosen calls it under `if __name__ == "__main__":`, since the worker processes import the script.

    Args:
        recipe: what to do: a recipe, a file, the name of a shipped recipe, or a mapping in the form of a file.
        input: paths that replace those of the recipe's only source; `NAME=PATH` begins those of a named one.
        set: changes to the recipe, each `PATH=VALUE`.
        output: the run folder, local or remote; default `out/<recipe name>`.
        workers: processes on this machine (default: one a core); 0 works in this process.
        scheduler: address of a running Dask scheduler instead.
        cluster: YAML file that describes a Dask cluster to start instead.
        work: where finished steps are kept; default `work` in the run folder.
        limit: records to read of each source at most.
        sample: share of the records to read.
        verify: check SHA-256 of finished work, not only sizes.
        keep_going: go on where a guardrail would stop the run.
        quiet: show no progress.

    Raises:
        UserError: something about the recipe, the inputs or the folder is wrong.
        StageUnavailable: a stage cannot work here.
        GuardrailStop: a stage removed more than its guardrail allows.
    """
    check_options(workers, scheduler, cluster, limit, sample)
    recipe, left_out = without_missing_lists(as_recipe(recipe, set, input))
    folder = storage_at(output if output is not None else f"out/{recipe.name}", "output")
    previous = check_folder(folder, recipe)
    kept = storage_at(work, "work") if work is not None else Storage(f"{folder.url.rstrip('/')}/{WORK}")
    files = find_files(recipe.sources, [folder, kept])
    facts = facts_of(recipe, limit, sample, files) | {"left_out": left_out}
    options = Options(limit, sample, name_of(folder), not keep_going)
    place = Workers(workers, scheduler, cluster)
    return carry_out(Job(recipe, folder, kept, files, facts, previous, options, place, verify=verify, quiet=quiet))


def name_of(folder: Storage) -> str:
    """The name by which a run's own documents are known in an index: its folder, from wherever it is looked at."""
    return os.path.realpath(folder.path()) if folder.local else folder.url


def carry_out(job: Job) -> RunResult:
    """Carry out a run whose recipe, inputs and folder have been looked at.

    Raises:
        As `run` does.
    """
    recipe, folder, kept, facts = job.recipe, job.folder, job.kept, job.facts
    # what was published before stays as it is, facts and all, until the new outcome takes its place
    first = not published(job.previous)
    facts = facts | {"work": work_folders(folder, kept, job.previous)}
    # here first: kernels are compiled once, and the workers find them in the cache; the extractor's child is a worker's affair
    try_stages([stage for stage in every_stage(recipe) if stage.needs != "html"])
    check_sources(recipe)
    check_indexes(every_stage(recipe), job.options.run, in_place=job.options.in_place, folder=folder, work=kept)
    of_stages = doubts_of_stages(recipe)
    with taken(folder), Progress(quiet=job.quiet) as progress, _cluster(job.workers) as place:
        forgotten = Forgotten.of(folder)
        if job.forget:
            forgotten = forgotten.adding(job.forget)
        runner = Runner(place, kept, StepStore(kept, job.verify), progress)
        set_up_stages(place, every_stage(recipe))
        units = {
            name: plan_units(name, source.read, recipe.partition_bytes, runner, job.files[name])
            for name, source in recipe.sources.items()
        }
        if job.recorded:
            check_inputs(Driver(recipe, runner, replace(job.options, forgotten=forgotten)), units, job.files)
        # only now: whatever is wrong with stages or inputs leaves the folder as it was
        if first:
            folder.put_json(RUN, facts | {"status": "running"})
        if job.forget:
            forgotten.save(folder)
        for doubt in of_stages:
            progress.tell(doubt)
        try:
            driver, publication, forgotten = _driven(job, runner, units, forgotten)
            state, funnel = driver.state, driver.state.funnel()
            facts |= {"other_records": state.other_totals(), "unreadable_gaps": state.gaps}
            facts |= {"forgotten": len(forgotten.by_id)}
            facts["doubts"] = [
                *of_stages,
                *doubts_of_reading(recipe, funnel, facts["other_records"]),
                *doubts_of_judging(recipe, funnel),
                *dict.fromkeys(state.doubts),
                *doubts_of_places(recipe, forgotten, job.files),
            ]
            publish(folder, kept, publication.files, facts, funnel)
            for extension in driver.extensions:
                extension.write(kept)
            purged = _purge(folder, kept, runner, facts, forgotten)
        except BaseException:
            if first and folder.get_json(RUN)["status"] == "running":
                folder.put_json(RUN, facts | {"status": "stopped"})
            raise
    return RunResult(folder.url, funnel, runner.computed, runner.reused, facts["doubts"], progress.told, purged)


def _driven(
    job: Job, runner: Runner, units: dict[str, list[Unit]], forgotten: Forgotten
) -> tuple[Driver, Publication, Forgotten]:
    """Drive the run to its publication; forgotten documents that stand at other places by now are left out there too."""
    before = dict(runner.store.used)
    while True:
        # what is read here and given up again is no part of the outcome, so it must not outlive the purge
        runner.store.used = dict(before)
        driver = Driver(job.recipe, runner, replace(job.options, forgotten=forgotten))
        try:
            return driver, driver.run(units), forgotten
        except FoundAgain as found:
            more = forgotten.adding(with_marks(found.documents, job.files))
            if len(more.documents) == len(forgotten.documents):
                raise RuntimeError(f"{found}: read although forgotten; please report this") from None
            forgotten = more
            forgotten.save(job.folder)


def _purge(folder: Storage, kept: Storage, runner: Runner, facts: Facts, forgotten: Forgotten) -> Purged:
    """Bring a forgetting to its end: nothing of the documents stays in folders of finished steps."""
    if not forgotten.pending:
        return Purged()
    purged = purge(kept, runner.store.used)
    for other in folders_of_work(folder, facts):
        if other.path() != kept.path() or other.fs != kept.fs:
            purged += purge(other, {})
    forgotten.done().save(folder)
    return purged


def check_options(
    workers: int | None, scheduler: str | None, cluster: str | None, limit: int | None, sample: float | None
) -> None:
    """Raise where a run is asked for what cannot be."""
    if workers is not None and workers < 0:
        raise UserError(f"--workers {workers}: should be a number of processes; 0 works in this process, without any")
    if scheduler is not None and (cluster is not None or workers is not None):
        other = "--cluster" if cluster is not None else "--workers"
        raise UserError(f"--scheduler and {other}: a running scheduler has workers of its own; give one of the two")
    if scheduler is not None and "://" not in scheduler and not scheduler.rpartition(":")[2].isdigit():
        raise UserError(f"--scheduler {scheduler}: should be the address of a running Dask scheduler, tcp://host:port")
    if workers == 0 and cluster is not None:
        raise UserError("--cluster and --workers 0: a cluster has workers; leave one of the two out")
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: reads nothing; give 1 or more documents of each source")
    if sample is not None and not 0 < sample <= 1:
        raise UserError(f"--sample {sample}: should be a share of the documents above 0, at most 1")


@contextmanager
def _cluster(chosen: Workers) -> Iterator[Cluster]:
    place: Cluster = (
        InProcess()
        if chosen.number == 0 and not chosen.scheduler and not chosen.cluster
        else DaskCluster(workers=chosen.number, scheduler=chosen.scheduler, cluster_file=chosen.cluster)
    )
    try:
        yield place
    finally:
        place.close()
