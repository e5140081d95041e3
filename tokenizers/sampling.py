"""The sample of anything is the lowest keyed hashes of ids: it depends on no order, no worker count and no partition size."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def keyed_hashes(ids: Iterable[str], seed: int) -> NDArray[np.uint64]:
    """One number an id, spread evenly over 64 bits; another seed gives an independent draw.

    Args:
        ids: stable ids of documents.
        seed: 0 to 2^64 - 1.

    Returns:
        Shape (n_ids,), uint64.

    Raises:
        ValueError: the seed is outside its range.

    Source: BLAKE2b with an 8-byte digest, keyed by the seed (RFC 7693).
    """
    import numpy as np

    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed is {seed}; it must be from 0 to 2^64 - 1")
    key = seed.to_bytes(8, "little")
    digests = b"".join(blake2b(i.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest() for i in ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def in_sample(ids: Iterable[str], seed: int, fraction: float) -> NDArray[np.bool_]:
    """Whether each id belongs to a sample of about this share of all ids.

    A sample of a smaller share lies inside every sample of a larger one with the same seed.

    Args:
        ids: stable ids of documents.
        seed: 0 to 2^64 - 1.
        fraction: 0 takes nothing, 1 takes all.

    Returns:
        Shape (n_ids,), bool.

    Raises:
        ValueError: the fraction is not within 0 and 1.
    """
    import numpy as np

    if not (isfinite(fraction) and 0 <= fraction <= 1):
        raise ValueError(f"fraction is {fraction}; it must be from 0 to 1")
    hashes = keyed_hashes(ids, seed)
    if fraction == 1:
        return np.ones(len(hashes), dtype=np.bool_)
    return hashes < np.uint64(int(fraction * 2.0**64))
