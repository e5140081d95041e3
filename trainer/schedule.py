"""The learning rate over a run."""

from __future__ import annotations

import math


def cosine_rate(update: int, *, peak: float, warmup: int, steps: int, least: float) -> float:
    """Linear warm-up to the peak, then half a cosine down to a share of it, where it stays.

    Args:
        update: counted from 0.
        peak: the highest rate.
        warmup: updates until the peak; update `warmup - 1` has it.
        steps: updates at which the cosine ends.
        least: rate at the end, as a share of the peak.

    Source: Rae et al. 2021, arXiv:2112.11446 (peak / 10 at the end); Loshchilov & Hutter 2017, arXiv:1608.03983.
    """
    if update < warmup:
        return peak * (update + 1) / warmup
    passed = min(1.0, (update - warmup) / max(1, steps - warmup))
    lowest = peak * least
    return lowest + 0.5 * (peak - lowest) * (1 + math.cos(math.pi * passed))
