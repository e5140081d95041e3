"""The tokenize step of recipes, over documents that are there already."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.recipe import Guardrails, Output, Recipe, Source, SourceRead, Tokenize
from gristmill.pipeline.runs import RunResult, _documents_of, _format_of, run


def run_tokenize(
    settings: Tokenize,
    input: str,
    output: str,
    *,
    read: dict[str, Any] | None = None,
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
        workers: processes on this machine; 0 works in this process.
        scheduler: address of a running Dask scheduler instead.
        quiet: show no progress.

    Raises:
        UserError: something about the settings, the input or the folder is wrong.
    """
    how = dict(read or {})
    how.setdefault("format", _format_of(input))
    how["paths"] = [_documents_of(input)]
    if how["format"] == "parquet":
        how.setdefault("id", "column")
    try:
        recipe = Recipe(
            name="stage-tokenize",
            sources={"input": Source(read=SourceRead(**how))},
            tokenize=settings,
            output=Output(signals=False),
            guardrails=Guardrails(enabled=False),
        )
    except ValidationError as error:
        raise UserError(f"{input}: " + "; ".join(str(found["msg"]) for found in error.errors())) from None
    return run(recipe, output=output, workers=workers, scheduler=scheduler, quiet=quiet)
