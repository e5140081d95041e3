"""From the columns of a record (JSON object or table row) to a document."""

from __future__ import annotations

import json
from typing import Any

from gristmill.pipeline.readers.batches import Collector, as_date, storable
from gristmill.pipeline.readers.reader import ReadSettings


def take_row(position: int, row: dict[str, Any], size: int, settings: ReadSettings, out: Collector) -> None:
    """Add one record as a document, or say why it is none; takes what it uses out of `row`.

    Args:
        position: address in the file.
        row: columns of the record; what has no place among the columns of a document goes to `meta`.
        size: bytes of the record.
        settings: which column is what.
        out: where it goes.
    """
    id = row.pop(settings.id_column, None) if settings.id_from == "column" else None
    url = row.pop(settings.url_column, None) if settings.url_column else None
    text = row.pop(settings.text_column, None)
    link = storable(url) if isinstance(url, str) and url else None
    if settings.id_from == "column" and (id is None or id == "" or isinstance(id, (dict, list))):
        detail = f"{settings.id_column} is {_kind(id)}, not a string or number"
        out.remove(position, None, "no_id", url=link, detail=detail, bytes=size)
        return
    name = storable(str(id)) if id is not None else None
    if not isinstance(text, str):
        detail = f"{settings.text_column} is {_kind(text)}, not a string"
        out.remove(position, name, "no_text_field", url=link, detail=detail, bytes=size)
        return
    date = _moved(row, settings.date_column, as_date)
    language = _moved(row, settings.language_column, lambda value: storable(value) if isinstance(value, str) and value else None)
    if url is not None and link is None and url != "":
        row[settings.url_column or "url"] = url
    out.add(position, name, text=storable(text), url=link, date=date, language=language, meta=_merged(row))


def _moved(row: dict[str, Any], column: str | None, convert: Any) -> Any:
    """What a column converts to; a value that does not convert stays in the row."""
    if column is None or row.get(column) is None:
        return None
    value = convert(row[column])
    if value is not None:
        del row[column]
    return value


def _merged(row: dict[str, Any]) -> dict[str, Any]:
    """The rest of a row; an object called `meta` (ours, written as JSON, too) is spread out rather than nested again."""
    rest = {name: value for name, value in row.items() if value is not None}
    inner = rest.get("meta")
    if isinstance(inner, str) and inner.startswith("{"):
        try:
            inner = json.loads(inner)
        except (ValueError, RecursionError):
            inner = None
    if isinstance(inner, dict):
        del rest["meta"]
        rest = {**inner, **rest}
    return rest


def _kind(value: Any) -> str:
    """What a value is, in the words of JSON."""
    if value is None:
        return "missing or null"
    kinds = {bool: "true or false", dict: "an object", list: "a list", str: "an empty string" if value == "" else "a string"}
    return kinds.get(type(value), "a number" if isinstance(value, (int, float)) else f"a {type(value).__name__}")
