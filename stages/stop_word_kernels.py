"""A compiled kernel that counts words of a list in chosen documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.counting_kernels import ONE, mix
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import int64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]


@njit("int64[::1](uint64[::1], int64[::1], int64[::1], uint64[::1], boolean)")
def stop_word_counts(hashes: Hashes, spans: Positions, rows: Positions, slots: Hashes, distinct: bool) -> Positions:
    """How many words of some documents are on a list.

    Args:
        hashes, spans: as `roots_word_kernels.fill_word_hashes` writes them.
        rows: the documents.
        slots: the list, as `roots_word_kernels.word_list` gives it.
        distinct: each word of the list counts once.

    Returns:
        Shape (rows,).
    """
    result = np.zeros(rows.size, dtype=np.int64)
    seen_in = np.full(slots.size, -1, dtype=np.int64)  # the document that a word was last seen in: nothing is cleared between
    for index in range(rows.size):
        document = rows[index]
        found = 0
        for word in range(spans[document], spans[document + 1]):
            key = max(mix(hashes[word]), ONE)
            slot = int64(key) & (slots.size - 1)
            while slots[slot] != 0 and slots[slot] != key:
                slot = (slot + 1) & (slots.size - 1)
            if slots[slot] == key and not (distinct and seen_in[slot] == document):
                seen_in[slot] = document
                found += 1
        result[index] = found
    return result
