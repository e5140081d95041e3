"""Cross-entropy that never holds the logits of a whole batch, and what is added to it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from gristmill.trainer.attention import softcap

IGNORED = -100
"""A target that does not count."""


class Losses(NamedTuple):
    """What a batch cost; a tuple, so that wrappers for several GPUs find the tensors in it.

    All but `per_token` are scalars.
    """

    total: Tensor
    """What is minimised: the weighted sum of the others."""
    cross_entropy: Tensor
    """Mean over the targets that count, in nats a token; without gradients."""
    z: Tensor
    """Mean squared log-sum-exp of the logits, unweighted; without gradients."""
    experts: Tensor | None
    """Balance and router z-loss of the layers with experts, weighted, mean over those layers."""
    ahead: Tensor | None
    """Mean cross-entropy of the tokens beyond the next one, unweighted."""
    tokens: Tensor
    """How many targets counted."""
    per_token: Tensor
    """Cross-entropy of each target, shape (batch, length), 0 where ignored; without gradients."""


def next_token_loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    denominator: Tensor | None = None,
    z_weight: float = 0.0,
    cap: float | None = None,
    chunk_tokens: int | None = 2048,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy of softcap(hidden @ weight.T), plus z-loss, a chunk of positions at a time.

    Args:
        hidden: shape (positions, width).
        weight: of the head, shape (vocabulary, width).
        targets: shape (positions,), int64; those that are IGNORED count nowhere.
        denominator: what the sum is divided by, for means over more than this batch; how many targets count when None.
        z_weight: of the squared log-sum-exp (1e-4 in PaLM, arXiv:2204.02311, sec. 5, from memory; 1e-5 in OLMo-core's recipes).
        cap: bound on the logits.
        chunk_tokens: positions whose logits live at once; all of them, by way of autograd, when None.

    Returns:
        The loss to minimise, a scalar; cross-entropy and log-sum-exp of each position, shape (positions,), float32, 0 where
        ignored, without gradients.
    """
    if denominator is None:
        denominator = (targets != IGNORED).sum().clamp(min=1)
    if chunk_tokens is None:
        return plain_next_token_loss(hidden, weight, targets, denominator, z_weight, cap)
    results: tuple[Tensor, Tensor, Tensor] = _Chunked.apply(  # type: ignore[no-untyped-call]
        hidden, weight, targets, denominator, z_weight, cap, chunk_tokens, torch.is_grad_enabled()
    )
    return results


def plain_next_token_loss(
    hidden: Tensor, weight: Tensor, targets: Tensor, denominator: Tensor, z_weight: float, cap: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """What `next_token_loss` computes, with all logits at once and gradients by autograd."""
    logits = functional.linear(hidden, weight)
    logits = softcap(logits.to(torch.promote_types(logits.dtype, torch.float32)), cap)
    counted = targets != IGNORED
    each = functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    sizes = torch.where(counted, logits.logsumexp(-1), 0.0)
    total = (each + z_weight * sizes.square()).sum() / denominator
    return total, each.detach(), sizes.detach()


class _Chunked(torch.autograd.Function):
    """The gradients are worked out in the forward pass, while a chunk's logits are there: no matrix product is done twice."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        denominator: Tensor,
        z_weight: float,
        cap: float | None,
        chunk_tokens: int,
        differentiate: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        wide = torch.promote_types(dtype, torch.float32)
        with torch.autocast(device, enabled=False):
            head = weight.to(dtype)
            each, sizes = (torch.zeros(len(targets), dtype=wide, device=hidden.device) for _ in range(2))
            hidden_grad = torch.empty_like(hidden) if differentiate and ctx.needs_input_grad[0] else None
            weight_grad = torch.zeros(weight.shape, dtype=wide, device=weight.device) if differentiate else None
            for start in range(0, len(targets), chunk_tokens):
                part = slice(start, start + chunk_tokens)
                rows, wanted = hidden[part].to(dtype), targets[part]
                counted = wanted != IGNORED
                index = wanted.clamp(min=0)[:, None]
                logits = softcap((rows @ head.T).to(wide), cap)
                target = logits.gather(1, index)[:, 0]
                if weight_grad is None:
                    size = logits.logsumexp(-1)
                else:
                    scale = counted.to(wide) / denominator
                    size, slope = _slope(logits, index, scale, z_weight, cap)
                    slope = slope.to(dtype)
                    if hidden_grad is not None:
                        hidden_grad[part] = (slope @ head).to(hidden.dtype)
                    if slope.dtype == weight_grad.dtype:
                        weight_grad.addmm_(slope.T, rows)
                    else:
                        weight_grad += slope.T @ rows
                each[part] = (size - target) * counted
                sizes[part] = size * counted
        ctx.save_for_backward(hidden_grad, None if weight_grad is None else weight_grad.to(weight.dtype))
        ctx.mark_non_differentiable(each, sizes)
        total = (each + z_weight * sizes.square()).sum() / denominator
        return total, each, sizes

    @staticmethod
    def backward(ctx: Any, *given: Any) -> tuple[Tensor | None, ...]:
        hidden_grad, weight_grad = ctx.saved_tensors
        grad = given[0]
        by_hidden = None if hidden_grad is None else hidden_grad * grad.to(hidden_grad.dtype)
        by_weight = None if weight_grad is None else weight_grad * grad.to(weight_grad.dtype)
        return by_hidden, by_weight, None, None, None, None, None, None


def _slope(logits: Tensor, index: Tensor, scale: Tensor, z_weight: float, cap: float | None) -> tuple[Tensor, Tensor]:
    """Log-sum-exp of each row, and the slope of scale * (cross-entropy + z_weight * size^2) by the uncapped logits.

    The slope is (softmax (1 + 2 z size) - one-hot) (1 - (logit / cap)^2) * scale. Without a cap it takes the place of the logits:
    exponentials are worked out once, for the sum and for the softmax, and few passes over the chunk are made.
    """
    top = logits.amax(-1, keepdim=True)
    slope = (logits.sub_(top) if cap is None else logits - top).exp_()
    sums = slope.sum(-1)
    size = top[:, 0] + sums.log()
    slope.mul_(((1 + 2 * z_weight * size) * scale / sums)[:, None])
    slope.scatter_add_(1, index, -scale[:, None].to(slope.dtype))
    return size, slope if cap is None else slope.mul_(1 - (logits / cap).square())


def with_ignored(targets: Tensor, *, prefix: Tensor | None = None, documents: Tensor | None = None) -> Tensor:
    """Targets of which some do not count any more.

    Args:
        targets: shape (batch, length); the target of position i is token i + 1.
        prefix: shape (batch,): tokens that are only read. The first target that counts is the token after them.
        documents: shape (batch, length): of the inputs, or (batch, length + 1): also of the last target. The first token of a
            document does not count, since nothing of its document stands before it; a last target of which the document is not
            known counts.
    """
    ignored = torch.zeros_like(targets, dtype=torch.bool)
    if prefix is not None:
        ignored |= torch.arange(targets.shape[1], device=targets.device)[None] < prefix[:, None] - 1
    if documents is not None:
        ignored[:, : documents.shape[1] - 1] |= documents[:, 1:] != documents[:, :-1]
    return targets.masked_fill(ignored, IGNORED)
