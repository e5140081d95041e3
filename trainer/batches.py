"""Global batches, read by a thread while the one before is trained on, and put on the device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from gristmill.trainer.loader import Draw, Loader
from gristmill.trainer.micro_batch import MicroBatch, make_micro_batches, with_documents
from gristmill.trainer.objectives import Objective
from gristmill.trainer.settings import TrainSettings
from gristmill.trainer.staging import Sent, Staging
from gristmill.trainer.world import World


@dataclass(frozen=True)
class Ready:
    """This process's share of a global batch, on its device, and where the data stands after it."""

    draw: Draw
    micro_batches: list[MicroBatch]
    state: dict[str, Any]
    wait_seconds: float
    tokens: int
    """Of the whole batch, on all processes."""


class Batches:
    """Reads ahead, one batch."""

    def __init__(self, settings: TrainSettings, loader: Loader, objective: Objective, device: torch.device, world: World) -> None:
        """Read where the loader stands when they are first asked for."""
        self.settings, self.loader, self.objective, self.world = settings, loader, objective, world
        self.staging = Staging(device, verify=settings.verify_tokens)

    def up_to(self, last: int) -> Iterator[Ready]:
        """The batches up to a step; while one is trained on, a thread reads the next."""
        if self.loader.step >= last:
            return
        with ThreadPoolExecutor(1, "loader") as pool:
            before = self.loader.tokens
            draw = self.loader.draw()
            reading = pool.submit(self._read, draw)
            while True:
                asked = time.perf_counter()
                micro_batches = self.staging.take(reading.result())
                ready = Ready(draw, micro_batches, self.loader.state(), time.perf_counter() - asked, self.loader.tokens - before)
                if draw.step < last:
                    before = self.loader.tokens
                    draw = self.loader.draw()
                    reading = pool.submit(self._read, draw)
                yield ready
                if ready.draw.step >= last:
                    return

    def _read(self, draw: Draw) -> Sent:
        rank, ranks = self.world.data_rank, self.world.data_ranks
        micro = self.settings.micro_windows or len(draw.sources) // ranks
        if self.settings.read_ahead:
            self.loader.will_need(draw, micro, rank=rank, ranks=ranks)
        rows = self.loader.rows(draw, micro, rank=rank, ranks=ranks)
        ignored = self.loader.ignored(draw, micro, rank=rank, ranks=ranks)
        masked = self.loader.masked(draw, micro, rank=rank, ranks=ranks)
        parts = make_micro_batches(
            rows, draw, self.objective, self.settings.seed, rank=rank, ranks=ranks, ignored=ignored, masked=masked
        )
        if self.settings.documents.needed:
            documents = self.loader.documents(draw, micro, rank=rank, ranks=ranks)
            parts = with_documents(parts, documents, self.settings.documents)
        return self.staging.send(draw.step, parts)
