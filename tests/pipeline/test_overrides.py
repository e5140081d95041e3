"""`--set` and `--input`: the path grammar of design.md, and what is told where a path leads nowhere."""

from pathlib import Path

import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.recipe import Recipe, load_recipe
from gristmill.stages.language import Language

RECIPE = """\
name: two
sources:
  web:
    read: {format: wet, paths: [web.wet.gz]}
    stages:
      - language: {keep: {en: 0.65}}
      - gopher_quality
      - gopher_quality: {name: strict, min_words: 200}
  books:
    read: {format: jsonl, paths: [books.jsonl]}
    stages: [gopher_quality]
stages:
  - exact
  - minhash: {bands: 14}
tokenize: {train: {vocab_size: 8192}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    (tmp_path / "two.yaml").write_text(RECIPE)
    return str(tmp_path / "two.yaml")


def value(recipe: Recipe, path: str) -> object:
    """What a dotted path of attributes and list positions leads to."""
    here: object = recipe
    for part in path.split("."):
        match here:
            case dict():
                here = here[part]
            case list():
                here = here[int(part)]
            case _:
                here = getattr(here, part)
    return here


@pytest.mark.parametrize(
    ("assignment", "path", "expected"),
    [
        ("sources.web.stages.gopher_quality.min_words=40", "sources.web.stages.1.min_words", 40),
        ("sources.web.stages.strict.min_words=40", "sources.web.stages.2.min_words", 40),
        ("strict.min_words=40", "sources.web.stages.2.min_words", 40),
        ("stages.minhash.bands=20", "stages.1.bands", 20),
        ("minhash.bands=20", "stages.1.bands", 20),
        ("exact.keep=earliest", "stages.0.keep", "earliest"),
        ("language.keep.en=0.8", "sources.web.stages.0.keep", {"en": 0.8}),
        ("language.keep.no=0.8", "sources.web.stages.0.keep", {"en": 0.65, "no": 0.8}),
        ("language.keep={de: 0.5}", "sources.web.stages.0.keep", {"de": 0.5}),
        ("language.keep=null", "sources.web.stages.0.keep", None),
        ("strict={min_words: 3}", "sources.web.stages.2.label", "strict"),
        ("sources.web.read.url_column=address", "sources.web.read.url_column", "address"),
        ("sources.web.read.paths=[a.wet, b.wet]", "sources.web.read.paths", ["a.wet", "b.wet"]),
        ("seed=3", "seed", 3),
        ("partition_bytes=16MB", "partition_bytes", 16_000_000),
        ("tokenize.train.vocab_size=512", "tokenize.train.vocab_size", 512),
        ("tokenize=null", "tokenize", None),
        ("output.signals=false", "output.signals", False),
        ("guardrails.stages.minhash=0.99", "guardrails.stages", {"minhash": 0.99}),
        ("mixture={web: 1, books: 2}", "mixture", {"web": 1, "books": 2}),
    ],
)
def test_a_path_sets_the_value_it_names_and_nothing_else(recipe, assignment, path, expected):
    changed, before = load_recipe(recipe, [assignment]), load_recipe(recipe)
    assert value(changed, path) == expected
    assert changed.sources["books"] == before.sources["books"]


def test_later_settings_win(recipe):
    assert load_recipe(recipe, ["minhash.bands=3", "stages.minhash.bands=5"]).stages[1].bands == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("seed", "should read PATH=VALUE, e.g. --set gopher_quality.min_words=40"),
        ("=3", "should read PATH=VALUE, e.g. --set gopher_quality.min_words=40"),
        ("a..b=3", "should read PATH=VALUE, e.g. --set gopher_quality.min_words=40"),
        (
            "gopher_quality.min_words=40",
            "gopher_quality stands in the recipe 2 times; say sources.web.stages.gopher_quality.min_words or "
            "sources.books.stages.gopher_quality.min_words",
        ),
        (
            "minhahs.bands=2",
            "no step and no key is called minhahs; the recipe has minhash, language, gopher_quality, strict, exact, name, seed, "
            "sources, stages, tokenize, mixture, output, ledger, guardrails, partition_bytes, cluster_bytes",
        ),
        ("stages.language.bound=above", "no step language in stages; there: exact, minhash"),
        ("sources.books.stages.strict.min_words=1", "no step strict in sources.books.stages; there: gopher_quality"),
        ("sources.wep.read.format=wet", "no source wep; the recipe has web, books"),
        ("seed.x=3", "seed: is {'x': 3}; should be a valid integer"),
        ("name.x=3", "name is 'two', which has nothing below it; set name itself"),
        ("strict=3", "is 3; should be a mapping of settings, e.g. {min_words: 40}"),
        ("minhash.bands=many", "is 'many'; should be a valid integer, unable to parse string as an integer"),
        ("minhash.bands=0", "is 0; should be greater than 0"),
        ("language.keep.en=2", "is 2; should be less than or equal to 1"),
        (
            "language.bund=2",
            f"unknown key; language takes bound, {', '.join(name for name in Language.model_fields if name != 'bound')}",
        ),
        ("language.keep={en: 3}", "sources.web.stages[0].keep.en: is 3; should be less than or equal to 1"),
        ("output.file_byte=2", "unknown key; output takes file_bytes, signals, edits"),
    ],
)
def test_a_setting_that_cannot_be_is_told_as_it_was_given(recipe, assignment, told):
    with pytest.raises(UserError) as caught:
        load_recipe(recipe, [assignment])
    assert str(caught.value) == f"--set {assignment}: {told}"


def test_a_value_that_is_no_yaml_is_told(recipe):
    with pytest.raises(UserError, match=r"^--set seed=\[1:1: is no valid YAML"):
        load_recipe(recipe, ["seed=[1"])


def test_mistakes_of_the_file_and_of_settings_are_told_together(tmp_path):
    (tmp_path / "two.yaml").write_text(RECIPE.replace("vocab_size: 8192", "vocab_size: 8"))
    with pytest.raises(UserError) as caught:
        load_recipe(str(tmp_path / "two.yaml"), ["seed=x", "language.keep.en=9"])
    assert str(caught.value).split("\n") == [
        "--set language.keep.en=9: is 9; should be less than or equal to 1",
        f"{tmp_path}/two.yaml:15: tokenize.train.vocab_size: is 8; should be greater than or equal to 257",
        "--set seed=x: is 'x'; should be a valid integer, unable to parse string as an integer",
    ]


@pytest.mark.parametrize(
    ("inputs", "web", "books"),
    [
        (["web=a.wet"], ["a.wet"], ["books.jsonl"]),
        (["web=a.wet", "b.wet", "c.wet"], ["a.wet", "b.wet", "c.wet"], ["books.jsonl"]),
        (["web=a.wet", "books=c.jsonl", "d.jsonl"], ["a.wet"], ["c.jsonl", "d.jsonl"]),
        (["web=a.wet", "web=b.wet"], ["a.wet", "b.wet"], ["books.jsonl"]),
        (["web=s3://bucket/crawl=2024/a.wet"], ["s3://bucket/crawl=2024/a.wet"], ["books.jsonl"]),
    ],
)
def test_inputs_replace_the_paths_of_the_source_they_name(recipe, inputs, web, books):
    changed = load_recipe(recipe, inputs=inputs)
    assert [source.read.paths for source in changed.sources.values()] == [web, books]
    assert changed.sources["web"].stages[0] == Language(keep={"en": 0.65})


def test_the_only_source_needs_no_name():
    recipe = load_recipe("demo", inputs=["a.warc.gz", "./crawl=2024/b.warc.gz"])
    assert recipe.sources["web"].read.paths == ["a.warc.gz", "./crawl=2024/b.warc.gz"]


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (["a.wet"], "--input a.wet: the recipe has sources web, books; name one: --input web=a.wet"),
        (["wep=a.wet"], "--input wep=a.wet: the recipe has no source wep; it has web, books. A path with = in it is ./wep=a.wet"),
        (["web="], "--input web=: names no path; write --input web=PATH"),
    ],
)
def test_an_input_of_no_source_is_told(recipe, inputs, told):
    with pytest.raises(UserError) as caught:
        load_recipe(recipe, inputs=inputs)
    assert str(caught.value) == told
