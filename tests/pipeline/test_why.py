"""What is told about one document."""

import json
from hashlib import blake2b

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.inspect import print_why, why
from gristmill.pipeline.published import ID, PublishedRun, index_hash

HOME = "https://a.example/"


def uuid(number):
    return f"<urn:uuid:00000000-0000-0000-0000-00000000000{number}>"


def test_a_kept_document_passed_every_stage_with_its_values_beside_the_thresholds(published_run):
    [fate] = why(published_run, uuid(1))
    assert (fate["outcome"], fate["stage"], fate["rule"], fate["kept_id"], fate["kept_fate"]) == ("kept", None, None, None, None)
    assert [stage["stage"] for stage in fate["stages"]] == ["read", "url_filter", "extract", "gopher_quality", "exact", "minhash"]
    assert fate["stages"][3]["rules"] == [
        {"rule": "too_few_words", "signal": "word_count", "bound": "at_least", "value": 120.0, "threshold": 50.0, "passed": True},
        {
            "rule": "too_few_alphabetic_words",
            "signal": "words_with_a_letter_fraction",
            "bound": "at_least",
            "value": 0.95,
            "threshold": 0.8,
            "passed": True,
        },
    ]


def test_a_removed_document_ends_at_the_rule_it_failed(published_run):
    [fate] = why(published_run, uuid(4))
    assert (fate["outcome"], fate["stage"], fate["rule"]) == ("removed", "gopher_quality", "too_few_words")
    assert (fate["value"], fate["threshold"]) == (12.0, 50.0)
    assert [stage["stage"] for stage in fate["stages"]] == ["read", "url_filter", "extract", "gopher_quality"]
    assert [(rule["value"], rule["passed"]) for rule in fate["stages"][-1]["rules"]] == [(12.0, False), (0.9, True)]


def test_a_reason_that_is_no_bound_on_a_signal_is_told_too(published_run):
    [fate] = why(published_run, uuid(2))
    assert fate["detail"] == "spam.example"
    assert fate["stages"][-1] == {
        "stage": "url_filter",
        "rules": [{"rule": "blocked_domain", "signal": None, "bound": None, "value": None, "threshold": None, "passed": False}],
    }


def test_a_url_gives_all_documents_that_have_it(published_run):
    assert [(fate["id"], fate["outcome"]) for fate in why(published_run, HOME)] == [(uuid(1), "kept"), (uuid(5), "removed")]


def test_the_chain_of_a_duplicate_ends_at_the_document_that_is_published(published_run):
    [fate] = why(published_run, uuid(5))
    assert (fate["kept_id"], fate["similarity"], fate["kept_fate"]) == (uuid(6), 1.0, "kept")
    assert [(link["id"], link["outcome"], link["stage"], link["kept_id"]) for link in fate["chain"]] == [
        (uuid(6), "removed", "minhash", uuid(1)),
        (uuid(1), "kept", None, None),
    ]


@pytest.mark.parametrize("before", ["", "urn:uuid:"])
def test_the_uuid_of_a_warc_record_is_enough(published_run, before):
    [fate] = why(published_run, before + "00000000-0000-0000-0000-000000000004")
    assert fate["id"] == uuid(4)


def test_a_gap_in_a_file_has_a_fate_of_its_own(published_run):
    [fate] = why(published_run, "web/crawl.warc.gz#900")
    assert (fate["stage"], fate["rule"], fate["url"], fate["position"]) == ("read", "unreadable_bytes", None, 900)


def test_stages_of_other_sources_are_left_out(published_run):
    [fate] = why(published_run, "shelf-0")
    assert [stage["stage"] for stage in fate["stages"]] == ["read", "exact", "minhash"]


def test_the_answer_is_json(published_run):
    fates = why(published_run, HOME)
    assert json.loads(json.dumps(fates)) == fates


def test_without_stored_signals_a_passed_rule_has_no_value(published_run):
    (published_run / "signals" / "00000.parquet").unlink()
    _drop_signals_from_index(published_run)
    [fate] = why(published_run, uuid(7))
    assert [(rule["value"], rule["passed"]) for rule in fate["stages"][-1]["rules"]] == [(None, None), (0.5, False)]


def test_an_unknown_id_is_told_how_many_there_are_and_what_one_looks_like(published_run):
    with pytest.raises(UserError, match="none of its 10 records has the id or URL 'nothing'; an id looks like 'shelf-0'"):
        why(published_run, "nothing")


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [
        ("https://a.example", HOME),
        ("http://www.a.example/7?page=2", "https://a.example/7"),
        ("https://a.example/nov", "https://a.example/nav"),
        ("shelf-00", "shelf-0"),
    ],
)
def test_an_unknown_url_or_id_brings_up_one_that_is_almost_the_same(published_run, unknown, meant):
    with pytest.raises(UserError) as caught:
        why(published_run, unknown)
    assert str(caught.value).endswith(f"did you mean {meant}")


def test_an_absent_index_is_named(published_run):
    for file in (published_run / "index").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="holds no index/"):
        why(published_run, uuid(1))


def test_other_texts_with_the_same_hash_are_not_taken_for_the_one_asked_for(published_run):
    # two rows under the hash of one id, of which the second is another document
    hashes = [index_hash(uuid(1))] * 2
    columns = {
        "hash": pa.array(hashes, pa.uint64()),
        "kind": pa.array([0, 0], pa.uint8()),
        "outcome": pa.array([0, 0], pa.uint8()),
    }
    files = ["documents/web/00000.parquet", "documents/books/00000.parquet"]
    _replace_index(published_run, pa.table(columns | {"file": files, "row": pa.array([0, 0], pa.int64())}))
    assert [fate["source"] for fate in why(published_run, uuid(1))] == ["web"]


def test_printed_for_people_it_names_value_threshold_and_the_chain(published_run, capsys):
    print_why(published_run, uuid(4))
    print_why(published_run, uuid(5))
    printed = capsys.readouterr().out
    assert "✗ too_few_words  word_count 12, at least 50" in printed
    assert f"kept in its place: {uuid(6)}, similarity 1\n" in printed
    assert (
        f"{uuid(6)} https://b.example/ was itself removed later, at minhash: near_duplicate, in favour of {uuid(1)}\n" in printed
    )


@settings(max_examples=25, deadline=None)
@given(ids=st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=40, unique=True), files=st.integers(1, 5))
def test_every_indexed_id_is_found_at_its_row(tmp_path_factory, ids, files):
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.json").write_text("{}")
    rows = sorted(
        (int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little"), number) for number, name in enumerate(ids)
    )
    each = -(-len(rows) // files)
    for number in range(files):
        part = rows[number * each : (number + 1) * each]
        zeros = pa.array([0] * len(part), pa.uint8())
        columns = {"hash": pa.array([key for key, _ in part], pa.uint64()), "kind": zeros, "outcome": zeros}
        columns |= {
            "file": pa.array(["documents/x.parquet"] * len(part), pa.string()),
            "row": pa.array([row for _, row in part], pa.int64()),
        }
        _write(folder, f"index/{number:05}.parquet", pa.table(columns))
    published = PublishedRun(folder)
    assert [[place.row for place in published.lookup(name, ID)] for name in ids] == [[number] for number in range(len(ids))]


def _write(folder, name, table):
    import pyarrow.parquet as pq

    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name, row_group_size=3)


def _replace_index(folder, table):
    for file in (folder / "index").iterdir():
        file.unlink()
    _write(folder, "index/00000.parquet", table)


def _drop_signals_from_index(folder):
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pa.concat_tables(pq.read_table(file) for file in sorted((folder / "index").iterdir()))
    _replace_index(folder, table.filter(pc.not_equal(table["outcome"], 2)))
