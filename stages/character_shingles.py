"""Characters as the units of shingles, for texts whose words no space parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.hashing import mix64, mix64_plainly
from gristmill.stages.normalisation import COLLAPSE_WHITESPACE, LOWERCASE, REMOVE_PUNCTUATION, normalise, normalise_plainly
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Hashes = NDArray[np.uint64]

HOW = LOWERCASE | COLLAPSE_WHITESPACE | REMOVE_PUNCTUATION
"""Characters are those of the text as `exact` compares it by default."""


@njit("int64(uint8[::1], int64, int64, uint8[::1], int32[::1], uint8[::1], uint64[::1])")
def hash_characters(
    data: Bytes, begin: int, end: int, flags: Bytes, lower: NDArray[np.int32], target: Bytes, hashes: Hashes
) -> int:
    """Hash the characters of one document: lower case, no punctuation, each run of whitespace one space.

    Args:
        data: UTF-8 bytes of the batch.
        begin, end: the document's bytes.
        flags, lower: the tables of `unicode_tables`.
        target: work space, as `normalise` needs it.
        hashes: filled; has room for end - begin.

    Returns:
        How many characters there are.
    """
    size = normalise(data, begin, end, HOW, flags, lower, target)
    position = 0
    count = 0
    while position < size:
        point, width = code_point_at(target, position)
        hashes[count] = mix64(np.uint64(point))
        count += 1
        position += width
    return count


def characters_plainly(text: str) -> str:
    """The characters that `hash_characters` hashes."""
    return normalise_plainly(text, HOW)


def character_shingles_plainly(text: str, n: int) -> set[str]:
    """Distinct n-grams of characters; none for texts of fewer than n."""
    text = characters_plainly(text)
    return {text[index : index + n] for index in range(len(text) - n + 1)}


def character_shingle_hash_plainly(shingle: str, base: int) -> int:
    """Hash of one shingle of characters, as the kernels compute it; `base` is that of the polynomial in `shingles`."""
    rolling = 0
    for character in shingle:
        rolling = (rolling * base + mix64_plainly(ord(character))) % 2**64
    return mix64_plainly(rolling)
