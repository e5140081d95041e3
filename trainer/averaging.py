"""Averages of weights: a running one beside the training, and the mean of checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gristmill.trainer import checkpoint
from gristmill.trainer.checkpoint import State
from gristmill.trainer.checkpoint_saver import Saver
from gristmill.trainer.config import ConfigError
from gristmill.trainer.named_tensors import tied
from gristmill.trainer.settings import CheckpointSettings


class RunningAverage:
    """An exponential moving average of a model's weights, in float32."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin with the weights as they are; each update keeps `decay` of the average."""
        self.decay = decay
        self._second = tied(model)
        self.weights = {name: value.float().clone() for name, value in self._of(model)}

    def _of(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Its weights, each once."""
        return ((name, value.detach()) for name, value in model.state_dict().items() if name not in self._second)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        for name, value in self._of(model):
            self.weights[name].lerp_(value.float(), 1 - self.decay)


def mean_weights(states: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several states of one model, summed in float64; one of them need be in memory at a time.

    Raises:
        ValueError: they hold different names or shapes.
    """
    sums: dict[str, Tensor] = {}
    kinds: dict[str, torch.dtype] = {}
    number = 0
    for number, state in enumerate(states, 1):
        if number == 1:
            kinds = {name: value.dtype for name, value in state.items()}
            sums = {name: value.double() for name, value in state.items()}
            continue
        if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in sums.items()}:
            raise ValueError(f"checkpoint {number} is of another model than the first")
        for name, value in state.items():
            sums[name] += value
    return {name: (total / number).to(kinds[name]) for name, total in sums.items()}


def average(folders: Sequence[Path], output: Path, *, running: bool = False) -> dict[str, Any]:
    """Write a folder with one checkpoint whose weights are the mean of several, for `gristmill train export`.

    Source: checkpoint averaging over the end of a run, as in OLMo 2 ("soups").

    Args:
        folders: checkpoints of one model, two or more.
        output: the folder to write; its checkpoint holds weights alone.
        running: take the running averages that they hold, not the weights.

    Returns:
        `output`, `checkpoints`, `steps`.

    Raises:
        ValueError: fewer than two, one is damaged, they are of different models, or hold no running average.
    """
    if len(folders) < 2:
        raise ValueError(f"{len(folders)} checkpoints: an average needs two or more")
    if output.exists():
        raise ValueError(f"{output}: is there already; choose another folder")
    plain = [checkpoint.read_plain(folder) for folder in folders]
    part = "average" if running else "model"
    for folder in folders:
        if running and not any(name.startswith("average/") for name in checkpoint.tensor_shapes(folder)):
            raise ValueError(f"{folder}: holds no running average; train with average_decay, or leave the flag out")
    try:
        weights = mean_weights(checkpoint.load(folder, [part])[part] for folder in folders)
    except ConfigError:
        raise
    except ValueError as error:
        raise ValueError(f"{', '.join(map(str, folders))}: {error}") from error
    steps = [int(one["step"]) for one in plain]
    second = plain[-1].get("tied", {})
    told = {"settings": plain[-1]["settings"], "tied": second, "averaged": [str(folder) for folder in folders]}
    state = State(max(steps), {f"model/{name}": value for name, value in weights.items() if name not in second}, told)
    with Saver(output, CheckpointSettings(keep=1)) as saver:
        saver.save(state)
    return {"output": str(output), "checkpoints": len(folders), "steps": steps}
