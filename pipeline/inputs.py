"""Units of reading: single files, slices of big ones, groups of small ones. They hold still when files are added."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.passes import Slice
from gristmill.pipeline.readers.inputs import InputFile, list_files
from gristmill.pipeline.readers.reader import ReadSettings, check, split
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.steps import Manifest, Task, step_key
from gristmill.pipeline.storage import Storage

COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
INFLATION = 5
"""Bytes of content in a byte of a compressed file, roughly; decides only which files are walked for a split."""
GROUPED_FORMATS = ("jsonl", "text", "parquet")
"""Formats whose small files are read together. WARC files are not: each is worth a task of its own."""
GROUPS_OF_A_PARTITION, FEWEST_FILES, MOST_FILES = 4, 16, 256
"""Small files are grouped to about a quarter of a partition, but no fewer than 16 at once, so that tasks are worth their cost,
and no more than 256, so that the opening of files is shared out; all on average, since names decide where a group begins."""
CHECKED_AT_ONCE = 1000
NO_DOCUMENTS = frozenset({"removed", "signals", "edits", "reports", "index", "shards", "held_out", "work"})
"""Folders of a run that hold Parquet files which are no documents."""


@dataclass(frozen=True)
class Unit:
    """What one task reads."""

    slices: list[Slice]
    fingerprints: list[str]
    about: str

    def identity(self) -> list[list[Any]]:
        """What decides the records of this unit, for the names of steps."""
        return [[one.file, mark, one.start, one.stop] for one, mark in zip(self.slices, self.fingerprints, strict=True)]


def reader_module(settings: ReadSettings) -> str:
    """The module that reads a format; it is loaded by name, so that the code hash does not see it by itself."""
    return f"gristmill.pipeline.readers.{'warc' if settings.format == 'wet' else settings.format}"


def split_task(work: Storage, prefix: str, *, fs: Any, path: str, settings: ReadSettings, target_bytes: int) -> Manifest:
    """Walk a file and cut it at record boundaries."""
    return {"files": [], "ranges": split(fs, path, settings, target_bytes)}


def check_files(files: list[InputFile], settings: ReadSettings) -> None:
    """Make sure that files are of the format that the recipe says; all that are not are named at once.

    Raises:
        UserError: some are not.
    """
    mistakes = []
    for file in files[:CHECKED_AT_ONCE]:
        try:
            check(file.fs, file.path, settings)
        except UserError as error:
            mistakes.append(str(error))
    if mistakes:
        more = f"\n... and {len(mistakes) - 10:,} more" if len(mistakes) > 10 else ""
        raise UserError("\n".join(mistakes[:10]) + more)


def find_files(sources: Mapping[str, Any], outside: Sequence[Storage]) -> dict[str, list[InputFile]]:
    """Find the files of each source, and make sure that each is of its source's format and read once.

    What lies in the run's own folders is left out: published Parquet files are no input of the run that wrote them.

    Args:
        sources: of a recipe.
        outside: the run folder, and the folder of its finished steps.

    Raises:
        UserError: a file is missing, not of the recipe's format, or read twice; all mistakes are told at once.
    """
    found: dict[str, list[InputFile]] = {}
    mistakes: list[str] = []
    for name, source in sources.items():
        try:
            found[name] = _files_of(source.read, outside)
            check_files(found[name], source.read)
        except UserError as error:
            mistakes.append(f"source {name}: {error}" if len(sources) > 1 else str(error))
    readers: dict[tuple[str, str], str] = {}
    for name, files in found.items() if len(found) > 1 else ():
        for file in files:
            first = readers.setdefault((str(file.fs.protocol), _real(file)), name)
            if first != name:
                mistakes.append(f"{file.path} is read by source {first} and by source {name}; give each file to one source")
    if mistakes:
        more = f"\n... and {len(mistakes) - 10:,} more" if len(mistakes) > 10 else ""
        raise UserError("\n".join(mistakes[:10]) + more)
    return found


def _files_of(settings: ReadSettings, outside: Sequence[Storage]) -> list[InputFile]:
    for path in settings.paths:
        if not path.strip():
            raise UserError("read.paths: holds an empty path; give a file, a folder or a pattern")
    # asked once of each file and folder what it leads to: there may be 100,000 files
    roots = [(type(folder.fs), f"{_root(folder).rstrip('/')}/") for folder in outside]
    listed = list_files(settings.paths, settings)
    real = {id(file): _real(file) for file in listed}
    files = [
        file for file in listed if not any(type(file.fs) is kind and real[id(file)].startswith(root) for kind, root in roots)
    ]
    if not files:
        raise UserError(
            f"{', '.join(settings.paths)}: lies in the run folder {outside[0].url}, which this run would replace; "
            "choose another --output"
        )
    _refuse_other_runs(files)
    _refuse_twice(files, real)
    return files


def _real(file: InputFile) -> str:
    """A file's path, that of what it points to where it is a link."""
    return os.path.realpath(file.path) if isinstance(file.fs, LocalFileSystem) else file.path


def _root(folder: Storage) -> str:
    return os.path.realpath(folder.path()) if folder.local else folder.path()


def _refuse_twice(files: Sequence[InputFile], real: Mapping[int, str]) -> None:
    """Raise where two names lead to one file (links do); `real` has by the file's identity what it leads to."""
    seen: dict[str, InputFile] = {}
    for file in files:
        other = seen.setdefault(real[id(file)], file)
        if other is not file:
            raise UserError(f"{file.path} and {other.path} are one file; its records would be read twice: leave one out")


def _refuse_other_runs(files: Sequence[InputFile]) -> None:
    """Raise where a Parquet file is what a run wrote beside its documents: its ledger, its signals, its index."""
    known: dict[str, bool] = {}
    for file in files:
        parts = file.path.split("/")
        for place, part in enumerate(parts[:-1]):
            if part not in NO_DOCUMENTS or not file.path.endswith(".parquet"):
                continue
            run = "/".join(parts[:place])
            if run not in known:
                known[run] = file.fs.exists(f"{run}/run.json")
            if known[run]:
                raise UserError(
                    f"{file.path} belongs to the run in {run} and holds none of its documents; "
                    f"give {run}/documents to read those, or move the run out of the input folder"
                )


def plan_units(
    source: str, settings: ReadSettings, partition_bytes: int, runner: Runner, files: Sequence[InputFile]
) -> list[Unit]:
    """Cut a source's files into units, in address order."""
    big = [file for file in files if _content_bytes(file) > partition_bytes]
    tasks = [
        Task(
            step_key(
                "split",
                fingerprint=file.fingerprint,
                size=file.size,
                read=settings.model_dump(mode="json", exclude={"paths"}),
                target=partition_bytes,
                code=code_hash("gristmill.pipeline.readers.reader", reader_module(settings)),
            ),
            split_task,
            {"fs": file.fs, "path": file.path, "settings": settings, "target_bytes": partition_bytes},
            f"{source}/{file.file}",
        )
        for file in big
    ]
    ranges = {
        file.file: [(int(start), None if stop is None else int(stop)) for start, stop in manifest["ranges"]]
        for file, manifest in zip(big, runner.run(f"split big files of {source}", tasks), strict=True)
    }
    units: list[Unit] = []
    group: list[InputFile] = []
    grouped = 0
    for file in files:
        alone = settings.format not in GROUPED_FORMATS or _content_bytes(file) * 8 > partition_bytes
        if alone or (group and (_begins_group(file, partition_bytes) or grouped > partition_bytes)):
            units += _grouped(source, group)
            group, grouped = [], 0
        if alone:
            units += [
                Unit([Slice(file.fs, file.path, file.file, start, stop)], [file.mark], _about(source, file, start, stop))
                for start, stop in ranges.get(file.file, [(0, None)])
            ]
        else:
            group.append(file)
            grouped += _content_bytes(file)
    units += _grouped(source, group)
    return units


def _grouped(source: str, files: list[InputFile]) -> list[Unit]:
    if not files:
        return []
    slices = [Slice(file.fs, file.path, file.file) for file in files]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return [Unit(slices, [file.mark for file in files], f"{source}/{files[0].file}{more}")]


def _begins_group(file: InputFile, partition_bytes: int) -> bool:
    """Whether a group of small files begins here: by its name and size alone, so that an added file moves one group at most."""
    drawn = int.from_bytes(blake2b(file.file.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
    share = min(max(_content_bytes(file) * GROUPS_OF_A_PARTITION / partition_bytes, 1 / MOST_FILES), 1 / FEWEST_FILES)
    return drawn < share * 2**64


def _content_bytes(file: InputFile) -> int:
    return file.size * (INFLATION if file.path.endswith(COMPRESSED) else 1)


def _about(source: str, file: InputFile, start: int, stop: int | None) -> str:
    """What a unit reads, for messages: the file, and the range where it is not all of it."""
    whole = start == 0 and stop is None
    return f"{source}/{file.file}" + ("" if whole else f" from {start:,}" + ("" if stop is None else f" to {stop:,}"))
