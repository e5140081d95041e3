"""`gristmill stage tokenize IN OUT`: the tokenize step of recipes by itself."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from gristmill.pipeline.recipe import Tokenize, TrainTokenizer


def tokenize(
    input: str,
    output: str,
    /,
    *,
    settings: Annotated[Tokenize | None, Parameter(name="*")] = None,
    format: Literal["jsonl", "parquet", "text"] | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> None:
    """Turn documents into token shards, in the order of their hashes: the same bytes for any number of workers.

    Example: gristmill stage tokenize out/web out/tokens --tokenizer tokenizer.json

    Args:
        input: file or folder of documents, or a run folder.
        output: run folder to write: shards/, and held_out/ where documents are held out.
        format: what the input files are; default: what their names say.
        text_column: column (jsonl, parquet) that holds the text; default: text.
        id_column: column (jsonl, parquet) that holds the id; without it a document is called by its place.
        workers: processes on this machine; default: one a core.
        scheduler: address of a running Dask scheduler, tcp://host:port.
    """
    from gristmill.pipeline.tokenize_run import run_tokenize

    read = {"format": format, "text_column": text_column, "id": "column" if id_column else None, "id_column": id_column}
    result = run_tokenize(
        settings or Tokenize(train=TrainTokenizer()),
        input,
        output,
        read={key: value for key, value in read.items() if value is not None},
        workers=workers,
        scheduler=scheduler,
    )
    print(f"{result.folder.rstrip('/')}/shards")
    print(*result.untold, sep="\n", end="\n" if result.untold else "", file=sys.stderr)
