"""The items of all benchmarks, made ready to be found in documents: their runs of tokens, numbered, in a hash table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from gristmill.stages.contamination_items import Item, read_items
from gristmill.stages.contamination_kernels import beginning, covered, fill_table, find_runs, item_runs, mark_keys
from gristmill.stages.contamination_tokens import powers_of_base, token_table
from gristmill.stages.file_cache import cached_by_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

    Positions = NDArray[np.int64]

MARKS_PER_KEY = 8
"""Bits of the filter for each key: at most one place in eight is looked up in vain."""
MOST_MARKS = 1 << 26
QUESTION, ANSWER = 0, 1
"""Parts of an item."""


class Looks(NamedTuple):
    """How items are looked for."""

    tokens: str
    """A kind of tokens of `contamination_tokens`."""
    length: int
    """Tokens of a run."""
    shortest: int
    """Fewest tokens of a question that is looked for; with fewer than `length` all of it is one run."""
    answers: bool
    """Look for answers too, those with at least `length` tokens."""
    samples: int = 0
    """Runs that are drawn of each text; 0: all."""


@dataclass(frozen=True)
class Index:
    """Runs of tokens of the items.

    Texts are the questions and answers of items, numbered in the order of items; runs are numbered in the order of their keys.
    """

    measured: ClassVar[str] = "{share:.0%} of its {part}"
    """How a share of a text is told."""

    looks: Looks
    items: list[Item]
    text_item: Positions
    """The item of each text, shape (n_texts,)."""
    text_part: Positions
    """`QUESTION` or `ANSWER`."""
    text_tokens: Positions
    """Tokens of each text."""
    keys: NDArray[np.uint64]
    """Key of each run, ascending."""
    offsets: Positions
    """Shape (n_runs + 1,): where the texts that hold a run start in `holders` and `places`."""
    holders: Positions
    """Texts that hold a run, ascending."""
    places: Positions
    """First token of the run in that text."""
    marks: NDArray[np.uint64]
    begun: NDArray[np.uint64]
    slots: NDArray[np.uint64]
    numbers: NDArray[np.int32]
    lengths: Positions
    bands: Positions

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return len(self.keys)

    @cached_property
    def run_lengths(self) -> Positions:
        """Tokens of the runs of each text, shape (n_texts,)."""
        return np.minimum(self.text_tokens, self.looks.length)

    @cached_property
    def text_runs(self) -> Positions:
        """Runs of each text, shape (n_texts,); 0 where it is not looked for."""
        return np.bincount(self.holders, minlength=len(self.text_item)).astype(np.int64)

    @cached_property
    def order(self) -> Positions:
        """`holders` and `places` in the order of texts and their tokens, as places in them."""
        return np.lexsort((self.places, self.holders)).astype(np.int64)

    @cached_property
    def run_of(self) -> Positions:
        """The run of each of `holders`."""
        return np.repeat(np.arange(len(self.keys)), np.diff(self.offsets))

    def find(self, features: TextFeatures, rows: Positions | None = None) -> NDArray[np.int64]:
        """Hits in the documents of a batch, or in some rows of it; columns as in `contamination_kernels`."""
        table = token_table(self.looks.tokens)
        looked_at = np.arange(len(features), dtype=np.int64) if rows is None else rows
        found: NDArray[np.int64] = find_runs(
            features.data,
            features.offsets,
            looked_at,
            *table,
            powers_of_base(self.looks.length),
            self.lengths,
            self.bands,
            self.marks,
            self.begun,
            self.slots,
            self.numbers,
        )
        return found

    def covered(
        self, groups: Positions, texts: Positions, places: Positions, weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Tokens of texts that runs cover, by weight; arguments as of the kernel."""
        result: NDArray[np.float64] = covered(groups, texts, places, weights, self.run_lengths)
        return result


def make_index(items: Sequence[Item], looks: Looks) -> Index:
    """Number the runs of the items and put them into a table."""
    texts: list[str] = []
    of_item: list[int] = []
    parts: list[int] = []
    for number, item in enumerate(items):
        texts.append(item.question)
        of_item.append(number)
        parts.append(QUESTION)
        if looks.answers and item.answer:
            texts.append(item.answer)
            of_item.append(number)
            parts.append(ANSWER)
    encoded = [text.encode("utf-8", "replace") for text in texts]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    data = np.frombuffer(bytearray(b"".join(encoded)), dtype=np.uint8)
    part = np.array(parts, dtype=np.int64)
    least = np.where(part == QUESTION, looks.shortest, looks.length).astype(np.int64)
    powers = powers_of_base(looks.length)
    table = token_table(looks.tokens)
    counts, holders, places, keys, beginnings = item_runs(data, offsets, *table, looks.length, least, looks.samples, powers)
    order = np.lexsort((places, holders, keys))
    # a place that is drawn twice counts once
    once = np.ones(len(order), dtype=bool)
    once[1:] = (np.diff(holders[order]) != 0) | (np.diff(places[order]) != 0) | (keys[order][1:] != keys[order][:-1])
    order = order[once]
    unique, first = np.unique(keys[order], return_index=True)
    lengths = np.unique(np.minimum(counts[holders], looks.length)).astype(np.int64)
    starts = [beginning(int(length)) for length in lengths]
    bands = [at for at in range(len(starts)) if at == 0 or starts[at] != starts[at - 1]] + [len(starts)]
    size = 1 << max(4, (2 * len(unique)).bit_length())
    slots, numbers = np.zeros(size, dtype=np.uint64), np.full(size, -1, dtype=np.int32)
    fill_table(unique, slots, numbers)
    return Index(
        looks=looks,
        items=list(items),
        text_item=np.array(of_item, dtype=np.int64),
        text_part=part,
        text_tokens=counts,
        keys=unique,
        offsets=np.append(first, len(order)).astype(np.int64),
        holders=holders[order],
        places=places[order],
        marks=_marks(unique),
        begun=_marks(np.unique(beginnings)),
        slots=slots,
        numbers=numbers,
        lengths=lengths,
        bands=np.array(bands if len(starts) else [0], dtype=np.int64),
    )


def _marks(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = min(1 << max(12, int(MARKS_PER_KEY * len(keys) - 1).bit_length()), MOST_MARKS)
    marks = np.zeros(bits // 64, dtype=np.uint64)
    mark_keys(keys, marks)
    return marks


@cached_by_files
def index_of(paths: tuple[str, ...], looks: Looks, question: str | None, answer: str | None) -> Index:
    """The index of benchmark files, made once a process.

    Raises:
        StageUnavailable: a file cannot be read, or lacks the fields.
    """
    return make_index([item for path in paths for item in read_items(path, question, answer)], looks)
