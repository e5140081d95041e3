"""Token shards of a mixture's sources whose documents have none: a run folder a source, below one folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gristmill.pipeline.mixture.folders import Folder, check_tokenizers, open_folder
from gristmill.pipeline.mixture.reading import ReadMixture
from gristmill.pipeline.recipe import Tokenize


def tokenize_sources(
    read: ReadMixture, tokenizer: str | None = None, output: str | None = None, *, workers: int | None = None, quiet: bool = False
) -> list[dict[str, Any]]:
    """Tokenize the documents of each source that has no shards of its own, with one tokenizer.

    Args:
        read: the mixture.
        tokenizer: a tokenizer.json; the mixture's when None.
        output: where `<source>/shards` come to lie; the mixture's `shards` when None.
        workers: processes on this machine; 0 works in this process.
        quiet: show no progress.

    Returns:
        A row a source: `source`, `documents`, `tokens`, `shards` (the folder).

    Raises:
        UserError: there is no tokenizer or no folder, a source has no documents, or they cannot be told apart.
    """
    from gristmill.pipeline.tokenize_run import run_tokenize
    from gristmill.tokenizers.shards import read_manifest

    tokenizer, output = tokenizer or read.mixture.tokenizer, output or read.mixture.shards
    if tokenizer is None:
        raise read.error(("tokenizer",), "is missing; name a tokenizer.json there, or with --tokenizer")
    if output is None:
        raise read.error(("shards",), "is missing; name a folder for the token shards there, or with --output")
    # shards made before stand in no one's way: what still holds is reused
    plain = replace(read, mixture=read.mixture.model_copy(update={"shards": None, "tokenizer": tokenizer}))
    found = {name: _opened(plain, name) for name in read.mixture.sources}
    check_tokenizers(plain, {**found})
    rows = []
    for name, folder in found.items():
        shards = folder.shards
        if shards is None:
            source = read.mixture.sources[name]
            how: dict[str, Any] = {} if folder.documents[0].suffix in (".parquet", ".txt") else {"id": "column"}
            run_tokenize(
                Tokenize(tokenizer=tokenizer),
                str(folder.path),
                f"{output}/{name}",
                read=how,
                source=name,
                only=source.only,
                workers=workers,
                quiet=quiet,
            )
            shards = Path(output) / name / "shards"
        entries = [one for one in read_manifest(shards).sources if not folder.entries or one in folder.entries]
        totals = {what: sum(getattr(one, what) for one in entries) for what in ("docs", "tokens")}
        rows.append({"source": name, "documents": totals["docs"], "tokens": totals["tokens"], "shards": str(shards)})
    return rows


def _opened(read: ReadMixture, name: str) -> Folder:
    """The documents of a source, if they can be tokenized by themselves."""
    folder = open_folder(read, name)
    if folder is None:
        raise read.error(("sources", name), "names no documents; name them, or shards")
    if folder.shards is None and read.mixture.sources[name].only is not None and not (folder.path / "run.json").is_file():
        raise read.error(
            ("sources", name, "only"),
            f"chooses sources of a run; {folder.path} is none and is tokenized as a whole; give each source a folder of its own",
        )
    return folder
