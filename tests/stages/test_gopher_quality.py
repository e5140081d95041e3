"""Gopher's quality rules: the worked cases, the bounds themselves, the flavours."""

from itertools import cycle, islice

import pyarrow as pa
import pytest
from pydantic import ValidationError

from gristmill.stages.documents import Batch
from gristmill.stages.filter import Verdict
from gristmill.stages.gopher_quality import GopherQuality

OFF = dict.fromkeys(
    (
        "min_words",
        "max_words",
        "min_word_length",
        "max_word_length",
        "max_symbols_per_word",
        "max_bullet_lines",
        "max_ellipsis_lines",
        "min_words_with_a_letter",
        "min_stop_words",
    )
)
ALL_FLAVOURS = ["dclm", "paper", "datatrove", "datatrove_2024_04", "dolma"]


def judge(stage: GopherQuality, texts: list[str]) -> Verdict:
    return stage.judge(Batch(pa.table({"text": pa.array(texts, pa.large_string())})))


def only(flavour: str, **bounds: float) -> GopherQuality:
    return GopherQuality(flavour=flavour, **{**OFF, **bounds})


W = ["the", "cat", "and", "dog", "ran", "to", "that", "big", "red", "old", "barn", "with", "ten", "tiny", "pups"]


def w(words: int) -> str:
    """That many words of W, over and over."""
    return " ".join(islice(cycle(W), words))


def times(count: int, word: str) -> str:
    return " ".join([word] * count)


def lines(count: int, marked: int, before: str = "", after: str = "") -> str:
    return "\n".join((before + w(10) + after) if line < marked else w(10) for line in range(count))


# (text, the one rule that is on, its signal's value, whether it drops); whitespace words and the others agree on these texts, so
# that they hold for every flavour; spaCy's words agree as well
CASES = [
    (w(49), {"min_words": 50}, 49, True),
    (w(50), {"min_words": 50}, 50, False),
    (times(48, "ab") + " of to", {"min_word_length": 3}, 2.0, True),
    (times(48, "abc") + " the and", {"min_word_length": 3}, 3.0, False),
    (w(50) + " #" * 5, {"max_symbols_per_word": 0.1}, 5 / 55, False),
    (w(50) + " #" * 6, {"max_symbols_per_word": 0.1}, 6 / 56, True),
    (lines(10, 9, before="- "), {"max_bullet_lines": 0.9}, 0.9, False),
    (lines(10, 10, before="- "), {"max_bullet_lines": 0.9}, 1.0, True),
    (w(40) + " 123" * 10, {"min_words_with_a_letter": 0.8}, 0.8, False),
    (w(40) + " 123" * 11, {"min_words_with_a_letter": 0.8}, 40 / 51, True),
    ("the and " + times(55, "barn"), {"min_stop_words": 2}, 2, False),
]


@pytest.mark.parametrize("flavour", ALL_FLAVOURS)
@pytest.mark.parametrize(("text", "rule", "value", "dropped"), CASES)
def test_worked_cases_that_all_flavours_share(flavour, text, rule, value, dropped):
    verdict = judge(only(flavour, **rule), [text])
    assert float(verdict.values[0][0]) == pytest.approx(value, abs=1e-12)
    assert verdict.kept.tolist() == [not dropped]


@pytest.mark.parametrize("flavour", ["dclm", "paper", "datatrove", "datatrove_2024_04"])
@pytest.mark.parametrize(
    ("text", "rule", "value", "dropped"),
    [
        (times(48, "abcdefghij") + " that have", {"max_word_length": 10}, 9.76, False),
        (times(48, "abcdefghijk") + " the and", {"max_word_length": 10}, 10.68, True),
        (lines(10, 3, after=" ..."), {"max_ellipsis_lines": 0.3}, 0.3, False),
        (lines(10, 4, after=" ..."), {"max_ellipsis_lines": 0.3}, 0.4, True),
    ],
)
def test_worked_cases_of_mean_length_and_dots(flavour, text, rule, value, dropped):
    verdict = judge(only(flavour, **rule), [text])
    assert float(verdict.values[0][0]) == pytest.approx(value, abs=1e-12)
    assert verdict.kept.tolist() == [not dropped]


def test_dolma_takes_the_median_length_and_only_the_ellipsis_character():
    assert judge(only("dolma", max_word_length=10), ["a abcdefghijk abcdefghijk"]).values[0].tolist() == [11.0]
    verdict = judge(only("dolma", max_ellipsis_lines=0.3), [lines(10, 4, after=" ..."), lines(10, 4, after=" …")])
    assert verdict.values[0].tolist() == [0.0, 0.4]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (
            times(10, "the") + " " + times(45, "barn"),
            {"dclm": 10, "paper": 1, "datatrove": 1, "datatrove_2024_04": 10, "dolma": 10},
        ),
        ("The And " + times(55, "barn"), {"dclm": 2, "paper": 2, "datatrove": 0, "datatrove_2024_04": 0, "dolma": 0}),
        ("the the", {"dclm": 2, "paper": 1, "datatrove": 1, "datatrove_2024_04": 2, "dolma": 2}),
    ],
)
def test_stop_words_are_counted_as_the_flavour_counts(text, counts):
    for flavour, count in counts.items():
        assert judge(only(flavour, min_stop_words=2), [text]).values[0].tolist() == [count], flavour


@pytest.mark.parametrize(
    ("text", "rule", "value", "dropped"),
    [
        ("# " + "w " * 9, {"max_symbols_per_word": 0.1}, 1 / 10, False),
        ("# # " + "w " * 9, {"max_symbols_per_word": 0.1}, 2 / 11, True),
        ("# ... … . . . w", {"max_symbols_per_word": 0.1}, 4 / 7, True),
        ("\n".join(["* a"] * 9 + ["a"]), {"max_bullet_lines": 0.9}, 0.9, False),
        ("\n".join(["* a"] * 10), {"max_bullet_lines": 0.9}, 1.0, True),
        (" ● a\n\n•b\n \n* c\nd. . .  \n", {"max_bullet_lines": 0.7}, 0.75, True),
        ("a\n\nb. . .  \n", {"max_ellipsis_lines": 0.3}, 0.5, True),
        # fastText parts words at ASCII whitespace only, and a word counts if its first character is alphanumeric
        ("one (two) three\u00a0four 5\x00six -", {"min_words": 5}, 4, True),
    ],
)
def test_worked_cases_of_dclm(text, rule, value, dropped):
    verdict = judge(only("dclm", **rule), [text])
    assert float(verdict.values[0][0]) == pytest.approx(value, abs=1e-12)
    assert verdict.kept.tolist() == [not dropped]


def test_symbols_are_counted_as_the_flavour_counts():
    text = (
        "#a## b... c…d . . . e#…"  # 4 hash signs; `...` and `. . .` once, `…` twice; words 7 by whitespace, 3 with a symbol or …
    )
    values = {
        flavour: [float(value[0]) for value in judge(only(flavour, max_symbols_per_word=9), [text]).values]
        for flavour in ALL_FLAVOURS
    }
    assert values["dclm"] == [8 / 7]
    assert values["paper"] == [4 / 7, 4 / 7]
    assert values["dolma"] == [3 / 7]


def test_punctuation_is_no_word_for_datatrove():
    verdict = judge(only("datatrove", min_words=1, min_word_length=1), ["Ah, (well) ... 12!", "?! ..."])
    assert verdict.values[0].tolist() == [3, 0]
    assert verdict.values[1].tolist() == [8 / 3, 0]


def test_rpv2_counts_redpajamas_words_bullets_and_symbols():
    text = "– A-b, (c) 12…\n* d ...\n"  # raw words – A - b , ( c ) 12 … * d ...; normalised words – ab c 12… d
    verdict = judge(GopherQuality(flavour="rpv2"), [text])
    assert {rule.name: float(values[0]) for rule, values in zip(verdict.rules, verdict.values, strict=True)} == {
        "too_few_words": 5,
        "too_many_words": 5,
        "short_words": 8 / 5,
        "long_words": 8 / 5,
        "too_many_symbols": round(2 / 13, 8),
        "too_many_bullet_lines": 0.5,
        "too_many_ellipsis_lines": 1.0,
        "too_few_alphabetic_words": round(9 / 13, 8),
    }
    assert judge(only("rpv2", min_words_with_a_letter=0.8), ["a b c d 1", "a b c d 1 2"]).kept.tolist() == [True, False]


def test_the_first_failed_rule_in_published_order_is_named():
    texts = ["", "a b c", times(60, "x"), times(60, "#abc"), w(60)]
    assert judge(GopherQuality(), texts).first_failed_rule == ["too_few_words"] * 2 + ["short_words", "too_few_words", None]
    names = [rule.name for rule in GopherQuality(flavour="datatrove").rules()]
    assert names == [
        "too_few_words",
        "too_many_words",
        "short_words",
        "long_words",
        "too_many_hashes",
        "too_many_ellipses",
        "too_many_bullet_lines",
        "too_many_ellipsis_lines",
        "too_few_alphabetic_words",
        "too_few_stop_words",
    ]


@pytest.mark.parametrize(("words", "rule"), [(0, "too_few_words"), (1, "too_few_words"), (2, None), (3, "too_many_words")])
def test_the_bounds_themselves_are_kept(words, rule):
    verdict = judge(only("dclm", min_words=2, max_words=2), ["word " * words])
    assert verdict.first_failed_rule == [rule]


def test_none_turns_a_rule_off_and_0_does_not():
    assert [rule.name for rule in only("dclm", min_words=0).active_rules()] == ["too_few_words"]


@pytest.mark.parametrize("flavour", ALL_FLAVOURS)
def test_empty_text_is_dropped_for_its_length(flavour):
    assert judge(GopherQuality(flavour=flavour), ["", " \n\n "]).first_failed_rule == ["too_few_words"] * 2


@pytest.mark.parametrize("bounds", [{"min_words": -1}, {"max_bullet_lines": 1.5}, {"flavour": "nltk"}, {"min_wrods": 5}])
def test_impossible_settings_are_refused(bounds):
    with pytest.raises(ValidationError):
        GopherQuality(**bounds)
