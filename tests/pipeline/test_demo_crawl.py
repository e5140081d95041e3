"""The demo crawl: a WARC that is large and odd enough, the same for the same environment, and says nothing of the machine."""

import os
import re
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from warcio.archiveiterator import ArchiveIterator

from gristmill.pipeline.demo import documentation
from gristmill.pipeline.demo.oddities import odd_charsets
from gristmill.pipeline.demo.page import articles
from gristmill.pipeline.demo.written import LANGUAGES, english_articles, written_pages
from gristmill.pipeline.demo_crawl import make_demo_crawl
from gristmill.pipeline.errors import UserError

MAKE = """
import pathlib, sys
from gristmill.pipeline.demo_crawl import make_demo_crawl
make_demo_crawl(pathlib.Path(sys.argv[1]))
"""
SECRET = "a-value-only-in-the-environment"
ADDRESS = re.compile(rb"(?: |&nbsp;)at(?: |&nbsp;)0x[0-9a-f]{6,}")


class Record(NamedTuple):
    """What the tests look at."""

    kind: str
    id: str
    url: str | None
    date: str
    status: str | None
    content_type: str | None
    body: bytes


@pytest.fixture(scope="module")
def crawls(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The crawl made twice: other process, working folder, hash seed and environment variables."""
    paths, processes = [], []
    for seed in ("1", "2"):
        folder = tmp_path_factory.mktemp(f"crawl{seed}")
        paths.append(folder / "demo.warc.gz")
        environment = {**os.environ, "PYTHONHASHSEED": seed, "SOME_TOKEN": f"{SECRET}-{seed}"}
        processes.append(subprocess.Popen([sys.executable, "-c", MAKE, str(paths[-1])], cwd=folder, env=environment))
    assert [process.wait() for process in processes] == [0, 0]
    return paths


@pytest.fixture(scope="module")
def records(crawls: list[Path]) -> list[Record]:
    """All whole records, read by warcio. The cut-off one at the end is left out."""
    with crawls[0].open("rb") as file:
        found = [
            Record(
                record.rec_type,
                record.rec_headers.get_header("WARC-Record-ID"),
                record.rec_headers.get_header("WARC-Target-URI"),
                record.rec_headers.get_header("WARC-Date"),
                record.http_headers and record.http_headers.get_statuscode(),
                record.http_headers and record.http_headers.get_header("Content-Type"),
                record.content_stream().read(),
            )
            for record in ArchiveIterator(file)
        ]
    return found[:-1]


def members(path: Path) -> list[bytes]:
    """The gzip members of a file, compressed."""
    data, found = path.read_bytes(), []
    while data:
        decoder = zlib.decompressobj(31)
        decoder.decompress(data)
        found.append(data[: len(data) - len(decoder.unused_data)])
        data = decoder.unused_data
    return found


def test_two_crawls_in_other_processes_and_environments_are_the_same_bytes(crawls):
    assert crawls[0].read_bytes() == crawls[1].read_bytes()


def test_there_are_at_least_600_html_pages(records):
    pages = [r for r in records if r.kind == "response" and r.status == "200" and r.content_type.startswith("text/html")]
    assert len(pages) >= 600


def test_there_are_records_of_every_kind_a_reader_must_count(records):
    kinds = Counter(record.kind for record in records)
    assert set(kinds) == {"warcinfo", "request", "response", "revisit", "metadata"}
    assert {r.status for r in records if r.kind == "response"} == {"200", "301", "403", "404", "503"}
    others = {r.content_type for r in records if r.kind == "response" and not r.content_type.startswith("text/html")}
    assert others == {"text/css", "application/json", "application/pdf", "image/png", "text/plain"}


def test_record_ids_are_unique_and_dates_fixed(records):
    assert len({record.id for record in records}) == len(records)
    assert records[0].date == "2026-01-05T06:00:00Z"
    assert records[1].date == "2026-01-05T06:00:03Z"


def test_every_record_is_one_gzip_member_without_a_time_and_only_the_last_is_cut_off(crawls, records):
    found = members(crawls[0])
    assert len(found) == len(records) + 1
    assert {member[4:8] for member in found} == {b"\0\0\0\0"}
    last = zlib.decompressobj(31)
    last.decompress(found[-1])
    assert not last.eof


def test_no_page_names_this_machine(records):
    told = [SECRET.encode(), b'href="file:', os.getcwd().encode()]
    told += [path.encode() for path in {sys.prefix, str(Path.home())} if path.count("/") > 1 or path == "/root"]
    for record in records:
        assert not [text for text in told if text in record.body], record.url
        assert not ADDRESS.search(record.body), record.url


def test_all_urls_lie_under_reserved_domains(records):
    hosts = {urlsplit(record.url).hostname for record in records if record.url}
    reserved = re.compile(r"(^|\.)(example\.(com|net|org)|example|test)$")
    assert [host for host in hosts if not reserved.search(host)] == []


def test_pages_are_written_in_at_least_eight_languages_of_more_than_one_page_each():
    hosts = Counter(urlsplit(page.url).hostname for page in written_pages())
    assert len(LANGUAGES) >= 8
    assert all(hosts[f"{language}.example.org"] >= 2 for language in LANGUAGES if language != "en")
    assert len(list(english_articles())) >= 25


def test_no_two_written_pages_have_the_same_url():
    urls = Counter(page.url for page in written_pages())
    assert [url for url, count in urls.items() if count > 1] == []


@pytest.mark.parametrize(
    ("number", "encoding"),
    list(enumerate(["cp1251", "koi8-r", "shift_jis", "euc-jp", "gb18030", "latin-1", "cp1252", "utf-8", "cp1256", "utf-16"])),
)
def test_odd_charsets_hold_their_article_in_the_encoding_of_the_case(number, encoding):
    page = list(odd_charsets())[number]
    language = urlsplit(page.url).path.split("/")[1]
    assert f"<h1>{articles(language)[-1].title}</h1>" in page.body.decode(encoding)


def test_a_module_whose_import_ends_the_process_is_left_out(monkeypatch):
    attempts = []

    def render(skip):
        attempts.append(list(skip))
        return ([{"name": "json"}], "crasher", "crasher" in skip)

    monkeypatch.setattr(documentation, "render", render)
    assert documentation.rendered() == [{"name": "json"}]
    assert attempts == [[], ["crasher"]]


def test_a_renderer_that_ends_again_and_again_is_an_error_that_names_the_modules(monkeypatch):
    monkeypatch.setattr(documentation, "render", lambda skip: ([], f"module{len(skip)}", False))
    with pytest.raises(UserError, match="module0, module1, module2, module3, module4"):
        documentation.rendered()


def test_a_name_that_is_no_compressed_warc_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"demo\.txt: .* ends in \.warc\.gz"):
        make_demo_crawl(tmp_path / "demo.txt")


def test_a_folder_is_refused(tmp_path):
    folder = tmp_path / "a.warc.gz"
    folder.mkdir()
    with pytest.raises(UserError, match="is a folder"):
        make_demo_crawl(folder)


def test_a_place_that_cannot_be_written_is_an_error_without_a_traceback(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="is not a folder"):
        make_demo_crawl(tmp_path / "file" / "demo.warc.gz")
