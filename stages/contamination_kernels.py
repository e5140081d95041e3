"""Compiled kernels of decontamination: runs of tokens of benchmark items, finding them in documents, and what is covered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.contamination_tokens import hash_tokens, run_key
from gristmill.stages.cut_kernels import with_room
from gristmill.stages.hashing import mix64
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import int64
from gristmill.stages.word_kernels import longest_document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]
    Rows = NDArray[np.int64]

ROW, START, END, NUMBER = 0, 1, 2, 3
"""Columns of hits: document of the batch, bytes [start, end) of the batch's data, number of the n-gram."""
HIT_COLUMNS = 4


@njit("int64(int64)", inline=True)
def beginning(length: int) -> int:
    """Tokens at the beginning of a run by which it is looked for first: the greatest power of two up to its length."""
    size = 1
    while 2 * size <= length:
        size *= 2
    return size


@njit(
    "Tuple((int64[::1], int64[::1], int64[::1], uint64[::1], uint64[::1]))"
    "(uint8[::1], int64[::1], uint8[::1], int32[::1], int64, int64[::1], int64, uint64[::1])"
)
def item_runs(
    data: Bytes,
    offsets: Positions,
    roles: Bytes,
    becomes: NDArray[np.int32],
    length: int,
    shortest: Positions,
    samples: int,
    powers: Hashes,
) -> tuple[Positions, Positions, Positions, Hashes, Hashes]:
    """The runs of tokens by which texts of items are looked for.

    Args:
        data, offsets: the texts.
        roles, becomes: of `token_table`.
        length: tokens of a run. A text with fewer is one run, all of it.
        shortest: for each text the fewest tokens with which it is looked for.
        samples: so many runs a text, at random places that hang on the text alone; 0: all of them.
        powers: of `BASE`, up to `length`.

    Returns:
        Tokens of each text; then for each run its text, its first token, its key, and the key of its `beginning`.
    """
    texts = offsets.size - 1
    counts = np.empty(texts, dtype=np.int64)
    room = longest_document(offsets) + 2
    starts = np.empty(room, dtype=np.int64)
    ends = np.empty(room, dtype=np.int64)
    prefixes = np.empty(room, dtype=np.uint64)
    runs = np.empty((1024, 4), dtype=np.int64)
    filled = 0
    for text in range(texts):
        tokens = hash_tokens(data, offsets[text], offsets[text + 1], roles, becomes, starts, ends, prefixes)
        counts[text] = tokens
        if tokens == 0 or tokens < shortest[text]:
            continue
        size = min(length, tokens)
        places = tokens - size + 1
        wanted = places if samples == 0 or places < samples else samples
        runs = with_room(runs, filled + wanted)
        for at in range(wanted):
            place = at
            if wanted < places:
                place = int64(mix64(prefixes[tokens] + np.uint64(at)) % np.uint64(places))
            runs[filled, 0] = text
            runs[filled, 1] = place
            runs[filled, 2] = int64(run_key(prefixes, place, size, powers))
            runs[filled, 3] = int64(run_key(prefixes, place, beginning(size), powers))
            filled += 1
    keys = runs[:filled, 2].copy().view(np.uint64)
    return counts, runs[:filled, 0].copy(), runs[:filled, 1].copy(), keys, runs[:filled, 3].copy().view(np.uint64)


@njit("void(uint64[::1], uint64[::1])")
def mark_keys(keys: Hashes, marks: Hashes) -> None:
    """Set the bit of each key; there are a power of two of them."""
    for key in keys:
        bit = (key >> np.uint64(32)) & np.uint64(64 * marks.size - 1)
        marks[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))


@njit("void(uint64[::1], uint64[::1], int32[::1])")
def fill_table(keys: Hashes, slots: Hashes, numbers: NDArray[np.int32]) -> None:
    """Put keys, none twice, and their numbers into an open hash table whose size is a power of two; -1 is an empty slot."""
    mask = np.uint64(slots.size - 1)
    for number in range(keys.size):
        slot = keys[number] & mask
        while numbers[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = keys[number]
        numbers[slot] = number


@njit("boolean(uint64, uint64[::1])", inline=True)
def _is_marked(key: np.uint64, marks: Hashes) -> bool:
    # other bits than those of the table's slot
    bit = (key >> np.uint64(32)) & np.uint64(64 * marks.size - 1)
    return bool((marks[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1))


@njit("int64(uint64, uint64[::1], int32[::1])", inline=True)
def _number_of(key: np.uint64, slots: Hashes, numbers: NDArray[np.int32]) -> int:
    mask = np.uint64(slots.size - 1)
    slot = key & mask
    while numbers[slot] >= 0:
        if slots[slot] == key:
            return int64(numbers[slot])
        slot = (slot + np.uint64(1)) & mask
    return -1


@njit(
    "int64[:, ::1](uint8[::1], int64[::1], int64[::1], uint8[::1], int32[::1], uint64[::1], int64[::1], int64[::1], "
    "uint64[::1], uint64[::1], uint64[::1], int32[::1])"
)
def find_runs(
    data: Bytes,
    offsets: Positions,
    rows: Positions,
    roles: Bytes,
    becomes: NDArray[np.int32],
    powers: Hashes,
    lengths: Positions,
    bands: Positions,
    marks: Hashes,
    begun: Hashes,
    slots: Hashes,
    numbers: NDArray[np.int32],
) -> Rows:
    """Find the runs of items in documents.

    At nearly all places one look at a bit, which lies in the processor's cache, says that no run begins there.

    Args:
        data, offsets: the batch's texts.
        rows: the documents to look at, ascending.
        roles, becomes: of `token_table`.
        powers: of `BASE`.
        lengths: of runs, ascending.
        bands: where in `lengths` those with the same `beginning` start, and their number.
        marks, begun: bits of the keys of runs, and of those of their beginnings.
        slots, numbers: the table of `fill_table`.

    Returns:
        Hits, shape (n_hits, HIT_COLUMNS), by document and place.
    """
    room = longest_document(offsets) + 2
    starts = np.empty(room, dtype=np.int64)
    ends = np.empty(room, dtype=np.int64)
    prefixes = np.empty(room, dtype=np.uint64)
    hits = np.empty((1024, HIT_COLUMNS), dtype=np.int64)
    filled = 0
    for row in rows:
        tokens = hash_tokens(data, offsets[row], offsets[row + 1], roles, becomes, starts, ends, prefixes)
        for band in range(bands.size - 1):
            first, last = bands[band], bands[band + 1]
            anchor = beginning(lengths[first])
            for place in range(tokens - lengths[first] + 1):
                if not _is_marked(run_key(prefixes, place, anchor, powers), begun):
                    continue
                for at in range(first, last):
                    length = lengths[at]
                    if place + length > tokens:
                        break
                    key = run_key(prefixes, place, length, powers)
                    if not _is_marked(key, marks):
                        continue
                    number = _number_of(key, slots, numbers)
                    if number >= 0:
                        hits = with_room(hits, filled + 1)
                        hits[filled, ROW] = row
                        hits[filled, START] = starts[place]
                        hits[filled, END] = ends[place + length - 1]
                        hits[filled, NUMBER] = number
                        filled += 1
    return hits[:filled].copy()


@njit("float64[::1](int64[::1], int64[::1], int64[::1], float64[::1], int64[::1])")
def covered(
    groups: Positions, texts: Positions, places: Positions, weights: NDArray[np.float64], lengths: Positions
) -> NDArray[np.float64]:
    """How much of a text its runs cover: of each token the greatest weight of the runs that hold it, added up.

    Args:
        groups: where the runs of each group (those of a text in a document, say) start in the next three, and their number.
        texts: the text of each run; the same throughout a group.
        places: first token of each run, ascending in a group.
        weights: of each run, from 0 to 1.
        lengths: tokens of the runs of each text.

    Returns:
        float64 of shape (n_groups,).
    """
    result = np.zeros(groups.size - 1, dtype=np.float64)
    for group in range(groups.size - 1):
        begin, end = groups[group], groups[group + 1]
        total = 0.0
        low = begin  # the first run that may hold the token at hand
        token = places[begin] if begin < end else 0
        while low < end:
            length = lengths[texts[low]]
            if places[low] + length <= token:
                low += 1
                continue
            if places[low] > token:
                token = places[low]
            most = 0.0
            run = low
            while run < end and places[run] <= token:
                if places[run] + length > token:
                    most = max(most, weights[run])
                run += 1
            total += most
            token += 1
        result[group] = total
    return result
