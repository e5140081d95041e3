"""Which window comes when: a formula of the seed, with nothing to build, store or ship."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

ROUNDS = 4
_WEIGHT_ONE = 1 << 32


def integer_weights(weights: Sequence[float]) -> NDArray[np.int64]:
    """Shares as whole numbers that sum to 2^32, by largest remainder (ties by index).

    Args:
        weights: one a source, 0 or more, relative to each other.

    Returns:
        Shape (n_sources,), int64.

    Raises:
        ValueError: a weight is negative or not finite, or all are 0.
    """
    given = np.asarray(weights, dtype=np.float64)
    if not len(given) or not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
        raise ValueError(f"weights are {list(weights)}; they must be 0 or more, finite, and not all 0")
    exact = given / given.max()  # so that the sum of the largest finite weights stays finite
    exact = exact / exact.sum() * _WEIGHT_ONE
    whole = np.floor(exact).astype(np.int64)
    missing = _WEIGHT_ONE - int(whole.sum())
    # a stable sort of the negated remainders puts ties in order of index; sources of weight 0 get nothing
    order = np.argsort(np.where(given > 0, -(exact - whole), np.inf), kind="stable")
    whole[order[:missing]] += 1
    result: NDArray[np.int64] = whole
    return result


def next_quotas(
    carry: NDArray[np.int64], weights: NDArray[np.int64], windows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many windows of the next batch come from each source.

    What a source is owed or has had too much of is carried to the next batch, so that shares are exact over any span to within
    about one window, whatever the weights and however often they change.

    Args:
        carry: in 2^-32 windows, shape (n_sources,), int64; zeros at the start.
        weights: of `integer_weights`.
        windows: of the whole batch.

    Returns:
        The quotas, which sum to `windows`, and the carry for the next batch; both of shape (n_sources,), int64.
    """
    owed = carry + windows * weights
    served = np.maximum(owed >> 32, 0)
    active = weights > 0
    served[~active] = 0
    while missing := windows - int(served.sum()):
        rest = owed - (served << 32)
        if missing > 0:
            candidates = np.flatnonzero(active)
            chosen = candidates[np.argsort(-rest[candidates], kind="stable")][:missing]
            served[chosen] += 1
        else:
            candidates = np.flatnonzero(served > 0)
            chosen = candidates[np.argsort(rest[candidates], kind="stable")][:-missing]
            served[chosen] -= 1
    return served, owed - (served << 32)


def permute(positions: NDArray[np.int64], size: int, *key: object) -> NDArray[np.int64]:
    """Where a keyed permutation of 0 ... size-1 sends these positions.

    A Feistel network over the next even number of bits; what lands outside is sent on until it lands inside (cycle walking), on
    average within 4 tries.

    Args:
        positions: any of 0 ... size-1, shape (n,).
        size: 1 or more.
        key: what the permutation depends on, apart from the size.

    Returns:
        Shape (n,), int64.
    """
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    round_keys = np.frombuffer(_digest(*key), dtype="<u8")
    limit = np.uint64(size)
    result = _feistel(positions.astype(np.uint64), half, mask, round_keys)
    while len(outside := np.flatnonzero(result >= limit)):
        result[outside] = _feistel(result[outside], half, mask, round_keys)
    return result.astype(np.int64)


def _feistel(values: NDArray[np.uint64], half: np.uint64, mask: np.uint64, round_keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    left, right = values >> half, values & mask
    for round_key in round_keys:
        left, right = right, left ^ (_mix(right + round_key) & mask)
    return (left << half) | right


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread each bit over all 64 (the finisher of SplitMix64: Steele, Lea & Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _digest(*key: object) -> bytes:
    """8 bytes a round. Parts are told apart by their length, so ("ab", "c") is not ("a", "bc")."""
    parts = [str(part).encode("utf-8", "surrogatepass") for part in key]
    return blake2b(b"".join(len(part).to_bytes(8, "little") + part for part in parts), digest_size=8 * ROUNDS).digest()
