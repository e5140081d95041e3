"""Bounds by language through a whole run: ledger, why, what-if and the counts by rule tell the bound that was held."""

import json

import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.published import PublishedRun
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.rule_counts import rule_counts
from gristmill.pipeline.runs import run
from gristmill.pipeline.single_stage import run_stage
from gristmill.pipeline.whatif import whatif
from gristmill.pipeline.why import why
from gristmill.stages.gopher_quality import GopherQuality

WORDS = {"a": ("de", 4), "b": ("de", 6), "c": ("en", 6), "d": ("en", 9), "e": (None, 6), "f": ("fr", 1)}


def recipe(folder, per_language):
    off = ["max_words", "min_word_length", "max_word_length", "max_symbols_per_word", "max_bullet_lines", "max_ellipsis_lines"]
    off += ["min_words_with_a_letter", "min_stop_words"]
    filter_ = {"min_words": 8, "per_language": per_language} | dict.fromkeys(off)
    read = {
        "format": "jsonl",
        "paths": [str(folder / "in.jsonl")],
        "id": "column",
        "id_column": "id",
        "language_column": "language",
    }
    return recipe_from_resolved(
        {"name": "languages", "sources": {"web": {"read": read, "stages": [{"gopher_quality": filter_}]}}, "stages": []}
    )


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("languages")
    rows = [{"id": name, "text": "word " * words, "language": language} for name, (language, words) in WORDS.items()]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def carry_out(name, per_language):
        return run(recipe(folder, per_language), output=folder / name, workers=0, quiet=True).folder

    return carry_out


@pytest.fixture(scope="module")
def published(carried_out):
    return carried_out("run", {"de": {"min_words": 5}, "fr": {"min_words": None}})


def removed(folder):
    rows = [row for file in PublishedRun(folder).files("removed") for row in pq.read_table(f"{folder}/{file}").to_pylist()]
    return {row["id"]: (row["rule"], row["value"], row["threshold"]) for row in rows}


def test_the_ledger_tells_the_bound_of_the_documents_language(published):
    assert removed(published) == {
        "a": ("too_few_words", 4, 5),
        "c": ("too_few_words", 6, 8),
        "e": ("too_few_words", 6, 8),
    }


@pytest.mark.parametrize(
    ("name", "threshold", "passed"), [("a", 5, False), ("b", 5, True), ("c", 8, False), ("d", 8, True), ("f", None, True)]
)
def test_why_tells_it_too(published, name, threshold, passed):
    (fate,) = why(published, name)
    (rule,) = next(stage["rules"] for stage in fate["stages"] if stage["stage"] == "gopher_quality")
    assert (rule["threshold"], rule["bound"], rule["passed"]) == (threshold, "at_least", passed)


def test_whatif_changes_the_bound_of_one_language_or_of_all_others(published):
    answer = whatif(published, ["gopher_quality.per_language.de.min_words=7"])
    assert answer["newly_kept"]["documents"] == 0
    (example,) = answer["newly_removed"]["examples"]
    assert (example["id"], example["threshold"]) == ("b", 7)
    answer = whatif(published, ["gopher_quality.min_words=6"])
    assert {one["id"]: one["threshold"] for one in answer["newly_kept"]["examples"]} == {"c": 8, "e": 8}
    assert answer["newly_removed"]["documents"] == 0


def test_whatif_gives_what_a_run_with_the_change_gives(published, carried_out):
    answer = whatif(published, ["gopher_quality.per_language={en: {min_words: 2}, de: {min_words: 5}}"])
    other = carried_out("other", {"en": {"min_words": 2}, "de": {"min_words": 5}})
    ran = {row["stage"]: row for row in PublishedRun(other).rows}["gopher_quality"]
    told = next(row for row in answer["stages"] if row["stage"] == "gopher_quality")["after"]
    assert told == {name: ran[name] for name in ("in", "kept", "removed", "rules")}
    assert removed(other).keys() == {"a", "e", "f"}


def test_whatif_refuses_bounds_by_language_where_no_language_was_stored(carried_out):
    plain = carried_out("plain", None)
    with pytest.raises(UserError, match="had no bound by language, and stored none"):
        whatif(plain, ["gopher_quality.per_language={de: {min_words: 5}}"])


def test_the_counts_by_rule_hold_the_bounds_by_language(published):
    counts = rule_counts(PublishedRun(published))
    assert counts["gopher_quality", "web"] == {"alone": {"too_few_words": 3}, "only": {"too_few_words": 3}}


def test_the_runs_recipe_holds_the_rows_and_not_the_name_of_a_table(carried_out):
    folder = carried_out("table", "fineweb2")
    stage = PublishedRun(folder).facts["recipe"]["sources"]["web"]["stages"][0]["gopher_quality"]
    assert stage["per_language"]["de"]["max_word_length"] > 10


def test_one_stage_alone_looks_at_the_column_language(carried_out, tmp_path):
    folder = carried_out("again", {"de": {"min_words": 5}, "fr": {"min_words": None}})
    stage = GopherQuality(min_words=1, min_stop_words=None, per_language={"de": {"min_words": 7}})
    out = run_stage(stage, f"{folder}/documents", str(tmp_path / "out"), workers=0).folder
    assert removed(out) == {"b": ("too_few_words", 6, 7)}
