"""What the model gets at once: inputs and targets of some windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gristmill.trainer.loader import Draw
from gristmill.trainer.objectives import Objective


@dataclass(frozen=True)
class MicroBatch:
    """Inputs and targets, shape (windows, length) each, int64."""

    ids: Tensor
    targets: Tensor
    prefix: Tensor | None
    """How many first tokens of each row see each other both ways, shape (windows,); None where none do."""
    counted: int
    """Targets that count."""

    def to(self, device: torch.device) -> MicroBatch:
        """On a device; from pinned memory while the device goes on working."""
        ids, targets = (tensor.to(device, non_blocking=True) for tensor in (self.ids, self.targets))
        prefix = None if self.prefix is None else self.prefix.to(device, non_blocking=True)
        return MicroBatch(ids, targets, prefix, self.counted)

    def pinned(self) -> MicroBatch:
        """In memory that a GPU reads by itself."""
        prefix = None if self.prefix is None else self.prefix.pin_memory()
        return MicroBatch(self.ids.pin_memory(), self.targets.pin_memory(), prefix, self.counted)


def make_micro_batches(
    parts: Sequence[NDArray[np.int64]], draw: Draw, objective: Objective, seed: int, *, rank: int = 0, ranks: int = 1
) -> list[MicroBatch]:
    """What `Loader.rows` read, as the objective makes it.

    Args:
        parts: of `Loader.rows`, each of shape (micro, seq_len + 1).
        draw: the global batch they are of.
        objective: makes examples of windows; its draws depend on the seed, the window and the step.
        seed: of the run.
        rank: as given to `Loader.rows`.
        ranks: as given to `Loader.rows`.
    """
    made = []
    for number, rows in enumerate(parts):
        if objective.settings.name == "causal":
            tensor = torch.from_numpy(rows)
            made.append(MicroBatch(tensor[:, :-1], tensor[:, 1:], None, rows.shape[0] * (rows.shape[1] - 1)))
            continue
        start = (number * ranks + rank) * len(rows)
        examples = [
            objective.example(row, (seed, int(draw.sources[start + n]), int(draw.windows[start + n]), draw.step))
            for n, row in enumerate(rows)
        ]
        ids, targets = np.stack([each.ids for each in examples]), np.stack([each.targets for each in examples])
        prefix = None
        if objective.settings.bidirectional_prefix and objective.settings.name != "fill_in_the_middle":
            prefix = torch.tensor([each.prefix for each in examples])
        made.append(MicroBatch(torch.from_numpy(ids), torch.from_numpy(targets), prefix, int((targets >= 0).sum())))
    return made
