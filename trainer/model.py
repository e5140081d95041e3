"""A decoder: pre-norm RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gristmill.trainer.settings import ModelSettings

VOCABULARY_MULTIPLE = 128
"""The vocabulary is padded to a multiple of this: odd matrix shapes are slow on a GPU."""


def padded_vocabulary(vocab_size: int) -> int:
    """The vocabulary that the model has for a tokenizer of this size; ids beyond the tokenizer's never occur as targets."""
    return -(-vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


class Attention(nn.Module):
    """Causal self-attention in which groups of query heads share keys and values (Ainslie et al. 2023, arXiv:2305.13245)."""

    def __init__(self, settings: ModelSettings) -> None:
        """Make the projections."""
        super().__init__()
        self.heads, self.kv_heads = settings.heads, settings.kv_heads or settings.heads
        self.head_width = settings.width // settings.heads
        self.queries = nn.Linear(settings.width, settings.width, bias=False)
        self.keys = nn.Linear(settings.width, self.kv_heads * self.head_width, bias=False)
        self.values = nn.Linear(settings.width, self.kv_heads * self.head_width, bias=False)
        self.out = nn.Linear(settings.width, settings.width, bias=False)

    def forward(self, hidden: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """Attend; hidden is (batch, length, width), and so is the result."""
        batch, length, width = hidden.shape
        queries = self.queries(hidden).view(batch, length, self.heads, self.head_width).transpose(1, 2)
        keys = self.keys(hidden).view(batch, length, self.kv_heads, self.head_width).transpose(1, 2)
        values = self.values(hidden).view(batch, length, self.kv_heads, self.head_width).transpose(1, 2)
        attended = functional.scaled_dot_product_attention(
            rotate(queries, cosines, sines),
            rotate(keys, cosines, sines),
            values,
            is_causal=True,
            enable_gqa=self.kv_heads != self.heads,
        )
        out: Tensor = self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return out


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, settings: ModelSettings) -> None:
        """Make the projections."""
        super().__init__()
        self.gate = nn.Linear(settings.width, settings.inner_width, bias=False)
        self.up = nn.Linear(settings.width, settings.inner_width, bias=False)
        self.out = nn.Linear(settings.inner_width, settings.width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Position by position; (batch, length, width) to the same."""
        out: Tensor = self.out(functional.silu(self.gate(hidden)) * self.up(hidden))
        return out


class Block(nn.Module):
    """Attention, then feed-forward, each on the normalised stream and added to it."""

    def __init__(self, settings: ModelSettings) -> None:
        """Make both parts and their norms."""
        super().__init__()
        self.attention_norm = nn.RMSNorm(settings.width, eps=settings.norm_epsilon)
        self.attention = Attention(settings)
        self.feed_forward_norm = nn.RMSNorm(settings.width, eps=settings.norm_epsilon)
        self.feed_forward = FeedForward(settings)

    def forward(self, hidden: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """(batch, length, width) to the same."""
        hidden = hidden + self.attention(self.attention_norm(hidden), cosines, sines)
        out: Tensor = hidden + self.feed_forward(self.feed_forward_norm(hidden))
        return out


class Decoder(nn.Module):
    """Token ids to scores of the next token."""

    def __init__(self, settings: ModelSettings, vocab_size: int, seq_len: int) -> None:
        """Make the model and draw its weights.

        Args:
            settings: the shape.
            vocab_size: of the tokenizer; the model's is padded.
            seq_len: longest input, in tokens.
        """
        super().__init__()
        self.settings = settings
        vocabulary = padded_vocabulary(vocab_size)
        self.embedding = nn.Embedding(vocabulary, settings.width)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = nn.RMSNorm(settings.width, eps=settings.norm_epsilon)
        self.head = nn.Linear(settings.width, vocabulary, bias=False)
        if settings.tied:
            self.head.weight = self.embedding.weight
        cosines, sines = rotations(seq_len, settings.width // settings.heads, settings.rope_base)
        self.cosines: Tensor
        self.sines: Tensor
        # derived from the settings, so not part of what is saved
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        self.draw_weights()

    def draw_weights(self) -> None:
        """Normal weights; those that write into the stream are scaled down by its 2 x layers additions (Radford et al. 2019)."""
        std = self.settings.init_std
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            scale = (2 * self.settings.layers) ** -0.5 if name.endswith("out.weight") else 1.0
            nn.init.normal_(parameter, std=std * scale)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores of every next token.

        Args:
            ids: shape (batch, length), int64, length at most seq_len.

        Returns:
            Shape (batch, length, padded vocabulary).
        """
        cosines, sines = self.cosines[: ids.shape[1]], self.sines[: ids.shape[1]]
        hidden = self.embedding(ids)
        for block in self.blocks:
            hidden = block(hidden, cosines, sines)
        scores: Tensor = self.head(self.norm(hidden))
        return scores

    def loss(self, rows: Tensor) -> Tensor:
        """Mean cross-entropy of each token given those before it, in nats; rows are (batch, length + 1)."""
        scores = self(rows[:, :-1])
        return functional.cross_entropy(scores.float().flatten(0, 1), rows[:, 1:].flatten())


def rotations(length: int, head_width: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions, each of shape (length, head_width / 2), float32.

    Source: angle = position * base^(-2i/head_width), Su et al. 2021, arXiv:2104.09864.
    """
    frequencies = base ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), frequencies)
    return angles.cos().float(), angles.sin().float()


def rotate(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn each pair of dimensions (i, i + half) by its position's angle: the half-split layout of GPT-NeoX and Hugging Face.

    Args:
        heads: shape (batch, heads, length, head_width).
        cosines: of `rotations`.
        sines: of `rotations`.

    Returns:
        Same shape and dtype as `heads`.
    """
    first, second = heads.float().chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1).to(heads.dtype)
