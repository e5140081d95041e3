"""Lines of a stored file, compressed or not, with where they begin; damage costs the lines it touches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gristmill.pipeline.readers.streams import Damage, Piece


@dataclass(frozen=True, slots=True)
class Line:
    """One line."""

    offset: int
    """Byte of the uncompressed stream at which it begins."""
    data: bytes
    """Without its line end; empty when it is too long."""
    length: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Bytes that could not be read; the broken lines before and behind them are part of it."""

    offset: int
    bytes: int
    what: str


def lines(pieces: Iterator[Piece | Damage], offset: int, most_bytes: int) -> Iterator[Line | Lost]:
    """Cut a stream into lines at LF.

    Args:
        pieces: of the file.
        offset: of the first piece.
        most_bytes: a longer line is counted, not held.
    """
    parts: list[bytes] = []
    begin, length = offset, 0
    lost: Lost | None = None
    for piece in pieces:
        if isinstance(piece, Damage) and piece.member is None and not length and not lost:
            # between two members that end and begin with whole lines
            yield Lost(begin, piece.bytes, f"{piece.what} at byte {piece.offset}")
            begin += 1
            continue
        if isinstance(piece, Damage):
            before = lost.bytes if lost else 0
            lost = Lost(lost.offset if lost else begin, before + length + piece.bytes, f"{piece.what} at byte {piece.offset}")
            parts, length = [], 0
            continue
        at = 0
        data = piece.data
        while (end := data.find(b"\n", at)) >= 0:
            length += end - at
            if lost:
                # the rest of a line whose beginning is gone; the place of what follows counts from what could be read
                yield Lost(lost.offset, lost.bytes + length, lost.what)
                begin, lost = max(begin, lost.offset + 1), None
            else:
                if length <= most_bytes:
                    parts.append(data[at:end])
                yield Line(begin, b"".join(parts) if length <= most_bytes else b"", length)
            begin += length + 1
            parts, length, at = [], 0, end + 1
        rest = len(data) - at
        length += rest
        if length <= most_bytes:
            parts.append(data[at:])
        else:
            parts = []
    if lost:
        yield Lost(lost.offset, lost.bytes + length, lost.what)
    elif length:
        yield Line(begin, b"".join(parts) if length <= most_bytes else b"", length)
