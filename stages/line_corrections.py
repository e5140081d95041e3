"""RefinedWeb's line-wise corrections (Penedo et al. 2023, arXiv:2306.01116, app. G.2), as DCLM reproduced them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, NonNegativeInt

from gristmill.stages.editor import Edited, Editor, Loss
from gristmill.stages.gopher_quality import SIGNAL_CODE, Fraction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.documents import Batch

_RULES = ("upper_case", "numeric", "counter", "too_few_words", "blank_after_edit")

Phrases = tuple[Annotated[str, Field(min_length=1)], ...]


class LineCorrections(Editor):
    """Cut lines that are buttons, counters and headings, and drop documents that lose too much by it.

    The paper names the kinds of lines and three examples of phrases; thresholds and order are DCLM's reproduction [code: dclm
    baselines_configs/refinedweb.yaml, baselines/mappers/modifiers.py]. Two of its habits are not followed: there the dots of
    `Read more...` stand for any characters, and `ſ` matches `s`. Lines end at newlines; empty lines stay between others. A
    document left without text is removed with the rule that cut most of its lines.
    """

    kind: ClassVar[str] = "line_corrections"

    max_upper_case: Fraction | None = 0.5
    """Greatest share of upper-case characters in a line, of all its characters. [code: dclm; "mainly" in the paper]"""

    max_digits: Fraction | None = 0.999999
    """Greatest share of digits in a line: one of nothing but digits goes. [code: dclm]"""

    counters: bool = True
    """Cut lines that are a number and what it counts on social media, `3 likes`. [code: dclm]"""

    min_words: NonNegativeInt | None = 2
    """Fewest words of a line that is not empty. [code: dclm; paper: a line of one word goes]"""

    anywhere: Phrases = ("items in cart",)
    """Phrases cut out of short lines, in any case, with one white space character before. [code: dclm]"""

    at_end: Phrases = ("Read more...",)
    """Phrases cut from the end of short lines, with one white space character before. [code: dclm]"""

    at_start: Phrases = ("Sign-in",)
    """Phrases cut from the beginning of short lines, with one white space character after. [code: dclm]"""

    max_edit_words: NonNegativeInt | None = 10
    """Most words of a line from which phrases are cut; a line that they leave blank goes. [code: dclm; paper app. G.2]"""

    max_removed_words: Fraction | None = 0.05
    """Greatest share of its words that a kept document loses; words are fastText's that begin with a letter or digit. [code:
    dclm; paper app. G.2]"""

    def edit(self, batch: Batch) -> Edited:
        """Cut the lines and phrases; documents without text, without words or with too few of them left are losses.

        The rule of a document without text is the one that cut most lines, of those with as many the first, its value that number
        and its detail those of all rules; `empty` where there was no text before. `no_words`: there were no words before, so that
        no share is lost. `too_many_words_removed`: value and threshold are shares.
        """
        from gristmill.stages.cut_kernels import cuts_table, with_text
        from gristmill.stages.line_classes import line_classes
        from gristmill.stages.line_correction_kernels import correct_lines
        from gristmill.stages.rare_parts import rare_parts
        from gristmill.stages.unicode_tables import tables

        features = batch.features
        points, phrase_offsets, sets = _packed_phrases(self.anywhere, self.at_end, self.at_start)
        data, offsets, gone, cuts = correct_lines(
            features.data,
            features.offsets,
            self._corrections(),
            1.0 if self.max_upper_case is None else self.max_upper_case,
            1.0 if self.max_digits is None else self.max_digits,
            self.min_words or 0,
            -1 if self.max_edit_words is None else self.max_edit_words,
            points,
            phrase_offsets,
            sets,
            rare_parts(self.anywhere + self.at_end + self.at_start),
            tables().flags,
            tables().lower,
            line_classes(),
        )
        before = batch.signal("word_count")
        losses = self._losses(before, data, offsets, gone)
        return Edited(with_text(batch.table, data, offsets), losses, cuts_table(features.data, cuts))

    def set_up(self) -> None:
        """Load the kernels."""
        from gristmill.stages import line_correction_kernels  # noqa: F401

    def code(self) -> list[str]:
        """The kernels and what they are made of."""
        modules = ("line_correction_kernels", "phrase_kernels", "rare_parts", "cut_kernels", "line_classes")
        return [*SIGNAL_CODE, *(f"gristmill.stages.{module}" for module in modules)]

    def _corrections(self) -> NDArray[np.int64]:
        """Numbers of the corrections that are on, in their order."""
        import numpy as np

        from gristmill.stages import line_correction_kernels as kernels

        on = [self.max_upper_case is not None, self.max_digits is not None, self.counters, self.min_words is not None]
        on += [bool(phrases) for phrases in (self.anywhere, self.at_end, self.at_start)]
        first = [kernels.UPPER_CASE, kernels.NUMERIC, kernels.COUNTER, kernels.FEW_WORDS]
        numbers = first + [kernels.BLANK_AFTER_EDIT + where for where in range(3)]
        return np.array([number for number, is_on in zip(numbers, on, strict=True) if is_on], dtype=np.int64)

    def _losses(
        self, before: NDArray[np.float64], data: NDArray[np.uint8], offsets: NDArray[np.int64], gone: NDArray[np.int64]
    ) -> list[Loss]:
        import numpy as np

        from gristmill.stages.signals.fractions import ratio
        from gristmill.stages.unicode_tables import tables
        from gristmill.stages.word_kernels import fasttext_word_counts

        after = fasttext_word_counts(data, offsets, tables().flags)
        words = before.astype(np.int64)
        removed = ratio(words - after, words)
        empty = offsets[1:] == offsets[:-1]
        limit = self.max_removed_words
        lost = empty if limit is None else empty | (removed > limit) | (words == 0)
        losses = []
        for row in np.flatnonzero(lost).tolist():
            if empty[row]:
                losses.append(_emptied(row, gone[row].tolist()))
            elif words[row] == 0:
                losses.append(Loss(row, "no_words", 0.0))
            else:
                losses.append(Loss(row, "too_many_words_removed", float(removed[row]), limit))
        return losses


def _emptied(row: int, gone: list[int]) -> Loss:
    """The loss of a document without text, by the lines that went for each reason."""
    lines = dict(zip(_RULES, gone, strict=True))
    worst = max(lines, key=lambda rule: lines[rule])
    if not lines[worst]:
        return Loss(row, "empty")
    detail = ", ".join(f"{rule} {count}" for rule, count in lines.items() if count)
    return Loss(row, worst, float(lines[worst]), detail=f"lines cut: {detail}")


def _packed_phrases(*kinds: tuple[str, ...]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Code points of all phrases in lower case, where each begins, and where those of each kind begin among them."""
    import numpy as np

    from gristmill.stages.unicode_tables import tables

    phrases = [[int(tables().lower[ord(character)]) for character in phrase] for kind in kinds for phrase in kind]
    points = np.array([point for phrase in phrases for point in phrase], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, phrases)]).astype(np.int64)
    return points, offsets, np.cumsum([0, *map(len, kinds)]).astype(np.int64)
