"""Recipes: what a file may say, and how each mistake in it is told."""

from pathlib import Path
from textwrap import dedent

import pytest
from pydantic import ValidationError

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.readers.reader import ReadSettings
from gristmill.pipeline.recipe import Guardrails, Recipe, Source, load_recipe, recipe_from_resolved, resolved
from gristmill.pipeline.recipe_file import as_written, as_yaml, parse_recipe, shipped_recipes
from gristmill.stages.exact import Exact
from gristmill.stages.extract import Extract
from gristmill.stages.gopher_quality import GopherQuality
from gristmill.stages.language import Language
from gristmill.stages.registry import STAGES
from gristmill.stages.url_filter import UrlFilter

OWN_STAGE = '''
from typing import ClassVar
from gristmill.stages.filter import Filter, Rule

class LongEnough(Filter):
    """Drop short documents."""

    least: int = 3
    """Fewest words."""

    def rules(self):
        yield Rule("too_short", "word_count", at_least=self.least)

class NoStage:
    pass
'''


def write(folder: Path, text: str, name: str = "recipe.yaml") -> str:
    path = folder / name
    path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return str(path)


def mistakes(path: str, **how: object) -> list[str]:
    """Lines of the message that reading the file ends with, without the folder."""
    with pytest.raises(UserError) as caught:
        load_recipe(path, **how)  # type: ignore[arg-type]
    return str(caught.value).replace(str(Path(path).parent) + "/", "").split("\n")


def test_every_shipped_recipe_is_valid_and_asks_for_its_input():
    assert {"c4", "demo", "fineweb", "refinedweb", "refinedweb-lite"} <= set(shipped_recipes())
    for name in shipped_recipes():
        recipe = load_recipe(name, inputs=["crawl.warc.gz"])
        assert (recipe.name, recipe.sources["web"].read.paths) == (name, ["crawl.warc.gz"])
        assert mistakes(name) == [f"{name}.yaml: source web names no paths; give --input PATH..., or set read.paths"]


def test_refinedweb_lite_holds_the_promised_steps():
    recipe = load_recipe("refinedweb-lite", paths_required=False)
    assert [stage.label for stage in recipe.sources["web"].stages] == [
        "url_filter",
        "extract",
        "language",
        "gopher_repetition",
        "gopher_quality",
    ]
    assert [stage.label for stage in recipe.stages] == ["exact", "minhash"]
    assert recipe.sources["web"].stages[2] == Language(keep={"en": 0.65}, bound="at_least")
    assert recipe.tokenize is not None
    assert recipe.tokenize.train is not None
    assert recipe.tokenize.train.vocab_size == 8192


def test_what_is_not_said_has_the_default(tmp_path):
    recipe = load_recipe(write(tmp_path, "name: small\nsources: {books: {read: {format: text, paths: books}}}\n"))
    assert (recipe.seed, recipe.partition_bytes, recipe.tokenize, recipe.stages) == (0, 64_000_000, None, [])
    assert (recipe.output.file_bytes, recipe.output.signals, recipe.output.edits) == (256_000_000, True, False)
    assert (recipe.ledger.text, recipe.ledger.sample_size) == ("sample", 100)
    assert recipe.sources["books"].read.paths == ["books"]


@pytest.mark.parametrize(
    ("written", "size"), [("7", 7), ("256MB", 256_000_000), ("64MiB", 67_108_864), ("1.5GB", 1_500_000_000), ("2GiB", 2**31)]
)
def test_sizes_are_read_with_decimal_and_binary_units(tmp_path, written, size):
    text = f"name: small\nsources: {{a: {{read: {{format: text, paths: [x]}}}}}}\npartition_bytes: {written}\n"
    assert load_recipe(write(tmp_path, text)).partition_bytes == size


def test_all_mistakes_of_a_file_are_told_at_once_each_with_its_line(tmp_path):
    path = write(
        tmp_path,
        """
        name: my corpus
        seeds: 3
        sources:
          web:
            read: {format: wark, paths: [a.warc]}
            stages:
              - url_filtr
              - language: {keep: {en: 1.5}, bund: above}
              - language: {name: again, max_characters: lots}
              - language:
                name: x
              - 7
          books:
            read: {format: jsonl, paths: [b.jsonl], id: record}
            stages:
              - extract
              - language
              - language
            stages: []
        output: {file_bytes: large}
        tokenize: {}
        mixture: {web: 1, boks: 2}
        partition_bytes: 0
        ledger: none
        """,
    )
    assert mistakes(path) == [
        "recipe.yaml:1: name: is 'my corpus'; it names a folder: use letters, digits, ., - and _ only",
        "recipe.yaml:2: seeds: unknown key; a recipe takes seed, name, sources, stages, tokenize, mixture, output, ledger, "
        "guardrails, partition_bytes, cluster_bytes",
        "recipe.yaml:5: sources.web.read.format: is 'wark'; should be 'warc', 'wet', 'jsonl', 'parquet' or 'text'",
        f"recipe.yaml:7: sources.web.stages[0]: unknown stage url_filtr; stages are {', '.join(STAGES)}, "
        "or module:Class of your own",
        "recipe.yaml:8: sources.web.stages[1].bund: unknown key; language takes bound, name, checkpoint, evaluate, per_language, "
        "keep, model, max_characters, by, top_k, min_script_share, lines, line_score, min_line_share, min_own_lines, "
        "max_line_languages, multilingual",
        "recipe.yaml:8: sources.web.stages[1].keep.en: is 1.5; should be less than or equal to 1",
        "recipe.yaml:9: sources.web.stages[2].max_characters: is 'lots'; should be a valid integer, unable to parse string as an "
        "integer",
        "recipe.yaml:10: sources.web.stages[3]: is keys language, name; an entry is `- name` or `- name: {settings}` (settings "
        "stand deeper)",
        "recipe.yaml:12: sources.web.stages[4]: is 7; an entry is `- name` or `- name: {settings}` (settings stand deeper)",
        "recipe.yaml:14: sources.books.read: id: record is for warc and wet, this is jsonl; take column or position",
        "recipe.yaml:15: sources.books.stages: stands twice, again on line 19; keep one",
        "recipe.yaml:16: sources.books.stages[0]: extract needs pages, and jsonl documents carry text already; remove it",
        "recipe.yaml:18: sources.books.stages[2]: a second step called language; the first is "
        "sources.books.stages[1]: give one a "
        "name (name: ...)",
        "recipe.yaml:20: output.file_bytes: is 'large'; should be a size such as 64MB (10^6 bytes), 64MiB (2^20 bytes) or a "
        "number of bytes",
        "recipe.yaml:21: tokenize: names neither of train and tokenizer; give one: {train: {}} or {tokenizer: PATH}",
        "recipe.yaml:22: mixture: gives no weight to books; name every source",
        "recipe.yaml:22: mixture.boks: no such source; the recipe has web, books",
        "recipe.yaml:23: partition_bytes: is 0; should be greater than 0",
        "recipe.yaml:24: ledger: is 'none'; should be a mapping of text, sample_size",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "",
            "recipe.yaml: holds nothing; a recipe is a mapping with keys name, seed, sources, stages, tokenize, mixture, output, "
            "ledger, guardrails, partition_bytes, cluster_bytes",
        ),
        (
            "name: [a\nb: 1\n",
            "recipe.yaml:2: is no valid YAML: while parsing a flow sequence expected ',' or ']', but got ':'; "
            "check indentation, colons and quotes there",
        ),
        ("name: a\n", "recipe.yaml:1: sources: is missing; The sources by name, each with its own stages."),
        ("name: a\nsources: {}\n", "recipe.yaml:2: sources: is {}; should have at least 1 item after validation, not 0"),
        ("name: a\nsources: [web]\n", "recipe.yaml:2: sources: is ['web']; should be a mapping"),
        ("name: a\nsources:\n  web: 3\n", "recipe.yaml:3: sources.web: is 3; should be a mapping of read, stages"),
        (
            "name: a\nsources:\n  a.b:\n    read: {format: text, paths: x}\n",
            "recipe.yaml:3: sources.a.b: is 'a.b'; it names a folder: use letters, digits, - and _ only",
        ),
    ],
)
def test_a_file_that_is_no_recipe_is_told_so(tmp_path, text, told):
    assert mistakes(write(tmp_path, text)) == [told]


@pytest.mark.parametrize(
    ("format_", "stages", "across", "told"),
    [
        (
            "warc",
            "[language]",
            "[]",
            ":4: sources.s.stages[0]: language needs text, and warc documents have none yet; put extract before it",
        ),
        (
            "warc",
            "[extract, extract: {name: more}]",
            "[]",
            ":4: sources.s.stages[1]: more needs pages, and the pages are text by then; remove it",
        ),
        (
            "warc",
            "[url_filter]",
            "[]",
            ":4: sources.s.stages: hold no extract: warc documents are pages without text, and nothing "
            "would be left to write; add extract",
        ),
        (
            "warc",
            "[]",
            "[exact]",
            ":4: sources.s.stages: hold no extract: warc documents are pages without text, and the recipe's "
            "stages need text; add extract",
        ),
        (
            "wet",
            "[extract]",
            "[]",
            ":4: sources.s.stages[0]: extract needs pages, and wet documents carry text already; remove it",
        ),
        ("wet", "[]", "[extract]", ":5: stages[0]: extract works on pages; move it to the stages of a source that has them"),
        (
            "wet",
            "[language]",
            "[language]",
            ":5: stages[0]: a second step called language; the first is sources.s.stages[0]: give one a name (name: ...)",
        ),
        (
            "wet",
            "[language: {name: read}]",
            "[]",
            ":4: sources.s.stages[0]: name is 'read', which the ledger uses for a step of its own; choose another",
        ),
        ("wet", "[language: {name: a.b}]", "[]", ":4: sources.s.stages[0]: name is 'a.b'; use letters, digits, - and _ only"),
    ],
)
def test_a_step_in_the_wrong_place_is_told_with_the_right_one(tmp_path, format_, stages, across, told):
    path = write(
        tmp_path,
        f"""
        name: a
        sources:
          s: {{read: {{format: {format_}, paths: [x]}},
              stages: {stages}}}
        stages: {across}
        """,
    )
    assert mistakes(path) == [f"recipe.yaml{told}"]


def test_pages_may_be_judged_by_their_url_before_and_after_extraction(tmp_path):
    text = """
        name: a
        sources:
          web:
            read: {format: warc, paths: [x]}
            stages: [url_filter, extract, url_filter: {name: once_more}]
        """
    recipe = load_recipe(write(tmp_path, text))
    assert [stage.label for stage in recipe.sources["web"].stages] == ["url_filter", "extract", "once_more"]


def test_two_sources_may_have_steps_of_one_name(tmp_path):
    text = """
        name: a
        sources:
          b: {read: {format: text, paths: [x]}, stages: [language]}
          c: {read: {format: text, paths: [y]}, stages: [language]}
        """
    assert set(load_recipe(write(tmp_path, text)).sources) == {"b", "c"}


def test_no_stays_a_word():
    recipe = recipe_from_resolved(
        {
            "name": "a",
            "sources": {"w": {"read": {"format": "text", "paths": ["x"]}, "stages": [{"language": {"keep": {"no": 0.5}}}]}},
        }
    )
    assert recipe.sources["w"].stages == [Language(keep={"no": 0.5})]


def test_a_file_that_cannot_be_read_is_told_so(tmp_path):
    assert mistakes(str(tmp_path / "gone.yaml")) == ["gone.yaml: there is no such file"]
    (tmp_path / "folder.yaml").mkdir()
    assert mistakes(str(tmp_path / "folder.yaml")) == ["folder.yaml: is a folder; give a YAML file"]
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    assert mistakes(str(tmp_path / "latin.yaml")) == ["latin.yaml: is no UTF-8 text (byte 9); save it as UTF-8"]
    (told,) = mistakes("dmo")
    assert told.startswith("dmo: no shipped recipe and no file; shipped are demo, ")
    assert told.endswith("; a file ends in .yaml")


def test_a_resolved_recipe_loads_as_the_same_recipe(tmp_path):
    for name in shipped_recipes():
        recipe = load_recipe(name, inputs=["a.warc.gz", "b.warc.gz"])
        assert recipe_from_resolved(resolved(recipe)) == recipe
        assert load_recipe(write(tmp_path, as_yaml(resolved(recipe)))) == recipe


def test_a_recipe_can_be_made_of_objects():
    read = ReadSettings(format="warc", paths=["x.warc.gz"])
    recipe = Recipe(
        name="mine",
        sources={"web": Source(read=read, stages=[UrlFilter(), Extract(), GopherQuality(min_words=10)])},
        stages=[Exact()],
    )
    assert recipe.sources["web"].stages[2].min_words == 10
    assert recipe_from_resolved(resolved(recipe)) == recipe
    with pytest.raises(ValidationError, match=r"sources\.web\.stages\[0\]: gopher_quality needs text"):
        Recipe(name="mine", sources={"web": Source(read=read, stages=[GopherQuality(), Extract()])})


def test_stages_may_stand_as_objects_in_a_mapping():
    data = {"name": "a", "sources": {"w": {"read": {"format": "text", "paths": ["x"]}, "stages": [Language(), "gopher_quality"]}}}
    assert parse_recipe(data, str).sources["w"].stages == [Language(), GopherQuality()]


def test_a_stage_of_the_users_own_is_found_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    (tmp_path / "my_stages_of_a_test.py").write_text(OWN_STAGE)
    text = """
        name: a
        sources:
          w:
            read: {format: text, paths: [x]}
            stages:
              - my_stages_of_a_test:LongEnough: {least: 5}
        """
    recipe = load_recipe(write(tmp_path, text), ["long_enough.least=7"])
    (stage,) = recipe.sources["w"].stages
    assert (stage.label, stage.least) == ("long_enough", 7)  # type: ignore[attr-defined]
    assert recipe_from_resolved(resolved(recipe)) == recipe
    for wrong, why in [
        ("no_such_module_here:X", "No module named 'no_such_module_here'"),
        ("my_stages_of_a_test:Y", "module my_stages_of_a_test has no class Y"),
        ("my_stages_of_a_test:NoStage", "my_stages_of_a_test:NoStage is no gristmill.stages.stage.Stage"),
    ]:
        path = write(tmp_path, text.replace("my_stages_of_a_test:LongEnough: {least: 5}", wrong))
        assert mistakes(path) == [
            f"recipe.yaml:6: sources.w.stages[0]: stage {wrong} cannot be used: {why}; it should be the module:Class of a Stage"
        ]


def test_paths_are_sought_beside_the_recipe_first(tmp_path, monkeypatch):
    (tmp_path / "recipes" / "lists").mkdir(parents=True)
    (tmp_path / "recipes" / "lists" / "adult.txt").write_text("example.com\n")
    (tmp_path / "recipes" / "crawl").mkdir()
    (tmp_path / "recipes" / "crawl" / "a.jsonl").write_text("")
    monkeypatch.chdir(tmp_path)
    text = """
        name: a
        sources:
          web:
            read: {format: jsonl, paths: ["crawl/*.jsonl", "elsewhere/*.jsonl", "s3://bucket/x.jsonl"]}
            stages:
              - url_filter: {domains: [lists/adult.txt, example.org]}
        """
    recipe = load_recipe(write(tmp_path / "recipes", text) and "recipes/recipe.yaml")
    assert recipe.sources["web"].read.paths == ["recipes/crawl/*.jsonl", "elsewhere/*.jsonl", "s3://bucket/x.jsonl"]
    assert recipe.sources["web"].stages == [UrlFilter(domains=("recipes/lists/adult.txt", "example.org"))]


def test_guardrails_are_those_of_the_step_then_of_its_kind():
    rails = Guardrails(stages={"strict": 0.999})
    limits = [rails.limit("extract", extracts=True), rails.limit("gopher_quality"), rails.limit("strict")]
    assert limits == [0.5, 0.98, 0.999]


def test_a_guardrail_for_no_step_is_a_mistake(tmp_path):
    text = """
        name: a
        sources: {w: {read: {format: text, paths: [x]}, stages: [language]}}
        guardrails: {stages: {langage: 0.9}}
        """
    assert mistakes(write(tmp_path, text)) == [
        "recipe.yaml:3: guardrails.stages.langage: no such step; the recipe has read, language"
    ]


def test_a_stage_that_lacks_what_its_kind_defines_is_refused_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "half_done.py").write_text(
        "from gristmill.stages.filter import Filter\n\n\nclass HalfDone(Filter):\n    'Nothing yet.'\n\n    kind = 'half_done'\n"
    )
    monkeypatch.chdir(tmp_path)
    text = """
        name: a
        sources: {w: {read: {format: text, paths: [x]}, stages: ["half_done:HalfDone"]}}
        """
    (told,) = mistakes(write(tmp_path, text))
    assert told.startswith(
        "recipe.yaml:2: sources.w.stages[0]: stage half_done:HalfDone cannot be used: half_done:HalfDone has no rules()"
    )


def test_a_recipe_is_shown_as_it_is_written(tmp_path):
    text = "name: a   # comments stay\nsources: {}\n"
    assert as_written(write(tmp_path, text)) == text
    assert as_written("demo").startswith("# A small web corpus")
