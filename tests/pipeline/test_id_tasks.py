"""Two records of one id are found, wherever they lie."""

import pyarrow as pa
import pytest

from gristmill.pipeline.exchange import received
from gristmill.pipeline.id_tasks import SHOWN, emit_ids, places_of, repeated_ids
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter

PLACES = pa.schema([("id", pa.string()), ("source", pa.string()), ("file", pa.string()), ("position", pa.int64())])


def write(work: Storage, name: str, ids: list[str]) -> list[str]:
    writer = StreamWriter(work, name, PLACES)
    for row, one in enumerate(ids):
        writer.write(pa.table([[one], ["s"], [name], [row]], schema=PLACES))
    writer.close()
    return [name]


def repeated(work: Storage, files: list[list[str]], ranges: int) -> tuple[list, int]:
    emitted = [emit_ids(work, f"ids{number}", files=held, ranges=ranges) for number, held in enumerate(files)]
    found = [repeated_ids(work, "", sent=sent) for sent in received(emitted).values()]
    return [pair for one in found for pair in one["repeated"]], sum(one["count"] for one in found)


@pytest.mark.parametrize("ranges", [1, 8])
def test_ids_that_repeat_in_a_file_or_over_files_are_counted_and_placed(tmp_path, ranges):
    work = Storage(str(tmp_path))
    files = [write(work, "x", ["a", "b", "é"]), write(work, "y", ["c", "a", "d"]), write(work, "z", ["d", "d"])]
    hashes, count = repeated(work, files, ranges)
    # one of "a" too many, two of "d"
    assert count == 3
    places = [place for held in files for place in places_of(work, "", files=held, hashes=hashes)["places"]]
    assert places == [["a", "s", "x", 0], ["a", "s", "y", 1], ["d", "s", "y", 2], ["d", "s", "z", 0], ["d", "s", "z", 1]]


def test_different_ids_are_let_pass(tmp_path):
    work = Storage(str(tmp_path))
    assert repeated(work, [write(work, "x", ["a", "A", "á"]), write(work, "y", ["b"])], 4) == ([], 0)


def test_of_many_repeated_ids_the_first_few_are_named_and_all_are_counted(tmp_path):
    work = Storage(str(tmp_path))
    ids = [f"d{number}" for number in range(50)]
    hashes, count = repeated(work, [write(work, "x", ids), write(work, "y", ids)], 1)
    assert (len(hashes), count) == (SHOWN, 50)
