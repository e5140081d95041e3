"""Window editors: corpus editors whose units are all windows of a fixed number of neighbouring bytes, words or tokens.

There are as many windows as there is text, so the engine does not exchange them all (`gristmill.pipeline.window_cuts`): first the
hashes of the k-grams that windows select, and then only the windows whose k-gram was selected at least twice.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gristmill.stages.corpus_editor import Copies, CorpusEditor
from gristmill.stages.indexed import Indexed

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from gristmill.stages.documents import Batch

    Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Units:
    """The units of a batch's texts."""

    data: NDArray[np.uint8]
    """A number for each unit, `width` bytes each, the same for equal units and no others, and 16 bytes more."""
    width: int
    """1, 4 or 8."""
    offsets: NDArray[np.int64]
    """Shape (n_documents + 1,): the first unit of each document, and the end of the last."""
    base: NDArray[np.int64]
    """Shape (n_documents,): byte of the batch's texts at which each document begins."""
    starts: NDArray[np.int64] | None = None
    """Byte of the batch's texts at which each unit begins; None: units are bytes."""
    ends: NDArray[np.int64] | None = None
    """Byte at which each ends."""

    def bounds(self, first: Positions, last: Positions, rows: Positions) -> tuple[Positions, Positions]:
        """Bytes of the documents from unit `first` to unit `last`, in whole characters; int64 each.

        A character of several bytes or tokens that is not all in there stays out, so what is in may be empty or less.
        """
        if self.starts is None or self.ends is None:
            begin, end = first.copy(), last + 1
            for _ in range(3):
                begin += self.data[begin] & 0xC0 == 0x80  # the bytes after the last one are 0
                end -= self.data[end] & 0xC0 == 0x80
            return begin - self.offsets[rows], end - self.offsets[rows]
        return self.starts[first] - self.base[rows], self.ends[last] - self.base[rows]


class WindowEditor(CorpusEditor, Indexed):
    """Cuts windows that repeat. A window never spans two documents."""

    @property
    @abstractmethod
    def window(self) -> int:
        """Units of a window, at least 2."""

    @property
    def grams(self) -> tuple[int, int]:
        """Units of a k-gram, and k-grams of a window: k + w - 1 is its length.

        Of wide windows and short k-grams fewer are selected, but more k-grams repeat whose windows do not. On 61 MB of real text
        with windows of 50 bytes, k = 25 selects 7% of places and takes 23% of the windows for candidates, k = 38 14% and 15%,
        while 12% do repeat; a candidate costs about three times as much as a selected place.
        """
        from gristmill.stages.substring_kernels import MOST_GRAMS

        k = max(-(-3 * self.window // 4), self.window - MOST_GRAMS + 1)
        return k, self.window - k + 1

    @property
    @abstractmethod
    def first_stays(self) -> bool:
        """Whether the first of equal windows is not cut, in the order of (address, start)."""

    def copies(self) -> Copies:
        """The first one or none."""
        return Copies(int(self.first_stays))

    @abstractmethod
    def units(self, batch: Batch) -> Units:
        """The units of the batch's texts."""

    def index_probe(self, probe: Batch) -> Any:
        """The units of a text and the k-grams that its windows select."""
        from gristmill.stages.substring_kernels import winnow

        units = self.units(probe)
        hashes, _, _ = winnow(units.data, units.width, units.offsets, 4, 5)
        return [units.data.tobytes().hex(), hashes.tolist()]

    def emit(self, batch: Batch) -> pa.Table:
        """All windows, as other corpus editors emit their units; the engine takes the shorter way, with the same outcome."""
        import numpy as np
        import pyarrow as pa

        from gristmill.stages.substring_kernels import window_hashes

        units = self.units(batch)
        counts = np.maximum(0, np.diff(units.offsets) - self.window + 1)
        runs = np.ascontiguousarray(np.stack([units.offsets[:-1], counts], axis=1))
        low, high, places = window_hashes(units.data, units.width, runs, self.window)
        rows = np.repeat(np.arange(len(counts)), counts)
        starts, ends = units.bounds(places, places + self.window - 1, rows)
        return pa.table({"key": low, "check": high, "row": rows, "start": starts, "end": ends})
