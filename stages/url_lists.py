"""Lists of hosts and URLs, millions of entries long, as sorted 64-bit hashes: about 12 bytes an entry, whatever its length.

Two different names share a hash with a chance of about 2^-64 a pair: of a billion names looked up in a list of five million, one
is found wrongly with a chance of 1 in 3,700. Which list an entry is from is held beside its hash.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gristmill.stages.lists import MissingList
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

BLOCK_BYTES = 1 << 23
"""Bytes of a list that are read at a time."""


class Origin(NamedTuple):
    """Where an entry is from."""

    setting: str
    """The setting that gave it."""
    name: str = ""
    """File or category; empty where the entry itself stands in the settings."""


class ListFile(NamedTuple):
    """A list in a file, an entry a line."""

    origin: Origin
    path: str
    strict: bool = True
    """Whether lines that are no UTF-8 are an error; else what is wrong in them matches nothing."""


class Hashed:
    """A set of strings by their hashes, and the lists that hold each."""

    def __init__(self, parts: Sequence[tuple[Origin, Hashes]]) -> None:
        """Merge lists, each given by the hashes of its entries."""
        import numpy as np

        self.origins = tuple(origin for origin, _ in parts)
        unique = [_sorted_once(hashes) for _, hashes in parts]
        hashes = np.concatenate([np.zeros(0, np.uint64), *unique])
        if len(parts) > 1:
            order = np.argsort(hashes, kind="stable")
            kind = np.uint8 if len(parts) <= 256 else np.uint32
            numbers = np.repeat(np.arange(len(parts), dtype=kind), [len(part) for part in unique])
            self._numbers = numbers[order]
            hashes = hashes[order]
        else:
            self._numbers = np.zeros(0, dtype=np.uint8)
        self.hashes: Hashes = hashes
        bits = min(max(math.ceil(math.log2(len(hashes) + 1)) - 1, 1), 26)
        self.shift = np.uint64(64 - bits)
        self.starts = np.zeros((1 << bits) + 1, dtype=np.int32)
        np.cumsum(np.bincount((hashes >> self.shift).astype(np.int64), minlength=1 << bits), out=self.starts[1:])

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds in memory."""
        return int(self.hashes.nbytes + self.starts.nbytes + self._numbers.nbytes)

    def find(self, value: str) -> list[Origin]:
        """The lists that hold a string, in the order in which they were given."""
        import numpy as np

        hashed = hash_of(value)
        first = int(np.searchsorted(self.hashes, hashed))
        last = first
        while last < len(self.hashes) and self.hashes[last] == hashed:
            last += 1
        if len(self.origins) == 1:
            return [self.origins[0]] if last > first else []
        return [self.origins[number] for number in self._numbers[first:last]]


def _sorted_once(hashes: Hashes) -> Hashes:
    """Each value once, sorted; `numpy.unique` takes several times as long for millions."""
    import numpy as np

    values = np.sort(hashes)
    return values[np.append(True, values[1:] != values[:-1])] if len(values) else values


def hash_of(value: str) -> np.uint64:
    """Hash of a string as the kernels hash it."""
    import numpy as np

    from gristmill.stages.text_kernels import hash_bytes

    data = np.array(bytearray(value.encode("utf-8", "surrogatepass")), dtype=np.uint8)
    return np.uint64(hash_bytes(data, 0, len(data)))


def hash_values(values: Sequence[str], plainly: Callable[[str], str]) -> Hashes:
    """Hashes of entries that stand in the settings; those that `plainly` makes empty are left out."""
    import numpy as np

    found = (plainly(value) for value in values)
    return np.array([hash_of(value) for value in found if value], dtype=np.uint64)


def hash_file(file: ListFile, pages: bool, plainly: Callable[[str], str]) -> Hashes:
    """Hashes of the entries of a list file.

    Args:
        file: the list.
        pages: whether its entries are URLs, and not hosts.
        plainly: makes of an entry what is hashed, for lines that the kernel leaves to plain Python.

    Raises:
        MissingList: there is no such file.
        StageUnavailable: it cannot be read.
    """
    import numpy as np

    from gristmill.stages.url_kernels import hash_lines

    found = [np.zeros(0, dtype=np.uint64)]
    for block in blocks(file):
        data = np.frombuffer(bytearray(block), dtype=np.uint8)
        lines = block.count(b"\n") + block.count(b"\r") + 1
        hashes, odd = np.empty(lines, dtype=np.uint64), np.empty(2 * lines, dtype=np.int64)
        count, odds = hash_lines(data, pages, hashes, odd)
        found.append(hashes[:count].copy())
        spans = odd[: 2 * odds].reshape(-1, 2).tolist()
        found.append(hash_values([_decoded(block[begin:end], file) for begin, end in spans], plainly))
    return np.concatenate(found)


def entries(file: ListFile) -> Iterator[str]:
    """The entries of a short list file, as they stand there.

    Raises:
        MissingList: there is no such file.
        StageUnavailable: it cannot be read.
    """
    for block in blocks(file):
        for line in _decoded(block, file).splitlines():
            if (entry := line.strip()) and not entry.startswith("#"):
                yield entry


def blocks(file: ListFile) -> Iterator[bytes]:
    """The content of a list file, plain or gzip, some whole lines at a time.

    Raises:
        MissingList: there is no such file.
        StageUnavailable: it cannot be read.
    """
    try:
        with Path(file.path).open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b" or file.path.endswith(".gz")
            raw.seek(0)
            with gzip.open(raw) if packed else raw as stream:
                rest = b""
                while block := stream.read(BLOCK_BYTES):
                    whole, newline, rest_of_block = block.rpartition(b"\n")
                    if newline:
                        yield rest + whole
                        rest = rest_of_block
                    else:
                        rest += block
                if rest:
                    yield rest
    except FileNotFoundError as error:
        raise MissingList(
            f"url_filter.{file.origin.setting}: {file.path}: no such file; give a text file with an entry a line, or the entries "
            "themselves; lists that can be fetched by name: gristmill lists list"
        ) from error
    except (OSError, EOFError) as error:
        raise _unreadable(file, str(error)) from error


def _decoded(content: bytes, file: ListFile) -> str:
    try:
        return content.decode("utf-8", "strict" if file.strict else "replace")
    except UnicodeDecodeError as error:
        raise _unreadable(file, str(error)) from error


def _unreadable(file: ListFile, reason: str) -> StageUnavailable:
    where = f"url_filter.{file.origin.setting}: {file.path}"
    return StageUnavailable(f"{where}: {reason}; give a text file with an entry a line, or the entries themselves")
