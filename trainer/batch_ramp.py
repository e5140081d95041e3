"""Batches that change their size as training goes on: how many windows, by the step and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def ramp_steps(ramp: Iterable[tuple[int, int]], seq_len: int) -> tuple[tuple[int, int], ...]:
    """Tokens read in batches of so many windows as steps with so many; the last batch of each may reach beyond its tokens."""
    return tuple((-(-tokens // (windows * seq_len)), windows) for tokens, windows in ramp)


def windows_at(ramp: Sequence[tuple[int, int]], windows: int, step: int) -> int:
    """Windows of a batch.

    Args:
        ramp: how many steps with how many windows, from the first on.
        windows: of all batches after them.
        step: counted from 1.
    """
    for steps, each in ramp:
        if step <= steps:
            return each
        step -= steps
    return windows


def windows_before(ramp: Sequence[tuple[int, int]], windows: int, steps: int) -> int:
    """Windows of the first so many steps; the other arguments are those of `windows_at`."""
    total = 0
    for count, each in ramp:
        total += min(steps, count) * each
        steps = max(0, steps - count)
    return total + steps * windows


def steps_within(ramp: Sequence[tuple[int, int]], windows: int, limit: float) -> int:
    """The most steps that read no more than `limit` windows; the other arguments are those of `windows_at`."""
    done = 0
    for count, each in ramp:
        if limit < count * each:
            return done + int(limit // each)
        limit -= count * each
        done += count
    return done + int(limit // windows)
