"""How many elements a page holds and how deeply they nest, read off its bytes without parsing it.

Parsers slow down, give up or crash on pages far outside what people write. These two numbers tell such pages beforehand, alike
on every machine, at about a thousandth of what a parser costs.
"""

from __future__ import annotations

import re

import numpy as np

from gristmill.stages.numba_cache import njit

RAW_TEXT = (b"script", b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes")
"""Elements whose content is no markup."""
NEVER_OPEN = (
    *(
        b"area",
        b"base",
        b"br",
        b"col",
        b"embed",
        b"hr",
        b"img",
        b"input",
        b"link",
        b"meta",
        b"param",
        b"source",
        b"track",
        b"wbr",
    ),
    *(b"html", b"head", b"body", b"li", b"dt", b"dd", b"p", b"rt", b"rp", b"optgroup", b"option"),
    *(b"colgroup", b"caption", b"thead", b"tbody", b"tfoot", b"tr", b"td", b"th"),
)
"""Elements without content, and those that need no end tag: they end where the next one begins, so they say little of depth."""

_BUCKETS = 1 << 16
_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193


def _bucket(name: bytes) -> int:
    """16 bits of the FNV-1a hash of an element's name in lower case, by which names are told apart.

    Two names in a page that fall together can only make a wrong end tag close something: not worth comparing letters for.
    """
    value = _FNV_OFFSET
    for byte in name:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return (value ^ (value >> 16)) & (_BUCKETS - 1)


def _table(names: tuple[bytes, ...]) -> np.ndarray:
    table = np.zeros(_BUCKETS, dtype=np.uint8)
    table[[_bucket(name) for name in names]] = 1
    return table


_IS_RAW_TEXT = _table(RAW_TEXT)
_IS_NEVER_OPEN = _table(NEVER_OPEN)


@njit("int64(Array(uint8, 1, 'C', readonly=True), int64)")
def _after_tag(data: np.ndarray, at: int) -> int:
    """Position after the `>` that ends the tag; a `>` inside a quoted attribute value does not end it."""
    n = len(data)
    after_equals = False
    while at < n:
        byte = data[at]
        at += 1
        if byte == 62:  # >
            return at
        if after_equals and (byte == 34 or byte == 39):
            while at < n and data[at] != byte:
                at += 1
            at += 1
            after_equals = False
        elif byte == 61:  # =
            after_equals = True
        elif byte > 32:
            after_equals = False
    return n


@njit("int64(Array(uint8, 1, 'C', readonly=True), int64, int64, int64)")
def _end_of_raw_text(data: np.ndarray, at: int, name_start: int, name_end: int) -> int:
    """Position of the `</` that ends the element named at `name_start`, or the end of the page."""
    n = len(data)
    length = name_end - name_start
    while at + 2 + length <= n:
        if data[at] == 60 and data[at + 1] == 47:
            same = 0
            while same < length and (data[at + 2 + same] | 32) == (data[name_start + same] | 32):
                same += 1
            if same == length:
                return at
        at += 1
    return n


@njit("int64(Array(uint8, 1, 'C', readonly=True), int64)")
def _after_comment(data: np.ndarray, at: int) -> int:
    """Position after the `-->` that ends a comment whose `<!` stands before `at`."""
    while at + 2 < len(data):
        if data[at] == 45 and data[at + 1] == 45 and data[at + 2] == 62:
            return at + 3
        at += 1
    return len(data)


@njit("UniTuple(int64, 2)(Array(uint8, 1, 'C', readonly=True))")
def _html_size(data: np.ndarray) -> tuple[int, int]:
    n = len(data)
    n_open = np.zeros(_BUCKETS, dtype=np.int32)
    stack = np.empty(n // 3 + 1, dtype=np.uint16)
    depth = deepest = elements = 0
    at = 0
    while at + 1 < n:
        if data[at] != 60:  # <
            at += 1
            continue
        byte = data[at + 1]
        if byte == 33 or byte == 63:  # ! or ?
            if byte == 33 and at + 3 < n and data[at + 2] == 45 and data[at + 3] == 45:
                at = _after_comment(data, at + 2)
            else:
                while at < n and data[at] != 62:
                    at += 1
            continue
        is_end = byte == 47  # /
        start = at + 2 if is_end else at + 1
        if start >= n or not (97 <= (data[start] | 32) <= 122):
            at += 1
            continue
        hashed = np.uint32(_FNV_OFFSET)
        end = start
        while end < n and data[end] > 32 and data[end] != 47 and data[end] != 62:
            letter = data[end] + 32 if 65 <= data[end] <= 90 else data[end]
            hashed = np.uint32((hashed ^ np.uint32(letter)) * np.uint32(_FNV_PRIME))
            end += 1
        bucket = np.int64((hashed ^ (hashed >> np.uint32(16))) & np.uint32(_BUCKETS - 1))
        at = _after_tag(data, end)
        if is_end:
            if n_open[bucket] > 0:
                closed = np.int64(-1)
                while closed != bucket:
                    depth -= 1
                    closed = np.int64(stack[depth])
                    n_open[closed] -= 1
            continue
        elements += 1
        if _IS_RAW_TEXT[bucket]:
            at = _end_of_raw_text(data, at, start, end)
        elif not _IS_NEVER_OPEN[bucket] and not (at >= 2 and data[at - 1] == 62 and data[at - 2] == 47):
            stack[depth] = bucket
            n_open[bucket] += 1
            depth += 1
            deepest = max(deepest, depth)
    return elements, deepest


def html_size(html: bytes) -> tuple[int, int]:
    """Elements of a page, and how deeply they nest.

    Args:
        html: the page in UTF-8, or in any encoding whose first 128 characters are ASCII's.

    Returns:
        Start tags outside comments and scripts; and the most elements that are open at once, not counting `NEVER_OPEN`. An end
        tag closes all up to the innermost open element of its name; one that closes nothing is passed over; `<x/>` is closed.
    """
    elements, depth = _html_size(np.frombuffer(html, dtype=np.uint8))
    return int(elements), int(depth)


_TAG = re.compile(
    rb"""<!--.*?(?<=--)>|<[!?][^>]*"""
    rb"""|<(?P<end>/?)(?P<name>[a-zA-Z][^\x00-\x20/>]*)"""
    rb"""(?P<rest>(?:=[\x00-\x20]*(?:"[^"]*(?:"|\Z)|'[^']*(?:'|\Z))|[^>])*)>?""",
    re.DOTALL,
)


def html_size_plainly(html: bytes) -> tuple[int, int]:
    """What `html_size` computes, with a regular expression and a list; the tests hold the two together."""
    open_names: list[int] = []
    elements = depth = at = 0
    while at < len(html) - 1 and (tag := _TAG.search(html, at)):
        at = tag.end()
        if tag[0].startswith(b"<!--") and not tag[0].endswith(b"-->"):
            break
        if tag["name"] is None:
            continue
        name = _bucket(tag["name"].lower())
        if tag["end"]:
            if name in open_names:
                while open_names.pop() != name:
                    pass
            continue
        elements += 1
        if name in map(_bucket, RAW_TEXT):
            ended = re.compile(rb"</" + re.escape(tag["name"]), re.IGNORECASE).search(html, at)
            at = ended.start() if ended else len(html)
        elif name not in map(_bucket, NEVER_OPEN) and not tag[0].endswith(b"/>"):
            open_names.append(name)
            depth = max(depth, len(open_names))
    return elements, depth
