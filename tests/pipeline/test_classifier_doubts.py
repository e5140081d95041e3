"""What is said of a classifier whose tables do not bear much."""

import json

import numpy as np
import pytest

from gristmill.pipeline.classifier_doubts import doubts
from gristmill.pipeline.cli import exit_status

SHARES = (0.01, 0.05, 0.1, 0.5)


def doubted(good: list[float], rest: list[float], learned: tuple[int, int]) -> list[str]:
    scores = np.array([*good, *rest])
    positive = np.arange(len(scores)) < len(good)
    return doubts(scores, positive, dict(zip(("positive", "negative"), learned, strict=True)), SHARES)


def test_large_sets_that_are_told_apart_leave_no_doubt():
    assert doubted([0.9] * 100, [0.1] * 1000, (900, 9000)) == []


@pytest.mark.parametrize(("negatives", "thin"), [(1000, ""), (150, "up to 5% "), (99, "up to 10% "), (19, "up to 50% ")])
def test_few_documents_held_out_are_told_with_what_rests_on_them(negatives, thin):
    # 25 positive: twice the square root of a quarter over 25 is a fifth
    (told,) = doubted([0.9] * 25, [0.1] * negatives, (250, 250))
    assert f"held out are only 25 positive and {negatives:,} negative documents" in told
    assert f"right to {23 if negatives == 19 else 20} points" in told
    assert (f"least scores of shares {thin}rest on fewer than 10 documents" in told) == bool(thin)


def test_scores_that_lie_close_together_mean_little_by_themselves():
    (told,) = doubted([0.5001] * 100, [0.4998] * 1000, (1000, 1000))
    assert told.startswith(
        "scores lie close together (median 0.5001 of positive, 0.4998 of negative documents) after learning from 1,000"
    )


def test_where_good_documents_are_rare_they_score_low_too():
    (told,) = doubted([0.9] * 60 + [0.4] * 40, [0.01] * 1000, (900, 90_000))
    assert told.startswith("only 60% of the positive documents held out reach a score of 0.5: there was one positive document")
    assert "for every 100 negative ones" in told


def test_doubts_are_printed_once_and_stand_beside_the_model(tmp_path, capsys):
    for name, text in (("good", "the study measured {} samples"), ("rest", "click here to win {}")):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text.format(at)}) + "\n" for at in range(60)))
    given = ["--positive", str(tmp_path / "good.jsonl"), "--negative", str(tmp_path / "rest.jsonl"), "--dimensions", "4"]
    assert exit_status(["classifier", "train", *given, "--buckets", "500", "--output", str(tmp_path / "m.bin")]) == 0
    told = json.loads((tmp_path / "m.bin.json").read_text())["doubts"]
    printed = capsys.readouterr()
    assert told[0].startswith("held out are only ")
    assert all(printed.err.count(one) == 1 and one not in printed.out for one in told)
