"""Recipes of published corpora: what they promise to hold."""

import re

import pyarrow as pa
import pytest

from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.recipe import load_recipe
from gristmill.pipeline.recipe_file import shipped_recipes, shipped_text
from gristmill.stages.c4 import C4
from gristmill.stages.c4_lines import C4Lines
from gristmill.stages.documents import Batch
from gristmill.stages.fineweb import FineWeb
from gristmill.stages.gopher_repetition import GopherRepetition
from gristmill.stages.paragraphs import Paragraphs
from gristmill.stages.redpajama_v2 import RedPajamaV2
from gristmill.stages.replace import Replace


def steps(name: str) -> list[object]:
    recipe = load_recipe(name, paths_required=False)
    return [*recipe.sources["web"].stages, *recipe.stages]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("c4", "page_length url_dedup c4_lines c4 lines language bad_words"),
        ("mc4", "page_length url_dedup long_lines lines language bad_words"),
        (
            "dclm_baseline",
            "url_filter extract urls newlines language gopher_quality gopher_repetition line_corrections "
            "minhash paragraphs quality_classifier",
        ),
        (
            "fineweb2",
            "url_filter extract language minhash gopher_repetition fineweb gopher_quality normalise pii lone_bars",
        ),
        (
            "fineweb",
            "url_filter extract language gopher_repetition gopher_quality c4_lines c4 fineweb minhash pii",
        ),
        (
            "refinedweb",
            "url_filter extract urls newlines language gopher_repetition gopher_quality line_corrections "
            "minhash substring url_dedup",
        ),
        ("ccnet", "rules paragraphs language perplexity"),
        ("roots_oscar", "normalise addresses long_words language roots simhash substring"),
        ("dolma_v1_6_web", "rules ccnet language url_dedup exact gopher_quality gopher_repetition c4_lines pii paragraphs"),
    ],
)
def test_the_steps_in_the_published_order(name, labels):
    assert [stage.label for stage in steps(name)] == labels.split()


def test_c4_bounds_the_page_before_its_lines_are_cut():
    length, _, lines, page, _, _, _ = steps("c4")
    assert [(rule.name, rule.at_most) for rule in length.active_rules()] == [("too_long_page", 190_000)]
    assert lines == C4Lines()
    assert page == C4(max_page_chars=None)


@pytest.mark.parametrize(("name", "language"), [("c4", "en"), ("mc4", None)])
def test_bad_words_are_looked_for_last_and_only_with_a_list(name, language):
    last = steps(name)[-1]
    assert isinstance(last, C4)
    assert (last.active_rules(), last.bad_words_language) == ([], language)
    with_a_list = load_recipe(name, ["bad_words.bad_words=words.jsonl"], paths_required=False).sources["web"].stages[-1]
    assert [rule.name for rule in with_a_list.active_rules()] == ["bad_word"]


def test_fineweb_takes_c4s_rules_but_for_the_end_mark():
    lines, page, own = steps("fineweb")[5:8]
    assert lines == C4Lines(flavour="datatrove", end_mark=False, min_words=3)
    assert page == C4(max_page_chars=None, min_sentences=5)
    assert own == FineWeb(flavour="datatrove_2024_04")


@pytest.mark.parametrize("name", sorted(set(shipped_recipes()) - {"demo"}))
def test_a_recipe_says_where_it_is_from_and_how_it_is_run(name):
    text = shipped_text(name)
    assert text.startswith("# ")
    assert f"\n# gristmill run {name} --input " in text
    assert "[ours]" in text or "without a tag is read in" in text


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_what_a_recipe_tells_to_set_is_there(name):
    settings = {stage.label: set(type(stage).model_fields) for stage in steps(name)}
    told = re.findall(r"(?<![.\w])([a-z][a-z0-9_]*)\.([a-z_]+)=", shipped_text(name))
    assert [f"{label}.{key}" for label, key in told if key not in settings.get(label, ())] == []


def test_the_commands_that_recipes_tell_have_their_flags(capsys):
    told: dict[str, set[str]] = {}
    for name in shipped_recipes():
        for command, rest in re.findall(r"gristmill (\w+ train)( [^`]*)", shipped_text(name)):
            told.setdefault(command, set()).update(re.findall(r"--[a-z-]+", rest))
    assert {"classifier train", "perplexity train"} <= set(told)
    for command, flags in told.items():
        assert exit_status([*command.split(), "--help"]) == 0
        text = capsys.readouterr().out
        assert [flag for flag in sorted(flags) if flag not in text] == []


def test_what_dolma_calls_a_repetition_is_not_what_ccnet_does():
    paragraphs = [stage for stage in steps("dolma_v1_6_web") if isinstance(stage, Paragraphs)]
    assert [(stage.flavour, stage.preset.keep) for stage in paragraphs] == [("ccnet", "none"), ("dolma", "first")]


def test_dolma_takes_of_c4_the_end_mark_alone():
    (lines,) = [stage for stage in steps("dolma_v1_6_web") if isinstance(stage, C4Lines)]
    text = "A line without an end\nOne of javascript { and the privacy policy [1].\nYes.\n"
    (edited,) = lines.edit(Batch.of(pa.table({"id": ["a"], "text": [text]}))).table["text"].to_pylist()
    assert edited == "One of javascript { and the privacy policy [1].\nYes."


def test_of_gophers_repetitions_dolma_has_lines_and_repeated_n_grams():
    (repetition,) = [stage for stage in steps("dolma_v1_6_web") if isinstance(stage, GopherRepetition)]
    bounds = {rule.name: rule.at_most for rule in repetition.active_rules()}
    lines = {"duplicate_lines": 0.3, "duplicate_line_chars": 0.3}
    assert bounds == lines | {f"duplicate_{n}gram": round(0.2 - n / 100, 2) for n in range(5, 11)}


def test_of_gophers_rules_on_lines_fineweb2_has_the_share_of_copies_alone():
    (repetition,) = [stage for stage in steps("fineweb2") if isinstance(stage, GopherRepetition)]
    assert not [
        rule.name for rule in repetition.active_rules() if "paragraph" in rule.name or rule.name == "duplicate_line_chars"
    ]
    assert "duplicate_lines" in [rule.name for rule in repetition.active_rules()]


def test_signals_of_redpajama_drop_nothing():
    (signals,) = [stage for stage in steps("redpajama_v2_signals") if isinstance(stage, RedPajamaV2)]
    assert signals.signals == "all"
    assert signals.active_rules() == []


def test_refinedweb_lite_is_a_part_of_refinedweb():
    labels = [stage.label for stage in steps("refinedweb")]
    assert [label for label in labels if label in {stage.label for stage in steps("refinedweb-lite")}] == [
        stage.label for stage in steps("refinedweb-lite") if stage.label != "exact"
    ]


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if any(isinstance(stage, Replace) for stage in steps(name))])
def test_a_text_without_spaces_is_read_once_by_what_a_recipe_replaces(name):
    """As of Chinese or base64: an expression that tries it anew from each character takes an hour, and the suite's patience."""
    text = "\u5b57" * 1_000_000
    for stage in steps(name):
        if isinstance(stage, Replace) and stage.label != "long_words":
            edited = stage.edit(Batch(pa.table({"text": pa.array([text], pa.large_string())})))
            assert edited.table["text"][0].as_py() == text
            assert edited.cuts.num_rows == 0


def test_what_roots_calls_an_address_is_the_whole_word():
    (addresses,) = [stage for stage in steps("roots_oscar") if stage.label == "addresses"]
    text = "see(www.a.org) and b.com/c, then <a\nhref=d> //e f"
    edited = addresses.edit(Batch(pa.table({"text": pa.array([text], pa.large_string())})))
    assert edited.table["text"][0].as_py() == " and  then <a\n  f"
