"""`gristmill importance train`, and the stage in runs."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.pipeline.whatif import whatif
from gristmill.stages.importance import Importance
from gristmill.stages.importance_weights import read_weights

RAW = [
    {"id": f"r{number}", "text": ("a good study of trees" if number % 3 else "win money now") + " and"} for number in range(30)
]
TARGET = [{"id": "t", "text": "a good study of birds and trees"}]


def write(path: Path, documents: list[dict]) -> str:
    path.write_text("\n".join(map(json.dumps, documents)) + "\n")
    return str(path)


@pytest.fixture
def weights(tmp_path) -> str:
    path = str(tmp_path / "weights.json")
    target, raw = write(tmp_path / "target.jsonl", TARGET), write(tmp_path / "raw.jsonl", RAW)
    assert exit_status(["importance", "train", "--target", target, "--raw", raw, "--output", path]) == 0
    return path


def test_the_order_of_the_files_changes_nothing(tmp_path, weights):
    target, first, second = (
        write(tmp_path / name, held) for name, held in (("t.jsonl", TARGET), ("b.jsonl", RAW[:7]), ("a.jsonl", RAW[7:]))
    )
    other = str(tmp_path / "other.json")
    assert exit_status(["importance", "train", "--target", target, "--raw", first, second, "--output", other]) == 0
    assert Path(other).read_bytes() == Path(weights).read_bytes()


@pytest.mark.parametrize(
    ("target", "buckets", "message"),
    [
        ("none.jsonl", "10", "nothing is there"),
        ("EMPTY", "10", "the target documents hold no words"),
        ("EMPTY", "1", "--buckets 1"),
    ],
)
def test_what_cannot_be_estimated_is_told(tmp_path, capsys, target, buckets, message):
    empty, raw = write(tmp_path / "empty.jsonl", [{"id": "e", "text": " "}]), write(tmp_path / "raw.jsonl", RAW)
    given = ["--target", empty if target == "EMPTY" else target, "--raw", raw, "--buckets", buckets]
    assert exit_status(["importance", "train", *given, "--output", str(tmp_path / "w.json")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "w.json").exists()


def carried_out(folder: Path, stage: Importance, size: int, output: str) -> tuple[list[dict], ...]:
    sources = {"x": {"read": {"format": "jsonl", "id": "column", "paths": [str(folder / "raw.jsonl")]}}}
    recipe = {"name": "test", "sources": sources, "stages": [stage], "partition_bytes": size, "output": {"signals": True}}
    run(recipe_from_resolved(recipe), output=folder / output, workers=0, quiet=True)
    return tuple(
        [row for file in sorted((folder / output / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]
        for name in ("documents", "removed")
    )


def test_a_run_draws_the_same_documents_however_it_is_cut(tmp_path, weights):
    stage = Importance(weights=weights, documents=10, min_words=2)
    kept, removed = carried_out(tmp_path, stage, 10**6, "whole")
    assert carried_out(tmp_path, stage, 100, "parts") == (kept, removed)
    assert len(kept) == 10
    assert len(removed) == 20
    # the weights of the others are some e^50 times smaller
    assert {row["text"] for row in kept} == {"a good study of trees and"}
    assert {row["rule"] for row in removed} == {"not_drawn"}
    (expected,) = read_weights(weights).score(pa.array(["a good study of trees and"]))[0]
    assert {json.loads(row["meta"])["importance"] for row in kept} == {expected}


def test_other_bounds_are_answered_for_without_a_draw_and_refused_with_one(tmp_path, weights):
    carried_out(tmp_path, Importance(weights=weights, min_words=2), 100, "all")
    assert whatif(tmp_path / "all", ["importance.min_words=5"])["stages"][-1]["after"]["kept"] == 20
    carried_out(tmp_path, Importance(weights=weights, documents=10, min_words=2), 100, "drawn")
    for change in ("importance.min_words=5", "importance.at_least=0", "importance.documents=5"):
        with pytest.raises(UserError, match="is no mere bound on what the run measured"):
            whatif(tmp_path / "drawn", [change])
