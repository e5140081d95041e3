"""What benchmark items and documents are compared by: tokens (words, or single characters) and the hashes of runs of them.

A token's hash is FNV-1a over its code points, mixed; a text is kept as prefixes of the polynomial over its tokens' hashes, from
which the hash of any run follows in two operations. All arithmetic is modulo 2^64: two different runs share a hash with a chance
of about 2^-64, so of 10^12 words held against 2 million n-grams about one in ten such corpora has one false match.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gristmill.stages.hashing import mix64, mix64_plainly
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, int64
from gristmill.stages.unicode_tables import ALPHANUMERIC, DECIMAL_DIGIT, WHITESPACE, WORD, tables
from gristmill.stages.unspaced_scripts import CJK, GROUP_MASK, JOINING, script_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

WORDS, PLAIN_WORDS, CHARACTERS = "words", "plain_words", "characters"
"""Kinds of tokens. `words`: runs of letters, digits, underscores and marks (`\\w+`), in scripts without spaces each character by
itself. `plain_words`: what white space parts, without all but letters and digits. Both in lower case, the decimal digits of all
scripts as 0 to 9. `characters`: each letter or digit, as it is."""
PARTS, PART_OF_TOKEN, TOKEN, LEFT_OUT = 0, 1, 2, 3
"""What a code point is to a kind of tokens: it parts them, belongs to one, is one by itself, or is looked over."""

_MASK = (1 << 64) - 1
BASE = np.uint64(0xD6E8FEB86659FD93)
"""Of the polynomial; odd."""
_OFFSET, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_LENGTH = np.uint64(0x9E3779B97F4A7C15)
_SPREAD = np.uint64(0xBF58476D1CE4E5B9)


class TokenTable(NamedTuple):
    """What each code point is to a kind of tokens; shape (0x110000,) each, not to be written to."""

    roles: Bytes
    becomes: NDArray[np.int32]


@cache
def token_table(kind: str) -> TokenTable:
    """The table of a kind of tokens."""
    flags, lower = tables()
    alphanumeric = flags & ALPHANUMERIC != 0
    if kind == CHARACTERS:
        roles = np.where(alphanumeric, TOKEN, LEFT_OUT).astype(np.uint8)
        return TokenTable(roles, np.arange(len(flags), dtype=np.int32))
    becomes = lower.copy()
    for point in np.flatnonzero(flags & DECIMAL_DIGIT):
        becomes[point] = ord("0") + unicodedata.decimal(chr(point))
    if kind == PLAIN_WORDS:
        roles = np.where(alphanumeric, PART_OF_TOKEN, np.where(flags & WHITESPACE != 0, PARTS, LEFT_OUT)).astype(np.uint8)
        return TokenTable(roles, becomes)
    roles = np.where(flags & WORD != 0, PART_OF_TOKEN, PARTS).astype(np.uint8)
    marks = np.array([unicodedata.category(chr(point))[0] == "M" for point in range(len(flags))])
    roles[marks] = PART_OF_TOKEN
    groups = script_table(dictionary=True) & GROUP_MASK
    roles[(groups != JOINING) & (groups >= CJK)] = TOKEN
    return TokenTable(roles, becomes)


@njit("uint64(uint64[::1], int64, int64, uint64[::1])", inline=True)
def run_key(prefixes: Hashes, first: int, length: int, powers: Hashes) -> np.uint64:
    """Key of the run of `length` tokens from token `first` on; `powers` are those of `BASE`."""
    polynomial = prefixes[first + length] - prefixes[first] * powers[length]
    key: np.uint64 = (polynomial ^ (np.uint64(length) * _LENGTH)) * _SPREAD
    return np.uint64(key ^ (key >> np.uint64(29)))


@njit("int64(uint8[::1], int64, int64, uint8[::1], int32[::1], int64[::1], int64[::1], uint64[::1])")
def hash_tokens(
    data: Bytes,
    begin: int,
    end: int,
    roles: Bytes,
    becomes: NDArray[np.int32],
    starts: Positions,
    ends: Positions,
    prefixes: Hashes,
) -> int:
    """Find the tokens of one text.

    Args:
        data: UTF-8 bytes of the batch.
        begin, end: the text's bytes.
        roles, becomes: of `token_table`.
        starts, ends: bytes of each token, written; room for one a byte.
        prefixes: polynomial over the hashes of the tokens so far, written; the first is 0; room for one more.

    Returns:
        How many tokens there are.
    """
    count = 0
    polynomial = np.uint64(0)
    prefixes[0] = polynomial
    hashed = _OFFSET
    inside = False
    position = begin
    while position <= end:
        role, point, size = PARTS, 0, 1
        if position < end:
            point = int64(data[position])
            if point >= 0x80:
                point, size = code_point_at(data, position)
            role = int64(roles[point])
        if role == PART_OF_TOKEN:
            if not inside:
                starts[count] = position
                hashed = _OFFSET
                inside = True
            hashed = (hashed ^ np.uint64(becomes[point])) * _PRIME
            ends[count] = position + size
        elif role != LEFT_OUT:
            if inside:
                polynomial = polynomial * BASE + mix64(hashed)
                count += 1
                prefixes[count] = polynomial
                inside = False
            if role == TOKEN:
                starts[count] = position
                ends[count] = position + size
                polynomial = polynomial * BASE + mix64((_OFFSET ^ np.uint64(becomes[point])) * _PRIME)
                count += 1
                prefixes[count] = polynomial
        position += size
    return count


def tokens_plainly(text: str, kind: str) -> list[tuple[str, int, int]]:
    """Tokens of a text as they are compared, with the characters [start, end) that they stand in."""
    roles, becomes = token_table(kind)
    found: list[tuple[str, int, int]] = []
    word, start, end = "", 0, 0
    for at, character in enumerate(f"{text} "):
        role = PARTS if at == len(text) else int(roles[ord(character)])
        changed = chr(becomes[ord(character)])
        if role == PART_OF_TOKEN:
            start = at if not word else start
            word, end = word + changed, at + 1
        elif role != LEFT_OUT:
            if word:
                found.append((word, start, end))
                word = ""
            if role == TOKEN:
                found.append((changed, at, at + 1))
    return found


def run_key_plainly(tokens: list[str]) -> int:
    """Key of a run of tokens."""
    polynomial = 0
    for token in tokens:
        hashed = int(_OFFSET)
        for character in token:
            hashed = (hashed ^ ord(character)) * int(_PRIME) & _MASK
        polynomial = (polynomial * int(BASE) + mix64_plainly(hashed)) & _MASK
    key = (polynomial ^ (len(tokens) * int(_LENGTH) & _MASK)) * int(_SPREAD) & _MASK
    return key ^ key >> 29


def powers_of_base(most: int) -> Hashes:
    """The powers of `BASE` from 0 to `most`, modulo 2^64."""
    found = [1]
    for _ in range(most):
        found.append(found[-1] * int(BASE) & _MASK)
    return np.array(found, dtype=np.uint64)
