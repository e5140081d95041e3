"""OSCAR 22.01's rule on long lines and its annotations (Abadji et al. 2022, arXiv:2201.06642)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeInt

from gristmill.stages.filter import Filter, Rule
from gristmill.stages.gopher_quality import SIGNAL_CODE, Fraction

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch

Annotation = Literal["tiny", "short_sentences", "header", "footer", "noisy"]


class Oscar(Filter):
    """Drop documents that are mostly short lines, measure OSCAR's annotations, and drop those that `drop` names.

    OSCAR removes short lines at both ends of a document before it looks at it; here the text stays as it is, and `trimmed` says
    what is looked at. Signals of annotations that drop nothing are measured and stored all the same.
    """

    kind: ClassVar[str] = "oscar"

    drop: tuple[Annotation, ...] = ()
    """Annotations that drop a document; OSCAR itself drops by none."""

    trimmed: bool = True
    """Look at what stands between the first and the last line of more than 100 characters; nothing there drops the document."""

    min_long_line_chars: Fraction | None = 0.6
    """Least share of the characters of all lines that stand in lines of at least 100."""

    min_lines: NonNegativeInt | None = 5
    """`tiny`: fewer lines."""

    max_short_lines: Fraction | None = 0.5
    """`short_sentences`: a greater share of lines of at most 100 characters."""

    max_short_header_lines: Fraction | None = 0.5
    """`header`: in the first fifth of the lines a greater share has fewer than 100 bytes."""

    max_short_footer_lines: Fraction | None = 0.5
    """`footer`: in the last fifth of the lines a greater share has fewer than 100 bytes."""

    max_non_letters: Fraction | None = 0.5
    """`noisy`: a greater share of characters that are neither letter nor mark."""

    def rules(self) -> Iterator[Rule]:
        """The rules that drop, then those of the annotations in `drop`, in OSCAR's order."""
        switches = {"trimmed": self.trimmed}
        if self.trimmed:
            yield Rule("no_long_line", "oscar_line_count", at_least=1, switches=switches)
        yield Rule("too_few_long_lines", "long_line_char_fraction", at_least=self.min_long_line_chars, switches=switches)
        for annotation in self._annotations():
            if annotation.name in self.drop:
                yield annotation

    def _annotations(self) -> Iterator[Rule]:
        switches = {"trimmed": self.trimmed}
        yield Rule("tiny", "oscar_line_count", at_least=self.min_lines, switches=switches)
        yield Rule("short_sentences", "short_line_fraction", at_most=self.max_short_lines, switches=switches)
        yield Rule("header", "header_short_line_fraction", at_most=self.max_short_header_lines, switches=switches)
        yield Rule("footer", "footer_short_line_fraction", at_most=self.max_short_footer_lines, switches=switches)
        yield Rule("noisy", "non_letter_fraction", at_most=self.max_non_letters, switches=switches)

    def possible_rules(self) -> list[Rule]:
        """The rules, and those of the annotations that drop nothing; their signals are measured all the same."""
        known = self.all_rules()
        return [*known, *(rule for rule in self._annotations() if rule.name not in {one.name for one in known})]

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """The signals of the rules and of all annotations that are not off."""
        annotations = [rule for rule in self._annotations() if rule.threshold is not None]
        rules = [*self.active_rules(), *annotations]
        return {rule.signal: batch.signal(rule.signal, rule.switch_items) for rule in rules}

    def code(self) -> list[str]:
        """The signals and what they are made of."""
        modules = ("signals.oscar", "oscar_kernels", "character_kernels", "character_classes")
        return [*SIGNAL_CODE, *(f"gristmill.stages.{module}" for module in modules)]
