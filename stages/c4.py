"""C4's page rules (Raffel et al. 2020, arXiv:1910.10683, section 2.2), to come after its line rules."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import NonNegativeInt, model_validator

from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.filter import Filter, Rule
from gristmill.stages.gopher_quality import SIGNAL_CODE
from gristmill.stages.list_settings import WithLists
from gristmill.stages.lists import check_name, is_name, path_of
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch

WITHOUT_SPACES = ("ja", "th", "zh")
"""Languages whose words are found inside of others, too. [code: TFDS 3.1, datatrove]"""

# Common parts of innocent words; each would remove more than a tenth of its language. [code: TFDS 3.1, datatrove]
_ALLOWED = {"ja": {"sm", "グロ", "女の子"}, "zh": {"性"}}


class C4(WithLists, Filter):
    """Drop pages by C4's rules on whole pages.

    After `c4_lines`, this is what the published code does: a brace or `lorem ipsum` counts only in lines that passed the tests
    before, sentences are those of lines that stay. Without `c4_lines` the rules see the whole page, as the paper words them. The
    length of a page is bounded before its lines are looked at: put the stage before `c4_lines`, too, with only `max_page_chars`
    (the same stage twice gets a name). Of two rules that a page fails, the code names the one whose line is first, this the first
    in the order below. An empty text has a value of 0 for all signals and fails for its sentences.
    """

    kind: ClassVar[str] = "c4"
    list_settings: ClassVar[tuple[str, ...]] = ("bad_words",)
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)

    max_page_chars: NonNegativeInt | None = 190_000
    """Most characters of the page, its lines stripped and blank ones left out. [code: TFDS]"""

    max_lorem_ipsum: NonNegativeInt | None = 0
    """How often `lorem ipsum` may occur. [code: TFDS]"""

    max_curly_brackets: NonNegativeInt | None = 0
    """How often `{` may occur. [code: TFDS]"""

    min_sentences: NonNegativeInt | None = 3
    """Fewest sentences. [code: TFDS; the paper's first version and datatrove have 5]"""

    min_third_line_chars: NonNegativeInt | None = None
    """Fewest characters of the third longest line, which is mC4's rule in place of that on end marks: 200 there. [code: TFDS]"""

    bad_words: str | None = None
    """File of words that no kept page holds: a word a line (.txt, .txt.gz), or `lang` and `term` a line (.jsonl, .jsonl.gz); or
    C4's own list of a language, `ldnoobw:en` (see `gristmill lists`)."""

    bad_words_language: str | None = "en"
    """Language of all documents; null: that of each document, of which those without words in the file pass."""

    @model_validator(mode="after")
    def _list_by_its_ending(self) -> Self:
        if self.bad_words is None or is_name(self.bad_words):
            return self
        plain = self.bad_words.removesuffix(".gz")
        if not plain.endswith((".txt", ".jsonl")):
            raise ValueError(
                f"bad_words: {self.bad_words}: a list of words ends in .txt, .txt.gz, .jsonl or .jsonl.gz, or is one that can be "
                "fetched, e.g. ldnoobw:en"
            )
        if plain.endswith(".txt") and self.bad_words_language is None:
            raise ValueError(f"bad_words: {self.bad_words} does not tell languages; name one in bad_words_language")
        return self

    def rules(self) -> Iterator[Rule]:
        """The rules in the order of the published code, the words last."""
        yield Rule("too_long_page", "page_character_count", at_most=self.max_page_chars)
        yield Rule("lorem_ipsum", "lorem_ipsum_count", at_most=self.max_lorem_ipsum)
        yield Rule("curly_bracket", "curly_bracket_count", at_most=self.max_curly_brackets)
        yield Rule("too_few_sentences", "sentence_count", at_least=self.min_sentences)
        yield Rule("too_few_long_lines", "third_longest_line_length", at_least=self.min_third_line_chars)
        if self.bad_words is not None:
            yield Rule("bad_word", "has_bad_word", at_most=0)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """The signals of the catalogue, and 1 where a bad word is there, else 0; NaN without words for the language."""
        values = {rule.signal: batch.signal(rule.signal) for rule in self.active_rules() if rule.signal != "has_bad_word"}
        if self.bad_words is not None:
            values["has_bad_word"] = self._has_bad_word(batch.table)
        return values

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """The first bad word of each page."""
        if rule.signal != "has_bad_word":
            return [None] * len(rows)
        chosen = batch.table.take(rows)
        found: list[str | None] = []
        for text, language in zip(chosen["text"].to_pylist(), self._languages(chosen), strict=True):
            terms = self._terms().get(language or "", ())
            match = re.search(_pattern(terms, language in WITHOUT_SPACES, r"\w"), text.lower())
            found.append(match[1] if match else None)
        return found

    def set_up(self) -> None:
        """Read the list and load the kernels.

        Raises:
            StageUnavailable: the list cannot be read, or has no words for the language.
        """
        from gristmill.stages.signals import c4, sentences  # noqa: F401

        self.files()

    def files(self) -> list[str]:
        """The list.

        Raises:
            StageUnavailable: it cannot be read, or has no words for the language.
        """
        if self.bad_words is None:
            return []
        self._terms()
        return [path_of(self.bad_words)]

    def code(self) -> list[str]:
        """The signals and what they are made of."""
        modules = (
            "signals.c4",
            "signals.sentences",
            "c4_phrase_kernels",
            "long_line_kernels",
            "cut_kernels",
            "sentences",
            "line_classes",
        )
        return [*SIGNAL_CODE, *(f"gristmill.stages.{module}" for module in modules)]

    def _terms(self) -> dict[str, tuple[str, ...]]:
        assert self.bad_words is not None
        # a fetched list is one of its language, whatever is asked for
        language = check_name(self.bad_words)[1] if is_name(self.bad_words) else self.bad_words_language
        terms = _read_terms(path_of(self.bad_words), language)
        if self.bad_words_language is not None and not terms.get(self.bad_words_language):
            there = ", ".join(sorted(terms)) or "none"
            raise StageUnavailable(f"{self.bad_words} has no words for {self.bad_words_language}; it has languages: {there}")
        return terms

    def _languages(self, table: pa.Table) -> list[str | None]:
        if self.bad_words_language is not None:
            return [self.bad_words_language] * table.num_rows
        languages: list[str | None] = table["language"].to_pylist()
        return languages

    def _has_bad_word(self, table: pa.Table) -> np.ndarray:
        """1 or 0 for each document, NaN where there are no words for its language."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        values = np.full(table.num_rows, np.nan)
        languages = np.array(self._languages(table), dtype=object)
        for language, terms in self._terms().items():
            rows = np.flatnonzero(languages == language)
            if not len(rows):
                continue
            texts = table["text"].combine_chunks()
            if len(rows) < table.num_rows:
                texts = texts.take(pa.array(rows))
            # RE2 takes as long for one word as for a thousand, and no text becomes a Python string
            found = pc.match_substring_regex(pc.utf8_lower(texts), _pattern(terms, language in WITHOUT_SPACES, r"\pL\pN_"))
            values[rows] = found.to_numpy(zero_copy_only=False)
        return values


def _escaped(term: str) -> str:
    """The term as a pattern; a blank and characters beyond ASCII stand for themselves, since RE2 allows no backslash there."""
    return re.sub(r"([!-/:-@\[-^`{-~])", r"\\\1", term)


@cache
def _pattern(terms: tuple[str, ...], anywhere: bool, word_characters: str) -> str:
    """A pattern for RE2 or Python that finds one of the terms, `anywhere` or else between other characters than these."""
    found = "(" + "|".join(map(_escaped, terms)) + ")"
    return found if anywhere else rf"(?:^|[^{word_characters}]){found}(?:$|[^{word_characters}])"


@cached_by_files
def _read_terms(path: str, language: str | None) -> dict[str, tuple[str, ...]]:
    """The terms of a list by language, lower-cased, without those that are allowed.

    Raises:
        StageUnavailable: the file cannot be read, or a line of it is no object with `lang` and `term`.
    """
    try:
        raw = Path(path).read_bytes()
        lines = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode("utf-8").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise StageUnavailable(f"bad_words: {path} cannot be read: {error}") from error
    terms: dict[str, set[str]] = {}
    for number, line in enumerate(filter(None, map(str.strip, lines)), 1):
        if not path.removesuffix(".gz").endswith(".jsonl"):
            terms.setdefault(language or "", set()).add(line.lower())
            continue
        try:
            entry: Any = json.loads(line)
            terms.setdefault(entry["lang"], set()).add(entry["term"].strip().lower())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StageUnavailable(
                f"bad_words: {path}:{number} holds {line[:60]}; a line is an object with lang and term"
            ) from error
    return {found: tuple(sorted(words - _ALLOWED.get(found, set()))) for found, words in terms.items()}
