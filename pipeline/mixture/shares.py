"""From sizes and weights to tokens: the published ways, and the epoch caps that hold for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

R_STAR = 15.387756
"""Muennighoff et al. 2023, arXiv:2305.16264: decay of what repeated tokens are worth (R_D*, from their released code)."""


class TooMany(ValueError):
    """More tokens than the caps allow."""

    def __init__(self, largest: float) -> None:
        """`largest` is what they allow."""
        super().__init__(f"at most {math.floor(largest):,} tokens")
        self.largest = math.floor(largest)


def temperature(sizes: Sequence[float], exponent: float) -> list[float]:
    """Shares that go with size to a power.

    Source: Xue et al. 2021, arXiv:2010.11934, §3.1 (exponent 0.3).
    """
    largest = max(sizes)
    powers = [(size / largest) ** exponent if size else 0.0 for size in sizes]
    return [power / math.fsum(powers) for power in powers]


def unimax(sizes: Sequence[float], budget: float, epochs: float) -> list[float]:
    """Tokens per source: even, as far as nobody is read more than `epochs` times. What nobody can give stays unspent.

    Source: Chung et al. 2023, arXiv:2304.09151, algorithm 1.
    """
    given = [0.0] * len(sizes)
    for place, index in enumerate(order := sorted(range(len(sizes)), key=lambda index: sizes[index])):
        given[index] = min(budget / (len(order) - place), sizes[index] * epochs)
        budget -= given[index]
    return given


def water_fill(weights: Sequence[float], budget: float, caps: Sequence[float]) -> list[float]:
    """Tokens per source in proportion to weights; what a source cannot give is spread over the others in proportion.

    Raises:
        TooMany: all sources that have weight together cannot give so much.
    """
    most = math.fsum(cap for cap, weight in zip(caps, weights, strict=True) if weight > 0)
    if budget > most * (1 + 1e-12):
        raise TooMany(most)
    given = [0.0] * len(weights)
    free = {index for index, weight in enumerate(weights) if weight > 0}
    rest = float(budget)
    while free:
        whole = math.fsum(weights[index] for index in free)
        over = {index for index in free if weights[index] / whole * rest > caps[index]}
        if not over:
            for index in free:
                given[index] = weights[index] / whole * rest
            break
        for index in over:
            given[index] = caps[index]
        rest -= math.fsum(caps[index] for index in over)
        free -= over
    return given


def whole_tokens(amounts: Sequence[float], total: int) -> list[int]:
    """Whole numbers that sum to `total`, in proportion, by largest remainder (ties by index); 0 stays 0."""
    scale = math.fsum(amounts)
    exact = [amount / scale * total for amount in amounts]
    result = [math.floor(value) for value in exact]
    order = sorted((i for i in range(len(exact)) if amounts[i] > 0), key=lambda i: (result[i] - exact[i], i))
    missing = total - sum(result)
    for turn in range(abs(missing)):  # below the precision of floats the sum may also be over
        result[order[turn % len(order)]] += 1 if missing > 0 else -1
    return result


def worth_in_epochs(epochs: float) -> float:
    """How many epochs of new text so many epochs over the same text are worth.

    Source: Muennighoff et al. 2023, arXiv:2305.16264, eq. 5.
    """
    if epochs <= 1:
        return epochs
    return 1 + R_STAR * (1 - math.exp(-(epochs - 1) / R_STAR))
