"""What datatrove says of documents, rule by rule: the other side of `agreement.py`, which starts it with the peers' interpreter.

    python benchmarks/agreement_peers.py judge spacy|ours INPUT OUTPUT
    python benchmarks/agreement_peers.py errors

INPUT has one JSON object a line: `text`, and of the other side `words` and `sentences` (how many each line of the text has).
OUTPUT has one a line: rule -> whether the document fails that rule alone, or `error: ...` where the filter raises; line rule ->
digest of the text that the filter leaves; `boundaries`: where words begin, for some documents.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.data import Document  # type: ignore[import-not-found]
from datatrove.pipeline.filters import (  # type: ignore[import-not-found]
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.word_tokenizers import WordTokenizer, load_word_tokenizer  # type: ignore[import-not-found]

BOUNDARY_DOCUMENTS = 400
"""Documents, spread over the input, whose word boundaries are put out."""

_QUALITY_OFF = dict.fromkeys(
    (
        *("min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length", "max_symbol_word_ratio"),
        *("max_bullet_lines_ratio", "max_ellipsis_lines_ratio", "max_non_alpha_words_ratio", "min_stop_words"),
    )
)
_QUALITY = {
    "too_few_words": {"min_doc_words": 50},
    "too_many_words": {"max_doc_words": 100_000},
    "short_words": {"min_avg_word_length": 3},
    "long_words": {"max_avg_word_length": 10},
    "too_many_bullet_lines": {"max_bullet_lines_ratio": 0.9},
    "too_many_ellipsis_lines": {"max_ellipsis_lines_ratio": 0.3},
    "too_few_alphabetic_words": {"max_non_alpha_words_ratio": 0.8},
    "too_few_stop_words": {"min_stop_words": 2},
}
_REPETITION_OFF: dict[str, Any] = {
    **dict.fromkeys(("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac")),
    "top_n_grams": (),
    "dup_n_grams": (),
}
_REPETITION: dict[str, dict[str, Any]] = {
    "duplicate_lines": {"dup_line_frac": 0.3},
    "duplicate_paragraphs": {"dup_para_frac": 0.3},
    "duplicate_line_chars": {"dup_line_char_frac": 0.2},
    "duplicate_paragraph_chars": {"dup_para_char_frac": 0.2},
    **{f"top_{n}gram": {"top_n_grams": ((n, bound),)} for n, bound in ((2, 0.2), (3, 0.18), (4, 0.16))},
    **{
        f"duplicate_{n}gram": {"dup_n_grams": ((n, bound),)}
        for n, bound in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    },
}
_FINEWEB_OFF = {"line_punct_thr": -1, "short_line_thr": 2, "char_duplicates_ratio": 2, "new_line_ratio": float("inf")}
_FINEWEB: dict[str, dict[str, Any]] = {
    "empty": {},
    "too_few_ended_lines": {"line_punct_thr": 0.12},
    "too_many_short_lines": {"short_line_thr": 0.67},
    "copied_lines": {"char_duplicates_ratio": 0.01},
    "too_many_newlines": {"new_line_ratio": 0.3},
}
_C4_PAGE_OFF = {"min_num_sentences": -1, "filter_lorem_ipsum": False, "filter_curly_bracket": False}
_C4_PAGE: dict[str, dict[str, Any]] = {
    "lorem_ipsum": {"filter_lorem_ipsum": True},
    "curly_bracket": {"filter_curly_bracket": True},
    "too_few_sentences": {"min_num_sentences": 5},
}
_C4_OFF: dict[str, Any] = {
    **_C4_PAGE_OFF,
    **dict.fromkeys(("remove_citations", "filter_no_terminal_punct", "filter_javascript", "filter_policy"), False),
    "min_words_per_line": -1,
    "max_word_length": -1,
}
_C4_LINES: dict[str, dict[str, Any]] = {
    "too_long_word": {"max_word_length": 1000},
    "citations": {"remove_citations": True},
    "no_end_mark": {"filter_no_terminal_punct": True},
    "too_few_words": {"min_words_per_line": 3},
    "javascript": {"filter_javascript": True},
    "policy": {"filter_policy": True},
}


class Remembering(WordTokenizer):  # type: ignore[misc]
    """A splitter that splits each document once, however many filters ask."""

    def __init__(self, splitter: Any) -> None:
        super().__init__()
        self.splitter = splitter
        self.text, self.words = "", []

    def word_tokenize(self, text: str) -> list[str]:
        if text != self.text:
            self.text, self.words = text, self.splitter.word_tokenize(text)
        return self.words

    def sent_tokenize(self, text: str) -> list[str]:
        return self.splitter.sent_tokenize(text)  # type: ignore[no-any-return]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return self.splitter.span_tokenize(text)  # type: ignore[no-any-return]


class Given(WordTokenizer):  # type: ignore[misc]
    """The other side's words and sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.sentences: dict[str, int] = {}

    def word_tokenize(self, text: str) -> list[str]:
        return self.words

    def sent_tokenize(self, text: str) -> list[str]:
        return [""] * self.sentences[text.strip()]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, 0)] * self.sentences[text.strip()]


def digest(text: str) -> str:
    """Of the lines that are not blank, stripped: whether a filter keeps blank lines is no rule."""
    lines = [line.strip() for line in text.splitlines()]
    return hashlib.sha1("\n".join(filter(None, lines)).encode()).hexdigest()[:16]


def filters(splitter: WordTokenizer) -> dict[str, Any]:
    """One filter a rule, with all its other rules off."""
    made = {}
    for name, options in _QUALITY.items():
        made[f"gopher_quality.{name}"] = GopherQualityFilter(**_QUALITY_OFF | options, language=splitter)
    symbols = GopherQualityFilter(**_QUALITY_OFF | {"max_symbol_word_ratio": 0.1}, language=splitter)
    made["gopher_quality.too_many_hashes_or_ellipses"] = symbols
    for name, options in _REPETITION.items():
        made[f"gopher_repetition.{name}"] = GopherRepetitionFilter(**_REPETITION_OFF | options, language=splitter)
    for name, options in _FINEWEB.items():
        made[f"fineweb.{name}"] = FineWebQualityFilter(**_FINEWEB_OFF | options, language=splitter)
    for name, options in _C4_PAGE.items():
        made[f"c4.{name}"] = C4QualityFilter(**_C4_PAGE_OFF | options, language=splitter)
    for name, options in _C4_LINES.items():
        made[f"c4_lines.{name}"] = C4QualityFilter(**_C4_OFF | options, language=splitter)
    made["c4_lines.all"] = C4QualityFilter(**_C4_PAGE_OFF, language=splitter)
    return made


def verdict(judge: Any, text: str, is_line_rule: bool) -> bool | str:
    """Whether the rule fails; what it leaves of the text; or how it broke."""
    document = Document(text=text, id="")
    try:
        result = judge.filter(document)
    except Exception as error:
        return f"error: {type(error).__name__}: {error}"
    if is_line_rule:
        return digest(document.text)
    return not (result[0] if isinstance(result, tuple) else result)


def starts(text: str, words: list[str]) -> list[int]:
    """Where the words begin in the text."""
    found, at = [], 0
    for word in words:
        at = text.index(word, at)
        found.append(at)
        at += len(word)
    return found


def judge(how: str, source: Path, target: Path) -> None:
    """Judge all documents of a file."""
    given = Given()
    splitter = Remembering(load_word_tokenizer("eng")) if how == "spacy" else given
    judges = filters(splitter)
    if how == "spacy":  # the line rules ask for neither words nor sentences
        judges = {name: judge for name, judge in judges.items() if not name.startswith("c4_lines.")}
    with source.open() as lines:
        total = sum(1 for _ in lines)
    every = max(total // BOUNDARY_DOCUMENTS, 1)
    unfinished = target.with_suffix(".unfinished")
    with source.open() as lines, unfinished.open("w") as out:
        for number, line in enumerate(lines):
            document = json.loads(line)
            given.words, given.sentences = document["words"], document["sentences"]
            text = document["text"]
            row: dict[str, Any] = {name: verdict(judge, text, name.startswith("c4_lines.")) for name, judge in judges.items()}
            if how == "spacy" and number % every == 0:
                row["boundaries"] = starts(text, splitter.word_tokenize(text))
            out.write(json.dumps(row) + "\n")
            if number % 500 == 0:
                print(f"datatrove, {how}: {number:,} of {total:,}", file=sys.stderr, flush=True)
    unfinished.rename(target)


def _outcome(run: Callable[[], Any]) -> str:
    try:
        return str(run())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def errors() -> None:
    """Run a minimal example of each error, and print what happens beside what should."""
    given = Given()

    def on_words(words: list[str], text: str, judge: Any) -> Any:
        given.words = words
        return judge.filter(Document(text=text, id=""))

    def repetition(n: int, bound: float) -> Any:
        return GopherRepetitionFilter(**_REPETITION_OFF | {"dup_n_grams": ((n, bound),)}, language=given)

    glued = ["a", "b", "c", "d", "ef", "x", "ab", "c", "d", "e", "f"]
    unlimited = GopherQualityFilter(**_QUALITY_OFF | {"max_symbol_word_ratio": 0.1})
    zero = GopherQualityFilter(**_QUALITY_OFF | {"max_symbol_word_ratio": 0}, language=given)
    no_words = FineWebQualityFilter(**_FINEWEB_OFF, language=given)
    examples: list[tuple[str, str, str, Callable[[], Any]]] = [
        (
            "n-grams are compared without the gaps between their words",
            "GopherRepetitionFilter, words a b c d ef x ab c d e f, 5-grams (all differ) at most 0 + 1e-9",
            "True",
            lambda: on_words(glued, " ".join(glued), repetition(5, 1e-9)),
        ),
        (
            "a text without words divides by zero",
            "GopherQualityFilter(min_doc_words=None) on the empty text",
            "a verdict",
            lambda: unlimited.filter(Document(text="", id="")),
        ),
        (
            "a text without words divides by zero",
            "FineWebQualityFilter on a line of which the splitter makes no word",
            "a verdict",
            lambda: on_words([], "\u200b", no_words),
        ),
        (
            "a bound of 0 is taken for no bound",
            "GopherQualityFilter(max_symbol_word_ratio=0) on '# a b c'",
            "(False, 'gopher_too_many_hashes')",
            lambda: on_words(["#", "a", "b", "c"], "# a b c", zero),
        ),
        (
            "the mean of no words is NaN, which passes both bounds on word length",
            "GopherQualityFilter(min_avg_word_length=3) on '---'",
            "(False, 'gopher_below_avg_threshold')",
            lambda: on_words(["---"], "---", GopherQualityFilter(**_QUALITY_OFF | {"min_avg_word_length": 3}, language=given)),
        ),
    ]
    for reason, example, right, run in examples:
        print(json.dumps({"reason": reason, "example": example, "right": right, "theirs": _outcome(run)}))


def main() -> None:
    """Do what is asked."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    from loguru import logger  # type: ignore[import-not-found]

    logger.remove()
    if sys.argv[1] == "judge":
        judge(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    elif sys.argv[1] == "version":
        print(version("datatrove"), re.sub(r"\s.*", "", version("spacy")))
    else:
        errors()


if __name__ == "__main__":
    main()
