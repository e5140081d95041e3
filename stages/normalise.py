"""Text in one form: misread UTF-8 repaired, Unicode normal form, line ends, control characters, white space."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, ClassVar, Literal

from gristmill.stages.editor import Edited, Editor
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gristmill.stages.documents import Batch
    from gristmill.stages.edits import Cut

LINE_ENDS = "\r\v\f\x85\u2028\u2029"
"""What ends a line beside the newline."""
CONTROLS = (
    "".join(chr(point) for point in [*range(32), *range(0x7F, 0xA0)] if chr(point) not in "\n\t" + LINE_ENDS) + "\xad\ufeff"
)
"""Control characters that are neither line ends nor tabs, soft hyphens, byte order marks."""
BLANKS = "\t " + "".join(chr(point) for point in range(0x80, 0x3001) if unicodedata.category(chr(point)) == "Zs")
"""White space within a line."""

_LINE_END = re.compile(f"\r\n|[{LINE_ENDS}]")
_CONTROL = re.compile(f"[{CONTROLS}]+")
_BLANK, _NO_SPACE = f"[{BLANKS}]", f"[{BLANKS.replace(' ', '')}]"
# Each begins in a place of its own, so that a run of blanks is looked at once
_AT_THE_END = re.compile(rf"{_BLANK}(?:(?<=[^\n{BLANKS}]{_BLANK})|(?<=\n{_BLANK})|(?<=\A{_BLANK})){_BLANK}*(?=\n|\Z)")
_WITHIN = re.compile(rf"{_BLANK}(?<=[^\n{BLANKS}]{_BLANK})(?:{_BLANK}+|(?<={_NO_SPACE}))")
_AT_THE_BEGINNING = re.compile(rf"(?:\A|(?<=\n)){_BLANK}+")
_MANY_NEWLINES = re.compile(r"\n{3,}")


class Normalise(Editor):
    """Write the same characters the same way. Only documents that are not in this form already are touched."""

    kind: ClassVar[str] = "normalise"
    libraries: ClassVar[tuple[str, ...]] = ("ftfy",)

    mojibake: bool = True
    """Repair UTF-8 that was read in another encoding (`â€™` for an apostrophe), line by line, with the library ftfy."""

    form: Literal["NFC", "NFKC"] | None = "NFC"
    """Unicode normal form: NFC composes letters and their marks; NFKC also replaces ligatures, wide letters, superscripts."""

    line_ends: bool = True
    """End every line in a newline, also those that end in a carriage return, a form feed or one of Unicode's separators."""

    control_characters: bool = True
    """Take out control characters, soft hyphens and byte order marks."""

    whitespace: bool = True
    """Make a run of blanks one space and of newlines at most two, and take out those at the ends of lines and of the text."""

    indentation: bool = True
    """Keep the blanks at the beginning of lines, which mean something in code and lists; false takes them out with the others."""

    def edit(self, batch: Batch) -> Edited:
        """Normalise what needs it. What was cut is told line by line; where lines were joined or parted, as one piece."""
        import numpy as np

        from gristmill.stages import normalise_kernels as kernels
        from gristmill.stages.edits import cuts_table, losses_of, text_of, with_texts

        marks = kernels.not_normal(batch.features) & np.uint8(self._wanted())
        texts: dict[int, str] = {}
        cuts: list[Cut] = []
        for row in map(int, np.flatnonzero(marks)):
            before = text_of(batch.features, row)
            after = self._normal(before)
            if after != before:
                texts[row] = after
                cuts += changes(row, before, after)
        table = with_texts(batch.table, texts)
        return Edited(table, losses_of(batch.table, table), cuts_table(cuts))

    def set_up(self) -> None:
        """Load ftfy and the kernels, build the tables.

        Raises:
            StageUnavailable: ftfy is missing.
        """
        from gristmill.stages.normalise_kernels import tables

        tables()
        if self.mojibake:
            try:
                import ftfy  # noqa: F401
            except ImportError as error:
                raise StageUnavailable(
                    f"{self.label}.mojibake needs the library ftfy ({error}); install it with: pip install ftfy"
                ) from error

    def code(self) -> list[str]:
        """The kernels."""
        return [
            "gristmill.stages.normalise_kernels",
            "gristmill.stages.edits",
            "gristmill.stages.features",
            "gristmill.stages.text_kernels",
            "gristmill.stages.numba_cache",
        ]

    def _wanted(self) -> int:
        """What the kernel is asked for."""
        from gristmill.stages import normalise_kernels as kernels

        on = {
            kernels.MOJIBAKE: self.mojibake,
            kernels.NFC: self.form == "NFC",
            kernels.NFKC: self.form == "NFKC",
            kernels.LINE_END: self.line_ends,
            kernels.CONTROL: self.control_characters,
            kernels.SPACE: self.whitespace,
            kernels.INDENTATION: self.whitespace and not self.indentation,
        }
        return sum(mark for mark, is_on in on.items() if is_on)

    def _normal(self, text: str) -> str:
        if self.mojibake and not text.isascii():
            text = "\n".join(map(repaired, text.split("\n")))
        if self.line_ends:
            text = _LINE_END.sub("\n", text)
        if self.control_characters:
            text = _CONTROL.sub("", text)
        if self.form:
            text = unicodedata.normalize(self.form, text)
        return collapsed(text, self.indentation) if self.whitespace else text


def repaired(line: str) -> str:
    """The line with misread UTF-8 read anew, where ftfy takes it for that."""
    if line.isascii():
        return line
    import ftfy

    fixed = ftfy.fix_encoding(line)
    # half of a surrogate pair cannot be stored
    return line if any("\ud800" <= character <= "\udfff" for character in fixed) else fixed


def collapsed(text: str, indentation: bool) -> str:
    """The text with each run of blanks as one space, none at the ends of lines, and no more than one empty line in a row.

    Args:
        text: the text.
        indentation: keep blanks at the beginning of lines.
    """
    text = _WITHIN.sub(" ", _AT_THE_END.sub("", text))
    if not indentation:
        text = _AT_THE_BEGINNING.sub("", text)
    return _MANY_NEWLINES.sub("\n\n", text).strip("\n")


def changes(row: int, before: str, after: str) -> Iterator[Cut]:
    """What of a text was replaced, in each line from the first changed character to the last; texts without it are equal.

    Lines are held against lines where there are as many before and after, else the text as a whole.
    """
    by_line: list[Cut] = []
    if before.count("\n") == after.count("\n"):
        by_line = list(_changes(row, zip(before.split("\n"), after.split("\n"), strict=True)))
    # a line that only grew is another line's text: one was joined and one parted
    if by_line and all(cut.start < cut.end for cut in by_line):
        yield from by_line
    else:
        yield from _changes(row, [(before, after)])


def _changes(row: int, pairs: Iterable[tuple[str, str]]) -> Iterator[Cut]:
    """What was replaced in each of the pieces that stand one character apart."""
    from gristmill.stages.edits import Cut

    start = 0
    for old, new in pairs:
        if old != new:
            first = _common(old, new)
            last = len(old) - _common(old[first:][::-1], new[first:][::-1])
            put = new[first : len(new) - (len(old) - last)]
            yield Cut(row, start + first, start + last, old[first:last], put or None)
        start += len(old) + 1


def _common(one: str, other: str) -> int:
    """Characters that both texts begin with."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least
