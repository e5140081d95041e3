"""One way to read every input format: which ranges a file falls into, and the records of a range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from gristmill.pipeline.readers.batches import ReadBatch, Removal
from gristmill.stages.settings import Settings

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["ReadBatch", "ReadSettings", "Removal", "check", "read", "split"]

BATCH_BYTES = 16 << 20


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class ReadSettings(Settings):
    """Where the documents of a source are, and how they are read."""

    format: Literal["warc", "wet", "jsonl", "parquet", "text"]
    """What the files are: web captures, text extracted from captures, one JSON object a line, tables, or one document a file."""
    paths: Annotated[list[str], BeforeValidator(_one_or_more)] = Field(min_length=1)
    """Files, folders, patterns such as `crawl/*.warc.gz`, URLs, or `@list.txt` (one path a line)."""
    id: Literal["record", "column", "position"] | None = None
    """What a document is called: its WARC-Record-ID (default for warc and wet), a column, or its place (default elsewhere)."""
    id_column: str = "id"
    """Column that holds the id, when `id` is `column`."""
    text_column: str = "text"
    """Column (jsonl, parquet) that holds the text."""
    url_column: str | None = "url"
    """Column that holds the URL, where there is one."""
    date_column: str | None = "date"
    """Column that holds the date, where there is one."""
    language_column: str | None = None
    """Column that holds a language code, taken over as the document's language."""
    max_record_bytes: PositiveInt = 32 << 20
    """Largest record that is read, also after its content encoding is undone; a larger one is removed as `too_large`."""

    @model_validator(mode="after")
    def _id_is_there_to_take(self) -> Self:
        if self.id == "record" and self.format not in ("warc", "wet"):
            raise ValueError(f"id: record is for warc and wet, this is {self.format}; take column or position")
        if self.id == "column" and self.format not in ("jsonl", "parquet"):
            raise ValueError(f"id: column is for jsonl and parquet, this is {self.format}; take {self._default_id} or position")
        return self

    @property
    def _default_id(self) -> Literal["record", "position"]:
        return "record" if self.format in ("warc", "wet") else "position"

    @property
    def id_from(self) -> Literal["record", "column", "position"]:
        """`id`, or what holds when it is not set."""
        return self.id or self._default_id


def _module(settings: ReadSettings) -> ModuleType:
    """The reader of the format, loaded when first needed: settings alone load no Arrow."""
    from importlib import import_module

    return import_module(f"gristmill.pipeline.readers.{'warc' if settings.format == 'wet' else settings.format}")


def read(
    fs: Any,
    path: str,
    file: str,
    source: str,
    start: int,
    stop: int | None,
    settings: ReadSettings,
    batch_bytes: int = BATCH_BYTES,
) -> Iterator[ReadBatch]:
    """Read the records of a file that begin in [start, stop).

    Positions are unique in a file, ascend, and do not depend on how it is split: for an uncompressed WARC or JSONL file the
    byte at which the record begins; for a compressed WARC the stored byte of its gzip member or zstd frame, and one more for
    each further record of the same member; for compressed JSONL the byte in the uncompressed stream; for Parquet the row; 0
    for a text file.

    Args:
        fs: the fsspec filesystem.
        path: of the file, on `fs`.
        file: its name in the source, for the `file` column and for ids.
        source: name of the source.
        start: 0, or the beginning of a range that `split` gave.
        stop: the end of that range; None for the end of the file.
        settings: how to read.
        batch_bytes: content that a batch has before it is given out.

    Yields:
        Batches, positions ascending; none is empty.

    Raises:
        UserError: the file is not of this format at all.
    """
    if start == 0:
        check(fs, path, settings)
    yield from _module(settings).read(fs, path, file, source, start, stop, settings, batch_bytes)


def split(fs: Any, path: str, settings: ReadSettings, target_bytes: int) -> list[tuple[int, int | None]]:
    """Cut a file into ranges of about `target_bytes` of uncompressed content, at beginnings of records.

    A WARC file is walked from record to record; a member that merely looks like a beginning is never taken for one. What is
    appended to a file moves no boundary. Compressed JSONL and text files are one range: they cannot be entered in the middle.

    Args:
        fs: the fsspec filesystem.
        path: of the file, on `fs`.
        settings: how the file is read.
        target_bytes: content of a range, uncompressed.

    Returns:
        Ranges for `read`, ascending, without holes, the last one open; [(0, None)] when there is nothing to cut.
    """
    ranges: list[tuple[int, int | None]] = _module(settings).split(fs, path, settings, target_bytes)
    return ranges


def check(fs: Any, path: str, settings: ReadSettings) -> None:
    """Look at the beginning of a file.

    Raises:
        UserError: it is no file of this format; says what it is instead. An empty file is fine, it has no records.
    """
    _module(settings).check(fs, path, settings)


def ranges_at(starts: list[int]) -> list[tuple[int, int | None]]:
    """Ranges that begin at these places; the last one is open."""
    return list(zip(starts, [*starts[1:], None], strict=True))
