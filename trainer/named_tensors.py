"""The tensors of a training by names that do not depend on how it is spread over processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict


def tied(model: nn.Module) -> dict[str, str]:
    """Second names of weights, a tied head's, each with the first."""
    first: dict[int, str] = {}
    named = [(name, first.setdefault(id(parameter), name)) for name, parameter in model.named_parameters(remove_duplicate=False)]
    return {name: known for name, known in named if name != known}


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights themselves, not copies, each once."""
    second = tied(model)
    return {name: value for name, value in cast(dict[str, Tensor], get_model_state_dict(model)).items() if name not in second}


def remembered(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """What the optimizers remember of each weight, `<weight>/<kind>`, themselves and not copies.

    An optimizer that has not stepped is made to remember zeros, if no weight has a gradient.
    """
    state = get_optimizer_state_dict(model, tuple(optimizers))["state"]
    held = cast(dict[str, dict[str, Any]], state)
    return {f"{name}/{kind}": value for name, kinds in held.items() for kind, value in kinds.items() if torch.is_tensor(value)}


def forget(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], names: Iterable[str]) -> None:
    """Let the optimizers remember nothing of some weights, as before their first gradient."""
    gone = set(names)
    parameters = {parameter for name, parameter in model.named_parameters() if name in gone}
    for one in optimizers:
        for parameter in parameters & one.state.keys():
            del one.state[parameter]
