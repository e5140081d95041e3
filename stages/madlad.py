"""MADLAD-400's rules for documents (Kudugunta et al. 2023, arXiv:2309.04662)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import NonNegativeInt

from gristmill.stages.filter import Filter, Rule
from gristmill.stages.gopher_quality import SIGNAL_CODE, Fraction
from gristmill.stages.list_settings import WithLists


class Madlad(WithLists, Filter):
    """Drop documents with few sentences or with many questionable ones, as the clean part of MADLAD-400 does.

    A sentence is questionable if it has at least 12 tokens and more than half of them begin with a capital, if it has fewer than
    20 or more than 500 characters, if more than a fifth of its characters are digits or among {}+/()>, or if it is cursed. The
    published rule has one more reason, a language that is not the document's; it needs a language for each sentence and is not
    among these. The bounds on length do not suit scripts without spaces, as the authors say.
    """

    kind: ClassVar[str] = "madlad"
    list_settings: ClassVar[tuple[str, ...]] = ("cursed",)
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)

    # Page rules and their bound: [text: the data set's card, "Filtering"]. Sentence rules, their bounds and the share of a fifth:
    # [code: allenai/datamap-rs src/map_fxn.rs at f771794, after section 2.3 of the paper]; it parts sentences at [.!?]+ before
    # white space, takes words of UAX #29 as tokens, counts bytes for characters, and OLMo 3 drops the share of a fifth itself.
    min_sentences: NonNegativeInt | None = 5
    """Fewest sentences a kept document has."""

    max_questionable_sentences: Fraction | None = 0.2
    """Greatest share of questionable sentences."""

    cursed: str | None = None
    """File of regular expressions (RE2), one a line, that match cursed sentences; MADLAD-400 publishes its own."""

    drop_lorem_ipsum: bool = True
    """Drop documents that say lorem ipsum."""

    drop_curly_brackets: bool = True
    """Drop documents with a curly bracket."""

    drop_policies: bool = True
    """Drop documents that speak of terms of use, a privacy or cookie policy, or of using cookies."""

    def rules(self) -> Iterator[Rule]:
        """The rules on pages, which MADLAD-400 takes from C4, and then those on sentences."""
        yield Rule("lorem_ipsum", "lorem_ipsum_count", at_most=0 if self.drop_lorem_ipsum else None)
        yield Rule("policy", "has_policy_phrase", at_most=0 if self.drop_policies else None)
        yield Rule("curly_bracket", "curly_bracket_count", at_most=0 if self.drop_curly_brackets else None)
        yield Rule("too_few_sentences", "sentence_count", at_least=self.min_sentences)
        yield Rule(
            "questionable_sentences",
            "questionable_sentence_fraction",
            at_most=self.max_questionable_sentences,
            switches={"path": self.cursed or ""},
        )

    def set_up(self) -> None:
        """Read the list.

        Raises:
            StageUnavailable: it cannot be read, or holds no regular expressions.
        """
        from gristmill.stages.stage import StageUnavailable
        from gristmill.stages.word_lists import words_in_file

        for path in self.files():
            import pyarrow as pa
            import pyarrow.compute as pc

            for pattern in sorted(words_in_file(path)):
                try:
                    pc.match_substring_regex(pa.array([""]), pattern=pattern)
                except pa.ArrowInvalid as error:
                    raise StageUnavailable(f"{path}: {pattern} is no regular expression of RE2: {error}") from error

    def files(self) -> list[str]:
        """The list of the settings.

        Raises:
            StageUnavailable: it cannot be read.
        """
        from gristmill.stages.word_lists import words_in_file

        if not self.cursed:
            return []
        words_in_file(self.cursed)
        return [self.cursed]

    def code(self) -> list[str]:
        """The signals and what they are made of."""
        modules = (
            "signals.madlad",
            "signals.c4",
            "signals.sentences",
            "madlad_kernels",
            "c4_phrase_kernels",
            "sentences",
            "sentence_spans",
        )
        tables = ("line_classes", "character_classes", "word_lists")
        return [*SIGNAL_CODE, *(f"gristmill.stages.{module}" for module in modules + tables)]
