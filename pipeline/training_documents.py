"""Ids of documents that a training read, from the run that made its token shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.published import PublishedRun


def with_ids(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with `run` and `doc_id` for `gristmill why RUN DOC_ID`; both None where the shards' run keeps no documents.

    Shards know documents by a hash of their ids; the ids are looked up among the documents that the run published.

    Args:
        documents: rows with `shard` (RUN/shards/SOURCE/NNNNN) and `doc_hash`.
    """
    wanted: dict[Path, set[str]] = {}
    for row in documents:
        wanted.setdefault(_run_of(row), set()).add(row["doc_hash"])
    found = {run: _ids(run, hashes) for run, hashes in wanted.items()}
    return [
        dict(row) | {"run": str(run) if (name := found[run].get(row["doc_hash"])) is not None else None, "doc_id": name}
        for row in documents
        for run in [_run_of(row)]
    ]


def _run_of(row: Mapping[str, Any]) -> Path:
    return Path(row["shard"]).parents[2]


def _ids(folder: Path, hashes: set[str]) -> dict[str, str]:
    """Hash to id of those that are among the documents of a run."""
    from gristmill.tokenizers.shards import doc_hash

    published = PublishedRun(folder)
    try:
        files = published.files("documents") if published.facts else []
    except UserError:
        return {}
    found: dict[str, str] = {}
    for file in files:
        with published.parquet(file) as parquet:
            for batch in parquet.iter_batches(columns=["id"]):
                for name in batch["id"].to_pylist():
                    if (hashed := doc_hash(name).hex()) in hashes:
                        found[hashed] = name
        if len(found) == len(hashes):
            break
    return found
