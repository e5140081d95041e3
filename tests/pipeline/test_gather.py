"""The second level of an exchange brings each destination what one level would, with few segments."""

import numpy as np
import pyarrow as pa
import pytest

from gristmill.pipeline import gather as module
from gristmill.pipeline.exchange import merged, received, write_exchange
from gristmill.pipeline.gather import gather, gather_work, width_for
from gristmill.pipeline.storage import Storage


@pytest.mark.parametrize(
    ("senders", "destinations", "width"),
    # 2^20 segments are the most of one level; then a coarse range is about as wide as there are ranges
    [(1, 1, 1), (1024, 1024, 1), (1025, 1024, 32), (10_000, 10_000, 128), (5000, 4096, 64), (2**20, 2, 2)],
)
def test_coarse_ranges_are_as_wide_as_they_are_many(senders, destinations, width):
    assert width_for(senders, destinations) == width


def exchanged(work: Storage, senders: list[pa.Table], width: int) -> list[dict]:
    entries = [
        write_exchange(work, f"{width}-{number}", rows, rows["key"].to_numpy() // 10, ["key", "value"], 2, width=width)
        for number, rows in enumerate(senders)
    ]
    return [{"sent": [entry]} for entry in entries if entry]


def rows_of(work: Storage, manifests: list[dict]) -> dict[int, list[tuple[int, int]]]:
    found = {}
    for destination, sent in received(manifests).items():
        tables = list(merged(work, sent, ["key", "value"]))
        assert all(table.column_names == ["key", "value"] for table in tables)
        found[destination] = [
            pair for one in tables for pair in zip(*(one[name].to_pylist() for name in one.column_names), strict=True)
        ]
    return found


@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
def test_each_destination_gets_its_rows_sorted(tmp_path, batch_rows, monkeypatch):
    monkeypatch.setattr(module, "GROUP_FILES", 4)
    work = Storage(str(tmp_path))
    random = np.random.default_rng(2)
    senders = [
        pa.table({"key": random.integers(0, 200, size), "value": random.integers(0, 5, size)}) for size in (0, 1, *[40] * 8, 300)
    ]
    direct = exchanged(work, senders, 1)
    coarse = exchanged(work, senders, 8)
    assert sorted(received(coarse)) == [0, 1, 2]
    work_of_tasks = gather_work(coarse, ["key", "value"], batch_rows)
    # 10 files for each of 3 coarse ranges, but that the one of one row concerns one of them; 4 at a time
    assert len(work_of_tasks) == 9
    gathered = [gather(work, f"gathered{number}", **arguments) for number, (_, arguments) in enumerate(work_of_tasks)]
    assert rows_of(work, gathered) == rows_of(work, direct)
    assert sorted(rows_of(work, direct)) == list(range(20))
    assert sum(manifest["rows"] for manifest in gathered) == 1 + 8 * 40 + 300


def test_names_of_tasks_are_decided_by_what_they_gather(tmp_path):
    work = Storage(str(tmp_path))
    senders = [pa.table({"key": [1, 50], "value": [1, 2]}), pa.table({"key": [1], "value": [3]})]
    decides = [one for one, _ in gather_work(exchanged(work, senders, 4), ["key", "value"])]
    assert decides == [
        [[["4-0", 0], ["4-1", 0]], ["key", "value"], 32_768],
        [[["4-0", 1]], ["key", "value"], 32_768],
    ]
