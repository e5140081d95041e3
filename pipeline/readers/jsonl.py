"""JSON lines: one JSON object a line, uncompressed, gzip or zstd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.readers.batches import Collector, ReadBatch
from gristmill.pipeline.readers.columns import take_row
from gristmill.pipeline.readers.lines import Lost, lines
from gristmill.pipeline.readers.reader import ReadSettings, ranges_at
from gristmill.pipeline.readers.streams import compression_of, head_of, open_pieces

_BOM = b"\xef\xbb\xbf"
_CHECK_BYTES = 1 << 20
_LOOK_BYTES = 1 << 16
_LINES_LOOKED_AT = 100


def read(
    fs: Any, path: str, file: str, source: str, start: int, stop: int | None, settings: ReadSettings, batch_bytes: int
) -> Iterator[ReadBatch]:
    """Read the lines that begin in [start, stop); see `reader.read`. Blank lines are no records."""
    out = Collector(source, file, batch_bytes, with_html=False)
    with fs.open(path, "rb") as stored:
        _, pieces = open_pieces(stored, path, start)
        for line in lines(pieces, start, settings.max_record_bytes):
            if stop is not None and line.offset >= stop:
                break
            if isinstance(line, Lost):
                out.gap(line.offset, line.bytes, line.what)
            elif line.length > settings.max_record_bytes:
                out.remove(
                    line.offset,
                    None,
                    "too_large",
                    value=line.length,
                    threshold=settings.max_record_bytes,
                    bytes=line.length,
                )
            else:
                _take(line.offset, line.data, settings, out)
            if out.full:
                yield out.batch()
    if out:
        yield out.batch()


def _take(offset: int, data: bytes, settings: ReadSettings, out: Collector) -> None:
    if offset == 0:
        data = data.removeprefix(_BOM)
    if not data or data.isspace():
        return
    row, wrong = _parse(data)
    if row is None:
        out.remove(offset, None, "unreadable_record", detail=wrong, bytes=len(data))
    else:
        take_row(offset, row, len(data), settings, out)


def _parse(data: bytes) -> tuple[dict[str, Any] | None, str]:
    """The object in a line, or what is there instead."""
    try:
        # NaN and Infinity are no JSON; what writes them means that there is no value
        row = json.loads(data.decode("utf-8"), parse_constant=lambda name: None)
    except UnicodeDecodeError as error:
        return None, f"no UTF-8 at byte {error.start} of the line"
    except RecursionError:
        return None, "nested too deep"
    except ValueError as error:
        return None, f"no JSON: {error}"
    return (row, "") if isinstance(row, dict) else (None, f"no JSON object but {data[:40].decode(errors='replace')!r}")


def split(fs: Any, path: str, settings: ReadSettings, target_bytes: int) -> list[tuple[int, int | None]]:
    """Ranges that begin at the first line behind each multiple of `target_bytes`; see `reader.split`."""
    size = fs.size(path)
    starts = [0]
    if size is None or size <= target_bytes:
        return [(0, None)]
    with fs.open(path, "rb") as stored:
        if compression_of(stored.read(16), path) != "none":
            return [(0, None)]
        for target in range(target_bytes, size, target_bytes):
            # a line feed inside a JSON string is written as an escape, so each one ends a line
            place = _behind_line(stored, target - 1)
            if place is not None and place > starts[-1]:
                starts.append(place)
    return ranges_at(starts)


def _behind_line(stored: Any, offset: int) -> int | None:
    """Behind the first line feed at or after `offset`; None when nothing follows it."""
    stored.seek(offset)
    while data := stored.read(_LOOK_BYTES):
        found = data.find(b"\n")
        if found >= 0:
            place: int = offset + found + 1
            return place if found + 1 < len(data) or stored.read(1) else None
        offset += len(data)
    return None


def check(fs: Any, path: str, settings: ReadSettings) -> None:
    """See `reader.check`."""
    with fs.open(path, "rb") as stored:
        if not stored.read(1):
            return
        stored.seek(0)
        start = head_of(stored, path, _CHECK_BYTES)
    start = start.removeprefix(_BOM).lstrip()
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path} is in UTF-16; JSON lines are UTF-8, so convert it (iconv -f UTF-16 -t UTF-8)")
    line, end, _ = start.partition(b"\n")
    if not start:
        return
    row, wrong = _parse(line)
    if row is None and not (not end and start.startswith(b"{")):
        hint = " (one JSON document over several lines, or a list: write one object a line, e.g. with `jq -c`)"
        raise UserError(
            f"{path} is no JSON lines file: its first line is {wrong}{hint if start.startswith((b'[', b'{')) else ''}; "
            'each line must be an object such as {"id": "1", "text": "..."}'
        )
    _check_columns(path, start, settings)


def _check_columns(path: str, start: bytes, settings: ReadSettings) -> None:
    """Raise where none of the first lines, two at least, has a column that the settings name: every record would be removed."""
    whole = start.split(b"\n", _LINES_LOOKED_AT)[:-1]
    rows = [row for row, _ in map(_parse, filter(bytes.strip, whole)) if row]
    if len(rows) < 2:
        return
    has = list(dict.fromkeys(key for row in rows for key in row))
    for setting in ["text_column", *(["id_column"] if settings.id_from == "column" else [])]:
        name = getattr(settings, setting)
        if name not in has:
            raise UserError(
                f"{path} has no {name} in its first {len(rows)} lines; it has {', '.join(has)}. Set {setting} to one of them"
            )
