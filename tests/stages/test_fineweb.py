"""FineWeb's own rules: the worked cases, the bounds of each flavour, the kernel held to its plain definitions elsewhere."""

import pyarrow as pa
import pytest

from gristmill.stages.documents import Batch
from gristmill.stages.filter import Verdict
from gristmill.stages.fineweb import FineWeb

RULES = ("min_lines", "min_ended_lines", "max_short_lines", "max_copied_line_chars", "max_newlines_per_word")
FLAVOURS = ("datatrove", "datatrove_2024_04", "paper")


def judge(stage: FineWeb, texts: list[str]) -> Verdict:
    return stage.judge(Batch(pa.table({"text": pa.array(texts, pa.large_string())})))


def only(flavour: str, rule: str, **settings: object) -> FineWeb:
    return FineWeb(**({"flavour": flavour} | {name: None for name in RULES if name != rule} | settings))


def lines(count: int, ended: int = 0) -> str:
    """So many different lines of 53 characters, the first `ended` with a full stop after them."""
    return "\n".join(
        f"Line number {line:03} is certainly longer than thirty chars" + "." * (line < ended) for line in range(count)
    )


def short(count: int, short_lines: int, chars: int = 30) -> str:
    """So many lines, the first of them with as many characters, the others with more than 30."""
    return "\n".join(
        f"{line:03}".ljust(chars, "x") if line < short_lines else f"{line:03}".ljust(31, "x") for line in range(count)
    )


NEWLINES = "\n".join(["one two three"] * 9)  # 8 newlines, 27 words


@pytest.mark.parametrize(
    ("rule", "text", "value", "kept"),
    [
        ("min_ended_lines", lines(8, 1), 1 / 8, (True, True, True)),
        ("min_ended_lines", lines(9, 1), 1 / 9, (False, False, False)),
        ("min_ended_lines", lines(25, 3), 0.12, (True, False, False)),
        ("max_short_lines", short(100, 67, chars=29), 0.67, (True, False, False)),
        ("max_short_lines", short(3, 2, chars=29), 2 / 3, (True, True, True)),
        ("max_short_lines", short(10, 7, chars=29), 0.7, (False, False, False)),
        ("max_copied_line_chars", lines(10, 10) + "\n" + lines(1, 1), 54 / 594, (False, False, False)),
        ("max_newlines_per_word", NEWLINES, 8 / 27, (True, True, True)),
        ("max_newlines_per_word", NEWLINES + "\n", 9 / 27, (False, False, True)),
    ],
)
def test_worked_cases(rule, text, value, kept):
    for flavour, stays in zip(FLAVOURS, kept, strict=True):
        verdict = judge(only(flavour, rule), [text])
        assert verdict.kept.tolist() == [stays], flavour
        if verdict.values:
            assert float(verdict.values[0][0]) == pytest.approx(value, abs=1e-12)


def test_the_papers_0_1_keeps_a_copied_line_of_eleven():
    text = lines(10, 10) + "\n" + lines(1, 1)
    assert judge(only("paper", "max_copied_line_chars", max_copied_line_chars=0.1), [text]).kept.tolist() == [True]


def test_a_line_of_30_characters_is_short_but_for_the_paper():
    text = short(100, 68, chars=30)
    assert [judge(only(flavour, "max_short_lines"), [text]).kept.tolist() for flavour in FLAVOURS] == [[False], [False], [True]]
    assert judge(only("datatrove", "max_short_lines", short_line_chars=29), [text]).kept.tolist() == [True]


def test_the_bound_on_copied_lines_itself():
    text = "\n".join([f"{line:02}" for line in range(99)] + ["00"])  # 200 characters, of which 2 in a copy
    kept = [judge(only(flavour, "max_copied_line_chars"), [text]).kept.tolist() for flavour in FLAVOURS]
    assert kept == [[True], [False], [False]]


@pytest.mark.parametrize(
    ("end", "ascii_mark", "terminal"),
    [
        (".", True, True),
        ("?", True, True),
        ("'", True, False),
        ('"', True, False),
        ("。", False, True),
        ("؟", False, True),
        ("…", False, False),
        (". ", False, False),
        (":", False, False),
    ],
)
def test_end_marks_are_those_of_the_flavour(end, ascii_mark, terminal):
    for flavour, stays in zip(FLAVOURS, (terminal, ascii_mark, ascii_mark), strict=True):
        assert judge(only(flavour, "min_ended_lines"), ["A line" + end]).kept.tolist() == [stays], flavour


def test_blank_lines_are_lines_in_the_release_only():
    text = "\n\n".join(["A line with an end and more than thirty chars."] * 2 + ["x" * 31] * 10)
    assert judge(only("datatrove", "min_ended_lines"), [text]).values[0].tolist() == [2 / 12]
    assert judge(only("datatrove_2024_04", "min_ended_lines"), [text]).values[0].tolist() == [2 / 23]
    assert judge(only("datatrove", "max_short_lines"), [text]).values[0].tolist() == [0.0]
    assert judge(only("datatrove_2024_04", "max_short_lines"), [text]).values[0].tolist() == [11 / 23]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_document_without_a_full_line_is_empty(flavour):
    verdict = judge(FineWeb(flavour=flavour), ["", "\n\n", " \n\t"])
    assert verdict.first_failed_rule == ["empty"] * 3


def test_the_rules_are_tried_in_the_published_order():
    assert [rule.name for rule in FineWeb().active_rules()] == [
        "empty",
        "too_few_ended_lines",
        "too_many_short_lines",
        "copied_lines",
        "too_many_newlines",
    ]
    assert [rule.name for rule in FineWeb(flavour="paper").active_rules()][-1] == "copied_lines"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_odd_texts_have_a_value(flavour):
    verdict = judge(FineWeb(flavour=flavour), ["a", "\0", "\u0301", "\n" * 1_000_000, "x" * 10_000_000 + ".", "\u200f.\u200f"])
    assert all(((values >= 0) & (values < float("inf"))).all() for values in verdict.values)
