"""Many stretches of a source's tokens, read at once."""

from __future__ import annotations

import mmap
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill.trainer.plan import Stream


class SourceReader:
    """A stream; where it is shards in memory, or documents chosen from them, those are read without going through it."""

    def __init__(self, stream: Stream) -> None:
        """Read from this stream."""
        self.masked: bool = getattr(stream, "is_masked", False)
        self.stream = stream
        # of chosen documents: where they lie in the stream they were chosen from, and where each begins in what is chosen
        self.spans: NDArray[np.int64] | None = getattr(stream, "spans", None)
        self.span_starts: NDArray[np.int64] = getattr(stream, "starts", np.empty(0, dtype=np.int64))
        self.base: Stream = stream if self.spans is None else getattr(stream, "base", stream)
        self.shards: list[NDArray[Any]] = getattr(self.base, "pieces", [])
        self.ends: list[NDArray[Any]] = getattr(self.base, "ends", []) if self.shards else []
        self.begins = np.array([0, *accumulate(len(shard) for shard in self.shards)], dtype=np.int64)

    def read(self, flat: NDArray[np.int64], places: NDArray[np.int64], starts: NDArray[np.int64], lengths: NDArray[Any]) -> None:
        """Put the tokens from each start on, as many as its length, into `flat` from each place on."""
        which, at, starts, lengths = self._in_base(starts, lengths)
        shard_of = self.begins.searchsorted(starts, side="right") - 1
        within = starts - self.begins[shard_of]
        # what is in one shard is copied and made wider in one go
        for place, start, length, shard, first in zip(
            (places[which] + at).tolist(), starts.tolist(), lengths.tolist(), shard_of.tolist(), within.tolist(), strict=True
        ):
            if shard < len(self.shards):
                tokens = self.shards[shard][first : first + length]
                if len(tokens) == length:
                    flat[place : place + length] = tokens
                    continue
            flat[place : place + length] = self.base.read(start, start + length)

    def ends_within(self, starts: NDArray[np.int64], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where documents end inside stretches of so many tokens: which stretch, and how many tokens after its start."""
        which, at, starts, lengths = self._in_base(starts, np.full(len(starts), length))
        # what is chosen is whole documents: where one of them ends inside a stretch, the next begins
        stretches, places = [which[at > 0]], [at[at > 0]]
        for shard, ends in enumerate(self.ends):
            begin, end = int(self.begins[shard]), int(self.begins[shard + 1])
            here = np.flatnonzero((starts < end) & (starts + lengths > begin))
            if not len(here):
                continue
            # bounds of the array's own type: any other would have all of it copied
            after = ends.searchsorted(np.maximum(starts[here] - begin, 0).astype(ends.dtype), side="right")
            counts = ends.searchsorted((starts[here] + lengths[here] - begin).astype(ends.dtype), side="left") - after
            stretch = np.repeat(here, counts)
            index = np.arange(len(stretch)) - np.repeat(np.cumsum(counts) - counts - after, counts)
            stretches.append(which[stretch])
            places.append(ends[index].astype(np.int64) + begin - starts[stretch] + at[stretch])
        if not self.shards:
            for number, start, size in zip(range(len(starts)), starts.tolist(), lengths.tolist(), strict=True):
                inside = self.base.document_ends(start, start + size)
                stretches.append(np.full(len(inside), which[number]))
                places.append(inside - start + at[number])
        return np.concatenate(stretches), np.concatenate(places)

    def will_need(self, start: int, stop: int) -> None:
        """Have the pages of these tokens fetched; only where the shards are mapped files."""
        _, _, starts, lengths = self._in_base(np.array([start]), np.array([stop - start]))
        for first, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            shard = int(self.begins.searchsorted(first, side="right")) - 1
            while shard < len(self.shards) and (begin := int(self.begins[shard])) < first + length:
                tokens = self.shards[shard]
                mapped = getattr(tokens.base, "_mmap", None)
                if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
                    low = max(0, first - begin) * tokens.itemsize // mmap.PAGESIZE * mmap.PAGESIZE
                    high = min(len(tokens), first + length - begin) * tokens.itemsize
                    mapped.madvise(mmap.MADV_WILLNEED, low, high - low)
                shard += 1

    def _in_base(
        self, starts: NDArray[np.int64], lengths: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
        """Stretches of the stream as stretches of the one it was chosen from.

        Returns:
            Which of those given each is a part of, where in it, its start, and its length.
        """
        if self.spans is None:
            return np.arange(len(starts)), np.zeros(len(starts), dtype=np.int64), starts, lengths
        first = self.span_starts.searchsorted(starts, side="right") - 1
        counts = self.span_starts.searchsorted(starts + lengths, side="left") - first
        which = np.repeat(np.arange(len(starts)), counts)
        span = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts - first, counts)
        low = np.maximum(self.span_starts[span], starts[which])
        high = np.minimum(self.span_starts[span + 1], (starts + lengths)[which])
        return which, low - starts[which], self.spans[span, 0] + low - self.span_starts[span], high - low
