"""Which script the letters of a text are of, and what share of them is of given scripts."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gristmill.stages.features import TextFeatures
from gristmill.stages.numba_cache import njit
from gristmill.stages.unicode_tables import CODE_POINTS

# ISO 15924 code and the words that names of its letters begin with in Unicode
_NAMES = {
    "Latn": ("LATIN", "FULLWIDTH LATIN", "FEMININE ORDINAL", "MASCULINE ORDINAL"),
    "Cyrl": ("CYRILLIC",),
    "Grek": ("GREEK",),
    "Arab": ("ARABIC",),
    "Hebr": ("HEBREW",),
    "Armn": ("ARMENIAN",),
    "Geor": ("GEORGIAN",),
    "Ethi": ("ETHIOPIC",),
    "Deva": ("DEVANAGARI",),
    "Beng": ("BENGALI",),
    "Guru": ("GURMUKHI",),
    "Gujr": ("GUJARATI",),
    "Orya": ("ORIYA",),
    "Taml": ("TAMIL",),
    "Telu": ("TELUGU",),
    "Knda": ("KANNADA",),
    "Mlym": ("MALAYALAM",),
    "Sinh": ("SINHALA",),
    "Thai": ("THAI",),
    "Laoo": ("LAO",),
    "Tibt": ("TIBETAN",),
    "Mymr": ("MYANMAR",),
    "Khmr": ("KHMER",),
    "Mong": ("MONGOLIAN",),
    "Hang": ("HANGUL", "HALFWIDTH HANGUL"),
    "Hani": ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC"),
    "Hira": ("HIRAGANA",),
    "Kana": ("KATAKANA", "HALFWIDTH KATAKANA", "KATAKANA-HIRAGANA"),
    "Bopo": ("BOPOMOFO",),
    "Thaa": ("THAANA",),
    "Cher": ("CHEROKEE",),
    "Cans": ("CANADIAN SYLLABICS",),
    "Syrc": ("SYRIAC",),
    "Nkoo": ("NKO",),
    "Olck": ("OL CHIKI",),
    "Tfng": ("TIFINAGH",),
    "Java": ("JAVANESE",),
    "Sund": ("SUNDANESE",),
    "Bali": ("BALINESE",),
    "Yiii": ("YI",),
    "Mtei": ("MEETEI MAYEK",),
    "Adlm": ("ADLAM",),
}
SCRIPTS = tuple(_NAMES)
"""Scripts that are told apart."""
_OTHER = len(SCRIPTS)
_NO_LETTER = 255


def script_plainly(character: str) -> int | None:
    """Index in `SCRIPTS` of a letter's script, `len(SCRIPTS)` for another script, None for what is no letter."""
    if unicodedata.category(character)[0] != "L":
        return None
    name = unicodedata.name(character, "")
    for index, beginnings in enumerate(_NAMES.values()):
        # "YI SYLLABLE" is Yi, "YIDDISH" would not be
        if any(name.startswith((f"{beginning} ", f"{beginning}-")) for beginning in beginnings):
            return index
    return _OTHER


@cache
def script_table() -> NDArray[np.uint8]:
    """Script of each code point: an index in `SCRIPTS`, their number for other letters, 255 for what is no letter.

    Built from the interpreter's own Unicode data, once a process (0.4 s).
    """
    table = np.full(CODE_POINTS, _NO_LETTER, dtype=np.uint8)
    by_first_word: dict[str, list[tuple[str, int]]] = {}
    for index, beginnings in enumerate(_NAMES.values()):
        for beginning in beginnings:
            by_first_word.setdefault(beginning.split()[0], []).append((beginning, index))
    for point in range(CODE_POINTS):
        character = chr(point)
        if unicodedata.category(character)[0] != "L":
            continue
        name = unicodedata.name(character, "")
        first = name.partition(" ")[0]
        known = by_first_word.get(first) or by_first_word.get(first.partition("-")[0], [])
        table[point] = next((index for word, index in known if name.startswith((f"{word} ", f"{word}-"))), _OTHER)
    return table


def script_mask(scripts: Collection[str]) -> int:
    """Scripts as bits of one number; such as are not told apart have none."""
    return sum(1 << index for index, script in enumerate(SCRIPTS) if script in scripts)


@njit(["void(uint8[::1], int64[::1], uint8[::1], uint64[::1], float64[::1])"])
def _letter_shares(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    masks: NDArray[np.uint64],
    shares: NDArray[np.float64],
) -> None:
    for document in range(len(offsets) - 1):
        letters = 0
        inside = 0
        mask = masks[document]
        position = offsets[document]
        end = offsets[document + 1]
        while position < end:
            byte = np.int64(data[position])
            if byte < 0x80:
                point, size = byte, 1
            elif byte < 0xE0:
                point, size = byte & 0x1F, 2
            elif byte < 0xF0:
                point, size = byte & 0x0F, 3
            else:
                point, size = byte & 0x07, 4
            for place in range(position + 1, min(position + size, end)):
                point = (point << 6) | (np.int64(data[place]) & 0x3F)
            position += size
            if point >= len(table):
                continue
            script = table[point]
            if script != 255:
                letters += 1
                if script < 64 and (mask >> np.uint64(script)) & np.uint64(1):
                    inside += 1
        shares[document] = inside / letters if letters else np.nan


def letter_shares(features: TextFeatures, scripts: Sequence[Collection[str]]) -> NDArray[np.float64]:
    """Share of each text's letters that are of given scripts.

    Args:
        features: the texts.
        scripts: for each text ISO 15924 codes.

    Returns:
        Shape (n_documents,), float64; NaN for a text without letters.
    """
    masks = np.array([script_mask(one) for one in scripts], dtype=np.uint64)
    shares = np.zeros(len(features), dtype=np.float64)
    _letter_shares(features.data, features.offsets, script_table(), masks, shares)
    return shares


def letter_share_plainly(text: str, scripts: Collection[str]) -> float:
    """What `letter_shares` computes, one text at a time; the tests hold the two together."""
    found = [script for character in text if (script := script_plainly(character)) is not None]
    inside = sum(script < _OTHER and SCRIPTS[script] in scripts for script in found)
    return inside / len(found) if found else float("nan")
