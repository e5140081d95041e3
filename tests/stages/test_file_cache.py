"""A list that was edited is read again, also in a process that has read it before."""

import os

import pyarrow as pa

from gristmill.stages.documents import Batch
from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.url_filter import UrlFilter


def test_a_file_is_read_once_until_it_changes(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("old")
    reads = []

    @cached_by_files
    def content(paths: tuple[str, ...], language: str) -> str:
        reads.append(language)
        return "".join(open(one, encoding="utf-8").read() for one in paths)

    assert [content((str(path),), "en"), content((str(path),), "en")] == ["old", "old"]
    path.write_text("new")
    os.utime(path, ns=(1, 1))  # also on file systems whose clock is coarse
    assert content((str(path),), "en") == "new"
    assert content((str(path),), "de") == "new"
    assert reads == ["en", "en", "de"]


def test_a_worker_that_lives_on_judges_by_the_list_as_it_is_now(tmp_path):
    path = tmp_path / "domains.txt"
    batch = Batch.of(pa.table({"text": [""], "url": ["https://bad.example/a"]}))
    stage = UrlFilter(domains=[str(path)])
    path.write_text("bad.example\n")
    assert stage.judge(batch).kept.tolist() == [False]
    path.write_text("worse.example\n")
    assert stage.judge(batch).kept.tolist() == [True]
