"""What a step cost in time and memory, and how much of the GPU it used."""

from __future__ import annotations

import resource
import time

import torch

from gristmill.trainer import flops
from gristmill.trainer.batches import Ready
from gristmill.trainer.settings import TrainSettings


class Meter:
    """Measures one step at a time."""

    def __init__(
        self, settings: TrainSettings, length: int, cost: int, vocabulary: int, device: torch.device, devices: int = 1
    ) -> None:
        """Measure steps of this model.

        Args:
            settings: of the run.
            length: tokens of an input, as the objective makes it.
            cost: FLOPs a token, forward and backward.
            vocabulary: rows of the embedding.
            device: where the model is.
            devices: how many of this kind train together.
        """
        self.devices = devices
        self.device, self.seq_len, self.length, self.cost = device, settings.seq_len, length, cost
        self.causal = flops.flops_per_token(settings.model, vocabulary, length, causal=True)
        self.started = time.perf_counter()

    def start(self) -> None:
        """A step begins now."""
        self.started = time.perf_counter()

    def row(self, batch: Ready) -> dict[str, float]:
        """Of the step that ends now: tokens, milliseconds, memory; on GPUs of known peak, the utilisation of all of them."""
        seconds = time.perf_counter() - self.started
        return {
            "tokens_per_second": batch.tokens / seconds,
            "data_wait_ms": 1000 * batch.wait_seconds,
            "step_ms": 1000 * seconds,
            "peak_memory_bytes": self._peak_memory(),
            **self._utilisation(batch.tokens / self.seq_len * self.length / seconds),
        }

    def _peak_memory(self) -> int:
        """Most bytes that were in use at once: of the GPU by tensors, or of main memory by this process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts in KiB

    def _utilisation(self, positions: float) -> dict[str, float]:
        """Model FLOPs utilisation by both conventions, at so many positions a second."""
        peak = flops.peak(torch.cuda.get_device_name(self.device)) if self.device.type == "cuda" else None
        if peak is None:
            return {}
        return {
            "mfu": flops.utilisation(positions, self.cost, peak, self.devices),
            "mfu_causal": flops.utilisation(positions, self.causal, peak, self.devices),
        }
