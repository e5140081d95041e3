"""OSCAR's annotations: the worked cases, what drops and what does not, and the kernel against plain definitions."""

import gzip
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.features import TextFeatures
from gristmill.stages.oscar import Oscar
from gristmill.stages.signals import compute, plain_definition

SIGNALS = [
    "oscar_line_count",
    "short_line_fraction",
    "header_short_line_fraction",
    "footer_short_line_fraction",
    "non_letter_fraction",
    "long_line_char_fraction",
]
ALL = ("tiny", "short_sentences", "header", "footer", "noisy")


def table(texts: list[str]) -> pa.Table:
    return pa.table({"text": pa.array(texts, pa.large_string())})


def value(name: str, text: str, **switches: object) -> float:
    return float(compute(name, TextFeatures(pa.array([text], pa.large_string())), switches)[0])


def lines(*lengths: int) -> str:
    return "\n".join("x" * length for length in lengths)


@pytest.mark.parametrize(("x", "y", "share", "rule"), [(67, 67, 202 / 336, None), (67, 68, 202 / 337, "too_few_long_lines")])
def test_worked_cases_of_long_lines(x, y, share, rule):
    text = lines(101, x, y, 101)
    assert value("long_line_char_fraction", text) == pytest.approx(share, abs=1e-12)
    assert Oscar().judge(table([text])).first_failed_rule == [rule]


@pytest.mark.parametrize(("text", "share", "rule"), [("abc 123", 4 / 7, "noisy"), ("abcd 12", 3 / 7, None)])
def test_worked_cases_of_noise(text, share, rule):
    assert value("non_letter_fraction", text) == share
    stage = Oscar(drop=["noisy"], trimmed=False, min_long_line_chars=None)
    assert stage.judge(table([text])).first_failed_rule == [rule]


def test_marks_are_no_noise():
    assert value("non_letter_fraction", "e\u0301ക്ഷ\n") == 0


@pytest.mark.parametrize(("count", "rule"), [(4, "tiny"), (5, None)])
def test_fewer_than_5_lines_are_tiny(count, rule):
    assert Oscar(drop=["tiny"]).judge(table([lines(*[101] * count)])).first_failed_rule == [rule]


def test_a_line_of_100_characters_is_short_and_long():
    assert value("short_line_fraction", lines(100, 101)) == 0.5
    assert value("long_line_char_fraction", lines(100, 99)) == 100 / 199
    assert value("header_short_line_fraction", lines(100, 101, 101, 101, 101)) == 0  # of fewer than 100 bytes
    assert value("header_short_line_fraction", lines(99, 101, 101, 101, 101)) == 1
    assert value("header_short_line_fraction", "é" * 99 + "\n" + lines(101, 101, 101, 101)) == 0  # 198 bytes


@pytest.mark.parametrize(
    ("short_first", "short_last", "rule"),
    [(1, 1, None), (2, 1, "header"), (1, 2, "footer"), (2, 2, "header")],
)
def test_more_than_half_of_the_first_or_last_fifth_is_short(short_first, short_last, rule):
    # 15 lines: a fifth is 3, and more than half of it is 2
    text = lines(*[10] * short_first, *[101] * (15 - short_first - short_last), *[10] * short_last)
    stage = Oscar(drop=["header", "footer"], trimmed=False, min_long_line_chars=None)
    assert stage.judge(table([text])).first_failed_rule == [rule]


def test_short_lines_at_both_ends_are_looked_past():
    text = "menu\n\n" + lines(101, 5, 101) + "\r\nimprint\n"
    assert value("oscar_line_count", text) == 6
    assert value("oscar_line_count", text, trimmed=True) == 3
    assert value("short_line_fraction", text, trimmed=True) == 1 / 3
    assert Oscar().judge(table([text, "menu\nimprint", ""])).first_failed_rule == [None, "no_long_line", "no_long_line"]


def test_annotations_are_measured_and_drop_only_if_asked():
    verdict = Oscar().judge(table([lines(101)]))
    assert verdict.kept.tolist() == [True]
    assert {name: values.tolist() for name, values in verdict.signals.items()} == {
        "oscar_line_count": [1.0],
        "short_line_fraction": [0.0],
        "header_short_line_fraction": [0.0],
        "footer_short_line_fraction": [0.0],
        "non_letter_fraction": [0.0],
        "long_line_char_fraction": [1.0],
    }
    assert [rule.name for rule in Oscar(drop=ALL, min_lines=None).active_rules()] == [
        "no_long_line",
        "too_few_long_lines",
        "short_sentences",
        "header",
        "footer",
        "noisy",
    ]
    with pytest.raises(ValidationError):
        Oscar(drop=["adult"])


PIECES = st.sampled_from(["x" * 40, "y" * 101, "z" * 100, "é" * 60, "12 ", "\n", "\n", "\n", "\r\n", "\r", "\u2028", "का"])
TEXTS = st.one_of(st.lists(PIECES, max_size=60).map("".join), st.text(max_size=20))


def assert_equal_to_plain(texts: list[str]) -> None:
    features = TextFeatures(pa.array(texts, pa.large_string()))
    for name in SIGNALS:
        for trimmed in (False, True):
            expected = [plain_definition(name)(text, trimmed=trimmed) for text in texts]
            assert compute(name, features, {"trimmed": trimmed}).tolist() == expected, (name, trimmed)


@settings(deadline=None, max_examples=200)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_signals_equal_their_plain_definitions(texts):
    assert_equal_to_plain(texts)


def test_signals_equal_their_plain_definitions_on_real_texts(shared_data):
    texts = []
    for path in sorted((shared_data / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as rows:
            texts += [json.loads(row)["text"][:3000] for row, _ in zip(rows, range(20), strict=False)]
    assert_equal_to_plain(texts)
