"""Which documents may hold personal data of a kind: a compiled look at the bytes, so that regular expressions see few documents.

What is marked here need not hold any; what is not marked holds none that a pattern of `pii_patterns` would find.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.numba_cache import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

EMAIL = 1
"""An `@` between characters that are no white space, and a full stop in the word behind it."""
IPV4 = 2
"""Four groups of digits with full stops between them, the middle ones of at most three digits."""
IPV6 = 4
"""A run of hexadecimal digits, colons and full stops that begins with 2 or 3, with `::` or six colons."""
PHONE = 8
"""Seven digits with nothing between them but spaces, ()-./+ and characters beyond ASCII."""
IBAN = 16
"""Two capitals and two digits at the beginning of a word, and eleven more capitals or digits with single spaces."""
CARD = 32
"""13 digits with nothing between two of them but a single space or hyphen."""

_DIGIT, _UPPER, _LETTER, _HEXADECIMAL, _SPACE, _PHONE_SEPARATOR, _STARTS_A_LOOK = 1, 2, 4, 8, 16, 32, 64


def _classes() -> Bytes:
    table = np.zeros(256, dtype=np.uint8)
    for byte in range(256):
        character = chr(byte) if byte < 0x80 else ""
        table[byte] |= _DIGIT if "0" <= character <= "9" else 0
        table[byte] |= _UPPER if "A" <= character <= "Z" else 0
        table[byte] |= _LETTER if character.isalpha() else 0
        table[byte] |= _HEXADECIMAL if character and character in "0123456789abcdefABCDEF:." else 0
        table[byte] |= _SPACE if character.isspace() else 0
        table[byte] |= _PHONE_SEPARATOR if byte >= 0x80 or character in " ().-/+" else 0
        table[byte] |= _STARTS_A_LOOK if character and character in "0123456789@:" else 0
    return table


_CLASS = _classes()


@njit("boolean(uint8[::1], int64, int64, int64)")
def _is_email(data: Bytes, begin: int, end: int, at: int) -> bool:
    if at == begin or data[at - 1] == 64 or _CLASS[data[at - 1]] & _SPACE:
        return False
    at += 1
    while at < end and data[at] != 64 and not _CLASS[data[at]] & _SPACE:
        if data[at] == 46:
            return True
        at += 1
    return False


@njit("boolean(uint8[::1], int64, int64)")
def _is_ipv4(data: Bytes, end: int, at: int) -> bool:
    """Whether `.ddd.ddd.d` follows at `at`, the end of a run of digits."""
    for _ in range(2):
        if at >= end or data[at] != 46:
            return False
        at += 1
        digits = 0
        while at < end and digits < 4 and _CLASS[data[at]] & _DIGIT:
            at += 1
            digits += 1
        if not 1 <= digits <= 3:
            return False
    return bool(at + 1 < end and data[at] == 46 and _CLASS[data[at + 1]] & _DIGIT)


@njit("boolean(uint8[::1], int64, int64, int64)")
def _is_iban(data: Bytes, begin: int, end: int, at: int) -> bool:
    """Whether an IBAN's first two digits are those at `at`."""
    if at < begin + 2 or at + 2 > end:
        return False
    if not (_CLASS[data[at - 2]] & _UPPER and _CLASS[data[at - 1]] & _UPPER and _CLASS[data[at + 1]] & _DIGIT):
        return False
    if at >= begin + 3 and _CLASS[data[at - 3]] & (_LETTER | _DIGIT):
        return False
    at += 2
    for _ in range(11):
        if at < end and data[at] == 32:
            at += 1
        if at >= end or not _CLASS[data[at]] & (_UPPER | _DIGIT):
            return False
        at += 1
    return True


@njit("uint8(uint8[::1], int64, int64)")
def _candidates(data: Bytes, begin: int, end: int) -> int:
    found = 0
    run_end = digits_end = begin
    phone_digits = card_digits = 0
    at = begin
    while at < end:
        byte = data[at]
        if not _CLASS[byte] & _STARTS_A_LOOK:
            at += 1
            continue
        if byte == 64:
            if not found & EMAIL and _is_email(data, begin, end, at):
                found |= EMAIL
            at += 1
            continue
        if byte == 58:
            if at >= run_end:
                first = at
                while first > run_end and _CLASS[data[first - 1]] & _HEXADECIMAL:
                    first -= 1
                run_end = at
                colons = doubled = 0
                while run_end < end and _CLASS[data[run_end]] & _HEXADECIMAL:
                    if data[run_end] == 58:
                        colons += 1
                        doubled |= int(data[run_end - 1] == 58 and run_end > first)
                    run_end += 1
                if (doubled or colons >= 6) and (data[first] == 50 or data[first] == 51):
                    found |= IPV6
            at += 1
            continue
        gap = digits_end
        while gap < at and _CLASS[data[gap]] & _PHONE_SEPARATOR:
            gap += 1
        if gap < at:
            phone_digits = 0
        if at - digits_end > 1 or not (at == digits_end or data[digits_end] == 32 or data[digits_end] == 45):
            card_digits = 0
        if not found & IBAN and _is_iban(data, begin, end, at):
            found |= IBAN
        first = at
        while at < end and _CLASS[data[at]] & _DIGIT:
            at += 1
        digits_end = at
        phone_digits += at - first
        card_digits += at - first
        if phone_digits >= 7:
            found |= PHONE
        if card_digits >= 13:
            found |= CARD
        if not found & IPV4 and _is_ipv4(data, end, at):
            found |= IPV4
    return found


@njit("uint8[::1](uint8[::1], int64[::1])")
def _candidates_of_all(data: Bytes, offsets: Positions) -> Bytes:
    found = np.empty(offsets.size - 1, dtype=np.uint8)
    for document in range(offsets.size - 1):
        found[document] = _candidates(data, offsets[document], offsets[document + 1])
    return found


def candidates(features: TextFeatures) -> Bytes:
    """Kinds of personal data that each document may hold.

    Returns:
        Shape (n_documents,), uint8: the kinds above, added up.
    """
    return _candidates_of_all(features.data, features.offsets)


_PLAIN = {
    EMAIL: re.compile(rb"[^\t-\r\x1c-\x20@]@[^\t-\r\x1c-\x20@.]*\."),
    IPV4: re.compile(rb"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"),
    IPV6: re.compile(rb"(?<![0-9A-Fa-f:.])[23](?:[0-9A-Fa-f.:]*::|(?:[0-9A-Fa-f.]*:){6})"),
    PHONE: re.compile(rb"[0-9](?:[ ().\-/+\x80-\xff]*[0-9]){6}"),
    IBAN: re.compile(rb"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11}"),
    CARD: re.compile(rb"[0-9](?:[ -]?[0-9]){12}"),
}


def candidates_plainly(text: str) -> int:
    """What `candidates` computes for one text."""
    return sum(kind for kind, pattern in _PLAIN.items() if pattern.search(text.encode()))
