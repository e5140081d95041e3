"""What a model is asked for in a window: the next token, the end of a prefix, hidden spans, or a middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gristmill.trainer.settings import ObjectiveSettings

Ids = NDArray[np.int64]
IGNORED = -100
"""A target that does not count; as in losses.py, which needs torch."""


Mode = Literal["R", "S", "X"]
MODES: tuple[Mode, ...] = ("R", "S", "X")
# (mean span, share corrupted): Tay et al. 2022, arXiv:2205.05131, table 1
UL2_SPANS: dict[Mode, tuple[tuple[float, float], ...]] = {
    "R": ((3, 0.15), (8, 0.15)),
    "X": ((3, 0.5), (8, 0.5), (64, 0.15), (64, 0.5)),
}


@dataclass(frozen=True)
class Special:
    """Ids beyond the tokenizer's that an objective needs."""

    first: int
    """The tokenizer's size: ids begin here."""
    modes: int = 0
    """Tokens that name the denoiser: R, S, X."""
    parts: int = 0
    """Marks of prefix, suffix and middle."""
    sentinels: int = 0
    """Tokens that stand for hidden spans, one a span."""

    @property
    def vocab_size(self) -> int:
        """Ids of the tokenizer and these."""
        return self.first + self.modes + self.parts + self.sentinels

    def mode(self, name: Mode) -> int:
        """Id of a denoiser's name."""
        return self.first + MODES.index(name)

    def part(self, name: Literal["prefix", "suffix", "middle"]) -> int:
        """Id of a part's mark."""
        return self.first + self.modes + ("prefix", "suffix", "middle").index(name)

    def sentinel(self, span: int) -> int:
        """Id of a hidden span, counted from 0."""
        return self.first + self.modes + self.parts + span


@dataclass(frozen=True)
class Example:
    """What a window became."""

    ids: Ids
    """Inputs, shape (length,)."""
    targets: Ids
    """The token after each input, or IGNORED."""
    prefix: int = 0
    """So many first inputs are only read, and may see each other both ways."""


class Objective:
    """Turns windows of seq_len + 1 tokens into inputs and targets of one length, so that compiled kernels see one shape."""

    def __init__(self, settings: ObjectiveSettings, vocab_size: int, seq_len: int) -> None:
        """Prepare for windows of seq_len + 1 tokens of a tokenizer with so many ids.

        Raises:
            ValueError: the windows are too short for the objective.
        """
        self.settings, self.seq_len = settings, seq_len
        tokens = seq_len + 1
        spans = {"span_corruption": [(settings.mean_span, settings.corrupted)], "ul2": _ul2_spans(settings)}.get(
            settings.name, []
        )
        counts = [span_counts(tokens, corrupted, mean)[1] for mean, corrupted in spans]
        extra = 0
        if settings.name in ("span_corruption", "ul2"):
            # each span is marked where it was and where it is told; a last mark ends the answer
            extra = max((2 * count + 1 for count in counts), default=0) + (settings.name == "ul2")
        elif settings.name == "fill_in_the_middle":
            extra = 3
        self.length = seq_len + extra
        """Tokens of an input: that many positions the model must have."""
        self.special = Special(
            vocab_size,
            modes=3 if settings.name == "ul2" else 0,
            parts=3 if settings.name == "fill_in_the_middle" else 0,
            sentinels=max(counts, default=-1) + 1,
        )
        if settings.name != "causal" and tokens < 4:
            raise ValueError(f"objective {settings.name} needs windows of at least 4 tokens; seq_len is {seq_len}")

    def example(self, window: Ids, key: Sequence[int]) -> Example:
        """The inputs and targets of a window.

        Args:
            window: shape (seq_len + 1,).
            key: what the draw depends on: the seed, and which window it is.
        """
        draw = Draws(key)
        name = self.settings.name
        if name == "causal":
            return Example(window[:-1], window[1:])
        if name == "prefix":
            return self._prefix(window, draw)
        if name == "span_corruption":
            return self._denoise(window, self.settings.mean_span, self.settings.corrupted, draw)
        if name == "ul2":
            return self._ul2(window, draw)
        return self._middle(window, draw)

    def _prefix(self, window: Ids, draw: Draws, head: Sequence[int] = ()) -> Example:
        """A prefix of uniform length with the mean that is set; the rest is predicted."""
        most = min(1.0, 2 * self.settings.prefix_fraction)
        least = 2 * self.settings.prefix_fraction - most
        low, high = (max(1, min(len(window) - 1, round(share * len(window)))) for share in (least, most))
        cut = low + draw.below(high - low + 1)
        return self._finish([*head, *window[:cut]], window[cut:])

    def _denoise(self, window: Ids, mean: float, corrupted: float, draw: Draws, head: Sequence[int] = ()) -> Example:
        """Hidden spans replaced by a sentinel each, then each sentinel with what it hid, then one more sentinel."""
        hidden, kept = spans(len(window), corrupted, mean, draw)
        shown: list[int] = [*head]
        answer: list[int] = []
        place = 0
        for number, (before, inside) in enumerate(zip(kept, hidden, strict=True)):
            sentinel = self.special.sentinel(number)
            shown += [*window[place : place + before].tolist(), sentinel]
            answer += [sentinel, *window[place + before : place + before + inside].tolist()]
            place += before + inside
        return self._finish(shown, [*answer, self.special.sentinel(len(hidden))])

    def _ul2(self, window: Ids, draw: Draws) -> Example:
        names = [name for name in MODES if getattr(self.settings.denoisers, name) > 0]
        kind = names[draw.choose([getattr(self.settings.denoisers, name) for name in names])]
        head = [self.special.mode(kind)]
        if kind == "S":
            return self._prefix(window, draw, head)
        choices = UL2_SPANS[kind]
        mean, corrupted = choices[draw.below(len(choices))]
        return self._denoise(window, mean, corrupted, draw, head)

    def _middle(self, window: Ids, draw: Draws) -> Example:
        """The middle between two cuts comes last, and all tokens are predicted."""
        if draw.share() >= self.settings.rate:
            return self._finish([], window)
        first, second = sorted((draw.below(len(window) + 1), draw.below(len(window) + 1)))
        prefix, middle, suffix = window[:first].tolist(), window[first:second].tolist(), window[second:].tolist()
        marks = [self.special.part("prefix"), self.special.part("suffix"), self.special.part("middle")]
        if draw.share() < self.settings.suffix_first:
            # the prefix and the middle come together, as in the paper's code: prefix mark, suffix mark, suffix, middle mark
            whole = [marks[0], marks[1], *suffix, marks[2], *prefix, *middle]
        else:
            whole = [marks[0], *prefix, marks[1], *suffix, marks[2], *middle]
        return self._finish([], whole)

    def _finish(self, shown: Sequence[int], answer: Sequence[int] | Ids) -> Example:
        """Both end to end, inputs and targets one token apart, filled up with ignored positions to the length."""
        whole = np.array([*shown, *answer], dtype=np.int64)
        ids, targets = (np.full(self.length, fill, dtype=np.int64) for fill in (0, IGNORED))
        ids[: len(whole) - 1] = whole[:-1]
        targets[: len(whole) - 1] = whole[1:]
        # the last token read has the first of the answer as its target
        targets[: max(0, len(shown) - 1)] = IGNORED
        return Example(ids, targets, len(shown))


def _ul2_spans(settings: ObjectiveSettings) -> list[tuple[float, float]]:
    return [span for name in UL2_SPANS if getattr(settings.denoisers, name) > 0 for span in UL2_SPANS[name]]


def span_counts(tokens: int, corrupted: float, mean_span: float) -> tuple[int, int]:
    """How many of these tokens are hidden, and in how many spans; at least one of both, and one token stays beside each span.

    Source: T5's random_spans_noise_mask (Raffel et al. 2020, arXiv:1910.10683).
    """
    hidden = min(max(round(tokens * corrupted), 1), tokens - 1)
    return hidden, min(max(round(hidden / mean_span), 1), tokens - hidden)


def spans(tokens: int, corrupted: float, mean_span: float, draw: Draws) -> tuple[list[int], list[int]]:
    """Lengths of the hidden spans, and of what is kept before each; a kept part comes first, a hidden one last."""
    hidden, count = span_counts(tokens, corrupted, mean_span)
    return _parts(hidden, count, draw), _parts(tokens - hidden, count, draw)


def _parts(items: int, count: int, draw: Draws) -> list[int]:
    """Cut so many items into parts of at least one, every way alike."""
    cuts = sorted(draw.sample(items - 1, count - 1))
    bounds = [0, *(cut + 1 for cut in cuts), items]
    return [end - start for start, end in pairwise(bounds)]


class Draws:
    """Random numbers that depend on a key alone: the n-th is the sha256 of the key and n, so no library's stream matters."""

    def __init__(self, key: Sequence[int]) -> None:
        """Begin at the first draw of a key."""
        self._key = b"".join(int(part).to_bytes(8, "little") for part in key)
        self._drawn = 0

    def _next(self) -> int:
        self._drawn += 1
        return int.from_bytes(sha256(self._key + self._drawn.to_bytes(8, "little")).digest()[:8], "little")

    def share(self) -> float:
        """Uniform in [0, 1)."""
        return (self._next() >> 11) / (1 << 53)

    def below(self, bound: int) -> int:
        """Uniform in 0 ... bound - 1; the bias of the remainder is below 2^-32 for any bound that occurs here."""
        return self._next() % bound

    def choose(self, weights: Sequence[float]) -> int:
        """An index, each as likely as its weight says."""
        point = self.share() * sum(weights)
        for index, weight in enumerate(weights):
            if point < weight:
                return index
            point -= weight
        return len(weights) - 1

    def sample(self, bound: int, count: int) -> list[int]:
        """So many different numbers below a bound, every set alike (Floyd's method)."""
        taken: set[int] = set()
        for most in range(bound - count, bound):
            pick = self.below(most + 1)
            taken.add(most if pick in taken else pick)
        return list(taken)
