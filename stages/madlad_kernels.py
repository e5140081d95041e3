"""A compiled kernel for MADLAD-400's questionable sentences, and one for the phrases of pages that C4 would not have either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.c4_phrase_kernels import HAS_POLICY, find_phrases, may_have_phrases
from gristmill.stages.character_classes import UPPER
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, int64
from gristmill.stages.unicode_tables import WHITESPACE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

LIST_CASE, ODD_LENGTH, DANGER_CHARS, CURSED = 1, 2, 4, 8
"""Why a sentence is questionable; added up."""

MIN_TOKENS = 12
MIN_CHARACTERS, MAX_CHARACTERS = 20, 500
DANGEROUS = "0123456789{}+/()>"

_DANGEROUS = np.array([byte < 0x80 and chr(byte) in DANGEROUS for byte in range(256)], dtype=np.int64)


@njit("uint8[::1](uint8[::1], int64[::1], int64[::1], uint8[::1], uint8[::1])")
def questionable_sentences(data: Bytes, starts: Positions, ends: Positions, flags: Bytes, classes: Bytes) -> Bytes:
    """What is questionable about each sentence.

    Args:
        data: UTF-8 bytes.
        starts, ends: byte positions of the sentences.
        flags, classes: the tables of `unicode_tables` and `character_classes`.

    Returns:
        Shape (n_sentences,): LIST_CASE (at least 12 tokens, more than half of them beginning with a capital), ODD_LENGTH (fewer
        than 20 characters or more than 500), DANGER_CHARS (more than a fifth of the characters are digits or among {}+/()>).
    """
    result = np.zeros(starts.size, dtype=np.uint8)
    for sentence in range(starts.size):
        position, end = starts[sentence], ends[sentence]
        characters = tokens = capitals = dangerous = inside = 0
        while position < end:
            byte = data[position]
            point, size = int64(byte), 1
            if byte >= 0x80:
                point, size = code_point_at(data, position)
            now = int64(flags[point] & WHITESPACE == 0)
            begins = now & ~inside
            tokens += begins
            capitals += begins & int64(classes[point] & UPPER != 0)
            dangerous += _DANGEROUS[byte]
            characters += 1
            inside = now
            position += size
        found = 0
        if tokens >= MIN_TOKENS and 2 * capitals > tokens:
            found |= LIST_CASE
        if characters < MIN_CHARACTERS or characters > MAX_CHARACTERS:
            found |= ODD_LENGTH
        if 5 * dangerous > characters:
            found |= DANGER_CHARS
        result[sentence] = found
    return result


@njit("int64[:, ::1](uint8[::1], int64[::1])")
def reason_counts(reasons: Bytes, offsets: Positions) -> NDArray[np.int64]:
    """Sentences of each document, and those that are questionable for any reason and for each.

    Args:
        reasons: of all sentences.
        offsets: shape (n_documents + 1,): where the sentences of each document begin.

    Returns:
        Shape (n_documents, 6): sentences; questionable ones; those of LIST_CASE, ODD_LENGTH, DANGER_CHARS, CURSED.
    """
    result = np.zeros((offsets.size - 1, 6), dtype=np.int64)
    for document in range(offsets.size - 1):
        row = result[document]
        for sentence in range(offsets[document], offsets[document + 1]):
            found = int64(reasons[sentence])
            row[0] += 1
            row[1] += int64(found != 0)
            for reason in range(4):
                row[2 + reason] += (found >> reason) & 1
    return result


@njit("int64[::1](uint8[::1], int64[::1])")
def policy_phrases(data: Bytes, offsets: Positions) -> Positions:
    """1 for documents that say terms of use, privacy policy, cookie policy, uses cookies, use of cookies or use cookies."""
    result = np.zeros(offsets.size - 1, dtype=np.int64)
    for document in range(offsets.size - 1):
        begin, end = offsets[document], offsets[document + 1]
        if may_have_phrases(data, begin, end):
            result[document] = int64(find_phrases(data, begin, end) & HAS_POLICY != 0)
    return result
