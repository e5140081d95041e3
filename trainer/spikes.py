"""Steps that are left out because their loss or gradient is far from what it was lately.

Source: OLMo-core's skip-step optimizers: more than 6 standard deviations above the mean of the last 128; that half of them must
be there first is from memory.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from gristmill.trainer.settings import SpikeSettings


class SpikeWatch:
    """Remembers losses and gradient norms, and tells which step stands out."""

    def __init__(self, settings: SpikeSettings) -> None:
        """Remember as many steps as the settings say."""
        self.settings = settings
        self.losses: deque[float] = deque(maxlen=settings.history)
        self.norms: deque[float] = deque(maxlen=settings.history)

    def stands_out(self, loss: float, norm: float) -> str | None:
        """What of a step is a spike, None where nothing is; the step is remembered either way."""
        found = None
        for name, value, held in (("loss", loss, self.losses), ("gradient norm", norm, self.norms)):
            if found is None and len(held) >= max(2, self.settings.history // 2):
                mean = math.fsum(held) / len(held)
                deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in held) / (len(held) - 1))
                if value > mean + self.settings.sigmas * deviation:
                    found = f"{name} {value:.4g}, {mean:.4g} ± {deviation:.2g} before"
        self.losses.append(loss)
        self.norms.append(norm)
        return found

    def state(self) -> dict[str, Any]:
        """What it remembers, for a checkpoint."""
        return {"losses": list(self.losses), "norms": list(self.norms)}

    def resume(self, state: dict[str, Any]) -> None:
        """Take over what a checkpoint remembers."""
        self.losses.clear()
        self.losses.extend(state.get("losses", []))
        self.norms.clear()
        self.norms.extend(state.get("norms", []))
