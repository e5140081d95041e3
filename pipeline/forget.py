"""Takedown: documents are taken out of a finished run, as if its input had never held them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from gristmill.pipeline.dedup_index import INDEX
from gristmill.pipeline.driver import Options
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.forget_purge import Purged
from gristmill.pipeline.forget_selection import Resolved, Selection, resolve, selection, spellings
from gristmill.pipeline.forgotten import Forgotten, Tombstone
from gristmill.pipeline.published import PublishedRun
from gristmill.pipeline.readers.inputs import InputFile
from gristmill.pipeline.recipe import Recipe, recipe_from_resolved
from gristmill.pipeline.run_facts import facts_of
from gristmill.pipeline.run_folder import RUN, Facts, folders_of_work, published, storage_at
from gristmill.pipeline.runs import Job, RunResult, Workers, carry_out, check_options, name_of
from gristmill.pipeline.storage import Storage
from gristmill.stages.indexed import Indexed


@dataclass
class Forgetting:
    """What a request to forget came to."""

    folder: str
    counts: list[dict[str, Any]] = field(default_factory=list)
    """`source`, `outcome` ("kept", "removed at STAGE") and `documents` of what was asked for, as it was before."""
    forgotten: int = 0
    """Documents that this request has taken out."""
    already: int = 0
    """Documents asked for that had been forgotten before."""
    unknown: list[str] = field(default_factory=list)
    """Ids, prefixes and domains that nothing in the run has."""
    kept_before: int = 0
    """Documents of the run, before."""
    kept: int = 0
    """Documents of the run now."""
    back: int = 0
    """How many more are kept than were without those forgotten: their duplicates, and what moved with percentiles."""
    purged: Purged = field(default_factory=Purged)
    notes: list[str] = field(default_factory=list)
    """What else must be known: later runs that were judged against this one, files that have changed."""


def forget(
    run: str | os.PathLike[str],
    *,
    ids: Sequence[str] = (),
    ids_file: str | None = None,
    url_prefixes: Sequence[str] = (),
    domains: Sequence[str] = (),
    reason: str | None = None,
    dry_run: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster: str | None = None,
    work: str | None = None,
    quiet: bool = False,
) -> Forgetting:
    """Take documents out of a run: afterwards it is what a run over the input without them would be.

    The run is carried out again with its own recipe, on the input files that it had, from what is finished; input files are
    read again only where they hold one of the documents. Then everything that the new outcome does not rest on is deleted from
    its finished steps. A request that was interrupted is brought to its end by the next one, with or without a selection.

    Args:
        run: folder of a finished run.
        ids: of documents.
        ids_file: file with one id a line.
        url_prefixes: how URLs begin.
        domains: hosts, with all below them.
        reason: kept in the tombstones.
        dry_run: only count.
        workers: processes on this machine; 0 works in this process.
        scheduler: address of a running Dask scheduler instead.
        cluster: YAML file that describes a Dask cluster to start instead.
        work: folder of finished steps, where the run does not know it itself.
        quiet: show no progress.

    Raises:
        UserError: nothing of it is in the run, no such run, or input that must be read again is not there any more.
    """
    check_options(workers, scheduler, cluster, None, None)
    wanted = selection(ids, ids_file, url_prefixes, domains)
    folder, facts = _run_at(run)
    pending = Forgotten.of(folder).pending
    if not wanted and not pending:
        raise UserError(f"{folder.url}: what shall be forgotten? Give --id, --ids FILE, --url-prefix or --domain")
    # from here on wherever the run was started: its recipe may name lists, models and indexes from there
    work = os.path.abspath(work) if work is not None and "://" not in work else work
    place = Workers(workers, scheduler, cluster and os.path.abspath(cluster))
    result = Forgetting(folder.url)
    with _started_in(facts):
        if pending and not (dry_run and published(facts)):
            if dry_run:
                raise UserError(
                    f"{folder.url}: an earlier request was interrupted; give `gristmill forget` again without --dry-run"
                )
            done = _run_again(folder, facts, (), work, place, quiet)
            _tell(result, folder, facts, done)
        if not wanted:
            return result
        facts = folder.get_json(RUN)
        tombstones = _select(result, folder, facts, wanted, reason)
        if tombstones and not dry_run:
            result.kept_before = _kept(folder)
            done = _run_again(folder, facts, tombstones, work, place, quiet)
            result.forgotten = len(tombstones)
            kept = sum(row["documents"] for row in result.counts if row["outcome"] == "kept")
            _tell(result, folder, facts, done)
            result.back = result.kept - (result.kept_before - kept)
    return result


def _run_at(run: str | os.PathLike[str]) -> tuple[Storage, Facts]:
    name = os.fspath(run)
    if not name.strip():
        raise UserError("RUN: names no folder; give one that `gristmill run` wrote")
    found = Storage(name)
    folder = Storage(os.path.abspath(found.path())) if found.local else found
    if Forgotten.of(folder).pending and folder.exists(RUN):
        facts: Facts = folder.get_json(RUN)  # whatever its status: the last request may have been killed while publishing
    else:
        facts = PublishedRun(folder).facts
        if not published(facts):
            raise UserError(
                f"{name}: the run has published nothing yet (status: {facts.get('status')}); "
                "finish it with `gristmill run`, then forget"
            )
    return folder, facts


@contextmanager
def _started_in(facts: Facts) -> Iterator[None]:
    there = facts.get("started_in")
    if there is None or not os.path.isdir(there):
        yield
        return
    with chdir(there):
        yield


def _select(result: Forgetting, folder: Storage, facts: Facts, wanted: Selection, reason: str | None) -> list[Tombstone]:
    """Tombstones of the documents asked for; fills in what the request means.

    Raises:
        UserError: nothing that was asked for is or was in the run.
    """
    resolved: Resolved = resolve(PublishedRun(folder), wanted)
    known = Forgotten.of(folder)
    before = [one for one in resolved.unknown if any(spelling in known.by_id for spelling in spellings(one))]
    result.already = len(before)
    result.unknown = [one for one in resolved.unknown if one not in before]
    result.counts = resolved.counts()
    if not resolved.found and not before:
        shown = ", ".join(result.unknown[:5]) + (f" and {len(result.unknown) - 5:,} more" if len(result.unknown) > 5 else "")
        kept = "; of documents forgotten earlier only ids are remembered" if known.documents else ""
        raise UserError(f"{folder.url}: no record has {shown}; nothing was changed (see `gristmill why RUN ID_OR_URL`){kept}")
    marks = {(one["source"], one["file"]): f"{one['size']} {one['fingerprint']}" for one in facts["inputs"]}
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        Tombstone(one.id, one.source, one.file, one.position, marks[one.source, one.file], when, reason) for one in resolved.found
    ]


def _run_again(
    folder: Storage, facts: Facts, tombstones: Sequence[Tombstone], work: str | None, place: Workers, quiet: bool
) -> RunResult:
    """Carry the run out again without these documents, on the files that it had."""
    recipe = recipe_from_resolved(facts["recipe"], f"{folder.url}/{RUN}")
    files = _recorded_files(recipe, facts)
    own = folders_of_work(folder, facts)
    kept = storage_at(work, "work") if work is not None else own[-1] if own else Storage(f"{folder.url.rstrip('/')}/work")
    told = facts_of(recipe, facts["limit"], facts["sample"], files)
    told |= {name: facts[name] for name in ("left_out", "started_in") if name in facts}
    # no guardrails: what the run once kept within them must not keep a document from being taken down
    options = Options(facts["limit"], facts["sample"], name_of(folder), guardrails=False, in_place=True)
    return carry_out(Job(recipe, folder, kept, files, told, facts, options, place, quiet=quiet, forget=tombstones, recorded=True))


def _recorded_files(recipe: Recipe, facts: Facts) -> dict[str, list[InputFile]]:
    """The input files that the run had, whether or not they are still there, and no others."""
    files: dict[str, list[InputFile]] = {name: [] for name in recipe.sources}
    for one in facts["inputs"]:
        fs, path = fsspec.core.url_to_fs(one["url"]) if "url" in one else (LocalFileSystem(), one["path"])
        files[one["source"]].append(InputFile(fs, path, one["file"], one["size"], one["fingerprint"]))
    return files


def _kept(folder: Storage) -> int:
    rows = PublishedRun(folder).rows
    last = {row["source"]: row["kept"] for row in rows}
    return sum(last.values())


def _tell(result: Forgetting, folder: Storage, facts: Facts, done: RunResult) -> None:
    result.kept = _kept(folder)
    result.purged += done.purged
    result.notes += [one for one in (*done.doubts, *_notes_on_indexes(folder, facts)) if one not in result.notes]


def _notes_on_indexes(folder: Storage, facts: Facts) -> list[str]:
    """What later runs may still know of the documents, by way of indexes that this run has written."""
    recipe = recipe_from_resolved(facts["recipe"])
    notes = []
    for stage in (*(stage for source in recipe.sources.values() for stage in source.stages), *recipe.stages):
        if not isinstance(stage, Indexed) or not stage.index:
            continue
        runs = [one["run"] for one in Storage(stage.index).get_json(INDEX)["segments"]]
        later = runs[runs.index(name_of(folder)) + 1 :]
        if later:
            notes.append(
                f"{stage.index}: written anew without the documents. Later runs were judged against them: their ledgers may name "
                f"a forgotten id as kept_id, what they removed or cut as its copy stays so, and their finished steps hold "
                f"copies of the earlier index, until they are run again: {', '.join(later)}"
            )
    return notes
