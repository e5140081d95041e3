"""Why documents are judged differently with spaCy's words: our words with one of spaCy's habits each; see `agreement.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

_CONTRACTION = re.compile(r"(?<=\w)(?:n['’]t|['’](?:s|ll|re|ve|d|m))\b", re.IGNORECASE)
_CHUNK = re.compile(r"\S+")
_PARTED_INSIDE = "-–—,"
"""Marks at which spaCy parts a word whose letters stand on both sides."""


def _is_mark(character: str) -> bool:
    return not character.isalnum() and not character.isspace()


def _marks_in_runs(text: str, bounds: set[int]) -> set[int]:
    return {at for at in bounds if not (0 < at < len(text) and _is_mark(text[at - 1]) and _is_mark(text[at]))}


def _marks_inside(text: str, bounds: set[int]) -> set[int]:
    inside: set[int] = set()
    for chunk in _CHUNK.finditer(text):
        start, end = chunk.span()
        while start < end and _is_mark(text[start]):
            start += 1
        while start < end and _is_mark(text[end - 1]):
            end -= 1
        for at in range(start + 1, end):
            if text[at] not in _PARTED_INSIDE and text[at - 1] not in _PARTED_INSIDE:
                inside.add(at)
    return {at for at in bounds if at not in inside or (text[at - 1].isalpha() and text[at].isalpha())}


def _contractions(text: str, bounds: set[int]) -> set[int]:
    return bounds | {match.start() for match in _CONTRACTION.finditer(text)}


def _unspaced(text: str, bounds: set[int]) -> set[int]:
    return {at for at in bounds if not (0 < at < len(text) and text[at - 1].isalpha() and text[at].isalpha())}


def _together(text: str, bounds: set[int]) -> set[int]:
    for habit in (_marks_in_runs, _marks_inside, _unspaced, _contractions):
        bounds = habit(text, bounds)
    return bounds


HABITS: dict[str, Callable[[str, set[int]], set[int]]] = {
    "marks inside": _marks_inside,
    "runs of marks": _marks_in_runs,
    "contractions": _contractions,
    "no spaces": _unspaced,
    "several": _together,
}
"""What spaCy does otherwise: marks inside of code and addresses part no word; a run of marks is one word; can't is two words;
letters of scripts without spaces are one word; all of these."""


def with_habit(text: str, words: list[str], habit: str) -> list[str]:
    """Our words of the text as they were if we had that habit."""
    bounds: set[int] = set()
    at = 0
    for word in words:
        at = text.index(word, at)
        bounds |= {at, at + len(word)}
        at += len(word)
    for gap in re.finditer(r"\s+", text):
        bounds |= set(gap.span())
    places = sorted(HABITS[habit](text, bounds) | {0, len(text)})
    pieces = (text[start:end].strip() for start, end in pairwise(places))
    return [piece for piece in pieces if piece]
