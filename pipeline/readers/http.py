"""HTTP responses as crawlers stored them: status, headers, and the body with its encodings undone."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from gristmill.pipeline.readers.records import parse_headers

_STATUS_LINE = re.compile(rb"(?:HTTP/\d+(?:\.\d+)?|ICY)[ \t]+(\d{3})\b")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|meta|link|!--)"
    rb"(?=[\s>/-])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Response:
    """A response."""

    status: int | None
    """None when there is no status line."""
    headers: dict[str, str]
    body: bytes
    """As stored: transfer and content encodings not yet undone."""


class TooLarge(Exception):
    """A body is larger than allowed once its content encoding is undone; the argument is how many bytes were seen."""


def parse_response(block: bytes) -> Response:
    """Split a response into status, headers and body; header lines may end in LF alone."""
    found = _STATUS_LINE.match(block)
    if not found:
        return Response(None, {}, block)
    ends = [at + len(mark) for mark in (b"\n\r\n", b"\n\n") if (at := block.find(mark)) >= 0]
    end = min(ends, default=len(block))
    return Response(int(found[1]), parse_headers(block[:end]), block[end:])


def decoded_body(response: Response, most_bytes: int) -> bytes:
    """The body with chunks joined and content encodings undone, each only where the bytes really are so.

    Args:
        response: what the crawler stored.
        most_bytes: largest body that is given out.

    Raises:
        TooLarge: the body is larger.
    """
    body = response.body
    if "chunked" in response.headers.get("transfer-encoding", "").lower():
        body = join_chunks(body)
    encodings = [name.strip() for name in response.headers.get("content-encoding", "").lower().split(",")]
    for encoding in reversed(encodings):
        body = _decode(body, encoding, most_bytes)
    if len(body) > most_bytes:
        raise TooLarge(len(body))
    return body


def join_chunks(body: bytes) -> bytes:
    """Undo chunked transfer encoding; trailers are dropped, and what is not chunked after all is kept as it is."""
    parts: list[bytes] = []
    at = 0
    while found := _CHUNK_SIZE.match(body, at):
        size = int(found[1], 16)
        if size == 0:
            return b"".join(parts)
        end = found.end() + size
        if not parts and not (body.startswith((b"\r\n", b"\n"), end) or (end >= len(body) and found[0].endswith(b"\r\n"))):
            return body  # a first line that happens to be a number
        parts.append(body[found.end() : end])
        at = end + 2 if body.startswith(b"\r\n", end) else end + 1 if body.startswith(b"\n", end) else end
    return b"".join([*parts, body[at:]])


def _decode(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """Undo one content encoding; a body that is not so encoded, whatever the header says, is given back as it is."""
    if encoding in ("gzip", "x-gzip") and body.startswith(b"\x1f\x8b"):
        return _inflate(body, 31, most_bytes) or body
    if encoding == "deflate" and body:
        return _inflate(body, 15, most_bytes) or _inflate(body, -15, most_bytes) or body
    if encoding == "br" and body:
        return _unbrotli(body, most_bytes) or body
    if encoding == "zstd" and body.startswith(b"\x28\xb5\x2f\xfd"):
        return _unzstd(body, most_bytes) or body
    return body


def _inflate(body: bytes, window_bits: int, most_bytes: int) -> bytes:
    """Inflate what can be inflated: a body that was cut off or damaged gives its beginning, one that is none nothing."""
    parts: list[bytes] = []
    total, at = 0, 0
    inflater = zlib.decompressobj(window_bits)
    while at < len(body):
        fed = body[at : at + 65536]
        at += len(fed)
        while fed:
            try:
                part = inflater.decompress(fed, 1 << 20)
            except zlib.error:
                return b"".join(parts)
            parts.append(part)
            total += len(part)
            if total > most_bytes:
                raise TooLarge(total)
            fed = inflater.unconsumed_tail
        if inflater.eof:
            at -= len(inflater.unused_data)
            if window_bits != 31 or not body.startswith(b"\x1f\x8b", at):
                break
            inflater = zlib.decompressobj(window_bits)
    return b"".join(parts)


def _unbrotli(body: bytes, most_bytes: int) -> bytes:
    import brotli  # type: ignore[import-untyped, unused-ignore]

    decompressor, parts, total = brotli.Decompressor(), [], 0
    for at in range(0, len(body), 4096):
        try:
            part = decompressor.process(body[at : at + 4096])
        except brotli.error:
            return b""
        parts.append(part)
        total += len(part)
        if total > most_bytes:
            raise TooLarge(total)
    return b"".join(parts)


def _unzstd(body: bytes, most_bytes: int) -> bytes:
    import io

    import zstandard

    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
            data = reader.read(most_bytes + 1)
    except zstandard.ZstdError:
        return b""
    if len(data) > most_bytes:
        raise TooLarge(len(data))
    return bytes(data)


def media_type(content_type: str | None) -> str:
    """`text/html` of `Text/HTML; charset=utf-8`; empty when there is none."""
    return (content_type or "").partition(";")[0].partition(",")[0].strip().lower()


def looks_like_html(body: bytes) -> bool:
    """Whether a body without a content type begins like a page (as in https://mimesniff.spec.whatwg.org, with more tags)."""
    start = body[:1024]
    for mark in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"):
        start = start.removeprefix(mark)
    return _HTML_START.match(start.replace(b"\0", b"")) is not None
