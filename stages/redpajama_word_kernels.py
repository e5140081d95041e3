"""Compiled kernels for what RedPajama-V2 counts in normalised texts: characters, words, how often each, and their n-grams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.byte_masks import ONE, address, between, first_bits, lowest, ones
from gristmill.stages.character_classes import NUMERIC
from gristmill.stages.ngram_kernels import count_ngrams, hash_words, room_for_ngrams
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, int64
from gristmill.stages.word_kernels import longest_document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

NORMALISED_CHARACTERS, NUMERICS, LOREM_IPSUMS, NORMALISED_WORDS, JAVASCRIPTS = range(5)
"""Columns of `normalised_statistics`."""

_LOREM_IPSUM = np.frombuffer(b"lorem ipsum", np.uint8).copy()
_JAVASCRIPT = np.frombuffer(b"javascript", np.uint8).copy()


@njit("boolean(uint8[::1], int64, int64, Array(uint8, 1, 'C', True))", inline=True)
def _is(data: Bytes, begin: int, end: int, wanted: Bytes) -> bool:
    """Whether [begin, end) begins with `wanted`."""
    if end - begin < wanted.size:
        return False
    same = True
    for index in range(wanted.size):
        same &= data[begin + index] == wanted[index]
    return same


@njit("void(uint8[::1], int64, int64, uint8[::1], int64[::1])")
def _count_characters(data: Bytes, begin: int, end: int, classes: Bytes, row: Positions) -> None:
    """Count the characters, words and phrases of a normalised text, 64 bytes at a time."""
    characters = numerics = spaces = 0
    for position in range(begin, end, 64):
        at, left = address(data, position), data.size - position
        inside = first_bits(end - position)
        characters += ones(inside & ~between(at, left, 0x80, 0xBF))
        spaces += ones(inside & between(at, left, 0x20, 0x20))
        numerics += ones(inside & between(at, left, 0x30, 0x39))
        leads = inside & between(at, left, 0xC0, 0xFF)
        while leads:
            point, _ = code_point_at(data, position + lowest(leads))
            leads &= leads - ONE
            numerics += int64(classes[point] & NUMERIC != 0)
        # the j of javascript, and the m that no space but that of lorem ipsum often follows
        candidates = inside & between(at, left, 0x6A, 0x6A)
        while candidates:
            first = position + lowest(candidates)
            candidates &= candidates - ONE
            if (first == begin or data[first - 1] == 32) and _is(data, first, end, _JAVASCRIPT):
                after = first + _JAVASCRIPT.size
                row[JAVASCRIPTS] += int64(after == end or data[after] == 32)
        candidates = inside & between(at, left, 0x6D, 0x6D) & between(at + 1, left - 1, 0x20, 0x20)
        while candidates:
            first = position + lowest(candidates) - 4
            candidates &= candidates - ONE
            row[LOREM_IPSUMS] += int64(first >= begin and _is(data, first, end, _LOREM_IPSUM))
    row[NORMALISED_CHARACTERS] = characters
    row[NUMERICS] = numerics
    row[NORMALISED_WORDS] = spaces + 1 if end > begin else 0


@njit("int64(uint8[::1], int64, int64, int64[::1], int64[::1])", inline=True)
def _split_at_blanks(data: Bytes, begin: int, end: int, starts: Positions, ends: Positions) -> int:
    """Words of a normalised text, between which one blank stands; returns how many."""
    words = 0
    if begin == end:
        return words
    starts[0] = begin
    for position in range(begin, end, 64):
        blanks = first_bits(end - position) & between(address(data, position), data.size - position, 0x20, 0x20)
        while blanks:
            blank = position + lowest(blanks)
            blanks &= blanks - ONE
            ends[words] = blank
            words += 1
            starts[words] = blank + 1
    ends[words] = end
    return words + 1


@njit("UniTuple(float64, 2)(uint64[::1], int64, uint64[::1], int64[::1], float64[::1])")
def _unigrams(keys: Hashes, words: int, slots: Hashes, counts: Positions, terms: NDArray[np.float64]) -> tuple[float, float]:
    """Different words, and the entropy of their distribution in nats.

    Args:
        keys: the hash of each word.
        words: how many.
        slots, counts: room for a table, a power of two of at least twice `words`; written.
        terms: room for `words` + 1 numbers; written.
    """
    size = 16
    while size < 2 * words:
        size *= 2
    counts[:size] = 0
    different = 0
    for word in range(words):
        key = keys[word]
        slot = int64(key >> np.uint64(20)) & (size - 1)
        while counts[slot] and slots[slot] != key:
            slot = (slot + 1) & (size - 1)
        slots[slot] = key
        different += int64(counts[slot] == 0)
        counts[slot] += 1
    terms[: words + 1] = 0.0
    entropy = 0.0
    for slot in range(size):
        count = counts[slot]
        if count:
            # a logarithm for each count that occurs, not for each word
            if terms[count] == 0.0 and count < words:
                share = count / words
                terms[count] = share * np.log(share)
            entropy -= terms[count]
    return float(different), entropy


@njit("Tuple((int64[:, ::1], float64[:, ::1], int64[:, ::1]))(uint8[::1], int64[::1], uint8[::1], int64)")
def normalised_statistics(
    data: Bytes, offsets: Positions, classes: Bytes, counting: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Count in normalised texts.

    Args:
        data, offsets: as `normalised` returns them.
        classes: the table of `character_classes`.
        counting: how n-grams are counted; see `ngram_kernels.ngram_char_counts`.

    Returns:
        Shape (n_documents, 5): characters, numeric ones, `lorem ipsum`, words, and the word `javascript`. Shape (n_documents, 2):
        different words, and the entropy of their distribution in nats. What `ngram_char_counts` returns.
    """
    documents = offsets.size - 1
    result = np.zeros((documents, 5), dtype=np.int64)
    unigrams = np.zeros((documents, 2), dtype=np.float64)
    ngrams = np.zeros((documents, 22), dtype=np.int64)
    room = longest_document(offsets) + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    keys, numbers = room_for_ngrams(0)
    counts, terms = np.empty(16, dtype=np.int64), np.empty(1, dtype=np.float64)
    for document in range(documents):
        begin, end = offsets[document], offsets[document + 1]
        _count_characters(data, begin, end, classes, result[document])
        words = _split_at_blanks(data, begin, end, starts, ends)
        if words >= numbers.shape[1]:
            keys, numbers = room_for_ngrams(2 * words)
            counts, terms = np.empty(keys.shape[1], dtype=np.int64), np.empty(2 * words + 1, dtype=np.float64)
        hash_words(data, starts, ends, words, keys[0], numbers[0])
        unigrams[document, 0], unigrams[document, 1] = _unigrams(keys[0], words, keys[1], counts, terms)
        count_ngrams(counting, words, keys, numbers, ngrams[document])
    return result, unigrams, ngrams
