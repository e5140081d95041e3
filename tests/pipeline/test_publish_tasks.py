"""Published files are cut by sums over the documents, so that no partition shows in them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.ledger import LedgerText, removal_rows
from gristmill.pipeline.parts import Part, Rows
from gristmill.pipeline.passes import write_ledger
from gristmill.pipeline.publish_tasks import Cut, cuts, publish_documents, publish_ledger, publish_signals, sample_texts, spread
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter
from gristmill.stages.documents import DOCUMENTS
from gristmill.tokenizers.sampling import keyed_hashes


def documents(texts: list[str], first: int = 0) -> pa.Table:
    rows = [
        dict.fromkeys(DOCUMENTS.names) | {"id": f"d{row}", "text": text, "source": "s", "file": "f", "position": row}
        for row, text in enumerate(texts, start=first)
    ]
    return pa.Table.from_pylist(rows, schema=DOCUMENTS)


def published(folder: Path, texts: list[str], part_rows: int, file_bytes: int) -> dict[str, tuple[list[str], str]]:
    """Name of each published file -> its ids and its SHA-256."""
    work = Storage(str(folder))
    parts = []
    for number, start in enumerate(range(0, len(texts), part_rows)):
        held = texts[start : start + part_rows]
        writer = StreamWriter(work, f"part{number}", DOCUMENTS)
        writer.write(documents(held, start))
        writer.close()
        parts.append(Part("s", f"part{number}", str(number), len(held), len(held), sum(len(text.encode()) for text in held), 0))
    found = {}
    for cut, inside in spread(parts, [part.bytes for part in parts], file_bytes, "documents/s/"):
        manifest = publish_documents(work, f"out-{cut.begin}", held=inside, cut=cut, ranges=1)
        (entry,) = manifest["published"]
        found[entry["name"]] = (pq.read_table(folder / entry["file"])["id"].to_pylist(), entry["sha256"])
    return found


TEXTS = ["aaaa", "bb", "éé", "c" * 9, "", "d", ""]  # 4, 2, 4, 9, 0, 1, 0 bytes


@pytest.mark.parametrize("part_rows", [1, 2, 3, 7])
def test_documents_are_cut_by_cumulative_bytes_whatever_the_parts(tmp_path, part_rows):
    # documents begin at 0, 4, 6, 10, 19, 19, 20: the last one, without text, where the sum of 20 ends
    found = published(tmp_path / "cut", TEXTS, part_rows, 5)
    assert [ids for ids, _ in found.values()] == [["d0", "d1"], ["d2"], ["d3"], ["d4", "d5", "d6"]]
    assert list(found) == [f"documents/s/{number:05d}.parquet" for number in range(4)]
    assert found == published(tmp_path / "whole", TEXTS, 7, 5)


@pytest.mark.parametrize("texts", [[""], ["", ""], ["ab", ""], ["", "ab", "cd", ""]])
@pytest.mark.parametrize("part_rows", [1, 4])
def test_documents_without_text_are_published_too(tmp_path, texts, part_rows):
    found = published(tmp_path, texts, part_rows, 2)
    assert [one for ids, _ in found.values() for one in ids] == [f"d{row}" for row in range(len(texts))]


def test_a_source_without_documents_has_one_file_that_tells_the_columns(tmp_path):
    assert [ids for ids, _ in published(tmp_path, [], 1, 10).values()] == [[]]


def test_cuts_cover_the_whole_sum_and_the_place_where_it_ends():
    assert cuts(0, 10, "x-") == [Cut("x-00000.parquet", 0, 10)]
    assert [(cut.begin, cut.end) for cut in cuts(20, 10, "")] == [(0, 10), (10, 21)]
    assert [(cut.begin, cut.end) for cut in cuts(21, 10, "")] == [(0, 10), (10, 20), (20, 30)]


def test_each_cut_comes_with_what_reaches_into_it_and_where_that_begins():
    found = [(cut.begin, inside) for cut, inside in spread(["a", "b", "c", "d"], [4, 0, 3, 7], 5, "")]
    # "b" is empty and begins where "a" ends: it could hold a document of no bytes there
    assert found == [
        (0, [("a", 0), ("b", 4), ("c", 4)]),
        (5, [("c", 4), ("d", 7)]),
        (10, [("d", 7)]),
    ]


def ledger_rows(work: Storage, size: int, keep: LedgerText) -> list[Rows]:
    """40 removed documents, two rules in turn, in pieces of `size`, each thinned as a pass does."""
    pieces = []
    for start in range(0, 40, size):
        table = documents([f"text {row}" for row in range(start, min(start + size, 40))], start)
        nothing = [None] * table.num_rows
        rules = ["odd" if row % 2 else "even" for row in range(start, start + table.num_rows)]
        rows = removal_rows(table, "stage", rules=rules, values=nothing, thresholds=nothing, details=nothing)
        entry = write_ledger(work, f"ledger{start}", {"other": [rows.slice(0, 1)], "stage": [rows]}, keep)
        assert entry is not None
        batch, count = entry["stages"]["stage"]
        pieces.append(Rows(entry["file"], batch, count))
    return pieces


@pytest.mark.parametrize("size", [1, 7, 40])
def test_the_lowest_hashes_of_each_rule_keep_their_text_whatever_the_parts(tmp_path, size):
    work = Storage(str(tmp_path))
    held = ledger_rows(work, size, LedgerText("sample", 3, 5))
    bounds = sample_texts(work, "", held=held, per_rule=3, seed=5)["bounds"]
    tables = []
    for cut, inside in spread(held, [one.rows for one in held], 15, "removed/"):
        manifest = publish_ledger(work, f"out{cut.begin}", held=inside, cut=cut, bounds=bounds, seed=5, ranges=1)
        tables.append(pq.read_table(tmp_path / manifest["published"][0]["file"]))
    assert [table.num_rows for table in tables] == [15, 15, 10]
    rows = pa.concat_tables(tables).to_pylist()
    assert [row["id"] for row in rows] == [f"d{row}" for row in range(40)]
    by_hash = sorted(range(40), key=lambda row: int(keyed_hashes([f"d{row}"], 5)[0]))
    expected = {f"d{row}" for rest in (0, 1) for row in [row for row in by_hash if row % 2 == rest][:3]}
    assert {row["id"] for row in rows if row["text"] is not None} == expected
    assert all(row["text"] == f"text {row['id'][1:]}" for row in rows if row["text"] is not None)


def test_files_of_signals_all_have_all_columns(tmp_path):
    work = Storage(str(tmp_path))
    schema = pa.schema([("id", pa.string()), ("source", pa.string()), ("a.x", pa.float64())])
    writer = StreamWriter(work, "signals", schema)
    writer.write(pa.table([["d0", "d1"], ["s", "s"], [1.0, 2.0]], schema=schema))
    held = [(Rows("signals", None, writer.close()["rows"]), 0)]
    manifest = publish_signals(work, "out", held=held, cut=Cut("signals/0", 1, 2), version=3, columns=["b.y", "a.x"], ranges=1)
    table = pq.read_table(tmp_path / manifest["published"][0]["file"])
    assert table.to_pylist() == [{"id": "d1", "source": "s", "version": 3, "b.y": None, "a.x": 2.0}]
