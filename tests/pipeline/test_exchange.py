"""Rows change hands whole, sorted, and in bounded memory."""

import numpy as np
import pyarrow as pa
import pytest

from gristmill.pipeline import exchange
from gristmill.pipeline.exchange import key_ranges, merged, range_count, received, write_exchange
from gristmill.pipeline.storage import Storage


def write(work: Storage, name: str, keys: list[int], values: list[int], ranges: int = 3) -> dict:
    rows = pa.table({"key": pa.array(keys, pa.uint64()), "value": pa.array(values, pa.int64())})
    entry = write_exchange(work, name, rows, key_ranges(rows["key"].to_numpy(), ranges), ["key", "value"])
    assert entry is not None
    return entry


def test_key_ranges_ascend_with_the_key_and_cover_all_ranges():
    keys = np.array([0, 2**62, 2**63, 2**64 - 1], dtype=np.uint64)
    assert key_ranges(keys, 4).tolist() == [0, 1, 2, 3]
    assert key_ranges(keys, 1).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("files", [1, 7])
@pytest.mark.parametrize("batch_rows", [1, 3, 100])
def test_every_row_comes_out_once_and_sorted(tmp_path, files, batch_rows, monkeypatch):
    monkeypatch.setattr(exchange, "BATCH_ROWS", batch_rows)
    work = Storage(str(tmp_path))
    random = np.random.default_rng(5)
    keys = random.integers(0, 2**64 - 1, 200, dtype=np.uint64)
    keys[:60] = keys[60]  # many rows with one key, spread over all files
    values = np.arange(200)
    pieces = np.array_split(random.permutation(200), files)
    entries = [write(work, f"f{number}", keys[piece].tolist(), values[piece].tolist()) for number, piece in enumerate(pieces)]
    got: list[tuple[int, int]] = []
    for sent in received([{"sent": entries}]).values():
        for table in merged(work, sent, ["key", "value"]):
            got += zip(table["key"].to_pylist(), table["value"].to_pylist(), strict=True)
    assert got == sorted(zip(keys.tolist(), values.tolist(), strict=True))


def test_a_reader_holds_one_batch_of_each_file_even_when_all_rows_share_a_key(tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "BATCH_ROWS", 10)
    work = Storage(str(tmp_path))
    entries = []
    for number in range(3):
        rows = pa.table({"key": pa.array([9] * 100, pa.uint64()), "value": pa.array(range(number, 300, 3), pa.int64())})
        entries.append(write_exchange(work, f"f{number}", rows, np.zeros(100, dtype=np.int64), ["key", "value"], 10))
    pieces = list(merged(work, received([{"sent": entries}])[0], ["key", "value"]))
    assert max(piece.num_rows for piece in pieces) <= 30
    assert [value for piece in pieces for value in piece["value"].to_pylist()] == list(range(300))


@pytest.mark.parametrize(("total", "ranges"), [(0, 1), (10, 1), (11, 2), (20, 2), (21, 4), (40, 4), (41, 8)])
def test_the_number_of_ranges_only_changes_when_the_total_doubles(total, ranges):
    assert range_count(total, 10) == ranges


def test_no_rows_make_no_file(tmp_path):
    rows = pa.table({"key": pa.array([], pa.uint64())})
    assert write_exchange(Storage(str(tmp_path)), "none", rows, np.empty(0, dtype=np.int64), ["key"]) is None
    assert not list(tmp_path.iterdir())
