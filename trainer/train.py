"""A training run: token shards in, checkpoints and metrics out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from gristmill.trainer import checkpoint, run_folder
from gristmill.trainer.checkpoint_saver import Saver
from gristmill.trainer.config import read_config
from gristmill.trainer.data import settle
from gristmill.trainer.display import display_for
from gristmill.trainer.settings import ParallelSettings, TrainSettings
from gristmill.trainer.training import Diverged, Training
from gristmill.trainer.world import World, joined, launched, own_device

__all__ = ["Diverged", "Training", "run", "train"]


def train(
    config: str | Path, sets: Sequence[str] = (), output: str | Path | None = None, *, plain: bool = True
) -> dict[str, Any]:
    """Train a model, or go on where the output folder's newest checkpoint stands.

    Args:
        config: a YAML file, or the name of a shipped configuration.
        sets: `path=value` each; they replace what the configuration says.
        output: gets `train.json`, `metrics.jsonl` and `checkpoints/`; `runs/<name>` when None.
        plain: show lines of progress also where standard error is a terminal, not a table.

    Returns:
        `output`, `steps` done, `tokens`, `parameters`, `device`, `first_loss` and `last_loss` (None when there were no steps),
        `order_hash`, `checkpoint`; nothing on other processes than the first.

    Raises:
        FileNotFoundError: no such configuration or data.
        ConfigError: mistakes in the configuration, the data or the output folder.
        Diverged: the loss is not finite.
    """
    return _start(lambda: read_config(config, sets), output, plain)


def run(settings: TrainSettings, output: str | Path | None = None, *, plain: bool = True) -> dict[str, Any]:
    """`train`, with settings already read."""
    return _start(lambda: settings, output, plain)


def _start(read: Callable[[], TrainSettings], output: str | Path | None, plain: bool) -> dict[str, Any]:
    """Meet the other processes, if a launcher started several, and train with them."""
    launch = launched()
    prepared: list[tuple[TrainSettings, torch.device]] = []

    def prepare() -> tuple[TrainSettings, torch.device]:
        if not prepared:
            settings = read()
            prepared.append((settings, own_device(settings.device, launch)))
        return prepared[0]

    if launch.size == 1:
        settings, device = prepare()
        return _run(settings, output, World().arranged(settings, device), device, plain)
    # before they meet, since settings say how; a mistake is told once they have, by one of them for all
    with suppress(Exception):
        prepare()
    how = prepared[0] if prepared else (None, torch.device("cpu"))
    with joined(launch, how[1], how[0].parallel if how[0] else ParallelSettings()) as world:
        settings, device = world.agree(prepare)
        return _run(settings, output, world.arranged(settings, device), device, plain)


def _run(settings: TrainSettings, output: str | Path | None, world: World, device: torch.device, plain: bool) -> dict[str, Any]:
    if settings.threads:
        torch.set_num_threads(settings.threads)
    say = _say if world.first else _say_nothing
    shards, plan, steps = world.agree(lambda: settle(settings, say))
    folder = Path(output) if output is not None else Path("runs") / settings.name
    training = Training(settings, shards, plan, device, steps, world=world, say=say)
    with _claimed(folder, world):
        _take_over(training, folder, settings)
        if 0 < steps <= training.step:
            say(f"nothing to do up to step {steps}; set steps higher to train on")
        rows = world.agree(lambda: _begin(folder, training) if world.first else [])
        with (
            Saver(folder, settings.checkpoint, device) as saver,
            (folder / run_folder.METRICS_FILE if world.first else Path(os.devnull)).open("a", encoding="utf-8") as metrics,
            display_for(settings.name, steps, every=settings.progress_every, plain=plain, quiet=not world.first) as display,
        ):
            for row in training.steps():
                rows = [*rows[:1], row]
                metrics.write(json.dumps(row) + "\n")
                metrics.flush()
                display.show(row)
                saver.check()
                if settings.checkpoint.due(row["step"], steps):
                    saver.save(training.state())
    if not world.first:
        return {}
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

    def find() -> tuple[Path, bool] | None:
        if saved := checkpoint.checkpoints(folder):
            return saved[-1][1], True
        return None if settings.init_from is None else (checkpoint.newest(Path(settings.init_from)), False)

    world = training.world
    found = [world.agree(lambda: find() if world.first else None)]
    if not world.alone:
        # on shared storage the others may not see yet what the first one sees
        dist.broadcast_object_list(found, src=0)
    if found[0] is None:
        return
    place, own = found[0]
    weights_only = not own and settings.init == "weights"
    training.resume(place, weights_only=weights_only)
    how = "going on from" if own else "beginning with the weights of" if weights_only else "beginning with"
    training.say(f"{how} {place}, step {training.step}")


@contextmanager
def _claimed(folder: Path, world: World) -> Iterator[None]:
    """The first process claims the folder for all."""
    with ExitStack() as stack:
        world.agree(lambda: stack.enter_context(run_folder.claimed(folder)) if world.first else None)
        yield


def _begin(folder: Path, training: Training) -> list[dict[str, Any]]:
    """Say what the run is, and drop what the log has beyond it; the rows that stay."""
    run_folder.write_run_file(folder, training.description())
    return run_folder.metrics_up_to(folder, training.step)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _say_nothing(line: str) -> None:
    """What the first process says is enough."""
