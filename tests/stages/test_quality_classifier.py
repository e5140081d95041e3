"""Quality by a fastText model: score, column and what stays."""

import json

import numpy as np
import pyarrow as pa
import pytest

from gristmill.stages.documents import Batch
from gristmill.stages.domains import Domains
from gristmill.stages.meta import with_meta
from gristmill.stages.quality_classifier import QualityClassifier
from gristmill.stages.stage import StageUnavailable

WORDS = {"study": "positive", "measured": "positive", "casino": "negative", "click": "negative"}
TEXTS = ["study measured study", "casino click\nclick", "study casino", " \n", "measured study click"]


@pytest.fixture(scope="module")
def model(fasttext_model, tmp_path_factory):
    return fasttext_model(tmp_path_factory.mktemp("model") / "quality.bin", WORDS, ["positive", "negative"])


def batch(metas=None) -> Batch:
    return Batch.of(
        pa.table({"id": [f"d{n}" for n in range(5)], "text": TEXTS, "meta": pa.array(metas or [None] * 5, pa.string())})
    )


def test_the_score_is_the_probability_of_the_label_whatever_its_place(model):
    positive, negative = (QualityClassifier(model=model, positive=one).scores(batch()) for one in ("positive", "negative"))
    assert positive[0] > 0.9 > 0.5 > positive[1]
    assert np.isnan(positive[3])
    assert np.isnan(negative[3])
    np.testing.assert_allclose((positive + negative)[[0, 1, 2, 4]], 1.0, atol=2e-5)
    assert (np.round(positive[[0, 1, 2, 4]], 6) == positive[[0, 1, 2, 4]]).all()


def test_the_score_stands_in_meta_and_decides(model):
    stage = QualityClassifier(model=model, at_least=0.8)
    held = batch(['{"a": 1}', None, None, None, None])
    verdict = stage.judge(held)
    assert verdict.kept.tolist() == [True, False, False, True, verdict.signals["score"][4] >= 0.8]
    metas = [json.loads(one) if one else None for one in stage.annotate(held).table["meta"].to_pylist()]
    assert metas[0] == {"a": 1, "quality": verdict.signals["score"][0]}
    assert metas[3] is None


def test_a_model_without_the_label_or_no_model_stops_the_run(model, tmp_path):
    with pytest.raises(StageUnavailable, match="no label 'hq'; its labels are negative, positive"):
        QualityClassifier(model=model, positive="hq").set_up()
    (tmp_path / "text.bin").write_text("no model at all, but long enough to be looked at by whoever reads the beginning" * 3)
    for path in (tmp_path / "text.bin", tmp_path / "none.bin"):
        with pytest.raises(StageUnavailable, match=path.name):
            QualityClassifier(model=str(path)).set_up()
    with pytest.raises(StageUnavailable, match="is a folder; give the path of a fastText model"):
        QualityClassifier(model=str(tmp_path)).set_up()


def test_domains_stand_in_meta_and_can_be_chosen(model):
    stage = Domains(model=model, keep=("positive",))
    held = batch()
    verdict = stage.judge(held)
    assert verdict.kept.tolist()[:2] == [True, False]
    table = stage.annotate(held).table
    first, second, *_ = [json.loads(one) if one else None for one in table["meta"].to_pylist()]
    assert (first["topic"], second["topic"]) == ("positive", "negative")
    assert first["topic_score"] == verdict.signals["label_score"][0]
    assert stage.details(held, verdict.rules[0], np.array([1])) == ["negative"]
    with pytest.raises(StageUnavailable, match="has no label 'sports'"):
        Domains(model=model, keep=("sports",)).set_up()


def test_an_empty_key_stores_no_label_and_no_score(model):
    for stage in (Domains(model=model, key=""), QualityClassifier(model=model, key="")):
        held = batch(['{"a": 1}', None, None, None, None])
        assert stage.annotate(held).table["meta"].to_pylist() == ['{"a": 1}', None, None, None, None]


def test_keys_of_meta_are_replaced_and_taken_away():
    table = batch(['{"b": 2, "quality": 9}', None, '{"quality": 1}', "{}", None]).table
    metas = with_meta(table, {"quality": [0.5, 0.25, None, float("nan"), None], "kind": ["ä", None, None, None, None]})["meta"]
    assert metas.to_pylist() == ['{"b": 2, "kind": "ä", "quality": 0.5}', '{"quality": 0.25}', None, None, None]
