"""What-if: the signals give the counts that a run with those thresholds has, rule by rule, and nothing beyond what they tell."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gristmill.pipeline import stored_signals
from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.recipe import load_recipe, recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.pipeline.whatif import print_whatif, whatif
from gristmill.tokenizers.sampling import keyed_hashes

PAGES = [
    "CC-MAIN-20200808-excerpt.warc.gz",
    "bitchmagazine-2014.warc.gz",
    "parseMe.warc.gz",
    "IAH-20080430204825-00000-blackbook.warc.gz",
]
QUICK = ["extract.engine=resiliparse", "language.keep.en=0.5", "tokenize=null"]
SIDES = ("in", "kept", "removed", "rules")


@pytest.fixture(scope="module")
def web(shared_data: Path, tmp_path_factory) -> Any:
    """Runs the recipe on real pages with more settings; finished steps are shared."""
    home = tmp_path_factory.mktemp("whatif")
    paths = [str(shared_data / "web" / "samples" / name) for name in PAGES]

    def carry_out(*sets: str) -> Path:
        recipe = load_recipe("refinedweb-lite", [*QUICK, *sets], paths)
        return Path(run(recipe, output=home / ("run" + "-".join(sets)), work=home / "work", workers=0, quiet=True).folder)

    return carry_out


@pytest.fixture(scope="module")
def plain(web) -> Path:
    """A run with the recipe's own thresholds."""
    return web()


def funnel_rows(folder: Path) -> list[dict]:
    return json.loads((folder / "funnel.json").read_text())["rows"]


def ids(folder: Path, name: str, stages: tuple[str, ...] | None = None) -> set[str]:
    rows = [row for file in (folder / name).rglob("*.parquet") for row in pq.read_table(file, columns=None).to_pylist()]
    return {row["id"] for row in rows if stages is None or row["stage"] in stages}


def past_filters(folder: Path) -> set[str]:
    """Ids of the documents that all filters let through: kept, or removed by a deduplication."""
    return ids(folder, "documents") | ids(folder, "removed", ("exact", "minhash"))


def test_with_its_own_thresholds_the_signals_give_the_funnel_of_the_run(plain, monkeypatch):
    judged = 0
    ask = stored_signals.SignalBatch.judge

    def count(self, stage):
        nonlocal judged
        judged += self.rows
        return ask(self, stage)

    monkeypatch.setattr(stored_signals.SignalBatch, "judge", count)
    answer = whatif(plain, ["gopher_quality.min_words=50", "language.keep.en=0.5"])
    for told, ran in zip(answer["stages"], funnel_rows(plain), strict=True):
        assert told["after"] == told["before"] == {name: ran[name] for name in SIDES}
    assert answer["newly_kept"] == answer["newly_removed"] == {"documents": 0, "examples": []}
    assert answer["rules"] == answer["goes_on"] == []
    assert judged > 2 * 3 * 100  # both sides of three filters


@pytest.mark.parametrize(
    "sets",
    [
        ["gopher_quality.min_words=30"],
        ["gopher_quality.min_words=200", "gopher_repetition.max_top_2gram_chars=0.4"],
        ["gopher_repetition.max_duplicate_5gram_chars=null", "language.keep.en=0.8", "language.bound=above"],
    ],
)
def test_what_if_is_what_a_run_with_these_thresholds_comes_to(plain, web, sets):
    other = web(*sets)
    answer = whatif(plain, sets)
    ran = {row["stage"]: row for row in funnel_rows(other)}
    for told in answer["stages"]:
        if told["stage"] in ("exact", "minhash"):
            assert told["after"] is None
        else:
            assert told["after"] == {name: ran[told["stage"]][name] for name in SIDES}
    before, after = past_filters(plain), past_filters(other)
    assert len(after - before) == answer["newly_kept"]["documents"]
    assert len(before - after) == answer["newly_removed"]["documents"]
    assert before != after
    assert answer["goes_on"] == [
        {"source": "web", "to": "exact", "more": len(after - before), "fewer": len(before - after)},
    ]
    for side, expected in (("newly_kept", after - before), ("newly_removed", before - after)):
        ranked = sorted(expected, key=lambda one: (int(keyed_hashes([one], 0)[0]), one))
        assert [one["id"] for one in answer[side]["examples"]] == ranked[:10]
    assert {one["rule"] for one in answer["rules"]}


def test_an_example_names_the_rule_that_removes_it(plain):
    answer = whatif(plain, ["gopher_quality.min_words=30"])
    for one in answer["newly_kept"]["examples"]:
        assert (one["stage"], one["rule"], one["threshold"]) == ("gopher_quality", "too_few_words", 50)
        assert 30 <= one["value"] < 50


def test_a_change_that_changes_nothing_is_exact_to_the_end(plain):
    answer = whatif(plain, ["gopher_quality.max_words=99999"])
    assert all(row["after"] == row["before"] for row in answer["stages"])


def test_a_filter_before_extraction_says_what_goes_on_to_be_extracted(tmp_path, shared_data):
    paths = [str(shared_data / "web" / "samples" / PAGES[0])]
    sets = [*QUICK, "url_filter.soft_banned_words=[www, com, html]", "url_filter.soft_banned_words_at_most=1"]
    folder = run(load_recipe("refinedweb-lite", sets, paths), output=tmp_path / "run", workers=0, quiet=True).folder
    answer = whatif(folder, ["url_filter.soft_banned_words_at_most=0"])
    rows = {row["stage"]: row for row in answer["stages"]}
    fewer = rows["url_filter"]["before"]["kept"] - rows["url_filter"]["after"]["kept"]
    assert fewer > 0
    assert rows["extract"]["after"] is None
    assert answer["goes_on"] == [{"source": "web", "to": "extract", "more": 0, "fewer": fewer}]


NOT_BOUNDS = {
    "gopher_quality.flavour=dolma": "flavour of gopher_quality is no mere bound",
    "gopher_quality.name=other": "name of gopher_quality is no mere bound",
    "language.keep={en: 0.5, de: 0.5}": "keep of language is no mere bound",
    "language.max_characters=100": "max_characters of language is no mere bound",
    "url_filter.domains=[example.com]": "listed_domain was not measured, as url_filter had no rule on it",
    "extract.engine=justext": "extract is no filter",
    "minhash.bands=20": "minhash is no filter",
    "seed=3": "sets no bound of a filter",
    "sources.web.read.format=wet": "sets no bound of a filter",
}


@pytest.mark.parametrize("change", NOT_BOUNDS)
def test_a_change_of_more_than_bounds_is_refused_with_the_command_that_answers_it(plain, change):
    with pytest.raises(UserError, match=f"{NOT_BOUNDS[change]}.*gristmill run.*--work"):
        whatif(plain, [change])


def test_a_wrong_setting_is_told_as_in_any_other_command(plain):
    with pytest.raises(UserError, match=r"^--set gopher_quality\.min_words=few: is 'few'; should be a valid integer"):
        whatif(plain, ["gopher_quality.min_words=few"])
    with pytest.raises(UserError, match="no step and no key is called gopher_qualty"):
        whatif(plain, ["gopher_qualty.min_words=30"])
    with pytest.raises(UserError, match="nothing is changed; give --set"):
        whatif(plain, [])


def write_lines(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            file.write(json.dumps({"id": f"{path.stem}-{number}", "text": text}) + "\n")


def run_lines(folder: Path, sources: dict[str, dict], stages: list, **more: Any) -> Path:
    data = {
        "name": "lines",
        "sources": {
            name: {
                "read": {"format": "jsonl", "paths": [str(folder / f"{name}.jsonl.gz")], "id": "column"},
                "stages": one["stages"],
            }
            for name, one in sources.items()
        },
        "stages": stages,
        "guardrails": {"enabled": False},
        **more,
    }
    return Path(run(recipe_from_resolved(data), output=folder / "run", workers=0, quiet=True).folder)


def word_filter(name: str, least: int | None, **more: Any) -> dict:
    off = dict.fromkeys(
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
    return {"gopher_quality": {"name": name, **off, "min_words": least, **more}}


WORDS = [1, 2, 3, 4, 5, 6, 7, 8]


def texts(word: str) -> list[str]:
    return [" ".join([word] * number) for number in WORDS]


@pytest.fixture(scope="module")
def two_sources(tmp_path_factory) -> Path:
    """Two sources of 8 documents with 1 to 8 words; filters before a checkpoint, after it, and after a deduplication."""
    folder = tmp_path_factory.mktemp("lines")
    write_lines(folder / "a.jsonl.gz", texts("apple"))
    write_lines(folder / "b.jsonl.gz", texts("berry"))
    sources = {
        "a": {"stages": [word_filter("first", 3, checkpoint=True), word_filter("second", 5)]},
        "b": {"stages": [word_filter("second", 2)]},
    }
    return run_lines(folder, sources, ["exact", word_filter("last", 6)])


def sides(answer: dict, stage: str, source: str) -> tuple[int, int | None]:
    row = next(row for row in answer["stages"] if (row["stage"], row["source"]) == (stage, source))
    return row["before"]["kept"], row["after"] and row["after"]["kept"]


def test_beyond_a_checkpoint_nothing_is_judged_and_other_sources_only_to_the_deduplication(two_sources):
    answer = whatif(two_sources, ["first.min_words=2"])
    assert sides(answer, "first", "a") == (6, 7)
    assert sides(answer, "second", "a") == (4, None)
    assert sides(answer, "second", "b") == (7, 7)
    assert sides(answer, "exact", "b") == (7, None)
    assert answer["goes_on"] == [{"source": "a", "to": "second", "more": 1, "fewer": 0}]


def test_steps_of_one_name_are_judged_each_with_its_own_bound(two_sources):
    answer = whatif(two_sources, ["sources.b.stages.second.min_words=4"])
    assert sides(answer, "second", "a") == (4, 4)
    assert sides(answer, "second", "b") == (7, 5)
    with pytest.raises(UserError, match="second stands in the recipe 2 times"):
        whatif(two_sources, ["second.min_words=4"])


def test_after_the_last_deduplication_the_answer_is_exact_to_the_end(two_sources):
    answer = whatif(two_sources, ["last.min_words=4"])
    assert sides(answer, "exact", "a") == (4, 4)
    assert sides(answer, "last", "a") == (3, 4)
    assert sides(answer, "last", "b") == (3, 5)
    assert answer["goes_on"] == []
    assert answer["newly_kept"]["documents"] == 3
    assert answer["rules"] == [{"stage": "last", "rule": "too_few_words", "before": 5, "after": 2}]


def test_changes_on_both_sides_of_what_cannot_be_judged_are_refused(two_sources):
    with pytest.raises(UserError, match="first and last stand before and after second"):
        whatif(two_sources, ["first.min_words=2", "last.min_words=2"])


def test_a_rule_that_was_off_has_no_signal_to_judge(two_sources):
    with pytest.raises(UserError, match="stop_word_count was not measured, as last had no rule on it"):
        whatif(two_sources, ["last.min_stop_words=1"])


def test_a_rule_that_is_turned_on_for_a_signal_that_was_measured_is_judged(two_sources):
    answer = whatif(two_sources, ["last.max_words=7"])
    assert sides(answer, "last", "a") == (3, 2)
    assert answer["rules"] == [{"stage": "last", "rule": "too_many_words", "before": 0, "after": 2}]


OWN_STAGES = """
import numpy as np
import pyarrow as pa
from gristmill.stages.editor import Edited, Editor
from gristmill.stages.filter import Filter, Rule


class Silent(Filter):
    def rules(self):
        return iter(())


class Shorten(Editor):
    def edit(self, batch):
        texts = [" ".join(text.split()[1:]) for text in batch.table["text"].to_pylist()]
        place = batch.table.schema.get_field_index("text")
        return Edited(batch.table.set_column(place, batch.table.schema.field(place), pa.array(texts, pa.large_string())))


class Even(Filter):
    most: float = 1

    def rules(self):
        yield Rule("odd", "odd", at_most=self.most)

    def measure(self, batch):
        counts = [len(text.split()) for text in batch.table["text"].to_pylist()]
        # says nothing of long texts
        return {"odd": np.array([np.nan if count > 6 else count % 2 for count in counts])}
"""


@pytest.fixture
def own_stages(tmp_path, monkeypatch) -> Path:
    """A folder with stages of a user's own, to work in."""
    (tmp_path / "whatif_own_stages.py").write_text(OWN_STAGES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_lines(tmp_path / "a.jsonl.gz", texts("apple"))
    return tmp_path


@pytest.mark.parametrize("before", [["whatif_own_stages:Silent"], [word_filter("first", 2)], []])
def test_signals_before_and_after_an_editor_are_told_apart_also_where_a_filter_measures_nothing(own_stages, before):
    stages = [*before, "whatif_own_stages:Shorten", word_filter("second", 4), "whatif_own_stages:Even"]
    folder = run_lines(own_stages, {"a": {"stages": stages}}, [])
    # one word less each: 4, 5, 6 and 7 words remain of the documents
    answer = whatif(folder, ["second.min_words=6", "even.most=0"])
    assert sides(answer, "second", "a") == (4, 2)
    assert sides(answer, "even", "a") == (4, 2)
    assert answer["newly_removed"]["documents"] == 2
    if before and isinstance(before[0], dict):
        answer = whatif(folder, ["first.min_words=3"])
        assert sides(answer, "second", "a") == (4, None)
        assert answer["goes_on"] == [{"source": "a", "to": "shorten", "more": 0, "fewer": 1}]


def test_a_document_to_which_a_signal_does_not_apply_passes_as_it_did_in_the_run(own_stages):
    folder = run_lines(own_stages, {"a": {"stages": ["whatif_own_stages:Even"]}}, [])
    answer = whatif(folder, ["even.most=0"])
    # 2, 4 and 6 words, and 7 and 8 of which the signal says nothing
    assert sides(answer, "even", "a") == (8, 5)


def test_a_run_without_signals_says_how_to_get_them(tmp_path):
    write_lines(tmp_path / "a.jsonl.gz", texts("apple"))
    stages = {"a": {"stages": [word_filter("first", 3)]}}
    folder = run_lines(tmp_path, stages, [], output={"signals": False})
    with pytest.raises(UserError, match=r"holds no signals.*output\.signals=true"):
        whatif(folder, ["first.min_words=2"])


def test_signals_that_do_not_give_the_funnel_are_refused(two_sources, tmp_path):
    facts = json.loads((two_sources / "run.json").read_text())
    facts["recipe"]["sources"]["b"]["stages"][0]["gopher_quality"]["min_words"] = 3
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.json").write_text(json.dumps(facts))
    (other / "funnel.json").write_text((two_sources / "funnel.json").read_text())
    (other / "signals").symlink_to(two_sources / "signals")
    with pytest.raises(UserError, match="its signals give 6 of 8 documents of b kept by second, its funnel says 7 of 8"):
        whatif(other, ["sources.b.stages.second.min_words=4"])


def test_what_is_printed_says_how_far_it_is_judged(two_sources, capsys):
    print_whatif(two_sources, ["first.min_words=2"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "first 8 6 8 7 +1" in lines
    assert "second 14 11 - - -" in lines
    assert "first too_few_words 2 1 -1" in lines
    assert "newly kept: 1 document" in lines
    assert "a.jsonl-1 first: too_few_words 2, threshold 3" in lines
    assert "a: 1 more would go on to second, not judged" in lines


def test_the_command_answers_as_json_and_refuses_with_status_2(two_sources, capsys):
    assert exit_status(["whatif", str(two_sources), "--set", "last.min_words=4", "last.max_words=7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == whatif(two_sources, ["last.min_words=4", "last.max_words=7"])
    assert exit_status(["whatif", str(two_sources), "--set", "last.flavour=dolma"]) == 2
    assert "no mere bound" in capsys.readouterr().err
    assert exit_status(["whatif", str(two_sources)]) == 2


# 1 to 8 lines of which every second is long, then the words of a document that OSCAR would call tiny at 3 lines
LINES = ["\n".join(("long " * 30 if place % 2 == 0 else "short").strip() for place in range(number)) for number in WORDS]


@pytest.fixture(scope="module")
def annotated(tmp_path_factory) -> Path:
    """Eight documents of 1 to 8 lines through filters whose settings do not all make rules."""
    folder = tmp_path_factory.mktemp("annotated")
    write_lines(folder / "a.jsonl.gz", LINES)
    off = dict.fromkeys(("min_ended_lines", "max_short_lines", "max_newlines_per_word"))
    stages = [
        {"oscar": {"min_long_line_chars": 0, "trimmed": False, "min_lines": 3}},
        {"roots": {"min_words": 0, "max_character_repetition": 1, "max_word_repetition": 1, "min_stop_words": 0}},
        {"fineweb": {**off, "max_copied_line_chars": 1}},
    ]
    return run_lines(folder, {"a": {"stages": stages}}, [])


def test_an_annotation_that_is_made_to_drop_is_judged_from_its_signal(annotated):
    answer = whatif(annotated, ["oscar.drop=[tiny]"])
    assert answer["newly_removed"]["documents"] == 2
    assert answer["rules"] == [{"stage": "oscar", "rule": "tiny", "before": 0, "after": 2}]
    answer = whatif(annotated, ["oscar.drop=[tiny]", "oscar.min_lines=5"])
    assert answer["newly_removed"]["documents"] == 4
    assert {one["threshold"] for one in answer["newly_removed"]["examples"]} == {5}


def test_a_bound_without_a_rule_changes_nothing(annotated):
    for change in ("roots.max_flagged_words=0.5", "oscar.min_lines=7", "oscar.max_short_lines=0", "oscar.max_non_letters=null"):
        answer = whatif(annotated, [change])
        assert all(row["after"] == row["before"] for row in answer["stages"])


WHY_NOT = {
    "oscar.trimmed=true": r"oscar_line_count would be measured in another way \(trimmed: False, then True\)",
    "fineweb.short_line_chars=20": r"lines_of_few_chars_fraction would be measured in another way \(chars: 30, then 20\)",
    "roots.word_ngram=3": r"roots_word_count would be measured in another way \(n: 5, then 3\)",
    "roots.name=other": "no bound of a rule follows from it",
}


@pytest.mark.parametrize("change", WHY_NOT)
def test_a_change_that_signals_do_not_tell_of_is_refused_with_the_reason(annotated, change):
    with pytest.raises(UserError, match=f"{WHY_NOT[change]}.*gristmill run.*--work"):
        whatif(annotated, [change])
