"""What can be measured and what can be done is listed as it is, and each stage's help says what each of its flags means."""

import json
from pathlib import Path

import pytest

from gristmill.pipeline.cli import app, exit_status
from gristmill.pipeline.cli_stage import offer_stages
from gristmill.pipeline.signal_catalogue import as_markdown, rows, stage_rows
from gristmill.pipeline.stage_examples import EXAMPLES, example_of
from gristmill.stages.registry import STAGES, stage_class
from gristmill.stages.signals import MODULES


def test_the_documentation_holds_the_catalogue_as_it_is():
    documented = (Path(__file__).parents[2] / "docs" / "signals.md").read_text(encoding="utf-8")
    assert as_markdown() in documented, "print it anew: gristmill stage signals --markdown"


def test_each_signal_is_told_with_definition_source_unit_and_its_value_on_empty_text(capsys):
    assert exit_status(["stage", "signals", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed == rows()
    assert [one["signal"] for one in listed] == list(MODULES)
    for one in listed:
        assert all(one[key] for key in ("definition", "source", "unit")), one
        assert one["empty"] == 0, one


def test_the_catalogue_is_a_table_for_people(capsys):
    assert exit_status(["stage", "signals", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["signal", "unit", "empty", "definition", "source"]
    assert len(lines) == 1 + len(MODULES)


def test_stages_are_listed_with_what_they_are(capsys):
    assert exit_status(["stage", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["stage", *STAGES]
    kinds = {one["stage"]: (one["is"], one["looks_at"]) for one in stage_rows()}
    assert kinds["url_filter"] == ("filter", "url")
    assert kinds["extract"] == ("editor", "html")
    assert kinds["minhash"] == ("corpus stage", "text")


def test_without_a_name_the_stages_are_told_as_help(capsys):
    assert exit_status(["stage"]) == 0
    told = capsys.readouterr().out
    assert "Usage: gristmill stage" in told
    assert all(name in told for name in (*STAGES, "signals"))


@pytest.mark.parametrize("name", STAGES)
def test_the_help_of_each_stage_explains_every_flag_and_shows_an_example_that_works(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert exit_status(["stage", name, "--help"]) == 0
    told = capsys.readouterr().out
    assert " ".join(example_of(name).split()) in " ".join(told.split())
    for setting, field in stage_class(name).model_fields.items():
        assert field.description, f"{name}.{setting} has no docstring"
        assert f"--{setting.replace('_', '-')}" in told, setting
    for flag in ("--format", "--text-column", "--id-column", "--workers", "--scheduler"):
        assert flag in told
    assert "what the input files are" in told
    offer_stages([name])
    # raises where a flag of the example is none, or has a value that is none
    _, bound, _ = app.parse_args(example_of(name).split()[1:], exit_on_error=False, print_error=False)
    assert len(bound.args) == 2


def test_examples_are_of_stages_that_there_are():
    assert set(EXAMPLES) <= set(STAGES)
