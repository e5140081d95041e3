"""Token shards to batches: an exact mixture, an order that is a formula, and a state of a few numbers.

A source of U tokens has floor((U - 1) / seq_len) windows; window i reads tokens i * seq_len to (i + 1) * seq_len, both
included, one more than it predicts. Windows never mix sources. One cursor a source counts the windows served; epochs follow
from it by arithmetic, so the stream has no end and no boundary to trip over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gristmill.tokenizers.manifest import TokenizerEntry
from gristmill.trainer.order import integer_weights, next_quotas, permute

FORMAT_VERSION = 1


class PlanMismatch(ValueError):
    """A saved state belongs to other data or another plan; the message names the field."""


class Stream(Protocol):
    """One source's tokens."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Tokens start to stop, copied."""
        ...

    def document_ends(self, start: int, stop: int) -> NDArray[np.int64]:
        """Where documents end between two tokens, neither of them included."""
        ...


class Sources(Protocol):
    """What is trained on: a folder of token shards, or a mixture of several."""

    @property
    def folder(self) -> Path:
        """Where it lies, for messages."""
        ...

    @property
    def tokenizer(self) -> TokenizerEntry:
        """Which made the ids."""
        ...

    @property
    def content(self) -> str:
        """A sha256 that changes when the tokens do."""
        ...

    @property
    def streams(self) -> Mapping[str, Stream]:
        """By name of the source."""
        ...


@dataclass(frozen=True)
class Plan:
    """All that the order of the data depends on, apart from the seed."""

    content: str
    """A sha256 of the shards' content, e.g. `Manifest.content_hash`."""
    seq_len: int
    windows: int
    """Windows of a global batch."""
    sources: tuple[str, ...]
    weights: tuple[int, ...]
    """Of `integer_weights`, one a source."""
    available: tuple[int, ...]
    """Windows of one epoch, one a source."""
    packing: str = "concat"
    later: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """Further phases: after how many windows each begins, and its weights; `weights` are those of the first."""

    @classmethod
    def of(
        cls,
        shards: Sources,
        weights: Mapping[str, float],
        *,
        seq_len: int,
        windows: int,
        later: Sequence[tuple[int, Mapping[str, float]]] = (),
    ) -> Plan:
        """The plan for these shares of the tokens; sources that are not named are not read.

        Args:
            shards: the data.
            weights: shares of the sources; of the first phase, if there are several.
            seq_len: tokens predicted per window.
            windows: of a global batch.
            later: of each further phase the tokens before it, ascending, and its shares, of sources that `weights` names.
                A phase begins at the window nearest to its token, also within a batch.

        Raises:
            ValueError: a source is not in the shards, or has weight but not one whole window; the weights are no shares.
        """
        if unknown := sorted(set(weights) - set(shards.streams)):
            raise ValueError(f"no source {', '.join(unknown)} in {shards.folder}; it has {', '.join(sorted(shards.streams))}")
        names = tuple(sorted(weights))
        available = tuple(windows_of(len(shards.streams[name]), seq_len) for name in names)
        for name, count in zip(names, available, strict=True):
            if not count and any(shares.get(name, 0) > 0 for shares in (weights, *(shares for _, shares in later))):
                raise ValueError(
                    f"source {name} has {len(shards.streams[name]):,} tokens, a window reads {seq_len + 1:,}; "
                    "lower seq_len or leave the source out of the mixture"
                )
        first, *rest = (
            tuple(integer_weights([shares.get(name, 0.0) for name in names]).tolist())
            for shares in (weights, *(shares for _, shares in later))
        )
        starts = [round(tokens / seq_len) for tokens, _ in later]
        return cls(shards.content, seq_len, windows, names, first, available, later=tuple(zip(starts, rest, strict=True)))

    def phases(self, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """How many of the windows start to stop fall into each phase, and its weights."""
        begins = [0, *(begin for begin, _ in self.later)]
        ends = [*begins[1:], stop]
        for begin, end, weights in zip(begins, ends, (self.weights, *(weights for _, weights in self.later)), strict=True):
            if (count := min(stop, end) - max(start, begin)) > 0:
                yield count, np.array(weights, dtype=np.int64)

    def fields(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        fields: dict[str, Any] = {
            "content": self.content,
            "seq_len": self.seq_len,
            "windows": self.windows,
            "packing": self.packing,
            "sources": list(self.sources),
            "weights": list(self.weights),
        }
        if self.later:
            fields["later"] = [[begin, list(weights)] for begin, weights in self.later]
        return fields

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

    def __init__(self, shards: Sources, plan: Plan, seed: int) -> None:
        """Start at the beginning of the order that the seed gives."""
        self.plan = plan
        self.seed = seed
        self.step = 0
        self.tokens = 0
        self.order_hash = ""
        self._streams = [shards.streams[name] for name in plan.sources]
        self._carry = np.zeros(len(plan.sources), dtype=np.int64)
        self._cursor = np.zeros(len(plan.sources), dtype=np.int64)

    def draw(self) -> Draw:
        """Decide the next global batch and move on past it."""
        quotas = self._next_quotas()
        sources = np.repeat(np.arange(len(quotas), dtype=np.int32), quotas)
        windows = np.concatenate([self._next_windows(source, int(n)) for source, n in enumerate(quotas)])
        self._pass(quotas)
        order = permute(np.arange(self.plan.windows), self.plan.windows, self.seed, "batch", self.step)
        sources, windows = sources[order], windows[order]
        ids = sources.astype("<i4").tobytes() + windows.astype("<i8").tobytes()
        self.order_hash = sha256(bytes.fromhex(self.order_hash) + ids).hexdigest()
        return Draw(self.step, sources, windows, self.order_hash)

    def skip(self, steps: int, order_hash: str) -> None:
        """Move on past batches without deciding their windows, a hundredth of a millisecond each.

        Args:
            steps: how many batches.
            order_hash: that of the last of them, as a log has it, so that the next batch's is right; "" with no steps.
        """
        for _ in range(steps):
            self._pass(self._next_quotas())
        self.order_hash = order_hash

    def _next_quotas(self) -> NDArray[np.int64]:
        """Windows that each source gives to the next batch."""
        quotas = np.zeros(len(self.plan.sources), dtype=np.int64)
        before = self.step * self.plan.windows
        for count, weights in self.plan.phases(before, before + self.plan.windows):
            served, self._carry = next_quotas(self._carry, weights, count)
            quotas += served
        return quotas

    def _pass(self, quotas: NDArray[np.int64]) -> None:
        self._cursor = self._cursor + quotas
        self.step += 1
        self.tokens += self.plan.windows * self.plan.seq_len

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
        return [self._read(draw.sources[part], draw.windows[part]) for part in self.share(micro, rank, ranks)]

    def documents(self, draw: Draw, micro: int, *, rank: int = 0, ranks: int = 1) -> list[NDArray[np.int64]]:
        """Which document of its window each token of `rows` belongs to, counted from 0; arguments and shapes as of `rows`."""
        return [self._read_documents(draw.sources[part], draw.windows[part]) for part in self.share(micro, rank, ranks)]

    def share(self, micro: int, rank: int, ranks: int) -> list[slice]:
        """Where a rank's micro-batches stand in the global batch.

        Raises:
            ValueError: the global batch does not divide evenly.
        """
        total = self.plan.windows
        if total % (ranks * micro):
            raise ValueError(f"a batch of {total} windows does not divide into {ranks} ranks x micro-batches of {micro}")
        starts = [(a * ranks + rank) * micro for a in range(total // (ranks * micro))]
        return [slice(start, start + micro) for start in starts]

    def _read(self, sources: NDArray[np.int32], windows: NDArray[np.int64]) -> NDArray[np.int64]:
        length = self.plan.seq_len
        rows = np.empty((len(windows), length + 1), dtype=np.int64)
        for row, source, window in zip(rows, sources.tolist(), windows.tolist(), strict=True):
            row[:] = self._streams[source].read(window * length, window * length + length + 1)
        return rows

    def _read_documents(self, sources: NDArray[np.int32], windows: NDArray[np.int64]) -> NDArray[np.int64]:
        length = self.plan.seq_len
        begins = np.zeros((len(windows), length + 1), dtype=np.int64)
        for row, source, window in zip(begins, sources.tolist(), windows.tolist(), strict=True):
            first = window * length
            row[self._streams[source].document_ends(first, first + length + 1) - first] = 1
        return begins.cumsum(axis=1)

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
        named = [*mine, *(name for name in saved if name not in mine)]
        if differing := [
            f"{name} was {saved.get(name)}, now {mine.get(name)}" for name in named if saved.get(name) != mine.get(name)
        ]:
            raise PlanMismatch("; ".join(differing))
        if state["plan_hash"] != self.plan.hash():
            raise PlanMismatch("the plan's hash does not fit its fields; the checkpoint is damaged")
        self.step, self.tokens, self.order_hash = state["step"], state["tokens"], state["order_hash"]
        self._carry = np.array(state["carry"], dtype=np.int64)
        self._cursor = np.array(state["cursor"], dtype=np.int64)
