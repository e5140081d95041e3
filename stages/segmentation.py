"""Words of scripts that put no spaces between them, by a dictionary or by rules on syllables; all other text is left to UAX #29.

A text is looked at by runs: letters of one group of `unspaced_scripts` with what joins them. So mixed text works, and nothing
depends on a language's name. Words are marked by a zero width space in a copy of the text, which then goes to the kernels that
part words by UAX #29; a batch without such runs is not copied.

- `segmented`: words by the dictionaries and rules of ICU (Chinese, Japanese, Thai, Lao, Khmer, Burmese; the small scripts by
  cluster), by way of the library icu4py, whose version is part of a step's identity. A run beyond `LONGEST_RUN` is looked at in
  pieces.
- `segmented_by_rules`: needs no library. Thai, Lao, Khmer, Burmese: syllables; the small scripts: clusters; Han and Hiragana:
  single characters, Katakana: runs, all three as UAX #29 has them.

In both, Tibetan's words are its syllables, since its syllable mark (tsheg) counts as white space; so does the zero width space,
with which Khmer and Burmese texts mark words themselves. Neither parts a grapheme cluster of such a script.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from gristmill.stages import unspaced_scripts as scripts
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.unspaced_scripts import GROUP_MASK, JOINING, ROLE_MASK, script_table, segmented_classes, segmented_flags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

LIBRARY = "icu4py"
"""Distribution whose version decides the words of `segmented`; it comes with its own copy of ICU."""
LONGEST_RUN = 1 << 16
"""Bytes of a run that the dictionary sees at once: its tables grow with the run."""
_AT_ONCE = 1 << 20  # bytes of runs a call of the library gets: it costs some 20 us, and memory follows the bytes


class WordView(NamedTuple):
    """What a kernel that parts words is given."""

    data: Bytes
    offsets: Positions
    flags: Bytes
    classes: Bytes


def needs_dictionary(splitter: str) -> bool:
    """Whether the splitter of `gristmill.stages.words` of this name needs the library."""
    return splitter.startswith("segmented") and "by_rules" not in splitter


@cache
def _word_breaker() -> Callable[[str, str], Iterable[str]]:
    try:
        from icu4py.breakers import WordBreaker
    except ImportError as error:
        raise StageUnavailable(
            "words: segmented needs the library icu4py (ICU's dictionaries): pip install 'gristmill[words]', "
            "or take segmented_by_rules, which needs none"
        ) from error
    breaker: Callable[[str, str], Iterable[str]] = WordBreaker
    return breaker


def require(*splitters: str | None) -> None:
    """See that the splitters of these names can work here.

    Raises:
        StageUnavailable: one needs the library, which is not there.
    """
    if any(splitter is not None and needs_dictionary(splitter) for splitter in splitters):
        _word_breaker()


def libraries(*splitters: str | None) -> tuple[str, ...]:
    """Distributions whose version decides what the splitters of these names find."""
    return (LIBRARY,) if any(splitter is not None and needs_dictionary(splitter) for splitter in splitters) else ()


def word_view(data: Bytes, offsets: Positions, dictionary: bool) -> WordView:
    """The texts with their words marked, and the tables by which UAX #29 takes them apart.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: shape (n_documents + 1,): where each document begins in `data`, and the end.
        dictionary: by the dictionary, or else by the rules.

    Raises:
        StageUnavailable: the library is not there.
    """
    from gristmill.stages import segmentation_kernels as kernels

    table = script_table(dictionary)
    if dictionary:
        require("segmented")
        boundaries = _dictionary_boundaries(data, offsets)
    else:
        boundaries = kernels.syllable_boundaries(data, offsets, table)
    if len(boundaries):
        data, offsets = kernels.mark_words(data, offsets, boundaries)
    return WordView(data, offsets, segmented_flags(), segmented_classes(dictionary))


def _dictionary_boundaries(data: Bytes, offsets: Positions) -> Positions:
    import numpy as np

    from gristmill.stages import segmentation_kernels as kernels

    table = script_table(True)
    starts, ends = kernels.all_runs(data, offsets, LONGEST_RUN, table)
    if not len(starts):
        return starts
    sizes = ends - starts
    calls = np.flatnonzero(np.diff(np.cumsum(sizes + 1) // _AT_ONCE)) + 1
    runs: list[Positions] = []
    within: list[Positions] = []
    for first, last in zip([0, *calls.tolist()], [*calls.tolist(), len(starts)], strict=True):
        joined = np.empty(int((sizes[first:last] + 1).sum()), dtype=np.uint8)
        kernels.join_runs(data, starts[first:last], ends[first:last], joined)
        found = kernels.runs_of_boundaries(joined, sizes[first:last], _boundaries(joined.tobytes().decode()))
        runs.append(found[0] + first)
        within.append(found[1])
    return kernels.checked_boundaries(data, offsets, starts, ends, np.concatenate(runs), np.concatenate(within), table)


def _boundaries(text: str) -> Positions:
    """Code points before each word of ICU's; no text but runs and newlines is ever asked for, so its locale says nothing."""
    import numpy as np

    # lengths of the words, not `segments()`: its positions are those of UTF-16 (icu4py 1.2)
    lengths = np.fromiter(map(len, _word_breaker()(text, "en")), dtype=np.int64)
    return np.cumsum(lengths) - lengths


def _pieces(text: str, dictionary: bool) -> list[tuple[str, int]]:
    """The text as runs, with their group, and what stands between them, with 0."""
    table = script_table(dictionary)
    pieces: list[tuple[str, int]] = []
    for character in text:
        group = int(table[ord(character)]) & GROUP_MASK
        if pieces and (group == pieces[-1][1] or (group == JOINING and pieces[-1][1])):
            pieces[-1] = (pieces[-1][0] + character, pieces[-1][1])
        elif pieces and not pieces[-1][1] and group in (0, JOINING):
            pieces[-1] = (pieces[-1][0] + character, 0)
        else:
            pieces.append((character, 0 if group == JOINING else group))
    return pieces


def syllables_plainly(run: str) -> list[str]:
    """Syllables of a run of Thai, Lao, Khmer or Burmese, clusters of the other scripts, by these rules.

    A letter begins a syllable, and so does a vowel that is written before its consonant, but for a letter

    - after such a vowel, or after a sign that puts it below the letter before;
    - that a sign mutes;
    - in Thai, Lao and Khmer: after a syllable that is one letter so far;
    - there, too: that has no vowel (a letter, a vowel before the next consonant or the end of the run follows), unless the
      syllable has such a final letter already.
    """
    table = script_table(False)
    roles = [int(table[ord(character)]) & ROLE_MASK for character in run] + [scripts.LETTER] * 2
    ends_open = int(table[ord(run[0])]) & GROUP_MASK in (scripts.THAI, scripts.LAO, scripts.KHMER)
    syllables = [run[0]]
    closed = False
    for at in range(1, len(run)):
        role, before, after = roles[at], roles[at - 1], roles[at + 1]
        held = before in (scripts.LEADING, scripts.STACKER)
        begins = role in (scripts.LETTER, scripts.LEADING) and not held
        if role == scripts.LETTER:
            killed = after == scripts.KILLER or (after == scripts.LOW_TONE and roles[at + 2] == scripts.KILLER)
            final = ends_open and not closed and not held and after in (scripts.LETTER, scripts.LEADING)
            alone = ends_open and len(syllables[-1]) == 1 and before == scripts.LETTER
            begins = not (killed or final or held or alone)
            closed = closed or killed or final
        if begins:
            syllables.append(run[at])
            closed = False
        else:
            syllables[-1] += run[at]
    return syllables


def _dictionary_words_plainly(run: str) -> list[str]:
    """Words of a run by ICU, joined where a boundary may not stand."""
    table = script_table(True)
    words: list[str] = []
    for word in _word_breaker()(run, "en"):
        stacked = words and int(table[ord(words[-1][-1])]) & ROLE_MASK == scripts.STACKER
        if words and (stacked or int(table[ord(word[0])]) & GROUP_MASK == JOINING):
            words[-1] += word
        else:
            words.append(word)
    return words


def segmented_words_plainly(text: str, dictionary: bool, alphanumeric: bool) -> list[str]:
    """Words of a text: what the kernels find, for runs of up to `LONGEST_RUN` bytes.

    Args:
        text: any.
        dictionary: by the dictionary, or else by the rules.
        alphanumeric: leave out words whose first character is not alphanumeric.
    """
    from gristmill.stages.words import uax29_segments_plainly

    part = _dictionary_words_plainly if dictionary else syllables_plainly
    words: list[str] = []
    for piece, group in _pieces(text, dictionary):
        words += part(piece) if group else uax29_segments_plainly(piece, segmented_classes(dictionary))
    if alphanumeric:
        return [word for word in words if word[0].isalnum()]
    return [word for word in words if any(not character.isspace() and character not in scripts.DELIMITERS for character in word)]
