"""Documents packed into windows, so that none begins in one window and ends in the next without need.

A window holds pieces of documents, at most `capacity` tokens together: one more than it predicts. `best_fit` loses no token and
pads; `crop` pads nothing and loses what does not fit. Both depend on the lengths of the documents alone.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Packing = Literal["concat", "best_fit", "crop"]

BLOCK_DOCUMENTS = 1 << 20
"""Documents that are packed together; what is in use while packing follows it."""
CROP_BUFFER = 1000
"""Documents that `crop` chooses from (nanochat's default, from memory)."""
CROPPED_TOGETHER = 1 << 14
"""Windows that `crop` holds as Python's own numbers before they are laid into arrays."""
READ_TOKENS = 1 << 26
"""Tokens whose document ends are looked up at once."""


class Documents(Protocol):
    """A stream of tokens that knows where its documents end."""

    def __len__(self) -> int: ...

    def document_ends(self, start: int, stop: int) -> NDArray[np.int64]:
        """Where documents end between two tokens, neither of them included."""
        ...


@dataclass(frozen=True)
class Packed:
    """The windows of one source: which pieces stand in each, from left to right. 13 bytes a piece and 12 a window."""

    capacity: int
    """Tokens of a window; one more than it predicts."""
    firsts: NDArray[np.int64]
    """Shape (windows + 1,): the first piece of each window, and the number of pieces."""
    starts: NDArray[np.int64]
    """Shape (pieces,): the first token of each piece in the stream."""
    lengths: NDArray[np.int32]
    """Shape (pieces,): in tokens."""
    goes_on: NDArray[np.bool_]
    """Shape (pieces,): whether a piece begins inside its document, with the last token of the piece before it."""
    counted: NDArray[np.int32]
    """Shape (windows,): targets of each window; the first token of the window, of pieces that go on, and padding are none."""

    @property
    def windows(self) -> int:
        """Of one epoch."""
        return len(self.counted)

    @property
    def targets(self) -> int:
        """Of one epoch."""
        return int(self.counted.sum())

    @property
    def tokens(self) -> int:
        """Of the stream that stand in windows, each counted once."""
        return int(self.lengths.sum(dtype=np.int64)) - int(self.goes_on.sum())

    @property
    def padding(self) -> int:
        """Tokens of windows that no document fills."""
        return self.windows * self.capacity - int(self.lengths.sum(dtype=np.int64))

    @cached_property
    def hash(self) -> str:
        """A sha256 over which token stands where."""
        digest = sha256(f"{self.capacity} {self.windows} {len(self.starts)}".encode())
        for part, dtype in ((self.firsts, "<i8"), (self.starts, "<i8"), (self.lengths, "<i4"), (self.goes_on, "?")):
            digest.update(np.ascontiguousarray(part, dtype=dtype).data)
        return digest.hexdigest()

    def spans(self, window: int) -> list[tuple[int, int]]:
        """From token to token of the stream, each piece of a window."""
        pieces = slice(int(self.firsts[window]), int(self.firsts[window + 1]))
        starts = self.starts[pieces]
        return list(zip(starts.tolist(), (starts + self.lengths[pieces]).tolist(), strict=True))


def pack(documents: Documents, seq_len: int, packing: Literal["best_fit", "crop"]) -> Packed:
    """The windows of a source.

    Args:
        documents: the source's stream.
        seq_len: tokens predicted in a window.
        packing: how.

    Returns:
        The same for the same lengths of documents, in the order of the stream.
    """
    capacity = seq_len + 1
    blocks = document_blocks(documents)
    parts = _best_fit_blocks(blocks, capacity) if packing == "best_fit" else _cropped_blocks(blocks, capacity)
    columns = [list(column) for column in zip(_nothing(), *parts, strict=True)]
    # one column after the other, so that no more than one is there twice
    sizes, starts, lengths, goes_on, counted = (np.concatenate(columns.pop(0)) for _ in range(5))
    firsts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
    return Packed(capacity, firsts, starts, lengths, goes_on, counted)


def told(name: str, packing: str, packed: Packed, held: int) -> str:
    """What packing a source of so many tokens did, in a line."""
    cut = int(packed.goes_on.sum())
    places = packed.windows * packed.capacity
    return (
        f"{name}: {packing} puts {len(packed.starts) - cut:,} documents into {packed.windows:,} windows: "
        f"{packed.padding / max(1, places):.2%} of their places are padding, "
        f"{(held - packed.tokens) / max(1, held):.2%} of {held:,} tokens are lost, {cut:,} cuts inside documents"
    )


def document_blocks(documents: Documents) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Where documents start and how long they are, BLOCK_DOCUMENTS at a time; how the stream is read changes no block."""
    total = len(documents)
    waiting = np.zeros(1, dtype=np.int64)  # the end of the last document given, and ends not yet given
    for start in range(0, total, READ_TOKENS):
        # the ends between two tokens are without both of them: those from start + 1 on
        waiting = np.concatenate([waiting, documents.document_ends(start, min(start + READ_TOKENS, total) + 1)])
        while len(waiting) > BLOCK_DOCUMENTS:
            bounds, waiting = waiting[: BLOCK_DOCUMENTS + 1], waiting[BLOCK_DOCUMENTS:]
            yield bounds[:-1], np.diff(bounds)
    if len(waiting) > 1:
        yield waiting[:-1], np.diff(waiting)


def best_fit(lengths: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """The window of each piece by best-fit decreasing: longest first, each where it leaves the least room.

    Pieces of one length, and windows of one room, are moved together, so that the time follows the lengths that there are
    rather than the pieces.

    Args:
        lengths: of the pieces, shape (n,), 1 to `capacity`.
        capacity: of a window.

    Returns:
        Shape (n,), int64: windows are counted from 0.

    Source: Ding et al. 2024, "Fewer Truncations Improve Language Modeling", arXiv:2404.10830.
    """
    order = np.argsort(-lengths, kind="stable")
    sizes, firsts = np.unique(-lengths[order], return_index=True)
    window_of = np.empty(len(lengths), dtype=np.int64)
    waiting: dict[int, list[NDArray[np.int64]]] = {}
    has_room = np.zeros(capacity + 1, dtype=bool)
    opened = 0

    def put_back(room: int, windows: NDArray[np.int64]) -> None:
        if room and len(windows):
            waiting.setdefault(room, []).append(windows)
            has_room[room] = True

    for size, pieces in zip((-sizes).tolist(), np.split(order, firsts[1:]), strict=True):
        while len(pieces):
            room = size + int(has_room[size:].argmax())
            if has_room[room]:
                windows = np.concatenate(waiting.pop(room))
                has_room[room] = False
            else:
                room = capacity
                windows = np.arange(opened, opened - (-len(pieces) // (room // size)), dtype=np.int64)
                opened += len(windows)
            # a window that takes one piece has the least room of those left, so it takes all that it can before the next one
            each = room // size
            taken = min(len(windows), -(-len(pieces) // each))
            now, pieces = pieces[: taken * each], pieces[taken * each :]
            window_of[now] = np.repeat(windows[:taken], each)[: len(now)]
            full, rest = divmod(len(now), each)
            put_back(room - each * size, windows[:full])
            if rest:
                put_back(room - rest * size, windows[full : full + 1])
            put_back(room, windows[taken:])
    return window_of


def cut_long(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], capacity: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Cut documents that are longer than a window; the rest stay whole.

    A piece that goes on begins with the last token of the one before, so that each token but a document's first is predicted
    from what stands before it.

    Returns:
        Start, length and whether it goes on, of each piece.
    """
    step = capacity - 1
    counts = np.maximum(1, -(-(lengths - 1) // step))
    number = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    pieces = np.minimum(np.repeat(lengths, counts) - number * step, capacity)
    return np.repeat(starts, counts) + number * step, pieces, number > 0


_Part = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_], NDArray[np.int32]]
"""Of some windows: pieces of each; starts and lengths of the pieces, and whether they go on; targets of each window."""
_Blocks = Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]


def _part(sizes: NDArray[np.int64], starts: NDArray[np.int64], lengths: NDArray[np.int64], goes_on: NDArray[np.bool_]) -> _Part:
    # a piece that goes on has one target less than tokens, and so has what stands first in a window; one that is both, only one
    targets = lengths - goes_on
    firsts = np.cumsum(sizes) - sizes
    targets[firsts] = lengths[firsts] - 1
    return sizes.astype(np.int32), starts, lengths.astype(np.int32), goes_on, np.add.reduceat(targets, firsts).astype(np.int32)


def _nothing() -> _Part:
    narrow = np.empty(0, dtype=np.int32)
    return narrow, np.empty(0, dtype=np.int64), narrow, np.empty(0, dtype=bool), narrow


def _best_fit_blocks(blocks: _Blocks, capacity: int) -> Iterator[_Part]:
    for block in blocks:
        starts, lengths, goes_on = cut_long(*block, capacity)
        window_of = best_fit(lengths, capacity)
        # inside a window in the order of the stream, which a hash made: not the longest first
        order = np.lexsort((starts, window_of))
        yield _part(np.bincount(window_of), starts[order], lengths[order], goes_on[order])


def _cropped_blocks(blocks: _Blocks, capacity: int) -> Iterator[_Part]:
    """Whole windows; a last one that no document fills is left out.

    Of the next documents the longest that fits goes into the window; where none does, the shortest is cropped to what is left of
    it. Equally long ones go in the order of the stream.

    Source: the data loader of nanochat (from memory).
    """
    places = ((start, length) for block in blocks for start, length in zip(*(part.tolist() for part in block), strict=True))
    low_bits = (1 << 64) - 1
    # one number a document, so that the buffer is a sorted list: by length, and of equal ones the earlier above the later
    buffer: list[int] = []
    windows: list[list[tuple[int, int]]] = []
    window: list[tuple[int, int]] = []
    room = capacity
    while True:
        while len(buffer) < CROP_BUFFER and (place := next(places, None)) is not None:
            insort(buffer, place[1] << 64 | low_bits - place[0])
        if not buffer:
            break
        fitting = bisect_right(buffer, room << 64 | low_bits) or bisect_right(buffer, buffer[0] | low_bits)
        document = buffer.pop(fitting - 1)
        length = min(room, document >> 64)
        window.append((low_bits - (document & low_bits), length))
        room -= length
        if not room:
            windows.append(window)
            window, room = [], capacity
            if len(windows) == CROPPED_TOGETHER:
                yield _cropped(windows)
                windows = []
    if windows:
        yield _cropped(windows)


def _cropped(windows: list[list[tuple[int, int]]]) -> _Part:
    pieces: NDArray[np.int64] = np.array([piece for window in windows for piece in window], dtype=np.int64)
    sizes = np.array([len(window) for window in windows], dtype=np.int64)
    return _part(sizes, pieces[:, 0].copy(), pieces[:, 1], np.zeros(len(pieces), dtype=bool))
