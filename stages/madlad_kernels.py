"""A compiled kernel for MADLAD-400's questionable sentences, and one for the phrases of pages that C4 would not have either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.byte_masks import NONE, ONE, address, ascii_space, between, first_bits, highest, lowest, ones
from gristmill.stages.c4_phrase_kernels import HAS_POLICY, find_phrases, may_have_phrases
from gristmill.stages.character_classes import UPPER
from gristmill.stages.numba_cache import njit
from gristmill.stages.sentence_spans import split_sentences
from gristmill.stages.text_kernels import code_point_at, int64
from gristmill.stages.unicode_tables import WHITESPACE
from gristmill.stages.word_kernels import longest_document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

LIST_CASE, ODD_LENGTH, DANGER_CHARS, CURSED = 1, 2, 4, 8
"""Why a sentence is questionable; added up."""

MIN_TOKENS = 12
MIN_CHARACTERS, MAX_CHARACTERS = 20, 500
DANGEROUS = "0123456789{}+/()>"

_TOP = np.uint64(63)


@njit("UniTuple(uint64, 2)(uint8[::1], int64, uint64, uint8[::1], uint8[::1])")
def _beyond_ascii(data: Bytes, position: int, leads: np.uint64, flags: Bytes, classes: Bytes) -> tuple[np.uint64, np.uint64]:
    """Of the characters that begin at `leads`, the bytes (in the block) of white space, and the first bytes of capitals."""
    space = upper = NONE
    while leads:
        bit = lowest(leads)
        point, size = code_point_at(data, position + bit)
        leads &= leads - ONE
        if flags[point] & WHITESPACE:
            space |= first_bits(size) << np.uint64(bit)
        if classes[point] & UPPER:
            upper |= ONE << np.uint64(bit)
    return space, upper


@njit("int64(uint8[::1], int64, int64, uint8[::1], uint8[::1])")
def _reasons(data: Bytes, begin: int, end: int, flags: Bytes, classes: Bytes) -> int:
    """What is questionable about a sentence; see `questionable_sentences`."""
    characters = tokens = capitals = dangerous = spilt = 0
    before = ONE  # whether white space, or nothing, stands before the block
    for position in range(begin, end, 64):
        at, left = address(data, position), data.size - position
        inside = first_bits(end - position)
        space = ascii_space(at, left) | first_bits(spilt)
        upper = between(at, left, 0x41, 0x5A)
        leads = inside & between(at, left, 0xC0, 0xFF)
        spilt = 0
        if leads:
            more_space, more_upper = _beyond_ascii(data, position, leads, flags, classes)
            space |= more_space
            upper |= more_upper
            last = highest(leads)
            if more_space >> np.uint64(last) & ONE:
                _, size = code_point_at(data, position + last)
                spilt = max(last + size - 64, 0)
        # 0 to 9 and {}+/()>
        risky = between(at, left, 0x28, 0x29) | between(at, left, 0x2B, 0x2B) | between(at, left, 0x2F, 0x39)
        risky |= between(at, left, 0x3E, 0x3E) | between(at, left, 0x7B, 0x7B) | between(at, left, 0x7D, 0x7D)
        firsts = inside & ~space & ((space << ONE) | before)
        before = space >> _TOP
        characters += ones(inside & ~between(at, left, 0x80, 0xBF))
        tokens += ones(firsts)
        capitals += ones(firsts & upper)
        dangerous += ones(inside & risky)
    found = 0
    if tokens >= MIN_TOKENS and 2 * capitals > tokens:
        found |= LIST_CASE
    if characters < MIN_CHARACTERS or characters > MAX_CHARACTERS:
        found |= ODD_LENGTH
    if 5 * dangerous > characters:
        found |= DANGER_CHARS
    return found


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
        result[sentence] = _reasons(data, starts[sentence], ends[sentence], flags, classes)
    return result


@njit("void(int64, int64[::1])", inline=True)
def _count_reasons(found: int, row: Positions) -> None:
    row[0] += 1
    row[1] += int64(found != 0)
    for reason in range(4):
        row[2 + reason] += (found >> reason) & 1


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
        for sentence in range(offsets[document], offsets[document + 1]):
            _count_reasons(int64(reasons[sentence]), result[document])
    return result


@njit("int64[:, ::1](uint8[::1], int64[::1], uint8[::1], uint8[::1], uint8[::1])")
def questionable_counts(data: Bytes, offsets: Positions, flags: Bytes, classes: Bytes, line_classes: Bytes) -> NDArray[np.int64]:
    """What `reason_counts` gives for the sentences of texts, none of which is kept.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        flags, classes, line_classes: the tables of `unicode_tables`, `character_classes` and `line_classes`.
    """
    result = np.zeros((offsets.size - 1, 6), dtype=np.int64)
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    for document in range(offsets.size - 1):
        sentences = split_sentences(data, offsets[document], offsets[document + 1], flags, line_classes, starts, ends)
        for sentence in range(sentences):
            _count_reasons(_reasons(data, starts[sentence], ends[sentence], flags, classes), result[document])
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
