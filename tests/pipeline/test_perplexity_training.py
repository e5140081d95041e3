"""`gristmill perplexity train`, and the stage in runs."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.perplexity import Perplexity

DOCUMENTS = [
    {"id": f"{kind}{number}", "text": text.format(number), "language": language}
    for number in range(4)
    for kind, language, text in [
        ("good", "en", "the cat sat on the mat {0}\nthe dog saw the cat"),
        ("odd", "en", "mat the on sat cat the {0}"),
        ("far", "de", "zebra quark xylophone {0} cat"),
    ]
]


def write(path: Path, documents: list[dict]) -> Path:
    path.write_text("\n".join(map(json.dumps, documents)) + "\n")
    return path


@pytest.fixture
def model(tmp_path) -> str:
    reference = write(tmp_path / "reference.jsonl", [{"id": "r", "text": "the cat sat on the mat\nthe dog saw a cat"}])
    path = str(tmp_path / "en.lm")
    assert exit_status(["perplexity", "train", "--on", str(reference), "--output", path, "--order", "3"]) == 0
    return path


def test_the_model_hangs_on_the_documents_not_on_their_files(tmp_path, capsys):
    one = write(tmp_path / "one.jsonl", DOCUMENTS)
    first, second = (write(tmp_path / f"{name}.jsonl", part) for name, part in (("b", DOCUMENTS[:5]), ("a", DOCUMENTS[5:])))
    for name, on in (("x", [one]), ("y", [first, second])):
        given = ["--on", *map(str, on), "--sample-bytes", "300", "--output", str(tmp_path / name), "--json"]
        assert exit_status(["perplexity", "train", *given]) == 0
    told = capsys.readouterr().out
    assert '"documents_read": 12' in told
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--on", "none.jsonl"], "nothing is there"),
        (["--on", "REFERENCE", "--sample-bytes", "3"], "holds no document with text"),
        (["--on", "REFERENCE", "--sample-bytes", "much"], "should be a size"),
        (["--on", "REFERENCE", "--order", "12"], "1 to 8"),
        (["--on", "REFERENCE", "--min-count", "0"], "1 or more"),
    ],
)
def test_what_cannot_be_trained_is_told(tmp_path, capsys, given, message):
    path = write(tmp_path / "reference.jsonl", DOCUMENTS)
    given = [str(path) if one == "REFERENCE" else one for one in given]
    assert exit_status(["perplexity", "train", *given, "--output", str(tmp_path / "m.lm")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m.lm").exists()


def carried_out(folder: Path, stage: Perplexity, size: int, output: str) -> tuple[list[dict], list[dict]]:
    path = write(folder / "in.jsonl", DOCUMENTS)
    sources = {"x": {"read": {"format": "jsonl", "id": "column", "paths": [str(path)]}}}
    recipe = {"name": "test", "sources": sources, "stages": [stage], "partition_bytes": size}
    run(recipe_from_resolved(recipe), output=folder / output, workers=0, quiet=True)
    return tuple(
        [row for file in sorted((folder / output / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]
        for name in ("documents", "removed")
    )


def test_a_run_parts_the_corpus_alike_however_it_is_cut(tmp_path, model):
    stage = Perplexity(model=model, buckets="corpus", shares=(0.5, 0.75), keep="head")
    kept, removed = carried_out(tmp_path, stage, 10**6, "whole")
    assert carried_out(tmp_path, stage, 20, "parts") == (kept, removed)
    assert len(kept) + len(removed) == len(DOCUMENTS)
    assert {row["id"] for row in kept} >= {f"good{number}" for number in range(4)}
    # digits do not count, so the four of a kind are alike, and one bin: they stay or go together
    assert len(kept) == 8
    assert {row["rule"] for row in removed} == {"worse_bucket"}
    assert all(row["detail"].startswith("perplexity ") for row in removed)
    assert {json.loads(row["meta"])["bucket"] for row in kept} == {"head"}


def test_a_file_that_is_no_model_stops_the_run_before_it_begins(tmp_path, capsys):
    path = write(tmp_path / "in.jsonl", DOCUMENTS)
    given = ["stage", "perplexity", str(path), str(tmp_path / "out"), "--model", str(path)]
    assert exit_status(given) == 2
    assert "is no n-gram model (does not begin as one does); give one that" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
