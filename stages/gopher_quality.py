"""Gopher's document rules for web text (Rae et al. 2021, arXiv:2112.11446, app. A.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, model_validator

from gristmill.stages.filter import Filter, Rule
from gristmill.stages.word_choice import Words, settings_of, with_words

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch

Fraction = Annotated[float, Field(ge=0, le=1)]

Flavour = Literal["dclm", "paper", "datatrove", "datatrove_2024_04", "dolma", "rpv2"]

# What each implementation does, by signal (switches that are not named are DCLM's, the signals' own defaults).
# [code: dclm baselines/mappers; datatrove filters/gopher_quality_filter.py at HEAD and v0.2.0; dolma taggers/gopher.py]
_UAX29 = {"words": "uax29"}
_WORDS_ONLY = {"words": "uax29", "punctuation": "ignored"}
_DATATROVE_LINES = {"lines": "splitlines", "bullets": "•-"}
_DATATROVE: dict[str, dict[str, Any]] = {
    "word_count": _WORDS_ONLY,
    "mean_word_length": _WORDS_ONLY,
    "hashes_per_word": _UAX29,
    "ellipses_per_word": {**_UAX29, "spaced": False},
    "bullet_line_fraction": _DATATROVE_LINES,
    "ellipsis_line_fraction": {**_DATATROVE_LINES, "ellipses": "plain"},
    "words_with_a_letter_fraction": _UAX29,
    "stop_word_count": {**_UAX29, "any_case": False, "distinct": True},
}
_DOLMA_LINES = {"lines": "all_lines", "stripped": False, "bullets": "*-"}
_SWITCHES: dict[Flavour, dict[str, dict[str, Any]]] = {
    "dclm": {},
    "paper": {"stop_word_count": {"distinct": True}},
    "datatrove": _DATATROVE,
    "datatrove_2024_04": {**_DATATROVE, "stop_word_count": {**_UAX29, "any_case": False}},
    "dolma": {
        "word_count": {"words": "whitespace"},
        "bullet_line_fraction": _DOLMA_LINES,
        "ellipsis_line_fraction": {**_DOLMA_LINES, "ellipses": "character"},
        "stop_word_count": {"any_case": False},
    },
}
_WORDS_OF = {
    **dict.fromkeys(("mean_word_length", "median_word_length", "words_with_a_letter_fraction"), "whitespace"),
    **dict.fromkeys(("symbols_per_word", "hashes_per_word", "ellipses_per_word"), "whitespace"),
    **dict.fromkeys(("words_with_a_symbol_fraction", "stop_word_count"), "whitespace"),
    "word_count": "fasttext",
}
"""Signals made of words, and the words they are made of where no switch says otherwise."""


class GopherQuality(Filter):
    """Drop documents that do not look like prose.

    The flavours take the words that their published code takes, but for those of spaCy (`datatrove`) and NLTK
    (`datatrove_2024_04`): these take words by Unicode's UAX #29, which part most English text alike. `rpv2` holds the bounds
    against RedPajama-V2's signals and has no rule on stop words. For every flavour an empty text has ratios of 0 and is dropped
    by the fewest words.
    """

    kind: ClassVar[str] = "gopher_quality"

    flavour: Flavour = "dclm"
    """Whose way of counting: `paper` is the paper's wording, and `dclm` where the wording is silent."""

    words: Words | None = None
    """Words instead of the flavour's. `segmented` for languages without spaces, by a dictionary (the extra `words`); other text
    has the words of `uax29` then. `segmented_by_rules`: by syllables, without a library."""

    min_words: NonNegativeInt | None = 50
    """Fewest words a kept document has."""

    max_words: NonNegativeInt | None = 100_000
    """Most words a kept document has."""

    min_word_length: NonNegativeFloat | None = 3
    """Least mean length of the words (`dolma`: median), in characters."""

    max_word_length: NonNegativeFloat | None = 10
    """Greatest mean length of the words (`dolma`: median), in characters."""

    max_symbols_per_word: NonNegativeFloat | None = 0.1
    """Most hash signs and ellipses a word (`paper`, `datatrove`: of either; `dolma`: share of words with one)."""

    max_bullet_lines: Fraction | None = 0.9
    """Greatest share of lines that begin with a bullet."""

    max_ellipsis_lines: Fraction | None = 0.3
    """Greatest share of lines that end in an ellipsis."""

    min_words_with_a_letter: Fraction | None = 0.8
    """Least share of words that hold an alphabetic character."""

    min_stop_words: NonNegativeInt | None = 2
    """Fewest of the words the, be, to, of, and, that, have, with (`paper`, `datatrove`: different ones)."""

    stop_words: str | None = None
    """Other stop words: the code of a language (`de`; lists of stopwords-iso, which is in the extra `words`, or else of jusText),
    `document` for the language of each document (one without a list passes), or a file, one word a line. They count in any case.
    Languages without spaces need `words`, too."""

    def rules(self) -> Iterator[Rule]:
        """The rules in the order of the paper, which is that of all the flavours."""

        def switches(signal: str) -> dict[str, Any]:
            found = _SWITCHES[self.flavour].get(signal, {})
            if signal == "stop_word_count" and self.stop_words is not None:
                found = {
                    "words": found.get("words", "whitespace"),
                    "distinct": found.get("distinct", False),
                    "listed": self.stop_words,
                }
            return dict(found) if signal not in _WORDS_OF else with_words(found, _WORDS_OF[signal], self.words)

        def at_most(name: str, signal: str, bound: float | None) -> Rule:
            return Rule(name, signal, at_most=bound, switches=switches(signal))

        def at_least(name: str, signal: str, bound: float | None) -> Rule:
            return Rule(name, signal, at_least=bound, switches=switches(signal))

        if self.flavour == "rpv2":
            yield from self._rules_of_rpv2()
            return
        length = "median_word_length" if self.flavour == "dolma" else "mean_word_length"
        yield at_least("too_few_words", "word_count", self.min_words)
        yield at_most("too_many_words", "word_count", self.max_words)
        yield at_least("short_words", length, self.min_word_length)
        yield at_most("long_words", length, self.max_word_length)
        if self.flavour == "dclm":
            yield at_most("too_many_symbols", "symbols_per_word", self.max_symbols_per_word)
        elif self.flavour == "dolma":
            yield at_most("too_many_symbols", "words_with_a_symbol_fraction", self.max_symbols_per_word)
        else:
            yield at_most("too_many_hashes", "hashes_per_word", self.max_symbols_per_word)
            yield at_most("too_many_ellipses", "ellipses_per_word", self.max_symbols_per_word)
        yield at_most("too_many_bullet_lines", "bullet_line_fraction", self.max_bullet_lines)
        yield at_most("too_many_ellipsis_lines", "ellipsis_line_fraction", self.max_ellipsis_lines)
        yield at_least("too_few_alphabetic_words", "words_with_a_letter_fraction", self.min_words_with_a_letter)
        yield at_least("too_few_stop_words", "stop_word_count", self.min_stop_words)

    def _rules_of_rpv2(self) -> Iterator[Rule]:
        """The same bounds on RedPajama-V2's signals; its stop words are a share without a published bound, and so no rule."""
        yield Rule("too_few_words", "rps_doc_word_count", at_least=self.min_words)
        yield Rule("too_many_words", "rps_doc_word_count", at_most=self.max_words)
        yield Rule("short_words", "rps_doc_mean_word_length", at_least=self.min_word_length)
        yield Rule("long_words", "rps_doc_mean_word_length", at_most=self.max_word_length)
        yield Rule("too_many_symbols", "rps_doc_symbol_to_word_ratio", at_most=self.max_symbols_per_word)
        yield Rule("too_many_bullet_lines", "rps_lines_start_with_bulletpoint", at_most=self.max_bullet_lines)
        yield Rule("too_many_ellipsis_lines", "rps_doc_frac_lines_end_with_ellipsis", at_most=self.max_ellipsis_lines)
        # rounded like the signal, or 0.8 with a letter and 0.2 without would not meet at the bound
        without = None if self.min_words_with_a_letter is None else round(1 - self.min_words_with_a_letter, 8)
        yield Rule("too_few_alphabetic_words", "rps_doc_frac_no_alph_words", at_most=without)

    @model_validator(mode="after")
    def _words_can_be_chosen(self) -> Self:
        for name in ("words", "stop_words"):
            if self.flavour == "rpv2" and getattr(self, name) is not None:
                raise ValueError(f"{name}: flavour rpv2 has words of its own; leave {name} out, or take another flavour")
        return self

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """The signals of the catalogue; stop words by the list of each document's language where the setting says so."""
        values = {}
        for rule in self.active_rules():
            if rule.switches.get("listed") == "document":
                from gristmill.stages.stop_words import counts_by_language

                languages = batch.table["language"].to_pylist()
                words, distinct = rule.switches["words"], rule.switches["distinct"]
                values[rule.signal] = counts_by_language(batch.features, languages, words, distinct)
            else:
                values[rule.signal] = batch.signal(rule.signal, rule.switch_items)
        return values

    def files(self) -> list[str]:
        """The list of stop words.

        Raises:
            StageUnavailable: it cannot be read, or there is none for the language.
        """
        from gristmill.stages.stop_words import check

        return [file for setting in dict.fromkeys(settings_of(self, "stop_words")) for file in check(setting)]

    def set_up(self) -> None:
        """See that the words can be found, and the lists read.

        Raises:
            StageUnavailable: they need a library that is not there, or a list cannot be read.
        """
        from gristmill.stages.segmentation import require

        require(*settings_of(self, "words"))
        self.files()

    def library_names(self) -> tuple[str, ...]:
        """What finds the words, and what carries lists of stop words."""
        from gristmill.stages.segmentation import libraries

        lists = ("justext", "stopwordsiso") if any(settings_of(self, "stop_words")) else ()
        return (*self.libraries, *lists, *libraries(*settings_of(self, "words")))

    def code(self) -> list[str]:
        """The signals and what they are made of."""
        own = [*SIGNAL_CODE, "gristmill.stages.signals.symbols", "gristmill.stages.signals.lines"]
        return [*own, *RPV2_CODE] if self.flavour == "rpv2" else own


SIGNAL_CODE = (
    "gristmill.stages.signals",
    "gristmill.stages.signals.fractions",
    "gristmill.stages.signals.words",
    "gristmill.stages.features",
    "gristmill.stages.words",
    "gristmill.stages.unicode_tables",
    "gristmill.stages.uax29_classes",
    "gristmill.stages.uax29_kernel",
    "gristmill.stages.text_kernels",
    "gristmill.stages.byte_masks",
    "gristmill.stages.counting_kernels",
    "gristmill.stages.word_marks",
    "gristmill.stages.word_kernels",
    "gristmill.stages.line_kernels",
    "gristmill.stages.numba_cache",
)
"""Modules whose source decides what the signals of both Gopher filters are."""

RPV2_CODE = (
    "gristmill.stages.signals.redpajama",
    "gristmill.stages.signals.redpajama_lists",
    "gristmill.stages.redpajama_kernels",
    "gristmill.stages.redpajama_word_kernels",
    "gristmill.stages.character_classes",
    "gristmill.stages.word_lists",
    "gristmill.stages.ngram_kernels",
)
"""Modules whose source decides what RedPajama-V2's signals are, beside `SIGNAL_CODE`."""
