"""A mixture of experts: each token goes to a few of many feed-forwards, and none is dropped."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gristmill.trainer.feed_forward import ACTIVATIONS, FeedForward
from gristmill.trainer.model_settings import ModelSettings


class Experts(nn.Module):
    """Experts of one layer, their router, and those that every token goes to.

    Tokens are sorted by expert and each expert computes its own run of them, so that no expert has a capacity. A token's
    copies are added in one order, not as they come: the same input gives the same bits again.
    """

    def __init__(self, settings: ModelSettings) -> None:
        """Make router and experts."""
        super().__init__()
        of = settings.experts
        if of is None:
            raise ValueError("the model has no experts")
        self.of, self.activation, self.gated = of, ACTIVATIONS[settings.activation], settings.gated
        self.router = nn.Linear(settings.width, of.count, bias=False)
        self.gate = nn.Parameter(torch.empty(of.count, of.width, settings.width)) if settings.gated else None
        self.up = nn.Parameter(torch.empty(of.count, of.width, settings.width))
        self.out = nn.Parameter(torch.empty(of.count, settings.width, of.width))
        shared = settings.model_copy(update={"feed_forward": of.shared * of.width, "experts": None})
        self.shared = FeedForward(shared) if of.shared else None

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted sum of each token's experts, shape as hidden; and the layer's losses, weighted, a scalar."""
        tokens = hidden.flatten(0, -2)
        scores = self.router(tokens).float()
        chances = scores.softmax(-1)
        weights, chosen = chances.topk(self.of.per_token, dim=-1)
        if self.of.normalise:
            weights = weights / weights.sum(-1, keepdim=True)
        out = self._routed(tokens, weights, chosen).view_as(hidden)
        if self.shared is not None:
            out = out + self.shared(hidden)
        return out, self._losses(scores, chances, chosen)

    def _routed(self, tokens: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """Sort (token, expert) pairs by expert, compute each expert's run, put them back and add them up."""
        count, each = chosen.shape
        order = chosen.flatten().argsort(stable=True)
        # expanded first: the gradient of the permutation then adds nothing, and the sum over a token's copies has an order
        pairs = tokens[:, None].expand(count, each, tokens.shape[1]).flatten(0, 1)[order]
        # by comparison, since counting by scattered additions has no order on a GPU
        ends = (chosen.flatten()[:, None] == torch.arange(self.of.count, device=chosen.device)).sum(0).cumsum(0)
        results = self._run(pairs, ends)
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order), device=order.device)
        return (results[places].view(count, each, -1) * weights[..., None].to(results.dtype)).sum(1)

    def _run(self, pairs: Tensor, ends: Tensor) -> Tensor:
        """Each expert on its own rows; rows are sorted by expert and expert e's end at ends[e]."""
        if pairs.is_cuda and torch.is_autocast_enabled("cuda"):
            return self.run_grouped(pairs.to(torch.get_autocast_dtype("cuda")), ends)
        return self.run_one_by_one(pairs, ends)

    def run_one_by_one(self, pairs: Tensor, ends: Tensor) -> Tensor:
        """An expert at a time; needs to know the counts, so a GPU must be waited for."""
        bounds = [0, *ends.tolist()]
        parts = []
        for expert in range(self.of.count):
            rows = pairs[bounds[expert] : bounds[expert + 1]]
            inner = functional.linear(rows, self.up[expert])
            if self.gate is None:
                inner = self.activation(inner)
            else:
                inner = self.activation(functional.linear(rows, self.gate[expert])) * inner
            parts.append(functional.linear(inner, self.out[expert]))
        return torch.cat(parts)

    def run_grouped(self, pairs: Tensor, ends: Tensor) -> Tensor:
        """All experts in one call of torch's grouped matrix product."""
        offsets = ends.to(torch.int32)

        def product(rows: Tensor, matrices: Tensor) -> Tensor:
            return functional.grouped_mm(rows, matrices.to(rows.dtype).transpose(-2, -1), offs=offsets)

        inner = product(pairs, self.up)
        inner = self.activation(inner) if self.gate is None else self.activation(product(pairs, self.gate)) * inner
        return product(inner, self.out)

    def _losses(self, scores: Tensor, chances: Tensor, chosen: Tensor) -> Tensor:
        return self.of.balance_loss * balance_loss(chances, chosen) + self.of.router_z_loss * scores.logsumexp(-1).square().mean()


def balance_loss(chances: Tensor, chosen: Tensor) -> Tensor:
    """Experts x sum over experts of (share of the choices that fell on it) x (its mean chance); 1 when all are used alike.

    Args:
        chances: softmax of the router's scores, shape (tokens, experts).
        chosen: experts of each token, shape (tokens, per token).

    Source: Fedus et al. 2021, arXiv:2101.03961, eq. 4-6; the share is of all choices, so that top-k is divided by k.
    """
    count = chances.shape[1]
    picked = (chosen.flatten()[:, None] == torch.arange(count, device=chosen.device)).float().mean(0)
    return count * (picked * chances.mean(0)).sum()
