"""Where a token stands: rotary positions, ALiBi, and positions that begin again in each document."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gristmill.trainer.model_settings import RopeScaling


def frequencies(rotary_width: int, base: float, scaling: RopeScaling | None = None) -> Tensor:
    """Radians a position for each pair of dimensions, shape (rotary_width / 2,), float64.

    Source: base^(-2i/rotary_width), Su et al. 2021, arXiv:2104.09864; the scaling as in Llama 3.1's released code.
    """
    plain = base ** (-torch.arange(0, rotary_width, 2, dtype=torch.float64) / rotary_width)
    if scaling is None:
        return plain
    turns = scaling.original * plain / (2 * math.pi)
    kept = ((turns - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
    return plain * (kept + (1 - kept) / scaling.factor)


def rotations(length: int, rotary_width: int, base: float, scaling: RopeScaling | None = None) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions, each of shape (length, rotary_width / 2), float32."""
    angles = torch.outer(torch.arange(length, dtype=torch.float64), frequencies(rotary_width, base, scaling))
    return angles.cos().float(), angles.sin().float()


def rotate(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn each pair of dimensions (i, i + half) by its position's angle: the half-split layout of GPT-NeoX and Hugging Face.

    Args:
        heads: shape (batch, heads, length, head_width); dimensions beyond the rotary ones stay as they are.
        cosines: of `rotations`, shape (length, half) or (batch, 1, length, half).
        sines: as cosines.

    Returns:
        Same shape and dtype as `heads`.
    """
    rotary_width = 2 * cosines.shape[-1]
    first, second = heads[..., :rotary_width].float().chunk(2, dim=-1)
    turned = torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1).to(heads.dtype)
    return turned if rotary_width == heads.shape[-1] else torch.cat([turned, heads[..., rotary_width:]], dim=-1)


def alibi_slopes(heads: int) -> Tensor:
    """How much a score falls with each token of distance, one a head, float32.

    For n heads, n a power of two, 2^(-8i/n), i = 1..n; else those of the largest power of two below, then every other one of
    the next power (Press et al. 2021, arXiv:2108.12409, and its released code).
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * i / power) for i in range(1, power + 1)]
    slopes += [2 ** (-8 * i / (2 * power)) for i in range(1, 2 * power + 1, 2)][: heads - power]
    return torch.tensor(slopes, dtype=torch.float32)


def documents_of_lengths(lengths: list[list[int]], length: int) -> Tensor:
    """Which document each position of a row belongs to, counted from 0.

    Args:
        lengths: of the documents of each row, in order; they fill the row.
        length: of a row, in tokens.

    Returns:
        Shape (rows, length), int64.

    Raises:
        ValueError: the documents of a row are longer or shorter than it.
    """
    for row, inside in enumerate(lengths):
        if sum(inside) != length:
            raise ValueError(f"the documents of row {row} have {sum(inside)} tokens, the row has {length}")
    return torch.stack([torch.repeat_interleave(torch.arange(len(inside)), torch.tensor(inside)) for inside in lengths])


def positions_in_documents(documents: Tensor) -> Tensor:
    """The place of each token in its own document, from 0; documents are (batch, length), and so is the result."""
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - torch.where(begins, places, 0).cummax(dim=1).values
