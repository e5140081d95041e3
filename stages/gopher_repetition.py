"""Gopher's rules on repetition (Rae et al. 2021, arXiv:2112.11446, app. A.1, table A1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

from pydantic import model_validator

from gristmill.stages.filter import Filter, Rule
from gristmill.stages.gopher_quality import RPV2_CODE, SIGNAL_CODE, Flavour, Fraction
from gristmill.stages.word_choice import Words, settings_of, with_words

# What each implementation does (switches that are not named are DCLM's, the signals' own defaults).
# [code: dclm filters/content_filters.py; datatrove filters/gopher_repetition_filter.py at HEAD and v0.2.0;
# dolma taggers/gopher.py]
_LINES: dict[Flavour, dict[str, Any]] = {
    "dclm": {},
    "paper": {},
    "datatrove": {"lines": "newline_runs", "copies": "extra"},
    "datatrove_2024_04": {"lines": "splitlines", "copies": "extra"},
    "dolma": {"lines": "all_lines"},
}
_DATATROVE_PARAGRAPHS = {"paragraphs": "blank_line_runs", "copies": "extra"}
_PARAGRAPHS: dict[Flavour, dict[str, Any]] = {
    "dclm": {},
    "paper": {},
    "datatrove": _DATATROVE_PARAGRAPHS,
    "datatrove_2024_04": _DATATROVE_PARAGRAPHS,
}
_SHARE_OF: dict[Flavour, dict[str, Any]] = {
    "datatrove": {"of": "text"},
    "datatrove_2024_04": {"of": "text"},
    "dolma": {"of": "words"},
}
_NGRAMS: dict[Flavour, dict[str, Any]] = {
    "datatrove": {"words": "uax29", "counting": "greedy"},
    "datatrove_2024_04": {"words": "uax29", "counting": "greedy"},
    "dolma": {"words": "whitespace", "counting": "occurrences"},
}


class GopherRepetition(Filter):
    """Drop documents that repeat themselves.

    The flavours take the words that their published code takes, but for those of spaCy (`datatrove`) and NLTK
    (`datatrove_2024_04`): these take words by Unicode's UAX #29. `dolma` has no rules on paragraphs, `rpv2` (on
    RedPajama-V2's signals) none on lines either. An empty text has fractions of 0; the rule on the number of words drops it.
    """

    kind: ClassVar[str] = "gopher_repetition"

    flavour: Flavour = "dclm"
    """Whose way of counting: `paper` is the paper's wording, and `dclm` where the wording is silent."""

    words: Words | None = None
    """Words instead of the flavour's. `segmented` for languages without spaces, by a dictionary (the extra `words`); other text
    has the words of `uax29` then. `segmented_by_rules`: by syllables, without a library."""

    max_duplicate_lines: Fraction | None = 0.30
    """Greatest share of lines that are copies of another."""

    max_duplicate_paragraphs: Fraction | None = 0.30
    """Greatest share of paragraphs that are copies of another."""

    max_duplicate_line_chars: Fraction | None = 0.20
    """Greatest share of characters in lines that are copies of another."""

    max_duplicate_paragraph_chars: Fraction | None = 0.20
    """Greatest share of characters in paragraphs that are copies of another."""

    max_top_2gram_chars: Fraction | None = 0.20
    """Greatest share of characters in the most frequent word 2-gram."""

    max_top_3gram_chars: Fraction | None = 0.18
    """Greatest share of characters in the most frequent word 3-gram."""

    max_top_4gram_chars: Fraction | None = 0.16
    """Greatest share of characters in the most frequent word 4-gram."""

    max_duplicate_5gram_chars: Fraction | None = 0.15
    """Greatest share of characters in word 5-grams that occur more than once."""

    max_duplicate_6gram_chars: Fraction | None = 0.14
    """Greatest share of characters in word 6-grams that occur more than once."""

    max_duplicate_7gram_chars: Fraction | None = 0.13
    """Greatest share of characters in word 7-grams that occur more than once."""

    max_duplicate_8gram_chars: Fraction | None = 0.12
    """Greatest share of characters in word 8-grams that occur more than once."""

    max_duplicate_9gram_chars: Fraction | None = 0.11
    """Greatest share of characters in word 9-grams that occur more than once."""

    max_duplicate_10gram_chars: Fraction | None = 0.10
    """Greatest share of characters in word 10-grams that occur more than once."""

    def rules(self) -> Iterator[Rule]:
        """The rules in the flavour's order: lines and paragraphs, then n-grams from short to long."""
        lines, share_of = _LINES.get(self.flavour, {}), _SHARE_OF.get(self.flavour, {})
        line = Rule("duplicate_lines", "duplicate_line_fraction", at_most=self.max_duplicate_lines, switches=lines)
        line_chars = Rule(
            "duplicate_line_chars",
            "duplicate_line_char_fraction",
            at_most=self.max_duplicate_line_chars,
            switches=lines | share_of,
        )
        if self.flavour in _PARAGRAPHS:
            paragraphs = _PARAGRAPHS[self.flavour]
            paragraph = Rule(
                "duplicate_paragraphs",
                "duplicate_paragraph_fraction",
                at_most=self.max_duplicate_paragraphs,
                switches=paragraphs,
            )
            paragraph_chars = Rule(
                "duplicate_paragraph_chars",
                "duplicate_paragraph_char_fraction",
                at_most=self.max_duplicate_paragraph_chars,
                switches=paragraphs | share_of,
            )
            if self.flavour.startswith("datatrove"):
                yield from (paragraph, paragraph_chars, line, line_chars)
            else:
                yield from (line, paragraph, line_chars, paragraph_chars)
        elif self.flavour == "dolma":
            yield from (line, line_chars)
        for sort, lengths in (("top", range(2, 5)), ("duplicate", range(5, 11))):
            for n in lengths:
                bound: float | None = getattr(self, f"max_{sort}_{n}gram_chars")
                switches = with_words(_NGRAMS.get(self.flavour, {}), "uax29_alphanumeric", self.words)
                signal = f"{sort}_{n}gram_char_fraction"
                if self.flavour == "rpv2":
                    signal = f"rps_doc_frac_chars_top_{n}gram" if sort == "top" else f"rps_doc_frac_chars_dupe_{n}grams"
                yield Rule(f"{sort}_{n}gram", signal, at_most=bound, switches=switches)

    @model_validator(mode="after")
    def _words_can_be_chosen(self) -> Self:
        if self.flavour == "rpv2" and self.words is not None:
            raise ValueError("words: flavour rpv2 has words of its own; leave words out, or take another flavour")
        return self

    def set_up(self) -> None:
        """See that the words can be found.

        Raises:
            StageUnavailable: they need a library that is not there.
        """
        from gristmill.stages.segmentation import require

        require(*settings_of(self, "words"))

    def library_names(self) -> tuple[str, ...]:
        """What finds the words."""
        from gristmill.stages.segmentation import libraries

        return (*self.libraries, *libraries(*settings_of(self, "words")))

    def code(self) -> list[str]:
        """The signals and what they are made of."""
        own = [*SIGNAL_CODE, "gristmill.stages.signals.repetition", "gristmill.stages.ngram_kernels"]
        return [*own, *RPV2_CODE] if self.flavour == "rpv2" else own
