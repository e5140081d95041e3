"""Forgotten documents: what a run folder remembers of those that were taken down, so that no later run brings them back.

`forgotten.json` in the run folder holds a tombstone for each: its id and its place in the input, when and why it went. No text
and no URL. Every run into the folder reads it, and leaves these records out as if the input did not have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.storage import Storage

if TYPE_CHECKING:
    from gristmill.pipeline.passes import Slice

FORGOTTEN = "forgotten.json"
FORMAT = 1


@dataclass(frozen=True)
class Tombstone:
    """What is remembered of a forgotten document."""

    id: str
    source: str
    file: str
    """Relative to the source's root."""
    position: int
    mark: str
    """Size and fingerprint of the file when the document was forgotten: whether its positions still mean the same."""
    when: str
    """UTC, ISO 8601."""
    reason: str | None = None

    @property
    def place(self) -> tuple[str, str, int, str]:
        """What a record must equal to be left out."""
        return self.source, self.file, self.position, self.id


@dataclass(frozen=True)
class Forgotten:
    """The tombstones of a run folder."""

    documents: tuple[Tombstone, ...] = ()
    pending: bool = False
    """Asked for and not carried out to the end: the next run into the folder removes what is left of the documents."""

    @classmethod
    def of(cls, folder: Storage) -> Forgotten:
        """Those of a folder; none where it has no such file.

        Raises:
            UserError: the file is not one that this version can read; to go on without it would bring documents back.
        """
        try:
            facts = folder.get_json(FORGOTTEN)
        except FileNotFoundError:
            return cls()
        except ValueError as error:
            raise UserError(f"{folder.url}/{FORGOTTEN}: is not JSON ({error}); put it back as it was") from None
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            found = facts.get("format") if isinstance(facts, dict) else None
            raise UserError(f"{folder.url}/{FORGOTTEN}: has format {found!r}; this version reads format {FORMAT}")
        try:
            return cls(tuple(Tombstone(**one) for one in facts["documents"]), bool(facts["pending"]))
        except (KeyError, TypeError) as error:
            raise UserError(f"{folder.url}/{FORGOTTEN}: is not as it was written ({error}); put it back as it was") from None

    def save(self, folder: Storage) -> None:
        """Write the file, whole or not at all."""
        folder.put_json(
            FORGOTTEN, {"format": FORMAT, "pending": self.pending, "documents": [asdict(one) for one in self.documents]}
        )

    def adding(self, documents: Iterable[Tombstone]) -> Forgotten:
        """These and more, to be carried out; a place that is known already keeps its tombstone."""
        known = {one.place: one for one in (*documents, *self.documents)}
        ordered = sorted(known.values(), key=lambda one: one.place)
        return Forgotten(tuple(ordered), pending=True)

    def done(self) -> Forgotten:
        """The same, carried out."""
        return replace(self, pending=False)

    @cached_property
    def _by_file(self) -> dict[tuple[str, str], list[Tombstone]]:
        found: dict[tuple[str, str], list[Tombstone]] = {}
        for one in self.documents:
            found.setdefault((one.source, one.file), []).append(one)
        return found

    @cached_property
    def by_id(self) -> dict[str, list[Tombstone]]:
        """Tombstones by id: one each, unless a document was found again at another place."""
        found: dict[str, list[Tombstone]] = {}
        for one in self.documents:
            found.setdefault(one.id, []).append(one)
        return found

    def of_file(self, source: str, file: str) -> Sequence[Tombstone]:
        """Those of an input file."""
        return self._by_file.get((source, file), ())

    def inside(self, source: str, slices: Sequence[Slice]) -> list[tuple[str, int, str]]:
        """(file, position, id) of each forgotten document that one of these slices holds, in order."""
        return sorted(
            (one.file, one.position, one.id)
            for piece in slices
            for one in self.of_file(source, piece.file)
            if one.position >= piece.start and (piece.stop is None or one.position < piece.stop)
        )


class FoundAgain(Exception):
    """Forgotten documents stand in the input at places that no tombstone names: a file was renamed, or records moved."""

    def __init__(self, documents: Sequence[Tombstone]) -> None:
        """Carry the tombstones of the new places."""
        super().__init__(", ".join(one.id for one in documents))
        self.documents = documents
