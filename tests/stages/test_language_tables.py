import json
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from gristmill.stages.gopher_quality import GopherQuality
from gristmill.stages.language import Language
from gristmill.stages.language_tables import rows_for, shipped_tables
from gristmill.stages.registry import stage_class
from gristmill.stages.roots import Roots

WORDS = pa.table({"text": ["ein Text"] * 4, "language": ["deu_Latn", "en", None, "fr"]})


def only(**settings):
    """Gopher's rules with that on the number of words alone."""
    off = {name: None for name in GopherQuality.model_fields if name.startswith(("min_", "max_"))}
    return GopherQuality(**(off | settings))


def test_a_language_has_its_own_bound_and_all_others_the_filters():
    verdict = only(min_words=3, per_language={"de": {"min_words": 2}, "fr": {"min_words": None}}).judge(WORDS)
    assert verdict.first_failed_rule == [None, "too_few_words", "too_few_words", None]
    assert [verdict.threshold(0, row) for row in range(4)] == [2, 3, 3, None]


def test_a_rule_may_be_on_for_one_language_alone():
    verdict = only(per_language={"de": {"max_words": 1}}).judge(WORDS)
    assert [rule.name for rule in verdict.rules] == ["too_many_words"]
    assert verdict.first_failed_rule == ["too_many_words", None, None, None]


def test_a_language_may_be_measured_in_another_way():
    texts = pa.table({"text": ["der und die Mühle"] * 2, "language": ["de", "en"]})
    stage = Roots(language="en", other_languages="judge", min_words=1, per_language={"de": {"language": "de"}})
    assert stage.judge(texts).signals["stop_word_fraction"].tolist() == [0.75, 0.0]


def test_a_table_gives_the_same_as_the_settings_it_holds(tmp_path):
    path = tmp_path / "languages.yaml"
    path.write_text("de:\n  gopher_quality: {min_words: 2}\n  language: {min_score: 0.4}\nno:\n  language: {min_score: 0.5}\n")
    assert only(per_language=str(path)) == only(per_language={"de": {"min_words": 2}})
    assert Language(keep=str(path)).keep == {"de": 0.4, "no": 0.5}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"de": {"min_wrods": 2}}, r"per_language\.de: unknown key min_wrods; a language can have min_words, "),
        ({"de": {"min_words": -1}}, r"per_language\.de: min_words: Input should be greater than or equal to 0"),
        ({"de": {"min_wrods": 2}, "fr": {"min_words": -1}}, r"per_language\.de: unknown .*; per_language\.fr: min_words: "),
        ({"de": {"name": "x"}}, r"per_language\.de: name is one for all languages"),
        ({"de": {"flavour": "rpv2"}}, r"per_language\.de: makes other rules"),
        ("fineweb3", r"fineweb3: no such table of languages; there is fineweb2"),
        ("missing.yaml", r"missing\.yaml: no such file"),
        ([1], "valid string"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(rows, message):
    with pytest.raises(ValidationError, match=message):
        GopherQuality(per_language=rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("de: 3\n", "should be languages"),
        ("de: {gopher_quality: 3}\n", "should be languages"),
        ("de: [", "no YAML"),
        ("de: {fineweb: {min_lines: 2}}\n", "says nothing to gopher_quality; it has settings of fineweb"),
        ("{}\n", "it has settings of no stage"),
    ],
)
def test_a_file_in_another_form_is_refused(tmp_path, text, message):
    path = tmp_path / "languages.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        rows_for(str(path), "gopher_quality")


@pytest.mark.parametrize("table", shipped_tables())
def test_each_shipped_table_is_valid_for_each_stage_it_names(table):
    kinds = {"gopher_quality", "gopher_repetition", "fineweb"}
    for kind in kinds:
        stage = stage_class(kind)(flavour="datatrove", per_language=table)
        assert len(stage.per_language) > 50
        assert stage.asks_language
        again = type(stage).model_validate(json.loads(stage.model_dump_json()))
        assert again.all_rules() == stage.all_rules()
    assert len(Language(keep=table).keep) > 50


def test_german_words_may_be_longer_by_the_shipped_table():
    rows = rows_for("fineweb2", "gopher_quality")
    assert rows["fi"]["max_word_length"] > rows["de"]["max_word_length"] > rows["en"]["max_word_length"] == 10
    assert rows_for("fineweb2", "fineweb")["de"] == {"max_short_lines": None, "max_copied_line_chars": 0.1}
    assert "en" not in rows_for("fineweb2", "fineweb")


def test_the_recipe_lines_of_the_documentation_are_settings():
    page = (Path(__file__).parents[2] / "docs" / "language.md").read_text("utf-8")
    lines = YAML(typ="safe").load(page.split("```yaml\n")[1].split("```")[0])
    assert len(lines) > 10
    for line in lines:
        kind, settings = (line, {}) if isinstance(line, str) else next(iter(line.items()))
        assert stage_class(kind)(**settings).kind == kind
