"""The file of a mixture: what it may say, and how each mistake in it is told."""

from pathlib import Path

import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.mixture.reading import load_mixture
from gristmill.pipeline.mixture.settings import amount


def mistakes(path, *sets):
    with pytest.raises(UserError) as caught:
        load_mixture(path, sets)
    return str(caught.value).replace(str(Path(path).parent) + "/", "").split("\n")


@pytest.mark.parametrize(
    ("text", "number"), [("300B", 300 * 10**9), ("1.4T", 14 * 10**11), ("0.02m", 20_000), ("5_000", 5000), ("7", 7), (12, 12)]
)
def test_amounts(text, number):
    assert amount(text) == number


@pytest.mark.parametrize("text", ["", "many", "3 G", "-5B", "1.5", "1e9"])
def test_what_is_no_amount(text):
    with pytest.raises(ValueError, match="should be"):
        amount(text)


def test_all_mistakes_are_told_at_once_with_file_and_line(write):
    path = write(
        """
        name: mine
        tokens: lots
        max_epoch: 3
        sources:
          web: {documents: a, weight: -1}
          books:
            shards: b
            weight: 1
            epochs: 2
            where: language = "en"
          wiki: {documents: a}
          wiki: {documents: c}
        phases:
          - {name: end, tokens: 5, shares: {bok: 1}}
        """
    )
    assert mistakes(path) == [
        "m.yaml:2: tokens: is 'lots'; should be a number such as 300B, 1.4T, 20M or 5000",
        "m.yaml:3: max_epoch: unknown key; a mixture takes max_epochs, name, tokens, weights, tokenizer, shards, "
        "bytes_per_token, sources, phases",
        "m.yaml:5: sources.web.weight: is -1; should be greater than or equal to 0",
        "m.yaml:9: sources.books.epochs: stands beside weight; a source has one or the other",
        "m.yaml:10: sources.books.where: where 'language = \"en\"' cannot be read near '= \"en\"'; "
        'a condition is such as language == "en" and quality > 0.3',
        "m.yaml:11: sources.wiki: stands twice, again on line 12; keep one",
        "m.yaml:14: phases[0].shares.bok: there is no such source; sources are books, web, wiki",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("sources.web.weight=0", "m.yaml:3: sources: all weights are 0; give at least one source a weight above 0"),
        ("sources.web.epochs=3", "--set sources.web.epochs=3: stands beside weight; a source has one or the other"),
        (
            "sources.web.shards=b",
            "--set sources.web.shards=b: stands beside documents; name one folder (of a run, documents finds the shards too)",
        ),
        (
            "weights={temperature: 0.3}",
            "m.yaml:4: sources.web.weight: stands beside weights: {temperature: 0.3}, which gives the shares; "
            "leave one of them out",
        ),
        ("weights=even", "--set weights=even: is 'even'; should be 'given' or 'proportional'"),
        (
            "weights={temperature: 2}",
            "--set weights={temperature: 2}: weights.temperature: is 2; should be less than or equal to 1",
        ),
        ("weights={}", "--set weights={}: should be one of given, proportional, {temperature: 0.3}, {unimax: {epochs: 4}}"),
        (
            "phases=[{name: a}, {name: b}]",
            "--set phases=[{name: a}, {name: b}]: more than one has no tokens; one may leave them out and takes the rest",
        ),
        (
            "phases=[{name: a, tokens: 7}]",
            "--set phases=[{name: a, tokens: 7}]: their tokens sum to 7, those of the mixture are 1,000; change either",
        ),
        (
            "sources.books={documents: a, weight: 1}",
            "--set sources.books={documents: a, weight: 1}: reads the same documents as web; "
            "give them one weight, or tell them apart by where",
        ),
        (
            "sources.books={documents: b}",
            "--set sources.books={documents: b}: has neither weight nor epochs; give one, or set weights: proportional for all",
        ),
        ("sources.web.weight.x=3", "--set sources.web.weight.x=3: nothing can stand below 1; x would"),
        ("sources.web", "--set sources.web: should be PATH=VALUE, e.g. sources.wikipedia.weight=0.1"),
        (
            "sources.web={documents: a, epochs: 5}",
            "--set sources.web={documents: a, epochs: 5}: sources.web.epochs: is 5, max_epochs is 4; raise that or lower this",
        ),
        (
            "sources.web={documents: a, quality_buckets: {column: q, at_least: {0.5: 9}}}",
            "--set sources.web={documents: a, quality_buckets: {column: q, at_least: {0.5: 9}}}: sources.web.quality_buckets: "
            ">=0.5 is read 9 times, max_epochs is 4; raise that or lower this",
        ),
    ],
)
def test_what_does_not_fit_together(write, change, told):
    path = write(
        """
        name: mine
        tokens: 1000
        sources:
          web: {documents: a, weight: 1}
        """
    )
    assert mistakes(path, change) == [told]


def test_paths_are_sought_beside_the_file_first(tmp_path, monkeypatch):
    (tmp_path / "in" / "docs").mkdir(parents=True)
    (tmp_path / "in" / "m.yaml").write_text("name: a\ntokens: 5\nsources: {w: {documents: docs, weight: 1}}\n")
    monkeypatch.chdir(tmp_path)
    assert load_mixture("in/m.yaml").mixture.sources["w"].documents == "in/docs"


def test_an_unknown_name_lists_the_shipped_ones():
    assert mistakes("pil") == [
        "pil: no shipped mixture and no file; "
        "shipped are pile, galactica, gpt3, llama, mc4, palm, redpajama; a file ends in .yaml"
    ]
