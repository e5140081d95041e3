"""C4's line rules (Raffel et al. 2020, arXiv:1910.10683, section 2.2): which lines of a web page are prose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeInt

from gristmill.stages.editor import Edited, Editor, Loss
from gristmill.stages.gopher_quality import SIGNAL_CODE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.documents import Batch

_RULES = ("too_long_word", "no_end_mark", "too_few_words", "javascript", "policy")


class C4Lines(Editor):
    """Cut lines that are not prose, and citation marks.

    Lines are those of `str.splitlines`; the ones that stay are stripped and joined by newlines. A line is tested for its longest
    word, its end mark, its number of words, javascript and policy phrases, in this order; citation marks are cut after the first
    test. [code: TFDS text/c4_utils.py; datatrove filters/c4_filters.py]

    The page rules of the stage `c4` come after this one. In the published code a line that holds `lorem ipsum` or `{` removes its
    page if it passed the tests before; so such a line stays here, whatever the tests after that say, and `c4` finds it.

    A document left without a line is removed with the rule that cut most of its lines.
    """

    kind: ClassVar[str] = "c4_lines"

    flavour: Literal["tfds", "datatrove", "paper"] = "tfds"
    """`tfds`: the code that made C4. `datatrove`: `'` is an end mark, and words are counted before citation marks are cut.
    `paper`: as `tfds`, but any line with `lorem ipsum` or `{` stays for `c4` to see, since the paper removes any such page."""

    max_word_chars: NonNegativeInt | None = 1000
    """Most characters of a word in a line that stays. [code: TFDS]"""

    citations: bool = True
    """Cut `[1]`, `[]`, `[edit]` and `[citation needed]`. [code: TFDS]"""

    end_mark: bool = True
    """Cut lines that do not end in `.`, `?`, `!` or `"` (`datatrove`: or `'`), and those that end in `...`. [code: TFDS]"""

    min_words: NonNegativeInt | None = 5
    """Fewest words of a line that stays. [code: TFDS; the paper's first version and datatrove have 3]"""

    javascript: bool = True
    """Cut lines that hold `javascript`, in any case. [code: TFDS]"""

    policy: bool = True
    """Cut lines that hold `terms of use`, `privacy policy`, `cookie policy`, `uses cookies`, `use of cookies` or `use cookies`,
    in any case. [code: TFDS]"""

    leave_page_marks: bool = True
    """Leave lines for the page rules of `c4`; false where a recipe does not have these rules."""

    def edit(self, batch: Batch) -> Edited:
        """Cut the lines; a document without text then is a loss.

        The loss's rule is the one that cut most lines, of those with as many the first; its value is that number of lines, and
        its detail tells those of all rules. A document that was empty before has the rule `empty`, one that had nothing but
        citation marks `citations`. Line boundaries other than newlines become newlines, without a row among the cuts.
        """
        from gristmill.stages.c4_kernels import keep_lines
        from gristmill.stages.cut_kernels import cuts_table, with_text
        from gristmill.stages.unicode_tables import tables

        features = batch.features
        longest = -1 if self.max_word_chars is None else self.max_word_chars
        rules = self.kernel_rules()
        data, offsets, fates, cuts = keep_lines(
            features.data, features.offsets, tables().flags, longest, self.min_words or 0, rules
        )
        losses = list(_losses(offsets, fates))
        return Edited(with_text(batch.table, data, offsets), losses, cuts_table(features.data, cuts))

    def kernel_rules(self) -> int:
        """The rules that are on, as the kernels number them."""
        from gristmill.stages import c4_kernels as kernels

        on = {
            kernels.CITATIONS: self.citations,
            kernels.END_MARK: self.end_mark,
            kernels.JAVASCRIPT: self.javascript,
            kernels.POLICY: self.policy,
            kernels.SINGLE_QUOTE: self.flavour == "datatrove",
            kernels.WORDS_BEFORE_CITATIONS: self.flavour == "datatrove",
            kernels.LEAVE_SURVIVORS: self.leave_page_marks,
            kernels.LEAVE_ANYWHERE: self.leave_page_marks and self.flavour == "paper",
        }
        return sum(rule for rule, is_on in on.items() if is_on)

    def set_up(self) -> None:
        """Load the kernels."""
        from gristmill.stages import c4_kernels  # noqa: F401

    def code(self) -> list[str]:
        """The kernels and what they are made of."""
        modules = ("c4_kernels", "c4_phrase_kernels", "cut_kernels")
        return [*SIGNAL_CODE, *(f"gristmill.stages.{module}" for module in modules)]


def _losses(offsets: NDArray[np.int64], fates: NDArray[np.int64]) -> Iterator[Loss]:
    """The documents without text, and what cut most of their lines."""
    import numpy as np

    for row in np.flatnonzero(offsets[1:] == offsets[:-1]).tolist():
        lines = dict(zip(_RULES, fates[row, 1 : len(_RULES) + 1].tolist(), strict=True))
        worst = max(lines, key=lambda rule: lines[rule])
        if lines[worst]:
            detail = ", ".join(f"{rule} {count}" for rule, count in lines.items() if count)
            yield Loss(row, worst, float(lines[worst]), detail=f"lines cut: {detail}")
        else:
            yield Loss(row, "citations" if fates[row, 0] else "empty")
