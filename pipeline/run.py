"""Runs: a recipe carried out into a folder. What the command line calls, and what users of the library call."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gristmill.pipeline.cluster import Cluster, DaskCluster, InProcess
from gristmill.pipeline.driver import Driver, Options, stage_labels
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.inputs import plan_units
from gristmill.pipeline.lock import RunLock
from gristmill.pipeline.passes import READ
from gristmill.pipeline.progress import Progress
from gristmill.pipeline.recipe import Recipe, Source, resolved
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.setup_check import set_up_stages
from gristmill.pipeline.steps import StepStore
from gristmill.pipeline.storage import Storage
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.filter import Filter
from gristmill.stages.stage import Stage

WORK = "work"
RUN = "run.json"


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


def run(
    recipe: Recipe,
    *,
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

    Args:
        recipe: what to do.
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
    folder = Storage(os.fspath(output) if output is not None else f"out/{recipe.name}")
    previous = _check_folder(folder, recipe)
    store_at = Storage(os.fspath(work)) if work is not None else Storage(f"{folder.url.rstrip('/')}/{WORK}")
    with _locked(folder, previous is None), Progress(quiet=quiet) as progress:
        with _cluster(workers, scheduler, cluster) as place:
            runner = Runner(place, store_at, StepStore(store_at, verify), progress)
            facts = _facts(recipe, limit, sample)
            set_up_stages(place, _stages(recipe))
            driver = Driver(recipe, runner, Options(limit, sample, not keep_going))
            units = {}
            for name, source in recipe.sources.items():
                units[name], files = plan_units(name, source.read, recipe.partition_bytes, runner)
                facts["inputs"] += [
                    {"source": name, "file": file.file, "path": file.path, "size": file.size, "fingerprint": file.fingerprint}
                    for file in files
                ]
            # only now: whatever is wrong with stages or inputs leaves the folder as it was
            folder.put_json(RUN, facts | {"status": "running"} | _published_before(previous))
            try:
                publication = driver.run(units)
            except BaseException:
                # what was published before stays as it is, and so do its facts
                done_before = previous is not None and previous.get("status") == "done"
                folder.put_json(RUN, previous if done_before else facts | {"status": "stopped"})
                raise
        state = driver.state
        folder.put_json(RUN, facts | {"status": "publishing"})
        facts["final"] = publication.install(folder)
        facts |= {"other_records": state.other_totals(), "unreadable_gaps": state.gaps, "status": "done"}
        funnel = state.funnel()
        folder.put_json("funnel.json", funnel)
        folder.put_json(RUN, facts)
        _write_report(folder)
        return RunResult(folder.url, funnel, runner.computed, runner.reused)


def run_stage(
    stage: Stage,
    input: str,
    output: str,
    *,
    read: dict[str, Any] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    quiet: bool = False,
) -> RunResult:
    """Run one stage over a file or folder of documents; the output is a run folder. Guardrails are off.

    Args:
        stage: the stage with its settings.
        input: a file or folder; the format is told from its ending where `read` does not name it.
        output: a new folder, or one of an earlier run of the same stage.
        read: settings of the reader, `format` and `text_column`, say.
        workers: processes on this machine; 0 works in this process.
        scheduler: address of a running Dask scheduler instead.
        quiet: show no progress.
    """
    from gristmill.pipeline.readers.reader import ReadSettings

    settings = dict(read or {})
    settings.setdefault("format", _format_of(input))
    settings["paths"] = [_documents_of(input)]
    if settings["format"] == "parquet":
        settings.setdefault("id", "column")
    across = [stage] if isinstance(stage, Deduplicator) else []
    source = Source(read=ReadSettings(**settings), stages=[] if across else [stage])
    recipe = Recipe(name=f"stage-{stage.label}", sources={"input": source}, stages=across, guardrails={"enabled": False})
    return run(recipe, output=output, workers=workers, scheduler=scheduler, quiet=quiet)


def _documents_of(path: str) -> str:
    """The documents of a run folder, or the path itself."""
    documents = Storage(f"{path.rstrip('/')}/documents")
    return documents.url if Storage(path).exists(RUN) and documents.exists() else path


ENDINGS = {
    "wet": (".wet", ".wet.gz"),
    "warc": (".warc", ".warc.gz", ".warc.zst"),
    "jsonl": (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".ndjson"),
    "parquet": (".parquet",),
    "text": (".txt", ".txt.gz"),
}


def _format_of(path: str) -> str:
    folder = Storage(_documents_of(path))
    names = folder.find() if folder.fs.isdir(folder.path()) else [path]
    for name in names:
        for kind, endings in ENDINGS.items():
            if name.endswith(endings):
                return kind
    raise UserError(f"{path}: no file in a format that the name tells (.parquet, .jsonl, .warc.gz, .wet.gz, .txt); give --format")


def _stages(recipe: Recipe) -> list[Stage]:
    return [*(stage for source in recipe.sources.values() for stage in source.stages), *recipe.stages]


@contextmanager
def _cluster(workers: int | None, scheduler: str | None, cluster: str | None) -> Iterator[Cluster]:
    _compile_kernels()
    place: Cluster = (
        InProcess()
        if workers == 0 and not scheduler and not cluster
        else DaskCluster(workers=workers, scheduler=scheduler, cluster_file=cluster)
    )
    try:
        yield place
    finally:
        place.close()


def _compile_kernels() -> None:
    """Compile once here, so that the workers find the kernels in the cache."""
    from gristmill.stages.features import compile_all

    compile_all()


def _check_folder(folder: Storage, recipe: Recipe) -> dict[str, Any] | None:
    """The facts of the run that is in the folder, None where there is nothing.

    Raises:
        UserError: the folder is no run, or a run of another recipe or of other sources.
    """
    if not folder.exists():
        return None
    if not folder.fs.isdir(folder.path()):
        raise UserError(f"{folder.url}: is a file; choose a folder with --output")
    if not folder.exists(RUN):
        held = [name for name in folder.find() if not name.startswith((f"{WORK}/", "lock.json"))]
        if held:
            raise UserError(
                f"{folder.url}: holds {len(held):,} files ({held[0]}, ...) but no run.json, so it is no run; choose another --output"
            )
        return None
    try:
        facts: dict[str, Any] = folder.get_json(RUN)
        name, sources = facts["recipe"]["name"], list(facts["recipe"]["sources"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder.url}/{RUN}: is not readable as a run ({error}); choose another --output") from error
    if name != recipe.name:
        raise UserError(f"{folder.url} holds a run of recipe {name}, this one is {recipe.name}; choose another --output")
    if set(sources) != set(recipe.sources):
        raise UserError(
            f"{folder.url} holds a run of sources {', '.join(sources)}, this one has {', '.join(recipe.sources)}; choose another --output"
        )
    return facts


@contextmanager
def _locked(folder: Storage, new: bool) -> Iterator[None]:
    folder.make_folder()
    try:
        with RunLock(folder):
            yield
    finally:
        if new and folder.local and not folder.exists(RUN):
            _remove_if_empty(folder)


def _remove_if_empty(folder: Storage) -> None:
    """Leave nothing behind of a run that never began."""
    if not [name for name in folder.find() if not name.startswith(f"{WORK}/")]:
        shutil.rmtree(folder.path(), ignore_errors=True)


def _published_before(previous: dict[str, Any] | None) -> dict[str, Any]:
    """What stays published while a run goes on in the folder of an earlier one."""
    return {"final": previous["final"]} if previous and "final" in previous else {}


def _facts(recipe: Recipe, limit: int | None, sample: float | None) -> dict[str, Any]:
    from importlib.metadata import version

    from gristmill.pipeline.code_hash import library_versions

    libraries = tuple(name for stage in _stages(recipe) for name in stage.libraries)
    return {
        "gristmill": version("gristmill"),
        "recipe": resolved(recipe),
        "seed": recipe.seed,
        "limit": limit,
        "sample": sample,
        "versions": library_versions((*libraries, "pyarrow", "numpy", "numba", "dask", "tokenizers")),
        "stages": _stage_facts(recipe),
        "inputs": [],
    }


def _stage_facts(recipe: Recipe) -> list[dict[str, Any]]:
    """The stages in order; one that sources have with other rules stands once for each of them."""
    facts = [{"label": READ, "kind": READ, "sources": list(recipe.sources), "corpus": False, "rules": []}]
    pairs: list[tuple[list[str], Sequence[Stage]]] = [([name], source.stages) for name, source in recipe.sources.items()]
    pairs.append((list(recipe.sources), recipe.stages))
    for names, stages in pairs:
        for stage in stages:
            fact = {"label": stage.label, "kind": stage.kind, "corpus": isinstance(stage, Deduplicator), "rules": _rules(stage)}
            same = next((one for one in facts if {name: one[name] for name in fact} == fact), None)
            if same is None:
                facts.append(fact | {"sources": names})
            else:
                same["sources"] = [*same["sources"], *names]
    order = stage_labels(recipe)
    return sorted(facts, key=lambda fact: order.index(fact["label"]))


def _rules(stage: Stage) -> list[dict[str, Any]]:
    if not isinstance(stage, Filter):
        return []
    bounds: Callable[[Any], str] = lambda rule: next(
        name for name in ("at_least", "at_most", "above", "below") if getattr(rule, name) is not None
    )  # noqa: E731
    return [
        {"rule": rule.name, "signal": rule.signal, "bound": bounds(rule), "threshold": rule.threshold}
        for rule in stage.active_rules()
    ]


def _write_report(folder: Storage) -> None:
    from gristmill.pipeline.report import write_report

    write_report(folder.fs, folder.path())


def clean(folder: str | os.PathLike[str]) -> int:
    """Remove the finished steps that a run keeps for its next time; returns the bytes freed.

    Raises:
        UserError: the folder is no run.
    """
    storage = Storage(os.fspath(folder))
    if not storage.exists(RUN):
        raise UserError(f"{storage.url}: holds no run.json, so it is no run; give a folder that gristmill run wrote")
    with RunLock(storage):
        freed = sum(storage.size(name) or 0 for name in storage.find(WORK))
        storage.delete(WORK)
    return freed
