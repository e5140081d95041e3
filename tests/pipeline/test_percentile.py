"""Shares by a signal in runs: the same however the work is cut."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.percentile import Percentile


def carry_out(folder: Path, name: str, stage: Percentile, size: int, workers: int = 0) -> dict[str, bytes]:
    path = folder / "in.jsonl"
    rows = [{"id": f"d{n}", "text": "word " * (n * 13 % 40 + 1), "language": "en" if n % 3 else "de"} for n in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = {"web": {"read": {"format": "jsonl", "id": "column", "language_column": "language", "paths": [str(path)]}}}
    recipe = {"name": "test", "sources": sources, "stages": [stage], "partition_bytes": size}
    run(recipe_from_resolved(recipe), output=folder / name, workers=workers, quiet=True)
    found = [file for part in ("documents", "removed", "signals") for file in sorted((folder / name / part).rglob("*.parquet"))]
    return {str(file.relative_to(folder / name)): file.read_bytes() for file in found}


@pytest.mark.parametrize("by", ["corpus", "language"])
def test_the_same_bytes_from_any_partitions(by, tmp_path):
    stage = Percentile(signal="word_count", top=0.25, by=by)
    whole = carry_out(tmp_path, "whole", stage, 10**6)
    assert carry_out(tmp_path, "cut", stage, 200) == whole
    documents = [pq.read_table(tmp_path / "whole" / name).to_pylist() for name in whole if name.startswith("documents")]
    lengths = sorted(len(row["text"].split()) for rows in documents for row in rows)
    # 1 to 40 words, each once
    if by == "corpus":
        assert lengths == list(range(31, 41))
    else:
        german = sorted((n * 13 % 40 + 1 for n in range(0, 40, 3)), reverse=True)[:4]
        english = sorted((n * 13 % 40 + 1 for n in range(40) if n % 3), reverse=True)[:7]
        assert lengths == sorted(german + english)


def test_the_same_bytes_from_two_workers(tmp_path):
    stage = Percentile(signal="word_count", bottom=0.5)
    assert carry_out(tmp_path, "two", stage, 300, workers=2) == carry_out(tmp_path, "none", stage, 300)
