"""Calibration: planted copies meet as often as the bands promise, and the pairs of a sample are told by their true similarity."""

import gzip
import json
from collections import defaultdict
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from gristmill.pipeline.calibrate import _sigmas, calibrate, candidate_pairs, true_similarities
from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.errors import UserError
from gristmill.stages.documents import Batch
from gristmill.stages.minhash import MinHash
from gristmill.stages.shingles import jaccard_plainly


class HalfOfTheBands(MinHash):
    """What a mistake in the bands would do."""

    def emit(self, batch, wave=0):
        rows = super().emit(batch, wave)
        return rows.filter(pa.array([place % self.bands < self.bands // 2 for place in range(rows.num_rows)]))


def texts_of(shared_data, name, count):
    with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"][:6000] for _, line in zip(range(count), lines, strict=False)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bands": 40, "rows": 10},
        {"preset": "pile"},
        {"threshold": 0.7},
        {"shingle": "characters", "ngram": 24},
        {"bands": 200},
    ],
)
def test_planted_copies_meet_as_the_curve_says_within_three_sigma(shared_data, settings):
    texts = texts_of(shared_data, "qa", 80) + texts_of(shared_data, "docs", 80) + texts_of(shared_data, "books", 80)
    planted = calibrate(MinHash(**settings), texts)["planted"]
    # the copies are about as similar as they should be
    assert [row["similarity"] for row in planted] == pytest.approx([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95], abs=0.02)
    assert all(row["pairs"] >= 150 for row in planted)
    assert max(abs(row["sigmas"]) for row in planted) <= 3


def test_bands_that_are_lost_show(shared_data):
    planted = calibrate(HalfOfTheBands(), texts_of(shared_data, "books", 200))["planted"]
    assert min(row["sigmas"] for row in planted) < -5


def test_all_pairs_have_their_true_similarity_and_meet_where_a_band_agrees(shared_data):
    texts = [*texts_of(shared_data, "qa", 150), "", "too short"]
    stage = MinHash(bands=20, rows=3)
    batch = Batch.of(pa.table({"text": texts}))
    sets = stage.sketches(batch).to_pylist()
    ((first, similarities),) = true_similarities(stage, batch)
    assert first == 0
    assert all(similarities[a, b] == jaccard_plainly(sets[a], sets[b]) for a, b in combinations(range(len(texts)), 2))
    groups = defaultdict(list)
    for row in stage.emit(batch).to_pylist():
        groups[row["key"], row["check"]].append(row["row"])
    expected = {pair for rows in groups.values() for pair in combinations(rows, 2)}
    assert {divmod(int(pair), len(texts)) for pair in candidate_pairs(stage, batch)} == expected
    found = calibrate(stage, texts)
    assert sum(row["pairs"] for row in found["candidates"]) == len(expected)
    similar = [(a, b) for a, b in combinations(range(len(texts)), 2) if similarities[a, b] >= 0.7]
    assert found["similar"]["pairs"] == len(similar)
    assert found["similar"]["found"] == len(expected & set(similar))
    assert found["precision"] == len(expected & set(similar)) / len(expected)


@pytest.mark.parametrize("name", ["pep_revisions", "licences"])
def test_recall_of_labelled_pairs_is_that_of_brute_force(shared_data, name):
    with gzip.open(shared_data / "dedup" / f"{name}.docs.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    with gzip.open(shared_data / "dedup" / f"{name}.pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        labelled = [json.loads(line)["jaccard5"] for line in lines]
    found = calibrate(MinHash(), texts)
    # labels have four decimals, and none rounds to the bound
    assert found["similar"]["pairs"] == sum(label >= 0.7 for label in labelled)
    by_class = {row["from"]: row for row in found["candidates"]}
    assert by_class[0.9]["pairs"] == by_class[0.9]["of"]
    assert by_class[1.0]["pairs"] == by_class[1.0]["of"]


def test_short_documents_are_refused():
    with pytest.raises(UserError, match="0 of the 30 documents read have 45 words or more; a calibration needs 10"):
        calibrate(MinHash(), ["only a few words"] * 30)


def test_the_command_prints_or_gives_json_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [{"text": " ".join(f"w{(17 * number + at) % 997}" for at in range(60))} for number in range(30)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert exit_status(["stage", "minhash", "texts.jsonl", "--calibrate", "--bands", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["documents"], found["planted"][0]["pairs"]) == (30, 30)
    assert exit_status(["stage", "minhash", "texts.jsonl", "--calibrate"]) == 0
    assert "14 bands of 8 rows, n-grams of 5 words; 30 documents" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["texts.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in.jsonl", "out", "--calibrate"], "--calibrate writes nothing"),
        (["in.jsonl"], "the folder to write is missing"),
        (["in.jsonl", "--calibrate", "--documents", "3"], "a calibration needs 10 or more"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message, capsys):
    assert exit_status(["stage", "minhash", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_differences_are_told_by_how_unlikely_they_are():
    # 8 of 10 coins or more: (45 / 2 + 10 + 1) / 1024 = 0.0327 with half of what was met: 1.842 standard deviations
    assert _sigmas(np.full(10, 0.5), 8) == pytest.approx(1.842, abs=0.001)
    assert _sigmas(np.full(10, 0.5), 2) == pytest.approx(-1.842, abs=0.001)
    assert _sigmas(np.full(10, 0.5), 5) == pytest.approx(0)
    # one of 100 is missed where 0.016 are expected to be: half of 1.6%, and no 7.9 standard deviations of the sum
    chances = np.array([1.0] * 99 + [0.984])
    assert _sigmas(chances, 99) == pytest.approx(-2.409, abs=0.001)
    assert _sigmas(np.ones(3), 3) == pytest.approx(0)
    assert _sigmas(np.ones(3), 2) < -30
