"""The tokens of windows, read from the shards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gristmill.trainer.packing import Packed
from gristmill.trainer.plan import Plan, Stream
from gristmill.trainer.source_reader import SourceReader

PADDING = 0
"""The id that stands where no document does; its targets do not count."""


class WindowReader:
    """Reads any windows of a plan's sources, all of a micro-batch at once."""

    def __init__(self, streams: Sequence[Stream], plan: Plan) -> None:
        """Read from these streams, one a source of the plan."""
        self.plan = plan
        self._sources = [SourceReader(stream) for stream in streams]

    def rows(self, sources: NDArray[np.int32], windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of windows, shape (n, seq_len + 1), int64: inputs are [:, :-1], targets [:, 1:]."""
        length = self.plan.seq_len + 1
        rows = np.empty((len(windows), length), dtype=np.int64)
        for source in np.unique(sources).tolist():
            places = np.flatnonzero(sources == source)
            if self.plan.packed:
                self._read_packed(rows, places, self._sources[source], self.plan.packed[source], windows[places])
            else:
                flat = rows.reshape(-1)
                starts = windows[places] * self.plan.seq_len
                self._sources[source].read(flat, places * length, starts, np.full(len(places), length))
        return rows

    def documents(self, sources: NDArray[np.int32], windows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Which document of its window each token of `rows` belongs to, counted from 0; padding is the last one."""
        length = self.plan.seq_len + 1
        begins = np.zeros((len(windows), length), dtype=np.int32)
        for source in np.unique(sources).tolist():
            places = np.flatnonzero(sources == source)
            if self.plan.packed:
                window, at, pieces = _pieces(self.plan.packed[source], windows[places])
                stops = at + self.plan.packed[source].lengths[pieces]
                inside = stops < length
                begins[places[window[inside]], stops[inside]] = 1
            else:
                which, at = self._sources[source].ends_within(windows[places] * self.plan.seq_len, length)
                begins[places[which], at] = 1
        return np.cumsum(begins, axis=1, out=begins)

    def ignored(self, sources: NDArray[np.int32], windows: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Which targets do not count: padding, and first tokens of pieces that nothing of their document stands before.

        Returns:
            Shape (n, seq_len); None where all count.
        """
        if not self.plan.padded:
            return None
        found = np.zeros((len(windows), self.plan.seq_len + 1), dtype=bool)
        for source in np.unique(sources).tolist():
            places, packed = np.flatnonzero(sources == source), self.plan.packed[source]
            window, at, pieces = _pieces(packed, windows[places])
            going_on = packed.goes_on[pieces]
            found[places[window[going_on]], at[going_on]] = True
            for place, filled in _padded(packed, places, window, pieces):
                found[place, filled:] = True
        return found[:, 1:]

    def masked(self, sources: NDArray[np.int32], windows: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Which tokens of `rows` the shards say are read and not learned; None where none of these sources has any.

        Returns:
            Shape (n, seq_len + 1).
        """
        if not any(source.masked for source in self._sources):
            return None
        length = self.plan.seq_len + 1
        found = np.zeros((len(windows), length), dtype=bool)
        for number in np.unique(sources).tolist():
            places, source = np.flatnonzero(sources == number), self._sources[number]
            if not source.masked:
                continue
            if self.plan.packed:
                packed = self.plan.packed[number]
                window, at, pieces = _pieces(packed, windows[places])
                where, starts, lengths = places[window] * length + at, packed.starts[pieces], packed.lengths[pieces]
            else:
                where, starts = places * length, windows[places] * self.plan.seq_len
                lengths = np.full(len(places), length)
            for place, start, size in zip(where.tolist(), starts.tolist(), lengths.tolist(), strict=True):
                found.reshape(-1)[place : place + size] = ~source.stream.counted(start, start + size)
        return found

    def will_need(self, sources: NDArray[np.int32], windows: NDArray[np.int64]) -> None:
        """Tell the system that these windows are read soon, so that it fetches them all at once; returns without waiting."""
        for source, window in zip(sources.tolist(), windows.tolist(), strict=True):
            for start, stop in self.spans(source, window):
                self._sources[source].will_need(start, stop)

    def spans(self, source: int, window: int) -> list[tuple[int, int]]:
        """From token to token of the source's stream, what stands in a window; without the first of the next."""
        if self.plan.packed:
            return self.plan.packed[source].spans(window)
        return [(window * self.plan.seq_len, (window + 1) * self.plan.seq_len)]

    def _read_packed(
        self, rows: NDArray[np.int64], places: NDArray[np.int64], source: SourceReader, packed: Packed, windows: NDArray[np.int64]
    ) -> None:
        window, at, pieces = _pieces(packed, windows)
        source.read(rows.reshape(-1), places[window] * packed.capacity + at, packed.starts[pieces], packed.lengths[pieces])
        for place, filled in _padded(packed, places, window, pieces):
            rows[place, filled:] = PADDING


def _padded(
    packed: Packed, places: NDArray[np.int64], window: NDArray[np.int64], pieces: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """The windows that are not full, few with best fit: their places in the batch, and how many tokens they have."""
    filled = np.bincount(window, weights=packed.lengths[pieces], minlength=len(places)).astype(np.int64)
    short = np.flatnonzero(filled < packed.capacity)
    return list(zip(places[short].tolist(), filled[short].tolist(), strict=True))


def _pieces(packed: Packed, windows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of all pieces of some windows: which of the windows, where in it, and which piece of the source."""
    firsts = packed.firsts[windows]
    counts = packed.firsts[windows + 1] - firsts
    before = np.cumsum(counts) - counts
    window = np.repeat(np.arange(len(windows)), counts)
    pieces = np.arange(len(window)) - np.repeat(before - firsts, counts)
    lengths = packed.lengths[pieces].astype(np.int64)
    upto = np.cumsum(lengths) - lengths
    return window, upto - np.repeat(upto[before], counts), pieces
