"""Editors: stages that change documents and never drop them by themselves."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gristmill.stages.stage import Stage

if TYPE_CHECKING:
    import pyarrow as pa

    from gristmill.stages.documents import Batch


@dataclass(frozen=True)
class Loss:
    """Why an editor left a document without text."""

    row: int
    """Row of the document in the batch."""
    rule: str
    value: float | None = None
    threshold: float | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Edited:
    """What an editor made of a batch."""

    table: pa.Table
    """The documents, row for row as they came in, with their new text."""
    losses: list[Loss] = field(default_factory=list)
    """The documents that have no text now, with the reason; the engine removes them. At most one a row, rows ascending."""
    cuts: pa.Table | None = None
    """Columns row int64, start int64, end int64 (characters of the text before the stage), text string or null; where there is
    more to tell also put string (what stands there now; null: nothing) and detail string."""
    marked: list[int] = field(default_factory=list)
    """Rows whose text stays and of which something was put down beside it; they count as edited."""


class Editor(Stage):
    """Changes documents. One document stays one document."""

    @property
    def changes_text(self) -> bool:
        return True

    @abstractmethod
    def edit(self, batch: Batch) -> Edited:
        """Change the batch's documents; a document left empty is reported as a `Loss`."""
