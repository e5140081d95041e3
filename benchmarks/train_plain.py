"""GPT-2 as one writes it down in plain PyTorch, without anything of Gristmill: what `train.py --against` runs beside the trainer.

Modules, shapes and arithmetic are GPT-2's, one matrix for queries, keys and values, torch's fused attention, all logits at once,
AdamW with two groups, gradients clipped at 1; batches are random places of one file of tokens.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class PlainBlock(nn.Module):
    """Attention and feed-forward."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        queries, keys, values = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(self.first_norm(hidden)).split(width, dim=2)
        )
        seen = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        hidden = hidden + self.out(seen.transpose(1, 2).contiguous().view(batch, length, width))
        return hidden + self.down(functional.gelu(self.up(self.second_norm(hidden)), approximate="tanh"))


class PlainGPT2(nn.Module):
    """Token ids to the mean loss."""

    def __init__(self, vocabulary: int, layers: int, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(PlainBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        hidden = self.embedding(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            hidden = block(hidden)
        logits = self.head(self.norm(hidden))
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))

    @torch.no_grad()
    def take(self, theirs: dict[str, Tensor]) -> None:
        """The weights of a Gristmill model of GPT-2's architecture."""
        names = {"attention_norm": "first_norm", "feed_forward_norm": "second_norm", "attention.out": "out"}
        names |= {"feed_forward.up": "up", "feed_forward.out": "down"}
        mine = {
            "embedding.weight": theirs["embedding.weight"],
            "positions.weight": theirs["position_embedding.weight"],
            "head.weight": theirs["embedding.weight"],
            "norm.weight": theirs["norm.weight"],
            "norm.bias": theirs["norm.bias"],
        }
        for layer in range(len(self.blocks)):
            block = f"blocks.{layer}"
            for kind in ("weight", "bias"):
                parts = [theirs[f"{block}.attention.{part}.{kind}"] for part in ("queries", "keys", "values")]
                mine[f"{block}.qkv.{kind}"] = torch.cat(parts)
                mine |= {f"{block}.{ours}.{kind}": theirs[f"{block}.{name}.{kind}"] for name, ours in names.items()}
        self.load_state_dict(mine)


class PlainTraining:
    """The loop around it."""

    def __init__(self, model: PlainGPT2, tokens: np.ndarray, *, windows: int, length: int, micro: int) -> None:
        """Train on random windows of tokens, a mapped array."""
        self.model, self.tokens = model, tokens
        self.windows, self.length, self.micro = windows, length, micro
        matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
        rest = [parameter for parameter in model.parameters() if parameter.dim() < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        self.fused = next(model.parameters()).is_cuda
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), fused=self.fused)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets."""
        starts = torch.randint(len(self.tokens) - self.length - 1, (self.micro,)).tolist()
        rows = np.stack([self.tokens[start : start + self.length + 1].astype(np.int64) for start in starts])
        both = torch.from_numpy(rows).to(next(self.model.parameters()).device)
        return both[:, :-1], both[:, 1:]

    def step(self) -> float:
        """One update; milliseconds."""
        started = time.perf_counter()
        parts = self.windows // self.micro
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for _ in range(parts):
            ids, targets = self.batch()
            with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self.fused):
                loss = self.model(ids, targets) / parts
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        if self.fused:
            torch.cuda.synchronize()
        return 1000 * (time.perf_counter() - started)
