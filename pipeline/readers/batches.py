"""What a reader gives out: documents and the records that are none, in the order of the file."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_DATE = re.compile(
    r"(\d{4})(?:-?(\d\d)(?:-?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?"
    r"\s*(?:(Z|UTC|GMT)|([+-])(\d\d):?(\d\d))?)?)?)?$",
    re.IGNORECASE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Removal:
    """A record that is no document, or bytes that are no record."""

    position: int
    id: str
    url: str | None
    rule: str
    value: float | None
    threshold: float | None
    detail: str | None
    bytes: int
    """Bytes of the record's content, or of the gap."""
    is_record: bool
    """False for bytes that could not be read and belong to no record."""


@dataclass
class ReadBatch:
    """Neighbouring records of one file."""

    documents: pa.Table
    """Columns `stages.documents.WITH_HTML` for WARC, `DOCUMENTS` for the others; positions ascend."""
    removals: list[Removal]
    """Positions ascend."""
    other_records: dict[str, int]
    """WARC records that are not meant to be documents, counted by type."""


@dataclass
class Collector:
    """Gathers documents and removals of one file into batches."""

    source: str
    file: str
    batch_bytes: int
    with_html: bool
    rows: dict[str, list[Any]] = field(default_factory=dict)
    removals: list[Removal] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)
    content_bytes: int = 0

    def id_at(self, position: int) -> str:
        """The id of what has no other: where it lies."""
        return f"{self.source}/{self.file}#{position}"

    def add(
        self,
        position: int,
        id: str | None,
        *,
        text: str = "",
        html: bytes | None = None,
        url: str | None = None,
        date: datetime | None = None,
        content_type: str | None = None,
        language: str | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Add a document."""
        row = {
            "id": id or self.id_at(position),
            "text": text,
            "position": position,
            "url": url,
            "date": date,
            "content_type": content_type,
            "language": language,
            "meta": meta_json(meta) if meta else None,
        }
        if self.with_html:
            row["html"] = html
        for name, value in row.items():
            self.rows.setdefault(name, []).append(value)
        self.content_bytes += len(html) if html is not None else len(text.encode())

    def remove(
        self,
        position: int,
        id: str | None,
        rule: str,
        *,
        url: str | None = None,
        value: float | None = None,
        threshold: float | None = None,
        detail: str | None = None,
        bytes: int = 0,
        is_record: bool = True,
    ) -> None:
        """Add a removal; texts of broken records are made storable."""
        self.removals.append(
            Removal(
                position,
                storable(id or self.id_at(position)),
                storable(url) if url is not None else None,
                rule,
                None if value is None else float(value),
                None if threshold is None else float(threshold),
                storable(detail) if detail is not None else None,
                bytes,
                is_record,
            )
        )

    def gap(self, position: int, bytes: int, what: str) -> None:
        """Add bytes that cannot be read."""
        self.remove(position, None, "unreadable_bytes", value=bytes, detail=what, bytes=bytes, is_record=False)

    @property
    def full(self) -> bool:
        """Whether a batch has gathered."""
        return self.content_bytes >= self.batch_bytes or len(self.removals) >= 100_000

    def batch(self) -> ReadBatch:
        """What has gathered; gathering begins anew."""
        batch = ReadBatch(self._table(), self.removals, dict(self.other))
        self.rows, self.removals, self.other, self.content_bytes = {}, [], Counter(), 0
        return batch

    def _table(self) -> pa.Table:
        import pyarrow as pa

        from gristmill.stages.documents import DOCUMENTS, WITH_HTML

        schema = WITH_HTML if self.with_html else DOCUMENTS
        number = len(self.rows.get("id", ()))
        columns = []
        for column in schema:
            if column.name in ("source", "file"):
                columns.append(pa.repeat(pa.scalar(getattr(self, column.name), column.type), number))
            elif column.name in self.rows:
                columns.append(pa.array(self.rows[column.name], column.type))
            else:
                columns.append(pa.nulls(number, column.type) if column.nullable else pa.array([], column.type))
        return pa.Table.from_arrays(columns, schema=schema)

    def __bool__(self) -> bool:
        return bool(self.rows or self.removals or self.other)


def storable(text: str) -> str:
    """The text with U+FFFD for each lone surrogate (JSON can write them, UTF-8 and Arrow cannot)."""
    return _SURROGATE.sub("\ufffd", text)


def parse_date(text: str | None) -> datetime | None:
    """A date of any precision from the year to the nanosecond, in UTC where no zone is given; None when it is none.

    Source: WARC-Date, WARC 1.1 §5.4 (W3C profile of ISO 8601); the 14 digits of older files are read too.
    """
    found = _DATE.match(text.strip()) if text else None
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, zone_hours, zone_minutes = found.groups()
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        parts = (int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), min(int(second or 0), 59), micro)
        moment = datetime(*parts, tzinfo=UTC)
        if sign:
            moment = datetime.fromisoformat(f"{moment:%Y-%m-%dT%H:%M:%S.%f}{sign}{zone_hours}:{zone_minutes}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment


def as_date(value: Any) -> datetime | None:
    """A date from what a column holds: text, a date, or None; anything else is none."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return parse_date(value) if isinstance(value, str) else None


def meta_json(meta: dict[str, Any]) -> str:
    """JSON with sorted keys; no NaN, no lone surrogates, dates as text, bytes as base64."""
    try:
        text = json.dumps(meta, ensure_ascii=False, sort_keys=True, allow_nan=False, default=_plain)
    except ValueError:
        text = json.dumps(_finite(meta), ensure_ascii=False, sort_keys=True, default=_plain)
    return storable(text)


def _finite(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list) else value


def _plain(value: Any) -> str:
    import base64

    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)
