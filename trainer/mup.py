"""Maximal update parametrisation: what learns how fast as the width grows, and the check that it does.

Source: Yang et al. 2022, arXiv:2203.03466, table 8 (Adam). Of m = width / base width: matrices between hidden layers are
drawn with a standard deviation smaller by sqrt(m) and learn m times slower; logits are divided by m; scores of the attention
are divided by the head width, not its root. Embeddings, gains and biases stay. Only the ratios follow from theory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gristmill.trainer.model import Block, Decoder, is_hidden_matrix
from gristmill.trainer.model_settings import ModelSettings, MupSettings


def parameter_groups(model: Decoder, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for an optimizer of Adam's kind, `rate_factor` the factor on the learning rate.

    Decoupled decay is multiplied by the rate, so that a slower group decays by as much more.
    """
    named = dict(model.named_parameters())
    gains = [parameter for parameter in named.values() if parameter.dim() < 2]
    decaying = [parameter for parameter in named.values() if parameter.dim() >= 2]
    multiple = model.settings.width_multiple
    if model.settings.mup is None:
        return [{"params": decaying, "weight_decay": weight_decay}, {"params": gains, "weight_decay": 0.0}]
    hidden = [parameter for name, parameter in named.items() if parameter.dim() >= 2 and is_hidden_matrix(name)]
    slow = {id(parameter) for parameter in hidden}
    return [
        {"params": [each for each in decaying if id(each) not in slow], "weight_decay": weight_decay},
        {"params": gains, "weight_decay": 0.0},
        {"params": hidden, "weight_decay": weight_decay * multiple, "rate_factor": 1 / multiple},
    ]


def coordinate_check(
    settings: ModelSettings,
    *,
    widths: Sequence[int],
    steps: int = 5,
    learning_rate: float = 0.01,
    seed: int = 0,
    mup: bool = True,
) -> list[dict[str, Any]]:
    """Mean sizes of activations in the first steps of training, at several widths: with muP they do not grow with the width.

    The model has the settings' layers and head width, so that heads grow in number; it learns random tokens with Adam.

    Args:
        settings: the shape; its width is the base width unless it has muP already.
        widths: to compare, each a multiple of the head width.
        steps: updates.
        learning_rate: at the base width.
        seed: of weights and tokens.
        mup: whether widths are parametrised so; without, the sizes show what it is good for.

    Returns:
        A row a width and step (0 is before any update): `width`, `step`, `embedding`, `blocks` (of the last), `logits`: mean
        absolute values, and of those but the embedding the change since step 0, `blocks_change` and `logits_change`.

    Raises:
        ValueError: a width is no multiple of the head width.
    """
    base = settings.mup or MupSettings(base_width=settings.width)
    rows = []
    for width in widths:
        if width % settings.head_size:
            raise ValueError(f"width {width} is no multiple of the head width {settings.head_size}")
        heads = width // settings.head_size
        kv_heads = heads if settings.kv_heads is None else max(1, heads * settings.kv_heads // settings.heads)
        changes = {
            "width": width,
            "heads": heads,
            "kv_heads": kv_heads if heads % kv_heads == 0 else heads,
            "head_width": None,
            "feed_forward": settings.inner_width * width // settings.width,
            "mup": base if mup else None,
        }
        shape = ModelSettings.model_validate(settings.model_dump() | changes | {"vocab_size": 256})
        rows += _train_and_measure(shape, steps, learning_rate, seed)
    return rows


def _train_and_measure(shape: ModelSettings, steps: int, learning_rate: float, seed: int) -> list[dict[str, Any]]:
    torch.manual_seed(seed)
    model = Decoder(shape, None, 32)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.0), lr=learning_rate)
    for group in optimizer.param_groups:
        group["lr"] *= group.get("rate_factor", 1.0)
    tokens = torch.randint(0, 256, (8, 33), generator=torch.Generator().manual_seed(seed))
    seen: dict[str, Tensor] = {}

    def remember(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            seen[name] = (output[0] if isinstance(output, tuple) else output).detach()

        return hook

    model.embedding.register_forward_hook(remember("embedding"))
    last = model.blocks[-1]
    if not isinstance(last, Block):
        raise TypeError(f"the last layer is a {type(last).__name__}")
    last.register_forward_hook(remember("blocks"))
    first: dict[str, Tensor] = {}
    rows = []
    for step in range(steps + 1):
        with torch.no_grad():
            seen["logits"] = model(tokens[:, :-1])
        first = first or dict(seen)
        row: dict[str, Any] = {"width": shape.width, "step": step}
        row |= {name: seen[name].abs().mean().item() for name in ("embedding", "blocks", "logits")}
        row |= {f"{name}_change": (seen[name] - first[name]).abs().mean().item() for name in ("blocks", "logits")}
        rows.append(row)
        optimizer.zero_grad()
        model.loss(tokens).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return rows
