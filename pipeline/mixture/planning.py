"""A mixture and the sizes of its sources to a plan: tokens by source and phase, epochs, and what to be warned of."""

from __future__ import annotations

import io
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.mixture import shares
from gristmill.pipeline.mixture.reading import ReadMixture, is_shipped, load_mixture, max_epochs
from gristmill.pipeline.mixture.settings import MAX_EPOCHS, Phase, Weights
from gristmill.pipeline.mixture.sizes import Measured, measured, published
from gristmill.tokenizers.mixture_plan import MixturePlan, PlannedPhase, PlannedSource, Spans, read_plan

Sizes = Literal["measured", "published"]
_SAME = 1e-9
_SUM_TOLERANCE = 5e-4


@dataclass(frozen=True)
class Planned:
    """A plan, and the rows it was made of."""

    plan: MixturePlan
    rows: tuple[Measured, ...]

    def save(self, file: str) -> None:
        """Write the plan, and beside it the spans of chosen documents.

        Raises:
            UserError: the file cannot be written there.
        """
        path = Path(file)
        if path.is_dir() or path.suffix != ".json":
            raise UserError(f"--output {file}: should be a file that ends in .json")
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.parent.resolve()
        stored = self.plan.model_copy(
            update={"sources": tuple(self._stored(index, path, beside) for index in range(len(self.rows)))}
        )
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(as_json(stored), encoding="utf-8")
        temporary.replace(path)

    def _stored(self, index: int, path: Path, beside: Path) -> PlannedSource:
        row, planned = self.rows[index], self.plan.sources[index]
        # relative, so that a plan may move together with its shards
        parts = tuple(p.model_copy(update={"folder": os.path.relpath(p.folder, beside)}) for p in planned.shards)
        if row.spans is None:
            return planned.model_copy(update={"shards": parts})
        from hashlib import sha256

        import numpy as np

        content = io.BytesIO()
        np.save(content, row.spans.astype("<i8"))
        name = f"{path.stem}.spans/{index:03d}.npy"
        (path.parent / name).parent.mkdir(exist_ok=True)
        (path.parent / name).write_bytes(content.getvalue())
        spans = Spans(file=name, sha256=sha256(content.getvalue()).hexdigest())
        return planned.model_copy(update={"shards": parts, "spans": spans})


def as_json(plan: MixturePlan) -> str:
    """A plan as its file has it."""
    return json.dumps(plan.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def plan_of(name_or_path: str, sets: tuple[str, ...] = (), sizes: Sizes = "measured") -> MixturePlan:
    """The plan of a mixture, or one that was made already (a file that ends in .json).

    Raises:
        UserError: the mixture, or something it names, is mistaken.
    """
    if name_or_path.endswith(".json") and not is_shipped(name_or_path):
        if sets:
            raise UserError(f"{name_or_path}: is a plan already; --set changes a mixture")
        try:
            return read_plan(name_or_path)
        except (ValueError, FileNotFoundError) as error:
            raise UserError(str(error)) from error
    return make_plan(load_mixture(name_or_path, sets), sizes).plan


def make_plan(read: ReadMixture, sizes: Sizes = "measured") -> Planned:
    """Plan a mixture.

    Args:
        read: the mixture.
        sizes: "measured" counts what its folders hold; "published" takes the sizes that the file states.

    Raises:
        UserError: documents are missing, or the budget is larger than the epoch caps allow.
    """
    rows, tokenizer = (published(read), None) if sizes == "published" else measured(read)
    plan = _Planner(read, rows).plan(tokenizer)
    return Planned(plan, tuple(rows))


class _Planner:
    def __init__(self, read: ReadMixture, rows: list[Measured]) -> None:
        self.read, self.mixture, self.rows = read, read.mixture, rows
        self.settings = [self.mixture.sources[row.source] for row in rows]
        self.epoch_caps = [max_epochs(self.mixture, source) for source in self.settings]
        self.caps = [row.tokens * cap for row, cap in zip(rows, self.epoch_caps, strict=True)]
        # a bucket that is read twice as often counts as if it were twice as large
        self.repeated = [row.tokens * (1.0 if row.repeat is None else row.repeat) for row in rows]
        self.warnings: list[str] = []

    def plan(self, tokenizer: str | None) -> MixturePlan:
        self._warn_of_sums()
        phases = self._phases()
        by_phase = self._fill(phases)
        total = sum(phase.tokens or 0 for phase in phases)
        served = [sum(amounts[index] for amounts in by_phase) for index in range(len(self.rows))]
        self._warn_of_rows(served)
        starts = [sum(phase.tokens or 0 for phase in phases[:index]) for index in range(len(phases))]
        return MixturePlan(
            mixture=self.mixture.name,
            tokens=total,
            tokenizer_sha256=tokenizer,
            sources=tuple(self._planned(index, served[index], total) for index in range(len(self.rows))),
            phases=tuple(
                PlannedPhase(
                    name=phase.name,
                    start=start,
                    tokens=phase.tokens or 0,
                    sources={row.name: n for row, n in zip(self.rows, amounts, strict=True)},
                )
                for phase, start, amounts in zip(phases, starts, by_phase, strict=True)
            ),
            warnings=tuple(self.warnings),
        )

    def _planned(self, index: int, tokens: int, total: int) -> PlannedSource:
        row = self.rows[index]
        epochs = tokens / row.tokens if row.tokens else 0.0
        return PlannedSource(
            source=row.name,
            weight=tokens / total,
            available_tokens=row.tokens,
            tokens=tokens,
            epochs=epochs,
            effective_bytes=None if row.bytes is None else round(row.bytes * epochs),
            unique_share=min(1.0, 1 / epochs) if epochs else 0.0,
            documents=row.documents,
            bytes=row.bytes,
            counted=row.counted,
            max_epochs=self.epoch_caps[index],
            where=self.settings[index].where,
            shards=row.shards,
        )

    def _phases(self) -> list[Phase]:
        """The phases with their tokens; a mixture without such is one."""
        given = list(self.mixture.phases) or [Phase(name="all")]
        total = self.mixture.tokens
        lengths = [phase.tokens for phase in given]
        if total is None and None not in lengths:
            total = sum(length or 0 for length in lengths)
        if total is None:
            fixed = self._fixed()
            if any(amount is None for amount in fixed):
                most = math.floor(math.fsum(self.caps))
                raise self.read.error(
                    ("tokens",), f"is missing; give the tokens of the training, e.g. 300B (at most {most:,} at the epoch caps)"
                )
            total = round(math.fsum(amount or 0.0 for amount in fixed))
        rest = total - sum(length or 0 for length in lengths)
        return [phase if phase.tokens else phase.model_copy(update={"tokens": rest}) for phase in given]

    def _fixed(self) -> list[float | None]:
        """Tokens of the rows that say them by epochs or repeat counts; None for those that have a weight or get a share."""
        if self.mixture.weights.way != "given":
            return [None] * len(self.rows)
        return [
            None if source.weight is not None else repeated * (source.epochs or 1.0)
            for source, repeated in zip(self.settings, self.repeated, strict=True)
        ]

    def _fill(self, phases: list[Phase]) -> list[list[int]]:
        """Whole tokens of each row in each phase, within the caps over all of them.

        The last phase is filled first: what a final phase is to read twice must not be used up before it.
        """
        base = sum(phase.tokens or 0 for phase in phases if phase.shares is None and phase.weights is None)
        own = self._base_shares(float(base)) if base else None
        left = list(self.caps)
        asked_in_all = [0.0] * len(self.rows)
        filled: list[list[int]] = []
        for index in range(len(phases) - 1, -1, -1):
            phase = phases[index]
            tokens = phase.tokens or 0
            weights = self._phase_shares(phase, tokens) if phase.shares is not None or phase.weights is not None else own or []
            whole = math.fsum(weights)
            try:
                amounts = shares.water_fill(weights, tokens, left)
            except shares.TooMany as error:
                raise self._too_many(phase, index, tokens, error.largest) from None
            for row, weight in enumerate(weights):
                asked_in_all[row] += weight / whole * tokens
            left = [cap - amount for cap, amount in zip(left, amounts, strict=True)]
            filled.append(shares.whole_tokens(amounts, tokens))
        self._warn_of_dry(asked_in_all, [sum(column) for column in zip(*filled, strict=True)])
        return filled[::-1]

    def _too_many(self, phase: Phase, index: int, tokens: int, largest: int) -> UserError:
        if not self.mixture.phases:
            at = "at the caps of their epochs (max_epochs)"
            return self.read.error(
                ("tokens",), f"is {tokens:,}; the sources give at most {largest:,} {at}; lower tokens, or raise those"
            )
        return self.read.error(
            ("phases", index),
            f"{phase.name} needs {tokens:,} tokens; its sources give at most {largest:,}, at the caps of their epochs and after "
            "what later phases take; lower tokens, or raise max_epochs",
        )

    def _base_shares(self, budget: float) -> list[float]:
        """Shares of the rows where a phase has none of its own, in tokens of all such phases together."""
        if self.mixture.weights.way != "given":
            return self._by_way(self.mixture.weights, budget)
        fixed = self._fixed()
        taken = math.fsum(amount for amount in fixed if amount is not None)
        if None not in fixed:
            return [amount or 0.0 for amount in fixed]
        weights = self._split({name: source.weight or 0.0 for name, source in self.mixture.sources.items()}, fixed)
        whole = math.fsum(weights)
        if taken > budget * (1 + _SAME):
            raise self.read.error(("tokens",), f"leaves {budget:,.0f}; sources with epochs take {taken:,.0f}; plan more tokens")
        if not whole and taken < budget * (1 - _SAME):
            raise self.read.error(("tokens",), f"is {budget:,.0f}; sources with epochs take {taken:,.0f} and no other has weight")
        rest = max(0.0, budget - taken)
        return [
            weight / whole * rest if amount is None and whole else amount or 0.0
            for weight, amount in zip(weights, fixed, strict=True)
        ]

    def _split(self, weights: dict[str, float], fixed: list[float | None] | None = None) -> list[float]:
        """Weights of sources as weights of rows: a source's is spread over its buckets by size times repeat count."""
        whole: dict[str, float] = {}
        for row, repeated in zip(self.rows, self.repeated, strict=True):
            whole[row.source] = whole.get(row.source, 0.0) + repeated
        return [
            weights.get(row.source, 0.0) * repeated / whole[row.source] if fixed is None or fixed[index] is None else 0.0
            for index, (row, repeated) in enumerate(zip(self.rows, self.repeated, strict=True))
        ]

    def _by_way(self, way: Weights, budget: float) -> list[float]:
        if way.temperature is not None:
            return shares.temperature(self._counted_in(way), way.temperature)
        if way.unimax is not None:
            return shares.unimax(self.repeated, budget, way.unimax.epochs)
        return list(self.repeated)

    def _counted_in(self, way: Weights) -> list[float]:
        """Sizes in the unit that the temperature asks for."""
        if way.of == "tokens":
            return self.repeated
        sizes = []
        for row in self.rows:
            size = row.documents if way.of == "documents" else row.bytes
            if size is None:
                raise self.read.error(("weights", "of"), f"is {way.of}; of source {row.source} only tokens are known")
            sizes.append(float(size) * (1.0 if row.repeat is None else row.repeat))
        return sizes

    def _phase_shares(self, phase: Phase, tokens: int) -> list[float]:
        if phase.shares is not None:
            return self._split(phase.shares)
        return self._by_way(phase.weights or Weights(way="proportional"), float(tokens))

    def _warn_of_sums(self) -> None:
        """Shares are relative, but who writes 0.6 and 0.5 may have meant something else."""
        given = {"weights": [s.weight for s in self.mixture.sources.values() if s.weight is not None]}
        given |= {f"shares of phase {phase.name}": list(phase.shares.values()) for phase in self.mixture.phases if phase.shares}
        for what, values in given.items():
            total = math.fsum(values)
            if values and all(abs(total - whole) > whole * _SUM_TOLERANCE for whole in (1, 100)):
                self.warnings.append(f"{what} sum to {total:g}, neither 1 nor 100; each is divided by that")

    def _warn_of_dry(self, asked: list[float], served: list[int]) -> None:
        for index, row in enumerate(self.rows):
            if asked[index] > served[index] + 1 and served[index] >= self.caps[index] - 1:
                self.warnings.append(
                    f"{row.name} runs dry: its share asks for {asked[index]:,.0f} tokens, {self.epoch_caps[index]:g} epochs give "
                    f"{served[index]:,}; the others give the rest"
                )

    def _warn_of_rows(self, served: list[int]) -> None:
        for row, tokens in zip(self.rows, served, strict=True):
            if not row.tokens:
                self.warnings.append(f"{row.name}: holds no documents")
            elif (epochs := tokens / row.tokens) > MAX_EPOCHS * (1 + 1e-6):
                self.warnings.append(
                    f"{row.name} is read {epochs:.2f} times; repeats beyond {MAX_EPOCHS:g} epochs help little: worth as much as "
                    f"{shares.worth_in_epochs(epochs):.2f} epochs of new text (Muennighoff et al. 2023)"
                )
        estimated = [row.name for row in self.rows if row.counted == "estimated"]
        if estimated:
            named = ", ".join(estimated[:5]) + (f" and {len(estimated) - 5} more" if len(estimated) > 5 else "")
            self.warnings.append(
                f"tokens of {named} are estimated, at {self.mixture.bytes_per_token:g} bytes a token; "
                "name a tokenizer, or shards, to count them"
            )
