"""The feed-forward of a block and its activations."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from gristmill.trainer.model_settings import ModelSettings


def _gelu_tanh(inner: Tensor) -> Tensor:
    return functional.gelu(inner, approximate="tanh")


def _relu_squared(inner: Tensor) -> Tensor:
    return functional.relu(inner).square()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": _gelu_tanh,
    "relu": functional.relu,
    "relu_squared": _relu_squared,
}


class FeedForward(nn.Module):
    """Two projections with an activation between them, or three where it is a gate (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, settings: ModelSettings) -> None:
        """Make the projections."""
        super().__init__()
        bias = settings.bias == "all"
        self.activation = ACTIVATIONS[settings.activation]
        self.gate = nn.Linear(settings.width, settings.inner_width, bias=bias) if settings.gated else None
        self.up = nn.Linear(settings.width, settings.inner_width, bias=bias)
        self.out = nn.Linear(settings.inner_width, settings.width, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Position by position; (batch, length, width) to the same."""
        inner = self.up(hidden)
        inner = self.activation(inner) if self.gate is None else self.activation(self.gate(hidden)) * inner
        out: Tensor = self.out(inner)
        return out
