"""Scores of classifiers in runs: shares of corpus and language, draws, keepers; the same however the work is cut."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.domains import Domains
from gristmill.stages.fasttext_training import Hyperparameters, train
from gristmill.stages.fasttext_writer import write_model
from gristmill.stages.minhash import MinHash
from gristmill.stages.quality_classifier import QualityClassifier
from gristmill.stages.score_filter import BINS, lomax, uniform

GOOD, BAD = "study measured sample theory", "casino click win prize"


def text_of(number: int) -> str:
    """A text with more or fewer good words."""
    good, bad = GOOD.split(), BAD.split()
    return " ".join(good[n % 4] if (number * 7 + n) % 10 < number % 11 else bad[n % 4] for n in range(12)) + f" {number}"


DOCUMENTS = [{"id": f"d{n}", "text": text_of(n), "language": "en" if n % 3 else "de"} for n in range(60)]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("model") / "quality.bin"
    learned = train([GOOD, BAD] * 40, ["positive", "negative"] * 40, Hyperparameters(dimensions=4, word_ngrams=1))
    with path.open("wb") as file:
        write_model(learned, file)
    return str(path)


def carry_out(folder: Path, name: str, stages: list, size: int = 10**6, workers: int = 0, documents=DOCUMENTS) -> Path:
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    sources = {"web": {"read": {"format": "jsonl", "id": "column", "language_column": "language", "paths": [str(path)]}}}
    recipe = {"name": "test", "sources": sources, "stages": stages, "partition_bytes": size}
    run(recipe_from_resolved(recipe), output=folder / name, workers=workers, quiet=True)
    return folder / name


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def scores_of(folder: Path, label: str = "quality_classifier") -> dict[str, float]:
    return {row["id"]: row[f"{label}.score"] for row in rows(folder, "signals")}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for part in ("documents", "removed", "signals")
        for file in sorted((folder / part).rglob("*.parquet"))
    }


STAGES = [{"top": 0.3}, {"top": 0.3, "by": "language"}, {"pareto": 3}, {"at_least": 0.5}]


@pytest.mark.parametrize("settings", STAGES, ids=str)
def test_the_same_bytes_from_any_partitions(settings, model, tmp_path):
    stages = [QualityClassifier(model=model, **settings)]
    whole = contents(carry_out(tmp_path, "whole", stages))
    assert contents(carry_out(tmp_path, "cut", stages, size=300)) == whole
    kept = sum(pq.read_metadata(tmp_path / "whole" / name).num_rows for name in whole if name.startswith("documents"))
    gone = sum(pq.read_metadata(tmp_path / "whole" / name).num_rows for name in whole if name.startswith("removed"))
    assert kept + gone == len(DOCUMENTS)
    assert 0 < gone < len(DOCUMENTS)


def test_the_same_bytes_from_two_workers(model, tmp_path):
    stages = [QualityClassifier(model=model, top=0.3, by="language")]
    first = contents(carry_out(tmp_path, "none", stages, size=600))
    assert contents(carry_out(tmp_path, "two", stages, size=600, workers=2)) == first


def test_the_best_share_stays_and_the_ledger_tells_its_bound(model, tmp_path):
    folder = carry_out(tmp_path, "out", [QualityClassifier(model=model, top=0.25)], size=400)
    scores = scores_of(folder)
    assert len(scores) == len(DOCUMENTS)
    # the fifteenth of sixty, and what lies in its bin
    least = int(sorted(scores.values(), reverse=True)[14] * BINS) / BINS
    expected = [document["id"] for document in DOCUMENTS if scores[document["id"]] >= least]
    kept = rows(folder, "documents")
    assert [row["id"] for row in kept] == expected
    assert [json.loads(row["meta"])["quality"] for row in kept] == [scores[row["id"]] for row in kept]
    for row in rows(folder, "removed"):
        assert (row["rule"], row["threshold"]) == ("not_among_top", 0.0)
        assert row["detail"] == f"score {scores[row['id']]:.6f}, bound {least:.6f}"
        assert row["value"] == scores[row["id"]] - least


def test_a_share_of_each_language_stays(model, tmp_path):
    folder = carry_out(tmp_path, "out", [QualityClassifier(model=model, top=0.5, by="language")], size=400)
    scores = scores_of(folder)
    kept = {row["id"] for row in rows(folder, "documents")}
    for language in ("en", "de"):
        ids = [document["id"] for document in DOCUMENTS if document["language"] == language]
        least = int(sorted((scores[one] for one in ids), reverse=True)[len(ids) // 2 - 1] * BINS) / BINS
        assert kept & set(ids) == {one for one in ids if scores[one] >= least}


def test_draws_follow_the_formula(model, tmp_path):
    folder = carry_out(tmp_path, "out", [QualityClassifier(model=model, pareto=9, seed=4)], size=400)
    scores = scores_of(folder)
    ids = [document["id"] for document in DOCUMENTS]
    draws = dict(zip(ids, lomax(uniform(ids, 4), 9).tolist(), strict=True))
    assert [row["id"] for row in rows(folder, "documents")] == [one for one in ids if draws[one] > 1 - scores[one]]
    assert {row["rule"] for row in rows(folder, "removed")} == {"not_drawn"}


def test_of_near_duplicates_the_one_of_the_highest_quality_stays(model, tmp_path):
    body = " ".join(f"word{n}" for n in range(200))
    documents = [
        {"id": name, "text": f"{body} {end}"} for name, end in (("low", BAD), ("high", GOOD), ("between", "study casino"))
    ]
    stages = [QualityClassifier(model=model), MinHash(keep="highest:meta.quality")]
    folder = carry_out(tmp_path, "out", stages, documents=documents)
    assert [row["id"] for row in rows(folder, "documents")] == ["high"]
    assert {row["kept_id"] for row in rows(folder, "removed")} == {"high"}


def test_labels_and_shares_by_the_command_line(model, tmp_path, capsys):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    labelled = tmp_path / "labelled"
    assert exit_status(["stage", "domains", str(path), str(labelled), "--model", model, "--workers", "0"]) == 0
    metas = [json.loads(row["meta"]) for row in rows(labelled, "documents")]
    assert {meta["topic"] for meta in metas} == {"positive", "negative"}
    assert all(meta["topic_score"] >= 0.5 for meta in metas)
    best = tmp_path / "best"
    flags = ["--model", model, "--top", "0.2", "--by", "language", "--workers", "0"]
    assert exit_status(["stage", "quality_classifier", str(path), str(best), *flags]) == 0
    assert 12 <= len(rows(best, "documents")) < 60


def test_a_file_that_is_no_model_stops_the_run_before_it_writes(tmp_path, capsys):
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a"}\n')
    no_model = tmp_path / "model.bin"
    no_model.write_text("words " * 100)
    for flags in (["--model", str(no_model)], ["--model", str(no_model), "--top", "0.1"]):
        assert exit_status(["stage", "quality_classifier", str(path), str(tmp_path / "out"), *flags, "--workers", "0"]) == 2
        assert "model.bin: no fastText model with labels (" in capsys.readouterr().err
        assert not (tmp_path / "out" / "documents").exists()


def test_stages_of_one_model_side_by_side(model, tmp_path):
    stages = [QualityClassifier(model=model, at_least=0.2), Domains(model=model, key="kind")]
    folder = carry_out(tmp_path, "out", stages)
    for row in rows(folder, "documents"):
        meta = json.loads(row["meta"])
        assert meta["kind_score"] == pytest.approx(max(meta["quality"], 1 - meta["quality"]), abs=5e-5)
