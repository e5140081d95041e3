"""Rephrased items of benchmarks: passages of documents whose embeddings point where an item's does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from gristmill.stages.contamination_index import ANSWER, QUESTION, Looks
from gristmill.stages.contamination_items import Item, read_items
from gristmill.stages.contamination_scores import Match, Shares, united
from gristmill.stages.contamination_tokens import hash_tokens, token_table
from gristmill.stages.embeddings import model_vectors
from gristmill.stages.file_cache import cached_by_files

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from gristmill.stages.embeddings import Vectors
    from gristmill.stages.features import TextFeatures

    Positions = NDArray[np.int64]
    Floats = NDArray[np.float64]

STEP = 0.01
"""What the corpus is counted by: similarities from the bound on, in steps of this size."""
_PASSAGES, _ITEMS = 512, 4096
"""Passages and items whose products are in memory together."""
_BLANK_LINE, _LINE = re.compile(rb"\n[ \t\r]*\n\s*"), re.compile(rb"\n\s*")


class Passages(NamedTuple):
    """Passages of documents."""

    rows: Positions
    """Document of each."""
    starts: Positions
    """Bytes of the batch."""
    ends: Positions


def passages_of(data: NDArray[np.uint8], begin: int, end: int, length: int, shortest: int) -> list[tuple[int, int]]:
    """Bytes [start, end) of the passages of a text.

    A passage is a paragraph: what blank lines part, in texts without one what lines part. Paragraphs of fewer than `shortest`
    words go with the next; those of more than twice `length` words are cut to windows of `length`, each half a window after the
    one before, the last one up to the paragraph's end.

    Args:
        data: UTF-8 bytes of the batch.
        begin, end: the text's bytes.
        length, shortest: in words of `contamination_tokens`.
    """
    room = end - begin + 1
    starts, ends = np.zeros(room, dtype=np.int64), np.zeros(room, dtype=np.int64)
    words = hash_tokens(data, begin, end, *token_table("words"), starts, ends, np.zeros(room + 1, dtype=np.uint64))
    text = data[begin:end].tobytes()
    parting = _BLANK_LINE if _BLANK_LINE.search(text.strip()) else _LINE
    stops = [begin + found.start() for found in parting.finditer(text)] + [end]
    first, found = 0, []
    for stop in stops:
        last = int(np.searchsorted(starts[:words], stop))
        if last == first or (last - first < shortest and stop != end):
            continue
        for start, after in _windows(first, last, length):
            # with the punctuation behind its last word
            tail = min(int(starts[after]) if after < words else end, stop)
            passage = data[starts[start] : tail].tobytes().rstrip()
            found.append((int(starts[start]), int(starts[start]) + len(passage)))
        first = last
    return found


def _windows(first: int, last: int, length: int) -> Iterator[tuple[int, int]]:
    if last - first <= 2 * length:
        yield first, last
        return
    for start in range(first, last - length, max(length // 2, 1)):
        yield start, start + length
    yield last - length, last


class Nearness(NamedTuple):
    """How near documents come to texts of items."""

    greatest: Floats
    """The greatest similarity of each document, shape (n_documents,); 0 where it is negative or there is nothing to compare."""
    passages: Passages
    """For each pair of a document and a text that reaches the bound the most similar passage, of equal ones the first; or all."""
    texts: Positions
    similarities: Floats


class Closest(NamedTuple):
    """For each text of an item the most similar passage of a batch, of equal ones the first; shapes (n_texts,)."""

    similarities: Floats
    """0 where there is none."""
    rows: Positions
    """The passage's document."""
    starts: Positions
    """Bytes of the batch."""
    ends: Positions

    @classmethod
    def of(cls, texts: int) -> Closest:
        """Nothing seen yet."""
        return cls(np.zeros(texts), *(np.zeros(texts, dtype=np.int64) for _ in range(3)))

    def see(self, first: int, scores: Floats, passages: Passages) -> None:
        """Take in the similarities of passages to the texts from `first` on, shape (n_passages, n_of_these_texts)."""
        at = scores.argmax(axis=0)
        here = scores[at, np.arange(scores.shape[1])]
        better = np.flatnonzero(here > self.similarities[first : first + len(here)])
        self.similarities[first + better] = here[better]
        for held, column in zip(self[1:], passages, strict=True):
            held[first + better] = column[at[better]]


@dataclass(frozen=True)
class SimilarItems:
    """The items as embeddings, and what says where documents come near to them.

    Has what `contamination_index.Index` and `contamination_scores.Scorer` have for those who tell of items; a run is one of the
    steps of similarity from the bound on, of one text.
    """

    measured: ClassVar[str] = "similarity {share:.3f} to its {part}"

    looks: Looks
    items: list[Item]
    model: str
    bound: float
    text_item: Positions
    """The item of each text, shape (n_texts,)."""
    text_part: Positions
    vectors: Vectors
    """Shape (n_texts, size)."""

    @property
    def index(self) -> SimilarItems:
        """The texts that shares are of."""
        return self

    @cached_property
    def steps(self) -> int:
        """Steps from the bound to 1."""
        return int(np.floor(round((1 - self.bound) / STEP, 6))) + 1

    @property
    def runs(self) -> int:
        """Steps of all texts."""
        return len(self.text_item) * self.steps

    @property
    def text_runs(self) -> Positions:
        """Steps of each text; all are looked for."""
        return np.full(len(self.text_item), self.steps, dtype=np.int64)

    def near(self, features: TextFeatures, rows: Positions, every: bool = False, closest: Closest | None = None) -> Nearness:
        """How near some documents of a batch come to the texts; with `every` passage that reaches the bound.

        Where `closest` is given, it sees all passages.
        """
        greatest = np.zeros(len(features), dtype=np.float64)
        found: list[NDArray[np.float64]] = [np.zeros((0, 5))]
        for passages in self._passages(features, rows):
            texts = [
                features.data[start:end].tobytes().decode("utf-8", "replace")
                for start, end in zip(passages.starts.tolist(), passages.ends.tolist(), strict=True)
            ]
            vectors, embedded = model_vectors(self.model, texts)
            of_row, starts, ends = (column[embedded] for column in passages)
            for begin in range(0, len(self.vectors), _ITEMS):
                scores = similarities(vectors, self.vectors[begin : begin + _ITEMS])
                if not scores.size:
                    continue
                np.maximum.at(greatest, of_row, scores.max(axis=1))
                if closest is not None:
                    closest.see(begin, scores, Passages(of_row, starts, ends))
                passage, text = np.nonzero(scores >= self.bound)
                if not len(passage):
                    continue
                score = scores[passage, text]
                found.append(np.column_stack([of_row[passage], text + begin, score, starts[passage], ends[passage]]))
                found = found if every else [best(np.concatenate(found))]
        row, text, score, start, end = np.concatenate(found).T
        whole = (column.astype(np.int64) for column in (row, start, end))
        return Nearness(greatest, Passages(*whole), text.astype(np.int64), score)

    def _passages(self, features: TextFeatures, rows: Positions) -> Iterator[Passages]:
        """Passages of documents, so many at once as are compared together."""
        held: list[tuple[int, int, int]] = []
        for row in rows.tolist():
            span = int(features.offsets[row]), int(features.offsets[row + 1])
            held += [(row, *one) for one in passages_of(features.data, *span, self.looks.length, self.looks.shortest)]
            while len(held) >= _PASSAGES:
                yield Passages(*np.array(held[:_PASSAGES], dtype=np.int64).T)
                del held[:_PASSAGES]
        if held:
            yield Passages(*np.array(held, dtype=np.int64).T)

    def pairs(self, near: Nearness) -> tuple[Positions, Positions]:
        """Which document reaches which step of a text, each pair once."""
        step = np.floor(np.round((near.similarities - self.bound) / STEP, 4)).astype(np.int64)
        return near.passages.rows, near.texts * self.steps + np.minimum(step, self.steps - 1)

    def none_closest(self) -> Closest:
        """No passage seen yet."""
        return Closest.of(len(self.text_item))

    def highest(self, closest: Closest, features: TextFeatures) -> pa.Table:
        """The most similar passage of each text as `Survey.highest` has it, of those that have any."""
        import pyarrow as pa

        from gristmill.stages.decontaminate_cuts import characters_of

        texts = np.flatnonzero(closest.similarities)
        spans = list(zip(*(column[texts].tolist() for column in closest[1:]), strict=True))
        places = {one: characters_of(features, one[0], one[1:]) for one in set(spans)}
        columns = {"key": texts, "value": closest.similarities[texts], "row": closest.rows[texts]}
        columns |= {name: np.array([places[one][at] for one in spans], np.int64) for at, name in enumerate(("start", "end"))}
        return pa.table(columns)

    def shares(self, rows: Positions, runs: Positions) -> Shares:
        """The similarities that steps stand for, their lower bound each."""
        return Shares(rows, runs // self.steps, np.round(self.bound + (runs % self.steps) * STEP, 6))

    def matches(self, features: TextFeatures, rows: Positions, every: bool = False) -> list[Match]:
        """The texts that documents come near to, the most similar of a document first.

        Args:
            features: of the batch.
            rows: documents to look at.
            every: a match has all passages that reach the bound, those that overlap made one; else the most similar one.
        """
        near = self.near(features, rows, every)
        spans: dict[tuple[int, int], list[tuple[int, int]]] = {}
        greatest: dict[tuple[int, int], float] = {}
        columns = (*near.passages, near.texts, near.similarities)
        for row, start, end, text, score in zip(*(column.tolist() for column in columns), strict=True):
            spans.setdefault((row, text), []).append((start, end))
            greatest[row, text] = max(score, greatest.get((row, text), 0.0))
        found = [Match(row, text, greatest[row, text], united(held)) for (row, text), held in spans.items()]
        return sorted(found, key=lambda match: (match.row, -match.share, match.text))


def similarities(passages: Vectors, texts: Vectors) -> Floats:
    """Cosine similarity of each of some vectors of length 1 with each of others, from 0 to 1; negative ones are 0."""
    # rounded, because the last bits of a product depend on what else is multiplied with it
    return np.clip(np.round(passages.astype(np.float64) @ texts.astype(np.float64).T, 6), 0.0, 1.0)


def best(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of rows (document, text, similarity, start, end) the most similar of each document and text, of equal ones the first."""
    row, text, score, start, _ = found.T
    found = found[np.lexsort((start, -score, text, row))]
    new = np.ones(len(found), dtype=bool)
    new[1:] = (np.diff(found[:, 0]) != 0) | (np.diff(found[:, 1]) != 0)
    return found[new]


def similar_items(items: Sequence[Item], looks: Looks, model: str, bound: float) -> SimilarItems:
    """Embed the texts of items: questions of at least `shortest` words, answers of at least `length`.

    Raises:
        StageUnavailable: sentence-transformers is not installed, or the folder holds no model.
    """
    texts: list[str] = []
    places: list[tuple[int, int]] = []
    for number, item in enumerate(items):
        if _words(item.question) >= looks.shortest:
            texts.append(item.question)
            places.append((number, QUESTION))
        if looks.answers and _words(item.answer) >= looks.length:
            texts.append(item.answer)
            places.append((number, ANSWER))
    vectors, embedded = model_vectors(model, texts)
    of = np.array(places, dtype=np.int64).reshape(len(places), 2)[embedded]
    return SimilarItems(looks, list(items), model, bound, of[:, 0], of[:, 1], vectors)


def _words(text: str) -> int:
    data = np.frombuffer(bytearray(text.encode("utf-8", "replace")), dtype=np.uint8)
    starts, ends = np.zeros((2, len(data) + 1), dtype=np.int64)
    prefixes = np.zeros(len(data) + 2, dtype=np.uint64)
    return int(hash_tokens(data, 0, len(data), *token_table("words"), starts, ends, prefixes))


@cached_by_files
def similar_items_of(
    paths: tuple[str, ...],
    model_files: tuple[str, ...],
    looks: Looks,
    model: str,
    bound: float,
    question: str | None,
    answer: str | None,
) -> SimilarItems:
    """The items of benchmark files as embeddings, made once a process; `model_files` are those that the model is made of.

    Raises:
        StageUnavailable: a file cannot be read, or lacks the fields; the folder holds no model, or the library is missing.
    """
    items = [item for path in paths for item in read_items(path, question, answer)]
    return similar_items(items, looks, model, bound)
