"""A training run: token shards in, checkpoints and metrics out."""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gristmill.trainer import checkpoint, flops, run_folder
from gristmill.trainer.averaging import RunningAverage
from gristmill.trainer.config import ConfigError, read_config
from gristmill.trainer.data import settle
from gristmill.trainer.evaluation import Evaluation
from gristmill.trainer.loader import Draw, Loader, Plan, PlanMismatch, Sources
from gristmill.trainer.losses import IGNORED
from gristmill.trainer.micro_batch import MicroBatch, make_micro_batches, with_documents
from gristmill.trainer.model import Decoder
from gristmill.trainer.objectives import Objective
from gristmill.trainer.optim import make_optimizer
from gristmill.trainer.schedule import rate_factor
from gristmill.trainer.settings import TrainSettings
from gristmill.trainer.spikes import SpikeWatch


class Diverged(RuntimeError):
    """The loss is no number any more; the message names the step and the last checkpoint stays."""


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
    training = Training(settings, shards, plan, device, steps)
    with run_folder.claimed(folder):
        if saved := checkpoint.checkpoints(folder):
            training.resume(saved[-1][1])
            _say(f"going on from {saved[-1][1]}, step {training.step}")
            if training.step >= steps:
                _say(f"nothing to do up to step {steps}; set steps higher to train on")
        run_folder.write_run_file(folder, training.description())
        rows = run_folder.metrics_up_to(folder, training.step)
        with (folder / run_folder.METRICS_FILE).open("a", encoding="utf-8") as metrics:
            for row in training.steps():
                rows = [*rows[:1], row]
                metrics.write(json.dumps(row) + "\n")
                metrics.flush()
                if row["step"] % settings.progress_every == 0 or row["step"] in (1, steps):
                    _say(_progress(row, steps))
                if row["step"] % settings.checkpoint.every == 0 or row["step"] == steps:
                    checkpoint.save(folder, row["step"], training.state(), keep=settings.checkpoint.keep)
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


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device is {name}; there are {torch.cuda.device_count()} GPUs here. Set device=auto or device=cpu")
    return device


@dataclass(frozen=True)
class _Ready:
    """A batch on the device, and where the data stands after it."""

    draw: Draw
    micro_batches: list[MicroBatch]
    state: dict[str, Any]
    wait_seconds: float


class Training:
    """A model, its optimizer and its data, at some step."""

    def __init__(self, settings: TrainSettings, shards: Sources, plan: Plan, device: torch.device, steps: int) -> None:
        """Draw the weights and stand before the first of so many steps."""
        self.settings, self.device, self.plan, self.last = settings, device, plan, steps
        torch.manual_seed(settings.seed)
        try:
            self.objective = Objective(settings.objective, shards.tokenizer.vocab_size, settings.seq_len)
            self.model = _model(settings, self.objective).to(device)
            self.optimizer = make_optimizer(self.model, settings.optimizer, fused=device.type == "cuda")
        except ValueError as error:
            raise ConfigError(f"{settings.name}: {error}") from error
        self.flops = flops.flops_per_token(settings.model, self.model.embedding.num_embeddings, self.objective.length)
        self.spikes = SpikeWatch(settings.spikes) if settings.spikes is not None else None
        self.average = RunningAverage(self.model, settings.average_decay) if settings.average_decay is not None else None
        self.evaluation = None
        if settings.evaluation is not None:
            length = min(settings.seq_len, self.objective.length)
            self.evaluation = Evaluation(settings.evaluation, shards.tokenizer, length, settings.documents)
        self.loader = Loader(shards, plan, settings.seed)
        self.data_state = self.loader.state()
        self.tokenizer = shards.tokenizer.model_dump()

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.data_state["step"])

    @property
    def parameters(self) -> int:
        """Trained numbers; a tied head counts once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def description(self) -> dict[str, Any]:
        """What is trained on what, with which versions; for `train.json`."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "plan": self.plan.fields(),
            "plan_hash": self.plan.hash(),
            "tokenizer": self.tokenizer,
            "parameters": self.parameters,
            "flops_per_token": self.flops,
            "flops_formula": flops.FORMULA,
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        }

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights if self.average is not None else {},
            "spikes": self.spikes.state() if self.spikes is not None else {},
            "data": self.data_state,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }

    def resume(self, file: Path) -> None:
        """Take over a checkpoint's state.

        Raises:
            ConfigError: it is damaged, or of another model, other data or another order of them.
        """
        try:
            saved = checkpoint.load(file)
            mine = self.settings.model_dump(mode="json")
            if differing := _differing(saved["settings"]["model"], mine["model"], "model."):
                raise ConfigError(f"{file}: {differing}; choose another --output")
            self.loader.resume(saved["data"])
        except PlanMismatch as error:
            raise ConfigError(f"{file}: {error}; choose another --output") from error
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if saved["settings"]["optimizer"].get("name", "adamw") != self.settings.optimizer.name:
            raise ConfigError(f"{file}: was written by another optimizer; choose another --output, or the same optimizer.name")
        for part in ("optimizer", "schedule", "documents"):
            if differing := _differing(saved["settings"].get(part, mine[part]), mine[part], f"{part}."):
                _say(f"from here on, {differing}")
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average is not None:
            # a run that had no average so far begins one with its weights
            self.average.weights |= saved.get("average") or {
                name: value.float().clone() for name, value in self.model.state_dict().items()
            }
        if self.spikes is not None:
            self.spikes.resume(saved.get("spikes", {}))
        torch.set_rng_state(saved["rng"])
        if self.device.type == "cuda" and len(saved["cuda_rng"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(saved["cuda_rng"])
        self.data_state = saved["data"]

    def steps(self) -> Iterator[dict[str, Any]]:
        """Train up to the last step, a row of metrics each; after each row the training may be saved or left."""
        started = time.perf_counter()
        for batch in self._batches():
            rate = self._rate()
            loss, norm, spike, by_source = self._update(batch.micro_batches, rate)
            self.data_state = batch.state
            seconds, started = time.perf_counter() - started, time.perf_counter()
            row = {
                "step": batch.draw.step,
                "tokens": batch.state["tokens"],
                "loss": loss,
                "source_loss": by_source,
                "learning_rate": rate,
                "gradient_norm": norm,
                "tokens_per_second": self.plan.windows * self.plan.seq_len / seconds,
                "data_wait_ms": 1000 * batch.wait_seconds,
                "step_ms": 1000 * seconds,
                "peak_memory_bytes": self._peak_memory(),
                "order_hash": batch.draw.order_hash,
                **({"skipped": spike} if spike else {}),
                **self._utilisation(seconds),
            }
            if self.evaluation is not None and (self.step % self.evaluation.settings.every == 0 or self.step == self.last):
                row["held_out"] = self.evaluation.measure(self.model, self.device, self._precision)
                row["held_out_seconds"] = time.perf_counter() - started
                started = time.perf_counter()
            yield row

    def _peak_memory(self) -> int:
        """Most bytes that were in use at once: of the GPU by tensors, or of main memory by this process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts in KiB

    def _utilisation(self, seconds: float) -> dict[str, float]:
        """Model FLOPs utilisation by both conventions, on a GPU whose peak is known."""
        peak = flops.peak(torch.cuda.get_device_name(self.device)) if self.device.type == "cuda" else None
        if peak is None:
            return {}
        positions = self.plan.windows * self.objective.length / seconds
        causal = flops.flops_per_token(
            self.settings.model, self.model.embedding.num_embeddings, self.objective.length, causal=True
        )
        return {
            "mfu": flops.utilisation(positions, self.flops, peak),
            "mfu_causal": flops.utilisation(positions, causal, peak),
        }

    def _batches(self) -> Iterator[_Ready]:
        """Batches up to the last step; while one is trained on, a thread reads the next."""
        if self.step >= self.last:
            return
        with ThreadPoolExecutor(1, "loader") as pool:
            draw = self.loader.draw()
            reading = pool.submit(self._read, draw)
            while True:
                asked = time.perf_counter()
                micro_batches = [part.to(self.device) for part in reading.result()]
                ready = _Ready(draw, micro_batches, self.loader.state(), time.perf_counter() - asked)
                if draw.step < self.last:
                    draw = self.loader.draw()
                    reading = pool.submit(self._read, draw)
                yield ready
                if ready.draw.step >= self.last:
                    return

    def _read(self, draw: Draw) -> list[MicroBatch]:
        micro = self.settings.micro_windows or self.plan.windows
        parts = make_micro_batches(self.loader.rows(draw, micro), draw, self.objective, self.settings.seed)
        if self.settings.documents.needed:
            parts = with_documents(parts, self.loader.documents(draw, micro), self.settings.documents)
        return [part.pinned() for part in parts] if self.device.type == "cuda" else parts

    def _rate(self) -> float:
        """The learning rate of the next update."""
        schedule = self.settings.schedule
        batch = self.plan.windows * self.plan.seq_len
        if schedule.clock == "tokens":
            share = rate_factor(schedule, self.data_state["tokens"], batch, schedule.tokens or self.last * batch)
        else:
            share = rate_factor(schedule, self.step, 1, schedule.steps or self.last)
        return self.settings.optimizer.learning_rate * share

    def _update(self, micro_batches: list[MicroBatch], rate: float) -> tuple[float, float, str | None, dict[str, float]]:
        """One step of the optimizer.

        Returns:
            The mean cross-entropy before it, nats a token; the norm of its unclipped gradients; why it was not taken, if so; the
            mean of each source in the batch.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("rate_factor", 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        # cross-entropy and targets of each source
        sums = torch.zeros(2, len(self.plan.sources), device=self.device)
        # means are over the tokens of the whole batch, however it is split and wherever targets are ignored
        counted = torch.tensor(max(1, sum(part.counted for part in micro_batches)), device=self.device)
        for part in micro_batches:
            with self._precision():
                losses = self.model(
                    part.ids,
                    part.targets,
                    documents=part.documents,
                    positions=part.positions,
                    prefix=part.prefix,
                    denominator=counted,
                )
            losses.total.backward()
            total += losses.per_token.sum() / counted
            rows = torch.stack([losses.per_token.sum(1), (part.targets != IGNORED).sum(1)])
            sums.index_add_(1, part.sources, rows.to(sums.dtype))
        clip = self.settings.optimizer.clip
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), math.inf if clip is None else clip)
        mean = total.item()
        if not math.isfinite(mean):
            raise Diverged(f"the loss is {mean} at step {self.step + 1}; lower optimizer.learning_rate, or set optimizer.clip")
        spike = self.spikes.stands_out(mean, norm.item()) if self.spikes is not None else None
        if spike is None:
            self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        by_source = {name: cost / count for name, cost, count in zip(self.plan.sources, *sums.tolist(), strict=True) if count}
        return mean, norm.item(), spike, by_source

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", dtype=torch.bfloat16) if self.device.type == "cuda" else nullcontext()


def _model(settings: TrainSettings, objective: Objective) -> Decoder:
    """The model, its weights drawn."""
    of = settings.loss
    return Decoder(
        settings.model,
        objective.special.vocab_size,
        objective.length,
        kernel=settings.attention,
        z_weight=of.z_weight,
        chunk_tokens=of.chunk_tokens,
    )


def _differing(saved: dict[str, Any], mine: dict[str, Any], prefix: str) -> str:
    return "; ".join(f"{prefix}{key} was {saved.get(key)}, now {mine[key]}" for key in mine if saved.get(key) != mine[key])


def _progress(row: dict[str, Any], steps: int) -> str:
    return (
        f"step {row['step']}/{steps}  loss {row['loss']:.4f}  rate {row['learning_rate']:.2e}  "
        f"{row['tokens_per_second']:,.0f} tokens/s  waited {row['data_wait_ms']:.1f} ms for data"
        + (f"  held out {row['held_out']['all']['loss']:.4f}" if "held_out" in row else "")
        + (f"  not taken: {row['skipped']}" if "skipped" in row else "")
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
