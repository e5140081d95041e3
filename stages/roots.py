"""ROOTS's rules for documents (Laurençon et al. 2022, arXiv:2303.03915), with the thresholds of its languages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from gristmill.stages.filter import Filter, Rule
from gristmill.stages.gopher_quality import SIGNAL_CODE, Fraction
from gristmill.stages.list_settings import WithLists
from gristmill.stages.word_choice import settings_of

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch


class Thresholds(NamedTuple):
    """What ROOTS's authors chose for a language; the fields are those of `Roots`."""

    min_words: int
    max_character_repetition: float
    max_word_repetition: float
    max_special_characters: float
    min_stop_words: float
    max_flagged_words: float
    min_language_score: float
    max_words: int = 100_000
    character_ngram: int = 10
    word_ngram: int = 5
    words: str = "whitespace"
    pairs: str = "none"


# [code: bigscience data-preparation 01b_oscar_cleaning_and_filtering/parameters_filtering.py]; Chinese words there are those of a
# SentencePiece model, here those of UAX #29: single ideographs, and so pairs of them
DEFAULT = Thresholds(10, 0.2, 0.3, 0.4, 0.1, 0.1, 0.70)
THRESHOLDS: dict[str, Thresholds] = {
    "ar": Thresholds(20, 0.2, 0.34, 0.3, 0.07, 0.03, 0.81),
    "bn": Thresholds(33, 0.13, 0.21, 0.45, 0.002, 0.001, 0.95),
    "ca": Thresholds(15, 0.2, 0.4, 0.25, 0.25, 0.1, 0.80),
    "en": Thresholds(20, 0.106, 0.19, 0.4, 0.3, 0.01, 0.80),
    "es": Thresholds(16, 0.14, 0.25, 0.34, 0.4, 0.01, 0.80),
    "eu": Thresholds(8, 0.2, 0.4, 0.31, 0.05, 0.1, 0.70),
    "fr": Thresholds(13, 0.14, 0.13, 0.34, 0.27, 0.008, 0.80),
    "hi": Thresholds(38, 0.18, 0.47, 0.45, 0.01, 0.005, 0.90),
    "id": Thresholds(15, 0.15, 0.2, 0.34, 0.15, 0.01, 0.70),
    "pt": Thresholds(19, 0.25, 0.98, 0.35, 0.2, 0.007, 0.60),
    "ur": Thresholds(25, 0.19, 0.5, 0.25, 0.01, 0.025, 0.90, word_ngram=7),
    "vi": Thresholds(30, 0.15, 0.2, 0.34, 0.08, 0.005, 0.90, pairs="spaced"),
    "zh": Thresholds(
        1, 0.2, 0.96, 0.3, 0.1691, 0.001, 0.85, max_words=1_000_000, character_ngram=3, words="uax29", pairs="joined"
    ),
}
"""Thresholds by language code; every other language has `DEFAULT`."""


class Roots(WithLists, Filter):
    """Drop documents of a language by ROOTS's rules on repetition, special characters, stop words and flagged words.

    Settings that are not given are those of ROOTS for the language; the values shown are those for English. ROOTS chose its
    thresholds for its own lists of stop words; the lists of jusText, taken here, are others. ROOTS's rule on perplexity needs its
    language models and is not here, and its removal of words with URLs and of very long words changes texts and is not done.
    """

    kind: ClassVar[str] = "roots"
    list_settings: ClassVar[tuple[str, ...]] = ("stop_words", "flagged_words")
    libraries: ClassVar[tuple[str, ...]] = ("justext",)

    language: str = "en"
    """Code of the language whose thresholds and stop words are taken."""

    other_languages: Literal["pass", "judge"] = "pass"
    """What becomes of documents whose column `language` names another language: they pass unjudged, or are judged too."""

    words: Literal["whitespace", "uax29", "segmented", "segmented_by_rules"] = "whitespace"
    """Words are what stands between whitespace, or those of Unicode's UAX #29 (ROOTS's way for Chinese), or for languages without
    spaces those of a dictionary (the extra `words`) or of rules on syllables."""

    pairs: Literal["none", "joined", "spaced"] = "none"
    """Whether two neighbouring words can be one entry of a list: `joined` (zh) or with a blank between them, `spaced` (vi)."""

    min_words: NonNegativeInt | None = 20
    """Fewest words a kept document has."""

    max_words: NonNegativeInt | None = 100_000
    """Most words a kept document has."""

    character_ngram: PositiveInt = 10
    """Characters of the n-grams that character repetition is measured with."""

    max_character_repetition: Fraction | None = 0.106
    """Greatest share of character n-grams that are one of the most frequent ones."""

    word_ngram: PositiveInt = 5
    """Words of the n-grams that word repetition is measured with."""

    max_word_repetition: Fraction | None = 0.19
    """Greatest share of word n-grams that occur more than once."""

    max_special_characters: Fraction | None = 0.4
    """Greatest share of characters that are punctuation, symbols, digits or whitespace."""

    stop_words: str | None = None
    """File of stop words, one a line; without it those of jusText for the language."""

    min_stop_words: Fraction | None = 0.3
    """Least share of words that are stop words; off for a language that has no list."""

    flagged_words: str | None = None
    """File of flagged words, one a line, or a fetched list, `ldnoobw:en`; without it there is no rule on them."""

    max_flagged_words: Fraction | None = 0.01
    """Greatest share of words that are flagged."""

    min_language_score: NonNegativeFloat | None = 0.8
    """Least probability of the language, from the column `language_score`; documents without one pass."""

    @model_validator(mode="before")
    @classmethod
    def _those_of_the_language(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        language = given.get("language", "en")
        thresholds = THRESHOLDS.get(language, DEFAULT) if isinstance(language, str) else DEFAULT
        return {**thresholds._asdict(), **given}

    def rules(self) -> Iterator[Rule]:
        """The rules in ROOTS's order."""
        words = {"words": self.words, "n": self.word_ngram}
        listed = {"words": self.words, "pairs": self.pairs}
        yield Rule("too_few_words", "roots_word_count", at_least=self.min_words, switches=words)
        yield Rule("too_many_words", "roots_word_count", at_most=self.max_words, switches=words)
        yield Rule(
            "character_repetition",
            "character_repetition_ratio",
            at_most=self.max_character_repetition,
            switches={"n": self.character_ngram},
        )
        yield Rule("word_repetition", "word_repetition_ratio", at_most=self.max_word_repetition, switches=words)
        yield Rule("special_characters", "special_character_fraction", at_most=self.max_special_characters)
        if self.stop_words or self._has_stop_words:
            switches = listed | {"language": self.language, "path": self.stop_words or ""}
            yield Rule("too_few_stop_words", "stop_word_fraction", at_least=self.min_stop_words, switches=switches)
        if self.flagged_words:
            yield self._flagged_rule()
        yield Rule("uncertain_language", "language_score", at_least=self.min_language_score)

    @property
    def _has_stop_words(self) -> bool:
        from gristmill.stages.word_lists import JUSTEXT_NAMES

        return self.language in JUSTEXT_NAMES

    def _flagged_rule(self) -> Rule:
        switches = {"words": self.words, "pairs": self.pairs, "path": self.flagged_words or ""}
        return Rule("flagged_words", "flagged_word_fraction", at_most=self.max_flagged_words, switches=switches)

    def possible_rules(self) -> list[Rule]:
        """The rules, and that on flagged words also without a list of them."""
        known = self.all_rules()
        return known if self.flagged_words else [*known, self._flagged_rule()]

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """The signals; NaN for documents in another language where those pass."""
        import numpy as np

        signals = {}
        for rule in self.active_rules():
            if rule.signal == "language_score":
                signals[rule.signal] = _numbers(batch, "language_score")
            else:
                signals[rule.signal] = batch.signal(rule.signal, rule.switch_items)
        if self.other_languages == "judge" or "language" not in batch.table.column_names:
            return signals
        import pyarrow.compute as pc

        other = pc.fill_null(pc.not_equal(batch.table["language"], self.language), False).to_numpy(zero_copy_only=False)
        return {name: np.where(other, np.nan, values) for name, values in signals.items()}

    def set_up(self) -> None:
        """Read the lists.

        Raises:
            StageUnavailable: one cannot be read, or the words need a library that is not there.
        """
        from gristmill.stages.segmentation import require

        self.files()
        require(*settings_of(self, "words"))

    def library_names(self) -> tuple[str, ...]:
        """What finds the words, beside the lists of stop words."""
        from gristmill.stages.segmentation import libraries

        return (*self.libraries, *libraries(*settings_of(self, "words")))

    def files(self) -> list[str]:
        """The lists of the settings.

        Raises:
            StageUnavailable: one cannot be read.
        """
        from gristmill.stages.word_lists import readable

        return readable(self.stop_words, self.flagged_words)

    def code(self) -> list[str]:
        """The signals and what they are made of."""
        modules = ("signals.roots", "roots_kernels", "roots_word_kernels", "character_kernels", "character_classes", "word_lists")
        return [*SIGNAL_CODE, *(f"gristmill.stages.{module}" for module in modules)]


def _numbers(batch: Batch, column: str) -> np.ndarray:
    """A column as float64, NaN where it is null or missing."""
    import numpy as np

    if column not in batch.table.column_names:
        return np.full(len(batch), np.nan)
    return np.asarray(batch.table[column].to_numpy(), dtype=np.float64)
