"""Recipes of published corpora: what they promise to hold."""

import pytest

from gristmill.pipeline.recipe import load_recipe
from gristmill.stages.c4 import C4
from gristmill.stages.c4_lines import C4Lines
from gristmill.stages.fineweb import FineWeb


def steps(name: str) -> list[object]:
    recipe = load_recipe(name, paths_required=False)
    return [*recipe.sources["web"].stages, *recipe.stages]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("c4", "page_length c4_lines c4 language"),
        (
            "fineweb",
            "url_filter extract language gopher_repetition gopher_quality c4_lines c4 fineweb minhash pii",
        ),
    ],
)
def test_the_steps_in_the_published_order(name, labels):
    assert [stage.label for stage in steps(name)] == labels.split()


def test_c4_bounds_the_page_before_its_lines_are_cut():
    length, lines, page, _ = steps("c4")
    assert [(rule.name, rule.at_most) for rule in length.active_rules()] == [("too_long_page", 190_000)]
    assert lines == C4Lines()
    assert page == C4(max_page_chars=None)


def test_fineweb_takes_c4s_rules_but_for_the_end_mark():
    lines, page, own = steps("fineweb")[5:8]
    assert lines == C4Lines(flavour="datatrove", end_mark=False, min_words=3)
    assert page == C4(max_page_chars=None, min_sentences=5)
    assert own == FineWeb(flavour="datatrove_2024_04")
