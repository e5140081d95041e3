"""N-gram language models of words: their file, and a kernel that gives texts their probability.

A model holds every n-gram that it knows with its probability, and every context with the weight that it leaves to shorter ones,
as an ARPA file does: p(w | h) is the probability of `h w` where that is known, else backoff(h) p(w | h without its first word).
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gristmill.stages.hashing import mix64
from gristmill.stages.numba_cache import njit
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.text_kernels import int64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.ngram_tokens import Tokens

    Positions = NDArray[np.int64]
    Floats = NDArray[np.float32]
    Keys = NDArray[np.uint64]

UNKNOWN, BEGIN, END = 0, 1, 2
"""Numbers of the word that is in no vocabulary, of the beginning of a line, and of its end."""
FIRST_WORD = 3
"""Number of the first word of the vocabulary."""
LONGEST = 8
"""Most words of an n-gram."""
_NONE = np.uint32(0xFFFFFFFF)
_KIND, _VERSION = "gristmill n-gram model", 1


@dataclass(frozen=True)
class NgramModel:
    """A model; the n-grams of each length are sorted by key."""

    words: str
    """Name of the word splitter that its tokens come from."""
    vocabulary: Keys
    """Hashes of the words, sorted; the word at `i` has the number `FIRST_WORD + i`."""
    keys: tuple[Keys, ...]
    """For n = 2, 3, ...: (place of the first n - 1 words among the n-grams one shorter) << 32 | number of the last word."""
    log_probabilities: tuple[Floats, ...]
    """For n = 1, 2, ...: log10 of the probability of the last word after the others."""
    log_backoffs: tuple[Floats, ...]
    """For n = 1, 2, ... up to one below the order: log10 of what a context leaves to shorter ones."""
    about: dict[str, Any] = field(default_factory=dict)
    """What it was trained on."""

    @property
    def order(self) -> int:
        """Words of the longest n-grams."""
        return len(self.log_probabilities)

    @cached_property
    def _tables(self) -> tuple[NDArray[np.uint32], Positions, Keys, Positions, Floats, Positions, Floats, Positions]:
        """Arrays of all lengths behind each other, with where each begins, and a hash table from keys to places."""
        starts = np.cumsum([0, 0, *(len(keys) for keys in self.keys)]).astype(np.int64)
        room = np.cumsum([0, 0, *(len(keys) * 3 // 2 + 2 for keys in self.keys)]).astype(np.int64)
        slots = np.full(room[-1], _NONE, dtype=np.uint32)
        for n, keys in enumerate(self.keys, 1):
            _fill_slots(keys, slots[room[n] : room[n + 1]])
        keys = np.concatenate([np.zeros(0, np.uint64), *self.keys])
        probability_starts = np.cumsum([0, *(len(held) for held in self.log_probabilities)]).astype(np.int64)
        backoff_starts = np.cumsum([0, *(len(held) for held in self.log_backoffs)]).astype(np.int64)
        backoffs = np.concatenate([np.zeros(0, np.float32), *self.log_backoffs])
        return slots, room, keys, starts, np.concatenate(self.log_probabilities), probability_starts, backoffs, backoff_starts

    def numbers(self, hashes: Keys) -> NDArray[np.uint32]:
        """The numbers of words; shape (n_words,)."""
        return _numbers(hashes, self.vocabulary, self._vocabulary_slots)

    @cached_property
    def _vocabulary_slots(self) -> NDArray[np.uint32]:
        slots = np.full(len(self.vocabulary) * 2 + 2, _NONE, dtype=np.uint32)
        _fill_slots(self.vocabulary, slots)
        return slots

    def score(self, tokens: Tokens) -> tuple[NDArray[np.float64], Positions]:
        """Probability of documents: each line is a sentence, with its end, by itself.

        Returns:
            For each document the log10 of its probability, and how many tokens and line ends that are.
        """
        return _score(self.numbers(tokens.hashes), tokens.begins, tokens.offsets, self.order, *self._tables)

    def log_probability(self, context: tuple[int, ...], word: int) -> float:
        """log10 p(word | context) of numbers; what the kernel adds up, plainly."""
        context = context[max(len(context) - self.order + 1, 0) :]
        for start in range(len(context) + 1):
            place = self._place((*context[start:], word))
            if place is not None:
                n = len(context) - start + 1
                return float(self.log_probabilities[n - 1][place]) + sum(
                    float(self.log_backoffs[len(context) - shorter - 1][found])
                    for shorter in range(start)
                    if (found := self._place(context[shorter:])) is not None
                )
        raise ValueError(f"{word}: is the number of no word; there are {len(self.log_probabilities[0]):,}")

    def _place(self, gram: tuple[int, ...]) -> int | None:
        if not gram or len(gram) > self.order:
            return None
        place = gram[0]
        if place >= len(self.log_probabilities[0]):
            return None
        for keys, word in zip(self.keys, gram[1:], strict=False):
            key = np.uint64(place << 32 | word)
            place = int(np.searchsorted(keys, key))
            if place == len(keys) or keys[place] != key:
                return None
        return place

    def write(self, path: str) -> None:
        """Write the model whole or not at all; the same model gives the same bytes."""
        header = json.dumps({"kind": _KIND, "version": _VERSION, "words": self.words, "about": self.about}, sort_keys=True)
        arrays: dict[str, NDArray[Any]] = {
            "header": np.frombuffer(header.encode(), dtype=np.uint8),
            "vocabulary": self.vocabulary,
        }
        for n, held in enumerate(self.log_probabilities, 1):
            arrays[f"probabilities{n}"] = held
            if n < self.order:
                arrays[f"backoffs{n}"] = self.log_backoffs[n - 1]
            if n > 1:
                arrays[f"keys{n}"] = self.keys[n - 2]
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, held in arrays.items():
                # a date of its own, or the bytes would tell when they were written
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.ascontiguousarray(held), allow_pickle=False)
        temporary.replace(target)


def read_model(path: str) -> NgramModel:
    """Read the file of a model.

    Raises:
        StageUnavailable: it is missing, or is no such file, or not a whole one.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise StageUnavailable(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        if not content.startswith(b"PK"):  # NumPy would take it for a pickle, and tell how to load one
            raise ValueError("does not begin as one does")
        with np.load(io.BytesIO(content), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        header = json.loads(arrays["header"].tobytes())
        if header["kind"] != _KIND or header["version"] != _VERSION:
            raise ValueError(f"it is a {header['kind']} of version {header['version']}")
        order = sum(name.startswith("probabilities") for name in arrays)
        model = NgramModel(
            words=header["words"],
            vocabulary=arrays["vocabulary"],
            keys=tuple(arrays[f"keys{n}"] for n in range(2, order + 1)),
            log_probabilities=tuple(arrays[f"probabilities{n}"] for n in range(1, order + 1)),
            log_backoffs=tuple(arrays[f"backoffs{n}"] for n in range(1, order)),
            about=header["about"],
        )
        _check(model)
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise StageUnavailable(
            f"{path}: is no n-gram model ({error}); give one that `gristmill perplexity train` wrote, or a file of KenLM"
        ) from error
    return model


def _check(model: NgramModel) -> None:
    """Hold the sizes and numbers of a model against each other: the kernel trusts them.

    Raises:
        ValueError: they do not fit.
    """
    sizes = [len(model.vocabulary) + FIRST_WORD, *(len(keys) for keys in model.keys)]
    fits = 1 <= model.order <= LONGEST and [len(held) for held in model.log_probabilities] == sizes
    fits &= [len(held) for held in model.log_backoffs] == sizes[:-1]
    fits &= all(held.dtype == np.float32 for held in (*model.log_probabilities, *model.log_backoffs))
    fits &= all(held.dtype == np.uint64 and held.ndim == 1 for held in (*model.keys, model.vocabulary))
    for shorter, keys in zip(sizes, model.keys, strict=False):
        fits &= not len(keys) or (int(keys.max()) >> 32) < shorter
    if not fits:
        raise ValueError("its tables do not fit together")


@njit("int64(uint64, int64)", inline=True)
def _slot(key: np.uint64, size: int) -> int:
    return int64(((mix64(key) >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32))


@njit("void(uint64[::1], uint32[::1])")
def _fill_slots(keys: Keys, slots: NDArray[np.uint32]) -> None:
    """Put the place of each key into an open-addressing table, which is empty and has more slots than keys."""
    for place in range(keys.size):
        slot = _slot(keys[place], slots.size)
        while slots[slot] != _NONE:
            slot = slot + 1 if slot + 1 < slots.size else 0
        slots[slot] = place


@njit("int64(uint64, uint64[::1], int64, uint32[::1], int64, int64)", inline=True)
def _find(key: np.uint64, keys: Keys, keys_start: int, slots: NDArray[np.uint32], start: int, size: int) -> int:
    """Place of a key, -1 where it is none."""
    slot = _slot(key, size)
    while True:
        place = slots[start + slot]
        if place == _NONE:
            return -1
        if keys[keys_start + int64(place)] == key:
            return int64(place)
        slot = slot + 1 if slot + 1 < size else 0


@njit("uint32[::1](uint64[::1], uint64[::1], uint32[::1])")
def _numbers(hashes: Keys, vocabulary: Keys, slots: NDArray[np.uint32]) -> NDArray[np.uint32]:
    found = np.empty(hashes.size, dtype=np.uint32)
    for index in range(hashes.size):
        place = _find(hashes[index], vocabulary, 0, slots, 0, slots.size)
        found[index] = place + FIRST_WORD if place >= 0 else UNKNOWN
    return found


@njit(
    "Tuple((float64, int64))(int64, int64[::1], int64, int64, uint32[::1], int64[::1], uint64[::1], int64[::1], float32[::1],"
    " int64[::1], float32[::1], int64[::1])"
)
def _step(
    word: int,
    state: Positions,
    length: int,
    order: int,
    slots: NDArray[np.uint32],
    room: Positions,
    keys: Keys,
    starts: Positions,
    probabilities: Floats,
    probability_starts: Positions,
    backoffs: Floats,
    backoff_starts: Positions,
) -> tuple[float, int]:
    """Log probability of a word after a state, which becomes the one after it; the second number is the state's length.

    `state[k]` is the place of the last k words among the known k-grams, for k up to `length`.
    """
    found = probabilities[word]
    matched = 0
    left = state[1]
    state[1] = word
    total = 0.0
    for context in range(1, length + 1):
        place = left
        n = context + 1
        size = room[n] - room[n - 1]
        key = (np.uint64(place) << np.uint64(32)) | np.uint64(word)
        longer = _find(key, keys, starts[n - 1], slots, room[n - 1], size) if size else -1
        if longer < 0:
            # longer contexts are not followed by the word either: what they leave to this one is what remains to count
            total += backoffs[backoff_starts[context - 1] + place]
            for other in range(context + 1, length + 1):
                total += backoffs[backoff_starts[other - 1] + state[other]]
            break
        found = probabilities[probability_starts[n - 1] + longer]
        matched = context
        if n < order:
            left = state[n]
            state[n] = longer
    return total + found, min(matched + 1, order - 1)


@njit(
    "Tuple((float64[::1], int64[::1]))(uint32[::1], uint8[::1], int64[::1], int64, uint32[::1], int64[::1], uint64[::1],"
    " int64[::1], float32[::1], int64[::1], float32[::1], int64[::1])"
)
def _score(
    words: NDArray[np.uint32],
    begins: NDArray[np.uint8],
    offsets: Positions,
    order: int,
    slots: NDArray[np.uint32],
    room: Positions,
    keys: Keys,
    starts: Positions,
    probabilities: Floats,
    probability_starts: Positions,
    backoffs: Floats,
    backoff_starts: Positions,
) -> tuple[NDArray[np.float64], Positions]:
    documents = offsets.size - 1
    sums = np.zeros(documents, dtype=np.float64)
    counts = np.zeros(documents, dtype=np.int64)
    state = np.zeros(LONGEST + 2, dtype=np.int64)
    tables = (slots, room, keys, starts, probabilities, probability_starts, backoffs, backoff_starts)
    for document in range(documents):
        total = 0.0
        count = 0
        length = 0
        for index in range(offsets[document], offsets[document + 1]):
            if begins[index]:
                if count:
                    gained, _ = _step(END, state, length, order, *tables)
                    total += gained
                    count += 1
                state[1] = BEGIN
                length = min(1, order - 1)
            gained, after = _step(int64(words[index]), state, length, order, *tables)
            length = after
            total += gained
            count += 1
        if count:
            gained, _ = _step(END, state, length, order, *tables)
            total += gained
            count += 1
        sums[document] = total
        counts[document] = count
    return sums, counts
