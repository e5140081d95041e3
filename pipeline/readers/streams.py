"""Stored files as streams of uncompressed bytes that know where they came from, and name what cannot be read.

The framing of gzip members and zstd frames is walked here rather than by a library, because each piece must say at which byte
of the stored file its member began (addresses, splits), and damage must end a member and not the file.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

from gristmill.pipeline.errors import UserError

Compression = Literal["none", "gzip", "zstd"]

READ_BYTES = 1 << 20
_FEED_BYTES = 1 << 16  # what is left of a feed at a member's end is copied, so feeds are small
_MOST_OUT_BYTES = 1 << 22
_SURE_BYTES = 32  # a member's first piece has at least these many bytes, so that it shows what it begins with
_GZIP_MAGIC = b"\x1f\x8b\x08"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_DICTIONARY_FRAME = b"\x5d\x2a\x4d\x18"
_DICTIONARY_MOST_BYTES = 64 << 20
_NOT_READ = (
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"PK\x03\x04", "zip"),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Uncompressed bytes."""

    data: bytes
    member: int
    """Stored byte at which the piece's gzip member or zstd frame begins; without compression, at which `data` begins."""
    starts: bool
    """The first bytes of their member."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Stored bytes that cannot be read; the stream goes on behind them where another member begins."""

    offset: int
    end: int
    member: int | None
    """The member whose data is in doubt; None for bytes between members."""
    what: str

    @property
    def bytes(self) -> int:
        """Stored bytes that were passed over."""
        return self.end - self.offset


def compression_of(start: bytes, path: str) -> Compression:
    """How a file is compressed, by its first bytes; names of files are not believed.

    Raises:
        UserError: the file is compressed in a way that is not read.
    """
    if start.startswith(_GZIP_MAGIC):
        return "gzip"
    if start.startswith(_ZSTD_MAGIC) or _ZSTD_SKIPPABLE.match(start):
        return "zstd"
    for magic, name in _NOT_READ:
        if start.startswith(magic):
            raise UserError(f"{path} is compressed with {name}; gzip, zstd and uncompressed files can be read, so recompress it")
    return "none"


def open_pieces(
    file: IO[bytes], path: str, start: int = 0, begins: Callable[[bytes], bool] | None = None
) -> tuple[Compression, Iterator[Piece | Damage]]:
    """Read a file from stored byte `start`, a member's beginning (any byte of an uncompressed file).

    Args:
        file: opened for reading bytes; seekable where `start` is not 0 or damage shall be passed.
        path: for messages.
        start: stored byte to begin at.
        begins: whether these first bytes are what a member of such a file begins with, asked after damage to find the next
            member; without it, the next one whose first 4 KB are sound is taken.

    Returns:
        The compression and the pieces. Damage inside a member comes after all bytes before it.

    Raises:
        UserError: a compression that is not read.
    """
    head = file.read(16)
    kind = compression_of(head, path)
    dictionary = _dictionary(file, head) if kind == "zstd" else None
    stored = _Stored(file, start)
    if kind == "none":
        return kind, _plain(stored)
    return kind, _Members(stored, begins, kind, dictionary).pieces()


def head_of(file: IO[bytes], path: str, most: int) -> bytes:
    """The first uncompressed bytes of a file, `most` or a few more where there are as many.

    Raises:
        UserError: a compression that is not read.
    """
    _, pieces = open_pieces(file, path)
    data = b""
    for piece in pieces:
        if isinstance(piece, Damage):
            break
        data += piece.data
        if len(data) >= most:
            break
    return data


class _Stored:
    """The stored bytes, with what has been read ahead and the place that has been reached."""

    def __init__(self, file: IO[bytes], start: int) -> None:
        self.file = file
        self.go(start)

    def go(self, offset: int) -> None:
        """Continue at stored byte `offset`."""
        self.file.seek(offset)
        self.offset = offset
        self.ahead = b""

    def take(self, most: int) -> bytes:
        """The next bytes, at most `most`; empty at the end only."""
        if not self.ahead:
            self.ahead = self.file.read(READ_BYTES)
        data, self.ahead = (self.ahead, b"") if len(self.ahead) <= most else (self.ahead[:most], self.ahead[most:])
        self.offset += len(data)
        return data

    def exactly(self, number: int) -> bytes:
        """The next `number` bytes; fewer at the end only."""
        data = self.take(number)
        while len(data) < number and (more := self.take(number - len(data))):
            data += more
        return data

    def back(self, data: bytes) -> None:
        """Give back the last bytes taken."""
        self.ahead = data + self.ahead
        self.offset -= len(data)


def _plain(stored: _Stored) -> Iterator[Piece]:
    while True:
        offset = stored.offset
        data = stored.take(READ_BYTES)
        if not data:
            return
        yield Piece(data, offset, False)


class _Broken(Exception):
    """The member cannot be read on; the message says why."""

    gave_data = False


class _Gzip:
    """One gzip member."""

    magic = re.compile(re.escape(_GZIP_MAGIC) + rb"[\x00-\x1f]")

    def __init__(self) -> None:
        self.inflater = zlib.decompressobj(31)

    def read(self, stored: _Stored) -> Iterator[bytes]:
        """Yield the member's bytes and leave `stored` behind it. Raises _Broken where they end too early."""
        while not self.inflater.eof:
            fed = stored.take(_FEED_BYTES)
            if not fed:
                raise _Broken("the file ends in the middle of a gzip member")
            while fed:
                before = self.inflater.copy()
                try:
                    data = self.inflater.decompress(fed, _MOST_OUT_BYTES)
                except zlib.error as error:
                    data, used = _inflate_until_broken(before, fed)
                    stored.back(fed[used:])
                    yield data
                    raise _Broken(f"damaged gzip data ({str(error).rpartition(': ')[2]})") from None
                yield data
                fed = self.inflater.unconsumed_tail
        stored.back(self.inflater.unused_data)


def _inflate_until_broken(inflater: Any, fed: bytes) -> tuple[bytes, int]:
    """What `fed` still gives, in steps of 256 bytes and in single ones where it breaks, and how many bytes were good."""
    out, used = [], 0
    for step in (256, 1):
        try:
            while used < len(fed):
                before = inflater.copy()
                out.append(inflater.decompress(fed[used : used + step]))
                used += step
        except zlib.error:
            inflater = before
    return b"".join(out), used


class _Zstd:
    """One zstd frame, read block by block: no block gives more than 128 KB, and a frame's end is known exactly (RFC 8878)."""

    magic = re.compile(re.escape(_ZSTD_MAGIC))

    def __init__(self, dictionary: Any) -> None:
        import zstandard

        self.error = zstandard.ZstdError
        self.inflater = zstandard.ZstdDecompressor(dict_data=dictionary).decompressobj()

    def read(self, stored: _Stored) -> Iterator[bytes]:
        """Yield the frame's bytes and leave `stored` behind it. Raises _Broken where they end too early."""
        try:
            descriptor = _need(stored, 5)
            flags = descriptor[4]
            single_segment, checksum = flags & 0x20, flags & 0x04
            header = (0 if single_segment else 1) + (0, 1, 2, 4)[flags & 3] + (1 if single_segment else 0, 2, 4, 8)[flags >> 6]
            yield self.inflater.decompress(descriptor + _need(stored, header))
            last = False
            while not last:
                block = _need(stored, 3)
                word = int.from_bytes(block, "little")
                last, kind, size = bool(word & 1), word >> 1 & 3, word >> 3
                if kind == 3 or size > 1 << 17:
                    raise _Broken("damaged zstd data (no valid block)")
                yield self.inflater.decompress(block + _need(stored, 1 if kind == 1 else size))
            if checksum:
                yield self.inflater.decompress(_need(stored, 4))
        except self.error as error:
            raise _Broken(f"damaged zstd data ({str(error).rpartition(': ')[2]})") from None


def _need(stored: _Stored, number: int) -> bytes:
    data = stored.exactly(number)
    if len(data) < number:
        raise _Broken("the file ends in the middle of a zstd frame")
    return data


def _dictionary(file: IO[bytes], head: bytes) -> Any:
    """The dictionary that the first frame of a .warc.zst holds, or None (IIPC, WARC file compression with Zstandard 1.0)."""
    if not head.startswith(_DICTIONARY_FRAME):
        return None
    import zstandard

    size = int.from_bytes(head[4:8], "little")
    file.seek(8)
    data = file.read(min(size, _DICTIONARY_MOST_BYTES))
    if data.startswith(_ZSTD_MAGIC):
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return zstandard.ZstdCompressionDict(data)


class _Members:
    """The members of a file one after the other, and a way on behind those that are broken."""

    def __init__(self, stored: _Stored, begins: Callable[[bytes], bool] | None, kind: Compression, dictionary: Any) -> None:
        self.stored, self.begins, self.kind, self.dictionary = stored, begins, kind, dictionary
        self.magic = _Gzip.magic if kind == "gzip" else _Zstd.magic

    def pieces(self) -> Iterator[Piece | Damage]:
        """All pieces, and the damage between them."""
        stored = self.stored
        while True:
            member = stored.offset
            head = stored.exactly(8)
            if not head:
                return
            if self.kind == "zstd" and _ZSTD_SKIPPABLE.match(head):
                stored.go(member + 8 + int.from_bytes(head[4:8], "little"))
                continue
            stored.back(head)
            if not self.magic.match(head):
                yield self._pass_over(member, member, None, f"bytes that begin no {self._name()}: {head!r}")
                continue
            try:
                yield from self._member(member)
            except _Broken as error:
                yield self._pass_over(member, stored.offset if error.gave_data else member, member, str(error))

    def _name(self) -> str:
        return "gzip member" if self.kind == "gzip" else "zstd frame"

    def _data(self) -> Iterator[bytes]:
        return (_Gzip() if self.kind == "gzip" else _Zstd(self.dictionary)).read(self.stored)

    def _member(self, member: int) -> Iterator[Piece]:
        """The pieces of one member; the first is long enough to show what it begins with."""
        first, broken, starts = b"", None, True
        try:
            for data in self._data():
                first += data
                if first and (not starts or len(first) >= _SURE_BYTES):
                    yield Piece(first, member, starts)
                    first, starts = b"", False
        except _Broken as error:
            broken = error
        if first:
            yield Piece(first, member, starts)
        if broken:
            broken.gave_data = bool(first) or not starts
            raise broken

    def _pass_over(self, member: int, reached: int, in_doubt: int | None, what: str) -> Damage:
        """Find the next member that can be read and begins as one should; the search starts right behind this one's first byte.

        A member with a hole in it runs into the bytes of the next one before it breaks, so that lies before `reached`.
        """
        stored = self.stored
        stored.go(member + 1)
        at, window = member + 1, b""
        while True:
            stored.go(at + len(window))
            data = stored.take(READ_BYTES)
            window += data
            for found in self.magic.finditer(window):
                if self._can_be_read(at + found.start()):
                    end = at + found.start()
                    stored.go(end)
                    return Damage(reached if reached < end else member, end, in_doubt, what)
            if not data:
                end = at + len(window)
                return Damage(min(reached, end), end, in_doubt, what)
            keep = min(3, len(window))
            at, window = at + len(window) - keep, window[len(window) - keep :]

    def _can_be_read(self, offset: int) -> bool:
        """Whether a member begins here that is worth reading."""
        self.stored.go(offset)
        data, sound = b"", True
        try:
            for piece in self._data():
                data += piece
                if len(data) >= 4096:
                    break
        except _Broken:
            sound = False
        return self.begins(data) if self.begins else sound
