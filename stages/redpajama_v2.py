"""RedPajama-V2's natural-language signals, and the rules that its authors publish as an example (arXiv:2411.12372)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import NonNegativeFloat, NonNegativeInt

from gristmill.stages.filter import Filter, Rule
from gristmill.stages.gopher_quality import RPV2_CODE, SIGNAL_CODE, Fraction
from gristmill.stages.list_settings import WithLists

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch


class RedPajamaV2(WithLists, Filter):
    """Measure RedPajama-V2's signals, and drop documents by the rules of its example for Gopher, or by your own.

    Signals that need a language model, a classifier or a list of domains (`ccnet_perplexity`, `rps_doc_ml_*`,
    `rps_doc_*_importance`, `rps_doc_ut1_blacklist`) are not among them. Signals of lines are one number a document.
    """

    kind: ClassVar[str] = "redpajama_v2"
    list_settings: ClassVar[tuple[str, ...]] = ("stop_words", "bad_words")
    libraries: ClassVar[tuple[str, ...]] = ("justext",)

    signals: Literal["all", "rules"] = "all"
    """Measure and store all signals, or only those that a rule needs."""

    language: str = "en"
    """Code of the language whose stop words `rps_doc_stop_word_fraction` counts."""

    stop_words: str | None = None
    """File of stop words, one a line; without it those of jusText for the language."""

    bad_words: str | None = None
    """File of words and phrases for `rps_doc_ldnoobw_words`, one a line, or `ldnoobw:en`; without it that signal is 0."""

    # [docs: the data set's card, "Applying Filtering Rules"]
    min_words: NonNegativeInt | None = 50
    """Fewest normalised words a kept document has."""

    max_words: NonNegativeInt | None = 100_000
    """Most normalised words a kept document has (10,000 in the announcement of the data set)."""

    min_word_length: NonNegativeFloat | None = 3
    """Least mean length of the normalised words."""

    max_word_length: NonNegativeFloat | None = 10
    """Greatest mean length of the normalised words."""

    max_symbols_per_word: NonNegativeFloat | None = 0.1
    """Most hash signs and ellipses a raw word."""

    max_bullet_lines: Fraction | None = 0.9
    """Greatest share of lines that begin with a bullet point."""

    max_top_2gram_chars: Fraction | None = 0.2
    """Greatest share of characters in the most frequent 2-gram."""

    min_sentences: NonNegativeInt | None = None
    """Fewest sentences; off in the example."""

    min_unique_words: Fraction | None = None
    """Least share of different words; off in the example."""

    max_words_without_letters: Fraction | None = None
    """Greatest share of raw words without a letter from a to z; off in the example."""

    max_curly_brackets: Fraction | None = None
    """Greatest share of characters that are curly brackets; off in the example."""

    max_lorem_ipsum: Fraction | None = None
    """Most occurrences of lorem ipsum a character; off in the example."""

    max_bad_words: NonNegativeInt | None = None
    """Most words and phrases from the list `bad_words`; off in the example."""

    def rules(self) -> Iterator[Rule]:
        """The rules of the example in its order, then the others."""
        yield Rule("too_few_words", "rps_doc_word_count", at_least=self.min_words)
        yield Rule("too_many_words", "rps_doc_word_count", at_most=self.max_words)
        yield Rule("short_words", "rps_doc_mean_word_length", at_least=self.min_word_length)
        yield Rule("long_words", "rps_doc_mean_word_length", at_most=self.max_word_length)
        yield Rule("too_many_symbols", "rps_doc_symbol_to_word_ratio", at_most=self.max_symbols_per_word)
        yield Rule("too_many_bullet_lines", "rps_lines_start_with_bulletpoint", at_most=self.max_bullet_lines)
        yield Rule("top_2gram", "rps_doc_frac_chars_top_2gram", at_most=self.max_top_2gram_chars)
        yield Rule("too_few_sentences", "rps_doc_num_sentences", at_least=self.min_sentences)
        yield Rule("too_few_different_words", "rps_doc_frac_unique_words", at_least=self.min_unique_words)
        yield Rule("too_few_alphabetic_words", "rps_doc_frac_no_alph_words", at_most=self.max_words_without_letters)
        yield Rule("curly_brackets", "rps_doc_curly_bracket", at_most=self.max_curly_brackets)
        yield Rule("lorem_ipsum", "rps_doc_lorem_ipsum", at_most=self.max_lorem_ipsum)
        yield Rule("bad_words", "rps_doc_ldnoobw_words", at_most=self.max_bad_words)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """All signals, or those of the rules."""
        from gristmill.stages.signals import MODULES

        if self.signals == "all":
            names = [name for name, module in MODULES.items() if module in RPV2_CODE]
        else:
            names = [rule.signal for rule in self.active_rules()]
        switches: dict[str, dict[str, Any]] = {
            "rps_doc_stop_word_fraction": {"language": self.language, "path": self.stop_words or ""},
            "rps_doc_ldnoobw_words": {"path": self.bad_words or ""},
        }
        return {name: batch.signal(name, tuple(sorted(switches.get(name, {}).items()))) for name in names}

    def set_up(self) -> None:
        """Read the lists.

        Raises:
            StageUnavailable: one cannot be read.
        """
        self.files()

    def files(self) -> list[str]:
        """The lists of the settings.

        Raises:
            StageUnavailable: one cannot be read.
        """
        from gristmill.stages.word_lists import readable

        return readable(self.stop_words, self.bad_words)

    def code(self) -> list[str]:
        """The signals and what they are made of."""
        return [*SIGNAL_CODE, *RPV2_CODE]
