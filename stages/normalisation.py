"""Texts with what does not matter taken out, hashed as a whole: the kernels of exact deduplication."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.hashing import hash128
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at
from gristmill.stages.unicode_tables import DECIMAL_DIGIT, PUNCTUATION, WHITESPACE, tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

LOWERCASE = 1
"""Each code point in lower case, where that is one code point."""
COLLAPSE_WHITESPACE = 2
"""Each run of whitespace becomes one space; none at either end."""
REMOVE_PUNCTUATION = 4
"""Code points of the general categories P* are dropped, before whitespace is collapsed."""
ZERO_DIGITS = 8
"""Each decimal digit (category Nd) becomes 0, as CCNet has it."""


@njit("int64(uint8[::1], int64, int64)", inline=True)
def append_code_point(target: Bytes, size: int, point: int) -> int:
    """Write a code point as UTF-8; returns the new size."""
    if point < 0x80:
        target[size] = point
        return size + 1
    if point < 0x800:
        target[size] = 0xC0 | point >> 6
        target[size + 1] = 0x80 | point & 0x3F
        return size + 2
    if point < 0x10000:
        target[size] = 0xE0 | point >> 12
        target[size + 1] = 0x80 | point >> 6 & 0x3F
        target[size + 2] = 0x80 | point & 0x3F
        return size + 3
    target[size] = 0xF0 | point >> 18
    target[size + 1] = 0x80 | point >> 12 & 0x3F
    target[size + 2] = 0x80 | point >> 6 & 0x3F
    target[size + 3] = 0x80 | point & 0x3F
    return size + 4


@njit("int64(uint8[::1], int64, int64, int64, uint8[::1], int32[::1], uint8[::1])")
def normalise(data: Bytes, begin: int, end: int, how: int, flags: Bytes, lower: NDArray[np.int32], target: Bytes) -> int:
    """Write the normalised text of one document.

    Args:
        data: UTF-8 bytes of the batch.
        begin, end: the document's bytes.
        how: the constants above, added up.
        flags, lower: the tables of `unicode_tables`.
        target: filled; has room for 3 bytes for each 2 of the document and 8 more (some capitals grow from 2 bytes to 3).

    Returns:
        Bytes written.
    """
    dropped = np.uint8(PUNCTUATION if how & REMOVE_PUNCTUATION else 0)
    spaces = np.uint8(WHITESPACE if how & COLLAPSE_WHITESPACE else 0)
    zeroed = np.uint8(DECIMAL_DIGIT if how & ZERO_DIGITS else 0)
    lowered = how & LOWERCASE != 0
    size = 0
    space_waits = 0
    position = begin
    while position < end:
        byte = data[position]
        if byte < 0x80:
            # without branches, which would be guessed wrong at every word: a byte that is not kept is overwritten by the next
            kept = int(flags[byte] & (dropped | spaces) == 0)
            target[size] = 32
            size += space_waits & kept & (size > 0)
            target[size] = 48 if flags[byte] & zeroed else lower[byte] if lowered else byte
            size += kept
            space_waits = (space_waits & ~kept) | int(flags[byte] & spaces != 0)
            position += 1
            continue
        point, width = code_point_at(data, position)
        position += width
        if flags[point] & (dropped | spaces):
            space_waits |= int(flags[point] & spaces != 0)
            continue
        target[size] = 32
        size += space_waits & (size > 0)  # no space at the beginning
        space_waits = 0
        size = append_code_point(target, size, 48 if flags[point] & zeroed else int(lower[point]) if lowered else point)
    return size


@njit("Tuple((uint64[::1], uint64[::1], int64[::1]))(uint8[::1], int64[::1], int64, uint8[::1], int32[::1])")
def _text_keys(
    data: Bytes, offsets: Positions, how: int, flags: Bytes, lower: NDArray[np.int32]
) -> tuple[Hashes, Hashes, Positions]:
    documents = offsets.size - 1
    longest = 0
    for document in range(documents):
        longest = max(longest, offsets[document + 1] - offsets[document])
    target = np.empty(longest * 3 // 2 + 24, dtype=np.uint8)
    keys, checks = np.empty(documents, dtype=np.uint64), np.empty(documents, dtype=np.uint64)
    places = np.empty(documents, dtype=np.int64)
    filled = 0
    for document in range(documents):
        size = normalise(data, offsets[document], offsets[document + 1], how, flags, lower, target)
        if size:
            keys[filled], checks[filled] = hash128(target, size, np.uint64(how))
            places[filled] = document
            filled += 1
    return keys[:filled], checks[:filled], places[:filled]


def text_keys(features: TextFeatures, how: int) -> tuple[Hashes, Hashes, Positions]:
    """128-bit hashes of the normalised texts.

    Args:
        features: the texts.
        how: the constants above, added up.

    Returns:
        Low half, high half and document; documents whose normalised text is empty have no row.
    """
    table = tables()
    return _text_keys(features.data, features.offsets, how, table.flags, table.lower)


def in_unicode_form(features: TextFeatures, form: str, accents: bool) -> TextFeatures:
    """The texts in a Unicode normalisation form, by the tables of Arrow's utf8proc and RE2.

    Args:
        features: the texts.
        form: NFC, NFD, NFKC or NFKD.
        accents: whether non-spacing marks (category Mn) stay; else they are taken out of the decomposed texts.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from gristmill.stages.features import TextFeatures

    buffers = [None, pa.py_buffer(np.ascontiguousarray(features.offsets)), pa.py_buffer(features.data)]
    texts = pa.Array.from_buffers(pa.large_string(), len(features), buffers)
    if not accents:
        decomposed = pc.utf8_normalize(texts, form="NFKD" if "K" in form else "NFD")
        texts = pc.replace_substring_regex(decomposed, r"\p{Mn}", "")
    return TextFeatures(pc.utf8_normalize(texts, form=form))


def normalise_plainly(text: str, how: int) -> str:
    """What `normalise` writes."""
    if how & REMOVE_PUNCTUATION:
        text = "".join(character for character in text if not unicodedata.category(character).startswith("P"))
    if how & COLLAPSE_WHITESPACE:
        text = " ".join(text.split())
    if how & LOWERCASE:
        text = "".join(character.lower() if len(character.lower()) == 1 else character for character in text)
    if how & ZERO_DIGITS:
        text = "".join("0" if character.isdecimal() else character for character in text)
    return text
