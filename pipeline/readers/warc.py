"""WARC and WET files: captures of web pages, and the text that others extracted from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.readers.batches import Collector, ReadBatch, parse_date
from gristmill.pipeline.readers.http import TooLarge, decoded_body, looks_like_html, media_type, parse_response
from gristmill.pipeline.readers.reader import ReadSettings, ranges_at
from gristmill.pipeline.readers.records import START, Gap, Record, walk
from gristmill.pipeline.readers.streams import Damage, Piece, head_of, open_pieces
from gristmill.stages.charset import decode_html

HTML_TYPES = ("text/html", "application/xhtml+xml")
_RECORDS = {"warc": ("response", "resource"), "wet": ("conversion",)}
_SMALL = 40  # no web text is compressed to less than a fortieth
_KEPT_HEADERS = {"warc-ip-address": "ip_address", "warc-payload-digest": "payload_digest", "warc-truncated": "truncated"}
_RIGHTS_HEADERS = {"x-robots-tag": "x_robots_tag", "tdm-reservation": "tdm_reservation", "tdm-policy": "tdm_policy"}


def read(
    fs: Any, path: str, file: str, source: str, start: int, stop: int | None, settings: ReadSettings, batch_bytes: int
) -> Iterator[ReadBatch]:
    """Read the records that begin in [start, stop); see `reader.read`."""
    out = Collector(source, file, batch_bytes, with_html=settings.format == "warc")
    with fs.open(path, "rb") as stored:
        for item, _ in walk(_opener(stored, path), start, stop, settings.max_record_bytes):
            if isinstance(item, Gap):
                out.gap(item.position, item.bytes, item.what)
            else:
                _take(item, settings, out)
            if out.full:
                yield out.batch()
    if out:
        yield out.batch()


def split(fs: Any, path: str, settings: ReadSettings, target_bytes: int) -> list[tuple[int, int | None]]:
    """Ranges of about `target_bytes`; see `reader.split`."""
    size = fs.size(path)
    starts, since = [0], 0
    with fs.open(path, "rb") as stored:
        if size is not None and size * (1 if _is_plain(stored, path) else _SMALL) <= target_bytes:
            return [(0, None)]
        for item, offset in walk(_opener(stored, path), 0, None, settings.max_record_bytes):
            if isinstance(item, Record) and item.opens_member and item.position > 0 and offset - since >= target_bytes:
                starts.append(item.position)
                since = offset
    return ranges_at(starts)


def check(fs: Any, path: str, settings: ReadSettings) -> None:
    """See `reader.check`."""
    with fs.open(path, "rb") as stored:
        start = head_of(stored, path, 512).lstrip(b"\r\n")
        stored.seek(0)
        raw = stored.read(16)
    if START.match(start) or not raw:
        return
    name = settings.format.upper()
    if start or not _holds_nothing(fs, path):
        raise UserError(
            f"{path} is no {name} file: it begins with {_kind(start)}; a {name} file begins with WARC/1.0 or WARC/1.1"
        )


def _holds_nothing(fs: Any, path: str) -> bool:
    """Whether a file that shows nothing at its beginning is sound and empty, such as one empty gzip member."""
    with fs.open(path, "rb") as stored:
        _, pieces = open_pieces(stored, path)
        return not any(isinstance(piece, Damage) for piece in pieces)


def _kind(start: bytes) -> str:
    """What a file is that is no WARC file."""
    lower = start.lstrip().lower()
    if lower.startswith(b"filedesc:"):
        return "the header of an ARC file (convert it, e.g. with `warcio recompress`)"
    if lower.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "an HTML or XML page (it may be a saved error message)"
    if lower.startswith((b"{", b"[")):
        return "JSON (format: jsonl reads one object a line)"
    if start.startswith(b"WARC/"):
        return f"an unknown version line {start.splitlines()[0][:40]!r}"
    return f"{start[:40]!r}" if start else "bytes that cannot be uncompressed"


def _is_plain(stored: Any, path: str) -> bool:
    kind, _ = open_pieces(stored, path)
    stored.seek(0)
    return kind == "none"


def _opener(stored: Any, path: str) -> Callable[[int], tuple[str, Iterator[Piece | Damage]]]:
    def open_at(offset: int) -> tuple[str, Iterator[Piece | Damage]]:
        stored.seek(0)
        return open_pieces(stored, path, offset, lambda data: START.match(data) is not None)

    return open_at


def _take(record: Record, settings: ReadSettings, out: Collector) -> None:
    """Count the record, add it as a document, or say why it is none."""
    kind = record.headers.get("warc-type", "").lower()
    if kind not in _RECORDS[settings.format]:
        out.other[kind or "without a type"] += 1
        if record.damage:
            out.gap(record.position, record.lost, f"in a {kind} record: {record.damage}")
        return
    url = record.headers.get("warc-target-uri", "").strip("<> ") or None
    id = record.headers.get("warc-record-id", "").strip("<> ") if settings.id_from == "record" else ""
    if record.damage:
        out.remove(
            record.position, id, "unreadable_bytes", url=url, value=record.lost, detail=record.damage, bytes=len(record.block)
        )
    elif record.length > settings.max_record_bytes:
        _too_large(out, record, id, url, record.length, settings)
    elif kind == "conversion":
        _take_text(record, id, url, out)
    else:
        _take_page(record, kind, id, url, settings, out)


def _too_large(out: Collector, record: Record, id: str, url: str | None, size: int, settings: ReadSettings) -> None:
    out.remove(record.position, id, "too_large", url=url, value=size, threshold=settings.max_record_bytes, bytes=record.length)


def _take_text(record: Record, id: str, url: str | None, out: Collector) -> None:
    headers = record.headers
    meta = {"language": headers.get("warc-identified-content-language"), "refers_to": headers.get("warc-refers-to")}
    out.add(
        record.position,
        id,
        text=decode_html(record.block, headers.get("content-type") or "text/plain; charset=utf-8"),
        url=url,
        date=parse_date(headers.get("warc-date")),
        content_type=headers.get("content-type"),
        meta={name: value.strip("<>") for name, value in meta.items() if value},
    )


def _take_page(record: Record, kind: str, id: str, url: str | None, settings: ReadSettings, out: Collector) -> None:
    headers = record.headers
    content_type = headers.get("content-type")
    meta: dict[str, Any] = {name: headers[key] for key, name in _KEPT_HEADERS.items() if key in headers}
    body = record.block
    if kind == "resource":
        meta["record_type"] = kind
    elif content_type is None or media_type(content_type) == "application/http":
        response = parse_response(record.block)
        content_type = response.headers.get("content-type")
        if response.status != 200:
            detail = None if response.status is not None else f"no status line but {record.block[:40]!r}"
            out.remove(
                record.position,
                id,
                "http_status",
                url=url,
                value=response.status,
                threshold=200,
                detail=detail,
                bytes=len(record.block),
            )
            return
        try:
            body = decoded_body(response, settings.max_record_bytes)
        except TooLarge as large:
            _too_large(out, record, id, url, large.args[0], settings)
            return
        meta["http_status"] = response.status
        meta |= {name: response.headers[key] for key, name in _RIGHTS_HEADERS.items() if response.headers.get(key)}
        if "license" in response.headers.get("link", "").lower():
            meta["link"] = response.headers["link"]
    media = media_type(content_type or headers.get("warc-identified-payload-type"))
    if media not in HTML_TYPES and (media or not looks_like_html(body)):
        detail = content_type or "no content type, and nothing that looks like HTML"
        out.remove(record.position, id, "not_text", url=url, detail=detail, bytes=len(body))
        return
    out.add(
        record.position, id, html=body, url=url, date=parse_date(headers.get("warc-date")), content_type=content_type, meta=meta
    )
