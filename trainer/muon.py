"""Muon on matrices that may lie in parts on several processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# the two steps of torch's Muon that see a whole matrix; so matrices that are whole move as they do there, to the last bit
from torch.optim._muon import _adjust_lr, _zeropower_via_newtonschulz


class Muon(torch.optim.Muon):
    """torch's Muon, which gathers the update of each matrix before it is made orthogonal, and keeps its own part of the result.

    The momentum stays in parts. Every process orthogonalises every matrix: in bfloat16 the outcome depends on how sums are split,
    and torch's own operations on parts would split them otherwise for each number of processes, and send more.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move the matrices."""
        if closure is not None:
            raise ValueError("a closure is not called; compute the loss before the step")
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._move(matrix, group)

    def _move(self, matrix: Tensor, group: dict[str, Any]) -> None:
        grad, rate, momentum = matrix.grad, group["lr"], group["momentum"]
        if grad is None:
            return
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(grad)
        buffer = state["momentum_buffer"]
        buffer.lerp_(grad, 1 - momentum)
        update = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
        update = _zeropower_via_newtonschulz(whole(update), group["ns_coefficients"], group["ns_steps"], group["eps"])
        matrix.mul_(1 - rate * group["weight_decay"])
        matrix.add_(part_like(matrix, update), alpha=-_adjust_lr(rate, group["adjust_lr_fn"], matrix.shape))


def whole(tensor: Tensor) -> Tensor:
    """All parts of a tensor; itself where it is whole."""
    from torch.distributed.tensor import DTensor, Replicate

    if not isinstance(tensor, DTensor):
        return tensor
    placements = list(tensor.placements)
    # one dimension of the mesh after another: together, torch warns that it does the same
    for dimension in range(len(placements)):
        placements[dimension] = Replicate()
        tensor = tensor.redistribute(placements=placements)
    return tensor.to_local()


def part_like(like: Tensor, tensor: Tensor) -> Tensor:
    """This process's part of a tensor that all have whole, cut as another is; nothing is sent."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.contiguous(), like.device_mesh, like.placements, src_data_rank=None)
