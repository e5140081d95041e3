"""`gristmill train which`, from a step of a training to the fate of a page."""

import json

import pytest

from gristmill.pipeline.cli import exit_status


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run with documents and shards, and a training on them."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("which")
    rows = [json.dumps({"id": f"d{n}", "text": f"The mill number {n} grinds {n * n} sacks."}) for n in range(80)]
    (folder / "in.jsonl").write_text("\n".join(rows) + "\n")
    recipe = """
name: small
sources:
  mills:
    read: {format: jsonl, id_column: id}
    stages: []
tokenize: {train: {vocab_size: 270}}
"""
    (folder / "small.yaml").write_text(recipe)
    assert (
        exit_status(
            [
                "run",
                str(folder / "small.yaml"),
                "--input",
                str(folder / "in.jsonl"),
                "--output",
                str(folder / "run"),
                "--workers",
                "0",
            ]
        )
        == 0
    )
    sets = ["steps=3", "schedule.steps=3", "windows=4", "seq_len=16", "device=cpu", "model.layers=1"]
    data = f"data={folder}/run/shards"
    assert exit_status(["train", "tiny", "--set", data, *sets, "--output", str(folder / "training")]) == 0
    return folder


def test_a_step_leads_to_pages_and_their_fate(folders, capsys):
    capsys.readouterr()
    assert exit_status(["train", "which", str(folders / "training"), "--step", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["in_log"] is True
    assert {row["window_of_batch"] for row in found["documents"]} == {0, 1, 2, 3}
    for row in found["documents"][:2]:
        assert exit_status(["why", row["run"], row["doc_id"], "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["id"] == row["doc_id"]
    assert exit_status(["train", "which", str(folders / "training"), "--step", "2"]) == 0
    told = capsys.readouterr().out
    assert "as in the log" in told
    assert found["documents"][0]["doc_id"] in told


def test_a_step_that_is_not_there_is_the_users_mistake(folders, capsys):
    assert exit_status(["train", "which", str(folders / "training"), "--step", "9"]) == 2
    assert "has no step 9; the run has 3" in capsys.readouterr().err


def test_curves_of_trainings_are_a_file(folders, tmp_path, capsys):
    assert exit_status(["train", "report", str(folders / "training"), "--output", str(tmp_path / "curves.html")]) == 0
    assert "<svg" in (tmp_path / "curves.html").read_text()
    assert exit_status(["train", "report", str(tmp_path), "--output", str(tmp_path / "other.html")]) == 2
    assert "holds no metrics.jsonl" in capsys.readouterr().err
