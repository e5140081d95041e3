"""Estimating n-gram models: interpolated modified Kneser-Ney smoothing.

Source: Chen and Goodman 1998, "An empirical study of smoothing techniques for language modeling" (TR-10-98), section 3; as in
KenLM's `lmplz` (Heafield et al. 2013), unknown words get their share of the uniform distribution under the one-word model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gristmill.stages.ngram_model import BEGIN, END, FIRST_WORD, LONGEST, NgramModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gristmill.stages.ngram_tokens import Tokens

    Positions = NDArray[np.int64]
    Floats = NDArray[np.float64]

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where the counts of counts give none, as in a tiny text [code: kenlm lmplz --discount_fallback]."""
_WORD = np.uint64(0xFFFFFFFF)


class _Grams(NamedTuple):
    """The distinct n-grams of one length, sorted by key."""

    keys: NDArray[np.uint64]
    """(place of the first n - 1 words) << 32 | last word; of length 1, the number of the word."""
    counts: Positions
    """How often each occurs."""
    suffixes: Positions
    """Place of the last n - 1 words."""
    begins: NDArray[np.bool_]
    """Whether it starts with the beginning of a line."""

    @property
    def prefixes(self) -> Positions:
        return (self.keys >> np.uint64(32)).astype(np.int64)


def train_model(
    batches: Sequence[Tokens], *, words: str, order: int = 5, min_count: int = 1, about: dict[str, Any] | None = None
) -> NgramModel:
    """Estimate a model; it depends on the documents, not on their order.

    Memory: some 200 bytes a token where hardly an n-gram repeats.

    Args:
        batches: the tokens of the reference texts.
        words: name of the splitter they come from.
        order: most words of an n-gram.
        min_count: n-grams of three and more words that occur less often are left out, as rare ones take most of the room; what
            they had goes to the shorter ones.
        about: what to note in the model's file.

    Raises:
        ValueError: there is no token, or `order` is not in 1..8.
    """
    if not 1 <= order <= LONGEST:
        raise ValueError(f"order is {order}; an n-gram has 1 to {LONGEST} words")
    vocabulary = np.unique(np.concatenate([np.zeros(0, np.uint64), *(batch.hashes for batch in batches)]))
    if not len(vocabulary):
        raise ValueError("the documents hold no words to learn from")
    stream, ends = _stream(batches, vocabulary)
    grams = _count(stream, ends, len(vocabulary) + FIRST_WORD, order)
    kept = [np.ones(len(one.keys), dtype=bool) if n < 3 else one.counts >= min_count for n, one in enumerate(grams, 1)]
    adjusted = _adjusted_counts(grams)
    probabilities, weights, discounts = _interpolated(grams, adjusted, kept)
    noted = {"order": order, "min_count": min_count, "tokens": len(stream), "discounts": discounts}
    noted["ngrams"] = [int(held.sum()) for held in kept]
    keys: list[NDArray[np.uint64]] = []
    places: Positions = np.arange(len(grams[0].keys), dtype=np.int64)
    for one, held in zip(grams[1:], kept[1:], strict=True):
        # places of prefixes among those that are left
        keys.append(places[one.prefixes[held]].astype(np.uint64) << np.uint64(32) | (one.keys[held] & _WORD))
        places = np.cumsum(held) - 1
    with np.errstate(divide="ignore"):  # the beginning of a line follows nothing
        logs = [np.maximum(np.log10(one[held]), -99.0).astype(np.float32) for one, held in zip(probabilities, kept, strict=True)]
    backoffs = [np.log10(np.maximum(one[held], 1e-30)).astype(np.float32) for one, held in zip(weights, kept, strict=False)]
    return NgramModel(words, vocabulary, tuple(keys), tuple(logs), tuple(backoffs), noted | (about or {}))


def _stream(batches: Sequence[Tokens], vocabulary: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], Positions]:
    """All lines as numbers, each with its beginning and its end; and for each token where its line ends."""
    pieces = []
    for batch in batches:
        if not len(batch.hashes):
            continue
        begins = np.flatnonzero(batch.begins)
        numbers = (np.searchsorted(vocabulary, batch.hashes) + FIRST_WORD).astype(np.uint32)
        lines = np.insert(numbers, np.repeat(begins, 2), np.tile(np.array([END, BEGIN], dtype=np.uint32), len(begins)))
        pieces.append(np.append(lines[1:], np.uint32(END)))
    stream = np.concatenate(pieces)
    at = np.flatnonzero(stream == END) + 1
    return stream, np.repeat(at, np.diff(at, prepend=0))


def _count(stream: NDArray[np.uint32], ends: Positions, numbers: int, order: int) -> list[_Grams]:
    """Count the n-grams of 1 to `order` words, none across lines."""
    counts = np.bincount(stream, minlength=numbers)
    nothing = np.zeros(0, dtype=np.int64)
    singles = np.arange(numbers, dtype=np.uint64)
    grams = [_Grams(singles, counts, nothing, singles == BEGIN)]
    places = stream.astype(np.int64)
    for n in range(2, order + 1):
        at = np.flatnonzero(np.arange(len(stream)) + n <= ends)
        keys = places[at].astype(np.uint64) << np.uint64(32) | stream[at + n - 1].astype(np.uint64)
        distinct, firsts, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        suffixes = places[at[firsts] + 1]
        begins = grams[-1].begins[(distinct >> np.uint64(32)).astype(np.int64)]
        grams.append(_Grams(distinct, counts, suffixes, begins))
        longer = np.full(len(stream), -1, dtype=np.int64)
        longer[at] = inverse
        places = longer
    return grams


def _adjusted_counts(grams: list[_Grams]) -> list[Positions]:
    """For each n-gram what smoothing counts: before how many different words it occurs, for all but the longest and those at the
    beginning of a line."""
    adjusted = []
    for n, one in enumerate(grams, 1):
        if n == len(grams):
            counts = one.counts.copy()
        else:
            counts = np.where(one.begins, one.counts, np.bincount(grams[n].suffixes, minlength=len(one.keys)))
        if n == 1:
            counts[BEGIN] = 0  # it follows nothing
        adjusted.append(counts)
    return adjusted


def discounts_of(counts: Positions) -> tuple[float, float, float]:
    """What is taken from counts of 1, 2, and 3 or more (Chen and Goodman 1998, equation 26)."""
    of_one, of_two, of_three, of_four = (int((counts == times).sum()) for times in (1, 2, 3, 4))
    if not (of_one and of_two and of_three and of_four):
        return FALLBACK
    share = of_one / (of_one + 2 * of_two)
    found = (1 - 2 * share * of_two / of_one, 2 - 3 * share * of_three / of_two, 3 - 4 * share * of_four / of_three)
    return found if all(0 < one <= times for times, one in enumerate(found, 1)) else FALLBACK


def _interpolated(
    grams: list[_Grams], adjusted: list[Positions], kept: list[NDArray[np.bool_]]
) -> tuple[list[Floats], list[Floats], list[tuple[float, float, float]]]:
    """Probabilities of the n-grams, for each context the weight of the shorter model, and the discounts."""
    probabilities: list[Floats] = []
    weights: list[Floats] = []
    found: list[tuple[float, float, float]] = []
    for n, (one, counts, held) in enumerate(zip(grams, adjusted, kept, strict=True), 1):
        discounts = discounts_of(counts)
        found.append(discounts)
        taken = np.array([0.0, *discounts])[np.minimum(counts, 3)]
        left = np.where(held, counts - taken, 0.0)
        if n == 1:
            total = counts.sum()
            # the beginning of a line is no word; the unknown word is one
            uniform = (1 - left.sum() / total) / (len(counts) - 1)
            own = left / total + uniform
            own[BEGIN] = 0.0
            probabilities.append(own)
            continue
        prefixes = one.prefixes
        contexts = len(grams[n - 2].keys)
        totals = np.bincount(prefixes, weights=counts, minlength=contexts)
        some = totals > 0
        weight = np.ones(contexts)
        weight[some] = 1 - np.bincount(prefixes, weights=left, minlength=contexts)[some] / totals[some]
        weights.append(weight)
        probabilities.append(left / totals[prefixes] + weight[prefixes] * probabilities[-1][one.suffixes])
    return probabilities, weights, found
