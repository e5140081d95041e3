"""Which characters of a text are read in training and not learned: spans in `meta.loss_mask`, and the text they are of.

`meta` of such a document holds `{"loss_mask": {"spans": [[start, end], ...], "text": HASH}}`: characters [start, end) of the
text, ascending, neither overlapping nor touching, and 128 bits of BLAKE2b of the text in UTF-8. Spans go where documents go,
through published files and other runs; the hash tells when a text was changed after it was masked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import pyarrow as pa

KEY = "loss_mask"
Spans = list[tuple[int, int]]


class StaleMask(StageUnavailable):
    """Spans of another text, or no spans of any; the message names the document. What went wrong is the order of the stages."""


def text_hash(text: str) -> str:
    """What spans are bound to their text by."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def joined(spans: Sequence[tuple[int, int]]) -> Spans:
    """The same characters as ascending spans that neither overlap nor touch."""
    found: Spans = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        elif start < end:
            found.append((start, end))
    return found


def masked_spans(documents: pa.Table) -> Iterator[tuple[int, Spans]]:
    """The rows of documents that are masked, ascending, with their spans.

    Args:
        documents: columns `id`, `text` and `meta`.

    Raises:
        StaleMask: a mask is not one, or is of another text.
    """
    import pyarrow.compute as pc

    # nearly all documents have none: their `meta` is not parsed
    for row in pc.indices_nonzero(pc.match_substring(documents["meta"], f'"{KEY}"')).to_pylist():
        told = json.loads(documents["meta"][row].as_py()).get(KEY)
        if isinstance(told, dict) and set(told) == {"spans", "text"}:  # else a key that the record came with
            yield row, _checked(told, documents["id"][row].as_py(), documents["text"][row].as_py())


def _checked(told: dict[str, Any], name: str, text: str) -> Spans:
    spans = told["spans"] if isinstance(told["spans"], list) else []
    if told["text"] != text_hash(text):
        raise StaleMask(
            f"document {name}: its text was changed after its loss was masked; mask after the stages that change texts"
        )
    found = [(one[0], one[1]) for one in spans if isinstance(one, list) and list(map(type, one)) == [int, int]]
    inside = bool(found) and found[0][0] >= 0 and found[-1][1] <= len(text)
    if not inside or len(found) < len(spans) or found != joined(found):
        raise StaleMask(f"document {name}: meta.{KEY}.spans are not ascending spans of its {len(text)} characters")
    return found


def with_masked(documents: pa.Table, spans: dict[int, Spans]) -> pa.Table:
    """The documents with more characters masked; rows that `spans` does not name stay as they are to the byte.

    Args:
        documents: columns `id`, `text` and `meta`.
        spans: by row, characters of the text.

    Raises:
        StaleMask: a document has a mask of another text already.
    """
    import pyarrow as pa

    before = dict(masked_spans(documents.take(pa.array(list(spans), pa.int64()))))
    metas = documents["meta"].to_pylist()
    for place, (row, more) in enumerate(spans.items()):
        told = json.loads(metas[row]) if metas[row] else {}
        text = documents["text"][row].as_py()
        told[KEY] = {"spans": joined([*before.get(place, []), *more]), "text": text_hash(text)}
        metas[row] = json.dumps(told, ensure_ascii=False, sort_keys=True)
    at = documents.schema.get_field_index("meta")
    return documents.set_column(at, documents.schema.field(at), pa.array(metas, pa.string()))
