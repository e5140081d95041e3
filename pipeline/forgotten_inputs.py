"""Forgotten documents and the input: whether what must be read again is still there, and whether places still mean the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.forgotten import Forgotten, Tombstone
from gristmill.pipeline.readers.inputs import InputFile, as_recorded

if TYPE_CHECKING:
    from gristmill.pipeline.driver import Driver
    from gristmill.pipeline.inputs import Unit
    from gristmill.pipeline.recipe import Recipe

SHOWN = 5


def check_inputs(driver: Driver, units: Mapping[str, Sequence[Unit]], files: Mapping[str, Sequence[InputFile]]) -> None:
    """Make sure that all that must be read again can be.

    Args:
        driver: of the run; what it has finished is not read.
        units: of each source.
        files: of each source, as the earlier run found them.

    Raises:
        UserError: files are gone, or are no longer what they were.
    """
    from gristmill.pipeline.driver import source_steps

    wanted: dict[tuple[str, str], None] = {}
    for name, source in driver.recipe.sources.items():
        first = source_steps(source.stages)[0]
        for unit in units[name]:
            # under a limit the name of a step hangs on what those before it have read
            limited = driver.options.limit is not None
            if limited or not driver.runner.store.has(driver.read_task(name, unit, first, None).key):
                wanted |= dict.fromkeys((name, piece.file) for piece in unit.slices)
    known = {(name, file.file): file for name, held in files.items() for file in held}
    missing = [f"{known[one].path} {what}" for one in wanted if (what := as_recorded(known[one]))]
    if missing:
        more = f"\n... and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else ""
        raise UserError(
            f"{len(missing):,} of {len(wanted):,} input files that must be read again cannot be:\n"
            + "\n".join(missing[:SHOWN])
            + f"{more}\nPut them back as they were. Files are read again that hold forgotten documents, and those whose "
            "finished steps are gone (gristmill clean, another version); nothing has been changed"
        )


def with_marks(documents: Iterable[Tombstone], files: Mapping[str, Sequence[InputFile]]) -> list[Tombstone]:
    """The same, each with the mark of its file as it is now."""
    marks = {(name, file.file): file.mark for name, held in files.items() for file in held}
    return [replace(one, mark=marks[one.source, one.file]) for one in documents]


def doubts_of_places(recipe: Recipe, forgotten: Forgotten, files: Mapping[str, Sequence[InputFile]]) -> list[str]:
    """What to say of files whose documents were forgotten by their place alone, and which are not as they were then."""
    marks = {(name, file.file): file.mark for name, held in files.items() for file in held}
    doubts = []
    for name, source in recipe.sources.items():
        if source.read.id_from != "position":
            continue
        for file in dict.fromkeys(one.file for one in forgotten.documents if one.source == name):
            there = forgotten.of_file(name, file)
            now = marks.get((name, file))
            if now is None or any(one.mark != now for one in there):
                what = "is not read any more" if now is None else "has changed"
                doubts.append(
                    f"source {name}: {file} {what} since {len(there):,} of its documents were forgotten by their position; "
                    "look whether they stand elsewhere now, and forget them there"
                )
    return doubts
