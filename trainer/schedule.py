"""The learning rate over a run: warm-up, then one of several shapes. The clock counts steps or tokens.

Sources: cosine to a tenth of the peak, Rae et al. 2021, arXiv:2112.11446; warm-up, stable, decay (WSD), Hu et al. 2024,
arXiv:2404.06395; its decay forms as in torchtitan (linear, square root, cosine) and MiniCPM (exponential; form from memory);
power, Shen et al. 2024, arXiv:2408.13359, in OLMo-core's form (t / warm-up)^-0.51.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gristmill.trainer.settings import ScheduleSettings


def rate_factor(schedule: ScheduleSettings, now: float, one: float, end: float) -> float:
    """Share of the peak learning rate at an update.

    Args:
        schedule: the shape.
        now: what the clock shows before the update: steps done, or tokens seen.
        one: how far this update moves the clock: 1, or the tokens of its batch.
        end: where the schedule ends; the rate stays as it is there.

    Returns:
        0 to 1; the last update of the warm-up has 1.
    """
    warmup = float(schedule.warmup_tokens if schedule.clock == "tokens" else schedule.warmup_steps)
    if now < warmup:
        return min(1.0, (now + one) / warmup)
    if schedule.name in ("cosine", "linear"):
        passed = min(1.0, (now - warmup) / max(one, end - warmup))
        return _between(schedule.least, _form(schedule.name, passed))
    begins = max(warmup, end * (1 - schedule.decay_fraction))
    passed = min(1.0, max(0.0, (now - begins) / max(one, end - begins)))
    before = min(now, begins)
    top = math.pow(max(before, one) / max(warmup, one), -schedule.exponent) if schedule.name == "power" else 1.0
    if schedule.decay == "exponential":
        return max(schedule.least, min(1.0, top) * math.pow(0.5, schedule.half_lives * passed))
    form = _form(schedule.decay, passed)
    return min(1.0, top) * form + schedule.least * (1 - form)


def _between(least: float, form: float) -> float:
    return least + (1 - least) * form


def _form(name: str, passed: float) -> float:
    """From 1 at the beginning of the decay to 0 at its end."""
    if name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * passed))
    return 1 - (math.sqrt(passed) if name == "sqrt" else passed)
