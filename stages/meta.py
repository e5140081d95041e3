"""What stages learn of documents, as keys of the JSON in the column `meta`; keepers and mixtures read it as `meta.KEY`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def with_meta(table: pa.Table, values: dict[str, Sequence[Any]]) -> pa.Table:
    """The documents with more keys in `meta`; keys that are there already are replaced, all others stay.

    Args:
        table: documents.
        values: by key, one value a document; a number that is NaN, and None, take the key away.
    """
    import pyarrow as pa

    filled = []
    for row, meta in enumerate(table["meta"].to_pylist()):
        told = json.loads(meta) if meta else {}
        for key, column in values.items():
            value = column[row]
            told.pop(key, None)
            if value is not None and value == value:
                told[key] = value
        filled.append(json.dumps(told, ensure_ascii=False, sort_keys=True) if told else None)
    at = table.schema.get_field_index("meta")
    return table.set_column(at, table.schema.field(at), pa.array(filled, pa.string()))
