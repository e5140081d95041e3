"""Hashed n-grams as DSIR counts them: the words and pairs of words of a text, each in a bucket by its SHA-256.

Source: Xie et al. 2023, arXiv:2302.03169 (DSIR) [code: p-lambda/dsir data_selection/hashed_ngram_dsir.py].
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from gristmill.stages.features import TextFeatures
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import int64
from gristmill.stages.words import split_words_plainly

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Words = NDArray[np.uint32]


def _first_bits_of_roots(root: int, numbers: int) -> Words:
    """First 32 bits of the fractions of the roots of the first primes, which SHA-256 takes its constants from (FIPS 180-4)."""
    primes = [one for one in range(2, 400) if all(one % other for other in range(2, one))][:numbers]
    found = []
    for prime in primes:
        scaled = prime << 32 * root
        guess = round(scaled ** (1 / root))
        while guess**root > scaled:
            guess -= 1
        while (guess + 1) ** root <= scaled:
            guess += 1
        found.append(guess & 0xFFFFFFFF)
    return np.array(found, dtype=np.uint32)


_START, _ROUNDS = _first_bits_of_roots(2, 8), _first_bits_of_roots(3, 64)


class Buckets(NamedTuple):
    """The n-grams of a batch of documents."""

    buckets: NDArray[np.int32]
    """Of each n-gram: first the words of a document, then its pairs."""
    documents: Positions
    """The document of each."""
    words: Positions
    """Shape (n_documents,): words of each document."""


@njit("uint32(uint32, uint32)", inline=True)
def _turn(value: np.uint32, bits: np.uint32) -> np.uint32:
    return (value >> bits) | (value << (np.uint32(32) - bits))


@njit("void(uint8[::1], int64, uint32[::1], uint32[::1], uint32[::1])")
def _add_block(data: Bytes, begin: int, state: Words, plan: Words, rounds: Words) -> None:
    """One block of 64 bytes of SHA-256 (FIPS 180-4, section 6.2.2)."""
    for word in range(16):
        at = begin + 4 * word
        plan[word] = np.uint32(
            (int64(data[at]) << 24) | (int64(data[at + 1]) << 16) | (int64(data[at + 2]) << 8) | int64(data[at + 3])
        )
    for word in range(16, 64):
        early, late = plan[word - 15], plan[word - 2]
        small = _turn(early, np.uint32(7)) ^ _turn(early, np.uint32(18)) ^ (early >> np.uint32(3))
        large = _turn(late, np.uint32(17)) ^ _turn(late, np.uint32(19)) ^ (late >> np.uint32(10))
        plan[word] = np.uint32(plan[word - 16] + small + plan[word - 7] + large)
    a, b, c, d, e, f, g, h = state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
    for word in range(64):
        mixed = _turn(e, np.uint32(6)) ^ _turn(e, np.uint32(11)) ^ _turn(e, np.uint32(25))
        first = np.uint32(h + mixed + ((e & f) ^ (~e & g)) + rounds[word] + plan[word])
        mixed = _turn(a, np.uint32(2)) ^ _turn(a, np.uint32(13)) ^ _turn(a, np.uint32(22))
        second = np.uint32(mixed + ((a & b) ^ (a & c) ^ (b & c)))
        h, g, f, e = g, f, e, np.uint32(d + first)
        d, c, b, a = c, b, a, np.uint32(first + second)
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e
    state[5] += f
    state[6] += g
    state[7] += h


@njit("int64(uint8[::1], int64, int64, uint32[::1], uint32[::1], uint32[::1], uint32[::1])")
def _bucket(data: Bytes, size: int, buckets: int, state: Words, plan: Words, start: Words, rounds: Words) -> int:
    """SHA-256 of the first `size` bytes, as a number, modulo `buckets`; `data` has room for 72 bytes more."""
    data[size] = 0x80
    padded = (size + 9 + 63) // 64 * 64
    data[size + 1 : padded - 8] = 0
    for place in range(8):
        data[padded - 1 - place] = np.uint8(((size * 8) >> (8 * place)) & 0xFF)
    state[:] = start
    for begin in range(0, padded, 64):
        _add_block(data, begin, state, plan, rounds)
    found = 0
    for word in range(8):
        found = ((found << 32) | int64(state[word])) % buckets
    return found


@njit("int64(uint8[::1], int64[::1], int64[::1], int64[::1], int64, uint32[::1], uint32[::1], int32[::1], int64[::1])")
def _bucket_ngrams(
    data: Bytes,
    starts: Positions,
    ends: Positions,
    spans: Positions,
    buckets: int,
    start: Words,
    rounds: Words,
    found: NDArray[np.int32],
    documents: Positions,
) -> int:
    """Write bucket and document of each n-gram; returns how many."""
    state, plan = np.empty(8, dtype=np.uint32), np.empty(64, dtype=np.uint32)
    target = np.empty(256, dtype=np.uint8)
    filled = 0
    for document in range(spans.size - 1):
        for n in range(1, 3):
            for word in range(spans[document], spans[document + 1] - n + 1):
                size = ends[word] - starts[word]
                room = size + (ends[word + 1] - starts[word + 1] if n == 2 else 0) + 80
                if target.size < room:
                    target = np.empty(2 * room, dtype=np.uint8)
                target[:size] = data[starts[word] : ends[word]]
                if n == 2:
                    target[size] = 32
                    more = ends[word + 1] - starts[word + 1]
                    target[size + 1 : size + 1 + more] = data[starts[word + 1] : ends[word + 1]]
                    size += 1 + more
                found[filled] = _bucket(target, size, buckets, state, plan, start, rounds)
                documents[filled] = document
                filled += 1
    return filled


def ngram_buckets(texts: pa.ChunkedArray | pa.Array, buckets: int) -> Buckets:
    """The buckets of all words and pairs of neighbouring words, in lower case; words are runs of letters and digits, and runs of
    other marks.

    Args:
        texts: string or large_string without nulls.
        buckets: how many there are, below 2^31.
    """
    lowered = pa.array([text.lower() for text in texts.to_pylist()], pa.large_string())
    features = TextFeatures(lowered)
    spans = features.words("wordpunct")
    room = 2 * len(spans.starts)
    found, documents = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int64)
    filled = _bucket_ngrams(features.data, spans.starts, spans.ends, spans.offsets, buckets, _START, _ROUNDS, found, documents)
    return Buckets(found[:filled], documents[:filled], np.diff(spans.offsets))


def ngram_buckets_plainly(text: str, buckets: int) -> list[int]:
    """What `ngram_buckets` computes, of one text."""
    words = split_words_plainly(text.lower(), "wordpunct")
    ngrams = [*words, *(f"{one} {other}" for one, other in pairwise(words))]
    return [int(hashlib.sha256(ngram.encode()).hexdigest(), 16) % buckets for ngram in ngrams]
