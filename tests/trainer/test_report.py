import json

import pytest

from gristmill.trainer.config import ConfigError
from gristmill.trainer.report import chart, report, thinned

TASK = {"accuracy": 0.5, "accuracy_norm": 0.6, "answer_bits_per_byte": 1.2, "items": 9}


def write(folder, losses, **more):
    folder.mkdir()
    rows = [{"step": n, "tokens": 100 * n, "loss": loss, "order_hash": "ab", **more} for n, loss in enumerate(losses, start=1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_points_stand_where_they_are_by_hand():
    # 70 to 630 across, 230 up to 20
    drawn = chart("loss", {"a": [(0, 1), (50, 2), (100, 3)]}, {"a": "#000"})
    assert 'points="70.0,230.0 350.0,125.0 630.0,20.0"' in drawn


def test_several_runs_are_drawn_into_one_file_that_needs_no_other(tmp_path):
    held = {
        "held_out": {"all": {"loss": 2.0, "bits_per_byte": 1.0}},
        "tasks": {"piqa": TASK},
        "source_loss": {"web": 2.0, "books": 3.0},
    }
    runs = [write(tmp_path / "<a>", [5.0, 4.0, 3.0], **held), write(tmp_path / "b", [6.0, 5.0], learning_rate=0.1)]
    found = report(runs, tmp_path / "report.html")
    assert found["charts"] == [
        "loss, nats a token",
        "held out, all: bits a byte",
        "held out, all: loss",
        "piqa: accuracy",
        "piqa: accuracy a byte",
        "piqa: bits a byte of the right answers",
        "loss of books",
        "loss of web",
        "learning rate",
    ]
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 9
    assert page.count("<polyline") == 2 + 8
    assert "&lt;a&gt;" in page
    assert "<a>" not in page
    assert "http" not in page
    assert "src=" not in page


def test_few_points_are_marked_and_the_axis_is_tokens_of_all_runs(tmp_path):
    drawn = chart("accuracy", {"a": [(100, 1)], "b": [(50, 2), (1250, 3)]}, {"a": "#000", "b": "#111"})
    assert drawn.count("<circle") == 3
    assert '<circle cx="70.0" cy="125.0" r="2.5" fill="#111"/>' in drawn
    assert ">50</text>" in drawn
    assert ">1,250 tokens</text>" in drawn
    assert "<circle" not in chart("loss", {"a": [(n, n) for n in range(41)]}, {"a": "#000"})


def test_long_lines_keep_their_ends():
    line = [(float(n), 0.0) for n in range(10_001)]
    assert thinned(line, 5) == [(0.0, 0.0), (2500.0, 0.0), (5000.0, 0.0), (7500.0, 0.0), (10_000.0, 0.0)]
    assert thinned(line[:5], 5) == line[:5]


def test_a_line_that_is_being_written_is_left_out_and_a_damaged_one_told(tmp_path):
    run = write(tmp_path / "a", [5.0, 4.0])
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text + '{"step": 3, "lo')
    assert report([run], tmp_path / "r.html")["runs"] == 1
    (run / "metrics.jsonl").write_text("{\n" + text)
    with pytest.raises(ConfigError, match=r"metrics\.jsonl:1: is not JSON"):
        report([run], tmp_path / "r.html")


def test_folders_without_steps_are_told_and_nothing_is_written(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no metrics\.jsonl"):
        report([tmp_path], tmp_path / "r.html")
    with pytest.raises(ConfigError, match="has no steps yet"):
        report([write(tmp_path / "a", [])], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()
