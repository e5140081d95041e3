"""A list that is not there stops a run, or is left out where the recipe says so, and that stands wherever the run is shown."""

import gzip
import json

import pytest

from gristmill.pipeline.funnel import summary
from gristmill.pipeline.published import PublishedRun
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.stage import StageUnavailable


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    rows = [
        {"id": str(number), "text": "words", "url": url} for number, url in enumerate(["http://bad.com/", "http://good.com/"])
    ]
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    read = {"format": "jsonl", "paths": [str(tmp_path / "in.jsonl.gz")], "id": "column"}

    def made(**settings):
        stages = [{"url_filter": {"domains": ["bad.com", "ut1:adult"], **settings}}]
        return recipe_from_resolved({"name": "small", "sources": {"web": {"read": read, "stages": stages}}})

    return made


def test_a_missing_list_stops_the_run_and_leaves_nothing(tmp_path, recipe):
    with pytest.raises(StageUnavailable, match="gristmill lists fetch ut1:adult"):
        run(recipe(), output=tmp_path / "run", workers=0, quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_list_that_was_left_out_is_shown_with_the_run(tmp_path, recipe):
    done = run(recipe(when_missing="skip"), output=tmp_path / "run", workers=0, quiet=True)
    told = "url_filter.domains: ut1:adult is not there and was left out"
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [line[: len(told)] for line in facts["left_out"]] == [told]
    assert facts["recipe"]["sources"]["web"]["stages"][0]["url_filter"]["domains"] == ["bad.com"]
    assert told in (tmp_path / "run" / "report.html").read_text()
    assert told in summary(PublishedRun(tmp_path / "run"))
    assert [(row["stage"], row["kept"]) for row in done.funnel["rows"]] == [("read", 2), ("url_filter", 1)]


def test_a_list_that_came_since_is_used_by_the_next_run(tmp_path, recipe):
    run(recipe(when_missing="skip"), output=tmp_path / "run", workers=0, quiet=True)
    (tmp_path / "cache" / "lists" / "ut1" / "adult").mkdir(parents=True)
    (tmp_path / "cache" / "lists" / "ut1" / "adult" / "domains").write_text("good.com\n")
    done = run(recipe(when_missing="skip"), output=tmp_path / "run", workers=0, quiet=True)
    assert [row["kept"] for row in done.funnel["rows"]] == [2, 0]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["left_out"] == []
