"""The index file that Megatron-LM, NeoX and NeMo read beside a token file (magic MMIDIDX, version 1).

| offset | size    | field                                                        |
| 0      | 9       | `MMIDIDX` and two zero bytes                                 |
| 9      | 8       | u64 version, 1                                               |
| 17     | 1       | u8 dtype code: 4 for int32, 8 for uint16                     |
| 18     | 8       | u64 number of sequences S; one sequence is one document here |
| 26     | 8       | u64 S + 1                                                    |
| 34     | 4 S     | i32 length of each sequence, in tokens                       |
| 34+4S  | 8 S     | i64 byte offset of each sequence in the token file           |
| 34+12S | 8 (S+1) | i64 0 to S: the sequence at which each document starts       |

All little-endian. There is no code for uint32: ids below 2^31 have the same bytes as int32.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DTYPE_CODES = {"uint16": 8, "uint32": 4}
MOST = 2**31 - 1
"""Most documents of a file and most tokens of a document: the format holds signed 32-bit numbers."""


def index_size(documents: int) -> int:
    """Bytes of an index file for this many documents."""
    return 34 + 20 * documents + 8


def index_parts(lengths: NDArray[np.int64], dtype: str) -> Iterator[bytes]:
    """The bytes of an index file, in the order in which they stand in it.

    Args:
        lengths: tokens of each document, shape (n_docs,).
        dtype: of the token file, "uint16" or "uint32".

    Raises:
        ValueError: more documents, or tokens in one document, than the format can say.
    """
    import numpy as np

    count = len(lengths)
    if count > MOST or (count and int(lengths.max()) > MOST):
        raise ValueError(
            f"{count:,} documents, the longest of {int(lengths.max()):,} tokens: an index file ends at {MOST:,} each"
        )
    yield b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, DTYPE_CODES[dtype], count, count + 1)
    yield lengths.astype("<i4").tobytes()
    pointers = np.zeros(count, dtype="<i8")
    np.cumsum(lengths[:-1], out=pointers[1:]) if count else None
    yield (pointers * np.dtype(dtype).itemsize).astype("<i8").tobytes()
    yield np.arange(count + 1, dtype="<i8").tobytes()
