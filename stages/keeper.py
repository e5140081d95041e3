"""Which of several like documents stays: policies by name, and the rank that each gives a document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

WORDS = ("longest", "earliest", "latest", "newest", "oldest")
PREFIXES = ("highest", "lowest", "sources")
LAST = 2**63 - 1
"""Rank of a document that has no value in the column asked for."""


def _from_mapping(value: Any) -> Any:
    """`{highest: COLUMN}` as `highest:COLUMN`, `{sources: [a, b]}` as `sources:a,b`."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, argument),) = value.items()
        return f"{name}:{','.join(map(str, argument)) if isinstance(argument, list | tuple) else argument}"
    return value


def _checked(value: str) -> str:
    name, colon, argument = value.partition(":")
    if (value in WORDS) or (name in PREFIXES and colon and argument.strip()):
        return value
    raise ValueError(f"is {value!r}; should be {', '.join(WORDS)}, highest:COLUMN, lowest:COLUMN or sources:FIRST,SECOND,...")


Keep = Annotated[str, BeforeValidator(_from_mapping), AfterValidator(_checked)]
"""A policy: `longest` (most characters), `earliest` and `latest` (place in the corpus), `newest` and `oldest` (date),
`highest:COLUMN`, `lowest:COLUMN` (a number, date or `meta.KEY`), `sources:A,B` (the source named first)."""


def ranks(keep: str, documents: pa.Table, addresses: np.ndarray) -> np.ndarray:
    """Rank of each document: the lowest of a cluster stays, and of equal ones the lowest address.

    Args:
        keep: a policy of `Keep`.
        documents: columns of `DOCUMENTS`.
        addresses: uint64 of shape (n_documents,), below 2^63.

    Returns:
        int64 of shape (n_documents,).

    Raises:
        ValueError: the policy names a column that documents do not have, or that holds neither numbers nor dates.
    """
    import numpy as np
    import pyarrow.compute as pc

    name, _, argument = {"newest": "highest:date", "oldest": "lowest:date"}.get(keep, keep).partition(":")
    if name == "longest":
        lengths: np.ndarray = pc.utf8_length(documents["text"].combine_chunks()).to_numpy(zero_copy_only=False)
        return -lengths.astype(np.int64)
    if name == "earliest":
        return np.zeros(len(addresses), dtype=np.int64)
    if name == "latest":
        return -addresses.astype(np.int64)
    if name == "sources":
        order = {source.strip(): at for at, source in reversed(list(enumerate(argument.split(","))))}
        return np.array([order.get(source, len(order)) for source in documents["source"].to_pylist()], dtype=np.int64)
    values = column_numbers(documents, argument)
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    ordered = ordered_bits(values)
    return np.where(missing, LAST, ordered if name == "lowest" else ~ordered)


def ordered_bits(values: np.ndarray) -> np.ndarray:
    """int64 in the order of the values (float64)."""
    import numpy as np

    bits = (values + 0.0).view(np.int64)  # -0.0 is 0.0
    return np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits)


def column_numbers(documents: pa.Table, column: str) -> np.ndarray:
    """A column as float64, NaN where it is null."""
    import numpy as np
    import pyarrow as pa

    if column.startswith("meta."):
        return _meta_numbers(documents["meta"].to_pylist(), column.removeprefix("meta."))
    if column not in documents.column_names:
        raise ValueError(f"documents have no column {column!r}; they have {', '.join(documents.column_names)}, or take meta.KEY")
    values = documents[column].combine_chunks()
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    try:
        numbers: np.ndarray = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise ValueError(f"column {column} holds {documents[column].type}; highest and lowest need numbers or dates") from None
    return numbers.astype(np.float64)


def _meta_numbers(metas: list[str | None], key: str) -> np.ndarray:
    import json

    import numpy as np

    found = np.full(len(metas), np.nan)
    wanted = re.compile(re.escape(json.dumps(key)))
    for row, meta in enumerate(metas):
        if meta and wanted.search(meta):
            value = json.loads(meta).get(key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[row] = value
    return found
