"""Which texts may hold any of some phrases: those with four characters of one that few texts have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import load8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

_FREQUENT = "e taoinshrdlcumwfgypbvjxqz"  # letters of English text, the most frequent first


def rare_parts(phrases: tuple[str, ...]) -> NDArray[np.uint64]:
    """Four characters of each phrase that few texts have, each eight times, for `may_have`.

    Empty where a phrase has no four characters of ASCII without k, which is the lower case of another character, too.
    """
    parts: list[int] = []
    for phrase in map(str.lower, phrases):
        windows = [phrase[at : at + 4] for at in range(len(phrase) - 3)]
        windows = [window for window in windows if window.isascii() and "k" not in window]
        if not windows:
            return np.zeros(0, dtype=np.uint64)
        ranks = {window: sum(_FREQUENT.find(character) % 100 for character in window) for window in windows}
        parts += max(windows, key=lambda window: ranks[window]).encode()
    return np.array([int.from_bytes([byte | 0x20] * 8, "little") for byte in parts], dtype=np.uint64)


_ONES, _HIGHS, _SMALL = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080), np.uint64(0x2020202020202020)


@njit("boolean(uint8[::1], int64, int64, uint64[::1])")
def may_have(data: Bytes, begin: int, end: int, rare: NDArray[np.uint64]) -> bool:
    """Whether four characters of a phrase are in [begin, end), eight places at a time; sometimes true where none is."""
    if end + 12 > data.size or not rare.size:
        return True
    for position in range(begin, end, 8):
        first, second = load8(data, position) | _SMALL, load8(data, position + 1) | _SMALL
        third, fourth = load8(data, position + 2) | _SMALL, load8(data, position + 3) | _SMALL
        for part in range(0, rare.size, 4):
            unlike = (first ^ rare[part]) | (second ^ rare[part + 1]) | (third ^ rare[part + 2]) | (fourth ^ rare[part + 3])
            if (unlike - _ONES) & ~unlike & _HIGHS:
                return True
    return False
