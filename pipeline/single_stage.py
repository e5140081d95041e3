"""One stage by itself over documents that are there already."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.recipe import Guardrails, Recipe, Source, SourceRead
from gristmill.pipeline.run_folder import RUN
from gristmill.pipeline.runs import RunResult, run
from gristmill.pipeline.storage import Storage
from gristmill.stages.corpus_stage import sees_corpus
from gristmill.stages.stage import Stage


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

    Raises:
        UserError: something about the settings, the input or the folder is wrong.
    """
    settings = settings_to_read(input, read)
    across: list[Stage] = [stage] if sees_corpus(stage) else []
    try:
        source = Source(read=SourceRead(**settings), stages=[] if across else [stage])
        off = Guardrails(enabled=False)
        recipe = Recipe(name=f"stage-{stage.label}", sources={"input": source}, stages=across, guardrails=off)
    except ValidationError as error:  # the stage cannot work on documents of this kind, or is called something odd
        raise UserError("\n".join(_of_a_single_stage(dict(found), input) for found in error.errors())) from None
    return run(recipe, output=output, workers=workers, scheduler=scheduler, quiet=quiet)


def settings_to_read(input: str, read: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Settings of a reader for a file, a folder or the documents of a run folder, those that are not given told from its names.

    Raises:
        UserError: there is nothing, or nothing of a format that the name tells.
    """
    settings = dict(read or {})
    if "format" not in settings:
        settings["format"] = format_of(input)
    settings["paths"] = [documents_of(input)]
    if settings["format"] == "parquet":
        settings.setdefault("id", "column")
    if settings["format"] in ("parquet", "jsonl"):
        # what an earlier stage has found; bounds by language look there
        settings.setdefault("language_column", "language")
    return settings


def _of_a_single_stage(found: dict[str, Any], input: str) -> str:
    """A mistake in the recipe that `run_stage` makes, for those who wrote no recipe."""
    said = str(found["msg"]).removeprefix("Value error, ")
    if found["loc"] == ("name",):
        return f"--name {str(found['input']).removeprefix('stage-')}: names a folder; use letters, digits, - and _ only"
    return f"{input}: {re.sub(r'^(sources[.]input[.])?stages.0.: ', '', said)}"


def documents_of(path: str) -> str:
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


def format_of(path: str) -> str:
    """The format of the documents at a path, told by the first name that tells one.

    Raises:
        UserError: there is nothing, or no name tells.
    """
    folder = Storage(documents_of(path))
    if not path.strip() or not folder.exists():
        raise UserError(f"{path or 'INPUT'} does not exist; give a file, a folder of documents or a run folder")
    names = folder.find() if folder.fs.isdir(folder.path()) else [path]
    for name in names:
        for kind, endings in ENDINGS.items():
            if name.endswith(endings):
                return kind
    raise UserError(f"{path}: no file in a format that the name tells (.parquet, .jsonl, .warc.gz, .wet.gz, .txt); give --format")
