"""Recipes of published corpora: what they promise to hold."""

import pytest

from gristmill.pipeline.recipe import load_recipe
from gristmill.pipeline.recipe_file import shipped_recipes, shipped_text
from gristmill.stages.c4 import C4
from gristmill.stages.c4_lines import C4Lines
from gristmill.stages.fineweb import FineWeb
from gristmill.stages.paragraphs import Paragraphs
from gristmill.stages.redpajama_v2 import RedPajamaV2


def steps(name: str) -> list[object]:
    recipe = load_recipe(name, paths_required=False)
    return [*recipe.sources["web"].stages, *recipe.stages]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("c4", "page_length url_dedup c4_lines c4 lines language"),
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
    length, _, lines, page, _, _ = steps("c4")
    assert [(rule.name, rule.at_most) for rule in length.active_rules()] == [("too_long_page", 190_000)]
    assert lines == C4Lines()
    assert page == C4(max_page_chars=None)


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


def test_what_dolma_calls_a_repetition_is_not_what_ccnet_does():
    paragraphs = [stage for stage in steps("dolma_v1_6_web") if isinstance(stage, Paragraphs)]
    assert [(stage.flavour, stage.preset.keep) for stage in paragraphs] == [("ccnet", "none"), ("dolma", "first")]


def test_signals_of_redpajama_drop_nothing():
    (signals,) = [stage for stage in steps("redpajama_v2_signals") if isinstance(stage, RedPajamaV2)]
    assert signals.signals == "all"
    assert signals.active_rules() == []


def test_refinedweb_lite_is_a_part_of_refinedweb():
    labels = [stage.label for stage in steps("refinedweb")]
    assert [label for label in labels if label in {stage.label for stage in steps("refinedweb-lite")}] == [
        stage.label for stage in steps("refinedweb-lite") if stage.label != "exact"
    ]
