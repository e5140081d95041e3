"""A training run: token shards in, checkpoints and metrics out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gristmill.trainer import checkpoint, run_folder
from gristmill.trainer.checkpoint_saver import Saver
from gristmill.trainer.config import ConfigError, read_config
from gristmill.trainer.data import settle
from gristmill.trainer.settings import TrainSettings
from gristmill.trainer.training import Diverged, Training

__all__ = ["Diverged", "Training", "run", "train"]


def train(config: str | Path, sets: Sequence[str] = (), output: str | Path | None = None) -> dict[str, Any]:
    """Train a model, or go on where the output folder's newest checkpoint stands.

    Args:
        config: a YAML file, or the name of a shipped configuration.
        sets: `path=value` each; they replace what the configuration says.
        output: gets `train.json`, `metrics.jsonl` and `checkpoints/`; `runs/<name>` when None.

    Returns:
        `output`, `steps` done, `tokens`, `parameters`, `device`, `first_loss` and `last_loss` (None when there were no steps),
        `order_hash`, `checkpoint`.

    Raises:
        FileNotFoundError: no such configuration or data.
        ConfigError: mistakes in the configuration, the data or the output folder.
        Diverged: the loss is not finite.
    """
    return run(read_config(config, sets), output)


def run(settings: TrainSettings, output: str | Path | None = None) -> dict[str, Any]:
    """`train`, with settings already read."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            f"started as one of {os.environ['WORLD_SIZE']} processes; training runs in one, start it without torchrun"
        )
    device = _device(settings.device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    shards, plan, steps = settle(settings, _say)
    folder = Path(output) if output is not None else Path("runs") / settings.name
    training = Training(settings, shards, plan, device, steps, say=_say)
    with run_folder.claimed(folder):
        _take_over(training, folder, settings)
        if 0 < steps <= training.step:
            _say(f"nothing to do up to step {steps}; set steps higher to train on")
        run_folder.write_run_file(folder, training.description())
        rows = run_folder.metrics_up_to(folder, training.step)
        with (
            Saver(folder, settings.checkpoint, device) as saver,
            (folder / run_folder.METRICS_FILE).open("a", encoding="utf-8") as metrics,
        ):
            for row in training.steps():
                rows = [*rows[:1], row]
                metrics.write(json.dumps(row) + "\n")
                metrics.flush()
                if row["step"] % settings.progress_every == 0 or row["step"] in (1, steps):
                    _say(_progress(row, steps))
                saver.check()
                if settings.checkpoint.due(row["step"], steps):
                    saver.save(training.state())
    newest = checkpoint.checkpoints(folder)
    return {
        "output": str(folder),
        "steps": training.step,
        "tokens": training.data_state["tokens"],
        "parameters": training.parameters,
        "device": str(device),
        "first_loss": rows[0]["loss"] if rows else None,
        "last_loss": rows[-1]["loss"] if rows else None,
        "order_hash": training.data_state["order_hash"],
        "checkpoint": str(newest[-1][1]) if newest else None,
    }


def _take_over(training: Training, folder: Path, settings: TrainSettings) -> None:
    """Go on from the folder's newest checkpoint, or begin with the one that the settings name."""
    if saved := checkpoint.checkpoints(folder):
        training.resume(saved[-1][1])
        training.say(f"going on from {saved[-1][1]}, step {training.step}")
    elif settings.init_from is not None:
        first = checkpoint.newest(Path(settings.init_from))
        training.resume(first, weights_only=settings.init == "weights")
        training.say(f"beginning with {'the weights of ' if settings.init == 'weights' else ''}{first}, at step {training.step}")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device is {name}; there are {torch.cuda.device_count()} GPUs here. Set device=auto or device=cpu")
    return device


def _progress(row: dict[str, Any], steps: int) -> str:
    return (
        f"step {row['step']}/{steps}  loss {row['loss']:.4f}  rate {row['learning_rate']:.2e}  "
        f"{row['tokens_per_second']:,.0f} tokens/s  waited {row['data_wait_ms']:.1f} ms for data"
        + (f"  held out {row['held_out']['all']['loss']:.4f}" if "held_out" in row else "")
        + (f"  not taken: {row['skipped']}" if "skipped" in row else "")
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
