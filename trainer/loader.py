"""Token shards to batches: an exact mixture, an order that is a formula, and a state of a few numbers.

A source of U tokens has floor((U - 1) / seq_len) windows; window i reads tokens i * seq_len to (i + 1) * seq_len, both
included, one more than it predicts. Windows never mix sources. One cursor a source counts the windows served; epochs follow
from it by arithmetic, so the stream has no end and no boundary to trip over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gristmill.trainer.order import integer_weights, next_quotas, permute
from gristmill.trainer.plan import Plan, Sources, Stream, windows_of
from gristmill.trainer.window_reader import WindowReader

FORMAT_VERSION = 1
AHEAD_BATCHES = 16
"""Batches for which a source's order is worked out at once: few windows take as long as many."""
_NOTHING: NDArray[np.int64] = np.empty(0, dtype=np.int64)

__all__ = ["FORMAT_VERSION", "Draw", "Loader", "Plan", "PlanMismatch", "Sources", "Stream", "share", "windows_of"]


class PlanMismatch(ValueError):
    """A saved state belongs to other data or another plan; the message names the field."""


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
        # the same numbers of windows are other tokens where they are packed otherwise
        self.order_hash = sha256("".join(one.hash for one in plan.packed).encode()).hexdigest() if plan.packed else ""
        self._windows = 0
        self._reader = WindowReader([shards.streams[name] for name in plan.sources], plan)
        self._carry = np.zeros(len(plan.sources), dtype=np.int64)
        self._cursor = np.zeros(len(plan.sources), dtype=np.int64)
        self._ahead: dict[int, tuple[int, NDArray[np.int64]]] = {}

    def draw(self) -> Draw:
        """Decide the next global batch and move on past it."""
        count = self.plan.windows_at(self.step + 1)
        sources, windows = self._decide_padded(count) if self.plan.padded else self._decide(count)
        self._pass(count)
        # the key is the number of batches with this one
        order = permute(np.arange(count), count, self.seed, "batch", self.step)
        sources, windows = sources[order], windows[order]
        ids = sources.astype("<i4").tobytes() + windows.astype("<i8").tobytes()
        self.order_hash = sha256(bytes.fromhex(self.order_hash) + ids).hexdigest()
        return Draw(self.step, sources, windows, self.order_hash)

    def skip(self, steps: int, order_hash: str) -> None:
        """Move on past batches: a hundredth of a millisecond each, without deciding their windows; where windows are padded some
        tenths, since what they hold is charged.

        Args:
            steps: how many batches.
            order_hash: that of the last of them, as a log has it, so that the next batch's is right; not looked at with no steps.
        """
        for _ in range(steps):
            count = self.plan.windows_at(self.step + 1)
            if self.plan.padded:
                self._decide_padded(count)
            else:
                self._cursor = self._cursor + self._next_quotas(count)
            self._pass(count)
        if steps:
            self.order_hash = order_hash

    def _pass(self, count: int) -> None:
        """A batch of so many windows is decided."""
        self.step += 1
        self._windows += count
        if not self.plan.padded:
            self.tokens += count * self.plan.seq_len

    def _decide(self, count: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Sources and windows of a batch of full windows, by source."""
        quotas = self._next_quotas(count)
        windows = self._take(quotas)
        return np.repeat(np.arange(len(quotas), dtype=np.int32), quotas), windows

    def _next_quotas(self, count: int) -> NDArray[np.int64]:
        """Windows that each source gives to the next batch."""
        quotas = np.zeros(len(self.plan.sources), dtype=np.int64)
        for part, weights in self.plan.phases(self._windows, self._windows + count):
            served, self._carry = next_quotas(self._carry, weights, part)
            quotas += served
        return quotas

    def _decide_padded(self, count: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The same where windows have more or fewer targets: a source is charged for those that it gave.

        The carry is in 2^-32 targets. In windows, at the mean targets of each source's, it says what is owed; what was given is
        then counted.
        """
        sources, windows = [], []
        means = np.array(self.plan.targets, dtype=np.float64) / np.maximum(1, np.array(self.plan.available))
        for part, weights in self.plan.phases(self._windows, self._windows + count):
            owed = np.rint(self._carry / np.maximum(means, 1)).astype(np.int64)
            quotas, _ = next_quotas(owed, integer_weights(self.plan.window_shares(weights.tolist()).tolist()), part)
            taken = self._take(quotas)
            which = np.repeat(np.arange(len(quotas), dtype=np.int32), quotas)
            given = np.array(
                [int(packed.counted[taken[which == number]].sum()) for number, packed in enumerate(self.plan.packed)],
                dtype=np.int64,
            )
            total = int(given.sum())
            self._carry = self._carry + weights * total - (given << 32)
            self.tokens += total
            sources.append(which)
            windows.append(taken)
        return np.concatenate(sources), np.concatenate(windows)

    def _take(self, quotas: NDArray[np.int64]) -> NDArray[np.int64]:
        """The next so many windows of each source, and its cursor past them."""
        windows = np.concatenate([self._next_windows(source, int(n)) for source, n in enumerate(quotas)])
        self._cursor = self._cursor + quotas
        return windows

    def _next_windows(self, source: int, count: int) -> NDArray[np.int64]:
        served = int(self._cursor[source])
        first, ahead = self._ahead.get(source, (0, _NOTHING))
        if count and not first <= served <= served + count <= first + len(ahead):
            first, ahead = served, self._order(source, served, AHEAD_BATCHES * count)
            self._ahead[source] = first, ahead
        return ahead[served - first : served - first + count]

    def _order(self, source: int, served: int, count: int) -> NDArray[np.int64]:
        """The windows of a source after so many have been served."""
        size = self.plan.available[source]
        places = served + np.arange(count, dtype=np.int64)
        result = np.empty(count, dtype=np.int64)
        for epoch in range(served // size, (served + count - 1) // size + 1):
            here = slice(max(0, epoch * size - served), max(0, (epoch + 1) * size - served))
            result[here] = permute(places[here] - epoch * size, size, self.seed, self.plan.sources[source], epoch)
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
        return [self._reader.rows(draw.sources[part], draw.windows[part]) for part in share(draw, micro, rank, ranks)]

    def documents(self, draw: Draw, micro: int, *, rank: int = 0, ranks: int = 1) -> list[NDArray[np.int32]]:
        """Which document of its window each token of `rows` belongs to, int32 from 0; arguments and shapes as of `rows`."""
        return [self._reader.documents(draw.sources[part], draw.windows[part]) for part in share(draw, micro, rank, ranks)]

    def ignored(self, draw: Draw, micro: int, *, rank: int = 0, ranks: int = 1) -> list[NDArray[np.bool_] | None]:
        """Which targets of `rows` do not count, each of shape (micro, seq_len), None where all do; arguments as of `rows`."""
        return [self._reader.ignored(draw.sources[part], draw.windows[part]) for part in share(draw, micro, rank, ranks)]

    def masked(self, draw: Draw, micro: int, *, rank: int = 0, ranks: int = 1) -> list[NDArray[np.bool_] | None]:
        """Which tokens of `rows` are read and never a target, by the masks of the shards; each of the shape of `rows`, None where
        no source of the plan has a mask. Arguments as of `rows`."""
        return [self._reader.masked(draw.sources[part], draw.windows[part]) for part in share(draw, micro, rank, ranks)]

    def will_need(self, draw: Draw, micro: int, *, rank: int = 0, ranks: int = 1) -> None:
        """Have what `rows` is about to read fetched from disk; returns without waiting. Arguments as of `rows`."""
        for part in share(draw, micro, rank, ranks):
            self._reader.will_need(draw.sources[part], draw.windows[part])

    def spans(self, source: int, window: int) -> list[tuple[int, int]]:
        """From token to token of a source's stream, what stands in a window; without the first of the next."""
        return self._reader.spans(source, window)

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
        self._windows = self.plan.windows_before(self.step)
        self._carry = np.array(state["carry"], dtype=np.int64)
        self._cursor = np.array(state["cursor"], dtype=np.int64)


def share(draw: Draw, micro: int, rank: int, ranks: int) -> list[slice]:
    """Where a rank's micro-batches stand in a global batch.

    Raises:
        ValueError: the global batch does not divide evenly.
    """
    total = len(draw.sources)
    if total % (ranks * micro):
        raise ValueError(f"a batch of {total} windows does not divide into {ranks} ranks x micro-batches of {micro}")
    starts = [(a * ranks + rank) * micro for a in range(total // (ranks * micro))]
    return [slice(start, start + micro) for start in starts]
