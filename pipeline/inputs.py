"""Units of reading: single files, slices of big ones, groups of small ones. They hold still when files are added."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

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
CHECKED_AT_ONCE = 1000


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


def plan_units(source: str, settings: ReadSettings, partition_bytes: int, runner: Runner) -> tuple[list[Unit], list[InputFile]]:
    """Find a source's files and cut them into units, in address order.

    Raises:
        UserError: a file is missing, or not of the recipe's format.
    """
    files = list_files(settings.paths, settings)
    check_files(files, settings)
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
    for file in files:
        alone = settings.format not in GROUPED_FORMATS or _content_bytes(file) * 8 > partition_bytes
        if alone or (group and (_begins_group(file) or sum(map(_content_bytes, group)) > partition_bytes)):
            units += _grouped(source, group)
            group = []
        if alone:
            units += [
                Unit([Slice(file.fs, file.path, file.file, start, stop)], [_mark(file)], f"{source}/{file.file}")
                for start, stop in ranges.get(file.file, [(0, None)])
            ]
        else:
            group.append(file)
    units += _grouped(source, group)
    return units, files


def _grouped(source: str, files: list[InputFile]) -> list[Unit]:
    if not files:
        return []
    slices = [Slice(file.fs, file.path, file.file) for file in files]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return [Unit(slices, [_mark(file) for file in files], f"{source}/{files[0].file}{more}")]


def _begins_group(file: InputFile) -> bool:
    """Whether a group of small files begins here: decided by the name alone, so that an added file moves one group at most."""
    return blake2b(file.file.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0] % 16 == 0


def _content_bytes(file: InputFile) -> int:
    return file.size * (INFLATION if file.path.endswith(COMPRESSED) else 1)


def _mark(file: InputFile) -> str:
    return f"{file.size} {file.fingerprint}"
