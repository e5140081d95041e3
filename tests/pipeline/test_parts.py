"""Parts and packs: documents by address, without those that corpus stages have removed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gristmill.pipeline.parts import Pack, Part, Removals, make_packs, read_pack, read_part, take_rows
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter
from gristmill.stages.documents import DOCUMENTS

REMOVALS = pa.schema([("part", pa.int32()), ("row", pa.int64())])


def write(work: Storage, name: str, first: int, batches: list[int], removals: tuple[Removals, ...] = ()) -> Part:
    writer = StreamWriter(work, name, DOCUMENTS)
    for size in batches:
        rows = [
            dict.fromkeys(DOCUMENTS.names) | {"id": f"d{number}", "text": "xy", "source": "s", "file": "f", "position": number}
            for number in range(first, first + size)
        ]
        writer.write(pa.Table.from_pylist(rows, schema=DOCUMENTS))
        first += size
    entry = writer.close()
    return Part("s", name, name, entry["rows"], entry["rows"], 2 * entry["rows"], entry["rows"], removals)


@pytest.fixture
def pack(tmp_path: Path) -> tuple[Storage, Pack]:
    """Two parts of 5 and 3 documents; row 1 and 4 of the first and row 0 of the second are gone."""
    work = Storage(str(tmp_path))
    for name, rows in (("gone1", [(0, 1), (1, 0)]), ("gone2", [(0, 4)])):
        writer = StreamWriter(work, name, REMOVALS)
        writer.write(pa.table([[part for part, _ in rows], [row for _, row in rows]], schema=REMOVALS))
        writer.close()
    first = write(work, "a", 0, [2, 3], (Removals("gone1", 0), Removals("gone2", 0)))
    second = write(work, "b", 5, [3], (Removals("gone1", 1),))
    return work, Pack(0, (first, second))


def test_a_part_is_read_without_what_corpus_stages_removed(pack):
    work, pack = pack
    read = [(table["id"].to_pylist(), rows.tolist()) for table, rows in read_part(work, pack.parts[0])]
    assert read == [(["d0"], [0]), (["d2", "d3"], [2, 3])]


def test_rows_of_a_pack_count_on_over_its_parts_removed_ones_too(pack):
    work, pack = pack
    read = [
        (one, row)
        for table, rows in read_pack(work, pack, ["id"])
        for one, row in zip(table["id"].to_pylist(), rows, strict=True)
    ]
    assert read == [("d0", 0), ("d2", 2), ("d3", 3), ("d6", 6), ("d7", 7)]
    assert pack.starts == [0, 5]


@pytest.mark.parametrize("wanted", [[], [0], [7], [1, 2, 5], [0, 1, 2, 3, 4, 5, 6, 7]])
def test_rows_are_taken_by_their_place_in_the_pack(pack, wanted):
    work, pack = pack
    assert take_rows(work, pack, np.array(wanted, dtype=np.int64))["id"].to_pylist() == [f"d{row}" for row in wanted]


def test_packs_hold_about_so_many_bytes_of_neighbouring_parts():
    parts = [Part("s", name, name, 1, 1, size, 1) for name, size in (("a", 3), ("b", 4), ("c", 4), ("d", 20), ("e", 1))]
    assert [[part.file for part in pack.parts] for pack in make_packs(parts, 8)] == [["a", "b"], ["c"], ["d"], ["e"]]
    assert make_packs([], 8) == []


def test_what_decides_a_pack_changes_when_documents_are_removed_from_it():
    part = Part("s", "a", "key.0", 3, 3, 30, 3)
    fewer = Part("s", "a", "key.0", 3, 2, 20, 2, (Removals("gone", 0),))
    assert Pack(0, (part,)).identity() != Pack(0, (fewer,)).identity()
