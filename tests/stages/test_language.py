import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.documents import DOCUMENTS, Batch
from gristmill.stages.language import LID_176, Language, _load
from gristmill.stages.models import find
from gristmill.stages.stage import StageUnavailable

ENGLISH = "The miller listens to the sound of the stones and feels the meal between thumb and finger."
GERMAN = "Der Müller hört auf den Klang der Steine und fühlt das Mehl zwischen Daumen und Finger."
FRENCH = "Le meunier écoute le bruit des meules et sent la farine entre le pouce et l'index."


@pytest.fixture(scope="module", autouse=True)
def _model():
    if not find("lid.176").is_fetched:
        pytest.skip("needs the language model: gristmill models fetch lid.176")


def batch(*texts):
    rows = [{"id": str(row), "text": text, "source": "web", "file": "a", "position": row} for row, text in enumerate(texts)]
    return Batch(pa.Table.from_pylist(rows, schema=DOCUMENTS))


def test_documents_in_other_languages_are_dropped_by_name():
    stage, documents = Language(keep={"en": 0.65, "de": 0.65}), batch(ENGLISH, FRENCH, GERMAN, "", " \n\0")
    verdict = stage.judge(documents)
    assert verdict.first_failed_rule == [None, "other_language", None, "other_language", "other_language"]
    assert stage.details(documents, verdict.rules[0], np.array([1, 3])) == ["fr", None]


def test_the_least_score_is_held_against_the_score_of_that_language_only():
    documents = batch(ENGLISH, GERMAN)
    scores = Language().identify(documents).scores
    verdict = Language(keep={"en": 0.99, "de": 0.1}).judge(documents)
    assert [rule.name for rule in verdict.rules] == ["other_language", "low_score", "low_score"]
    np.testing.assert_array_equal(verdict.signals["score_en"], [scores[0], np.nan])
    np.testing.assert_array_equal(verdict.signals["score_de"], [np.nan, scores[1]])
    assert verdict.first_failed_rule == ["low_score" if scores[0] <= 0.99 else None, None]


def test_the_least_score_itself_goes_in_fineweb_and_stays_in_refinedweb():
    documents = batch(ENGLISH)
    score = float(Language().identify(documents).scores[0])
    for bound, least, kept in [
        ("above", score, False),
        ("at_least", score, True),
        ("above", score - 1e-6, True),
        ("at_least", 1.0, False),
    ]:
        assert Language(keep={"en": least}, bound=bound).judge(documents).kept.tolist() == [kept]


def test_columns_hold_what_was_found_and_null_for_blank_texts():
    table = Language().annotate(batch(ENGLISH, "\n", GERMAN)).table
    assert table.schema == DOCUMENTS
    assert table["language"].to_pylist() == ["en", None, "de"]
    english, blank, german = table["language_score"].to_pylist()
    assert blank is None
    assert 0.65 < english <= 1
    assert 0.65 < german <= 1
    assert english == round(english, 6)


def test_without_a_keep_list_nothing_is_dropped():
    assert Language().judge(batch(ENGLISH, GERMAN, "")).kept.tolist() == [True, True, True]


def test_newlines_read_as_spaces_and_null_characters_do_no_harm():
    words = ENGLISH.split()
    documents = batch(" ".join(words), "\n".join(words), "\0".join(words))
    codes, scores = Language().identify(documents)
    assert codes == ["en", "en", "en"]
    assert scores[0] == scores[1] == scores[2]


def test_only_the_start_is_judged_where_asked():
    documents = batch(ENGLISH + GERMAN * 20)
    assert Language(max_characters=len(ENGLISH)).identify(documents).codes == ["en"]
    assert Language().identify(documents).codes == ["de"]


def test_the_list_of_codes_is_the_models():
    assert {label.removeprefix("__label__") for label in _load("lid.176").get_labels()} == LID_176


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=0, max_size=200))
def test_any_text_has_a_score_between_0_and_1_whatever_stands_beside_it(text):
    alone, beside = Language().identify(batch(text)), Language().identify(batch(ENGLISH, text))
    assert (alone.codes[0], alone.scores[0]) == (beside.codes[1], beside.scores[1])
    assert 0 <= alone.scores[0] <= 1


def test_a_model_that_is_not_there_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path))
    _load.cache_clear()
    with pytest.raises(StageUnavailable, match=r"gristmill models fetch lid\.176"):
        Language().set_up()
    with pytest.raises(StageUnavailable, match=r"gristmill models fetch lid\.176"):
        Language().files()


def test_a_model_of_ones_own_is_a_path(tmp_path):
    (tmp_path / "no_model.ftz").write_bytes(b"no model")
    with pytest.raises(StageUnavailable, match=r"no_model\.ftz: no fastText model"):
        Language(model=str(tmp_path / "no_model.ftz")).set_up()
    with pytest.raises(StageUnavailable, match=r"missing\.bin: no such file"):
        Language(model=str(tmp_path / "missing.bin")).set_up()
    lid = str(find("lid.176").path)
    with pytest.raises(StageUnavailable, match="knows no language eng"):
        Language(model=lid, keep={"eng": 0.5}).set_up()
    assert Language(model=lid, keep={"de": 0.5}).judge(batch(ENGLISH, GERMAN)).kept.tolist() == [False, True]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"keep": {"eng": 0.5}}, "eng: lid.176 knows no such language; did you mean en"), ({"keep": {"en": 2}}, "keep.en")],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        Language(**wrong)


def test_sentences_in_well_resourced_languages_are_recognised(shared_data):
    with gzip.open(shared_data / "lang" / "langid_eval.jsonl.gz", "rt") as lines:
        rows = [
            row
            for row in map(json.loads, lines)
            if row["lingua75"] and row["lang"] in {"en", "de", "fr", "es", "ru", "zh", "ja", "ar"}
        ]
    codes = Language().identify(batch(*[row["text"] for row in rows])).codes
    right = sum(code == row["lang"] for code, row in zip(codes, rows, strict=True))
    assert len(rows) >= 600
    assert right / len(rows) > 0.95
