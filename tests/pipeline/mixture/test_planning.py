"""Plans of shards, documents and runs: tokens, epochs and warnings counted by hand, and what cannot be planned."""

import json

import numpy as np
import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.mixture.differing import differences
from gristmill.pipeline.mixture.picture import svg, write_picture
from gristmill.pipeline.mixture.planning import make_plan, plan_of
from gristmill.pipeline.mixture.reading import load_mixture
from gristmill.pipeline.mixture.sizes import merged_spans

TWO = """
name: mine
tokens: 200
sources:
  web: {shards: HERE, only: [web], weight: 0.4}
  books: {shards: HERE, only: [books], weight: 0.6}
"""


def planned(path, *sets):
    return make_plan(load_mixture(path, sets)).plan


def tokens(plan):
    return {source.source: source.tokens for source in plan.sources}


def mistake(path, *sets):
    with pytest.raises(UserError) as caught:
        planned(path, *sets)
    return str(caught.value)


def test_a_plan_of_shards_is_exact(write, shards):
    plan = planned(write(TWO, HERE=shards))
    web, books = plan.sources
    assert (web.available_tokens, web.tokens, web.epochs, web.documents, web.bytes, web.counted) == (
        100,
        80,
        0.8,
        10,
        90,
        "exact",
    )
    assert (books.available_tokens, books.tokens, books.epochs, books.effective_bytes) == (300, 120, 0.4, 119)
    assert (web.weight, web.unique_share, plan.warnings) == (0.4, 1.0, ())
    assert [shard.path for shard in web.shards[0].shards] == ["web/00000", "web/00001"]


def test_the_json_has_the_promised_keys(write, shards):
    shape = json.loads(planned(write(TWO, HERE=shards)).model_dump_json())
    assert {"tokens", "sources"} <= set(shape)
    assert {"source", "weight", "available_tokens", "tokens", "epochs", "effective_bytes"} <= set(shape["sources"][0])


@pytest.mark.parametrize(
    ("sets", "served"),
    [
        (["sources.web.weight=null", "sources.books.weight=null", "weights=proportional"], {"web": 50, "books": 150}),
        (["sources.web.weight=null", "sources.books.weight=null", "weights={temperature: 0}"], {"web": 100, "books": 100}),
        (["sources.web.weight=null", "sources.books.weight=null", "weights={unimax: {epochs: 0.5}}"], {"web": 50, "books": 150}),
        (
            ["sources.web.weight=null", "sources.books.weight=null", "weights={temperature: 1, of: documents}"],
            {"web": 154, "books": 46},
        ),
        (["sources.web.weight=null", "sources.web.epochs=1.5"], {"web": 150, "books": 50}),
        (["sources.web.max_epochs=0.5"], {"web": 50, "books": 150}),
        (["sources.web.where=language == 'de'"], {"web": 80, "books": 120}),
    ],
)
def test_every_way_to_the_shares(write, shards, sets, served):
    assert tokens(planned(write(TWO, HERE=shards), *sets)) == served


def test_epochs_alone_say_the_budget(write, shards):
    text = (
        "name: a\nsources:\n  web: {shards: HERE, only: [web], epochs: 3}\n  books: {shards: HERE, only: [books], epochs: 0.5}\n"
    )
    assert (tokens(plan := planned(write(text, HERE=shards))), plan.tokens) == ({"web": 300, "books": 150}, 450)
    # with a budget they are relative to each other, as in the Pile's table
    assert tokens(planned(write("tokens: 90\n" + text, HERE=shards))) == {"web": 60, "books": 30}


def test_quality_buckets_are_repeated_by_their_counts(write, shards):
    text = "name: a\nsources:\n  web:\n    shards: HERE\n    only: [web]\n"
    text += "    quality_buckets: {column: quality, at_least: {0.8: 4, 0.3: 1}}\n"
    plan = planned(write(text, HERE=shards))
    # qualities 0.0, 0.1 ... 0.9: two documents from 0.8 on, five from 0.3 on, three below
    assert [(s.source, s.documents, s.tokens, s.epochs) for s in plan.sources] == [
        ("web:>=0.8", 2, 80, 4.0),
        ("web:>=0.3", 5, 50, 1.0),
    ]
    by_language = text.replace("column: quality, at_least: {0.8: 4, 0.3: 1}", "column: language, equals: {de: 2, fr: 1}")
    plan = planned(write(by_language, HERE=shards))
    assert [(s.source, s.documents, s.tokens) for s in plan.sources] == [("web:de", 2, 40), ("web:fr", 0, 0)]
    assert plan.warnings == ("web:fr: holds no documents",)


def test_phases_share_the_caps_and_the_last_one_comes_first(write, shards):
    text = TWO + "phases:\n  - {name: main}\n  - {name: anneal, tokens: 100, shares: {web: 1}}\n"
    plan = planned(write(text, HERE=shards), "sources.web.max_epochs=1.2")
    # web gives 120 at most, of which the end takes 100: main has 20 of it instead of 40
    assert [(p.name, p.start, p.tokens, p.sources) for p in plan.phases] == [
        ("main", 0, 100, {"web": 20, "books": 80}),
        ("anneal", 100, 100, {"web": 100, "books": 0}),
    ]
    assert (
        plan.warnings[0].startswith("shares of")
        or "web runs dry: its share asks for 140 tokens, 1.2 epochs give 120" in plan.warnings[0]
    )


def test_warnings(write, shards):
    sets = ["tokens=2000", "sources.web.weight=0.5", "sources.web.max_epochs=9", "sources.books.max_epochs=5"]
    assert planned(write(TWO, HERE=shards), *sets).warnings == (
        "weights sum to 1.1, neither 1 nor 100; each is divided by that",
        "web runs dry: its share asks for 909 tokens, 9 epochs give 900; the others give the rest",
        "web is read 9.00 times; repeats beyond 4 epochs help little: worth as much as 7.24 epochs of new text "
        "(Muennighoff et al. 2023)",
    )


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (
            ["tokens=2000"],
            "is 2,000; the sources give at most 1,600 at the caps of their epochs (max_epochs); lower tokens",
        ),
        (["tokens=null"], "is missing; give the tokens of the training, e.g. 300B (at most 1,600 at the epoch caps)"),
        (["sources.web.where=qualty > 0.3"], "sources.web.where=qualty > 0.3: there is no column qualty; columns are quality, "),
        (["sources.web.where=language == 'fr'"], "language == 'fr': chooses none of 10 documents in "),
        (["sources.web.where=n_tokens > 'a'"], "n_tokens > 'a': column n_tokens holds numbers; 'a' is text"),
        (["sources.web.only=[wob]"], "has no source wob; it has web, books"),
        (["sources.web.shards=nowhere"], "nowhere: there is no such folder; give a folder of token shards"),
        (["sources.web.quality_buckets={column: url, at_least: {1: 1}}"], "column url is string; at_least takes numbers"),
        (["sources.web.shards=null"], "web: no documents or shards are named; name them, a folder each"),
        (
            ["phases=[{name: a}, {name: b, tokens: 150, shares: {web: 1}}]", "sources.web.max_epochs=1"],
            "b needs 150 tokens; its sources give at most 100",
        ),
    ],
)
def test_what_cannot_be_planned(write, shards, sets, told):
    assert told in mistake(write(TWO, HERE=shards), *sets)


def test_two_tokenizers_are_refused(write, shards, shards_of, tmp_path):
    other = shards_of(tmp_path / "other", {"books": [("b", 5, "en", 0.5)]}, vocab_size=258)
    assert "a mixture has one tokenizer" in mistake(write(TWO, HERE=shards), f"sources.books.shards={other}")
    assert "tokenizer: is " in mistake(write(f"tokenizer: {other}/tokenizer.json" + TWO, HERE=shards))


def test_a_source_without_documents_is_refused(write, shards, shards_of, tmp_path):
    empty = shards_of(tmp_path / "empty", {"books": []})
    told = mistake(write(TWO, HERE=shards), f"sources.books.shards={empty}")
    assert f"{empty} holds no documents; remove the source, or name another folder" in told


def test_a_run_with_shards_is_chosen_from_by_documents_and_signals(write, run_of, tmp_path):
    web = [(f"web-{n}", 9, "de" if n in (3, 7) else "en", None) for n in range(10)]
    run = run_of(tmp_path / "run", {"web": web, "books": [("book-0", 99, "en", None)]})
    text = "name: a\ntokens: 20\nsources:\n  web: {documents: HERE, only: [web], weight: 1, where: CONDITION}\n"
    plan = planned(write(text, HERE=run, CONDITION='language == "en" and words.count >= 4'))
    # 4, 5, 6, 8, 9
    assert (plan.sources[0].documents, plan.sources[0].available_tokens, plan.sources[0].counted) == (5, 50, "exact")
    plan = planned(write(text.replace(", only: [web]", ""), HERE=run / "documents" / "web", CONDITION="words.count < 2"))
    assert (plan.sources[0].documents, plan.sources[0].shards[0].source) == (2, "web")
    assert "there is no column words.cuont; columns are words.count" in mistake(
        write(text, HERE=run, CONDITION="words.cuont < 2")
    )


def test_documents_without_shards_are_estimated_or_counted_by_a_tokenizer(write, run_of, shards, tmp_path):
    run = run_of(tmp_path / "run", {"web": [(f"web-{n}", 70, "en", None) for n in range(10)]}, with_shards=False)
    path = write("name: a\ntokens: 20\nsources:\n  web: {documents: HERE, weight: 1, where: words.count < 5}\n", HERE=run)
    plan = planned(path)
    # 5 documents of 70 bytes at 3.5 bytes a token
    assert (plan.sources[0].available_tokens, plan.sources[0].bytes, plan.sources[0].counted) == (100, 350, "estimated")
    assert plan.warnings == ("tokens of web are estimated, at 3.5 bytes a token; name a tokenizer, or shards, to count them",)
    plan = planned(path, f"tokenizer={shards}/tokenizer.json")
    # a token a byte, and the end of each text
    assert (plan.sources[0].available_tokens, plan.sources[0].counted, plan.warnings) == (355, "tokenizer", ())


def test_differences_are_told_in_tokens_and_epochs(write, shards):
    path = write(TWO, HERE=shards)
    found = differences(planned(path), planned(path, "sources.web.weight=0.6", "sources.books.weight=0.4"))
    assert found["tokens"] == {"before": 200, "after": 200}
    assert [(r["source"], r["tokens_before"], r["tokens_after"], r["change"], r["epochs_after"]) for r in found["sources"]] == [
        ("web", 80, 120, 40, 1.2),
        ("books", 120, 80, -40, 0.2667),
    ]
    assert differences(planned(path), planned(path))["sources"] == []


def test_a_saved_plan_reads_back_and_is_the_same_bytes_each_time(write, shards, tmp_path):
    path = write(TWO, HERE=shards)
    made = make_plan(load_mixture(path, ["sources.web.where=quality > 0.45"]))
    made.save(str(tmp_path / "a" / "p.json"))
    made.save(str(tmp_path / "b" / "p.json"))
    assert (tmp_path / "a" / "p.json").read_bytes() == (tmp_path / "b" / "p.json").read_bytes()
    assert tokens(plan_of(str(tmp_path / "a" / "p.json"))) == {"web": 80, "books": 120}
    spans = np.load(tmp_path / "a" / "p.spans" / "000.npy")
    assert int((spans[:, 1] - spans[:, 0]).sum()) == 50


def test_spans_that_touch_are_joined():
    assert merged_spans(np.array([[0, 5], [5, 9], [12, 13], [13, 20]])).tolist() == [[0, 9], [12, 20]]
    assert merged_spans(np.zeros((0, 2), dtype=np.int64)).tolist() == []


def test_the_picture_names_every_source_and_escapes_what_is_no_name(write, shards, tmp_path):
    plan = planned(write(TWO, HERE=shards))
    drawn = svg(plan.model_copy(update={"mixture": "<script>"}))
    assert "&lt;script&gt;: 200 tokens" in drawn
    assert "60.00%  120  0.40 epochs" in drawn
    write_picture(plan, str(tmp_path / "a.svg"))
    pytest.importorskip("matplotlib")
    write_picture(plan, str(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match=r"should end in \.svg or \.png"):
        write_picture(plan, str(tmp_path / "a.gif"))
