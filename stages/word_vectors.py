"""Embeddings of texts without a transformer: means of word vectors from a fastText file, weighted by rarity.

A text's vector is the sum of the vectors of its words, each of length 1 and weighted by a / (a + p), p being the word's share of
what the vectors were trained on (smooth inverse frequency: Arora et al. 2017, "A simple but tough-to-beat baseline for sentence
embeddings", a = 0.0001), without the direction that all texts have in common. There this is the first singular vector of the
corpus's own sentence vectors; here it comes from the file alone, so that no text's vector hangs on others: the mean direction of
a text, which is the sum of the frequent words' vectors by share and weight.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.contamination_tokens import BASE, hash_tokens, token_table
from gristmill.stages.fasttext_file import path_of_vectors, read_vectors_file
from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.word_vector_kernels import add_words, finish_texts, rows_of_words, sums_of_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Keys = NDArray[np.uint64]
    Positions = NDArray[np.int64]
    Floats = NDArray[np.float64]

SMOOTHING = 1e-4
"""The a of a / (a + p). Of 1e-2 to 1e-5 the one by which the most rephrased items are found before false alarms come up
(docs/decontamination.md); the paper has 1e-3 and 1e-4 (from memory)."""
_FREQUENT = 50_000
"""Words that the common direction is made of: nearly all that texts consist of."""
_BYTES_AT_ONCE = 1 << 20
"""Text whose words are in memory together; a longer text is by itself."""
_WORDS_AT_ONCE, _ROWS_AT_ONCE = 1 << 16, 1 << 12
"""Words of texts whose vectors, and different words whose rows, are in memory together."""
_LONGEST_UNKNOWN = 100
"""Bytes of a word that the file does not hold, and whose parts are looked at; a longer one has no vector."""


def tokens_of(data: Bytes, begin: int, end: int) -> tuple[Positions, Positions, Keys]:
    """Bytes [start, end) of the words of a text, and a key of each that is equal for words that differ in case only.

    Words are runs of letters, digits and underscores, in scripts without spaces each character.
    """
    room = (end - begin) // 2 + 2  # a word of one byte is followed by what parts it, a character by itself has three bytes
    starts, ends = np.zeros((2, room), dtype=np.int64)
    prefixes = np.zeros(room + 1, dtype=np.uint64)
    found = hash_tokens(data, begin, end, *token_table("words"), starts, ends, prefixes)
    return starts[:found], ends[:found], prefixes[1 : found + 1] - prefixes[:found] * BASE


def folded(word: bytes) -> bytes:
    """A word as it is compared: in lower case, the digits of all scripts as 0 to 9."""
    becomes = token_table("words").becomes
    return "".join(chr(becomes[ord(character)]) for character in word.decode("utf-8", "replace")).encode("utf-8", "replace")


@dataclass(frozen=True)
class WordVectors:
    """Word vectors of a file."""

    keys: Keys
    """Of the words, ascending; of words that differ in case only the most frequent."""
    row_of_key: Positions
    words: Bytes
    """The words of all rows, one after another."""
    offsets: Positions
    weights: Floats
    """Of each row's word."""
    shortest: int
    longest: int
    buckets: int
    matrix: NDArray[np.float32]
    """Shape (n_words + buckets, size); a view of the file, which processes share."""
    common: Floats
    """The direction that all texts have in common, of length 1."""

    @property
    def size(self) -> int:
        """Numbers of a vector."""
        return int(self.matrix.shape[1])

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of texts, of length 1, or of length 0 where no word has a vector; shape (n_texts, size).

        What a text's vector is does not hang on the others.
        """
        found = np.zeros((len(texts), self.size), dtype=np.float32)
        held: list[bytes] = []
        first = size = 0
        for number, text in enumerate(texts):
            held.append(text.encode("utf-8", "replace"))
            size += len(held[-1])
            if size >= _BYTES_AT_ONCE or number + 1 == len(texts):
                found[first : number + 1] = self._of(held)
                held, first, size = [], number + 1, 0
        return found

    def _of(self, texts: list[bytes]) -> Floats:
        # a line feed parts words, so the words of all texts are those of each
        data = np.frombuffer(bytearray(b"\n".join(texts) + b"\n"), dtype=np.uint8)
        begins = np.cumsum([0, *(len(text) + 1 for text in texts)]).astype(np.int64)
        starts, ends, keys = tokens_of(data, 0, len(data))
        text_of = np.searchsorted(begins, starts, side="right") - 1
        sums, totals = np.zeros((len(texts), self.size)), np.zeros(len(texts))
        for at in range(0, len(keys), _WORDS_AT_ONCE):
            some = slice(at, at + _WORDS_AT_ONCE)
            unique, places, numbers = np.unique(keys[some], return_index=True, return_inverse=True)
            vectors, weights = self._of_keys(unique, data, starts[some][places], ends[some][places])
            add_words(numbers.astype(np.int64).ravel(), text_of[some], weights, vectors, sums, totals)
        finish_texts(sums, totals, self.common)
        return sums

    def _of_keys(self, keys: Keys, data: Bytes, starts: Positions, ends: Positions) -> tuple[Floats, Floats]:
        """Vectors and weights of words, given by their keys and where one of each stands."""
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        own = np.where(self.keys[at] == keys, self.row_of_key[at], -1)
        words = []
        for row, start, end in zip(own.tolist(), starts.tolist(), ends.tolist(), strict=True):
            if row >= 0:
                words.append(self.words[self.offsets[row] : self.offsets[row + 1]].tobytes())
            else:
                long = end - start > _LONGEST_UNKNOWN or not self.buckets
                words.append(b"" if long else folded(data[start:end].tobytes()))
        weights = np.where(own >= 0, self.weights[own], 1.0)
        return self.vectors_of(words, own), weights

    def vectors_of(self, words: Sequence[bytes], own: Positions) -> Floats:
        """Vectors of words, of length 1 or 0; `own` are their rows, -1 for those that have parts alone, of which empty ones have
        none."""
        vectors = np.zeros((len(words), self.size))
        for first in range(0, len(words), _ROWS_AT_ONCE):
            some = words[first : first + _ROWS_AT_ONCE]
            data = np.frombuffer(bytearray(b"".join(some)) or bytearray(1), dtype=np.uint8)
            offsets = np.cumsum([0, *map(len, some)]).astype(np.int64)
            rows = np.zeros((int(offsets[-1]) + 2 * len(some)) * max(self.longest, 1) + len(some), dtype=np.int64)
            ends = np.zeros(len(some), dtype=np.int64)
            given = (self.shortest, self.longest, self.buckets, len(self.offsets) - 1)
            filled = rows_of_words(data, offsets, own[first : first + _ROWS_AT_ONCE], *given, rows, ends)
            # gathered first: numbers in a file seldom begin where a processor wants them to
            unique, numbers = np.unique(rows[:filled], return_inverse=True)
            gathered = np.ascontiguousarray(self.matrix[unique])
            sums_of_rows(numbers.astype(np.int64).ravel(), ends, gathered, vectors[first : first + _ROWS_AT_ONCE])
        return vectors


def load_word_vectors(model: str) -> WordVectors:
    """The word vectors that a setting names, read once a process and again when the file has changed.

    Raises:
        StageUnavailable: there is no such file, or it holds no word vectors.
    """
    path = path_of_vectors(model)
    if not os.path.isfile(path):
        raise StageUnavailable(f"{path} is no file; give word vectors of fastText (.bin, .vec)")
    return _load(path)


@cached_by_files
def _load(path: str) -> WordVectors:
    try:
        return _of_text(path) if path.endswith(".vec") else _of_binary(path)
    except (ValueError, OSError) as error:
        raise StageUnavailable(
            f"{path}: no file of word vectors ({error}); give what fastText trains without labels (.bin, .vec), or gristmill "
            "embeddings train"
        ) from error


def _of_binary(path: str) -> WordVectors:
    held = read_vectors_file(path)
    rows = len(held.words) + held.buckets
    # mapped, not read: of millions of rows those that texts need, once for all processes
    matrix = np.memmap(path, dtype="<f4", mode="r", offset=held.matrix_at, shape=(rows, held.dimensions))
    shares = np.array(held.counts, dtype=np.float64) / max(sum(held.counts), 1)
    buckets = held.buckets if held.longest else 0
    return _made(held.words, shares, held.shortest, held.longest, buckets, matrix)


def _of_text(path: str) -> WordVectors:
    """A file of lines, a word and its numbers each, after one with how many there are; the most frequent words first."""
    with open(path, "rb") as file:
        head = file.readline(200).split()
        if len(head) != 2 or not all(one.isdigit() for one in head) or not int(head[1]):
            raise ValueError("its first line should be the number of words and the size of their vectors")
        count, size = int(head[0]), int(head[1])
        matrix = np.zeros((count, size), dtype=np.float32)
        words: list[bytes] = []
        for number, line in enumerate(file):
            parts = line.rstrip(b"\r\n ").rsplit(b" ", size)
            if number >= count or len(parts) != size + 1:
                raise ValueError(f"line {number + 2}: should be one of {count:,} words with {size} numbers")
            matrix[number] = np.array(parts[1:], dtype=np.float32)
            words.append(parts[0])
    if len(words) < count or not np.isfinite(matrix).all():
        raise ValueError(f"holds {len(words):,} of {count:,} words, or what is no number")
    # such files tell no counts: Zipf's law in their order
    shares = 1.0 / np.arange(1, count + 1)
    return _made(words, shares / shares.sum(), 0, 0, 0, matrix)


def _made(
    words: list[bytes], shares: Floats, shortest: int, longest: int, buckets: int, matrix: NDArray[np.float32]
) -> WordVectors:
    data = np.frombuffer(bytearray(b"".join(words)), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, words)]).astype(np.int64)
    keys, rows = _keys(words)
    unkeyed = WordVectors(
        keys, rows, data, offsets, SMOOTHING / (SMOOTHING + shares), shortest, longest, buckets, matrix, np.zeros(matrix.shape[1])
    )
    frequent = rows[rows < _FREQUENT]
    if not len(frequent):
        raise ValueError("holds no word")
    vectors = unkeyed.vectors_of([words[row] for row in frequent], frequent)
    # by the kernels, not by BLAS, whose last bits hang on its threads
    common, total = np.zeros((1, matrix.shape[1])), np.zeros(1)
    places, one = np.arange(len(frequent), dtype=np.int64), np.zeros(len(frequent), dtype=np.int64)
    add_words(places, one, shares[frequent] * unkeyed.weights[frequent], vectors, common, total)
    finish_texts(common, total, np.zeros(matrix.shape[1]))
    return replace(unkeyed, common=common[0])


def _keys(words: list[bytes]) -> tuple[Keys, Positions]:
    """Keys of the words that are one token, ascending, and the first row of each."""
    found_keys, found_rows = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    for first in range(0, len(words), 1 << 16):
        some = words[first : first + (1 << 16)]
        data = np.frombuffer(bytearray(b"\n".join(some) + b"\n"), dtype=np.uint8)
        begins = np.cumsum([0, *(len(word) + 1 for word in some)])
        starts, ends, keys = tokens_of(data, 0, len(data))
        at = np.searchsorted(starts, begins[:-1])
        there = at < len(starts)
        at, row = at[there], np.flatnonzero(there)
        whole = (starts[at] == begins[row]) & (ends[at] == begins[row + 1] - 1)
        found_keys.append(keys[at[whole]])
        found_rows.append(first + row[whole])
    keys, firsts = np.unique(np.concatenate(found_keys), return_index=True)
    return keys, np.concatenate(found_rows)[firsts]
