"""Compiled kernels that read the hosts of URLs, hash lists of them, and find the URLs that any list may concern.

They know ASCII: what needs more (international names, `%` or `@` before the path) is called odd and left to plain Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import hash_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]
    Hashes = NDArray[np.uint64]
    States = NDArray[np.int32]

LONGEST_HOST = 255
"""Bytes; DNS allows no more. [RFC 1035]"""
ROOM = 16
"""Bytes that buffers hold beyond what is hashed in them."""
LETTERS = 36
"""What words in URLs are made of: a-z and 0-9."""

_HOST, _AUTHORITY_END, _LINE_SPACE = 1, 2, 4


def _flags() -> Bytes:
    flags = np.zeros(256, dtype=np.uint8)
    for byte in range(128):
        character = chr(byte)
        flags[byte] |= _HOST * (character.isalnum() or character in "._-")
        flags[byte] |= _AUTHORITY_END * (character in "/?#\\")
        flags[byte] |= _LINE_SPACE * (character.isspace() and character != "\n")
    return flags


_FLAGS = _flags()
_LETTER = np.full(256, 255, dtype=np.uint8)
"""Byte -> number of the letter or digit, case folded; 255 for all others."""
for _number, _character in enumerate("abcdefghijklmnopqrstuvwxyz0123456789"):
    _LETTER[ord(_character)] = _LETTER[ord(_character.upper())] = _number


@njit("uint8(uint8)", inline=True)
def _lower(byte: np.uint8) -> np.uint8:
    return np.uint8(byte + 32) if 65 <= byte <= 90 else byte


@njit("boolean(uint8[::1], int64, int64)", inline=True)
def _www(data: Bytes, begin: int, end: int) -> bool:
    return (
        end - begin >= 4
        and _lower(data[begin]) == 119
        and _lower(data[begin + 1]) == 119
        and _lower(data[begin + 2]) == 119
        and data[begin + 3] == 46
    )


@njit("int64(uint8[::1], int64, int64)")
def after_scheme(data: Bytes, begin: int, end: int) -> int:
    """Where what follows `scheme://`, or `//` alone, begins; `begin` where there is neither."""
    position = begin
    if begin < end and 97 <= _lower(data[begin]) <= 122:
        while position < end and (_LETTER[data[position]] < LETTERS or data[position] in (43, 45, 46)):
            position += 1
        if position + 3 <= end and data[position] == 58 and data[position + 1] == 47 and data[position + 2] == 47:
            return position + 3
    if begin + 2 <= end and data[begin] == 47 and data[begin + 1] == 47:
        return begin + 2
    return begin


@njit("UniTuple(int64, 2)(uint8[::1], int64, int64, uint8[::1])")
def host_of(data: Bytes, begin: int, end: int, host: Bytes) -> tuple[int, int]:
    """Write the host in lower case.

    Args:
        data: bytes of URLs.
        begin: where one begins, after its scheme.
        end: where it ends.
        host: gets the host, `LONGEST_HOST + ROOM` bytes.

    Returns:
        Length of the host, -1 where it is odd; and where the path, query or fragment begins.
    """
    authority_end = begin
    while authority_end < end and _FLAGS[data[authority_end]] & _AUTHORITY_END == 0:
        if data[authority_end] >= 0x80 or data[authority_end] == 64:
            return -1, begin
        authority_end += 1
    size = 0
    while begin + size < authority_end and data[begin + size] != 58:
        if size == LONGEST_HOST or _FLAGS[data[begin + size]] & _HOST == 0:
            return -1, begin
        host[size] = _lower(data[begin + size])
        size += 1
    if size and host[size - 1] == 46:
        return -1, begin
    return size, authority_end


@njit("UniTuple(int64, 2)(uint8[::1], int64, int64, int64, uint8[::1])")
def write_bare_url(data: Bytes, begin: int, authority_end: int, end: int, bare: Bytes) -> tuple[int, int]:
    """Write a URL as `bare_url` has it.

    Args:
        data: bytes of URLs.
        begin: where one begins, after its scheme.
        authority_end: where its path, query or fragment begins.
        end: where it ends.
        bare: gets it; as long as the URL and `ROOM` bytes more.

    Returns:
        Its length, and the length of host and port in it.
    """
    if _www(data, begin, authority_end):
        begin += 4
    size = 0
    for position in range(begin, authority_end):
        bare[size] = _lower(data[position])
        size += 1
    authority = size
    for position in range(authority_end, end):
        if data[position] == 35:
            break
        bare[size] = data[position]
        size += 1
    if size and bare[size - 1] == 47:
        size -= 1
    return size, min(authority, size)


@njit("boolean(uint64[::1], int32[::1], uint64, uint64)")
def contains(hashes: Hashes, starts: States, shift: np.uint64, value: np.uint64) -> bool:
    """Whether sorted hashes hold a value.

    Args:
        hashes: sorted.
        starts: for each value of the highest bits, where the hashes that begin with them start; the last is their number.
        shift: how many bits those are not.
        value: what is sought.
    """
    bucket = np.int64(value >> shift)
    low, high = starts[bucket], starts[bucket + 1]
    while low < high:
        middle = (low + high) >> 1
        if hashes[middle] < value:
            low = middle + 1
        else:
            high = middle
    return bool(low < starts[bucket + 1] and hashes[low] == value)


@njit("int64(uint8[::1], int64, int64)")
def _name_begins(data: Bytes, begin: int, end: int) -> int:
    """Where the name stands in an entry for a host: after `0.0.0.0 ` or `127.0.0.1 `, after `*.`."""
    position = begin
    while position < end and (data[position] == 46 or 48 <= data[position] <= 57):
        position += 1
    size = position - begin
    null = size == 7 and data[begin] == 48 and data[begin + 6] == 48
    local = size == 9 and data[begin] == 49 and data[begin + 1] == 50 and data[begin + 8] == 49
    if (null or local) and position < end and _FLAGS[data[position]] & _LINE_SPACE:
        begin = position
        while begin < end and _FLAGS[data[begin]] & _LINE_SPACE:
            begin += 1
    while begin < end and (data[begin] == 42 or data[begin] == 46):
        begin += 1
    return begin


@njit("UniTuple(int64, 2)(uint8[::1], boolean, uint64[::1], int64[::1])")
def hash_lines(data: Bytes, pages: bool, hashes: Hashes, odd: Positions) -> tuple[int, int]:
    """Hash the entries of a list, a line each; blank lines and those that begin with `#` are none.

    Args:
        data: whole lines.
        pages: whether the entries are URLs, hashed as `bare_url` has them; else hosts, hashed without a leading `www.`. Of a
            line of a hosts file (`0.0.0.0 name`) the name is taken, of `*.name` too.
        hashes: gets a hash an entry; room for one a line.
        odd: gets begin and end of each line that plain Python must read; room for two a line.

    Returns:
        Number of hashes, and of odd lines.
    """
    host = np.zeros(LONGEST_HOST + ROOM, dtype=np.uint8)
    bare = np.zeros(data.size + ROOM, dtype=np.uint8) if pages else host
    found, odds, begin = 0, 0, 0
    while begin < data.size:
        end = begin
        while end < data.size and data[end] != 10 and data[end] != 13:
            end += 1
        first, last = begin, end
        begin = end + 1
        while first < last and _FLAGS[data[first]] & _LINE_SPACE:
            first += 1
        while first < last and _FLAGS[data[last - 1]] & _LINE_SPACE:
            last -= 1
        if first == last or data[first] == 35:
            continue
        entry = first if pages else _name_begins(data, first, last)
        entry = after_scheme(data, entry, last)
        size, authority_end = host_of(data, entry, last, host)
        if size < 0 or (size == 0 and not pages):
            odd[2 * odds] = first
            odd[2 * odds + 1] = last
            odds += 1
            continue
        if pages:
            size = write_bare_url(data, entry, authority_end, last, bare)[0]
            hashes[found] = hash_bytes(bare, 0, size)
            found += size > 0
        else:
            skip = 4 if _www(host, 0, size) else 0
            hashes[found] = hash_bytes(host, skip, size)
            found += size > skip
    return found, odds


@njit("boolean(uint8[::1], int64, int64, uint64[::1], int32[::1], uint64, boolean, int32[::1], boolean[::1], uint8[::1])")
def _words_concern(
    data: Bytes,
    begin: int,
    end: int,
    words: Hashes,
    word_starts: States,
    word_shift: np.uint64,
    fold: bool,
    next_state: States,
    accepts: NDArray[np.bool_],
    text: Bytes,
) -> bool:
    """Whether a URL has a listed word between other characters than letters and digits, or a sub-word."""
    state, size = 0, 0
    if accepts.size and accepts[0]:
        return True
    for position in range(begin, end + 1):
        letter = _LETTER[data[position]] if position < end else 255
        if letter < LETTERS:
            byte = data[position]
            text[size] = _lower(byte) if fold else byte
            size += 1
            if accepts.size:
                state = next_state[state * LETTERS + letter]
                if accepts[state]:
                    return True
        else:
            if fold and position < end and data[position] >= 0x80:
                return True  # lower case may turn it into a letter
            if size and words.size and contains(words, word_starts, word_shift, hash_bytes(text, 0, size)):
                return True
            size = 0
    return False


@njit(
    "uint8[::1](uint8[::1], int64[::1], uint64[::1], int32[::1], uint64, uint64[::1], int32[::1], uint64,"
    " uint64[::1], int32[::1], uint64, boolean, int32[::1], boolean[::1])"
)
def candidates(
    data: Bytes,
    offsets: Positions,
    sites: Hashes,
    site_starts: States,
    site_shift: np.uint64,
    pages: Hashes,
    page_starts: States,
    page_shift: np.uint64,
    words: Hashes,
    word_starts: States,
    word_shift: np.uint64,
    fold: bool,
    next_state: States,
    accepts: NDArray[np.bool_],
) -> Bytes:
    """The URLs that any list may concern; of all others it is certain that none does.

    Args:
        data: bytes of all URLs.
        offsets: where each begins, shape (n_urls + 1,).
        sites: hashes of hosts, with `site_starts` and `site_shift` as for `contains`.
        site_starts: see there.
        site_shift: see there.
        pages: hashes of URLs as `bare_url` has them: a URL is concerned by one that it is, or lies beneath.
        page_starts: see there.
        page_shift: see there.
        words: hashes of runs of letters and digits.
        word_starts: see there.
        word_shift: see there.
        fold: whether the words are in lower case and the URL's are taken so; URLs that are not ASCII are then all looked at.
        next_state: automaton over the letters and digits of a URL, all else left out: state * `LETTERS` + letter -> state.
        accepts: states in which a sub-word ends.

    Returns:
        1 for each URL that is to be looked at; shape (n_urls,).
    """
    count = offsets.size - 1
    found = np.zeros(count, dtype=np.uint8)
    longest = np.int64(0)
    for row in range(count):
        longest = max(longest, offsets[row + 1] - offsets[row])
    host = np.zeros(LONGEST_HOST + ROOM, dtype=np.uint8)
    text = np.zeros(longest + ROOM, dtype=np.uint8)
    for row in range(count):
        begin, end = offsets[row], offsets[row + 1]
        if begin == end:
            continue
        if words.size or accepts.size or fold:
            found[row] = _words_concern(data, begin, end, words, word_starts, word_shift, fold, next_state, accepts, text)
        if found[row] or not (sites.size or pages.size):
            continue
        begin = after_scheme(data, begin, end)
        size, authority_end = host_of(data, begin, end, host)
        if size < 0:
            found[row] = 1
            continue
        if sites.size:
            for position in range(size):
                if (position == 0 or host[position - 1] == 46) and contains(
                    sites, site_starts, site_shift, hash_bytes(host, position, size)
                ):
                    found[row] = 1
                    break
        if pages.size and not found[row]:
            size, authority = write_bare_url(data, begin, authority_end, end, text)
            for position in range(max(authority, 1), size + 1):
                if (position == size or text[position] == 47 or text[position] == 63) and contains(
                    pages, page_starts, page_shift, hash_bytes(text, 0, position)
                ):
                    found[row] = 1
                    break
    return found
