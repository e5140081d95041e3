"""Which copies stay and what becomes too short: presets, what overrides them, and what is refused."""

from hashlib import md5

import pyarrow as pa
import pytest
from pydantic import ValidationError

from gristmill.stages.copies import Preset, c4_url, url_ranks
from gristmill.stages.corpus_editor import Copies
from gristmill.stages.documents import Batch
from gristmill.stages.lines import Lines
from gristmill.stages.paragraphs import Paragraphs
from gristmill.stages.sentence_spans_dedup import SentenceSpans


@pytest.mark.parametrize(
    ("stage", "copies", "preset"),
    [
        (Lines(), Copies(1, 1), Preset("first", 1, "exact", 1)),
        (Lines(flavour="c4"), Copies(1, 1), Preset("url_hash", 1, "lowercase", 0, None, 3)),
        (Lines(flavour="mc4"), Copies(1, 1), Preset("url_hash", 1, "lowercase", 0)),
        (Lines(flavour="llama3"), Copies(0, 6), Preset("none", 6, "exact", 1)),
        (Paragraphs(), Copies(0, 1), Preset("none", 1, "ccnet", 1)),
        (Paragraphs(flavour="ccnet"), Copies(0, 1), Preset("none", 1, "ccnet", 0, sha1=True)),
        (Paragraphs(flavour="dolma"), Copies(1, 1), Preset("first", 1, "exact", 1)),
        (SentenceSpans(), Copies(1, 1), Preset("url_hash", 1, "exact", 1, None, 3)),
        (SentenceSpans(flavour="datatrove"), Copies(1, 1), Preset("first", 1, "loose", 1, 50, 3)),
    ],
)
def test_flavours_are_as_published(stage, copies, preset):
    assert stage.copies() == copies
    assert stage.resolved == preset


def test_a_setting_that_is_given_overrides_its_flavour_and_zero_is_a_value():
    stage = Lines(flavour="c4", keep="none", max_copies=3, min_sentences_left=0, min_words_left=7)
    assert stage.resolved == Preset("none", 3, "lowercase", 0, 7, 0)
    assert stage.copies() == Copies(0, 3)
    assert Lines(max_copies=2).copies() == Copies(2, 2)
    assert Lines(keep={"highest": "meta.score"}).resolved.keep == "highest:meta.score"


@pytest.mark.parametrize("keep", ["earliest", "latest", "last", "highest", "", 3])
def test_policies_that_say_nothing_of_copies_are_refused(keep):
    with pytest.raises(ValidationError, match="should be first, none, url_hash, longest"):
        Lines(keep=keep)


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        (Lines, {"flavour": "llama3"}),
        (Lines, {"flavour": "c4"}),
        (Lines, {"max_copies": 2}),
        (Lines, {"keep": "longest"}),
        (Paragraphs, {}),
        (SentenceSpans, {}),
    ],
)
def test_a_bloom_filter_is_refused_where_it_cannot_know_which_copies_stay(stage, settings):
    with pytest.raises(ValidationError, match="it needs keep: first and max_copies: 1, here they are keep: "):
        stage(memory="2GB", **settings)


def test_memory_is_given_in_bytes_or_units():
    assert Lines(memory="2GB").filter_bytes == 2 * 10**9
    assert Lines().filter_bytes is None
    assert SentenceSpans(flavour="datatrove", memory=4096).filter_bytes == 4096


# spec values of TFDS's own function
@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://www.Example.com/a/?utm_source=x", "Example.com/a"),
        ("http://example.com/a?id=1&utm_x=2", "example.com/a?id=1&utm_x=2"),
        ("https://example.com/a?reference=5", "example.com/a"),
        ("https://example.com/r?u=https://www.b.com/", "example.com/r?u=b.com"),
    ],
)
def test_urls_are_normalised_as_c4_does(url, normal):
    assert c4_url(url) == normal


def test_pages_are_in_the_order_of_their_hex_digests_and_those_without_a_url_last():
    urls = [f"https://www.example.com/{at}/" for at in range(200)]
    order = sorted(range(200), key=lambda at: md5(f"example.com/{at}".encode()).hexdigest())
    ranks = url_ranks([*urls, None])
    assert ranks[:200].argsort().tolist() == order
    assert ranks[200] > ranks[:200].max()


def documents(*texts: str, **columns: list) -> Batch:
    return Batch.of(pa.table({"text": pa.array(texts, pa.large_string())} | columns))


def cut_all(stage, batch: Batch, chosen: list[int]):
    emitted = stage.emit(batch)
    return stage.cut(batch, emitted.select(["row", "start", "end"]).take(chosen))


def test_what_becomes_too_short_is_lost_with_its_reason_and_what_was_not_cut_is_left_alone():
    batch = documents("One two. Three four.\nFive.", "gone", "a\n ", "short")
    stage = Lines(min_words_left=2, min_sentences_left=2, min_characters=1)
    # lines: 0 "One..", 1 "Five.", 2 "gone", 3 "a", 4 "short"
    assert stage.emit(batch)["row"].to_pylist() == [0, 0, 1, 2, 3]
    found = cut_all(stage, batch, [0, 2, 3])
    assert found.table["text"].to_pylist() == ["Five.", "", " ", "short"]
    assert [(loss.row, loss.rule, loss.value, loss.threshold, loss.detail) for loss in found.losses] == [
        (0, "too_few_words_left", 1.0, 2.0, "lines cut: 1"),
        (1, "nothing_left", 0.0, 1.0, "lines cut: 1"),
        (2, "nothing_left", 0.0, 1.0, "lines cut: 1"),
    ]
    found = cut_all(Lines(min_sentences_left=3), batch, [1])
    assert [(loss.row, loss.rule, loss.value, loss.threshold) for loss in found.losses] == [
        (0, "too_few_sentences_left", 2.0, 3.0)
    ]


def test_units_carry_the_rank_of_their_document():
    batch = documents("a\nb", "c", meta=['{"score": 1}', '{"score": 2.5}'])
    ranks = Lines(keep="highest:meta.score").emit(batch)["rank"].to_pylist()
    assert ranks[0] == ranks[1] > ranks[2]
    assert "rank" not in Lines().emit(batch).column_names
    with pytest.raises(ValueError, match="documents have no column 'score'"):
        Lines(keep="highest:score").emit(batch)


def test_starts_and_ends_are_bytes_of_the_document():
    batch = documents("é\nb", "漢\n\nab")
    emitted = Lines().emit(batch)
    assert list(zip(*(emitted[name].to_pylist() for name in ("row", "start", "end")), strict=True)) == [
        (0, 0, 2),
        (0, 3, 4),
        (1, 0, 3),
        (1, 5, 7),
    ]
