"""Averages of weights: a running one beside the training, and the mean of checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gristmill.trainer import checkpoint


class RunningAverage:
    """An exponential moving average of a model's weights, in float32."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin with the weights as they are; each update keeps `decay` of the average."""
        self.decay = decay
        self.weights = {name: value.detach().float().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        for name, value in model.state_dict().items():
            self.weights[name].lerp_(value.detach().float(), 1 - self.decay)


def mean_weights(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several states of one model, summed in float64.

    Raises:
        ValueError: they hold different names or shapes.
    """
    first = states[0]
    for number, state in enumerate(states[1:], 2):
        if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in first.items()}:
            raise ValueError(f"checkpoint {number} is of another model than the first")
    return {
        name: (sum(state[name].double() for state in states) / len(states)).to(value.dtype)  # type: ignore[union-attr]
        for name, value in first.items()
    }


def average(files: Sequence[Path], output: Path, *, running: bool = False) -> dict[str, Any]:
    """Write a folder with one checkpoint whose weights are the mean of several, for `gristmill train export`.

    Source: checkpoint averaging over the end of a run, as in OLMo 2 ("soups").

    Args:
        files: checkpoints of one model, two or more.
        output: the folder to write.
        running: take the running averages that they hold, not the weights.

    Returns:
        `output`, `checkpoints`, `steps`.

    Raises:
        ValueError: fewer than two, one is damaged, they are of different models, or hold no running average.
    """
    if len(files) < 2:
        raise ValueError(f"{len(files)} checkpoints: an average needs two or more")
    if output.exists():
        raise ValueError(f"{output}: is there already; choose another folder")
    loaded = [checkpoint.load(file) for file in files]
    for file, one in zip(files, loaded, strict=True):
        if running and not one.get("average"):
            raise ValueError(f"{file}: holds no running average; train with average_decay, or leave the flag out")
    try:
        weights = mean_weights([one["average"] if running else one["model"] for one in loaded])
    except ValueError as error:
        raise ValueError(f"{', '.join(map(str, files))}: {error}") from error
    steps = [int(one["step"]) for one in loaded]
    state = {name: value for name, value in loaded[-1].items() if name not in ("format_version", "step")}
    checkpoint.save(output, max(steps), state | {"model": weights, "averaged": [str(file) for file in files]}, keep=1)
    return {"output": str(output), "checkpoints": len(files), "steps": steps}
