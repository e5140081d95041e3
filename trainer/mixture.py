"""Which share of the training tokens each source gives, and whether it has enough of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from gristmill.trainer.packing import Packing
from gristmill.trainer.plan import Plan, Sources, windows_of

OnShortage = Literal["error", "cap", "renormalise"]


class Shortage(ValueError):
    """A source has fewer tokens than the run would read; the message holds a table."""


def default_weights(
    shards: Sources, seq_len: int, given: Mapping[str, float] | None = None, packing: Packing = "concat"
) -> tuple[dict[str, float], list[str]]:
    """What the shards' recipe gave each source as its weight; without such, each source by its tokens.

    Returns:
        Shares of the sources that have at least one window, a whole one unless it is padded, and the names of those that have
        none.

    Raises:
        ValueError: no source has a window.
    """
    sizes = {name: len(stream) for name, stream in sorted(shards.streams.items())}
    weights = {
        name: given.get(name, 0.0) if given is not None else float(size)
        for name, size in sizes.items()
        if (size > 1 if packing == "best_fit" else windows_of(size, seq_len))
    }
    if not weights:
        held = ", ".join(f"{name} {size:,}" for name, size in sizes.items()) or "no source"
        raise ValueError(f"{shards.folder} holds too few tokens: {held}; a window reads {seq_len + 1:,}. Lower seq_len")
    return weights, [name for name in sizes if name not in weights]


def fit_to_available(
    plan: Plan, steps: int, *, max_epochs: float, on_shortage: OnShortage
) -> tuple[dict[str, float] | None, int, str]:
    """Check before training that no source is read more often than it may be.

    Args:
        plan: the data.
        steps: of the whole run.
        max_epochs: most passes over a source.
        on_shortage: "error"; "cap": fewer steps, with the mixture as it is; "renormalise": a short source gives what it has, the
            others take the rest in proportion.

    Returns:
        New weights or None when they stay, the steps, and a table that says what was changed ("" when nothing was).

    Raises:
        Shortage: a source is short and `on_shortage` is "error", or the remedy leaves nothing to train on.
    """
    total = plan.targets_before(steps)
    limits = dict(zip(plan.sources, (count * max_epochs for count in plan.targets), strict=True))
    shares = {name: weight / 2**32 for name, weight in zip(plan.sources, plan.weights, strict=True) if weight}
    short = [name for name, share in shares.items() if share * total > limits[name]]
    if not short:
        return None, steps, ""
    table = _table(plan, shares, total, max_epochs)
    if on_shortage == "cap":
        fewer = plan.steps_within(min(limits[name] / shares[name] for name in short))
        if fewer < 1:
            raise Shortage(
                f"{table}\nnot one step of {plan.windows_at(1):,} windows fits; raise max_epochs or make the batch smaller"
            )
        return None, fewer, f"{table}\ntraining {fewer:,} of {steps:,} steps"
    if on_shortage == "renormalise":
        weights = _share_out(shares, limits, total)
        if weights is None:
            raise Shortage(f"{table}\nall sources together are short; train fewer steps, raise max_epochs or set on_shortage=cap")
        changes = ", ".join(f"{name} {shares[name]:.4f} -> {weight:.4f}" for name, weight in weights.items())
        return weights, steps, f"{table}\nshares changed: {changes}"
    raise Shortage(f"{table}\ntrain fewer steps, raise max_epochs, or set on_shortage to cap or renormalise")


def _share_out(shares: Mapping[str, float], limits: Mapping[str, float], total: int) -> dict[str, float] | None:
    """Shares within the limits that keep the proportions of the sources that are not at theirs; None when all are too few."""
    fixed: dict[str, float] = {}
    free = dict(shares)
    while free:
        rest = 1 - sum(fixed.values())
        whole = sum(free.values())
        scaled = {name: share / whole * rest for name, share in free.items()}
        over = [name for name, share in scaled.items() if share * total > limits[name]]
        if not over:
            return {name: (fixed | scaled)[name] for name in shares}
        for name in over:
            fixed[name] = limits[name] / total
            del free[name]
    return None


def _table(plan: Plan, shares: Mapping[str, float], total: int, max_epochs: float) -> str:
    lines = [
        f"{'source':<24} {'share':>7} {'tokens needed':>16} {'tokens held':>16} {'epochs':>8}   at most {max_epochs:g} epochs"
    ]
    held = dict(zip(plan.sources, plan.targets, strict=True))
    for name, share in shares.items():
        needed = share * total
        mark = "   short" if needed > held[name] * max_epochs else ""
        lines.append(f"{name:<24} {share:>7.4f} {needed:>16,.0f} {held[name]:>16,} {needed / held[name]:>8.2f}{mark}")
    return "\n".join(lines)
