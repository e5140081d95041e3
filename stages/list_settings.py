"""What stages have in common whose settings name lists: files, or names of lists that can be fetched."""

from __future__ import annotations

import os
from typing import ClassVar, Literal, Self

from gristmill.stages import lists
from gristmill.stages.stage import Stage


class WithLists(Stage):
    """A stage whose settings name lists."""

    list_settings: ClassVar[tuple[str, ...]] = ()
    """The settings that do."""

    when_missing: Literal["stop", "skip"] = "stop"
    """What becomes of a run whose list is not there: it stops, or goes on without the list and says so."""

    def missing(self, setting: str, value: str) -> lists.MissingList | None:
        """What is to be told where a value of a setting names a list that is not here.

        Raises:
            StageUnavailable: there is no list of that name.
        """
        if lists.is_name(value):
            try:
                lists.locate(value, "words")
            except lists.MissingList as error:
                return error
        elif not os.path.exists(value):
            return lists.MissingList(f"{value}: no such file; lists that can be fetched by name: gristmill lists list")
        return None

    def without_missing(self) -> tuple[Self, list[str]]:
        """The stage without the lists that it may do without, and a word on each of them.

        Raises:
            StageUnavailable: a list is named that cannot exist.
        """
        if self.when_missing == "stop":
            return self, []
        changed: dict[str, str | tuple[str, ...] | None] = {}
        told = []
        for setting in self.list_settings:
            given: str | tuple[str, ...] | None = getattr(self, setting)
            values = (given,) if isinstance(given, str) else given or ()
            absent = {value: error for value in values if (error := self.missing(setting, value)) is not None}
            if absent:
                changed[setting] = None if isinstance(given, str) else tuple(value for value in values if value not in absent)
                told += [
                    f"{self.label}.{setting}: {value} is not there and was left out ({error})" for value, error in absent.items()
                ]
        return (self.model_copy(update=changed), told) if changed else (self, [])
