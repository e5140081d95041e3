"""A model, its optimizer and its data at some step, and how they get to the next."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gristmill.trainer import checkpoint, flops, named_tensors, parallel, resuming
from gristmill.trainer.averaging import RunningAverage
from gristmill.trainer.batches import Batches
from gristmill.trainer.checkpoint import State
from gristmill.trainer.config import ConfigError
from gristmill.trainer.evaluation import Evaluation, encoder_of, shard_folders
from gristmill.trainer.loader import Loader, Plan, PlanMismatch, Sources
from gristmill.trainer.losses import IGNORED
from gristmill.trainer.metrics import Meter
from gristmill.trainer.micro_batch import MicroBatch
from gristmill.trainer.model import Decoder
from gristmill.trainer.objectives import Objective
from gristmill.trainer.optim import Optimizer, make_optimizer
from gristmill.trainer.schedule import rate_factor
from gristmill.trainer.settings import TrainSettings
from gristmill.trainer.spikes import SpikeWatch
from gristmill.trainer.world import ToldElsewhere, World


class Diverged(RuntimeError):
    """The loss is no number any more; the message names the step and the last checkpoint stays."""


class Training:
    """A model, its optimizer and its data, at some step."""

    def __init__(
        self,
        settings: TrainSettings,
        shards: Sources,
        plan: Plan,
        device: torch.device,
        steps: int,
        *,
        world: World | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        """Draw the weights and stand before the first of so many steps; `say` takes what the user should know."""
        self.settings, self.device, self.plan, self.last, self.say = settings, device, plan, steps, say
        self.world = world or World()
        self.objective, model = self.world.agree(lambda: _model(settings, shards, device))
        self.evaluation = self.world.agree(lambda: _evaluation(settings, shards, self.objective, say))
        self.spread = parallel.apply(model, settings, self.world, device)
        self.model = self.spread.model
        self.optimizer = self.world.agree(lambda: _optimizer(self.model, settings, device))
        self.flops = flops.flops_per_token(settings.model, self.model.embedding.num_embeddings, self.objective.length)
        self.spikes = SpikeWatch(settings.spikes) if settings.spikes is not None else None
        self.average = RunningAverage(self.model, settings.average_decay) if settings.average_decay is not None else None
        self.loader = Loader(shards, plan, settings.seed)
        self.batches = Batches(settings, self.loader, self.objective, device, self.world)
        self.meter = Meter(
            settings, self.objective.length, self.flops, self.model.embedding.num_embeddings, device, self.world.size
        )
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
            "processes": self.world.size,
            "threads": torch.get_num_threads(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        }

    def state(self) -> State:
        """Everything that the next step depends on."""
        plain = {
            "settings": self.settings.model_dump(mode="json"),
            "spikes": self.spikes.state() if self.spikes is not None else {},
            "data": self.data_state,
            "tied": named_tensors.tied(self.model),
        }
        return State(self.step, self._tensors(), plain)

    def resume(self, folder: Path, *, weights_only: bool = False) -> None:
        """Take over a checkpoint's state, whatever number of processes in whatever form wrote it.

        Args:
            folder: the checkpoint.
            weights_only: leave its optimizer, average, random numbers and place in the data.

        Raises:
            ConfigError: it is damaged, or of another model, other data or another order of them.
        """
        saved = self.world.agree(lambda: self._fitting(folder, weights_only))
        mine = self._tensors()  # all processes together: an optimizer that has not stepped does so
        take = partial(resuming.take, folder, mine, self.model, self.optimizer, weights_only=weights_only, say=self.say)
        self.world.agree(take)
        if self.average is not None and (weights_only or not resuming.has(folder, "average")):
            self.average = RunningAverage(self.model, self.average.decay)  # one that begins with these weights
        if weights_only:
            return
        resuming.set_rng(folder, self.world.rank, saved["processes"], self.world.size, self.device, self.say)
        if self.spikes is not None:
            self.spikes.resume(saved["spikes"])
        self.data_state = saved["data"]

    def _fitting(self, folder: Path, weights_only: bool) -> dict[str, Any]:
        """What a checkpoint says of itself; where it is to be taken whole, the data stands where it says."""
        saved = checkpoint.read_plain(folder)
        mine = self.settings.model_dump(mode="json")
        if differing := _differing(saved["settings"]["model"], mine["model"], "model."):
            raise ConfigError(f"{folder}: {differing}; choose another --output")
        if weights_only:
            return saved
        if "data" not in saved:  # a mean of several
            raise ConfigError(f"{folder}: holds weights alone; give init=weights to begin with them")
        self._fits(folder, saved, mine)
        return saved

    def _fits(self, folder: Path, saved: dict[str, Any], mine: dict[str, Any]) -> None:
        """Stand where a checkpoint's data stands, and tell what will be different from there on."""
        weights = ", or init=weights to take its weights alone" if self.settings.init_from is not None else ""
        try:
            self.loader.resume(saved["data"])
        except PlanMismatch as error:
            raise ConfigError(f"{folder}: {error}; choose another --output{weights}") from error
        if saved["settings"]["optimizer"].get("name", "adamw") != self.settings.optimizer.name:
            raise ConfigError(
                f"{folder}: was written by another optimizer; choose another --output, or the same optimizer.name{weights}"
            )
        for part in ("optimizer", "schedule", "documents"):
            if differing := _differing(saved["settings"].get(part, mine[part]), mine[part], f"{part}."):
                self.say(f"from here on, {differing}")

    def _tensors(self) -> dict[str, Tensor]:
        """Weights, and what optimizer and average hold of them, by the names in a checkpoint; themselves, not copies."""
        average = self.average.weights if self.average is not None else {}
        return resuming.tensors(self.model, self.optimizer, average) | resuming.rng(self.world.rank, self.device)

    def steps(self) -> Iterator[dict[str, Any]]:
        """Train up to the last step, a row of metrics each; after each row the training may be saved or left."""
        self.meter.start()
        for batch in self.batches.up_to(self.last):
            rate = self._rate(batch.tokens)
            loss, norm, spike, by_source = self._update(batch.micro_batches, rate)
            self.data_state = batch.state
            row = {
                "step": batch.draw.step,
                "tokens": batch.state["tokens"],
                "loss": loss,
                "source_loss": by_source,
                "learning_rate": rate,
                "gradient_norm": norm,
                "order_hash": batch.draw.order_hash,
                **({"skipped": spike} if spike else {}),
                **self.meter.row(batch),
            }
            if self.evaluation is not None and (self.step % self.evaluation.settings.every == 0 or self.step == self.last):
                row |= self.evaluation.row(self.model, self.device, self._precision, self.world)
            self.meter.start()
            yield row

    def _rate(self, batch: int) -> float:
        """The learning rate of an update on so many tokens."""
        schedule = self.settings.schedule
        if schedule.clock == "tokens":
            share = rate_factor(
                schedule, self.data_state["tokens"], batch, schedule.tokens or self.plan.targets_before(self.last)
            )
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
        # cross-entropy and targets of each source; last, of all of them
        sums = torch.zeros(2, len(self.plan.sources) + 1, device=self.device)
        # means are over the tokens of the whole batch, however it is split and wherever targets are ignored
        counted = self.world.sum(torch.tensor(sum(part.counted for part in micro_batches), device=self.device)).clamp(min=1)
        for number, part in enumerate(micro_batches, 1):
            with self.spread.accumulating(more=number < len(micro_batches)):
                with self._precision():
                    losses = self.spread.losses(part, counted)
                losses.total.backward()  # type: ignore[no-untyped-call]
            rows = torch.stack([losses.per_token.sum(1), (part.targets != IGNORED).sum(1)]).to(sums.dtype)
            sums.index_add_(1, part.sources, rows)
            sums[:, -1] += rows.sum(1)
        clip = self.settings.optimizer.clip
        norm = self.spread.clip(math.inf if clip is None else clip)
        # what is decided of a step is decided of the same numbers everywhere
        told = torch.cat([(self.world.sum(sums)[0] / counted)[-1:], norm[None], sums.flatten()])
        mean, size, *flat = self.world.of_the_first(told).tolist()
        if not math.isfinite(mean):
            if not self.world.first:
                raise ToldElsewhere
            raise Diverged(f"the loss is {mean} at step {self.step + 1}; lower optimizer.learning_rate, or set optimizer.clip")
        spike = self.spikes.stands_out(mean, size) if self.spikes is not None else None
        if spike is None:
            self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        costs, counts = flat[: len(flat) // 2], flat[len(flat) // 2 :]
        by_source = {name: cost / count for name, cost, count in zip(self.plan.sources, costs, counts, strict=False) if count}
        return mean, size, spike, by_source

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", dtype=torch.bfloat16) if self.device.type == "cuda" else nullcontext()


def _model(settings: TrainSettings, shards: Sources, device: torch.device) -> tuple[Objective, Decoder]:
    """What is learned, and the model with its weights drawn: of the seed alone, and so the same on every process."""
    of = settings.loss
    if settings.attention == "flex" and device.type == "cpu":
        raise ConfigError(f"{settings.name}: attention is flex, which cannot train on a CPU; set attention=auto")
    if settings.attention == "sdpa" and settings.model.attention_softcap is not None:
        raise ConfigError(f"{settings.name}: attention is sdpa, which knows no model.attention_softcap; set attention=auto")
    torch.manual_seed(settings.seed)
    try:
        objective = Objective(settings.objective, shards.tokenizer.vocab_size, settings.seq_len)
        model = Decoder(
            settings.model,
            objective.special.vocab_size,
            objective.length,
            kernel=settings.attention,
            z_weight=of.z_weight,
            chunk_tokens=of.chunk_tokens,
        )
    except ValueError as error:
        raise ConfigError(f"{settings.name}: {error}") from error
    return objective, model.to(device)


def _optimizer(model: Decoder, settings: TrainSettings, device: torch.device) -> Optimizer:
    try:
        return make_optimizer(model, settings.optimizer, fused=device.type in ("cuda", "cpu"))
    except ValueError as error:
        raise ConfigError(f"{settings.name}: {error}") from error


def _evaluation(settings: TrainSettings, shards: Sources, objective: Objective, say: Callable[[str], None]) -> Evaluation | None:
    if settings.evaluation is None:
        return None
    return Evaluation(
        settings.evaluation,
        shards.tokenizer,
        min(settings.seq_len, objective.length),
        settings.documents,
        encoder=encoder_of(shard_folders(shards), shards.tokenizer) if settings.evaluation.tasks else None,
        say=say,
    )


def _differing(saved: dict[str, Any], mine: dict[str, Any], prefix: str) -> str:
    return "; ".join(f"{prefix}{key} was {saved.get(key)}, now {mine[key]}" for key in mine if saved.get(key) != mine[key])
