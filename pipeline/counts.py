"""Counts of the funnel: what went into a stage and what it kept, and their sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Counts = dict[str, Any]
"""`in`, `kept`, `removed`, `edited`, `rules` {rule: count}, `bytes_in`, `bytes_kept`, `words_in`, `words_kept`; of a filter that
could not judge some documents `not_judged` {their language, or nothing: count}.

Words are None before extraction."""

NOT_JUDGED = "not_judged"
_BY_NAME = ("rules", NOT_JUDGED)


def text_bytes(documents: pa.Table) -> np.ndarray:
    """Bytes of each document's content: its HTML where it is not extracted yet, else its text; int64."""
    lengths = _integers(pc.binary_length(documents["text"].combine_chunks()))
    if "html" in documents.column_names:
        html = pc.fill_null(pc.binary_length(documents["html"].combine_chunks()), 0)
        lengths = np.maximum(lengths, _integers(html))
    return lengths


def whitespace_words(texts: pa.ChunkedArray) -> np.ndarray:
    """Words between white space (`str.split`) in each text, int64 of shape (n_documents,)."""
    # no kernel of ours: a changed kernel must not make the extraction step run again; Arrow's splitter copies each word
    column = texts.combine_chunks().cast(pa.large_string())
    offsets = (
        np.frombuffer(column.buffers()[1], np.int64, len(column) + 1, 8 * column.offset) if len(column) else np.zeros(1, np.int64)
    )
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    begins, ends = offsets[:-1] - offsets[0], offsets[1:] - offsets[0]
    blanks = _blanks(data)
    # a word ends before each blank that does not follow another and does not begin a text, and with a text that ends in none
    after_other = np.zeros(len(blanks), dtype=bool)
    after_other[1:] = np.diff(blanks) == 1
    first = np.searchsorted(blanks, begins)
    first_byte = np.zeros(len(blanks) + 1, dtype=bool)
    first_byte[first] = np.append(blanks, -1)[first] == begins
    closed = np.zeros(len(blanks) + 1, dtype=np.int64)
    np.cumsum(~after_other & ~first_byte[:-1], out=closed[1:])
    last = np.searchsorted(blanks, ends)
    open_end = (ends > begins) & (np.insert(blanks, 0, -1)[last] != ends - 1)
    words: np.ndarray = closed[last] - closed[first] + open_end
    return words


def _blanks(data: np.ndarray) -> np.ndarray:
    """Places of the bytes of white space in UTF-8 text, ascending, int64."""
    places: np.ndarray = np.flatnonzero(data <= 32)
    places = places[_ASCII_BLANK[data[places]]]
    leads = np.flatnonzero((data == 0xC2) | ((data >= 0xE1) & (data <= 0xE3)))
    if not len(leads):
        return places
    three = data[leads] != 0xC2
    key = data[leads].astype(np.uint32) << 16 | data[leads + 1].astype(np.uint32) << 8
    key[three] |= data[leads[three] + 2]
    blank = np.isin(key, _WIDE_BLANKS)
    found, longer = leads[blank], leads[blank & three]
    return np.sort(np.concatenate([places, found, found + 1, longer + 2])) if len(found) else places


def _wide_blanks() -> np.ndarray:
    encoded = [chr(point).encode() for point in range(0x80, 0x3001) if chr(point).isspace()]
    return np.array([int.from_bytes(one.ljust(3, b"\0")) for one in encoded], dtype=np.uint32)


_ASCII_BLANK = np.array([chr(byte).isspace() for byte in range(33)])
_WIDE_BLANKS = _wide_blanks()
"""White space beyond ASCII, three bytes of UTF-8 as one number; U+3000 is the last."""


def _integers(values: pa.Array) -> np.ndarray:
    numbers: np.ndarray = values.to_numpy(zero_copy_only=False)
    return numbers.astype(np.int64)


def add(total: Counts | None, more: Counts) -> Counts:
    """The sum of two counts."""
    if total is None:
        return {name: dict(value) if name in _BY_NAME else value for name, value in more.items()}
    summed: Counts = {}
    for name in dict.fromkeys([*total, *more]):
        if name in _BY_NAME:
            held, value = total.get(name, {}), more.get(name, {})
            summed[name] = {key: held.get(key, 0) + value.get(key, 0) for key in sorted({*held, *value})}
        else:
            summed[name] = None if more[name] is None or total[name] is None else total[name] + more[name]
    return summed


def count(
    sizes_in: np.ndarray,
    words_in: np.ndarray | None,
    kept: np.ndarray,
    rules: dict[str, int],
    edited: int = 0,
    sizes_kept: np.ndarray | None = None,
    words_kept: np.ndarray | None = None,
) -> Counts:
    """Counts of one stage over one batch; sizes and words of shape (n_documents,), `kept` bool of the same shape."""
    after = sizes_in if sizes_kept is None else sizes_kept
    words_after = words_in if words_kept is None else words_kept
    return {
        "in": len(kept),
        "kept": int(kept.sum()),
        "removed": int((~kept).sum()),
        "edited": edited,
        "rules": {rule: number for rule, number in sorted(rules.items()) if number},
        "bytes_in": int(sizes_in.sum()),
        "bytes_kept": int(after[kept].sum()),
        "words_in": None if words_in is None else int(words_in.sum()),
        "words_kept": None if words_after is None else int(words_after[kept].sum()),
    }
