"""Units of reading: what a task reads, and that it holds still when files are added."""

import json
from pathlib import Path

import pytest

from gristmill.pipeline.cluster import InProcess
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.inputs import find_files, plan_units
from gristmill.pipeline.progress import Progress
from gristmill.pipeline.recipe import Source, SourceRead
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.steps import StepStore
from gristmill.pipeline.storage import Storage


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    folder = tmp_path / "crawl"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:03d}.jsonl").write_text(json.dumps({"text": f"document {number}"}) + "\n")
    return folder


def units_of(folder: Path, scratch: Path, partition_bytes: int) -> list[list[tuple[str, int, int | None]]]:
    source = Source(read=SourceRead(format="jsonl", paths=[str(folder)]))
    work = Storage(str(scratch))
    files = find_files({"web": source}, [])["web"]
    with Progress(quiet=True) as progress:
        units = plan_units("web", source.read, partition_bytes, Runner(InProcess(), work, StepStore(work), progress), files)
    return [[(one.file, one.start, one.stop) for one in unit.slices] for unit in units]


def test_small_files_are_read_together_and_each_once(crawl, tmp_path):
    units = units_of(crawl, tmp_path / "work", 10_000)
    assert [file for unit in units for file, _, _ in unit] == [f"{number:03d}.jsonl" for number in range(60)]
    assert len(units) < 20


@pytest.mark.parametrize("added", ["000a.jsonl", "030a.jsonl", "zzz.jsonl"])
def test_an_added_file_moves_two_groups_at_most(crawl, tmp_path, added):
    before = units_of(crawl, tmp_path / "work", 10_000)
    (crawl / added).write_text('{"text": "added"}\n')
    after = units_of(crawl, tmp_path / "work", 10_000)
    assert len([unit for unit in after if unit not in before]) <= 2


def test_a_big_file_is_split_where_records_begin(tmp_path):
    lines = [json.dumps({"text": "x" * (50 + number)}) + "\n" for number in range(40)]
    (tmp_path / "crawl").mkdir()
    (tmp_path / "crawl" / "big.jsonl").write_text("".join(lines))
    units = units_of(tmp_path / "crawl", tmp_path / "work", 1000)
    starts = {sum(map(len, lines[:number])) for number in range(40)}
    assert len(units) > 2
    assert {start for unit in units for _, start, _ in unit} <= starts
    assert [unit[0][2] for unit in units[:-1]] == [unit[0][1] for unit in units[1:]]
    assert units[-1][0][2] is None


def test_files_of_other_formats_are_named_all_at_once(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(b"PAR1 no JSON at all")
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(UserError) as told:
        find_files({"web": Source(read=SourceRead(format="jsonl", paths=[str(tmp_path)]))}, [])
    lines = str(told.value).splitlines()
    assert [Path(line.partition(" is no JSON lines file")[0]).name for line in lines] == ["a.jsonl", "b.jsonl"]


def test_the_smaller_files_are_the_more_of_them_are_read_together(tmp_path):
    (tmp_path / "crawl").mkdir()
    for number in range(1000):
        (tmp_path / "crawl" / f"{number:04d}.jsonl").write_text(json.dumps({"text": "x" * 100}) + "\n")
    sizes = [len(units_of(tmp_path / "crawl", tmp_path / "work", partition)) for partition in (10**9, 112 * 4 * 64, 10_000)]
    # 1,000 files in groups of about 256, of a quarter of a partition, and of 16: half and twice as many are far beyond chance
    assert 1 <= sizes[0] <= 12
    assert 8 <= sizes[1] <= 32
    assert 31 <= sizes[2] <= 125
