"""The demo crawl: a real WARC file made on the user's machine, without a network and without other people's pages.

Its pages are the documentation of the installed Python and of the installed dependencies, and pages written for it
(`demo/`): articles in eleven languages, and the mirrors, forums, shops, spam, cookie walls, odd charsets and broken
markup that crawls are full of. Between them stand the records that are no pages: requests, redirects, errors, images,
revisits, metadata. The last record is cut off, as if the crawler had been stopped.

The same Python environment gives the same bytes: dates are fixed, record ids are made from URLs.
"""

from __future__ import annotations

import os
import random
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from gristmill.pipeline.demo.page import Page
from gristmill.pipeline.errors import UserError

FIRST_DATE = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
SECONDS_BETWEEN = 3
SEED = 5
"""Of the order in which pages were crawled."""

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def make_demo_crawl(output: Path) -> None:
    """Write the demo crawl.

    Args:
        output: a file whose name ends in `.warc.gz`; overwritten. It appears whole or not at all.

    Raises:
        UserError: the file cannot be written, or its name does not say that it is a compressed WARC.
    """
    if not output.name.endswith(".warc.gz"):
        raise UserError(f"{output}: the demo crawl is a compressed WARC file; choose a name that ends in .warc.gz")
    if output.is_dir():
        raise UserError(f"{output}: is a folder; name a file in it, such as {output / 'crawl.warc.gz'}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{output}: {output.parent} is not a folder; choose another place") from None
    except OSError as error:
        raise UserError(f"{output}: cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            CrawlWriter(file).write_crawl(crawled_pages())
        os.chmod(name, 0o644)
        os.replace(name, output)
    except BaseException as error:
        os.unlink(name)
        if isinstance(error, OSError):
            raise UserError(f"{output}: cannot be written: {error.strerror}") from None
        raise


def crawled_pages() -> list[Page]:
    """All pages in the order of the crawl, which mixes the sites; what other servers answered stands among them."""
    from gristmill.pipeline.demo.documentation import documentation_pages
    from gristmill.pipeline.demo.written import written_pages

    pages = [*written_pages(), *documentation_pages(), *other_answers()]
    random.Random(SEED).shuffle(pages)
    return pages


def other_answers() -> Iterator[Page]:
    """Answers that are no HTML page with status 200."""
    host = "https://www.example.org"
    for number in range(12):
        yield Page(
            f"{host}/gone/{number}",
            b"<html><body><h1>Not found</h1><p>There is nothing here.</p></body></html>",
            status="404 Not Found",
        )
    for number in range(6):
        yield Page(f"{host}/old/{number}", b"", status="301 Moved Permanently")
    yield Page(f"{host}/members", b"<html><body>You must log in.</body></html>", status="403 Forbidden")
    yield Page(f"{host}/busy", b"<html><body>Try again later.</body></html>", status="503 Service Unavailable")
    yield Page(f"{host}/style.css", b"body { font-family: serif; }\n", "text/css")
    yield Page(f"{host}/data.json", b'{"pages": 600}\n', "application/json")
    yield Page(f"{host}/paper.pdf", b"%PDF-1.4\n%%EOF\n", "application/pdf")
    for number in range(5):
        yield Page(f"{host}/img/{number}.png", PNG, "image/png")
    yield Page(f"{host}/robots.txt", b"User-agent: *\nDisallow: /members\n", "text/plain")


class CrawlWriter:
    """Writes the records of a crawl, one gzip member a record."""

    def __init__(self, file: BinaryIO) -> None:
        from warcio.warcwriter import WARCWriter

        self._file = file
        self._writer = WARCWriter(file, gzip=True)
        self._records = 0

    def write_crawl(self, pages: list[Page]) -> None:
        """A warcinfo record, the records of each page, and a last one that is cut off."""
        self._write(
            "warcinfo", "", b"software: gristmill demo-crawl\r\nformat: WARC File Format 1.0\r\n", "application/warc-fields"
        )
        for number, page in enumerate(pages):
            if number % 10 == 0:
                self._write_request(page)
            self._write_response(page)
            if number % 25 == 0:
                self._write("metadata", page.url, b"fetchTimeMs: 120\r\n", "application/warc-fields")
            if number % 60 == 0:
                self._write_revisit(page)
        self._write_cut_off(pages[0])

    def _write_request(self, page: Page) -> None:
        host, _, path = page.url.partition("://")[2].partition("/")
        block = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: demo-crawl\r\n\r\n".encode()
        self._write("request", page.url, block, "application/http; msgtype=request")

    def _write_response(self, page: Page) -> None:
        location = f"Location: {page.url.replace('/old/', '/new/')}\r\n" if page.status.startswith("3") else ""
        head = (
            f"HTTP/1.1 {page.status}\r\n{location}Content-Type: {page.content_type}\r\nContent-Length: {len(page.body)}\r\n\r\n"
        )
        self._write("response", page.url, head.encode() + page.body, "application/http; msgtype=response")

    def _write_revisit(self, page: Page) -> None:
        headers = {"WARC-Profile": "http://netpreserve.org/warc/1.0/revisit/identical-payload-digest"}
        self._write("revisit", page.url, b"HTTP/1.1 304 Not Modified\r\n\r\n", "application/http; msgtype=response", headers)

    def _write_cut_off(self, page: Page) -> None:
        """Half of a record, and the end of the file."""
        whole = BytesIO()
        writer = CrawlWriter(whole)
        writer._records = self._records
        writer._write_response(page)
        self._file.write(whole.getvalue()[: whole.tell() // 2])

    def _write(self, kind: str, url: str, block: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        date = FIRST_DATE + timedelta(seconds=SECONDS_BETWEEN * self._records)
        named: dict[str, Any] = {
            "WARC-Record-ID": f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{self._records} {kind} {url}')}>",
            "WARC-Date": date.strftime("%Y-%m-%dT%H:%M:%SZ"),
            **(headers or {}),
        }
        record = self._writer.create_warc_record(
            url, kind, payload=BytesIO(block), length=len(block), warc_content_type=content_type, warc_headers_dict=named
        )
        self._writer.write_record(record)
        self._records += 1
