"""A plan tells the steps of a run and runs none of them."""

import json
from pathlib import Path

import pytest

from gristmill.pipeline.plan import plan
from gristmill.pipeline.recipe import Recipe, recipe_from_resolved
from gristmill.pipeline.runs import run


@pytest.fixture
def small(tmp_path: Path) -> Recipe:
    """Two files, each a partition of its own."""
    for name in "ab":
        lines = [json.dumps({"text": f"{name} {row} has some words"}) + "\n" for row in range(50)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    gopher = {"gopher_quality": {"min_words": 1, "checkpoint": True}}
    return recipe_from_resolved(
        {
            "name": "small",
            "sources": {"s": {"read": {"format": "jsonl", "paths": [str(tmp_path / "*.jsonl")]}, "stages": [gopher]}},
            "stages": ["exact", {"gopher_quality": {"name": "strict"}}, {"gopher_repetition": {}}],
            "tokenize": {"train": {"vocab_size": 300}},
            "partition_bytes": 2000,
        }
    )


def test_a_plan_tells_all_steps_in_order_and_fuses_filters(small, tmp_path):
    rows = plan(small, output=tmp_path / "run")
    assert [(row["step"], row["source"]) for row in rows] == [
        ("read, gopher_quality", "s"),
        ("exact", None),
        ("strict, gopher_repetition", None),
        ("tokenize", None),
        ("publish", None),
    ]
    assert not (tmp_path / "run").exists()


def test_a_plan_knows_what_is_finished_and_what_there_is_to_read(small, tmp_path):
    size = sum((tmp_path / f"{name}.jsonl").stat().st_size for name in "ab")
    (before, *_) = plan(small, output=tmp_path / "run")
    assert (before["partitions"] > 1, before["finished"], before["input_bytes"]) == (True, 0, size)
    assert before["cpu_seconds"] >= 0
    run(small.model_copy(update={"tokenize": None}), output=tmp_path / "run", workers=0, quiet=True)
    (after, *_) = plan(small, output=tmp_path / "run")
    assert after["finished"] == after["partitions"] == before["partitions"]
    changed = small.model_copy(update={"seed": 5})
    assert plan(changed, output=tmp_path / "run", sample=0.5)[0]["finished"] == 0
