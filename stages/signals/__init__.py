"""The catalogue of signals: one number a document, by name. Importing this module loads no kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

Function = TypeVar("Function", bound=Callable[..., Any])

_TOP = tuple(f"top_{n}gram_char_fraction" for n in (2, 3, 4))
_DUPLICATE = tuple(f"duplicate_{n}gram_char_fraction" for n in (5, 6, 7, 8, 9, 10))

_NAMES_OF_MODULE: dict[str, tuple[str, ...]] = {
    "words": (
        "character_count",
        "word_count",
        "mean_word_length",
        "median_word_length",
        "words_with_a_letter_fraction",
        "stop_word_count",
    ),
    "symbols": ("symbols_per_word", "hashes_per_word", "ellipses_per_word", "words_with_a_symbol_fraction"),
    "lines": ("bullet_line_fraction", "ellipsis_line_fraction"),
    "repetition": (
        "duplicate_line_fraction",
        "duplicate_paragraph_fraction",
        "duplicate_line_char_fraction",
        "duplicate_paragraph_char_fraction",
        *_TOP,
        *_DUPLICATE,
    ),
    "sentences": ("sentence_count",),
    "fineweb": (
        "full_line_count",
        "ended_line_fraction",
        "lines_of_few_chars_fraction",
        "copied_line_char_fraction",
        "newlines_per_word",
    ),
    "c4": ("lorem_ipsum_count", "curly_bracket_count", "page_character_count", "third_longest_line_length"),
    "roots": (
        "roots_word_count",
        "character_repetition_ratio",
        "word_repetition_ratio",
        "special_character_fraction",
        "stop_word_fraction",
        "flagged_word_fraction",
    ),
    "oscar": (
        "oscar_line_count",
        "short_line_fraction",
        "header_short_line_fraction",
        "footer_short_line_fraction",
        "non_letter_fraction",
        "long_line_char_fraction",
    ),
    "code": (
        "byte_count",
        "longest_line_length",
        "mean_line_length",
        "alphanumeric_fraction",
        "letter_fraction",
        "says_it_is_generated",
        "has_xml_declaration",
        "html_visible_character_count",
        "html_visible_fraction",
    ),
    "redpajama": (
        "ccnet_length",
        "ccnet_nlines",
        "rps_doc_curly_bracket",
        "rps_doc_frac_all_caps_words",
        "rps_doc_frac_lines_end_with_ellipsis",
        "rps_doc_frac_no_alph_words",
        "rps_doc_frac_unique_words",
        "rps_doc_lorem_ipsum",
        "rps_doc_mean_word_length",
        "rps_doc_num_sentences",
        "rps_doc_symbol_to_word_ratio",
        "rps_doc_unigram_entropy",
        "rps_doc_word_count",
        "rps_lines_ending_with_terminal_punctution_mark",
        "rps_lines_javascript_counts",
        "rps_lines_num_words",
        "rps_lines_numerical_chars_fraction",
        "rps_lines_start_with_bulletpoint",
        "rps_lines_uppercase_letter_fraction",
        *(f"rps_doc_frac_chars_top_{n}gram" for n in (2, 3, 4)),
        *(f"rps_doc_frac_chars_dupe_{n}grams" for n in (5, 6, 7, 8, 9, 10)),
    ),
    "redpajama_lists": ("rps_doc_ldnoobw_words", "rps_doc_stop_word_fraction"),
    "madlad": (
        "questionable_sentence_fraction",
        "list_case_sentence_fraction",
        "odd_length_sentence_fraction",
        "danger_char_sentence_fraction",
        "has_policy_phrase",
    ),
}

MODULES: dict[str, str] = {
    name: f"gristmill.stages.signals.{module}" for module, names in _NAMES_OF_MODULE.items() for name in names
}
"""Signal -> the module that computes it."""


class SignalInfo(NamedTuple):
    """What the catalogue says about a signal."""

    name: str
    definition: str
    unit: str
    source: str


def signal(*, unit: str, source: str) -> Callable[[Function], Function]:
    """Mark a function of the features of a batch (and of switches, keywords with defaults) as a signal.

    Args:
        unit: what is counted, e.g. `words`; `fraction` for shares.
        source: where the definition comes from.
    """

    def marked(function: Function) -> Function:
        function.__dict__.update(unit=unit, source=source)
        return function

    return marked


@cache
def _function(name: str) -> Callable[..., NDArray[np.float64]]:
    target = MODULES.get(name)
    if target is None and ":" not in name:
        raise KeyError(f"no signal {name}; there are {', '.join(sorted(MODULES))}, or module:function of your own")
    module, _, attribute = name.partition(":") if target is None else (target, "", name)
    function: Callable[..., NDArray[np.float64]] = getattr(import_module(module), attribute)
    return function


def compute(name: str, features: TextFeatures, switches: Mapping[str, Any]) -> NDArray[np.float64]:
    """Compute a signal for a batch.

    Args:
        name: a name in `MODULES`, or `module:function` of the user's own, a function like those in the catalogue.
        features: of the texts.
        switches: how published code differs in computing the signal; see the signal's own description.

    Returns:
        float64 of shape (n_documents,).

    Raises:
        KeyError: there is no such signal, or no such value of a switch.
        TypeError: the signal has no such switch.
    """
    return _function(name)(features, **switches)


def plain_definition(name: str) -> Callable[..., float]:
    """The signal's slow twin: a function of one text and the switches."""
    function: Callable[..., float] = getattr(import_module(MODULES[name]), f"{name}_plainly")
    return function


def describe() -> list[SignalInfo]:
    """Name, definition, unit and source of every signal; loads the modules that compute them."""
    infos = []
    for name in MODULES:
        function = _function(name)
        definition = (function.__doc__ or "").strip().splitlines()[0]
        infos.append(SignalInfo(name, definition, function.__dict__["unit"], function.__dict__["source"]))
    return infos
