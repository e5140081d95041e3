"""A policy that goes by what no document has is a mistake, or a doubt where a default brings it along."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.keep_values import KeepValues, check_sources, check_values
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import RunResult, run


def carry_out(folder: Path, stage: dict, documents: list[dict], size: int = 10**6) -> RunResult:
    path = folder / "s.jsonl"
    path.write_text("".join(json.dumps({"id": f"d{at}"} | one) + "\n" for at, one in enumerate(documents)))
    recipe = {
        "name": "test",
        "sources": {"s": {"read": {"format": "jsonl", "id": "column", "paths": [str(path)]}}},
        "stages": [stage],
        "partition_bytes": size,
        "guardrails": {"enabled": False},
    }
    return run(recipe_from_resolved(recipe), output=folder / "out", workers=0, quiet=True)


SCORED = [{"text": f"same words here {at}", "score": at, "lang": "en"} for at in range(6)]
STAGES = [
    {"exact": {}},
    {"minhash": {}},
    {"simhash": {}},
    {"semantic": {"embedding": "meta.v"}},
    {"lines": {}},
    {"sentence_spans": {}},
]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("size", [1, 10**6])
def test_a_key_that_no_document_has_is_an_error_that_names_those_there_are(tmp_path, stage, size):
    ((kind, given),) = stage.items()
    documents = [*SCORED, {"text": "One is. Two is. Three is. Four is.", "other": True}]
    with pytest.raises(UserError) as told:
        carry_out(tmp_path, {kind: given | {"keep": "highest:meta.scroe"}}, documents, size)
    there = "there are meta.lang, meta.other, meta.score"
    assert str(told.value) == f"{kind}: keep: highest:meta.scroe: no document has a number in meta.scroe; {there}"
    assert not (tmp_path / "out" / "documents").exists()


@pytest.mark.parametrize("size", [1, 10**6])
def test_documents_without_the_key_come_last_where_others_have_it(tmp_path, size):
    documents = [{"text": "same"}, {"text": "same", "score": 2}, {"text": "same", "score": 7}, {"text": "same", "score": "nine"}]
    result = carry_out(tmp_path, {"exact": {"keep": "highest:meta.score"}}, documents, size)
    assert result.doubts == []
    (file,) = (tmp_path / "out" / "documents").rglob("*.parquet")
    assert pq.read_table(file)["id"].to_pylist() == ["d2"]


def test_a_key_that_holds_no_numbers_is_an_error_and_so_is_an_empty_column(tmp_path):
    with pytest.raises(UserError, match=r"no document has a number in meta.lang; there are meta.lang, meta.score"):
        carry_out(tmp_path, {"exact": {"keep": "lowest:meta.lang"}}, SCORED)
    with pytest.raises(UserError, match=r"no document has a number in meta.score; their meta is empty"):
        carry_out(tmp_path, {"exact": {"keep": "highest:meta.score"}}, [{"text": "x"}])
    with pytest.raises(UserError, match=r"no document has a value in the column language_score$"):
        carry_out(tmp_path, {"exact": {"keep": "highest:language_score"}}, SCORED)


@pytest.mark.parametrize(
    ("stage", "doubt"),
    [
        ({"url_dedup": {}}, "url_dedup: keep: newest, but no document has a date; the first in the corpus stays"),
        ({"exact": {"keep": "oldest"}}, "exact: keep: oldest, but no document has a date; the first in the corpus stays"),
        ({"lines": {"flavour": "mc4"}}, "lines: keep: url_hash, but no document has a URL; the first in the corpus stays"),
        ({"exact": {}}, None),
        ({"lines": {}}, None),
    ],
)
def test_a_policy_that_a_default_brings_along_is_a_doubt(tmp_path, stage, doubt):
    result = carry_out(tmp_path, stage, SCORED)
    assert result.doubts == ([] if doubt is None else [doubt])
    assert json.loads((tmp_path / "out" / "run.json").read_text())["doubts"] == result.doubts


def test_no_documents_are_no_mistake(tmp_path):
    with pytest.raises(UserError, match="no document has a number"):
        check_values("exact", "highest:meta.x", [{"values": {"ranked": 1, "known": 0, "keys": []}}])
    assert check_values("exact", "highest:meta.x", [{"values": {"ranked": 0, "known": 0, "keys": []}}]) == []
    assert check_values("exact", "longest", [KeepValues("longest").told()]) == []
    assert carry_out(tmp_path, {"exact": {"keep": "highest:meta.x"}}, []).funnel["rows"][-1]["in"] == 0


@pytest.mark.parametrize("stage", [{"exact": {"keep": "sources:s,wiki"}}, {"lines": {"keep": {"sources": ["s", "wiki"]}}}])
def test_a_source_that_is_not_there_is_named(tmp_path, stage):
    with pytest.raises(UserError, match=r"no source is called wiki; there are s$"):
        carry_out(tmp_path, stage, SCORED)
    assert not (tmp_path / "out").exists()


def test_sources_that_are_there_are_taken():
    recipe = {
        "name": "test",
        "sources": {name: {"read": {"format": "jsonl", "paths": [f"{name}.jsonl"]}} for name in ("web", "wiki")},
        "stages": [{"exact": {"keep": "sources:wiki, web"}}],
    }
    check_sources(recipe_from_resolved(recipe))
