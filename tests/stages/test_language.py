import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.documents import DOCUMENTS, Batch
from gristmill.stages.language import LID_176, Language
from gristmill.stages.language_model import labels_of
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
    assert [rule.name for rule in verdict.rules] == ["other_language", "low_score"]
    np.testing.assert_array_equal(verdict.signals["language_score"], scores)
    assert verdict.first_failed_rule == ["low_score" if scores[0] <= 0.99 else None, None]
    assert [verdict.threshold(1, row) for row in (0, 1)] == [0.99, 0.1]


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
    assert set(labels_of("lid.176")) == LID_176


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=0, max_size=200))
def test_any_text_has_a_score_between_0_and_1_whatever_stands_beside_it(text):
    alone, beside = Language().identify(batch(text)), Language().identify(batch(ENGLISH, text))
    assert (alone.codes[0], alone.scores[0]) == (beside.codes[1], beside.scores[1])
    assert 0 <= alone.scores[0] <= 1


def test_a_model_that_is_not_there_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path))
    with pytest.raises(StageUnavailable, match=r"gristmill models fetch lid\.176"):
        Language().set_up()
    with pytest.raises(StageUnavailable, match=r"gristmill models fetch lid\.176"):
        Language().files()


def test_a_model_of_ones_own_is_a_path(tmp_path):
    (tmp_path / "no_model.ftz").write_bytes(b"no model")
    with pytest.raises(StageUnavailable, match=r"no_model\.ftz: no fastText model .*too short"):
        Language(model=str(tmp_path / "no_model.ftz")).set_up()
    with pytest.raises(StageUnavailable, match=r"missing\.bin: no such file"):
        Language(model=str(tmp_path / "missing.bin")).set_up()
    lid = str(find("lid.176").path)
    with pytest.raises(
        StageUnavailable, match=r"knows no language english; its labels are af, als, am, an, ar, \.\.\.; did you mean"
    ):
        Language(model=lid, keep={"english": 0.5}).set_up()
    assert Language(model=lid, keep={"de": 0.5}).judge(batch(ENGLISH, GERMAN)).kept.tolist() == [False, True]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"keep": {"ruu": 0.5}}, "ruu: lid.176 knows no such language; did you mean ru"),
        ({"keep": {"en": 2}}, "keep.*en"),
        ({"keep": "nowhere"}, "nowhere: no such table of languages; there is fineweb2"),
        ({"per_language": {"de": {"top_k": 2}}}, "takes no settings by language; give scores in keep"),
    ],
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


def test_a_star_keeps_every_other_language_from_its_own_least_score():
    documents = batch(ENGLISH, GERMAN, FRENCH, "")
    scores = Language().identify(documents).scores
    least = float(scores[2])
    verdict = Language(keep={"en": 0.0, "de": 1.0, "*": least}).judge(documents)
    assert verdict.first_failed_rule == [None, "low_score", "low_score", "other_language"]
    assert [verdict.threshold(1, row) for row in (0, 1, 2)] == [0.0, 1.0, least]
    assert Language(keep={"*": least}, bound="at_least").judge(documents).kept.tolist()[2:] == [True, False]


def test_a_key_may_be_another_code_of_the_language():
    assert Language(keep={"deu": 0.5}).judge(batch(ENGLISH, GERMAN)).kept.tolist() == [False, True]


def test_the_top_k_go_to_meta_and_the_first_two_to_the_signals():
    rows = [
        {"id": str(row), "text": text, "source": "web", "file": "a", "position": row} for row, text in enumerate([ENGLISH, ""])
    ]
    rows[0]["meta"] = '{"title": "Mühle"}'
    documents = Batch(pa.Table.from_pylist(rows, schema=DOCUMENTS))
    stage = Language(top_k=3)
    signals = stage.judge(documents).signals
    first, blank = stage.annotate(documents).table["meta"].to_pylist()
    assert blank is None
    meta = json.loads(first)
    assert meta["title"] == "Mühle"
    (best, best_score), (_, second_score), (_, third_score) = meta["languages"]
    assert best == "en"
    assert best_score >= second_score >= third_score
    np.testing.assert_array_equal(signals["language_score"], [best_score, np.nan])
    np.testing.assert_array_equal(signals["second_score"], [second_score, np.nan])
    np.testing.assert_array_equal(signals["score_margin"], [round(best_score - second_score, 6), np.nan])


def test_a_batch_gives_what_the_library_gives_text_by_text(shared_data):
    from gristmill.stages.language_model import load, predict

    with gzip.open(shared_data / "lang" / "langid_eval.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines][::40]
    found = predict("lid.176", pa.array(texts, pa.large_string()), 2)
    for row, text in enumerate(texts):
        alone = load("lid.176").f.predict(text.replace("\n", " ") + "\n", 2, 0.0, "strict")
        places = range(found.offsets[row], found.offsets[row + 1])
        assert [found.labels[place].as_py() for place in places] == [label.removeprefix("__label__") for _, label in alone]
        np.testing.assert_allclose(found.scores[list(places)], [min(score, 1.0) for score, _ in alone], atol=1e-6)


def test_text_in_another_script_than_its_language_has_is_caught():
    cyrillic = "Привет, как дела сегодня вечером?"
    verdict = Language(min_script_share=0.5).judge(batch(ENGLISH, cyrillic, "", "12345 !!!"))
    assert [rule.name for rule in verdict.rules] == ["other_script"]
    np.testing.assert_array_equal(verdict.signals["script_share"][:3], [1, 1, np.nan])
    assert np.isnan(verdict.signals["script_share"][3])
    assert verdict.kept.all()


@pytest.fixture
def own_model(tmp_path, fasttext_model):
    """A model of three labels with scripts, one of which knows its language in the wrong script."""
    sentences = {
        "eng_Latn": "the cat sat on the mat and looked at the dog",
        "deu_Latn": "die katze sitzt auf der matte und schaut den hund an",
        "rus_Cyrl": "koshka sidit na kovrike i smotrit sobaku",
    }
    words = {word: label for label, sentence in sentences.items() for word in sentence.split()}
    return fasttext_model(tmp_path / "own.bin", words, list(sentences))


def test_labels_of_ones_own_model_stay_as_they_are_and_are_kept_by_language_too(own_model):
    documents = batch("the cat and the dog", "die katze und den hund", "koshka smotrit na sobaku", "unheard of")
    for keep in ({"deu_Latn": 0.5}, {"deu": 0.5}, {"de": 0.5}):
        stage = Language(model=own_model, keep=keep)
        stage.set_up()
        assert stage.judge(documents).first_failed_rule == ["other_language", None, "other_language", "other_language"]
    assert Language(model=own_model).annotate(documents).table["language"].to_pylist() == [
        "eng_Latn",
        "deu_Latn",
        "rus_Cyrl",
        None,
    ]
    verdict = Language(model=own_model, min_script_share=0.5).judge(documents)
    assert verdict.first_failed_rule == [None, None, "other_script", None]
    assert verdict.signals["script_share"][:3].tolist() == [1, 1, 0]


def test_a_model_of_ones_own_that_is_trained_anew_is_read_again(own_model):
    import os
    import shutil

    documents = ("the cat and the dog",)
    assert Language(model=own_model).identify(batch(*documents)).codes == ["eng_Latn"]
    shutil.copy(find("lid.176").path, own_model)
    os.utime(own_model, (1, 1))
    assert Language(model=own_model).identify(batch(*documents)).codes == ["en"]


def test_shares_of_lines_by_language():
    documents = batch(f"{ENGLISH}\n\n{GERMAN}\n{ENGLISH}\n{ENGLISH}", ENGLISH, "")
    english, german = len(ENGLISH.encode()), len(GERMAN.encode())
    signals = Language(lines=True, line_score=0.5).judge(documents).signals
    np.testing.assert_allclose(signals["own_line_share"], [3 * english / (3 * english + german), 1, np.nan])
    assert signals["unknown_line_share"][:2].tolist() == [0, 0]
    assert signals["line_languages"].tolist() == [2, 1, 0]
    assert signals["is_multilingual"].tolist() == [0, 0, 0]
    verdict = Language(line_score=0.5, min_own_lines=0.9, max_line_languages=1, evaluate="all").judge(documents)
    assert [rule.name for rule in verdict.rules] == ["foreign_lines", "too_many_languages"]
    assert verdict.failed.tolist() == [[True, False, False], [True, False, False]]


def test_a_document_of_two_languages_in_even_parts_is_multilingual():
    lines = [ENGLISH] * 6 + [GERMAN] * 6
    verdict = Language(multilingual="drop", line_score=0.5).judge(batch("\n".join(lines), "\n".join(lines[:9])))
    assert verdict.first_failed_rule == ["multilingual", None]


def test_by_lines_the_language_is_that_of_most_bytes():
    documents = batch(f"{ENGLISH}\n{GERMAN}\n{GERMAN}", "")
    codes, scores = Language(by="lines", line_score=0.5).identify(documents)
    assert codes == ["de", None]
    alone = float(Language().identify(batch(GERMAN)).scores[0])
    size = 2 * len(GERMAN.encode())
    assert scores[0] == pytest.approx(size * alone / (size + len(ENGLISH.encode())), abs=1e-6)
    assert scores[1] == 0
