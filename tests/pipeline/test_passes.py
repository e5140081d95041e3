"""A pass reads, judges and writes; how it is cut does not change what it says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import fsspec
import numpy as np
import pyarrow.compute as pc
import pytest

from gristmill.pipeline.ledger import LedgerText
from gristmill.pipeline.passes import PassSettings, Slice, read_pass
from gristmill.pipeline.readers import reader
from gristmill.pipeline.readers.reader import ReadSettings
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import read_batches
from gristmill.stages.documents import Batch
from gristmill.stages.filter import Filter, Rule
from gristmill.tokenizers.sampling import in_sample


class Even(Filter):
    """Keeps texts of an even length."""

    kind: ClassVar[str] = "even"

    def rules(self) -> Iterator[Rule]:
        yield Rule("odd", "remainder", at_most=0)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        return {"remainder": pc.utf8_length(batch.table["text"]).to_numpy().astype(np.float64) % 2}


@pytest.fixture
def slices(tmp_path: Path) -> list[Slice]:
    """Two files: d0 "" ... d4 "xxxx", a broken line, then d5 ... d9."""
    fs = fsspec.filesystem("file")
    found = []
    for name, start in (("a", 0), ("b", 5)):
        lines = [json.dumps({"id": f"d{row}", "text": "x" * row}) for row in range(start, start + 5)]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join([*lines, "{broken"] if name == "a" else lines) + "\n")
        found.append(Slice(fs, str(path), path.name))
    return found


def carried_out(folder: Path, slices: list[Slice], chunk_bytes: int = 10**6, **more) -> tuple[Storage, dict]:
    work = Storage(str(folder / "work"))
    settings = PassSettings("s", (Even(),), LedgerText(), chunk_bytes, **more)
    read_settings = ReadSettings(format="jsonl", paths=["."], id="column")
    return work, read_pass(work, "out", slices=slices, read_settings=read_settings, settings=settings)


def ids(work: Storage, manifest: dict) -> list[list[str]]:
    return [
        [one for table in read_batches(work, entry["file"]) for one in table["id"].to_pylist()] for entry in manifest["documents"]
    ]


def test_a_pass_counts_what_it_read_and_what_each_stage_kept(tmp_path, slices):
    work, manifest = carried_out(tmp_path, slices)
    assert ids(work, manifest) == [["d0", "d2", "d4", "d6", "d8"]]
    read, even = manifest["counts"]["read"], manifest["counts"]["even"]
    assert (read["in"], read["kept"], read["removed"], sum(read["rules"].values())) == (11, 10, 1, 1)
    assert (even["in"], even["kept"], even["rules"]) == (10, 5, {"odd": 5})
    assert manifest["ledger"]["stages"] == {"read": [0, 1], "even": [1, 5]}
    assert [entry["rows"] for entry in manifest["signals"]] == [10]


def test_documents_of_small_files_are_judged_and_written_together(tmp_path, slices):
    work, manifest = carried_out(tmp_path, slices)
    (entry,) = manifest["documents"]
    assert [table.num_rows for table in read_batches(work, entry["file"])] == [5]


def test_a_full_file_of_documents_is_followed_by_another(tmp_path, slices, monkeypatch):
    # one record a batch; 0, 2, 4, 6 and 8 bytes are kept: full at 6 = 0 + 2 + 4, then at 6, then 8
    monkeypatch.setattr(reader.read, "__defaults__", (1,))
    work, manifest = carried_out(tmp_path, slices, chunk_bytes=6)
    assert ids(work, manifest) == [["d0", "d2", "d4"], ["d6"], ["d8"]]
    assert [(entry["rows"], entry["bytes"], entry["words"]) for entry in manifest["documents"]] == [
        (3, 6, 2),
        (1, 6, 1),
        (1, 8, 1),
    ]


@pytest.mark.parametrize("batch_bytes", [1, 10**6])
@pytest.mark.parametrize(
    ("limit", "read", "kept"), [(1, 1, ["d0"]), (5, 5, ["d0", "d2", "d4"]), (8, 8, ["d0", "d2", "d4", "d6"])]
)
def test_a_limit_counts_records_over_files_also_broken_ones(tmp_path, slices, monkeypatch, batch_bytes, limit, read, kept):
    monkeypatch.setattr(reader.read, "__defaults__", (batch_bytes,))
    work, manifest = carried_out(tmp_path, slices, limit=limit)
    # the broken line is the sixth record
    assert manifest["counts"]["read"]["in"] == read
    assert [one for held in ids(work, manifest) for one in held] == kept


def test_a_sample_is_drawn_by_id(tmp_path, slices):
    work, manifest = carried_out(tmp_path, slices, sample=0.5, seed=1)
    names = [f"d{row}" for row in range(10)]
    chosen = [one for one, inside in zip(names, in_sample(names, 1, 0.5), strict=True) if inside]
    assert manifest["counts"]["read"]["kept"] == len(chosen)
    assert [one for held in ids(work, manifest) for one in held] == [one for one in chosen if int(one[1:]) % 2 == 0]
