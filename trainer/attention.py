"""Self-attention: what may see what, and the kernels that compute it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gristmill.trainer.model_settings import ModelSettings
from gristmill.trainer.positions import rotate

Kernel = Literal["auto", "plain", "sdpa", "flex"]
FLEX_BLOCK = 128


@dataclass(frozen=True)
class Sight:
    """What each position of a batch sees, for the layers of one window; made once a batch and used by all of them."""

    length: int
    window: int | None = None
    """A key is seen up to window - 1 tokens back."""
    documents: Tensor | None = None
    """Shape (batch, length): a key is seen by positions of its own document only."""
    prefix: Tensor | None = None
    """Shape (batch,): the first so many positions of a row all see each other."""
    slopes: Tensor | None = None
    """Shape (heads,), of `alibi_slopes`."""
    mask: Tensor | None = None
    """Shape (batch or 1, heads or 1, length, length): a bool mask, or with slopes a float bias; None when plainly causal."""
    blocks: Any = None
    """A `BlockMask` for flex attention."""


def look(
    length: int,
    device: torch.device,
    *,
    window: int | None = None,
    documents: Tensor | None = None,
    prefix: Tensor | None = None,
    slopes: Tensor | None = None,
    flex: bool = False,
    dense: bool = True,
) -> Sight:
    """Work out what each position sees; see `Sight`. `flex` makes a block mask, `dense` a mask of length x length."""
    if window is not None and window >= length:
        window = None
    blocks = None
    if flex:
        blocks = _block_mask(length, device, window, documents, prefix)
        return Sight(length, window, documents, prefix, slopes, None, blocks)
    causal_only = window is None and documents is None and prefix is None and slopes is None
    mask = None
    if dense and not causal_only:
        places = torch.arange(length, device=device)
        distance = places[:, None] - places[None, :]
        mask = _visible(distance >= 0, distance, window, documents, prefix, places)
        if slopes is not None:
            mask = (-slopes[:, None, None] * distance.abs()).masked_fill(~mask, float("-inf"))
    return Sight(length, window, documents, prefix, slopes, mask)


def _visible(
    seen: Tensor, distance: Tensor, window: int | None, documents: Tensor | None, prefix: Tensor | None, places: Tensor
) -> Tensor:
    if window is not None:
        seen = seen & (distance < window)
    seen = seen[None, None]
    if prefix is not None:
        inside = places[None, :] < prefix[:, None]
        seen = seen | (inside[:, None, :, None] & inside[:, None, None, :])
    if documents is not None:
        seen = seen & (documents[:, None, :, None] == documents[:, None, None, :])
    return seen


def _block_mask(length: int, device: torch.device, window: int | None, documents: Tensor | None, prefix: Tensor | None) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(batch: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = query >= key
        if window is not None:
            seen = seen & (query - key < window)
        if prefix is not None:
            seen = seen | ((query < prefix[batch]) & (key < prefix[batch]))
        if documents is not None:
            seen = seen & (documents[batch, query] == documents[batch, key])
        return seen

    rows = next((len(given) for given in (documents, prefix) if given is not None), None)
    return create_block_mask(sees, rows, None, length, length, device=device, BLOCK_SIZE=FLEX_BLOCK)


@cache
def _flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    # uncompiled, it holds all scores at once
    return torch.compile(flex_attention) if torch.cuda.is_available() else flex_attention


def softcap(scores: Tensor, cap: float | None) -> Tensor:
    """Scores bounded smoothly to +-cap (Gemma 2, arXiv:2408.00118, sec. 2); unchanged when None."""
    return scores if cap is None else cap * torch.tanh(scores / cap)


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    sight: Sight,
    *,
    scale: float,
    cap: float | None = None,
    kernel: Kernel = "auto",
) -> Tensor:
    """Softmax of the scaled scores over what is seen, times the values.

    Args:
        queries: shape (batch, heads, length, head_width).
        keys: shape (batch, kv heads, length, head_width); each serves heads / kv heads consecutive heads.
        values: as keys.
        sight: of `look`.
        scale: factor on the scores.
        cap: bound on the scaled scores.
        kernel: `plain` holds all scores; `sdpa` is torch's fused kernel, which knows no softcap; `flex` computes any of it in
            blocks, skips blocks that nothing sees, and is compiled on a GPU; `auto` is flex where the sight has blocks, else
            sdpa, and plain with a softcap.

    Returns:
        As queries.

    Raises:
        ValueError: the kernel is sdpa, and there is a softcap; or it is flex, and the sight was made without blocks.
    """
    grouped = keys.shape[1] != queries.shape[1]
    if kernel == "flex" and sight.blocks is None:
        raise ValueError("flex attention needs a sight made with flex=True")
    if kernel == "flex" or (kernel == "auto" and sight.blocks is not None):
        return _attend_in_blocks(queries, keys, values, sight, scale, cap)
    if kernel == "sdpa" and cap is not None:
        raise ValueError("the fused kernel knows no softcap; use flex or plain")
    if kernel == "plain" or cap is not None:
        return _attend_densely(queries, keys, values, sight, scale, cap)
    mask = sight.mask.to(queries.dtype) if sight.mask is not None and sight.mask.is_floating_point() else sight.mask
    return functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=grouped
    )


def _attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor, sight: Sight, scale: float, cap: float | None) -> Tensor:
    slopes = sight.slopes

    def change(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        score = softcap(score, cap)
        return score if slopes is None else score - slopes[head] * (query - key).abs()

    modify = change if cap is not None or slopes is not None else None
    out: Tensor = _flex()(
        queries,
        keys,
        values,
        score_mod=modify,
        block_mask=sight.blocks,
        scale=scale,
        enable_gqa=keys.shape[1] != queries.shape[1],
    )
    return out


def _attend_densely(queries: Tensor, keys: Tensor, values: Tensor, sight: Sight, scale: float, cap: float | None) -> Tensor:
    group = queries.shape[1] // keys.shape[1]
    keys, values = keys.repeat_interleave(group, dim=1), values.repeat_interleave(group, dim=1)
    # softmax in float32, as the fused kernels do it
    scores = softcap((queries @ keys.transpose(-2, -1)).float() * scale, cap)
    mask = sight.mask
    if mask is None:
        mask = torch.ones(sight.length, sight.length, dtype=torch.bool, device=queries.device).tril()
    scores = scores + mask if mask.is_floating_point() else scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1).to(values.dtype) @ values


class Attention(nn.Module):
    """Self-attention in which groups of query heads share keys and values (Ainslie et al. 2023, arXiv:2305.13245)."""

    def __init__(self, settings: ModelSettings, kernel: Kernel = "auto") -> None:
        """Make the projections."""
        super().__init__()
        self.head_size, self.kernel = settings.head_size, kernel
        inner, shared = settings.heads * self.head_size, settings.key_heads * self.head_size
        bias = settings.bias in ("qkv", "all")
        self.queries = nn.Linear(settings.width, inner, bias=bias)
        self.keys = nn.Linear(settings.width, shared, bias=bias)
        self.values = nn.Linear(settings.width, shared, bias=bias)
        self.out = nn.Linear(inner, settings.width, bias=settings.bias == "all")
        # muP: 1/d rather than 1/sqrt(d), equal at the usual head width of 64
        usual = 8 / self.head_size if settings.mup else self.head_size**-0.5
        self.scale = settings.attention_scale or usual
        self.cap = settings.attention_softcap
        self.rotary = settings.positions == "rope"
        self.per_head = settings.qk_norm == "head"
        self.query_norm: nn.Module | None = None
        self.key_norm: nn.Module | None = None
        if settings.qk_norm:
            sizes = (self.head_size, self.head_size) if self.per_head else (inner, shared)
            self.query_norm, self.key_norm = (nn.RMSNorm(size, eps=settings.norm_epsilon) for size in sizes)

    def _heads(self, projected: Tensor, norm: nn.Module | None) -> Tensor:
        """(batch, length, heads x head_size) to (batch, heads, length, head_size), normalised."""
        if norm is not None and not self.per_head:
            projected = norm(projected)
        heads = projected.view(*projected.shape[:2], -1, self.head_size).transpose(1, 2)
        if norm is not None and self.per_head:
            heads = norm(heads)
        return heads

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor] | None, sight: Sight) -> Tensor:
        """Attend; hidden is (batch, length, width), and so is the result."""
        queries = self._heads(self.queries(hidden), self.query_norm)
        keys = self._heads(self.keys(hidden), self.key_norm)
        values = self._heads(self.values(hidden), None)
        if self.rotary and rotation is not None:
            queries, keys = rotate(queries, *rotation), rotate(keys, *rotation)
        attended = attend(queries, keys, values, sight, scale=self.scale, cap=self.cap, kernel=self.kernel)
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out
