"""Training of linear text classifiers as fastText's `supervised` does (Joulin et al. 2016, arXiv:1607.01759), one thread.

The library (0.9.3) is not asked: with fewer than ten threads it leaves at least a tenth of its input matrix as memory happens
to be (each thread fills a tenth, and the memory is no longer cleared first), so that trainings end with "Encountered NaN" or
differ from each other; ten threads write to one matrix at once, so that no two trainings are the same. Here all numbers are
set, and the same documents in the same order give the same file. What is read, learned and written is the library's: words
between white space, a word `</s>` at the end, n-grams of words in hashed buckets, the mean of the rows, a softmax, a learning
rate that falls to 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.numba_cache import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

END = b"</s>"
LABEL = b"__label__"
_MULTIPLIER = np.uint64(116049371)


@dataclass(frozen=True)
class Hyperparameters:
    """What decides a training, beside the texts."""

    dimensions: int = 16
    word_ngrams: int = 2
    buckets: int = 1 << 20
    """Rows that n-grams of two words and more share; not used with `word_ngrams` 1."""
    epochs: int = 5
    learning_rate: float = 0.5
    min_count: int = 1
    """Fewest occurrences of a word that gets a row of its own."""
    seed: int = 0

    @property
    def rows_of_ngrams(self) -> int:
        """As the library: no buckets where there are no n-grams."""
        return self.buckets if self.word_ngrams > 1 else 0


@dataclass(frozen=True)
class LinearModel:
    """A trained classifier."""

    words: list[bytes]
    """In the order of their rows, the most frequent first."""
    counts: list[int]
    tokens: int
    """Words read, with labels and ends of texts, as the library counts them."""
    labels: list[str]
    label_counts: list[int]
    inputs: NDArray[np.float32]
    """Of shape (n_words + n_buckets, dimensions)."""
    outputs: NDArray[np.float32]
    """Of shape (n_labels, dimensions)."""
    settings: Hyperparameters


def words_of(text: str) -> list[bytes]:
    """The words that fastText reads in a text: between ASCII white space or null bytes, up to a literal `</s>`, labels left out;
    and `</s>` at the end."""
    words = text.encode("utf-8", "replace").replace(b"\0", b" ").split()
    if END in words:
        del words[words.index(END) :]
    return [*(word for word in words if not word.startswith(LABEL)), END]


@njit("int32[::1](uint8[::1], int64[::1])")
def hashes_of(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int32]:
    """fastText's hash of each word: 32-bit FNV-1a that takes bytes for signed, as int32 of shape (n_words,)."""
    found = np.empty(len(offsets) - 1, np.int32)
    for word in range(len(found)):
        hashed = np.uint32(2166136261)
        for at in range(offsets[word], offsets[word + 1]):
            byte = np.uint32(data[at])
            if byte > np.uint32(127):
                byte |= np.uint32(0xFFFFFF00)
            hashed = np.uint32((hashed ^ byte) * np.uint32(16777619))
        found[word] = np.int32(hashed)
    return found


def hash_plainly(word: bytes) -> int:
    """What `hashes_of` computes, one word at a time."""
    hashed = 2166136261
    for byte in word:
        hashed = ((hashed ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16777619) & 0xFFFFFFFF
    return hashed - (1 << 32) if hashed >= 1 << 31 else hashed


@njit("int64(int32[::1], int32[::1], int32[::1], int64, int64, int64, int64[::1])")
def _fill_rows(
    tokens: NDArray[np.int32],
    row_of: NDArray[np.int32],
    hash_of: NDArray[np.int32],
    n_words: int,
    n_buckets: int,
    word_ngrams: int,
    rows: NDArray[np.int64],
) -> int:
    """Write the rows of a text's words and n-grams into `rows`; how many they are."""
    filled = 0
    for at in range(len(tokens)):
        row = row_of[tokens[at]]
        if row >= 0:
            rows[filled] = row
            filled += 1
    if n_buckets > 0:
        for at in range(len(tokens)):
            hashed = np.uint64(np.int64(hash_of[tokens[at]]))
            for end in range(at + 1, min(at + word_ngrams, len(tokens))):
                hashed = hashed * _MULTIPLIER + np.uint64(np.int64(hash_of[tokens[end]]))
                rows[filled] = n_words + np.int64(hashed % np.uint64(n_buckets))
                filled += 1
    return filled


def rows_plainly(words: Sequence[bytes], row_of: dict[bytes, int], n_buckets: int, word_ngrams: int) -> list[int]:
    """What `_fill_rows` computes, from words."""
    n_words, mask = len(row_of), (1 << 64) - 1
    rows = [row_of[word] for word in words if word in row_of]
    if n_buckets:
        for at in range(len(words)):
            hashed = hash_plainly(words[at]) & mask
            for word in words[at + 1 : at + word_ngrams]:
                hashed = (hashed * 116049371 + hash_plainly(word)) & mask
                rows.append(n_words + hashed % n_buckets)
    return rows


@njit(
    "void(int32[::1], int64[::1], int32[::1], int32[::1], int32[::1], int64, int64, int64, int64, float64, "
    "float32[:, ::1], float32[:, ::1])"
)
def _descend(
    tokens: NDArray[np.int32],
    offsets: NDArray[np.int64],
    labels: NDArray[np.int32],
    row_of: NDArray[np.int32],
    hash_of: NDArray[np.int32],
    n_words: int,
    n_buckets: int,
    word_ngrams: int,
    epochs: int,
    learning_rate: float,
    inputs: NDArray[np.float32],
    outputs: NDArray[np.float32],
) -> None:
    """Stochastic gradient descent over the texts in their order, `epochs` times; changes `inputs` and `outputs`."""
    n_texts, dimensions, n_labels = len(labels), inputs.shape[1], outputs.shape[0]
    longest = 0
    for text in range(n_texts):
        longest = max(longest, offsets[text + 1] - offsets[text])
    rows = np.empty(longest * max(word_ngrams, 1), np.int64)
    hidden, gradient = np.empty(dimensions, np.float32), np.empty(dimensions, np.float32)
    share = np.empty(n_labels, np.float32)
    done, all_tokens = 0, epochs * len(tokens)
    for _ in range(epochs):
        for text in range(n_texts):
            rate = learning_rate * (1.0 - done / all_tokens)
            done += offsets[text + 1] - offsets[text]
            read = tokens[offsets[text] : offsets[text + 1]]
            filled = _fill_rows(read, row_of, hash_of, n_words, n_buckets, word_ngrams, rows)
            if filled == 0:
                continue
            hidden[:] = 0
            for at in range(filled):
                for d in range(dimensions):
                    hidden[d] += inputs[rows[at], d]
            for d in range(dimensions):
                hidden[d] /= np.float32(filled)
            highest = np.float32(-np.inf)
            for label in range(n_labels):
                share[label] = 0
                for d in range(dimensions):
                    share[label] += outputs[label, d] * hidden[d]
                highest = max(highest, share[label])
            total = np.float32(0)
            for label in range(n_labels):
                share[label] = np.exp(share[label] - highest)
                total += share[label]
            gradient[:] = 0
            for label in range(n_labels):
                step = np.float32(rate * ((1.0 if label == labels[text] else 0.0) - share[label] / total))
                for d in range(dimensions):
                    gradient[d] += step * outputs[label, d]
                    outputs[label, d] += step * hidden[d]
            for d in range(dimensions):
                gradient[d] /= np.float32(filled)
            for at in range(filled):
                for d in range(dimensions):
                    inputs[rows[at], d] += gradient[d]


def descend_plainly(
    rows: Sequence[Sequence[int]],
    lengths: Sequence[int],
    labels: Sequence[int],
    epochs: int,
    learning_rate: float,
    inputs: NDArray[np.float64],
    outputs: NDArray[np.float64],
) -> None:
    """What `_descend` computes, in float64: `rows` of each text, and `lengths` in words, which set the learning rate."""
    done = 0
    for _ in range(epochs):
        for text, label in enumerate(labels):
            rate = learning_rate * (1 - done / (epochs * sum(lengths)))
            done += lengths[text]
            if not rows[text]:
                continue
            hidden = inputs[list(rows[text])].mean(axis=0)
            shares = np.exp(outputs @ hidden)
            steps = rate * (np.eye(len(outputs))[label] - shares / shares.sum())
            gradient = steps @ outputs / len(rows[text])
            outputs += np.outer(steps, hidden)
            np.add.at(inputs, list(rows[text]), gradient)


def first_rows(n_rows: int, dimensions: int, seed: int) -> NDArray[np.float32]:
    """What the rows of words and their parts begin with: numbers from -1 / dimensions to 1 / dimensions, as in fastText.

    Returns:
        Shape (n_rows, dimensions), float32.
    """
    rows = np.random.Generator(np.random.PCG64(seed)).random((n_rows, dimensions), dtype=np.float32)
    # in place: with two million rows of 100 numbers each copy has 800 MB
    rows *= np.float32(2)
    rows -= np.float32(1)
    rows /= np.float32(dimensions)
    return rows


def train(texts: Iterable[str], labels: Sequence[str], settings: Hyperparameters) -> LinearModel:
    """Learn to tell the labels of texts.

    Args:
        texts: in the order in which they are learned from; shuffled, as a model that sees one label last believes in it.
        labels: of each text, without `__label__`.
        settings: what decides the training.

    Raises:
        ValueError: there are fewer than two labels, or no word is frequent enough.
    """
    counts: Counter[bytes] = Counter()
    number: dict[bytes, int] = {}
    pieces, lengths = [], []
    for text in texts:
        words = words_of(text)
        counts.update(words)
        pieces.append(np.array([number.setdefault(word, len(number)) for word in words], dtype=np.int32))
        lengths.append(len(words))
    of_labels = Counter(labels)
    if len(of_labels) < 2:
        raise ValueError(f"two labels or more are to be told apart; there is {', '.join(of_labels) or 'none'}")
    kept = sorted((word for word, n in counts.items() if n >= settings.min_count), key=lambda word: (-counts[word], word))
    if not kept:
        raise ValueError(f"no word occurs {settings.min_count} times; take a lower min_count")
    row_of = np.full(len(number), -1, dtype=np.int32)
    row_of[[number[word] for word in kept]] = np.arange(len(kept), dtype=np.int32)
    joined = np.frombuffer(bytearray().join(number), dtype=np.uint8)
    ends = np.cumsum([0, *map(len, number)]).astype(np.int64)
    names = sorted(of_labels, key=lambda label: (-of_labels[label], label))
    n_rows, width = len(kept) + settings.rows_of_ngrams, settings.dimensions
    inputs = first_rows(n_rows, width, settings.seed)
    outputs = np.zeros((len(names), width), dtype=np.float32)
    _descend(
        np.concatenate(pieces),
        np.cumsum([0, *lengths]).astype(np.int64),
        np.array([names.index(label) for label in labels], dtype=np.int32),
        row_of,
        hashes_of(joined, ends),
        len(kept),
        settings.rows_of_ngrams,
        settings.word_ngrams,
        settings.epochs,
        settings.learning_rate,
        inputs,
        outputs,
    )
    return LinearModel(
        kept,
        [counts[word] for word in kept],
        sum(lengths) + len(lengths),
        names,
        [of_labels[name] for name in names],
        inputs,
        outputs,
        settings,
    )
