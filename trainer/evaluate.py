"""Held-out documents and multiple-choice questions put to a finished model: of a run, or in a folder of Hugging Face."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.manifest import ShardError, TokenizerEntry
from gristmill.tokenizers.mixture_plan import open_mixture
from gristmill.tokenizers.model_settings import END_OF_TEXT
from gristmill.tokenizers.shards import read_manifest
from gristmill.trainer import checkpoint, hf_format
from gristmill.trainer.config import ConfigError
from gristmill.trainer.evaluation import Evaluation, encoder, encoder_of, shard_folders
from gristmill.trainer.hf_config import ConversionError
from gristmill.trainer.model import Decoder
from gristmill.trainer.objectives import Objective
from gristmill.trainer.settings import DocumentSettings, EvaluationSettings, TaskSettings, TrainSettings


@dataclass(frozen=True)
class Asked:
    """A model that is evaluated, with what its inputs are like."""

    name: str
    model: Decoder
    encoder: Encoder
    length: int
    documents: DocumentSettings
    evaluation: EvaluationSettings | None
    """What its own training evaluated."""


def evaluate(
    place: str | Path,
    *,
    tasks: Sequence[TaskSettings] = (),
    data: str | None = None,
    tokens: int | None = None,
    step: int | None = None,
    average: bool = False,
    tokenizer: str | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Ask a model.

    Args:
        place: output folder of a training, a checkpoint in it, or a folder with config.json and safetensors.
        tasks: multiple-choice questions.
        data: held-out token shards. Without tasks and data, what the training's own settings ask.
        tokens: at most about so many of each source of the data.
        step: of the checkpoint; the newest when None.
        average: take the running average of the weights.
        tokenizer: a tokenizer.json, where that of the training's shards is gone, or a folder of Hugging Face has none.
        device: auto, cpu or cuda.

    Returns:
        `model`, and `held_out` and `tasks` as in metrics.jsonl.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ConfigError: what is there cannot be read, or nothing is asked.
    """
    folder = Path(place)
    asked = _of_hf(folder, tokenizer) if (folder / "config.json").is_file() else _of_run(folder, step, average, tokenizer)
    settings = asked.evaluation
    if tasks or data is not None:
        settings = EvaluationSettings(data=data, tasks=tuple(tasks), tokens=tokens)
    if settings is None:
        raise ConfigError(
            f"{place}: its training evaluated nothing; name questions (--task FILE) or held-out shards (--data FOLDER)"
        )
    entry = TokenizerEntry(sha256=asked.encoder.sha256, vocab_size=asked.encoder.vocab_size)
    evaluation = Evaluation(settings, entry, asked.length, asked.documents, encoder=asked.encoder, say=_say)
    at = torch.device("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else torch.device(device)
    if at.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device is {device}; there is no GPU here. Set device auto or cpu")

    def precision() -> AbstractContextManager[Any]:
        return torch.autocast("cuda", dtype=torch.bfloat16) if at.type == "cuda" else nullcontext()

    return {"model": asked.name, **evaluation.row(asked.model.to(at).eval(), at, precision)}


def _of_run(place: Path, step: int | None, average: bool, tokenizer: str | None) -> Asked:
    if not place.exists():
        raise FileNotFoundError(f"{place}: no such folder; give the output folder of a training or a checkpoint in it")
    file = checkpoint.newest(place)
    if step is not None:
        saved = dict(checkpoint.checkpoints(place))
        if step not in saved:
            raise ConfigError(f"{place}: no checkpoint of step {step}; there are {', '.join(map(str, saved)) or 'none'}")
        file = saved[step]
    part = "average" if average else "model"
    state = checkpoint.load(file, [part])
    weights = state[part]
    if not weights:
        raise ConfigError(f"{file}: holds no running average; train with average_decay, or leave the flag out")
    settings = TrainSettings.model_validate(state["settings"])
    encoder = _given(tokenizer) if tokenizer is not None else _of_data(settings.data)
    length = Objective(settings.objective, encoder.vocab_size, settings.seq_len).length
    rows = len(weights["embedding.weight"])
    if encoder.vocab_size > rows:
        raise ConfigError(f"{tokenizer}: has {encoder.vocab_size:,} tokens, the model {rows:,}; it is another model's")
    shape = settings.model.model_copy(update={"vocab_size": rows})
    try:
        model = Decoder(shape, None, length)
        model.load_state_dict(weights)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    return Asked(str(file), model, encoder, min(settings.seq_len, length), settings.documents, settings.evaluation)


def _of_hf(folder: Path, tokenizer: str | None) -> Asked:
    try:
        model = hf_format.load(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (ConversionError, ValueError) as error:
        raise ConfigError(f"{folder}: {error}") from error
    file = Path(tokenizer) if tokenizer is not None else folder / "tokenizer.json"
    if not file.is_file():
        raise ConfigError(f"{file}: no such file; give the model's tokenizer: --tokenizer FILE")
    return Asked(str(folder), model, _given(str(file), config.get("eos_token_id")), model.seq_len, DocumentSettings(), None)


def _given(file: str, eos_id: int | list[int] | None = None) -> Encoder:
    """The encoder of a tokenizer.json, by default with the end-of-text token that ours have."""
    try:
        text = Path(file).read_text(encoding="utf-8")
        first = eos_id[0] if isinstance(eos_id, list) else eos_id
        return Encoder(text, END_OF_TEXT) if first is None else encoder(text, first)
    except ValueError as error:
        raise ConfigError(f"{file}: {error}") from error


def _of_data(data: str) -> Encoder:
    """The encoder of the shards that a training read."""
    try:
        if Path(data).suffix == ".json":
            shards = open_mixture(data)
            return encoder_of(shard_folders(shards), shards.tokenizer)
        return encoder_of([Path(data)], read_manifest(Path(data)).tokenizer)
    except FileNotFoundError as error:
        raise ConfigError(f"{error}. The training's data is gone; give its tokenizer: --tokenizer FILE") from error
    except ShardError as error:
        raise ConfigError(str(error)) from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
