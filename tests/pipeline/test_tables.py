"""Tables that are written: equal rows, equal bytes."""

import hashlib
import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, concat, read_batches, write_parquet

SCHEMA = pa.schema([("id", pa.string()), ("number", pa.int64())])
TABLE = pa.table([[f"d{number % 50}" for number in range(1000)], range(1000)], schema=SCHEMA)


@pytest.mark.parametrize("cuts", [[], [300, 301], [0, 0, 999]])
def test_equal_rows_give_equal_parquet_bytes_however_they_are_chunked(tmp_path, cuts):
    work = Storage(str(tmp_path))
    bounds = [0, *cuts, 1000]
    pieces = [TABLE.slice(start, stop - start) for start, stop in itertools.pairwise(bounds)]
    whole = write_parquet(work, "whole", TABLE, row_group_rows=400)
    assert write_parquet(work, "pieces", pa.concat_tables(pieces), row_group_rows=400)["sha256"] == whole["sha256"]
    assert pq.ParquetFile(tmp_path / "pieces").num_row_groups == 3


def test_an_entry_tells_what_lies_in_the_file(tmp_path):
    entry = write_parquet(Storage(str(tmp_path)), "deep/name.parquet", TABLE)
    content = (tmp_path / "deep" / "name.parquet").read_bytes()
    assert entry == {
        "file": "deep/name.parquet",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": 1000,
    }


def written(folder: Path) -> tuple[Storage, dict]:
    work = Storage(str(folder))
    writer = StreamWriter(work, "stream", SCHEMA)
    for start, stop in ((0, 10), (10, 10), (10, 14), (14, 20)):
        writer.write(TABLE.slice(start, stop - start))
    return work, writer.close()


def test_each_written_table_is_one_record_batch_and_an_empty_one_none(tmp_path):
    work, entry = written(tmp_path)
    assert [table.num_rows for table in read_batches(work, "stream")] == [10, 4, 6]
    content = (tmp_path / "stream").read_bytes()
    assert entry == {"file": "stream", "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "rows": 20}


def test_some_batches_and_some_columns_can_be_read_alone(tmp_path):
    work, _ = written(tmp_path)
    (table,) = read_batches(work, "stream", ["number"], first=1, stop=2)
    assert table.to_pydict() == {"number": [10, 11, 12, 13]}


def test_no_table_is_an_empty_one_of_the_schema():
    assert concat([], SCHEMA).schema == SCHEMA
    assert concat([TABLE.select(["number", "id"])], SCHEMA).equals(TABLE)
