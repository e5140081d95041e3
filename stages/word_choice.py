"""The setting `words` of filters: other words than those that a flavour's published code takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from gristmill.stages.filter import Filter

Words = Literal["uax29", "segmented", "segmented_by_rules"]
"""Unicode's words; the same with words of scripts without spaces found by a dictionary (needs the extra `words`), or by rules on
syllables. See `gristmill.stages.segmentation`."""

_WITH_PUNCTUATION = ("uax29", "wordpunct")


def with_words(switches: Mapping[str, Any], usual: str, words: Words | None) -> dict[str, Any]:
    """Switches of a signal with the words of a filter's setting.

    Args:
        switches: those of the flavour.
        usual: the splitter that the signal takes where the switches name none.
        words: the setting; None: the flavour's words.

    Returns:
        The switches. Punctuation marks are words of their own where they are so for the flavour, and no words where its words
        stand between white space, or begin with a letter or digit.
    """
    if words is None:
        return dict(switches)
    has_marks = switches.get("words", usual) in _WITH_PUNCTUATION
    return {**switches, "words": words if has_marks else f"{words}_alphanumeric"}


def settings_of(stage: Filter, name: str) -> list[Any]:
    """The values that a filter's setting has, by itself and for languages with settings of their own."""
    return [getattr(one, name) for one in (stage, *stage.variants().values())]
