"""Examples from the ledger."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.inspect import print_sample, sample
from gristmill.tokenizers.sampling import keyed_hashes

_HASH_SEED = 7
"""The seed of the run's recipe."""


def _many(folder, ids, texts):
    """Replace the ledger by rows of one rule."""
    schema = pq.read_schema(folder / "removed" / "00000.parquet")
    for file in (folder / "removed").iterdir():
        file.unlink()
    rows = [
        {"id": name, "source": "web", "file": "f", "position": 0, "stage": "exact", "rule": "duplicate", "text": text}
        for name, text in zip(ids, texts, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "removed" / "00000.parquet", row_group_size=7)


def test_examples_are_those_with_the_lowest_keyed_hashes_in_that_order(published_run):
    ids = [f"document {number}" for number in range(100)]
    _many(published_run, ids, ["text"] * 100)
    hashes = dict(zip(ids, keyed_hashes(ids, _HASH_SEED).tolist(), strict=True))
    assert [row["id"] for row in sample(published_run, n=5)] == sorted(ids, key=hashes.__getitem__)[:5]


def test_documents_whose_text_the_ledger_holds_come_first(published_run):
    ids = [f"document {number}" for number in range(40)]
    _many(published_run, ids, ["text" if number in (8, 33) else None for number in range(40)])
    assert {row["id"] for row in sample(published_run, n=2)} == {"document 8", "document 33"}
    assert [row["text"] for row in sample(published_run, n=3)] == ["text", "text", None]


def test_a_ledger_without_texts_gives_examples_too(published_run):
    ids = [f"document {number}" for number in range(40)]
    _many(published_run, ids, [None] * 40)
    hashes = dict(zip(ids, keyed_hashes(ids, _HASH_SEED).tolist(), strict=True))
    # the funnel of this run says that exact removed 2 as duplicates
    assert [row["id"] for row in sample(published_run, stage="exact", n=2)] == sorted(ids, key=hashes.__getitem__)[:2]


def test_a_stage_and_a_rule_narrow_it_down(published_run):
    assert {row["stage"] for row in sample(published_run, stage="gopher_quality")} == {"gopher_quality"}
    [row] = sample(published_run, stage="gopher_quality", rule="too_few_words")
    assert (row["value"], row["threshold"]) == (12.0, 50.0)
    assert len(sample(published_run, rule="duplicate")) == 2
    assert len(sample(published_run)) == 8


def test_a_stage_or_rule_that_removed_nothing_is_refused_with_those_that_did(published_run):
    with pytest.raises(UserError, match="has no stage minhsh; these removed documents: read, url_filter"):
        sample(published_run, stage="minhsh")
    with pytest.raises(UserError, match="no rule duplicate of stage minhash removed anything; these did: near_duplicate"):
        sample(published_run, stage="minhash", rule="duplicate")
    with pytest.raises(UserError, match="give 1 or more"):
        sample(published_run, n=0)


def test_a_document_cannot_drive_the_terminal(published_run, capsys):
    print_sample(published_run, rule="too_few_words")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "<script>alert('now')</script> [bold]cheap[/bold] \ufffd[31mred & more" in printed
    assert "gopher_quality: too_few_words  12, threshold 50" in printed
