"""How much of benchmark items documents hold, or a whole corpus does: shares of their texts, from the runs that were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from gristmill.stages.contamination_kernels import END, NUMBER, ROW, START

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.contamination_index import Index

    Positions = NDArray[np.int64]
    Floats = NDArray[np.float64]

Measure = Literal["rarity", "tokens", "runs", "rare_runs", "similarity"]
"""What a share is of: `tokens` of the text, those covered by runs that were found; so, each by its rarity (`rarity`);
`runs` of the text; so, those that few documents hold (`rare_runs`). `similarity`: of passages, in `contamination_similarity`."""
FEW = 10
"""A run that no more documents hold is no common phrase, however small the corpus; GPT-3's number (`common`)."""
_POSTINGS = 1 << 22
"""Runs of texts that are looked at together."""
DOCUMENTS, HELD = "documents:", "runs:"
"""Names of totals, before that of the source: how many documents there are; how many documents hold each run."""


@dataclass(frozen=True)
class CorpusCounts:
    """How many documents a corpus has, and in how many of them each run is."""

    documents: dict[str, int]
    """By source."""
    holding: dict[str, Positions]
    """By source: documents that hold each run, shape (n_runs,)."""

    @classmethod
    def of(cls, totals: Mapping[str, np.ndarray]) -> CorpusCounts:
        """From the sums of `contamination_totals`."""
        return cls(
            {name.removeprefix(DOCUMENTS): int(held.sum()) for name, held in totals.items() if name.startswith(DOCUMENTS)},
            {name.removeprefix(HELD): held for name, held in totals.items() if name.startswith(HELD)},
        )

    def every(self, runs: int) -> Positions:
        """Documents of all sources that hold each run."""
        total = np.zeros(runs, dtype=np.int64)
        for held in self.holding.values():
            total[: len(held)] += held
        return total


def contamination_totals(sources: list[str], pairs_row: Positions, pairs_run: Positions, runs: int) -> dict[str, np.ndarray]:
    """Totals of a batch: documents, and documents that hold each run, by source.

    Args:
        sources: of the documents.
        pairs_row, pairs_run: which document holds which run, each pair once.
        runs: how many runs there are.
    """
    names = sorted(set(sources))
    number = {name: at for at, name in enumerate(names)}
    of_row = np.array([number[source] for source in sources], dtype=np.int64)
    totals: dict[str, np.ndarray] = {}
    for name, at in number.items():
        totals[DOCUMENTS + name] = np.array([int((of_row == at).sum())], dtype=np.int64)
        totals[HELD + name] = np.bincount(pairs_run[of_row[pairs_row] == at], minlength=runs).astype(np.int64)
    return totals


def pairs_of(hits: NDArray[np.int64]) -> tuple[Positions, Positions]:
    """Which document holds which run, each pair once, in order."""
    if not len(hits):
        return hits[:, ROW], hits[:, NUMBER]
    order = np.lexsort((hits[:, NUMBER], hits[:, ROW]))
    rows, runs = hits[order, ROW], hits[order, NUMBER]
    new = np.append(True, (np.diff(rows) != 0) | (np.diff(runs) != 0))
    return rows[new], runs[new]


class Shares(NamedTuple):
    """How much of texts documents hold, by document and text."""

    rows: Positions
    texts: Positions
    shares: Floats
    """From 0 to 1; those of 0 are left out."""


@dataclass(frozen=True)
class Scorer:
    """Says how much of each text a document holds."""

    index: Index
    measure: Measure
    documents: int = 0
    """Of the corpus."""
    holding: Positions | None = None
    """Documents of the corpus that hold each run, shape (n_runs,); None: none."""
    common: int = 0
    """`rare_runs`: runs that more documents hold do not count."""

    @cached_property
    def weights(self) -> Floats:
        """Weight of each run, from 0 to 1.

        By rarity: 1 for a run that at most `FEW` documents hold, then falling with the logarithm of their number, to near 0 for
        what all of N documents hold: log((N + 1) / n) / log((N + 1) / FEW).
        """
        weights = np.ones(len(self.index.keys), dtype=np.float64)
        if self.holding is None or not self.documents:
            return weights
        if self.measure == "rarity":
            held, place = np.unique(np.maximum(self.holding, 1), return_inverse=True)
            # rounded: processors may differ in a logarithm's last bit
            if self.documents >= FEW:
                falling = np.log((self.documents + 1) / held) / np.log((self.documents + 1) / FEW)
                weights = np.round(falling, 9).clip(0.0, 1.0)[place]
        elif self.measure == "rare_runs":
            weights = (self.holding <= self.common).astype(np.float64)
        return weights

    @cached_property
    def wholes(self) -> Floats:
        """What a document has of each text that holds all of it, shape (n_texts,)."""
        index = self.index
        if self.measure in ("runs", "rare_runs"):
            return index.text_runs.astype(np.float64)
        if self.measure == "tokens":
            return index.text_tokens.astype(np.float64)
        groups = np.zeros(len(index.text_item) + 1, dtype=np.int64)
        np.cumsum(index.text_runs, out=groups[1:])
        runs = index.run_of[index.order]
        return index.covered(groups, index.holders[index.order], index.places[index.order], self.weights[runs])

    def shares(self, rows: Positions, runs: Positions) -> Shares:
        """How much of texts each document holds.

        Args:
            rows, runs: which document holds which run, each pair once, by document.
        """
        counts = np.diff(self.index.offsets)[runs]
        parts: list[Shares] = []
        begin = 0
        reached = np.cumsum(counts)
        while begin < len(rows):
            # as many whole documents as keep the postings few
            before = int(reached[begin - 1]) if begin else 0
            end = max(int(np.searchsorted(reached, before + _POSTINGS, side="right")), begin + 1)
            if end < len(rows):
                first_of_last = int(np.searchsorted(rows, rows[end], side="left"))
                end = first_of_last if first_of_last > begin else int(np.searchsorted(rows, rows[end], side="right"))
            parts.append(self._shares(rows[begin:end], runs[begin:end], counts[begin:end]))
            begin = end
        if not parts:
            return Shares(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64))
        return Shares(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _shares(self, rows: Positions, runs: Positions, counts: Positions) -> Shares:
        index = self.index
        total = int(counts.sum())
        inside = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        posting = np.repeat(index.offsets[runs], counts) + inside
        row, weight = np.repeat(rows, counts), np.repeat(self.weights[runs], counts)
        text, place = index.holders[posting], index.places[posting]
        order = np.lexsort((place, text, row))
        row, text, place, weight = row[order], text[order], place[order], weight[order]
        new = np.flatnonzero(np.append(True, (np.diff(row) != 0) | (np.diff(text) != 0))) if total else np.zeros(0, np.int64)
        groups = np.append(new, total).astype(np.int64)
        if self.measure in ("runs", "rare_runs"):
            got = np.add.reduceat(weight, new) if total else np.zeros(0)
        else:
            got = index.covered(groups, text, place, weight)
        share = np.minimum(got / self.wholes[text[new]], 1.0)
        held = share > 0
        return Shares(row[new][held], text[new][held], share[held])


def greatest(shares: Shares, documents: int) -> Floats:
    """The greatest share of a text that each document holds, shape (n_documents,)."""
    found = np.zeros(documents, dtype=np.float64)
    np.maximum.at(found, shares.rows, shares.shares)
    return found


class Match(NamedTuple):
    """A text of which a document holds much."""

    row: int
    text: int
    share: float
    spans: list[tuple[int, int]]
    """Where: bytes of the batch, runs that overlap or touch made one."""


def matches(scorer: Scorer, hits: NDArray[np.int64], is_found: NDArray[np.bool_] | None, shares: Shares) -> list[Match]:
    """The texts of which documents hold so much that they are found there, the greatest share of a document first.

    Args:
        scorer: that gave the shares.
        hits: in the documents.
        is_found: for each of the shares whether it counts; None: all of them.
        shares: of the documents.
    """
    index = scorer.index
    wanted = np.flatnonzero(is_found) if is_found is not None else np.arange(len(shares.rows))
    bounds = np.searchsorted(hits[:, ROW], np.arange(int(hits[:, ROW].max()) + 2)) if len(hits) else np.zeros(1, np.int64)
    text_bounds = np.append(0, np.cumsum(index.text_runs))
    found = []
    for at in wanted.tolist():
        row, text = int(shares.rows[at]), int(shares.texts[at])
        own = hits[bounds[row] : bounds[row + 1]]
        runs = index.run_of[index.order[text_bounds[text] : text_bounds[text + 1]]]
        counted = runs[scorer.weights[runs] > 0]
        spans = merged(own[np.isin(own[:, NUMBER], counted)])
        found.append(Match(row, text, float(shares.shares[at]), spans))
    return sorted(found, key=lambda match: (match.row, -match.share, match.text))


def merged(hits: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Byte ranges of hits of one document, in order, those that overlap or touch made one."""
    return united(list(zip(hits[:, START].tolist(), hits[:, END].tolist(), strict=True)))


def united(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges [start, end) in order, those that overlap or touch made one."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    return spans
