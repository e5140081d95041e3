"""Which tokens count in the loss: a byte a token beside a shard's tokens, from spans of characters that do not.

`<nnnnn>.mask` holds 1 for a token that counts and 0 for one that does not, as datatrove's `.ds.loss` does. A shard in which all
tokens count has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from fsspec import AbstractFileSystem
    from numpy.typing import NDArray

TOKENS_AT_A_TIME = 1 << 22


def masked_tokens(text: str, spans: Sequence[tuple[int, int]], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which tokens do not count: those that hold a masked character other than white space, or nothing but masked ones.

    So the token " next" counts where a span ends with the blank before it, and each masked word is masked in all of its tokens.

    Args:
        text: of the document.
        spans: characters [start, end) that are masked.
        offsets: shape (n_tokens, 2): the characters [start, end) of each token, as the tokenizer tells them.

    Returns:
        Shape (n_tokens,).
    """
    import numpy as np

    masked = np.zeros(len(text), dtype=bool)
    for start, end in spans:
        masked[start:end] = True
    blank = np.fromiter(map(str.isspace, text), dtype=bool, count=len(text))
    starts, ends = offsets[:, 0], offsets[:, 1]
    inked, inside = (np.zeros(len(text) + 1, dtype=np.int32) for _ in range(2))
    np.cumsum(masked & ~blank, out=inked[1:])
    np.cumsum(masked, out=inside[1:])
    whole = (inside[ends] - inside[starts] == ends - starts) & (ends > starts)
    found: NDArray[np.bool_] = (inked[ends] > inked[starts]) | whole
    return found


def runs_of(masked: NDArray[np.bool_], first: int = 0) -> list[int]:
    """Where masked tokens begin and end, one run after the other: `first` is the number of the first token."""
    import numpy as np

    padded = np.concatenate([[False], masked, [False]])
    return [first + int(at) for at in np.flatnonzero(padded[1:] != padded[:-1])]


class MaskFile:
    """`.mask` of one shard, written as a stream; it comes into being with the first token that does not count."""

    def __init__(self, fs: AbstractFileSystem, path: str) -> None:
        """Say where it goes."""
        self._fs, self._path = fs, path
        self._stream: Any = None
        self._hash = sha256()
        self._before = 0
        self.masked = 0
        """Tokens that do not count."""

    def add(self, runs: pa.ChunkedArray | None, lengths: NDArray[np.int64]) -> None:
        """Put down the tokens of further documents.

        Args:
            runs: lists of `runs_of`, a document each; null where all of its tokens count.
            lengths: tokens of each document.

        Raises:
            ValueError: a run leaves its document, or runs are not in order.
        """
        import numpy as np

        total = int(lengths.sum())
        if runs is None or not any(len(chunk.flatten()) for chunk in runs.chunks):
            if self._stream is None:
                self._before += total
            else:
                self._ones(total)
            return
        if self._stream is None:
            self._stream = self._fs.open(self._path, "wb")
            self._ones(self._before)
        counted = np.ones(total, dtype=np.uint8)
        begin = 0
        for run, length in zip(runs.to_pylist(), lengths.tolist(), strict=True):
            bounds = run or []
            if len(bounds) % 2 or bounds != sorted(set(bounds)) or (bounds and not 0 <= bounds[0] < bounds[-1] <= length):
                raise ValueError(f"{self._path}: {bounds} are no runs of a document of {length:,} tokens")
            for start, end in zip(bounds[::2], bounds[1::2], strict=True):
                counted[begin + start : begin + end] = 0
            begin += length
        self.masked += total - int(counted.sum())
        self._write(counted.data)

    def _ones(self, count: int) -> None:
        for start in range(0, count, TOKENS_AT_A_TIME):
            self._write(b"\x01" * min(TOKENS_AT_A_TIME, count - start))

    def _write(self, data: Any) -> None:
        self._stream.write(data)
        self._hash.update(data)

    def close(self) -> str | None:
        """Finish; returns the file's sha256, None where all tokens count and there is no file."""
        if self._stream is None:
            return None
        self._stream.close()
        return self._hash.hexdigest()
