"""What a configured model is like, and models out of training runs: what the commands beside training call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gristmill.trainer import checkpoint, flops, hf_format
from gristmill.trainer.config import ConfigError, read_config
from gristmill.trainer.hf_config import ConversionError
from gristmill.trainer.model import Decoder
from gristmill.trainer.mup import coordinate_check
from gristmill.trainer.settings import TrainSettings


def _settings(config: str | Path, sets: Sequence[str]) -> TrainSettings:
    return read_config(config, ["data=unread", *sets])


def describe(config: str | Path, sets: Sequence[str] = ()) -> dict[str, Any]:
    """Parameters and costs of a model, by its configuration alone.

    Raises:
        FileNotFoundError: no such configuration.
        ConfigError: mistakes in it, or the size of its vocabulary is left to the data.
    """
    settings = _settings(config, sets)
    of = settings.model
    try:
        with torch.device("meta"):
            model = Decoder(of, None, settings.seq_len)
    except ValueError as error:
        raise ConfigError(f"{config}: {error}") from error
    rows = model.embedding.num_embeddings
    total = sum(parameter.numel() for parameter in model.parameters())
    return {
        "name": settings.name,
        "parameters": total,
        "embedding_parameters": sum(
            part.weight.numel() for part in (model.embedding, model.position_embedding) if part is not None
        ),
        "matmul_weights_a_token": flops.matmul_weights(of, rows),
        "flops_a_token": flops.flops_per_token(of, rows, settings.seq_len),
        "flops_a_token_causal": flops.flops_per_token(of, rows, settings.seq_len, causal=True),
        "tokens": settings.tokens,
        "formula": flops.FORMULA,
    }


def check_coordinates(
    config: str | Path, sets: Sequence[str] = (), *, widths: Sequence[int] = (), **options: Any
) -> list[dict[str, Any]]:
    """`mup.coordinate_check` of a configuration, at 1, 2 and 4 times its width by default.

    Raises:
        FileNotFoundError: no such configuration.
        ConfigError: mistakes in it, or widths that do not divide into heads.
    """
    settings = _settings(config, sets).model
    try:
        return coordinate_check(settings, widths=widths or [settings.width * times for times in (1, 2, 4)], **options)
    except ValueError as error:
        raise ConfigError(f"{config}: {error}") from error


def export_run(run: str | Path, folder: str | Path, step: int | None = None) -> dict[str, Any]:
    """Write a checkpoint of a run in the format of Hugging Face.

    Raises:
        ConfigError: there is no such checkpoint, its architecture has no place in that format, or the folder holds a model.
    """
    saved = dict(checkpoint.checkpoints(Path(run)))
    if not saved:
        raise ConfigError(f"{run}: holds no checkpoint; give the output folder of a training")
    if step is not None and step not in saved:
        raise ConfigError(f"{run}: no checkpoint of step {step}; there are {', '.join(map(str, saved))}")
    at = max(saved) if step is None else step
    try:
        state = checkpoint.load(saved[at], ["model"])
        settings = TrainSettings.model_validate(state["settings"])
        weights = state["model"]
        shape = settings.model.model_copy(update={"vocab_size": len(weights["embedding.weight"])})
        model = Decoder(shape, None, settings.seq_len)
        model.load_state_dict(weights)
        hf_format.export(model, Path(folder))
    except ConversionError as error:
        raise ConfigError(str(error)) from error
    except ConfigError:
        raise  # a damaged checkpoint, which says where it is
    except ValueError as error:
        raise ConfigError(f"{saved[at]}: {error}") from error
    return {"folder": str(folder), "step": at, "parameters": sum(parameter.numel() for parameter in model.parameters())}
