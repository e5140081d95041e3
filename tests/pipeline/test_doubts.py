"""What looks like a mistake though a run went well: told once, kept in run.json and in the report."""

import json
from pathlib import Path

import numpy as np
import pytest

from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.counts import add
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import RunResult, run
from gristmill.stages.filter import LANGUAGE_NUMBER, Rule, Verdict
from gristmill.stages.language_codes import language_number
from gristmill.stages.perplexity import Perplexity

TEXT = "the miller sets the gap of the stones by the sound that they make\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("model")
    (folder / "good.jsonl").write_text("\n".join(json.dumps({"text": TEXT * 3}) for _ in range(5)))
    given = ["--on", str(folder / "good.jsonl"), "--output", str(folder / "good.lm"), "--order", "2"]
    assert exit_status(["perplexity", "train", *given]) == 0
    return str(folder / "good.lm")


def carry_out(folder: Path, stage: dict, languages=(None, None), output: str = "out", **source) -> RunResult:
    rows = [{"id": f"d{at}", "text": TEXT, "language": language} for at, language in enumerate(languages)]
    if not (folder / "a.jsonl").exists():
        (folder / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    read = {"format": "jsonl", "id": "column", "paths": [str(folder / "a.jsonl")], "language_column": "language"}
    recipe = {"name": "r", "sources": {"web": {"read": read, "stages": [stage]}}}
    return run(recipe_from_resolved(recipe), output=folder / output, workers=0, quiet=True)


def test_a_percentile_of_what_nobody_has_is_doubted_once_in_run_json_and_in_the_report(tmp_path):
    doubt = (
        "percentile: none of the 2 documents of web has a value; they passed unjudged. None has a number under meta.quality; "
        "does a stage before this one, or the input, put it there?"
    )
    stage = {"percentile": {"signal": "meta.quality", "top": 0.5}}
    assert carry_out(tmp_path, stage).doubts == [doubt]
    assert json.loads((tmp_path / "out/run.json").read_text())["doubts"] == [doubt]
    assert (tmp_path / "out/report.html").read_text().count("None has a number under meta.quality") == 1
    # from finished work too
    again = carry_out(tmp_path, stage)
    assert (again.doubts, again.computed) == ([doubt], {})


def test_the_command_tells_doubts_on_stderr(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": TEXT}))
    given = [str(tmp_path / "a.jsonl"), str(tmp_path / "out"), "--signal", "meta.x", "--top", "0.5", "--workers", "0"]
    assert exit_status(["stage", "percentile", *given]) == 0
    told = capsys.readouterr()
    assert told.err.count("None has a number under meta.x") == 1
    assert "None has a number" not in told.out
    # at the end of its step, not of the run
    in_order = [told.err.index(one) for one in ("percentile: judge part done", "None has a number", "publish documents")]
    assert in_order == sorted(in_order)


def test_what_a_library_call_was_not_told_it_finds_in_the_result(tmp_path):
    result = carry_out(tmp_path, {"percentile": {"signal": "meta.quality", "top": 0.5}})
    assert (len(result.untold), result.told) == (1, [])


def test_a_filter_that_judged_all_leaves_no_trace(tmp_path):
    result = carry_out(tmp_path, {"gopher_quality": {"min_words": 2}})
    assert result.doubts == []
    assert all("not_judged" not in row for row in result.funnel["rows"])


def test_languages_without_a_model_are_named_with_how_many_documents_they_have(tmp_path, model):
    stage = {"perplexity": {"model": {"en": model}, "max_perplexity": 1000}}
    result = carry_out(tmp_path, stage, languages=["en", "fr", "pt", "fr", None])
    assert result.doubts == [
        "perplexity: 4 of 5 documents of web are in languages that it has nothing for (fr 2, no language 1, pt 1; it has en); "
        "they passed unjudged"
    ]
    (row,) = [row for row in result.funnel["rows"] if row["stage"] == "perplexity"]
    assert row["not_judged"] == {"": 1, "fr": 2, "pt": 1}


def test_bounds_by_language_that_a_language_lacks_are_doubted(tmp_path, model):
    stage = {"perplexity": {"model": model, "per_language": {"en": {"max_perplexity": 1000}}}}
    assert carry_out(tmp_path, stage, languages=["en", "de"]).doubts == [
        "perplexity: 1 of 2 documents of web are in languages that it has nothing for (de 1; it has en); they passed unjudged"
    ]


@pytest.mark.parametrize("settings", [{"per_language": {"de": {"max_perplexity": 9}}}, {"buckets": {"de": [1, 2]}}])
def test_a_language_that_the_user_names_and_has_no_model_for_is_a_mistake(tmp_path, model, settings):
    with pytest.raises(UserError, match=r"\.de: there is no model of this language; model has en"):
        carry_out(tmp_path, {"perplexity": {"model": {"en": model}, **settings}})


def test_where_only_the_bucket_decides_a_language_needs_bounds_too():
    both = {"model": {"en": "a", "pt": "b"}, "buckets": "ccnet"}
    assert Perplexity(**both, keep="head").languages_judged() == ["en"]
    assert Perplexity(**both, keep="head", max_perplexity=10).languages_judged() == ["en", "pt"]
    assert Perplexity(model="a", buckets="corpus", keep="head").languages_judged() is None


def test_a_benchmark_of_which_nothing_is_long_enough_to_be_looked_for_is_doubted(tmp_path):
    (tmp_path / "short.jsonl").write_text("\n".join(json.dumps({"id": at, "text": f"who is {at}"}) for at in range(3)))
    (tmp_path / "long.jsonl").write_text(json.dumps({"id": 0, "text": " ".join(f"w{at}" for at in range(20))}))
    stage = {"decontaminate": {"benchmarks": [str(tmp_path / "short.jsonl"), str(tmp_path / "long.jsonl")], "method": "ngram"}}
    assert carry_out(tmp_path, stage).doubts == [
        "decontaminate: looks for none of the 3 items of short: their questions have fewer than 13 words; nothing is known of "
        "them. Give a lower `shortest`, another method, or leave short out"
    ]


def test_documents_are_judged_where_a_rule_has_both_a_bound_and_a_value():
    nan = np.nan
    numbers = np.array([language_number("en"), language_number("de"), nan, language_number("en")])
    by_language = Rule("low", "score", by_language={"en": Rule("low", "score", at_least=0.5)})
    values = np.array([0.2, 0.2, 0.2, nan])

    def judged(*rules: Rule) -> list[bool]:
        held = [values for _ in rules]
        signals = {"score": values, LANGUAGE_NUMBER: numbers}
        return Verdict(list(rules), held, np.zeros((len(rules), 4), dtype=bool), signals).judged.tolist()

    assert judged(by_language) == [True, False, False, False]
    assert judged(by_language, Rule("high", "score", at_most=1)) == [True, True, True, False]
    assert judged() == [True, True, True, False]


def test_counts_of_documents_that_were_not_judged_add_up():
    base = {
        "in": 1,
        "kept": 1,
        "removed": 0,
        "edited": 0,
        "rules": {},
        "bytes_in": 1,
        "bytes_kept": 1,
        "words_in": 1,
        "words_kept": 1,
    }
    assert add(add(None, base), base | {"not_judged": {"fr": 1}})["not_judged"] == {"fr": 1}
    assert add(base | {"not_judged": {"fr": 1, "": 2}}, base | {"not_judged": {"de": 3, "fr": 4}})["not_judged"] == {
        "": 2,
        "de": 3,
        "fr": 5,
    }
    assert "not_judged" not in add(base, base)
