"""Finds the few tags of a page in which its publisher can say something about rights, without parsing the page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages.cut_kernels import with_room
from gristmill.stages.numba_cache import njit

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

TAGS = (b"meta", b"link", b"a")
"""Elements that are looked at."""
RAW_TEXT = (b"script", b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes")
"""Elements whose content is no markup."""
HEAD_BYTES = 256
"""A null byte this near to the beginning means UTF-16: such a page is given out whole."""
_LONGEST_NAME = 8
_BYTES = "Array(uint8, 1, 'C', readonly=True)"
_POSITIONS = "Array(int64, 1, 'C', readonly=True)"

_NAMES = np.zeros((len(TAGS) + len(RAW_TEXT), _LONGEST_NAME + 1), dtype=np.uint8)
for _index, _name in enumerate(TAGS + RAW_TEXT):
    _NAMES[_index, : len(_name)] = list(_name)
_TAG_COUNT = len(TAGS)


@njit(f"int64({_BYTES}, int64, int64)")
def _name_at(data: Bytes, at: int, end: int) -> int:
    """Index in `TAGS + RAW_TEXT` of the element's name that begins at `at`, -1 for other names."""
    size = 0
    while at + size < end and data[at + size] > 32 and data[at + size] != 47 and data[at + size] != 62:
        size += 1
        if size > _LONGEST_NAME:
            return -1
    for index in range(_NAMES.shape[0]):
        same = 0
        while same < size and (data[at + same] | 32) == _NAMES[index, same]:
            same += 1
        if same == size and _NAMES[index, size] == 0:
            return index
    return -1


@njit(f"int64({_BYTES}, int64, int64)")
def _after_tag(data: Bytes, at: int, end: int) -> int:
    """Position after the `>` that ends the tag; a `>` inside a quoted attribute value does not end it."""
    after_equals = False
    while at < end:
        byte = data[at]
        at += 1
        if byte == 62:
            return at
        if after_equals and (byte == 34 or byte == 39):
            while at < end and data[at] != byte:
                at += 1
            at += 1
            after_equals = False
        elif byte == 61:
            after_equals = True
        elif byte > 32:
            after_equals = False
    return end


@njit(f"int64({_BYTES}, int64, int64, int64)")
def _end_of_raw_text(data: Bytes, at: int, end: int, name: int) -> int:
    """Position of the `</` that ends the raw text of an element, or the end of the page."""
    size = 0
    while _NAMES[name, size]:
        size += 1
    while at + 2 + size <= end:
        if data[at] == 60 and data[at + 1] == 47:
            same = 0
            while same < size and (data[at + 2 + same] | 32) == _NAMES[name, same]:
                same += 1
            if same == size:
                return at
        at += 1
    return end


@njit(f"boolean({_BYTES}, int64, int64, {_BYTES}, int64[::1])")
def _holds_a_word(data: Bytes, begin: int, end: int, words: Bytes, word_offsets: Positions) -> bool:
    for at in range(begin, end):
        lower = data[at] | 32 if 65 <= data[at] <= 90 else data[at]
        for word in range(word_offsets.size - 1):
            start, size = word_offsets[word], word_offsets[word + 1] - word_offsets[word]
            if lower != words[start] or at + size > end:
                continue
            same = 1
            while same < size:
                byte = data[at + same]
                if (byte | 32 if 65 <= byte <= 90 else byte) != words[start + same]:
                    break
                same += 1
            if same == size:
                return True
    return False


@njit(f"int64[:, ::1]({_BYTES}, {_POSITIONS}, {_BYTES}, int64[::1])")
def find_tags(data: Bytes, offsets: Positions, words: Bytes, word_offsets: Positions) -> Positions:
    """Start tags named in `TAGS` that hold one of some words, outside comments and raw text.

    Args:
        data: bytes of the pages, in encodings whose first 128 characters are ASCII's.
        offsets: shape (n_pages + 1,).
        words, word_offsets: the words in lower case, one after the other, and where each begins.

    Returns:
        Shape (n_tags, 3): page, and the tag's bytes [start, end). A page in UTF-16 has one row with all its bytes.
    """
    found = np.empty((64, 3), dtype=np.int64)
    count = 0
    for page in range(offsets.size - 1):
        at, end = offsets[page], offsets[page + 1]
        is_wide = False
        for position in range(at, min(end, at + HEAD_BYTES)):
            is_wide |= data[position] == 0
        if is_wide:
            found = with_room(found, count + 1)
            found[count, 0], found[count, 1], found[count, 2] = page, at, end
            count += 1
            continue
        while at + 1 < end:
            if data[at] != 60:
                at += 1
                continue
            byte = data[at + 1]
            if byte == 33 and at + 3 < end and data[at + 2] == 45 and data[at + 3] == 45:
                at += 4
                while at < end and not (data[at - 2] == 45 and data[at - 1] == 45 and data[at] == 62):
                    at += 1
                continue
            if not 97 <= (byte | 32) <= 122:
                at += 1
                continue
            name = _name_at(data, at + 1, end)
            start = at
            at = _after_tag(data, at + 1, end)
            if name >= _TAG_COUNT:
                at = _end_of_raw_text(data, at, end, name)
            elif name >= 0 and _holds_a_word(data, start, at, words, word_offsets):
                found = with_room(found, count + 1)
                found[count, 0], found[count, 1], found[count, 2] = page, start, at
                count += 1
    return found[:count].copy()


def tags_of(pages: pa.ChunkedArray, words: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """The tags that `find_tags` finds, in the order of the pages.

    Args:
        pages: large_binary; null for none.
        words: in lower case, none of them empty.

    Yields:
        Index of the page, and the tag.
    """
    import pyarrow as pa

    array = pa.concat_arrays(pages.fill_null(b"").chunks or [pa.array([], pa.large_binary())]).cast(pa.large_binary())
    _, offset_buffer, data_buffer = array.buffers()
    if not len(array) or data_buffer is None:
        return
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(data_buffer, dtype=np.uint8)
    word_offsets = np.cumsum([0, *map(len, words)], dtype=np.int64)
    for page, start, end in find_tags(data, offsets, np.frombuffer(b"".join(words), dtype=np.uint8), word_offsets).tolist():
        yield page, data[start:end].tobytes()


_TAG = re.compile(
    rb"""<!--.*?(?<=--)>|<(?P<name>[a-zA-Z][^\x00-\x20/>]*)"""
    rb"""(?:=[\x00-\x20]*(?:"[^"]*(?:"|\Z)|'[^']*(?:'|\Z))|[^>])*>?""",
    re.DOTALL,
)


def find_tags_plainly(page: bytes, words: list[bytes]) -> list[bytes]:
    """The tags that `find_tags` finds in a page that is not in UTF-16."""
    found: list[bytes] = []
    at = 0
    while tag := _TAG.search(page, at):
        if 0 <= page.find(b"<!--", at) < tag.start():
            break  # a comment without end
        at = tag.end()
        name = (tag["name"] or b"").lower()
        if name in RAW_TEXT:
            ended = re.compile(rb"</" + name, re.IGNORECASE).search(page, at)
            at = ended.start() if ended else len(page)
        elif name in TAGS and any(word in tag[0].lower() for word in words):
            found.append(tag[0])
    return found
