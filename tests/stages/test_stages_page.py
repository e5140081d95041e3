"""docs/stages.md names every stage and every rule that it can give."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from gristmill.stages.filter import Filter
from gristmill.stages.registry import STAGES, stage_class

PAGE = (Path(__file__).parents[2] / "docs" / "stages.md").read_text("utf-8")


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_stands_in_the_table(name):
    assert any(f"`{name}`" in line.split(" | ")[0] for line in PAGE.partition("## Rules")[0].splitlines() if line.startswith("|"))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in STAGES),
        ("url_filter", {"domains": ["a.com"], "hosts": ["a.com"], "urls": ["a.com/b"], "categories": ["adult"]}),
        ("url_filter", {"banned_words": ["a"], "soft_banned_words": ["b"], "banned_subwords": ["c"]}),
        ("opt_out", {"noimageai": True, "noindex": True, "nofollow": True, "noarchive": True, "licenses": ["cc0"]}),
        ("language", {"keep": {"en": 0.5}}),
        ("gopher_quality", {"flavour": "datatrove"}),
        ("gopher_quality", {"flavour": "dolma"}),
        ("gopher_quality", {"flavour": "rpv2"}),
        ("gopher_repetition", {"flavour": "dolma"}),
        ("c4", {"bad_words": "ldnoobw:en"}),
        ("roots", {"flagged_words": "ldnoobw:en"}),
        ("oscar", {"drop": ["tiny", "short_sentences", "header", "footer", "noisy"]}),
    ],
)
def test_each_rule_of_a_filter_stands_beside_it(name, settings):
    try:
        stage = stage_class(name)(**settings)
    except ValidationError:
        pytest.skip("needs settings: a model, a signal")
    if not isinstance(stage, Filter):
        return
    row = next(line for line in PAGE.partition("## Rules")[2].splitlines() if line.startswith(f"| `{name}` |"))
    assert [rule.name for rule in stage.rules() if f"`{rule.name}`" not in row] == []
