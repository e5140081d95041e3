"""Optimizers: which parameters are moved how.

AdamW for everything; or Muon for the matrices of hidden layers and AdamW for the rest (embeddings, head, gains, biases, and the
matrices of experts, which lie in blocks of three dimensions); or Adafactor.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from gristmill.trainer.model import Decoder, is_hidden_matrix
from gristmill.trainer.muon import Muon
from gristmill.trainer.mup import parameter_groups
from gristmill.trainer.settings import OptimizerSettings


class Optimizer(Protocol):
    """What training needs of an optimizer. A group's rate is the schedule's times its `rate_factor`."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters with what holds for each."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""

    def step(self) -> Any:
        """Move the parameters."""

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, for a checkpoint."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what a checkpoint remembers."""


class Together:
    """Several optimizers, each with parameters of its own, as one."""

    def __init__(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """Move the parameters of all of them at each step."""
        self.optimizers = list(optimizers)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all optimizers."""
        return [group for one in self.optimizers for group in one.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for one in self.optimizers:
            one.zero_grad(set_to_none)

    def step(self) -> None:
        """Move the parameters."""
        for one in self.optimizers:
            one.step()

    def state_dict(self) -> dict[str, Any]:
        """The states by the number of the optimizer."""
        return {str(number): one.state_dict() for number, one in enumerate(self.optimizers)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        for number, one in enumerate(self.optimizers):
            one.load_state_dict(state_dict[str(number)])


def make_optimizer(model: Decoder, settings: OptimizerSettings, *, fused: bool) -> Optimizer:
    """The optimizer that the settings name; rates are set by the schedule before each step.

    Args:
        model: its parameters; gains and biases do not decay.
        settings: names and numbers.
        fused: use AdamW's fused kernels, six times as fast as the others also on a CPU; they take all parameters split over
            processes, or none, so that under tensor parallelism the others work.

    Raises:
        ValueError: Muon and muP, each of which sets the rates of hidden matrices, are both asked for.
    """
    fused = fused and len({isinstance(parameter, DTensor) for parameter in model.parameters()}) == 1
    if settings.name == "adafactor":
        return torch.optim.Adafactor(parameter_groups(model, settings.weight_decay), lr=settings.learning_rate)
    if settings.name == "adamw":
        return _adamw(parameter_groups(model, settings.weight_decay), settings, fused)
    if model.settings.mup is not None:
        raise ValueError("optimizer is muon and the model has mup: both set the rate of hidden matrices; leave one out")
    matrices, others = _split(model)
    rest = [
        {"params": [each for each in others if each.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [each for each in others if each.dim() < 2], "weight_decay": 0.0},
    ]
    muon = Muon(
        [{"params": matrices, "rate_factor": settings.muon.learning_rate / settings.learning_rate}],
        lr=settings.muon.learning_rate,
        weight_decay=settings.weight_decay,
        momentum=settings.muon.momentum,
        adjust_lr_fn=settings.muon.adjust,
    )
    return Together([muon, _adamw([group for group in rest if group["params"]], settings, fused)])


def _split(model: Decoder) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices of hidden layers, and all other parameters."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (matrices if parameter.dim() == 2 and is_hidden_matrix(name) else others).append(parameter)
    return matrices, others


def _adamw(groups: list[dict[str, Any]], settings: OptimizerSettings, fused: bool) -> torch.optim.AdamW:
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, eps=settings.epsilon, fused=fused)
