"""Duplicates in meaning beside near-duplicates of words, on documents of which it is known who is a version of whom.

    python benchmarks/semantic.py DOCUMENTS.jsonl.gz... --model MODEL... [--bounds 0.9 0.95 0.98 0.99]

DOCUMENTS have `id`, `text` and `cluster`: documents of one cluster are versions of one text. MODEL is word vectors or the folder
of a sentence-transformers model. Each way removes duplicates in a run of its own. "right" are documents removed for one of their
own cluster, "wrong" those removed for another's; of a cluster all documents but one can be removed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run


def clusters_of(path: Path) -> dict[str, str]:
    """Id to cluster of the documents of a file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return {row["id"]: row["cluster"] for row in map(json.loads, lines)}


def removed_by(path: Path, stage: dict[str, Any], folder: Path) -> tuple[list[dict[str, Any]], float]:
    """The ledger of a run of one stage over a file, and its seconds."""
    sources = {"x": {"read": {"format": "jsonl", "id": "column", "paths": [str(path)]}}}
    start = time.perf_counter()
    run(recipe_from_resolved({"name": "semantic", "sources": sources, "stages": [stage]}), output=folder, workers=0, quiet=True)
    seconds = time.perf_counter() - start
    return [row for file in sorted((folder / "removed").glob("*.parquet")) for row in pq.read_table(file).to_pylist()], seconds


def main() -> None:
    """Print a table for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, nargs="+")
    parser.add_argument("--model", nargs="+", required=True)
    parser.add_argument("--bounds", type=float, nargs="+", default=[0.9, 0.95, 0.98, 0.99, 0.999])
    given = parser.parse_args()
    ways: dict[str, dict[str, Any]] = {"exact": {"exact": {}}, "minhash, similarity 0.7": {"minhash": {"verify": 0.7}}}
    ways["minhash, similarity 0.5, 20 x 4"] = {"minhash": {"verify": 0.5, "bands": 20, "rows": 4}}
    for model in given.model:
        for bound in given.bounds:
            settings = {"model": model, "similarity_at_least": bound, "clusters": 1}
            ways[f"semantic, {Path(model).name}, {bound}"] = {"semantic": settings}
    for path in given.documents:
        cluster = clusters_of(path)
        most = len(cluster) - len(set(cluster.values()))
        print(
            f"\n{path.name}: {len(cluster):,} documents, {len(set(cluster.values())):,} clusters, {most:,} that can be removed\n"
        )
        print("| way | removed | right | wrong | found | seconds |\n| --- | --- | --- | --- | --- | --- |")
        for name, stage in ways.items():
            with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
                ledger, seconds = removed_by(path, stage, Path(folder) / "run")
            right = sum(cluster[row["id"]] == cluster[row["kept_id"]] for row in ledger)
            cells = [len(ledger), right, len(ledger) - right]
            print(f"| {name} | {' | '.join(f'{cell:,}' for cell in cells)} | {right / most:.0%} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
