"""Run folders: what may be run into one, what stays of a run that never began, how an outcome takes the place of the last one."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.lock import NAME as LOCK
from gristmill.pipeline.lock import RunLock
from gristmill.pipeline.publish import FINDINGS, FOLDERS
from gristmill.pipeline.recipe import Recipe
from gristmill.pipeline.storage import Storage, place

WORK = "work"
RUN = "run.json"
FUNNEL = "funnel.json"
NEXT = "publishing"
"""Where the next outcome stands whole before it takes the place of the last one; a killed run may leave it."""
OF_WORK = frozenset({"steps", "data"})
"""What a folder of finished steps holds."""
ALWAYS_THERE = frozenset({"lost+found"})
DRAFT = re.compile(r"(run|funnel|lock)[.]json[.][0-9a-f]+[.]part")
"""What is left of a small file whose writer was killed."""

Facts = dict[str, Any]
"""`run.json`."""


def storage_at(path: str | os.PathLike[str], flag: str) -> Storage:
    """A folder that a command names.

    Raises:
        UserError: the path is empty, or a file.
    """
    text = os.fspath(path)
    if not text.strip():
        raise UserError(f"--{flag}: names no folder; give one, or leave the flag out")
    try:
        folder = Storage(text)
        found = folder.exists() and not folder.fs.isdir(folder.path())
    except (ImportError, ValueError) as error:
        raise UserError(f"--{flag} {text}: {error}; give a local path or a URL of an installed protocol") from None
    if found:
        raise UserError(f"{text}: is a file; choose a folder with --{flag}")
    return folder


def check_folder(folder: Storage, recipe: Recipe) -> Facts | None:
    """The facts of the run that is in the folder, None where there is none.

    Raises:
        UserError: the folder is no run, or a run of another recipe or of other sources, or may not be used by this user.
    """
    if not folder.exists():
        return None
    if folder.local and not os.access(folder.path(), os.R_OK | os.W_OK | os.X_OK):
        raise UserError(f"{folder.url}: may not be written by this user; change its permissions or choose another --output")
    if not folder.exists(RUN):
        held = [name for name in _entries(folder) if not _is_ours(folder, name)]
        if held:
            more = f" and {len(held) - 1:,} more" if len(held) > 1 else ""
            raise UserError(f"{folder.url}: holds {held[0]}{more} but no {RUN}, so it is no run; choose another --output")
        return None
    try:
        facts: Facts = folder.get_json(RUN)
        name, sources = facts["recipe"]["name"], list(facts["recipe"]["sources"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder.url}/{RUN}: cannot be read as the facts of a run ({error}); put it back as it was, or choose another "
            f"--output (--work {folder.url}/{WORK} takes over what is finished here)"
        ) from None
    if name != recipe.name:
        raise UserError(f"{folder.url} holds a run of recipe {name}, this one is {recipe.name}; choose another --output")
    if set(sources) != set(recipe.sources):
        raise UserError(
            f"{folder.url} holds a run of sources {', '.join(sources)}, this one has {', '.join(recipe.sources)}; "
            "choose another --output"
        )
    return facts


def _entries(folder: Storage, name: str = "") -> list[str]:
    """Names of what lies directly in a folder."""
    listed = folder.fs.ls(folder.path(name), detail=False)
    return sorted(str(path).rstrip("/").rpartition("/")[2] for path in listed if str(path).rstrip("/") != folder.path(name))


def _is_ours(folder: Storage, name: str) -> bool:
    """Whether a run that never began, or the system, may have left this in a folder."""
    if name.startswith(".") or name in ALWAYS_THERE or name in (LOCK, NEXT) or DRAFT.fullmatch(name):
        return True
    if name != WORK or not folder.fs.isdir(folder.path(name)):
        return False
    return OF_WORK.issuperset(_entries(folder, WORK))


def work_folders(folder: Storage, kept: Storage, previous: Facts | None) -> list[str]:
    """Where runs into this folder have kept finished steps, for `run.json`: `kept`, which this one uses, stands last."""
    root = f"{folder.path()}/"
    inside = folder.local and kept.local and kept.path().startswith(root)
    name = kept.path()[len(root) :] if inside else kept.path() if kept.local else kept.url
    known = (previous or {}).get("work", [])
    return [*(one for one in known if one != name), name]


def folders_of_work(folder: Storage, facts: Facts) -> list[Storage]:
    """The folders that `work_folders` has named and that are still there; without any, the one in the run folder."""
    names = [str(one) for one in facts.get("work", [WORK])]
    found = [Storage(name if "://" in name or os.path.isabs(name) else f"{folder.url.rstrip('/')}/{name}") for name in names]
    return [one for one in found if one.exists()]


@contextmanager
def taken(folder: Storage) -> Iterator[None]:
    """Make the folder and hold its lock; whatever was made is gone again where no run came to be.

    Raises:
        UserError: another command holds it.
    """
    made = _missing_folders(folder.path()) if folder.local else []
    worked = folder.exists(WORK)
    folder.make_folder()
    try:
        with RunLock(folder):
            for name in filter(DRAFT.fullmatch, _entries(folder)):
                folder.delete(name)
            yield
    finally:
        if folder.local and not folder.exists(RUN):
            if not worked:
                shutil.rmtree(folder.path(WORK), ignore_errors=True)
            for path in made:
                with suppress(OSError):  # something else lies there by now
                    os.rmdir(path)


def _missing_folders(path: str) -> list[str]:
    """The folders that must be made for this one, the deepest first."""
    missing = []
    while path and not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing


def published(facts: Facts | None) -> bool:
    """Whether a folder with these facts holds the outcome of a run."""
    return facts is not None and facts.get("status") == "done"


def publish(folder: Storage, work: Storage, files: Sequence[dict[str, Any]], facts: Facts, funnel: dict[str, Any]) -> None:
    """Put the outcome of a run in place of the last one.

    On a local disk the new outcome first stands whole beside the old one, so that whatever goes wrong on the way (a full
    disk, say) leaves the old one as it was; then its files are renamed into place. Meanwhile `run.json` says `publishing` and
    lists no file; it lists the new ones when they are all there and the old ones gone. The same command, given again after
    a kill, completes it.

    Args:
        folder: of the run.
        work: where the files were written.
        files: `name` in the run folder; `file`, `size` and `sha256` in `work`.
        facts: for `run.json`; `final` and `status` are added.
        funnel: `funnel.json`.
    """
    final = {str(one["name"]): one for one in sorted(files, key=lambda one: str(one["name"]))}
    listed = {name: {"size": one["size"], "sha256": one["sha256"]} for name, one in final.items()}
    done = facts | {"final": listed, "status": "done"}
    if not folder.local:
        folder.put_json(RUN, facts | {"status": "publishing"})
        _take_away(folder, set(final))
        _write_outcome(folder, work, final, done, funnel)
        return
    following = Storage(folder.path(NEXT))
    folder.delete(NEXT)
    try:
        _write_outcome(following, work, final, done, funnel)
    except BaseException:
        shutil.rmtree(following.path(), ignore_errors=True)
        raise
    folder.put_json(RUN, facts | {"status": "publishing"})
    _take_away(folder, set(final))
    for name in [*(name for name in following.find() if name != RUN), RUN]:
        os.makedirs(os.path.dirname(folder.path(name)), exist_ok=True)
        os.replace(following.path(name), folder.path(name))
    shutil.rmtree(following.path(), ignore_errors=True)


def _write_outcome(folder: Storage, work: Storage, final: dict[str, dict[str, Any]], done: Facts, funnel: dict[str, Any]) -> None:
    from gristmill.pipeline.report import write_report

    folder.make_folder()
    for name, one in final.items():
        place(work, one["file"], folder, name)
    folder.put_json(FUNNEL, funnel)
    folder.put_json(RUN, done)
    # from the facts, the funnel and the ledger, so after them
    write_report(folder.fs, folder.path())


def _take_away(folder: Storage, keep: set[str]) -> None:
    """Remove what an earlier run published under names that this one does not use."""
    for name in FINDINGS:
        if name not in keep and folder.exists(name):
            folder.delete(name)
    for known in FOLDERS:
        for name in folder.find(known):
            if name not in keep:
                folder.delete(name)
        if folder.local:
            for path, _, _ in os.walk(folder.path(known), topdown=False):
                with suppress(OSError):
                    os.rmdir(path)


def clean(path: str | os.PathLike[str]) -> int:
    """Remove the finished steps that a run keeps for its next time; returns the bytes freed.

    Raises:
        UserError: the folder is no run, or another command works on it.
    """
    name = os.fspath(path)
    folder = Storage(name)
    if not name.strip() or not folder.exists(RUN):
        raise UserError(f"{name}: holds no {RUN}, so it is no run; give a folder that gristmill run wrote")
    with RunLock(folder):
        freed = 0
        for part in (WORK, NEXT):
            freed += sum(_freed(folder, file) for file in folder.find(part))
            folder.delete(part)
    return freed


def _freed(folder: Storage, name: str) -> int:
    """Bytes that come free with a file: none where it is a published one too (a hard link)."""
    if folder.local and os.stat(folder.path(name)).st_nlink > 1:
        return 0
    return folder.size(name) or 0
