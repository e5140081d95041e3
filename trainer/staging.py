"""Micro-batches on their way to the device: while it computes, and without tokens being written over that it has not taken yet.

A copy from pinned memory returns before it is done. Were its buffer filled again meanwhile, the device would train on half of one
batch and half of another, and no loss would tell. So there are a few buffers in turn, and an event after each one's last copy,
which is waited for before it is filled again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from gristmill.trainer.micro_batch import MicroBatch

BUFFERS = 3
"""One is filled, one is copied from, and one is at rest, so that the reader need not wait for a copy."""
_ALIGNMENT = 64
_MULTIPLIER = 0x1E3779B97F4A7C15


class CorruptedTokens(RuntimeError):
    """The device has other tokens than were read; the message names the step and the micro-batch."""


@dataclass(frozen=True)
class Sent:
    """Micro-batches that are being copied."""

    step: int
    micro_batches: list[MicroBatch]
    """On the device, as soon as `copied` has happened."""
    copied: torch.cuda.Event | None
    """None where nothing was to be copied."""
    checksums: list[int]
    """Of what was read; empty unless they are compared."""


class Staging:
    """Brings what a thread has read to the device of another one that trains."""

    def __init__(self, device: torch.device, *, verify: bool = False) -> None:
        """Bring to this device; `verify` compares checksums there, for which the training waits."""
        self.device, self.verify = device, verify
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._buffers = cycle([Buffer(pinned=True) for _ in range(BUFFERS)])

    def send(self, step: int, parts: Sequence[MicroBatch]) -> Sent:
        """Begin to copy; for the thread that reads."""
        checksums = [int(checksum(part)) for part in parts] if self.verify else []
        if self._stream is None:
            return Sent(step, [part.to(self.device) for part in parts], None, checksums)
        buffer = next(self._buffers)
        if buffer.copied is not None:
            buffer.copied.synchronize()
        # streams belong to a thread: this one's copies wait for nothing that the training has queued
        with torch.cuda.stream(self._stream):
            there = [part.to(self.device) for part in buffer.fill(parts)]
            buffer.copied = self._stream.record_event()
        return Sent(step, there, buffer.copied, checksums)

    def take(self, sent: Sent) -> list[MicroBatch]:
        """What was sent; for the thread that trains, whose work from here on waits for the copies.

        Raises:
            CorruptedTokens: checksums are compared, and differ.
        """
        if sent.copied is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(sent.copied)
            for part in sent.micro_batches:
                for tensor in part.tensors().values():
                    # the memory came from the other stream, which must not have it back before this one is done with it
                    tensor.record_stream(stream)
        if self.verify:
            for number, (part, expected) in enumerate(zip(sent.micro_batches, sent.checksums, strict=True), 1):
                if (found := int(checksum(part))) != expected:
                    raise CorruptedTokens(
                        f"step {sent.step}, micro-batch {number}: the tokens on {self.device} have the checksum "
                        f"{found:016x}, those that were read {expected:016x}; the last checkpoint is of a step before"
                    )
        return sent.micro_batches


class Buffer:
    """Memory that batch after batch is laid into; it grows to the largest of them."""

    def __init__(self, *, pinned: bool) -> None:
        """Nothing as yet; `pinned`: memory that a GPU reads by itself."""
        self.pinned = pinned
        self.copied: torch.cuda.Event | None = None
        """When the last copy out of it is done."""
        self._bytes = torch.empty(0, dtype=torch.uint8)

    def fill(self, parts: Sequence[MicroBatch]) -> list[MicroBatch]:
        """The same micro-batches, their tensors in this memory; those of the time before are gone."""
        needed = sum(_padded(tensor) for part in parts for tensor in part.tensors().values())
        if needed > len(self._bytes):
            self._bytes = torch.empty(needed, dtype=torch.uint8, pin_memory=self.pinned)
        at, laid = 0, []
        for part in parts:
            moved: dict[str, Any] = {}
            for name, tensor in part.tensors().items():
                size = tensor.numel() * tensor.element_size()
                moved[name] = self._bytes[at : at + size].view(tensor.dtype).view(tensor.shape)
                moved[name].copy_(tensor)
                at += _padded(tensor)
            laid.append(replace(part, **moved))
        return laid


def checksum(batch: MicroBatch) -> Tensor:
    """A number that another token at any place, or two that changed places, would change; int64, on the batch's device.

    The sum of (value + 1) x (an odd number of the place), modulo 2^64: it is the same in any order of summation.
    """
    total = torch.zeros((), dtype=torch.int64, device=batch.ids.device)
    before = 0
    for tensor in batch.tensors().values():
        values = tensor.reshape(-1).to(torch.int64)
        places = torch.arange(before, before + len(values), device=values.device)
        total += ((values + 1) * ((2 * places + 1) * _MULTIPLIER)).sum()
        before += len(values)
    return total


def _padded(tensor: Tensor) -> int:
    return -(-tensor.numel() * tensor.element_size() // _ALIGNMENT) * _ALIGNMENT
