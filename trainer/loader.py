"""Token shards to batches: an exact mixture, an order that is a formula, and a state of a few numbers.

A source of U tokens has floor((U - 1) / seq_len) windows; window i reads tokens i * seq_len to (i + 1) * seq_len, both
included, one more than it predicts. Windows never mix sources. One cursor a source counts the windows served; epochs follow
from it by arithmetic, so the stream has no end and no boundary to trip over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill.tokenizers.shards import ShardSet
from gristmill.trainer.order import integer_weights, next_quotas, permute

FORMAT_VERSION = 1


class PlanMismatch(ValueError):
    """A saved state belongs to other data or another plan; the message names the field."""


@dataclass(frozen=True)
class Plan:
    """All that the order of the data depends on, apart from the seed."""

    content: str
    """`Manifest.content_hash` of the shards."""
    seq_len: int
    windows: int
    """Windows of a global batch."""
    sources: tuple[str, ...]
    weights: tuple[int, ...]
    """Of `integer_weights`, one a source."""
    available: tuple[int, ...]
    """Windows of one epoch, one a source."""
    packing: str = "concat"

    @classmethod
    def of(cls, shards: ShardSet, weights: Mapping[str, float], *, seq_len: int, windows: int) -> Plan:
        """The plan for these shares of the tokens; sources that are not named are not read.

        Raises:
            ValueError: a source is not in the shards, or has weight but not one whole window; the weights are no shares.
        """
        if unknown := sorted(set(weights) - set(shards.streams)):
            raise ValueError(f"no source {', '.join(unknown)} in {shards.folder}; it has {', '.join(sorted(shards.streams))}")
        names = tuple(sorted(weights))
        available = tuple(windows_of(len(shards.streams[name]), seq_len) for name in names)
        for name, count in zip(names, available, strict=True):
            if weights[name] > 0 and not count:
                raise ValueError(
                    f"source {name} has {len(shards.streams[name]):,} tokens, a window reads {seq_len + 1:,}; "
                    "lower seq_len or leave the source out of the mixture"
                )
        whole = integer_weights([weights[name] for name in names])
        return cls(shards.manifest.content_hash(), seq_len, windows, names, tuple(whole.tolist()), available)

    def fields(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        return {
            "content": self.content,
            "seq_len": self.seq_len,
            "windows": self.windows,
            "packing": self.packing,
            "sources": list(self.sources),
            "weights": list(self.weights),
        }

    def hash(self) -> str:
        """The sha256 that a state carries."""
        return sha256(json.dumps(self.fields(), sort_keys=True).encode()).hexdigest()


def windows_of(tokens: int, seq_len: int) -> int:
    """Windows of one pass over a source with this many tokens."""
    return max(0, (tokens - 1) // seq_len)


@dataclass(frozen=True)
class Draw:
    """One global batch, before its tokens are read: the same for every number of ranks."""

    step: int
    """Counted from 1."""
    sources: NDArray[np.int32]
    """Index into `Plan.sources` of each window, shape (windows,)."""
    windows: NDArray[np.int64]
    """Window of its source, shape (windows,)."""
    order_hash: str
    """Running sha256 over the ids of all global batches so far: two runs read the same exactly when these agree."""


class Loader:
    """Draws global batches and reads a rank's share of them."""

    def __init__(self, shards: ShardSet, plan: Plan, seed: int) -> None:
        """Start at the beginning of the order that the seed gives."""
        self.plan = plan
        self.seed = seed
        self.step = 0
        self.tokens = 0
        self.order_hash = ""
        self._streams = [shards.streams[name] for name in plan.sources]
        self._weights = np.array(plan.weights, dtype=np.int64)
        self._carry = np.zeros(len(plan.sources), dtype=np.int64)
        self._cursor = np.zeros(len(plan.sources), dtype=np.int64)

    def draw(self) -> Draw:
        """Decide the next global batch and move on past it."""
        quotas, self._carry = next_quotas(self._carry, self._weights, self.plan.windows)
        sources = np.repeat(np.arange(len(quotas), dtype=np.int32), quotas)
        windows = np.concatenate([self._next_windows(source, int(n)) for source, n in enumerate(quotas)])
        self._cursor = self._cursor + quotas
        self.step += 1
        self.tokens += self.plan.windows * self.plan.seq_len
        order = permute(np.arange(self.plan.windows), self.plan.windows, self.seed, "batch", self.step)
        sources, windows = sources[order], windows[order]
        ids = sources.astype("<i4").tobytes() + windows.astype("<i8").tobytes()
        self.order_hash = sha256(bytes.fromhex(self.order_hash) + ids).hexdigest()
        return Draw(self.step, sources, windows, self.order_hash)

    def _next_windows(self, source: int, count: int) -> NDArray[np.int64]:
        size = self.plan.available[source]
        served = int(self._cursor[source]) + np.arange(count, dtype=np.int64)
        if not count:
            return served
        result = np.empty(count, dtype=np.int64)
        epochs = served // size
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            here = epochs == epoch
            result[here] = permute(served[here] % size, size, self.seed, self.plan.sources[source], epoch)
        return result

    def rows(self, draw: Draw, micro: int, *, rank: int = 0, ranks: int = 1) -> list[NDArray[np.int64]]:
        """Read one rank's share of a global batch, in micro-batches.

        Args:
            draw: the batch.
            micro: windows of a micro-batch; ranks x micro x the number of micro-batches is the global batch.
            rank: data-parallel rank, from 0. Tensor and pipeline parallel peers pass the same one.
            ranks: of data parallelism.

        Returns:
            Micro-batches in order, each of shape (micro, seq_len + 1), int64: inputs are [:, :-1], targets [:, 1:].

        Raises:
            ValueError: the global batch does not divide evenly.
        """
        total = self.plan.windows
        if total % (ranks * micro):
            raise ValueError(f"a batch of {total} windows does not divide into {ranks} ranks x micro-batches of {micro}")
        starts = [(a * ranks + rank) * micro for a in range(total // (ranks * micro))]
        return [self._read(draw.sources[s : s + micro], draw.windows[s : s + micro]) for s in starts]

    def _read(self, sources: NDArray[np.int32], windows: NDArray[np.int64]) -> NDArray[np.int64]:
        length = self.plan.seq_len
        rows = np.empty((len(windows), length + 1), dtype=np.int64)
        for row, source, window in zip(rows, sources.tolist(), windows.tolist(), strict=True):
            row[:] = self._streams[source].read(window * length, window * length + length + 1)
        return rows

    def state(self) -> dict[str, Any]:
        """Where the order stands after the last draw; plain numbers and strings, the same on every rank."""
        return {
            "format_version": FORMAT_VERSION,
            "plan_hash": self.plan.hash(),
            "plan": self.plan.fields(),
            "seed": self.seed,
            "step": self.step,
            "tokens": self.tokens,
            "carry": self._carry.tolist(),
            "cursor": self._cursor.tolist(),
            "order_hash": self.order_hash,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Continue where a state was taken; takes the same time after any number of steps.

        Raises:
            PlanMismatch: the state belongs to another plan or seed; the differing fields are named.
        """
        if state["format_version"] != FORMAT_VERSION:
            raise PlanMismatch(f"loader state of format {state['format_version']}; this version reads {FORMAT_VERSION}")
        saved, mine = {**state["plan"], "seed": state["seed"]}, {**self.plan.fields(), "seed": self.seed}
        if differing := [f"{name} was {saved.get(name)}, now {mine[name]}" for name in mine if saved.get(name) != mine[name]]:
            raise PlanMismatch("; ".join(differing))
        if state["plan_hash"] != self.plan.hash():
            raise PlanMismatch("the plan's hash does not fit its fields; the checkpoint is damaged")
        self.step, self.tokens, self.order_hash = state["step"], state["tokens"], state["order_hash"]
        self._carry = np.array(state["carry"], dtype=np.int64)
        self._cursor = np.array(state["cursor"], dtype=np.int64)
