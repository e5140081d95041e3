"""The records of a WARC file, none lost: what can be read is given, and each gap between them is named.

Libraries end an iteration at LF-only headers, give a short body for a cut gzip member, or drop the rest of a file at one
flipped byte, without a word. Here a record counts as sound when its declared length was read, its gzip member's checksum is
right, and behind it lies a record, a new member or the end of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gristmill.pipeline.readers.streams import Damage, Piece

START = re.compile(rb"WARC/\d{1,3}\.\d{1,3}[ \t]*\r?\n")
_NEXT_START = re.compile(rb"\nWARC/\d{1,3}\.\d{1,3}[ \t]*\r?\n")
_NO_NEWLINE = re.compile(rb"[^\r\n]")
_START_BYTES = 64  # more than a version line has
_HEADER_MOST_BYTES = 1 << 20
_TRIM_BYTES = 1 << 22


@dataclass(slots=True)
class Record:
    """One record."""

    position: int
    """Stored byte at which it begins; in a gzip member or zstd frame of several records, that of the member for the first
    and one more for each further record (and gap), so that positions are unique and ascend."""
    headers: dict[str, str]
    """Header fields by lower-case name; of a repeated field the first."""
    block: bytes = b""
    """The content block; empty when `length` is over the limit."""
    length: int = 0
    """Declared bytes of the block."""
    damage: str | None = None
    """Why the record cannot be trusted; its header could be read."""
    lost: int = 0
    """Bytes that could not be read or belong to no record."""
    opens_member: bool = False
    """Reading can begin at `position`."""
    behind: tuple[int, str] | None = None
    """Bytes of the same member behind the record that begin no other, and what they are."""


@dataclass(slots=True)
class Gap:
    """Bytes that belong to no record."""

    position: int
    bytes: int
    what: str


@dataclass(slots=True)
class _Mark:
    """Where in the window a member (or a piece of an uncompressed file) begins."""

    index: int
    stored: int
    starts_record: bool


@dataclass(slots=True)
class _Window:
    """The uncompressed bytes around the place that is being read, up to the next damage."""

    open: Callable[[int], tuple[str, Iterator[Piece | Damage]]]
    at: int = 0
    buffer: bytearray = field(default_factory=bytearray)
    marks: list[_Mark] = field(default_factory=list)
    damage: Damage | None = None
    ended: bool = False
    plain: bool = False
    passed: int = 0
    """Uncompressed bytes before the window."""
    broken: int | None = None
    """The last member that turned out broken."""
    pieces: Iterator[Piece | Damage] = field(default_factory=lambda: iter(()))

    def go(self, stored: int) -> None:
        """Read on from a stored byte."""
        kind, self.pieces = self.open(stored)
        self.plain = kind == "none"
        self.at, self.buffer, self.marks, self.damage, self.ended = 0, bytearray(), [], None, False

    def more(self) -> bool:
        """Read another piece; False at damage and at the end."""
        if self.damage or self.ended:
            return False
        piece = next(self.pieces, None)
        if piece is None:
            self.ended = True
            return False
        if isinstance(piece, Damage):
            self.damage = piece
            return False
        if self.plain or piece.starts:
            self.marks.append(_Mark(len(self.buffer), piece.member, piece.starts and START.match(piece.data) is not None))
        self.buffer += piece.data
        return True

    def trim(self, least: int = _TRIM_BYTES) -> None:
        """Forget what lies before the place that is being read."""
        if self.at < least:
            return
        del self.buffer[: self.at]
        self.passed += self.at
        for mark in self.marks:
            mark.index -= self.at
        current = max((at for at, mark in enumerate(self.marks) if mark.index <= 0), default=0)
        del self.marks[:current]
        self.at = 0

    def mark(self, index: int) -> _Mark:
        """The member that the byte at `index` belongs to."""
        for mark in reversed(self.marks):
            if mark.index <= index:
                return mark
        return self.marks[0]

    def stored(self, index: int) -> int:
        """Stored byte of what lies at `index`; in a compressed file, of its member."""
        mark = self.mark(index)
        return mark.stored + (index - mark.index if self.plain else 0)

    def has(self, index: int, number: int) -> int:
        """How many of the `number` bytes from `index` there are before damage, the end, or a member that begins a record."""
        while len(self.buffer) < index + number:
            if not self.more() or (self.marks[-1].starts_record and self.marks[-1].index >= index):
                break
        end = min(len(self.buffer), index + number)
        for mark in self.marks:
            if mark.starts_record and index <= mark.index < end:
                return mark.index - index
        return end - index

    def after_newlines(self, index: int) -> int:
        """The next place that holds no line end, or the end of what can be read."""
        while not (found := _NO_NEWLINE.search(self.buffer, index)):
            index = len(self.buffer)
            if not self.more():
                return index
        return found.start()

    def starts_record(self, index: int) -> bool:
        """Whether a version line stands at `index`."""
        while len(self.buffer) < index + _START_BYTES and self.more():
            pass
        return START.match(self.buffer, index) is not None

    def header_end(self, index: int) -> int | None:
        """Behind the empty line that ends the header at `index`; None when there is none."""
        looked = index
        while True:
            crlf = self.buffer.find(b"\n\r\n", looked)
            lf = self.buffer.find(b"\n\n", looked, crlf + 1 if crlf >= 0 else len(self.buffer))
            end = lf + 2 if lf >= 0 else crlf + 3 if crlf >= 0 else None
            if any(mark.starts_record and index < mark.index < (end or len(self.buffer)) for mark in self.marks):
                return None
            if end is not None:
                return end
            looked = max(index, len(self.buffer) - 2)
            if len(self.buffer) - index > _HEADER_MOST_BYTES or not self.more():
                return None

    def pass_over(self) -> tuple[int, str]:
        """Go to the next record from a place where none begins: how many bytes lie between, and what was found there."""
        what = bytes(self.buffer[self.at : self.at + 40])
        passed = 0
        while True:
            found = _NEXT_START.search(self.buffer, self.at)
            ends = [found.start() + 1] if found else []
            ends += [mark.index for mark in self.marks if mark.starts_record and mark.index > self.at]
            if ends:
                passed += min(ends) - self.at
                self.at = min(ends)
                return passed, f"no record begins at {what!r}"
            keep = max(self.at, len(self.buffer) - _START_BYTES)
            passed += keep - self.at
            self.at = keep
            self.trim()
            if not self.more():
                passed += len(self.buffer) - self.at
                self.at = len(self.buffer)
                lost, why = self.take_damage()
                return passed + lost, f"no record begins at {what!r}{'; ' + why if why else ''}"

    def take_damage(self) -> tuple[int, str]:
        """Read on behind the damage: how many stored bytes it is, and why."""
        if self.damage is None:
            return 0, ""
        damage, self.damage = self.damage, None
        self.broken = damage.member
        return damage.bytes, f"{damage.what} at byte {damage.offset}"


def walk(
    open_at: Callable[[int], tuple[str, Iterator[Piece | Damage]]], start: int, stop: int | None, most_bytes: int
) -> Iterator[tuple[Record | Gap, int]]:
    """Read the records that begin in [start, stop).

    Args:
        open_at: opens the file at a stored byte: its compression, and its pieces.
        start: 0, or the position of a record that opens its member.
        stop: likewise; None for the end of the file.
        most_bytes: a block over this is passed over and not held.

    Yields:
        Records and gaps, positions ascending, each with the number of uncompressed bytes from `start` to its beginning.
    """
    window = _Window(open_at)
    window.go(start)
    last = start - 1
    while True:
        window.trim()
        window.at = window.after_newlines(window.at)
        offset = window.passed + window.at
        if window.at == len(window.buffer):
            if window.damage is None:
                return
            last = max(window.damage.offset, last + 1)
            yield Gap(last, *window.take_damage()), offset
            continue
        stored = window.stored(window.at)
        last = max(stored, last + 1)
        if stop is not None and last >= stop:
            return
        end = window.header_end(window.at) if window.starts_record(window.at) else None
        if end is None:
            yield Gap(last, *window.pass_over()), offset
            continue
        opens = last == stored and (window.plain or window.mark(window.at).index == window.at)
        record = _record(window, last, end, most_bytes, opens)
        yield record, offset
        if record.behind:
            last += 1
            yield Gap(last, *record.behind), offset


def _record(window: _Window, position: int, body: int, most_bytes: int, opens: bool) -> Record:
    """The record whose header ends at `body`; leaves the window behind it."""
    headers = parse_headers(bytes(window.buffer[window.at : body]))
    record = Record(position, headers, opens_member=opens)
    declared = headers.get("content-length", "").strip()
    if not (declared.isascii() and declared.isdigit()):
        window.at = window.after_newlines(body)
        if not _ends_well(window, record, body):
            record.lost, _ = window.pass_over()
            record.damage = f"Content-Length {declared!r} is no number" if declared else "no Content-Length"
        return record
    record.length = int(declared)
    if record.length > most_bytes:
        _pass_block(window, record, body)
    else:
        _read_block(window, record, body)
    return record


def _read_block(window: _Window, record: Record, body: int) -> None:
    there = window.has(body, record.length)
    end = body + there
    record.block = bytes(memoryview(window.buffer)[body:end])
    whole = there == record.length
    if not (whole and _ends_well(window, record, end)):
        embedded = _NEXT_START.search(window.buffer, body, end)
        if embedded:
            end = embedded.start() + 1
            record.damage = f"Content-Length is {record.length}, but another record begins after {end - body} bytes"
        elif not whole:
            record.lost, why = window.take_damage()
            record.lost = max(record.lost, record.length - there)
            why = why or ("the file ends" if window.ended and end == len(window.buffer) else "another record begins")
            record.damage = f"{there} of {record.length} bytes, then {why}"
        elif not window.plain:
            # bytes in a member that breaks later may be wrong long before it shows
            member, window.at, window.broken = window.mark(end - 1).stored, end, None
            passed, why = window.pass_over()
            if window.broken == member:
                record.lost, record.damage = passed, why
            else:
                record.behind = (passed, why)
            return
    window.at = end


def _ends_well(window: _Window, record: Record, end: int) -> bool:
    """Whether what follows the block is what may follow a record; marks the record when its member turns out broken."""
    behind = window.after_newlines(end)
    if behind == len(window.buffer):
        if window.damage and window.damage.member is not None and window.damage.member == window.mark(end - 1).stored:
            record.lost, record.damage = window.take_damage()
        return True
    return window.starts_record(behind) or any(end <= mark.index <= behind for mark in window.marks if not window.plain)


def _pass_block(window: _Window, record: Record, body: int) -> None:
    """Pass over a block that is too large to be held; one whose length is wrong is searched for the next record."""
    came_from = window.stored(body - 1) + 1
    window.at = body
    left = record.length
    while left:
        there = window.has(window.at, min(left, _TRIM_BYTES))
        window.at += there
        left -= there
        if there == 0:
            break
        window.trim()
    if left == 0 and _ends_well(window, record, window.at):
        return
    if window.plain:
        passed = window.passed + window.at - (record.length - left)
        window.go(came_from)
        window.passed = passed
        if window.more():
            record.lost, _ = window.pass_over()
            record.damage = f"Content-Length is {record.length}, but no record begins behind that"
    elif left:
        record.lost, why = window.take_damage()
        record.lost = max(record.lost, left)
        record.damage = f"{record.length - left} of {record.length} bytes, then {why or 'the file ends or another record begins'}"


SEVERAL = ("x-robots-tag", "link")
"""Header fields that each say something of their own where they are repeated."""


def parse_headers(block: bytes) -> dict[str, str]:
    """Read the header fields below a first line: lower-case names, continued lines joined.

    Of repeated fields the first counts; those of `SEVERAL` are kept all, a line each.
    """
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError:
        text = block.decode("latin-1")
    headers: dict[str, str] = {}
    name = ""
    for line in text.split("\n")[1:]:
        if line[:1] in (" ", "\t"):
            if name:
                headers[name] = f"{headers[name]} {line.strip()}"
            continue
        key, colon, value = line.partition(":")
        name = key.strip().lower() if colon else ""
        if name and name not in headers:
            headers[name] = value.strip()
        elif name in SEVERAL:
            headers[name] += "\n" + value.strip()
        else:
            name = ""
    return headers
