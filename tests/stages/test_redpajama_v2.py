"""RedPajama-V2's signals: the worked cases, the rules of its example, and the kernels against plain definitions."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.features import TextFeatures
from gristmill.stages.redpajama_kernels import normalise_plainly
from gristmill.stages.redpajama_v2 import RedPajamaV2
from gristmill.stages.signals import MODULES, compute, plain_definition
from gristmill.stages.signals.redpajama import normalised
from gristmill.stages.stage import StageUnavailable

SIGNALS = [name for name, module in MODULES.items() if "signals.redpajama" in module]
BOUNDS = [name for name in RedPajamaV2.model_fields if name.startswith(("min_", "max_"))]


def table(texts: list[str]) -> pa.Table:
    return pa.table({"text": pa.array(texts, pa.large_string())})


def value(name: str, text: str, **switches: object) -> float:
    return float(compute(name, TextFeatures(pa.array([text], pa.large_string())), switches)[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rps_doc_num_sentences", 3),
        ("rps_doc_word_count", 7),
        ("rps_doc_mean_word_length", 2.71428571),
        ("rps_doc_symbol_to_word_ratio", 0.2),
        ("rps_doc_frac_no_alph_words", 0.4),
        ("rps_doc_frac_unique_words", 0.71428571),
        ("rps_doc_unigram_entropy", 1.54982605),
        ("rps_doc_frac_all_caps_words", 0.2),
        ("rps_doc_frac_chars_top_2gram", 0.63157895),
        ("rps_doc_frac_chars_top_3gram", 0),
        ("rps_doc_frac_chars_top_4gram", 0),
    ],
)
def test_worked_cases(name, expected):
    assert value(name, "The cat! The CAT... 123 #tag A") == expected


def test_terminal_marks_are_four_and_a_straight_quotation_mark_is_none():
    text = 'a.\nb! \nc?\nd”\ne"\nf:\n\n'
    assert value("rps_lines_ending_with_terminal_punctution_mark", text) == round(4 / 7, 8)
    assert value("ccnet_nlines", text) == 7


def test_what_is_counted_by_characters_lines_and_words():
    text = "{a} JavaScript!\n• lorem ipsum Lorem, ipsum\n"
    assert value("rps_doc_curly_bracket", text) == round(2 / 43, 8)
    assert value("rps_lines_javascript_counts", text) == 1
    assert value("rps_lines_start_with_bulletpoint", text) == 0.5
    content = "a javascript • lorem ipsum lorem ipsum"
    assert normalise_plainly(text) == content
    assert value("rps_doc_lorem_ipsum", text) == round(2 / len(content), 8)
    assert value("rps_lines_num_words", text) == 3.5
    assert value("rps_lines_uppercase_letter_fraction", text) == round(3 / 43, 8)
    assert value("rps_lines_numerical_chars_fraction", "Ab1, ½") == round(2 / 5, 8)  # ab1 ½


def test_normalised_words_are_decomposed_and_without_punctuation():
    assert normalise_plainly("  Don't\u2028STOP: É\u0323 가") == "dont stop e\u0323\u0301 \u1100\u1161"
    assert value("rps_doc_mean_word_length", "É") == 2


def test_stop_words_are_raw_words_of_the_language():
    assert value("rps_doc_stop_word_fraction", "the barn, The owl") == 1 / 5
    assert value("rps_doc_stop_word_fraction", "der Stall", language="de") == 0.5
    assert value("rps_doc_stop_word_fraction", "the barn", language="xx") == 0


def test_bad_words_come_from_a_file_and_may_be_phrases(tmp_path):
    entries = tmp_path / "bad.txt"
    entries.write_text("Barn\nold owl\n--\n")
    text = "The barn: an OLD, owl; old old owl"
    assert value("rps_doc_ldnoobw_words", text) == 0
    assert value("rps_doc_ldnoobw_words", text, path=str(entries)) == 3
    stage = RedPajamaV2(**{**dict.fromkeys(BOUNDS), "bad_words": str(entries), "max_bad_words": 2})
    assert stage.files() == [str(entries)]
    assert stage.judge(table([text, "a barn"])).first_failed_rule == ["bad_words", None]
    with pytest.raises(StageUnavailable, match=r"nowhere\.txt: cannot be read"):
        RedPajamaV2(stop_words="nowhere.txt").set_up()


def test_the_example_of_the_authors():
    names = [rule.name for rule in RedPajamaV2().active_rules()]
    assert names == [
        "too_few_words",
        "too_many_words",
        "short_words",
        "long_words",
        "too_many_symbols",
        "too_many_bullet_lines",
        "top_2gram",
    ]
    words = [f"word{number}" for number in range(50)]
    texts = [" ".join(words[:49]), " ".join(words), "# " * 60 + " ".join(words), "\n".join("• " + word for word in words)]
    assert RedPajamaV2().judge(table(texts)).first_failed_rule == [
        "too_few_words",
        None,
        "too_many_symbols",
        "too_many_bullet_lines",
    ]


def test_all_signals_are_measured_unless_only_those_of_the_rules_are_wanted():
    texts = table(["a b", ""])
    assert set(RedPajamaV2().judge(texts).signals) == set(SIGNALS)
    assert set(RedPajamaV2(signals="rules").judge(texts).signals) == {rule.signal for rule in RedPajamaV2().active_rules()}
    assert all(np.isfinite(values).all() for values in RedPajamaV2().judge(texts).signals.values())
    with pytest.raises(ValidationError):
        RedPajamaV2(signals="some")


LETTERS = ["the", "The", "CAT", "b", "Ab", "é", "E\u0301\u0323", "İ", "각", "ǅ", "12", "½", "_", "javascript", "JavaScript-"]
MARKS = ["#", "...", ". ", "!", "?", "…", "•", "– ", "”", "{", "}", "'", "\n", "\n\n", " ", "\u2028", "\r\n", "Lorem, Ipsum"]
PIECES = st.sampled_from(LETTERS + MARKS)
TEXTS = st.one_of(st.lists(PIECES, max_size=50).map(" ".join), st.lists(PIECES, max_size=30).map("".join), st.text(max_size=30))


def assert_equal_to_plain(texts: list[str]) -> None:
    features = TextFeatures(pa.array(texts, pa.large_string()))
    found = [
        contents.data[start:end].tobytes().decode()
        for contents in normalised(features)
        for start, end in zip(contents.offsets, contents.offsets[1:], strict=False)
    ]
    assert found == list(map(normalise_plainly, texts))
    for name in SIGNALS:
        values = compute(name, features, {}).tolist()
        expected = [plain_definition(name)(text) for text in texts]
        if name == "rps_doc_unigram_entropy":  # a sum in another order
            assert values == pytest.approx(expected, abs=2e-8), name
        else:
            assert values == expected, name


@settings(deadline=None, max_examples=200)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_signals_equal_their_plain_definitions(texts):
    assert_equal_to_plain(texts)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(["a", "bb", "ccc", "a."]), max_size=40).map(" ".join))
def test_signals_equal_their_plain_definitions_where_much_repeats(text):
    assert_equal_to_plain([text])


def test_many_marks_in_a_row_are_put_in_order():
    assert_equal_to_plain(["a" + "\u0301\u0323\u0345\u05b0" * 500 + "b", "\u0323" * 40 + "\u0301\u0327"])


def test_signals_equal_their_plain_definitions_on_real_texts(shared_data):
    texts = []
    for path in sorted((shared_data / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as rows:
            texts += [json.loads(row)["text"][:2000] for row, _ in zip(rows, range(12), strict=False)]
    with gzip.open(shared_data / "lang" / "langid_eval.jsonl.gz", "rt", encoding="utf-8") as rows:
        texts += [json.loads(row)["text"] for row in rows][::25]
    assert_equal_to_plain(texts)


def test_how_many_texts_are_normalised_at_a_time_changes_nothing(monkeypatch):
    monkeypatch.setattr("gristmill.stages.signals.redpajama._BLOCK_BYTES", 10)
    assert_equal_to_plain(["", "The cat and the cat", "", "javascript: Lorem, Ipsum!", "a", "½ E\u0301"])
