"""Training of word vectors as fastText's `skipgram` and `cbow` do (Bojanowski et al. 2017, arXiv:1607.04606), one thread.

The library (0.9.3) is not asked, for the reasons that `fasttext_training` gives: with few threads it starts from memory as it
happens to be, with many no two trainings are the same. What is learned and written is the library's: windows of random width,
frequent words left out at random, parts of words in hashed buckets, negative samples by the square root of counts, a learning
rate that falls to 0. Three things differ: words are those of `word_vectors` (in lower case, without punctuation), there is no
`</s>`, and where a word's vector is asked to tell several neighbours, it follows each step, as there, but the rows of its parts
are written once, after the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gristmill.stages.fasttext_training import first_rows
from gristmill.stages.hashing import mix64, mix64_plainly
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import int64
from gristmill.stages.word_vector_kernels import rows_of_words
from gristmill.stages.word_vectors import folded, tokens_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Positions = NDArray[np.int64]

_TABLE_BITS = 20
"""Negative samples are drawn from a table of 2^20 places."""
_STEP = 0x9E3779B97F4A7C15
"""Between two states of the random numbers (SplitMix64)."""
_MASK = (1 << 64) - 1
_SATURATED = 8.0
"""Beyond it a sigmoid is 0 or 1, as in the library."""


@dataclass(frozen=True)
class VectorSettings:
    """What decides a training, beside the texts."""

    model: Literal["skipgram", "cbow"] = "skipgram"
    dimensions: int = 100
    epochs: int = 5
    learning_rate: float = 0.05
    window: int = 5
    """Most words between a word and a neighbour, with the neighbour."""
    negatives: int = 5
    sampling: float = 1e-4
    """Words of a larger share are left out at random."""
    min_count: int = 5
    shortest: int = 3
    longest: int = 6
    """Characters of the parts of words; 0: no parts."""
    buckets: int = 1 << 18
    seed: int = 0

    @property
    def rows_of_parts(self) -> int:
        """No buckets where there are no parts."""
        return self.buckets if self.longest else 0


@dataclass(frozen=True)
class VectorModel:
    """Trained word vectors."""

    words: list[bytes]
    """In the order of their rows, the most frequent first."""
    counts: list[int]
    tokens: int
    """Words read."""
    inputs: Matrix
    """Of shape (n_words + n_buckets, dimensions)."""
    outputs: Matrix
    """Of shape (n_words, dimensions)."""
    settings: VectorSettings


@njit("float32(float32[::1], float32[::1])", inline=True)
def _product(left: NDArray[np.float32], right: NDArray[np.float32]) -> np.float32:
    """Scalar product, as eight sums, which a processor adds up side by side; the order is fixed."""
    a = b = c = d = e = f = g = h = np.float32(0)
    whole = len(left) // 8 * 8
    for at in range(0, whole, 8):
        a += left[at] * right[at]
        b += left[at + 1] * right[at + 1]
        c += left[at + 2] * right[at + 2]
        d += left[at + 3] * right[at + 3]
        e += left[at + 4] * right[at + 4]
        f += left[at + 5] * right[at + 5]
        g += left[at + 6] * right[at + 6]
        h += left[at + 7] * right[at + 7]
    for at in range(whole, len(left)):
        a += left[at] * right[at]
    return np.float32(((a + b) + (c + d)) + ((e + f) + (g + h)))


@njit("int64(int64, float32, float32[::1], float32[::1], float32[:, ::1], int32[::1], int64, uint64[::1])")
def _tell(
    word: int,
    rate: np.float32,
    hidden: NDArray[np.float32],
    gradient: NDArray[np.float32],
    outputs: Matrix,
    table: NDArray[np.int32],
    negatives: int,
    state: NDArray[np.uint64],
) -> int:
    """One step towards `word` and away from `negatives` others; writes `gradient`, changes `outputs`."""
    gradient[:] = 0
    for sample in range(negatives + 1):
        target, label = word, np.float32(1)
        if sample > 0:
            label = np.float32(0)
            target = word
            for _ in range(len(table)):
                state[0] += np.uint64(0x9E3779B97F4A7C15)
                target = int64(table[int64(mix64(state[0]) % np.uint64(len(table)))])
                if target != word:
                    break
            if target == word:  # there is no other
                continue
        product = _product(hidden, outputs[target])
        told = np.float32(1)
        if product < np.float32(8):
            told = np.float32(0) if product < np.float32(-8) else np.float32(1.0 / (1.0 + np.exp(-np.float64(product))))
        step = rate * (label - told)
        for d in range(len(hidden)):
            gradient[d] += step * outputs[target, d]
            outputs[target, d] += step * hidden[d]
    return 0


@njit(
    "void(int32[::1], int64[::1], int64[::1], int64[::1], uint64[::1], int32[::1], boolean, int64, int64, int64, float64, "
    "uint64[::1], float32[:, ::1], float32[:, ::1])"
)
def _descend(
    tokens: NDArray[np.int32],
    offsets: Positions,
    rows: Positions,
    row_ends: Positions,
    kept_below: NDArray[np.uint64],
    table: NDArray[np.int32],
    skipgram: bool,
    window: int,
    negatives: int,
    epochs: int,
    learning_rate: float,
    state: NDArray[np.uint64],
    inputs: Matrix,
    outputs: Matrix,
) -> None:
    """Stochastic gradient descent over the texts in their order, `epochs` times; changes `state`, `inputs` and `outputs`.

    Args:
        tokens: number of each word, -1 for one without a row; of all texts, one after another.
        offsets: where each text's begin.
        rows: of each word, its own and those of its parts, one word after another.
        row_ends: where the rows of each word end; shape (n_words + 1,), the first 0.
        kept_below: a word stays where a random number is below this.
        table: words to draw negative samples from.
        skipgram: else cbow.
        window, negatives, epochs, learning_rate: of `VectorSettings`.
        state: of the random numbers, shape (1,).
        inputs, outputs: as in `VectorModel`.
    """
    size = inputs.shape[1]
    longest = 0
    for text in range(len(offsets) - 1):
        longest = max(longest, offsets[text + 1] - offsets[text])
    line = np.empty(longest, np.int64)
    hidden, gradient, total = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    done, all_tokens = 0, max(epochs * len(tokens), 1)
    for _ in range(epochs):
        for text in range(len(offsets) - 1):
            length = 0
            for at in range(offsets[text], offsets[text + 1]):
                word = int64(tokens[at])
                if word < 0:
                    continue
                state[0] += np.uint64(0x9E3779B97F4A7C15)
                if mix64(state[0]) < kept_below[word]:
                    line[length] = word
                    length += 1
            begun = done
            read = offsets[text + 1] - offsets[text]
            for at in range(length):
                # by the place in the text, so that a long one does not keep one rate
                rate = np.float32(learning_rate * (1.0 - (begun + read * (at / length)) / all_tokens))
                state[0] += np.uint64(0x9E3779B97F4A7C15)
                width = int64(mix64(state[0]) % np.uint64(window)) + 1
                low, high = max(at - width, 0), min(at + width, length - 1)
                hidden[:] = 0
                total[:] = 0
                filled = 0
                for place in range(low, high + 1):
                    if (place == at) != skipgram:
                        continue
                    word = int64(line[place])
                    for one in range(row_ends[word], row_ends[word + 1]):
                        for d in range(size):
                            hidden[d] += inputs[rows[one], d]
                    filled += row_ends[word + 1] - row_ends[word]
                if filled == 0:
                    continue
                for d in range(size):
                    hidden[d] /= np.float32(filled)
                if skipgram:
                    for place in range(low, high + 1):
                        if place != at:
                            _tell(int64(line[place]), rate, hidden, gradient, outputs, table, negatives, state)
                            for d in range(size):
                                # each of the rows moves by the gradient, and so does their mean
                                hidden[d] += gradient[d]
                                total[d] += gradient[d]
                else:
                    _tell(int64(line[at]), rate, hidden, total, outputs, table, negatives, state)
                for place in range(low, high + 1):
                    if (place == at) != skipgram:
                        continue
                    word = int64(line[place])
                    for one in range(row_ends[word], row_ends[word + 1]):
                        for d in range(size):
                            inputs[rows[one], d] += total[d]
            done += read


class PlainRandom:
    """The random numbers of `_descend`: SplitMix64."""

    def __init__(self, seed: int) -> None:
        self.state = seed & _MASK

    def __call__(self) -> int:
        """The next one, of 64 bits."""
        self.state = (self.state + _STEP) & _MASK
        return mix64_plainly(self.state)


def descend_plainly(
    texts: Sequence[Sequence[int]],
    rows: Sequence[Sequence[int]],
    kept_below: Sequence[int],
    table: Sequence[int],
    settings: VectorSettings,
    inputs: NDArray[np.float64],
    outputs: NDArray[np.float64],
) -> None:
    """What `_descend` computes, in float64; `rows` of each word."""
    random, done = PlainRandom(settings.seed), 0
    for _ in range(settings.epochs):
        for text in texts:
            line = [word for word in text if word >= 0 and random() < kept_below[word]]
            for at, word in enumerate(line):
                progress = (done + len(text) * (at / len(line))) / (settings.epochs * sum(map(len, texts)))
                rate = settings.learning_rate * (1 - progress)
                width = random() % settings.window + 1
                around = line[max(at - width, 0) : at] + line[at + 1 : at + width + 1]
                asked, answers = ([word], around) if settings.model == "skipgram" else (around, [word])
                held = [row for one in asked for row in rows[one]]
                if not held:
                    continue
                hidden, total = inputs[held].mean(axis=0), np.zeros(inputs.shape[1])
                for answer in answers:
                    gradient = np.zeros(inputs.shape[1])
                    for sample in range(settings.negatives + 1):
                        target = answer
                        for _ in range(len(table) if sample else 0):
                            if (target := table[random() % len(table)]) != answer:
                                break
                        if sample and target == answer:
                            continue
                        product = outputs[target] @ hidden
                        told = 1 / (1 + np.exp(-product)) if abs(product) < _SATURATED else float(product > 0)
                        step = rate * ((sample == 0) - told)
                        gradient += step * outputs[target]
                        outputs[target] += step * hidden
                    hidden, total = hidden + gradient, total + gradient
                np.add.at(inputs, held, total)
            done += len(text)


class Vocabulary:
    """Words of texts as they come, counted; each text as numbers."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.words: list[bytes] = []
        self.counts: list[int] = []

    def add(self, text: str) -> NDArray[np.int32]:
        """Number of each word of a text."""
        data = np.frombuffer(bytearray(text.encode("utf-8", "replace")), dtype=np.uint8)
        starts, ends, keys = tokens_of(data, 0, len(data))
        unique, places, numbers, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        of_unique = np.empty(len(unique), dtype=np.int32)
        for at, (key, place, count) in enumerate(zip(unique.tolist(), places.tolist(), counts.tolist(), strict=True)):
            number = self.numbers.setdefault(key, len(self.words))
            if number == len(self.words):
                self.words.append(folded(data[starts[place] : ends[place]].tobytes()))
                self.counts.append(0)
            self.counts[number] += count
            of_unique[at] = number
        return of_unique[numbers.ravel()]


def train_vectors(texts: Iterable[str], settings: VectorSettings) -> VectorModel:
    """Learn vectors of the words of texts.

    Args:
        texts: in the order in which they are learned from.
        settings: what decides the training.

    Raises:
        ValueError: no word is frequent enough, or there is but one.
    """
    vocabulary = Vocabulary()
    pieces = [vocabulary.add(text) for text in texts]
    found = zip(vocabulary.words, vocabulary.counts, range(len(vocabulary.words)), strict=True)
    kept = sorted((one for one in found if one[1] >= settings.min_count), key=lambda one: (-one[1], one[0]))
    if len(kept) < 2:
        raise ValueError(
            f"{len(kept)} of {len(vocabulary.words):,} words occur {settings.min_count} times; "
            "give more text, or take a lower min_count"
        )
    renumbered = np.full(len(vocabulary.words), -1, dtype=np.int32)
    renumbered[[number for _, _, number in kept]] = np.arange(len(kept), dtype=np.int32)
    words, counts = [word for word, _, _ in kept], [count for _, count, _ in kept]
    tokens = sum(vocabulary.counts)
    del vocabulary
    n_rows, size = len(words) + settings.rows_of_parts, settings.dimensions
    inputs = first_rows(n_rows, size, settings.seed)
    outputs = np.zeros((len(words), size), dtype=np.float32)
    rows, row_ends = rows_of_vocabulary(words, settings)
    _descend(
        renumbered[np.concatenate(pieces)],
        np.cumsum([0, *map(len, pieces)]).astype(np.int64),
        rows,
        row_ends,
        kept_below(counts, tokens, settings.sampling),
        negative_table(counts),
        settings.model == "skipgram",
        settings.window,
        settings.negatives,
        settings.epochs,
        settings.learning_rate,
        np.array([settings.seed], dtype=np.uint64),
        inputs,
        outputs,
    )
    return VectorModel(words, counts, tokens, inputs, outputs, settings)


def rows_of_vocabulary(words: Sequence[bytes], settings: VectorSettings) -> tuple[Positions, Positions]:
    """Rows of all words, one word after another, and where those of each end, shape (n_words + 1,), the first 0."""
    data = np.frombuffer(bytearray(b"".join(words)), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, words)]).astype(np.int64)
    rows = np.zeros((len(data) + 2 * len(words)) * max(settings.longest, 1) + len(words), dtype=np.int64)
    ends = np.zeros(len(words) + 1, dtype=np.int64)
    own = np.arange(len(words), dtype=np.int64)
    given = (settings.shortest, settings.longest, settings.rows_of_parts, len(words))
    filled = rows_of_words(data, offsets, own, *given, rows, ends[1:])
    return rows[:filled].copy(), ends


def kept_below(counts: Sequence[int], tokens: int, sampling: float) -> NDArray[np.uint64]:
    """The number that a random one of 64 bits is below where a word stays: with probability sqrt(t / p) + t / p, p being its
    share."""
    shares = np.array(counts, dtype=np.float64) / tokens
    chances = np.minimum(np.sqrt(sampling / shares) + sampling / shares, 1.0)
    return np.minimum(chances * 2.0**64, 2.0**64 - 2048).astype(np.uint64)


def negative_table(counts: Sequence[int]) -> NDArray[np.int32]:
    """Words to draw from, each in proportion to the square root of its count."""
    ends = np.cumsum(np.sqrt(np.array(counts, dtype=np.float64)))
    places = (np.arange(1 << _TABLE_BITS) + 0.5) * (ends[-1] / (1 << _TABLE_BITS))
    found: NDArray[np.int32] = np.searchsorted(ends, places).astype(np.int32)
    return found
