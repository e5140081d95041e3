"""Runs many small trainings on real processes: `python spread.py REQUEST.json RESULT.json`; see the fixture `outcomes`.

One interpreter imports torch once and forks all processes, before it has computed anything.
"""

import faulthandler
import json
import os
import socket
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.tensor import DTensor

from gristmill.trainer.config import ConfigError, read_config
from gristmill.trainer.data import settle
from gristmill.trainer.model import is_hidden_matrix
from gristmill.trainer.muon import part_like, whole
from gristmill.trainer.settings import ParallelSettings
from gristmill.trainer.train import train
from gristmill.trainer.training import Training
from gristmill.trainer.world import World, joined, launched

CPU = torch.device("cpu")
REDUCE_SCATTER = "reduce_scatter_single" if hasattr(dist, "reduce_scatter_single") else "reduce_scatter_tensor"
"""What FSDP sends gradients with, under its newer and its older name."""
PATIENCE_SECONDS = int(os.environ.get("PATIENCE_SECONDS", "120"))


def nothing(line):
    """Progress is not wanted."""


def trained(world, sets):
    """Train, and tell what came of it on this process."""
    settings = read_config("tiny", sets)
    shards, plan, steps = settle(settings, nothing)
    training = Training(settings, shards, plan, CPU, steps, world=world.arranged(settings, CPU), say=nothing)
    synced = []
    if (wrapped := training.spread.wrapped) is not None:
        wrapped.register_comm_hook(None, lambda state, bucket: synced.append(1) or allreduce_hook(state, bucket))
    keys = ("loss", "gradient_norm", "order_hash", "source_loss", "tokens", "held_out", "tasks")
    with patch.object(dist, REDUCE_SCATTER, wraps=getattr(dist, REDUCE_SCATTER)) as sent:
        rows = [{key: row.get(key, {}) for key in keys} for row in training.steps()]
    average = {} if training.average is None else training.average.weights
    whole = {name: each.full_tensor() if isinstance(each, DTensor) else each for name, each in average.items()}
    parameters = list(training.model.parameters())
    return {
        "rows": rows,
        "average": sum(each.double().square().sum().item() for each in whole.values()),
        "reduce_scatters": sent.call_count,
        "buckets": len(synced),
        "numbers": sum(each.numel() for each in parameters),
        "numbers_here": sum((each.to_local() if isinstance(each, DTensor) else each).numel() for each in parameters),
    }


def moved_by_muon(world, sets):
    """Whether each matrix of hidden layers, moved by equal gradients, is the one of a process alone, to the last bit."""
    settings = read_config("tiny", sets)
    shards, plan, steps = settle(settings, nothing)
    alone, spread = (
        Training(settings, shards, plan, CPU, steps, world=where, say=nothing)
        for where in (World(), world.arranged(settings, CPU))
    )
    draw = torch.Generator().manual_seed(5)
    pairs = list(zip(alone.model.named_parameters(), spread.model.parameters(), strict=True))
    for _ in range(2):
        for (_, mine), theirs in pairs:
            mine.grad = torch.randn(mine.shape, generator=draw)
            theirs.grad = part_like(theirs.detach(), mine.grad)
        for one in (alone, spread):
            one.optimizer.step()
    return [
        [name, torch.equal(mine, whole(theirs.detach())), isinstance(theirs, DTensor)]
        for (name, mine), theirs in pairs
        if is_hidden_matrix(name)
    ]


def failing_on(rank, world, sets):
    """What a process sees when one of them failed."""

    def attempt():
        if world.rank == rank:
            raise ConfigError("no such thing here")

    try:
        world.agree(attempt)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None


def in_a_strange_folder(world, sets):
    """What a process sees when the output folder is no run."""
    try:
        train("tiny", sets, sets[0].removeprefix("data="))
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None


def with_one_that(end, world, sets):
    """What a process sees when the second one comes to such an end in its second step."""
    if os.environ["RANK"] == "1":
        update = Training._update

        def last(training, *given):
            return end() if training.step == 1 else update(training, *given)

        patch.object(Training, "_update", last).start()
    try:
        train("tiny", sets, Path(sets[0].removeprefix("data=")).parent / f"run-{end.__name__}")
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None


def dies():
    """Without a word."""
    os._exit(9)


def hangs():
    """Longer than the others wait."""
    time.sleep(8)
    os._exit(9)


KINDS = {"train": trained, "muon": moved_by_muon, "first fails": partial(failing_on, 0), "second fails": partial(failing_on, 1)}
ALONE = {"strange folder": in_a_strange_folder, "dies": partial(with_one_that, dies), "hangs": partial(with_one_that, hangs)}
"""These meet the others by themselves."""


def process(rank, size, port, cases, result):
    """One process among several."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    faulthandler.dump_traceback_later(PATIENCE_SECONDS, exit=True)  # processes that wait for each other end, and say where
    told = {}

    def carry_out(world):
        for name, (kind, sets) in cases.items():
            try:
                told[name] = (KINDS | ALONE)[kind](world, sets)
            except Exception:
                told[name] = traceback.format_exc()

    if size == 1 or ALONE.keys() & cases.keys():
        carry_out(World())
    else:
        with joined(launched(), CPU, ParallelSettings(timeout_seconds=60)) as world:
            carry_out(world)
    Path(f"{result}.{rank}").write_text(json.dumps(told))


def main(request, result):
    """Carry out a request, [[processes, {name: [kind, settings]}], ...]; the result is {name: what each process tells}."""
    told = {}
    for size, cases in json.loads(Path(request).read_text()):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = []
        for rank in range(size):
            child = os.fork()
            if not child:
                try:
                    process(rank, size, port, cases, result)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        files = [Path(f"{result}.{rank}") for rank in range(size)]
        parts = [json.loads(file.read_text()) if file.exists() else {} for file in files]
        told |= {name: [part.get(name) for part in parts] for name in cases}
        for file in files:
            file.unlink(missing_ok=True)
    Path(result).write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
