"""Between the tensors of a training and those of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from gristmill.trainer import checkpoint, named_tensors
from gristmill.trainer.config import ConfigError
from gristmill.trainer.optim import Optimizer, Together


def _several(optimizer: Optimizer) -> list[torch.optim.Optimizer]:
    if isinstance(optimizer, Together):
        return optimizer.optimizers
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is no optimizer of torch's")
    return [optimizer]


def tensors(model: nn.Module, optimizer: Optimizer, average: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights and what is held of them, by the names in a checkpoint; themselves, not copies."""
    parts = {
        "model": named_tensors.weights(model),
        "optimizer": named_tensors.remembered(model, _several(optimizer)),
        "average": average,
    }
    return {f"{part}/{name}": tensor for part, held in parts.items() for name, tensor in held.items()}


def rng(rank: int, device: torch.device) -> dict[str, Tensor]:
    """States of this process's random numbers."""
    states = {f"rng/{rank}": torch.get_rng_state()}
    return states | ({f"cuda_rng/{rank}": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def has(folder: Path, part: str) -> bool:
    """Whether a checkpoint holds tensors of a kind."""
    return any(name.startswith(f"{part}/") for name in checkpoint.tensor_shapes(folder))


def take(
    folder: Path,
    mine: Mapping[str, Tensor],
    model: nn.Module,
    optimizer: Optimizer,
    *,
    weights_only: bool,
    say: Callable[[str], None],
) -> None:
    """Fill a training's tensors, random numbers aside, with a checkpoint's.

    What the optimizer of the checkpoint did not remember of a weight, which had no gradient yet, this one forgets.

    Raises:
        ConfigError: the checkpoint is damaged, or holds other weights, or no optimizer.
    """
    held = checkpoint.tensor_shapes(folder)
    parts = ("model",) if weights_only else ("model", "optimizer", "average")
    wanted = {name: tensor for name, tensor in mine.items() if name.split("/", 1)[0] in parts}
    for name, tensor in wanted.items():
        if name in held and tensor.shape != held[name]:
            raise ConfigError(f"{folder}: {name} has shape {tuple(held[name])}, here it is {tuple(tensor.shape)}")
    lacking = [name for name in wanted if name.startswith("model/") and name not in held]
    spare = [name for name in held if name.startswith("model/") and name not in wanted]
    if lacking or spare:
        raise ConfigError(f"{folder}: is of another model: {'no' if lacking else 'has'} {(lacking or spare)[0]}")
    if not weights_only and not has(folder, "optimizer") and any(name.startswith("optimizer/") for name in mine):
        say(f"{folder} holds nothing of an optimizer, which begins anew")
    # also where only weights are taken: to be asked for its tensors, an optimizer has made a step of nothing, and counted it
    absent = {
        name.removeprefix("optimizer/").rpartition("/")[0]
        for name in mine
        if name.startswith("optimizer/") and (weights_only or name not in held)
    }
    checkpoint.read_into(folder, {name: tensor for name, tensor in wanted.items() if name in held})
    named_tensors.forget(model, _several(optimizer), absent)


def set_rng(folder: Path, rank: int, processes: int, now: int, device: torch.device, say: Callable[[str], None]) -> None:
    """Go on with the random numbers of this rank where a checkpoint has them.

    Args:
        folder: the checkpoint.
        rank: of this process.
        processes: that wrote the checkpoint.
        now: processes of this run.
        device: where the model is.
        say: takes what the user should know.
    """
    if processes != now:
        say(f"{folder} was written by {processes} processes, this run has {now}: their random numbers begin anew")
        return
    held = checkpoint.tensor_shapes(folder)
    states = {
        name: torch.empty(size, dtype=torch.uint8) for name, size in held.items() if name in (f"rng/{rank}", f"cuda_rng/{rank}")
    }
    checkpoint.read_into(folder, states)
    if f"rng/{rank}" in states:
        torch.set_rng_state(states[f"rng/{rank}"])
    if device.type == "cuda" and f"cuda_rng/{rank}" in states:
        torch.cuda.set_rng_state(states[f"cuda_rng/{rank}"], device)
