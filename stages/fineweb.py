"""FineWeb's own document rules (Penedo et al. 2024, arXiv:2406.17557, section 3.6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import NonNegativeFloat, NonNegativeInt

from gristmill.stages.filter import Filter, Rule
from gristmill.stages.gopher_quality import SIGNAL_CODE, Fraction
from gristmill.stages.word_choice import Words, settings_of, with_words


class FineWeb(Filter):
    """Drop documents that are lists, menus, or repeat their lines.

    The flavours differ in what a line and an end mark is, and in whether a document at the bound itself is kept. `datatrove`
    (since December 2024): lines that are not blank, Unicode's terminal punctuation, the bounds are kept. `datatrove_2024_04` (the
    release of FineWeb): blank lines are lines, the end marks are `.'"!?`, the bounds are dropped, but for that on newlines.
    `paper`: as the release, but a short line is shorter than `short_line_chars`, and there is no rule on newlines; for copied
    lines the paper prints 0.1 in section 3.6 and 0.01 in its appendix E.4. Words are those of UAX #29, where the published code
    takes spaCy's or NLTK's. An empty document has values of 0 and is dropped by the fewest lines.
    """

    kind: ClassVar[str] = "fineweb"

    flavour: Literal["datatrove", "datatrove_2024_04", "paper"] = "datatrove"
    """Whose way of counting."""

    words: Words | None = None
    """Words instead of the flavour's. `segmented` for languages without spaces, by a dictionary (the extra `words`); other text
    has the words of `uax29` then. `segmented_by_rules`: by syllables, without a library."""

    min_lines: NonNegativeInt | None = 1
    """Fewest lines that are not blank. [code: datatrove]"""

    min_ended_lines: Fraction | None = 0.12
    """Least share of lines that end in an end mark. [code: datatrove; paper section 3.6]"""

    max_short_lines: Fraction | None = 0.67
    """Greatest share of short lines. [code: datatrove; paper section 3.6]"""

    short_line_chars: NonNegativeInt = 30
    """Most characters of a short line (`paper`: one fewer). [code: datatrove; paper section 3.6]"""

    max_copied_line_chars: Fraction | None = 0.01
    """Greatest share of characters in copies of earlier lines. [code: datatrove; fineweb-2 has 0.1]"""

    max_newlines_per_word: NonNegativeFloat | None = 0.3
    """Most newlines a word. [code: datatrove]"""

    def rules(self) -> Iterator[Rule]:
        """The rules in the order of datatrove, `empty` first."""
        release = self.flavour != "datatrove"
        chars = self.short_line_chars - 1 if self.flavour == "paper" else self.short_line_chars

        def at_most(name: str, signal: str, bound: float | None, **switches: Any) -> Rule:
            if release:
                return Rule(name, signal, below=bound, switches=switches)
            return Rule(name, signal, at_most=bound, switches=switches)

        yield Rule("empty", "full_line_count", at_least=self.min_lines)
        if release:
            yield Rule("too_few_ended_lines", "ended_line_fraction", above=self.min_ended_lines, switches={"marks": "ascii"})
        else:
            yield Rule("too_few_ended_lines", "ended_line_fraction", at_least=self.min_ended_lines)
        blank = {"blank": "counted"} if release else {}
        yield at_most("too_many_short_lines", "lines_of_few_chars_fraction", self.max_short_lines, chars=chars, **blank)
        yield at_most("copied_lines", "copied_line_char_fraction", self.max_copied_line_chars, chars=chars)
        if self.flavour != "paper":
            yield Rule(
                "too_many_newlines",
                "newlines_per_word",
                at_most=self.max_newlines_per_word,
                switches=with_words({}, "uax29", self.words),
            )

    def set_up(self) -> None:
        """Load the kernels.

        Raises:
            StageUnavailable: the words need a library that is not there.
        """
        from gristmill.stages.segmentation import require
        from gristmill.stages.signals import fineweb  # noqa: F401

        require(*settings_of(self, "words"))

    def library_names(self) -> tuple[str, ...]:
        """What finds the words."""
        from gristmill.stages.segmentation import libraries

        return (*self.libraries, *libraries(*settings_of(self, "words")))

    def code(self) -> list[str]:
        """The signals and what they are made of."""
        modules = ("signals.fineweb", "fineweb_kernels", "line_classes")
        return [*SIGNAL_CODE, *(f"gristmill.stages.{module}" for module in modules)]
