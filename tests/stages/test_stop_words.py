"""Stop words of a language, of each document's language, or of a file, in `gopher_quality`."""

import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.pipeline.identity import stage_identity
from gristmill.stages import word_lists
from gristmill.stages.features import TextFeatures
from gristmill.stages.gopher_quality import GopherQuality
from gristmill.stages.signals import compute
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.stop_words import counts_by_language, counts_plainly, list_for


def table(texts: list[str], languages: list[str | None] | None = None) -> pa.Table:
    columns = {"text": pa.array(texts, pa.large_string())}
    return pa.table(columns | ({"language": pa.array(languages, pa.string())} if languages else {}))


def values(stage: GopherQuality, documents: pa.Table) -> list[float]:
    return stage.judge(documents).signals["stop_word_count"].tolist()


def test_words_of_the_list_count_in_any_case_and_without_marks_at_their_ends():
    assert values(GopherQuality(stop_words="de"), table(["Und der Hund, und der Baum (und).", "the of and", ""])) == [5, 0, 0]
    assert values(GopherQuality(stop_words="uz"), table(["the of and", "va bilan"])) == [0, 2]  # of jusText
    assert values(GopherQuality(), table(["Und der Hund und der Baum", "the of and", ""])) == [0, 3, 0]


def test_the_paper_counts_different_ones():
    assert values(GopherQuality(stop_words="de", flavour="paper"), table(["Und der Hund, und der Baum."])) == [2]


def test_a_file_is_a_list(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("Hund\nKatze!\n\n—\n", encoding="utf-8")
    stage = GopherQuality(stop_words=str(path))
    assert values(stage, table(["hund und katze", "Baum"])) == [2, 0]
    assert stage.files() == [str(path)]
    first = stage_identity(stage)
    path.write_text("Baum\n", encoding="utf-8")
    assert stage_identity(stage) != first
    assert values(stage, table(["hund und katze", "Baum"])) == [0, 1]


def test_each_document_by_the_list_of_its_language_and_one_without_a_list_passes():
    texts = ["und der xyz", "the of und", "我们在学校", "khmer", "none", "und der"]
    stage = GopherQuality(
        stop_words="document", words="segmented", min_stop_words=2, min_words=None, min_word_length=None, flavour="datatrove"
    )
    verdict = stage.judge(table(texts, ["de", "eng_Latn", "zho_Hans", "km", None, "en"]))
    assert str(verdict.signals["stop_word_count"].tolist()) == "[2.0, 2.0, 2.0, nan, nan, 0.0]"
    assert verdict.first_failed_rule == [None, None, None, None, None, "too_few_stop_words"]


def test_labels_of_models_find_their_list():
    assert [list_for(label) for label in ("de", "deu_Latn", "cmn_Hani", "jpn", "xx")] == ["de", "de", "zh", "ja", None]


def test_a_language_may_have_words_and_a_list_of_its_own():
    stage = GopherQuality(per_language={"th": {"words": "segmented", "stop_words": "th"}})
    verdict = stage.judge(table(["the of the", "คนไทยและที่ของคน"], ["en", "th"]))
    assert verdict.signals["stop_word_count"].tolist() == [3, 3]
    assert {"icu4py", "stopwordsiso"} <= set(stage_identity(stage)["libraries"])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(st.sampled_from("undDERihr ,的我们在—ไทยที่ "), max_size=20), max_size=4), st.booleans())
def test_the_kernel_counts_what_the_plain_definition_counts(texts, distinct):
    features = TextFeatures(pa.array(texts, pa.large_string()))
    for language, words in (("de", "whitespace"), ("zh", "segmented"), ("th", "segmented_by_rules_alphanumeric")):
        expected = [counts_plainly(text, language, words, distinct) for text in texts]
        assert (
            compute("stop_word_count", features, {"listed": language, "words": words, "distinct": distinct}).tolist() == expected
        )
        assert counts_by_language(features, [language] * len(texts), words, distinct).tolist() == expected


@pytest.mark.parametrize(
    ("setting", "message"), [("km", "no list for km; give a file, or one of: af, ar"), ("none/here.txt", "cannot be read")]
)
def test_a_list_that_is_not_there_is_told(setting, message):
    with pytest.raises(StageUnavailable, match=message):
        GopherQuality(stop_words=setting).set_up()


def test_an_empty_list_is_told(tmp_path):
    (tmp_path / "empty.txt").write_text("—\n", encoding="utf-8")
    with pytest.raises(StageUnavailable, match="holds no word"):
        GopherQuality(stop_words=str(tmp_path / "empty.txt")).set_up()


@pytest.mark.parametrize("setting", ["ja", "document"])
def test_without_the_library_the_message_names_the_extra(monkeypatch, setting):
    monkeypatch.setitem(sys.modules, "stopwordsiso", None)
    word_lists.stop_words_of.cache_clear()
    with pytest.raises(StageUnavailable, match=r"gristmill\[words\]"):
        GopherQuality(stop_words=setting, name="another").set_up()


def test_redpajama_has_no_rule_on_stop_words():
    with pytest.raises(ValidationError, match="leave stop_words out"):
        GopherQuality(flavour="rpv2", stop_words="de")
