"""Importance resampling: the buckets, the weights by hand, the noise, and what is drawn however the corpus is cut."""

import hashlib
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.documents import Batch
from gristmill.stages.importance import Importance, gumbel
from gristmill.stages.importance_ngrams import ngram_buckets, ngram_buckets_plainly
from gristmill.stages.importance_weights import ImportanceWeights, log_ratios_of, read_weights
from gristmill.stages.stage import StageUnavailable


def batch(texts: list[str]) -> Batch:
    return Batch.of(pa.table({"id": [f"d{row}" for row in range(len(texts))], "text": texts}))


@pytest.fixture
def weights(tmp_path) -> str:
    """Each "good" is worth 1, each "bad" -1, and nothing else is worth anything (two buckets would share no word here)."""
    ratios = np.zeros(10_000)
    ratios[ngram_buckets_plainly("good", 10_000)] = 1.0
    ratios[ngram_buckets_plainly("bad", 10_000)] = -1.0
    path = str(tmp_path / "weights.json")
    ImportanceWeights(ratios).write(path)
    return path


def test_the_buckets_are_those_of_the_published_code():
    assert ngram_buckets(pa.array(["Hello world", ", the"]), 10_000).buckets.tolist()[:4] == [7620, 8983, 1529, 4887]
    assert ngram_buckets(pa.array(["the"]), 10_000).buckets.tolist() == [8288]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=200), max_size=4), st.sampled_from([3, 10_000, 2**31 - 1]))
def test_the_kernel_is_its_plain_twin(texts, buckets):
    found = ngram_buckets(pa.array(texts, pa.large_string()), buckets)
    for document, text in enumerate(texts):
        assert found.buckets[found.documents == document].tolist() == ngram_buckets_plainly(text, buckets)


@pytest.mark.parametrize("size", [1, 54, 55, 56, 63, 64, 65, 119, 120, 1000])
def test_words_of_any_length_are_hashed_whole(size):
    expected = int(hashlib.sha256(b"x" * size).hexdigest(), 16) % 9973
    assert ngram_buckets(pa.array(["x" * size]), 9973).buckets.tolist() == [expected]


def test_the_weights_by_hand():
    ratios = log_ratios_of(np.array([2, 1, 1]), np.array([1, 1, 2]))
    np.testing.assert_allclose(ratios, [math.log(2), 0, -math.log(2)], atol=1e-7)
    assert np.array([3, 0, 1]) @ ratios == pytest.approx(1.3863, abs=1e-4)
    for target, raw, missing in (([0, 0], [1, 0], "target"), ([1, 0], [0, 0], "raw")):
        with pytest.raises(ValueError, match=f"the {missing} documents hold no words"):
            log_ratios_of(np.array(target), np.array(raw))


def test_a_document_weighs_the_sum_of_its_words_whoever_its_neighbours_are(weights):
    texts = ["good good", "Bad", "good bad good", "", "x"]
    scores, words = read_weights(weights).score(pa.array(texts))
    assert scores.tolist() == [2, -1, 1, 0, 0]
    assert words.tolist() == [2, 1, 3, 0, 1]
    assert [read_weights(weights).score(pa.array([text]))[0][0] for text in texts] == scores.tolist()


def test_the_weight_stands_in_meta_and_short_documents_go(weights):
    held = batch(["good good bad", "good"])
    stage = Importance(weights=weights, min_words=2, at_least=0.5)
    assert stage.judge(held).first_failed_rule == [None, "too_few_words"]
    assert [json.loads(one) for one in stage.annotate(held).table["meta"].to_pylist()] == [{"importance": 1.0}] * 2
    assert Importance(weights=weights, min_words=0, at_least=1.5).judge(held).first_failed_rule == ["low_importance"] * 2


def test_the_noise_hangs_on_id_and_seed_alone_and_is_gumbels():
    ids = [f"document {number}" for number in range(50_000)]
    noise = np.array(gumbel(ids, 0))
    assert gumbel(ids[7:8], 0) == [noise[7]]
    assert gumbel(ids[:3], 1) != noise[:3].tolist()
    # the mean is Euler's constant and the variance pi^2 / 6; four standard errors
    assert noise.mean() == pytest.approx(0.5772, abs=4 * math.sqrt(math.pi**2 / 6 / len(ids)))
    assert noise.var() == pytest.approx(math.pi**2 / 6, abs=0.07)


def drawn(stage: Importance, texts: list[str], cuts: list[int] | None = None) -> list[int]:
    table = batch(texts).table
    totals = np.zeros(0, dtype=np.int64)
    for start, end in zip([0, *(cuts or [])], [*(cuts or []), len(texts)], strict=True):
        counts = stage.survey(Batch(table.slice(start, end - start))).totals["keys"]
        longer = max(len(counts), len(totals))
        totals = np.pad(totals, (0, longer - len(totals))) + np.pad(counts, (0, longer - len(counts)))
    return np.flatnonzero(stage.settled({"keys": totals}).judge(Batch(table)).kept).tolist()


def test_without_noise_the_best_stay(weights):
    texts = ["good " * times + "bad " * (10 - times) for times in (3, 9, 5, 10, 0)] + ["good"]
    stage = {"weights": weights, "min_words": 2, "noise": False}
    assert drawn(Importance(documents=2, **stage), texts) == [1, 3]
    # of the five that are long enough
    assert drawn(Importance(top=0.6, **stage), texts) == [1, 2, 3]
    assert drawn(Importance(documents=50, **stage), texts) == [0, 1, 2, 3, 4]


def test_with_noise_the_better_are_drawn_more_often(weights):
    texts = ["good"] * 1000 + ["x"] * 1000
    stays = np.array(drawn(Importance(weights=weights, min_words=0, documents=200), texts))
    assert 200 <= len(stays) <= 203
    # without replacement in proportion e : 1, so a little below 146 of 200; five standard deviations of 6.3
    assert 114 < (stays < 1000).sum() < 178


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["good", "bad", "good good", "x"]), min_size=3, max_size=30), st.integers(1, 40))
def test_the_draw_is_the_same_however_the_corpus_is_cut_and_never_too_few(tmp_path_factory, texts, documents):
    ratios = np.zeros(10_000)
    ratios[ngram_buckets_plainly("good", 10_000)] = 1.0
    path = str(tmp_path_factory.getbasetemp() / "cut.json")
    ImportanceWeights(ratios).write(path)
    stage = Importance(weights=path, min_words=0, documents=documents)
    stays = drawn(stage, texts)
    assert drawn(stage, texts, cuts=[1, len(texts) // 2]) == stays
    keys = stage.measure(batch(texts))["importance_key"]
    assert len(stays) >= min(documents, len(texts))
    gone = set(range(len(texts))) - set(stays)
    assert not gone or keys[list(gone)].max() < keys[stays].min()


def test_the_row_of_what_was_not_drawn_names_its_weight_and_the_bound(weights):
    stage = Importance(weights=weights, min_words=0, documents=1, noise=False).model_copy(update={"bound": 1e6})
    held = batch(["good"])
    verdict = stage.judge(held)
    assert verdict.first_failed_rule == ["not_drawn"]
    assert stage.details(held, verdict.rules[1], np.array([0])) == [
        "log weight 1.000000, with noise 1.000000, bound 1000000.000000"
    ]
    assert verdict.signals["importance_above_bound"].tolist() == [1 - 1e6]


def test_two_ways_at_once_and_files_without_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match="both say how many stay"):
        Importance(weights="w", top=0.1, documents=3)
    (tmp_path / "text.json").write_text("good bad")
    (tmp_path / "other.json").write_text('{"kind": "model", "version": 1}')
    for name in ("text.json", "other.json", "none.json"):
        with pytest.raises(StageUnavailable, match=name):
            Importance(weights=str(tmp_path / name)).set_up()
