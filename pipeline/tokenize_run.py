"""The tokenize step of recipes, over documents that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.recipe import Guardrails, Output, Recipe, Source, SourceRead, Tokenize
from gristmill.pipeline.runs import RunResult, run
from gristmill.pipeline.single_stage import documents_of, format_of
from gristmill.pipeline.storage import Storage


def run_tokenize(
    settings: Tokenize,
    input: str,
    output: str,
    *,
    read: dict[str, Any] | None = None,
    source: str | None = None,
    only: Sequence[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    quiet: bool = False,
) -> RunResult:
    """Tokenize a file or folder of documents; the output is a run folder with `shards/`.

    Args:
        settings: of the step.
        input: a file, a folder, or a run folder; the format is told from its ending where `read` does not name it.
        output: a new folder, or one of an earlier call.
        read: settings of the reader, `format` and `text_column`, say.
        source: name that all documents get as their source; by default those of a run keep theirs, others are `input`.
        only: sources of a run that are read; all when None.
        workers: processes on this machine; 0 works in this process.
        scheduler: address of a running Dask scheduler instead.
        quiet: show no progress.

    Raises:
        UserError: something about the settings, the input or the folder is wrong.
    """
    how = dict(read or {})
    how.setdefault("format", format_of(input))
    if how["format"] == "parquet":
        how.setdefault("id", "column")
    folders = _folders(input, only)
    if source is not None:
        folders = {source: [path for paths in folders.values() for path in paths]}
    try:
        recipe = Recipe(
            name="stage-tokenize",
            sources={name: Source(read=SourceRead(**how | {"paths": paths})) for name, paths in folders.items()},
            tokenize=settings,
            output=Output(signals=False),
            guardrails=Guardrails(enabled=False),
        )
    except ValidationError as error:
        raise UserError(f"{input}: " + "; ".join(str(found["msg"]) for found in error.errors())) from None
    return run(recipe, output=output, workers=workers, scheduler=scheduler, quiet=quiet)


def _folders(input: str, only: Sequence[str] | None) -> dict[str, list[str]]:
    """Where the documents of each source lie: of a run, each source's; else all as one source, `input`.

    Raises:
        UserError: `only` names a source that is not there.
    """
    documents = documents_of(input)
    found = {"input": [documents]}
    if documents != input:
        storage = Storage(documents)
        names = sorted({name.partition("/")[0] for name in storage.find() if "/" in name})
        found = {name: [f"{documents.rstrip('/')}/{name}"] for name in names} or found
    if only is None:
        return found
    for name in only:
        if name not in found or documents == input:
            raise UserError(
                f"{input}: has no source {name}; it has {', '.join(found) if documents != input else 'none, being no run'}"
            )
    return {name: found[name] for name in only}
