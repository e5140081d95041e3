"""What each rule removes alone and what only it removes, held to every document's values."""

import json
from pathlib import Path
from typing import Any

import pytest

from gristmill.pipeline.funnel import by_rule, funnel, print_funnel
from gristmill.pipeline.published import PublishedRun
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.rule_counts import evaluates_all, rule_counts
from gristmill.pipeline.runs import run

OFF = dict.fromkeys(
    (
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
TEXTS = [
    "apple",  # short
    "pear",  # short
    "a b c d e",  # short words
    "a b",  # short, and short words
    "the apple and the pear",  # kept
    "i i i i i i i i",  # long, and short words
    "apple apple apple apple apple apple apple",  # long
    "7 7",  # fails before the stage
]


@pytest.fixture(scope="module")
def counted(tmp_path_factory) -> Path:
    """A run whose second filter holds three rules against seven documents; one more is gone before."""
    folder = tmp_path_factory.mktemp("counted")
    lines = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(TEXTS)]
    (folder / "a.jsonl").write_text("\n".join(lines))
    stages: list[dict[str, Any]] = [
        {"gopher_quality": {**OFF, "name": "letters", "min_words": None, "min_words_with_a_letter": 0.5}},
        {"gopher_quality": {**OFF, "min_words": 3, "max_words": 6, "min_word_length": 2, "evaluate": "all"}},
    ]
    data = {
        "name": "counted",
        "sources": {
            "a": {"read": {"format": "jsonl", "paths": [str(folder / "a.jsonl")], "id": "column"}, "stages": stages},
        },
        "stages": ["exact"],
    }
    return Path(run(recipe_from_resolved(data), output=folder / "run", workers=0, quiet=True).folder)


EXPECTED = {
    "alone": {"too_few_words": 3, "too_many_words": 2, "short_words": 3},
    "only": {"too_few_words": 2, "too_many_words": 1, "short_words": 1},
}


def test_alone_is_every_document_that_fails_the_rule_and_only_those_that_fail_no_other(counted):
    counts = rule_counts(PublishedRun(counted))
    assert counts == {
        ("letters", "a"): {"alone": {"too_few_alphabetic_words": 1}, "only": {"too_few_alphabetic_words": 1}},
        ("gopher_quality", "a"): EXPECTED,
    }


def test_the_ledger_lists_the_same_failures_under_evaluate_all(counted):
    from gristmill.pipeline.sample import sample

    failed = {row["id"]: row["failed_rules"] for row in sample(counted, "gopher_quality")}
    assert failed == {
        "0": ["too_few_words"],
        "1": ["too_few_words"],
        "2": ["short_words"],
        "3": ["too_few_words", "short_words"],
        "5": ["too_many_words", "short_words"],
        "6": ["too_many_words"],
    }


def test_the_funnel_by_rule_has_both_and_the_plain_funnel_neither(counted):
    rows = {row["stage"]: row for row in funnel(counted, "rule")["rows"]}
    assert {side: rows["gopher_quality"][side] for side in ("alone", "only")} == EXPECTED
    assert "alone" not in rows["exact"]
    assert "alone" not in funnel(counted)["rows"][2]
    assert funnel(counted) == json.loads((counted / "funnel.json").read_text())


def test_the_table_by_rule_says_what_the_columns_mean(counted, capsys):
    print_funnel(counted, "rule")
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "gopher_quality too_few_words 3 42.9% 37.5% 3 2" in lines
    assert "gopher_quality short_words 1 14.3% 12.5% 3 1" in lines
    assert any(line.startswith("alone: documents that came to the stage and fail the rule; only:") for line in lines)


def test_the_report_has_them_for_filters_that_evaluate_all(counted):
    page = (counted / "report.html").read_text()
    assert '<th class="n">alone</th><th class="n">only</th>' in page
    assert set(rule_counts(PublishedRun(counted), evaluates_all)) == {("gopher_quality", "a")}


def test_a_rule_that_others_hide_is_listed_with_the_signals_and_not_without(counted):
    rows = funnel(counted)["rows"]
    hidden = {"alone": {"too_few_words": 3, "hidden": 2}, "only": {"too_few_words": 3, "hidden": 0}}
    listed = by_rule(rows, {("gopher_quality", "a"): hidden})
    assert [(row["removed"], row["alone"], row["only"]) for row in listed if row["rule"] == "hidden"] == [(0, 2, 0)]
    assert all(row["alone"] is None for row in listed if row["stage"] == "letters")
    assert "hidden" not in {row["rule"] for row in by_rule(rows)}


def test_nothing_is_said_where_signals_do_not_give_the_funnel(counted, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("run.json", "signals"):
        (other / name).symlink_to(counted / name)
    rows = json.loads((counted / "funnel.json").read_text())
    next(row for row in rows["rows"] if row["stage"] == "gopher_quality")["kept"] += 1
    (other / "funnel.json").write_text(json.dumps(rows))
    assert set(rule_counts(PublishedRun(other))) == {("letters", "a")}


def test_a_run_without_signals_has_no_counts(published_run):
    assert rule_counts(PublishedRun(published_run)) == {}
    assert by_rule(funnel(published_run, "rule")["rows"]) == by_rule(funnel(published_run)["rows"])
