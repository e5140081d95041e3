"""Plain text: one document a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.readers.batches import Collector, ReadBatch
from gristmill.pipeline.readers.reader import ReadSettings
from gristmill.pipeline.readers.streams import Damage, head_of, open_pieces
from gristmill.stages.charset import decode_html

_BOMS = (b"\xff\xfe", b"\xfe\xff")


def read(
    fs: Any, path: str, file: str, source: str, start: int, stop: int | None, settings: ReadSettings, batch_bytes: int
) -> Iterator[ReadBatch]:
    """Read the file as one document; see `reader.read`."""
    if start > 0 or stop == 0 or fs.size(path) == 0:
        return
    out = Collector(source, file, batch_bytes, with_html=False)
    data, size, damage = bytearray(), 0, None
    with fs.open(path, "rb") as stored:
        for piece in open_pieces(stored, path)[1]:
            if isinstance(piece, Damage):
                damage = damage or piece
                continue
            size += len(piece.data)
            if size <= settings.max_record_bytes:
                data += piece.data
    most = settings.max_record_bytes
    if damage:
        what = f"{damage.what} at byte {damage.offset}"
        out.remove(0, None, "unreadable_bytes", value=damage.bytes, detail=what, bytes=size)
    elif size > most:
        out.remove(0, None, "too_large", value=size, threshold=most, bytes=size)
    else:
        out.add(0, None, text=decode_html(bytes(data), None))
    yield out.batch()


def split(fs: Any, path: str, settings: ReadSettings, target_bytes: int) -> list[tuple[int, int | None]]:
    """One range: a document is not cut."""
    return [(0, None)]


def check(fs: Any, path: str, settings: ReadSettings) -> None:
    """See `reader.check`."""
    with fs.open(path, "rb") as stored:
        start = head_of(stored, path, 4096)[:4096]
    zeros = start.count(0)
    if zeros and not start.startswith(_BOMS) and not 0.3 * len(start) < zeros < 0.6 * len(start):
        raise UserError(f"{path} is no text: it begins with {start[:16]!r} and holds zero bytes; convert it to UTF-8 text")
