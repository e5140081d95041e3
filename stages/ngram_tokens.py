"""Texts as the tokens that an n-gram model counts: words in a form without case, accents and digits, line by line."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gristmill.stages.features import TextFeatures
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import append_code_point, code_point_at, hash_word, int64
from gristmill.stages.unicode_tables import DECIMAL_DIGIT, tables
from gristmill.stages.words import split_words_plainly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]
    Map = NDArray[np.int32]

_PAIRS = '，,。.、,„"”"“"«"»"」"「"《"》"´\'∶:：:？?！!（(）)；;–-．.～~’\'….━-〈<〉>【[】]％%►-—-'
ASCII_TWINS = dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True))
"""Punctuation and its ASCII twin, after CCNet's table (from memory; there `…` is three points and `—` stands between blanks)."""


def form_of(character: str) -> str:
    """What a character becomes: itself in lower case, without accents; 0 for a digit, an ASCII twin for punctuation; nothing for
    control characters and accents that stand by themselves."""
    if unicodedata.category(character) in ("Mn", "Cc"):
        return ""
    lower = character.lower()
    character = lower if len(lower) == 1 else character
    parts = [part for part in unicodedata.normalize("NFD", character) if unicodedata.category(part) != "Mn"]
    # a syllable of Hangul is one character, though NFD parts it
    character = parts[0] if len(parts) == 1 else character
    return "0" if character.isdecimal() else ASCII_TWINS.get(character, character)


@cache
def form_map() -> Map:
    """What each code point becomes by `form_of`, -1 for nothing; int32 of shape (0x110000,), not to be written to."""
    flags, lower = tables()
    found = lower.copy()
    found[flags[lower] & DECIMAL_DIGIT != 0] = ord("0")
    # only below the planes of ideographs, and where these have variants, does a character have parts or a form of its own
    for point in (
        *range(0x3400),
        *range(0xA000, 0xAC00),
        *range(0xF900, 0x20000),
        *range(0x2F800, 0x2FA20),
        *range(0xE0000, 0xE0200),
    ):
        if not 0xD800 <= point < 0xE000:
            form = form_of(chr(point))
            found[point] = ord(form) if form else -1
    return found


class Tokens(NamedTuple):
    """The tokens of a batch of documents."""

    hashes: Hashes
    """Of each token."""
    begins: Bytes
    """1 where a token is the first of its line."""
    offsets: Positions
    """Shape (n_documents + 1,): where the tokens of each document begin."""


@njit("int64(uint8[::1], int64[::1], int64[::1], int64[::1], int32[::1], uint64[::1], uint8[::1], int64[::1])")
def _hash_tokens(
    data: Bytes,
    starts: Positions,
    ends: Positions,
    spans: Positions,
    mapped: Map,
    hashes: Hashes,
    begins: Bytes,
    offsets: Positions,
) -> int:
    """Write hashes, line beginnings and offsets; returns how many tokens."""
    found = 0
    target = np.empty(64, dtype=np.uint8)
    for document in range(spans.size - 1):
        offsets[document] = found
        begins_line = np.uint8(1)
        for word in range(spans[document], spans[document + 1]):
            if word > spans[document] and begins_line == 0:
                for position in range(ends[word - 1], starts[word]):
                    if data[position] == 10:
                        begins_line = np.uint8(1)
                        break
            room = 2 * (ends[word] - starts[word]) + 16
            if target.size < room:
                target = np.empty(room, dtype=np.uint8)
            size = 0
            position = starts[word]
            while position < ends[word]:
                byte = data[position]
                if byte < 0x80:
                    becomes = mapped[byte]
                    target[size] = becomes & 0x7F
                    size += int64(becomes >= 0)
                    position += 1
                    continue
                point, width = code_point_at(data, position)
                position += width
                becomes = mapped[point]
                if becomes >= 0:
                    size = append_code_point(target, size, int64(becomes))
            if size:
                hashes[found] = hash_word(target, 0, size)
                begins[found] = begins_line
                begins_line = np.uint8(0)
                found += 1
    offsets[spans.size - 1] = found
    return found


def tokens_of(features: TextFeatures, words: str) -> Tokens:
    """The tokens of the documents of a batch.

    Args:
        features: the texts.
        words: name of a word splitter; words in which nothing is left are no tokens.
    """
    spans = features.words(words)
    hashes = np.empty(len(spans.starts), dtype=np.uint64)
    begins = np.empty(len(spans.starts), dtype=np.uint8)
    offsets = np.zeros(len(features) + 1, dtype=np.int64)
    found = _hash_tokens(features.data, spans.starts, spans.ends, spans.offsets, form_map(), hashes, begins, offsets)
    return Tokens(hashes[:found], begins[:found], offsets)


def lines_plainly(text: str, words: str) -> Iterator[list[str]]:
    """The tokens of each line of a text that has some: what `tokens_of` hashes, for splitters that never join lines."""
    for line in text.split("\n"):
        formed = ("".join(map(form_of, word)) for word in split_words_plainly(line, words))
        if tokens := [token for token in formed if token]:
            yield tokens
