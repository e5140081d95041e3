"""Regular expressions of one's own: what they find is cut or replaced."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from gristmill.stages.editor import Edited, Editor

if TYPE_CHECKING:
    from gristmill.stages.documents import Batch


class Replace(Editor):
    r"""Cut or replace what a regular expression finds, e.g. `https?://\S+`. A document of which nothing is left goes.

    The expression is one of Python's, and searched by Python: those that begin with fixed letters take 100 to 350 MB/s,
    others 20 to 60. One that tries many ways at each place takes forever on some text: `(a+)+b`, and `\S*x` on a text
    without spaces, which `(?<!\S)\S*?x` reads once.
    """

    kind: ClassVar[str] = "replace"

    pattern: str
    r"""Regular expression; `.` stops at newlines unless it begins with `(?s)`. It must not find the empty string."""

    by: str = ""
    r"""What stands there instead; `\1` is the first group of the pattern."""

    ignore_case: bool = False
    """Take capitals for small letters."""

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        try:
            compiled = self._compiled
        except re.error as error:
            raise ValueError(f"pattern: {self.pattern!r} is no regular expression: {error}") from error
        if compiled.match(""):
            raise ValueError(f"pattern: {self.pattern!r} finds the empty string, so it is everywhere; write + where there is *")
        try:
            # an empty alternative makes a match with all groups, so that one that is not there is told before the run
            if nothing := re.compile(f"{self.pattern}|", compiled.flags).match(""):
                nothing.expand(self.by)
        except (re.error, IndexError) as error:
            raise ValueError(f"by: {self.by!r} does not fit the pattern: {error}") from error
        return self

    @property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE if self.ignore_case else 0)

    def edit(self, batch: Batch) -> Edited:
        """Replace from left to right; what is found does not overlap."""
        from gristmill.stages.edits import Cut, cuts_table, losses_of, with_texts

        compiled = self._compiled
        texts: dict[int, str] = {}
        cuts: list[Cut] = []
        for row, text in enumerate(batch.table["text"].to_pylist()):
            pieces: list[str] = []
            done = 0
            for found in compiled.finditer(text):
                start, end = found.span()
                if start == end:
                    continue  # an expression with a look-around can find nothing at a place
                put = found.expand(self.by)
                pieces += [text[done:start], put]
                cuts.append(Cut(row, start, end, found.group(), put or None))
                done = end
            if pieces:
                changed = "".join([*pieces, text[done:]])
                texts[row] = changed if changed.strip() else ""
        table = with_texts(batch.table, texts)
        return Edited(table, losses_of(batch.table, table), cuts_table(cuts))

    def code(self) -> list[str]:
        """What writes the texts."""
        return ["gristmill.stages.edits"]
