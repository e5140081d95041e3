"""Compiled kernels of exact substrings: which k-gram each window selects, and hashes of windows.

Units (bytes, words, tokens) come as numbers of 1, 4 or 8 bytes in one array. A window is `k + w - 1` neighbouring units of one
document; the k-gram it selects has the least hash of its `w` k-grams, the rightmost of equal ones. The choice depends on the
window alone, so equal windows select equal k-grams at equal places. Neighbouring windows that select the same k-gram make a run.

Source: winnowing, Schleimer, Wilkerson and Aiken 2003, without "robust" ties, which depend on the window before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.cut_kernels import CUT_COLUMNS, FIRST_BYTE, FIRST_CHAR, LAST_BYTE, LAST_CHAR, ROW
from gristmill.stages.hashing import hash128, hash128_plainly, mix64, mix64_plainly
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import count_code_points, hash_word, int64, load8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

PADDING = 16
"""Bytes that follow the last unit, since kernels read 8 and 16 at a time."""
FIRST, WINDOWS = 0, 1
"""Columns of runs: unit at which the first window begins, and how many windows there are."""
MOST_GRAMS = 1 << 15
"""k-grams of a window at most: places in a block of them are told by 16 bits."""

_BASE = 0x94D049BB133111EB
_MULTIPLIER = 0xBF58476D1CE4E5B9
_SHIFT = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_PLACE = 0xFFFF
_BLOCK = 1 << 14


@njit("uint64(uint8[::1], int64, int64)", inline=True)
def _spread(units: Bytes, width: int, at: int) -> np.uint64:
    """A unit as a number with its bits mixed: sums of small numbers times powers would not be told apart well."""
    if width == 1:
        value = np.uint64(units[at])
    elif width == 8:
        value = load8(units, 8 * at)
    else:
        value = load8(units, width * at) & np.uint64(0xFFFFFFFF)
    value = (value + np.uint64(_SHIFT)) * np.uint64(_MULTIPLIER)
    return value ^ (value >> np.uint64(32))


def _spread_plainly(value: int) -> int:
    value = (value + _SHIFT) * _MULTIPLIER & _MASK
    return value ^ value >> 32


@njit("void(uint8[::1], int64, int64, int64, int64, uint64, uint64, uint64[::1], int64)")
def _gram_hashes(
    units: Bytes, width: int, first: int, count: int, k: int, rolling: np.uint64, out: np.uint64, grams: Hashes, at: int
) -> None:
    """Hashes of `count` k-grams from unit `first` on, for `grams` from `at` on; `rolling` is that of the k - 1 units before."""
    for gram in range(first, first + count):
        rolling = rolling * np.uint64(_BASE) + _spread(units, width, gram + k - 1)
        grams[at + gram - first] = mix64(rolling) & np.uint64(_MASK ^ _PLACE)
        rolling -= _spread(units, width, gram) * out


@njit("void(uint64[::1], int64, int64, uint64[::1], uint64[::1])")
def _least_of_windows(grams: Hashes, count: int, w: int, suffix: Hashes, least: Hashes) -> None:
    """The least of each `w` neighbours, without a branch that depends on them (van Herk 1992, Gil and Werman 1993)."""
    begin = 0
    while begin < count:
        end = min(begin + w, count)
        now = grams[end - 1]
        suffix[end - 1] = now
        for at in range(end - 2, begin - 1, -1):
            now = min(now, grams[at])
            suffix[at] = now
        begin = end
    # a window is the end of one piece of `w` and the beginning of the next
    begin = 0
    while begin < count - w + 1:
        least[begin] = suffix[begin]
        now = np.uint64(_MASK)
        for at in range(begin + 1, min(begin + w, count - w + 1)):
            now = min(now, grams[at + w - 1])
            least[at] = min(suffix[at], now)
        begin += w


@njit("Tuple((uint64[::1], int64[:, ::1], int64[::1]))(uint8[::1], int64, int64[::1], int64, int64)")
def winnow(units: Bytes, width: int, offsets: Positions, k: int, w: int) -> tuple[Hashes, Positions, Positions]:
    """The k-gram that each window selects.

    Args:
        units: the units of all documents, `width` bytes each, and `PADDING` bytes more.
        width: 1, 4 or 8.
        offsets: shape (n_documents + 1,): the first unit of each document, and the end of the last.
        k: units of a k-gram.
        w: k-grams of a window, at most `MOST_GRAMS`.

    Returns:
        Hash of the selected k-gram of each run (a multiple of 2^16); the runs, shape (n_runs, 2); and where those of each
        document begin, shape (n_documents + 1,).
    """
    documents = offsets.size - 1
    capacity = max(64, 5 * (offsets[documents] - offsets[0]) // (2 * (w + 1)) + documents)
    hashes = np.empty(capacity, dtype=np.uint64)
    runs = np.empty((capacity, 2), dtype=np.int64)
    run_offsets = np.zeros(documents + 1, dtype=np.int64)
    out = np.uint64(1)
    for _ in range(k - 1):
        out *= np.uint64(_BASE)
    grams = np.empty(_BLOCK + w, dtype=np.uint64)
    suffix = np.empty(_BLOCK + w, dtype=np.uint64)
    least = np.empty(_BLOCK + w, dtype=np.uint64)
    count = 0
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        last_window = end - (k + w - 1)
        window = begin
        selected = np.int64(-1)
        while window <= last_window:
            windows = min(_BLOCK, last_window - window + 1)
            size = windows + w - 1
            rolling = np.uint64(0)
            for at in range(window, window + k - 1):
                rolling = rolling * np.uint64(_BASE) + _spread(units, width, at)
            _gram_hashes(units, width, window, size, k, rolling, out, grams, 0)
            for at in range(size):  # of equal hashes the last is the least
                grams[at] |= np.uint64(_PLACE - at)
            _least_of_windows(grams, size, w, suffix, least)
            if count + windows > capacity:
                capacity = 2 * (count + windows)
                more_hashes = np.empty(capacity, dtype=np.uint64)
                more_hashes[:count] = hashes[:count]
                more_runs = np.empty((capacity, 2), dtype=np.int64)
                more_runs[:count] = runs[:count]
                hashes, runs = more_hashes, more_runs
            before = np.uint64(0)
            for at in range(windows):
                now = least[at]
                if now != before:
                    before = now
                    place = window + _PLACE - int64(now & np.uint64(_PLACE))
                    if place != selected:  # else the run goes on from the block before
                        selected = place
                        hashes[count] = now & np.uint64(_MASK ^ _PLACE)
                        runs[count, FIRST] = window + at
                        count += 1
            window += windows
        run_offsets[document + 1] = count
        for run in range(run_offsets[document], count):
            after = runs[run + 1, FIRST] if run + 1 < count else last_window + 1
            runs[run, WINDOWS] = after - runs[run, FIRST]
    return hashes[:count].copy(), runs[:count].copy(), run_offsets


def winnow_plainly(values: list[int], k: int, w: int) -> list[tuple[int, int, int]]:
    """What `winnow` finds in one document: (hash, first window, windows) of each run.

    Args:
        values: the document's units as numbers.
    """
    grams = []
    for first in range(len(values) - k + 1):
        hashed = 0
        for value in values[first : first + k]:
            hashed = (hashed * _BASE + _spread_plainly(value)) & _MASK
        grams.append(mix64_plainly(hashed) & ~_PLACE)
    runs: list[tuple[int, int, int]] = []
    before = None
    for window in range(len(grams) - w + 1):
        selected = min(range(window, window + w), key=lambda at: (grams[at], -at))
        if selected == before:
            hashed, first, windows = runs[-1]
            runs[-1] = hashed, first, windows + 1
        else:
            runs.append((grams[selected], window, 1))
        before = selected
    return runs


@njit("Tuple((uint64[::1], uint64[::1], int64[::1]))(uint8[::1], int64, int64[:, ::1], int64)")
def window_hashes(units: Bytes, width: int, runs: Positions, length: int) -> tuple[Hashes, Hashes, Positions]:
    """128-bit hashes of single windows.

    Args:
        units, width: as for `winnow`.
        runs: shape (n_runs, 2).
        length: units of a window.

    Returns:
        Low and high half of each window's hash, and the unit at which it begins.
    """
    total = runs[:, WINDOWS].sum()
    low = np.empty(total, dtype=np.uint64)
    high = np.empty(total, dtype=np.uint64)
    starts = np.empty(total, dtype=np.int64)
    count = 0
    for run in range(runs.shape[0]):
        for window in range(runs[run, FIRST], runs[run, FIRST] + runs[run, WINDOWS]):
            low[count], high[count] = hash128(units[window * width :], length * width, np.uint64(0))
            starts[count] = window
            count += 1
    return low, high, starts


def window_hashes_plainly(units: bytes, width: int, starts: list[int], length: int) -> list[tuple[int, int]]:
    """What `window_hashes` computes, of the windows that begin at these units."""
    return [hash128_plainly(units[start * width : (start + length) * width]) for start in starts]


@njit("uint64[::1](uint64[::1])")
def hash_set(keys: Hashes) -> Hashes:
    """A set of keys that are not 0, for `are_in`: open addressing by high bits, 0 where nothing is."""
    size = 16
    while size < 2 * keys.size:
        size *= 2
    table = np.zeros(size, dtype=np.uint64)
    mask = np.uint64(size - 1)
    for key in keys:
        at = (key >> np.uint64(16)) & mask
        while table[at] != np.uint64(0) and table[at] != key:
            at = (at + np.uint64(1)) & mask
        table[at] = key
    return table


@njit("boolean[::1](uint64[::1], uint64[::1])")
def are_in(table: Hashes, keys: Hashes) -> NDArray[np.bool_]:
    """Which keys (not 0) are in a set of `hash_set`."""
    found = np.empty(keys.size, dtype=np.bool_)
    mask = np.uint64(table.size - 1)
    for index in range(keys.size):
        key = keys[index]
        at = (key >> np.uint64(16)) & mask
        while table[at] != np.uint64(0) and table[at] != key:
            at = (at + np.uint64(1)) & mask
        found[index] = table[at] == key
    return found


@njit("uint64[::1](uint8[::1], int64[::1], int64[::1])")
def hash_words(data: Bytes, starts: Positions, ends: Positions) -> Hashes:
    """A 64-bit hash of each word."""
    hashes = np.empty(starts.size, dtype=np.uint64)
    for word in range(starts.size):
        hashes[word] = hash_word(data, starts[word], ends[word])
    return hashes


@njit("Tuple((uint8[::1], int64[::1], int64[:, ::1], int64[:, ::1]))(uint8[::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def cut_spans(
    data: Bytes, offsets: Positions, rows: Positions, starts: Positions, ends: Positions
) -> tuple[Bytes, Positions, Positions, Positions]:
    """The texts without some spans.

    Args:
        data, offsets: all texts of a batch.
        rows, starts, ends: bytes [start, end) of documents, ascending by row and start; they may overlap.

    Returns:
        The new texts and their offsets, cuts (columns of `cut_kernels`), and for each document how many characters it had and how
        many were cut, shape (n_documents, 2); the first is 0 where nothing was cut.
    """
    documents = offsets.size - 1
    out = np.empty(offsets[documents] - offsets[0], dtype=np.uint8)
    new_offsets = np.zeros(documents + 1, dtype=np.int64)
    cuts = np.empty((rows.size, CUT_COLUMNS), dtype=np.int64)
    sizes = np.zeros((documents, 2), dtype=np.int64)
    filled = cut = span = 0
    for row in range(documents):
        base, position = offsets[row], offsets[row]
        characters = gone = 0
        while span < rows.size and rows[span] == row:
            start, end = max(position, base + starts[span]), base + ends[span]
            span += 1
            if start >= end:
                continue
            out[filled : filled + start - position] = data[position:start]
            filled += start - position
            characters += count_code_points(data, position, start)
            size = count_code_points(data, start, end)
            cuts[cut, ROW] = row
            cuts[cut, FIRST_CHAR] = characters
            cuts[cut, LAST_CHAR] = characters + size
            cuts[cut, FIRST_BYTE] = start
            cuts[cut, LAST_BYTE] = end
            cut += 1
            characters += size
            gone += size
            position = end
        if gone:
            sizes[row, 0] = characters + count_code_points(data, position, offsets[row + 1])
            sizes[row, 1] = gone
        end = offsets[row + 1]
        out[filled : filled + end - position] = data[position:end]
        filled += end - position
        new_offsets[row + 1] = filled
    return out[:filled].copy(), new_offsets, cuts[:cut].copy(), sizes
