"""`gristmill embeddings train`, and what stages make of its file."""

import json
from itertools import permutations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.embeddings_training import lowest_texts
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.decontaminate import Decontaminate
from gristmill.stages.semantic import Semantic

SUBJECTS = {
    "mill": "the miller grinds {0} sacks of rye and corn in the old mill by the stream every day",
    "boat": "a small boat with {0} sails leaves the harbour and crosses the bay before the storm comes",
    "star": "astronomers count {0} planets around a distant star by the light that each of them hides",
}
NUMBERS = ["two", "three", "four", "five"]
DOCUMENTS = [{"id": f"{name}{n}", "text": text.format(n)} for n in NUMBERS for name, text in SUBJECTS.items()]


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


def train(output: Path, *given: str) -> int:
    few = ["--dimensions", "8", "--buckets", "50", "--min-count", "1", "--epochs", "30"]
    return exit_status(["embeddings", "train", "--input", *given, "--output", str(output), *few])


@pytest.fixture
def vectors(tmp_path) -> str:
    """Words of one subject have one direction; `the`, the most frequent, has that of all texts."""
    words = {"the": 0} | {word: at for at, text in enumerate(SUBJECTS.values(), 1) for word in text.split() if len(word) > 4}
    rows = [" ".join([word, *("1" if at == own else "0" for at in range(4))]) for word, own in words.items()]
    (tmp_path / "words.vec").write_text("\n".join([f"{len(rows)} 4", *rows]) + "\n")
    return str(tmp_path / "words.vec")


def test_the_file_hangs_on_the_texts_not_on_their_files_ids_or_order(tmp_path, capsys):
    assert train(tmp_path / "y.bin", write(tmp_path / "learn.jsonl", DOCUMENTS)) == 0
    assert "42 words of 12 documents" in capsys.readouterr().out
    other = [{"id": str(at), "text": one["text"]} for at, one in enumerate(reversed(DOCUMENTS + DOCUMENTS[:3]))]
    assert (
        train(tmp_path / "x.bin", write(tmp_path / "b.jsonl", other[:4]), write(tmp_path / "a.jsonl", other[4:]), "--json") == 0
    )
    assert (tmp_path / "x.bin").read_bytes() == (tmp_path / "y.bin").read_bytes()
    facts = json.loads((tmp_path / "x.bin.json").read_text())
    assert json.loads(capsys.readouterr().out) == facts
    assert (facts["documents"], facts["documents_read"], facts["words"]) == (12, 15, 42)
    assert facts["tokens"] == sum(len(one["text"].split()) for one in DOCUMENTS)


def test_the_sample_is_a_prefix_by_hash_whatever_the_order():
    texts = ["a" * size for size in (5, 1, 3, 2)]
    ways = [lowest_texts(iter([pa.array(one), pa.array([*one[:2], " "])]), 6, seed=1) for one in permutations(texts)]
    assert len({(tuple(one.texts), one.bytes, one.digest) for one in ways}) == 1
    whole = lowest_texts(iter([pa.array(texts)]), 11, seed=1).texts
    assert sorted(whole) == sorted(texts)
    taken = ways[0].texts
    assert taken == whole[: len(taken)]
    assert sum(map(len, taken)) <= 6 < sum(map(len, whole[: len(taken) + 1]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--input", "none.jsonl"], "nothing is there"),
        (["--input", "LEARN", "--sample-bytes", "3"], "holds no document with text of at most 3 bytes"),
        (["--input", "LEARN", "--min-count", "99"], "--min-count 99: 0 of 42 words occur 99 times"),
        (["--input", "LEARN", "--output", "v.vec"], "should end in .bin"),
        (["--input", "LEARN", "--output", "."], "is a folder"),
        (["--input", "LEARN", "--shortest", "7"], "is more than longest: 6"),
        (["--input", "LEARN", "--dimensions", "0"], "dimensions"),
    ],
)
def test_what_cannot_be_trained_is_told(tmp_path, monkeypatch, capsys, given, message):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "learn.jsonl", DOCUMENTS)
    output = [] if "--output" in given else ["--output", "v.bin"]
    assert exit_status(["embeddings", "train", *(path if one == "LEARN" else one for one in given), *output]) == 2
    assert message in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["learn.jsonl"]


def carried_out(folder: Path, stage, size: int, output: str) -> tuple[list[dict], list[dict]]:
    path = write(folder / "in.jsonl", DOCUMENTS)
    sources = {"x": {"read": {"format": "jsonl", "id": "column", "paths": [path]}}}
    recipe = {"name": "test", "sources": sources, "stages": [stage], "partition_bytes": size}
    run(recipe_from_resolved(recipe), output=folder / output, workers=0, quiet=True)
    return tuple(
        [row for file in sorted((folder / output / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]
        for name in ("documents", "removed")
    )


def test_semantic_keeps_one_of_each_subject_however_the_corpus_is_cut(tmp_path, vectors):
    stage = Semantic(model=f"fasttext:{vectors}", similarity_at_least=0.8, clusters=1)
    kept, removed = carried_out(tmp_path, stage, 10**6, "whole")
    # the longest text of each stays
    assert [row["id"] for row in kept] == ["millthree", "boatthree", "starthree"]
    assert {(row["kept_id"][:4], row["id"][:4]) for row in removed} == {(name, name) for name in SUBJECTS}
    assert min(row["similarity"] for row in removed) >= 0.8
    assert carried_out(tmp_path, stage, 100, "parts") == (kept, removed)


def test_decontaminate_finds_rephrased_items_by_word_vectors(tmp_path, vectors):
    item = {"id": "q/0", "text": "every day the miller by the stream grinds corn and rye, sacks of it, in the old mill"}
    bench = write(tmp_path / "bench.jsonl", [item])
    stage = Decontaminate(benchmarks=(bench,), method="embedding", model=vectors, similarity_at_least=0.85)
    kept, removed = carried_out(tmp_path, stage, 10**6, "whole")
    assert [row["id"] for row in removed] == [f"mill{n}" for n in NUMBERS]
    assert all("q/0" in row["detail"] and "similarity" in row["detail"] for row in removed)
    assert carried_out(tmp_path, stage, 100, "parts") == (kept, removed)


@pytest.mark.parametrize("stage", ["semantic", "decontaminate"])
def test_a_file_that_is_no_vectors_stops_the_run_before_it_begins(tmp_path, capsys, stage):
    path = write(tmp_path / "in.jsonl", DOCUMENTS)
    (tmp_path / "page.bin").write_bytes(b"<html>" * 100)
    more = ["--method", "embedding", "--benchmarks", path] if stage == "decontaminate" else []
    for model, message in (("page.bin", "no file of word vectors"), ("none.vec", "is no file")):
        given = ["stage", stage, path, str(tmp_path / "out"), "--model", str(tmp_path / model), *more]
        assert exit_status(given) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
