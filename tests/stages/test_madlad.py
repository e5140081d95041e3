"""MADLAD-400's rules: bounds worked out by hand, the file of patterns, and the kernels against plain definitions."""

import gzip
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.features import TextFeatures
from gristmill.stages.madlad import Madlad
from gristmill.stages.sentences import split_sentences_plainly
from gristmill.stages.signals import compute, plain_definition
from gristmill.stages.stage import StageUnavailable

SIGNALS = [
    "questionable_sentence_fraction",
    "list_case_sentence_fraction",
    "odd_length_sentence_fraction",
    "danger_char_sentence_fraction",
    "has_policy_phrase",
]
GOOD = "This is a sentence that nobody doubts.\n"
SHORT = "Too short.\n"


def table(texts: list[str]) -> pa.Table:
    return pa.table({"text": pa.array(texts, pa.large_string())})


def value(name: str, text: str, **switches: object) -> float:
    return float(compute(name, TextFeatures(pa.array([text], pa.large_string())), switches)[0])


@pytest.mark.parametrize(
    ("signal", "sentence", "questionable"),
    [
        ("list_case_sentence_fraction", "One Two Three Four Five Six Seven eight nine ten eleven twelve", 1),
        ("list_case_sentence_fraction", "One Two Three Four Five Six seven eight nine ten eleven twelve", 0),  # a half
        ("list_case_sentence_fraction", "One Two Three Four Five Six Seven Eight Nine Ten Eleven", 0),  # 11 tokens
        ("odd_length_sentence_fraction", "a" * 19, 1),
        ("odd_length_sentence_fraction", "é" * 20, 0),
        ("odd_length_sentence_fraction", "a" * 500, 0),
        ("odd_length_sentence_fraction", "a" * 501, 1),
        ("danger_char_sentence_fraction", "abcdefgh12", 0),  # a fifth
        ("danger_char_sentence_fraction", "abcdefg+12", 1),
        ("danger_char_sentence_fraction", "{}+/()>0 words", 1),
        ("has_policy_phrase", "Our Privacy Policy", 1),
        ("has_policy_phrase", "terms  of use", 0),
    ],
)
def test_what_makes_a_sentence_questionable(signal, sentence, questionable):
    assert value(signal, sentence) == questionable


def test_a_fifth_of_questionable_sentences_is_kept():
    texts = [GOOD * 4 + SHORT, GOOD * 7 + SHORT * 2, GOOD * 4, ""]
    assert Madlad().judge(table(texts)).first_failed_rule == [
        None,
        "questionable_sentences",
        "too_few_sentences",
        "too_few_sentences",
    ]


def test_pages_are_dropped_for_what_they_say():
    texts = [
        GOOD * 5 + tail for tail in ("Lorem Ipsum dolor sit amet etc.", "By going on you accept our use of cookies.", "f() { x }")
    ]
    assert Madlad().judge(table(texts)).first_failed_rule == ["lorem_ipsum", "policy", "curly_bracket"]
    lenient = Madlad(drop_lorem_ipsum=False, drop_policies=False, drop_curly_brackets=False, max_questionable_sentences=None)
    assert lenient.judge(table(texts)).kept.tolist() == [True] * 3


def test_cursed_sentences_are_those_that_a_pattern_of_the_file_matches(tmp_path):
    patterns = tmp_path / "cursed.txt"
    patterns.write_text("^\\d+ results\nnobody\n")
    text = GOOD * 2 + "12345 results were found in the archive.\nThere were 5 results in the archive.\n"
    assert value("questionable_sentence_fraction", text) == 0
    assert value("questionable_sentence_fraction", text, path=str(patterns)) == 3 / 4
    assert plain_definition("questionable_sentence_fraction")(text, path=str(patterns)) == 3 / 4
    assert value("questionable_sentence_fraction", "", path=str(patterns)) == 0
    stage = Madlad(cursed=str(patterns))
    stage.set_up()
    assert stage.files() == [str(patterns)]
    assert stage.judge(table([GOOD * 5])).first_failed_rule == ["questionable_sentences"]
    patterns.with_name("bad.txt").write_text("(\n")
    with pytest.raises(StageUnavailable, match=r"bad\.txt: \( is no regular expression"):
        Madlad(cursed=str(patterns.with_name("bad.txt"))).set_up()
    with pytest.raises(StageUnavailable, match=r"nowhere\.txt: cannot be read"):
        Madlad(cursed="nowhere.txt").set_up()


def test_impossible_settings_are_refused():
    with pytest.raises(ValidationError):
        Madlad(max_questionable_sentences=20)


WORDS = ["One", "two", "Three", "é", "Ǆ", "12", "{}", "(a)", "a" * 90, "privacy policy", "Uses Cookies", "Dr.", "e.g.", "U.S."]
MARKS = [". ", "! ", "? ", "。", "...", ' ." ', "\n", "\n\n", " ", "\u2028", "\r\n"]
PIECES = st.sampled_from(WORDS + MARKS)
TEXTS = st.one_of(st.lists(PIECES, max_size=60).map(" ".join), st.lists(PIECES, max_size=40).map("".join), st.text(max_size=30))


def assert_equal_to_plain(texts: list[str]) -> None:
    features = TextFeatures(pa.array(texts, pa.large_string()))
    spans = features.sentences
    for row, text in enumerate(texts):
        places = range(spans.offsets[row], spans.offsets[row + 1])
        found = [features.data[spans.starts[place] : spans.ends[place]].tobytes().decode() for place in places]
        assert found == split_sentences_plainly(text)
    for name in SIGNALS:
        assert compute(name, features, {}).tolist() == [plain_definition(name)(text) for text in texts], name


@settings(deadline=None, max_examples=200)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_signals_equal_their_plain_definitions(texts):
    assert_equal_to_plain(texts)


def test_signals_equal_their_plain_definitions_on_real_texts(shared_data):
    texts = []
    for path in sorted((shared_data / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as rows:
            texts += [json.loads(row)["text"][:3000] for row, _ in zip(rows, range(15), strict=False)]
    assert_equal_to_plain(texts)
