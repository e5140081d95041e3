"""All that the order of the data depends on, apart from the seed: the shards, the shares, the windows, the size of batches."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gristmill.tokenizers.manifest import TokenizerEntry
from gristmill.trainer import batch_ramp
from gristmill.trainer.order import integer_weights
from gristmill.trainer.packing import Packed, Packing, pack


class Stream(Protocol):
    """One source's tokens."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Tokens start to stop, copied."""
        ...

    def document_ends(self, start: int, stop: int) -> NDArray[np.int64]:
        """Where documents end between two tokens, neither of them included."""
        ...

    def counted(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Which of the tokens start to stop count in the loss; only asked of streams that have a true `is_masked`."""
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
    """All that the order of the data depends on, apart from the seed.

    Sizes are counted in targets, the tokens that a window predicts: `seq_len` of them, less where it is padded.
    """

    content: str
    """A sha256 of the shards' content, e.g. `Manifest.content_hash`."""
    seq_len: int
    windows: int
    """Windows of a global batch, after the ramp."""
    sources: tuple[str, ...]
    weights: tuple[int, ...]
    """Shares of the targets by `integer_weights`, one a source."""
    available: tuple[int, ...]
    """Windows of one epoch, one a source."""
    packing: Packing = "concat"
    later: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """Further phases: after how many windows each begins, and its weights; `weights` are those of the first."""
    ramp: tuple[tuple[int, int], ...] = ()
    """Smaller (or other) batches at the start: how many steps with how many windows."""
    packed: tuple[Packed, ...] = field(default=(), compare=False, repr=False)
    """What stands in the windows of each source, unless `packing` is concat."""

    @classmethod
    def of(
        cls,
        shards: Sources,
        weights: Mapping[str, float],
        *,
        seq_len: int,
        windows: int,
        later: Sequence[tuple[int, Mapping[str, float]]] = (),
        packing: Packing = "concat",
        ramp: Sequence[tuple[int, int]] = (),
    ) -> Plan:
        """The plan for these shares of the tokens; sources that are not named are not read.

        Args:
            shards: the data.
            weights: shares of the sources; of the first phase, if there are several.
            seq_len: tokens predicted per window.
            windows: of a global batch.
            later: of each further phase the tokens before it, ascending, and its shares, of sources that `weights` names.
                A phase begins at the window nearest to its token, also within a batch.
            packing: how documents are put into windows.
            ramp: how many tokens, rounded up to whole batches, are read in batches of how many windows before those of
                `windows`; padding counts as tokens here.

        Raises:
            ValueError: a source is not in the shards, or has weight but not one whole window; the weights are no shares.
        """
        if unknown := sorted(set(weights) - set(shards.streams)):
            raise ValueError(f"no source {', '.join(unknown)} in {shards.folder}; it has {', '.join(sorted(shards.streams))}")
        names = tuple(sorted(weights))
        streams = [shards.streams[name] for name in names]
        packed = () if packing == "concat" else tuple(pack(stream, seq_len, packing) for stream in streams)
        available = tuple(one.windows for one in packed) or tuple(windows_of(len(one), seq_len) for one in streams)
        usable = [one.targets for one in packed] or available
        for name, count in zip(names, usable, strict=True):
            if not count and any(shares.get(name, 0) > 0 for shares in (weights, *(shares for _, shares in later))):
                raise ValueError(
                    f"source {name} has {len(shards.streams[name]):,} tokens, a window reads {seq_len + 1:,}; "
                    "lower seq_len or leave the source out of the mixture"
                )
        first, *rest = (
            tuple(integer_weights([shares.get(name, 0.0) for name in names]).tolist())
            for shares in (weights, *(shares for _, shares in later))
        )
        steps = batch_ramp.ramp_steps(ramp, seq_len)
        plan = cls(shards.content, seq_len, windows, names, first, available, packing, (), steps, packed)
        return plan.with_phases([tokens for tokens, _ in later], rest)

    def with_phases(self, begins: Sequence[int], weights: Sequence[tuple[int, ...]]) -> Self:
        """The same plan with further phases: after how many targets each begins, and its weights."""
        if not self.padded:
            return replace(self, later=tuple(zip((round(tokens / self.seq_len) for tokens in begins), weights, strict=True)))
        starts, at, before = [], 0.0, 0
        for tokens, shares in zip(begins, (self.weights, *weights), strict=False):
            at += (tokens - before) / self.window_targets(shares)
            starts.append(round(at))
            before = tokens
        return replace(self, later=tuple(zip(starts, weights, strict=True)))

    def with_shares(self, shares: Mapping[str, float]) -> Self:
        """The same plan with other shares of the sources; only for plans of one phase."""
        return replace(self, weights=tuple(integer_weights([shares.get(name, 0.0) for name in self.sources]).tolist()))

    @property
    def padded(self) -> bool:
        """Whether windows may have fewer targets than `seq_len`."""
        return self.packing == "best_fit"

    @property
    def targets(self) -> tuple[int, ...]:
        """Of one epoch, one a source."""
        if self.padded:
            return tuple(one.targets for one in self.packed)
        return tuple(count * self.seq_len for count in self.available)

    def window_shares(self, weights: Sequence[int]) -> NDArray[np.float64]:
        """How many windows of each source make one target of all: its share over the mean targets of its windows."""
        counts = np.array(self.available, dtype=np.float64) / np.maximum(1, np.array(self.targets, dtype=np.float64))
        shares: NDArray[np.float64] = np.array(weights, dtype=np.float64) / 2**32 * counts
        return shares

    def window_targets(self, weights: Sequence[int]) -> float:
        """Mean targets of a window while sources have these weights."""
        return float(1 / self.window_shares(weights).sum()) if self.padded else float(self.seq_len)

    def phases(self, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """How many of the windows start to stop fall into each phase, and its weights."""
        begins = [0, *(begin for begin, _ in self.later)]
        ends = [*begins[1:], stop]
        for begin, end, weights in zip(begins, ends, (self.weights, *(weights for _, weights in self.later)), strict=True):
            if (count := min(stop, end) - max(start, begin)) > 0:
                yield count, np.array(weights, dtype=np.int64)

    def windows_at(self, step: int) -> int:
        """Windows of a batch; steps are counted from 1."""
        return batch_ramp.windows_at(self.ramp, self.windows, step)

    def windows_before(self, steps: int) -> int:
        """Windows of the first so many steps."""
        return batch_ramp.windows_before(self.ramp, self.windows, steps)

    def steps_within(self, targets: float) -> int:
        """The most steps that read no more than so many targets; of padded windows what is to be expected."""
        asked, windows, before, begins = targets, 0.0, 0, [*(begin for begin, _ in self.later), math.inf]
        for begin, weights in zip(begins, (self.weights, *(weights for _, weights in self.later)), strict=True):
            each = self.window_targets(weights)
            if targets < (begin - before) * each:
                windows += targets / each
                break
            windows, targets, before = begin, targets - (begin - before) * each, int(begin)
        steps = batch_ramp.steps_within(self.ramp, self.windows, windows)
        # what means of windows make of whole steps may be a little less than the whole
        return steps + (self.targets_before(steps + 1) <= asked)

    def targets_before(self, steps: int) -> int:
        """Targets of the first so many steps; of padded windows what is to be expected."""
        parts = self.phases(0, self.windows_before(steps))
        return sum(round(count * self.window_targets(weights.tolist())) for count, weights in parts)

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
        if self.ramp:
            fields["ramp"] = [list(part) for part in self.ramp]
        if self.packed:
            fields["packed"] = [one.hash for one in self.packed]
        return fields

    def hash(self) -> str:
        """The sha256 that a state carries."""
        return sha256(json.dumps(self.fields(), sort_keys=True).encode()).hexdigest()


def windows_of(tokens: int, seq_len: int) -> int:
    """Windows of one pass over a source with this many tokens, laid end to end."""
    return max(0, (tokens - 1) // seq_len)
