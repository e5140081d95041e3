"""Lines or paragraphs that a document repeats: menus, captions, headers of pages, cut but for the first of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt

from gristmill.stages.editor import Edited, Editor

if TYPE_CHECKING:
    from gristmill.stages.documents import Batch


class RepeatedLines(Editor):
    """Cut lines that stand in the same document before. Blank lines stay, and white space around a line does not matter."""

    kind: ClassVar[str] = "repeated_lines"

    unit: Literal["line", "paragraph"] = "line"
    """What is compared and cut: lines, or paragraphs, which are parted by blank lines."""

    copies: PositiveInt = 1
    """How many of the same stay: the first ones."""

    min_characters: NonNegativeInt = 10
    """Fewest characters of a line that is cut, so that brackets in code and rules of asterisks stay."""

    def edit(self, batch: Batch) -> Edited:
        """Cut the copies. A document always keeps the first of each line, so none is lost but one that was empty before."""
        from gristmill.stages.cut_kernels import cuts_table, with_text
        from gristmill.stages.edits import losses_of
        from gristmill.stages.repeated_lines_kernels import cut_copies

        features = batch.features
        data, offsets, cuts = cut_copies(features, self.unit == "paragraph", self.copies, self.min_characters)
        table = with_text(batch.table, data, offsets) if len(cuts) else batch.table
        return Edited(table, losses_of(batch.table, table), cuts_table(features.data, cuts))

    def set_up(self) -> None:
        """Load the kernels."""
        from gristmill.stages import repeated_lines_kernels  # noqa: F401

    def code(self) -> list[str]:
        """The kernels and what they are made of."""
        return [
            "gristmill.stages.repeated_lines_kernels",
            "gristmill.stages.cut_kernels",
            "gristmill.stages.edits",
            "gristmill.stages.features",
            "gristmill.stages.text_kernels",
            "gristmill.stages.unicode_tables",
            "gristmill.stages.numba_cache",
        ]
