"""Gopher's repetition rules: the worked cases of each flavour, the bounds themselves, the order."""

import pyarrow as pa
import pytest

from gristmill.stages.documents import Batch
from gristmill.stages.filter import Verdict
from gristmill.stages.gopher_repetition import GopherRepetition

TEN = "a b c d e a b c d e"
EIGHTEEN = "a b c d e f a b c d e f x y z u v w"
LINES = "one line\none line\ntwo\nthree"
PARAGRAPHS = "alpha beta\n\nalpha beta\n\ngamma delta\n\nepsilon"

# (text, rule, value by flavour); single letters are the same words to every splitter
CASES = [
    ("a b a b c", "top_2gram", {"datatrove": 6 / 9, "dclm": 0.8, "dolma": 0.8, "rpv2": 0.8}),
    ("a b a b c", "top_3gram", {"datatrove": 5 / 9, "dclm": 0, "dolma": 0.6, "rpv2": 0}),
    ("a b a b c", "top_4gram", {"datatrove": 7 / 9, "dclm": 0, "dolma": 0.8, "rpv2": 0}),
    ("hello world", "top_2gram", {"datatrove": 1.0, "dclm": 0, "dolma": 1.0, "rpv2": 0}),
    (TEN, "top_2gram", {"datatrove": 6 / 19, "dclm": 0.4, "dolma": 0.4, "rpv2": 0.4}),
    (TEN, "top_3gram", {"datatrove": 10 / 19, "dclm": 0.6, "dolma": 0.6, "rpv2": 0.6}),
    (TEN, "top_4gram", {"datatrove": 14 / 19, "dclm": 0.8, "dolma": 0.8, "rpv2": 0.8}),
    (TEN, "duplicate_5gram", {"datatrove": 5 / 19, "dclm": 1.0, "dolma": 10 / 30, "rpv2": 1.0}),
    (TEN, "duplicate_6gram", {"datatrove": 0, "dclm": 0, "dolma": 0, "rpv2": 0}),
    (EIGHTEEN, "top_2gram", {"datatrove": 6 / 35, "dclm": 4 / 18, "dolma": 4 / 18, "rpv2": round(4 / 18, 8)}),
    (EIGHTEEN, "top_3gram", {"datatrove": 10 / 35, "dclm": 6 / 18, "dolma": 6 / 18, "rpv2": round(6 / 18, 8)}),
    (EIGHTEEN, "top_4gram", {"datatrove": 14 / 35, "dclm": 8 / 18, "dolma": 8 / 18, "rpv2": round(8 / 18, 8)}),
    (EIGHTEEN, "duplicate_5gram", {"datatrove": 5 / 35, "dclm": 12 / 18, "dolma": 4 * 5 / (14 * 5), "rpv2": round(12 / 18, 8)}),
    (EIGHTEEN, "duplicate_6gram", {"datatrove": 6 / 35, "dclm": 12 / 18, "dolma": 2 * 6 / (13 * 6), "rpv2": round(12 / 18, 8)}),
    (LINES, "duplicate_lines", {"datatrove": 0.25, "dclm": 0.5, "dolma": 0.5}),
    (LINES, "duplicate_line_chars", {"datatrove": 8 / 27, "dclm": 16 / 24, "dolma": 16 / 22}),
    (PARAGRAPHS, "duplicate_paragraphs", {"datatrove": 0.25, "dclm": 0.5}),
    (PARAGRAPHS, "duplicate_paragraph_chars", {"datatrove": 10 / 44, "dclm": 20 / 38}),
    (PARAGRAPHS, "duplicate_lines", {"datatrove": 0.25, "dclm": 0.5, "dolma": 5 / 7}),
    (PARAGRAPHS, "duplicate_line_chars", {"datatrove": 10 / 44, "dclm": 20 / 38, "dolma": 20 / 35}),
    # of the most frequent 2-grams DCLM takes the longest, the others the first
    (
        "a b x long word y a b z long word",
        "top_2gram",
        {"datatrove": 6 / 33, "dclm": 16 / 23, "dolma": 4 / 23, "rpv2": round(4 / 23, 8)},
    ),
]


def judge(stage: GopherRepetition, texts: list[str]) -> Verdict:
    return stage.judge(Batch(pa.table({"text": pa.array(texts, pa.large_string())})))


@pytest.mark.parametrize(
    ("text", "rule", "flavour", "value"),
    [(text, rule, flavour, value) for text, rule, values in CASES for flavour, value in values.items()],
)
def test_worked_cases(text, rule, flavour, value):
    verdict = judge(GopherRepetition(flavour=flavour), [text])
    index = [rule.name for rule in verdict.rules].index(rule)
    assert float(verdict.values[index][0]) == pytest.approx(value, abs=1e-12)


def test_blank_lines_are_copies_to_the_datatrove_of_2024():
    values = judge(GopherRepetition(flavour="datatrove_2024_04"), ["a\n\nb\n\nc"])
    assert values.rules[2].name == "duplicate_lines"
    assert values.values[2].tolist() == [1 / 5]


def test_dclm_ignores_punctuation_and_keeps_case():
    verdict = judge(GopherRepetition(), ["Yes, it is! Yes; it is? yes it"])
    assert verdict.rules[4].name == "top_2gram"
    assert verdict.values[4].tolist() == [10 / 19]  # "Yes it" twice is 10; "it is" twice 8; "yes it" is another


@pytest.mark.parametrize(
    ("flavour", "order"),
    [
        ("dclm", ["duplicate_lines", "duplicate_paragraphs", "duplicate_line_chars", "duplicate_paragraph_chars"]),
        ("paper", ["duplicate_lines", "duplicate_paragraphs", "duplicate_line_chars", "duplicate_paragraph_chars"]),
        ("datatrove", ["duplicate_paragraphs", "duplicate_paragraph_chars", "duplicate_lines", "duplicate_line_chars"]),
        ("dolma", ["duplicate_lines", "duplicate_line_chars"]),
        ("rpv2", []),
    ],
)
def test_rules_come_in_the_published_order(flavour, order):
    ngrams = [f"top_{n}gram" for n in (2, 3, 4)] + [f"duplicate_{n}gram" for n in range(5, 11)]
    assert [rule.name for rule in GopherRepetition(flavour=flavour).rules()] == order + ngrams


def test_published_bounds():
    bounds = [rule.threshold for rule in GopherRepetition().rules()]
    assert bounds == [0.30, 0.30, 0.20, 0.20, 0.20, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10]


def test_the_bound_itself_is_kept():
    lines = [*"abcdefg", "x", "x", "x"]  # 3 of 10 lines and characters
    only_lines = {"max_duplicate_line_chars": None, "max_duplicate_5gram_chars": None, "max_top_2gram_chars": None}
    stage = GopherRepetition(**only_lines)
    assert judge(stage, ["\n".join(lines), "\n".join([*lines, "x"])]).first_failed_rule == [None, "duplicate_lines"]


def test_texts_without_words_repeat_nothing():
    for flavour in ("dclm", "paper", "datatrove", "datatrove_2024_04", "dolma", "rpv2"):
        assert judge(GopherRepetition(flavour=flavour), ["", "word"]).kept.tolist() == [True, True]
