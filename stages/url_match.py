"""One URL held against lists: hosts and pages, words and parts of words. The plain definition of what the filter finds.

Source: datatrove's `URLFilter` for the order of rules and the flavour of its name; DCLM's `url_substring_filter` for the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote

from gristmill.stages.public_suffix import is_public_suffix, registered_domain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.url_lists import Hashed, Origin

Flavour = Literal["datatrove", "dclm"]

_NO_LETTER_OR_DIGIT = re.compile(r"[^a-zA-Z0-9]+")
_DASH_OR_DOT = re.compile(r"[-.]+")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_HOST_END = re.compile(r"[/?#\\]")
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F:]*::[0-9a-fA-F:]*")
_BENEATH = re.compile(r"[/?]")


class Matches(NamedTuple):
    """What of the lists was found in one URL, a tuple a signal; of hosts and pages also the list that holds them."""

    keep_listed: tuple[str, ...] = ()
    listed_domain: tuple[str, ...] = ()
    listed_host: tuple[str, ...] = ()
    listed_url: tuple[str, ...] = ()
    category_domain: tuple[str, ...] = ()
    category_url: tuple[str, ...] = ()
    banned_word_count: tuple[str, ...] = ()
    soft_banned_word_count: tuple[str, ...] = ()
    banned_subword_count: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class UrlLists:
    """The lists of a filter, read, and how they are held against URLs."""

    sites: Hashed
    """Hosts: of the settings `domains`, `hosts`, `categories` and `keep_list`."""
    pages: Hashed
    """URLs as `bare_url` has them: of `urls` and `categories`."""
    banned_words: frozenset[str]
    soft_banned_words: frozenset[str]
    banned_subwords: tuple[str, ...]
    words: Hashed
    """Runs of letters and digits, one of each banned or soft-banned word."""
    automaton: tuple[NDArray[np.int32], NDArray[np.bool_]]
    """`next_state` and `accepts` of the kernel that looks for sub-words."""
    flavour: Flavour = "datatrove"
    registered_only: bool = False
    private_suffixes: bool = False


def match(url: str, lists: UrlLists) -> Matches:
    """Hold a URL against the lists.

    Args:
        url: as recorded; it need not be a valid URL.
        lists: the lists.

    Returns:
        The entries found, each kind sorted; of domains, hosts and URLs at most one, of categories one each.
    """
    found: dict[str, tuple[str, ...]] = {}
    if len(lists.sites):
        found |= _listed_sites(host(url), lists)
    if len(lists.pages):
        found |= _listed_pages(bare_url(url), lists.pages)
    if lists.banned_words or lists.soft_banned_words:
        words = _words(url, lists)
        found["banned_word_count"] = tuple(sorted(words & lists.banned_words))
        found["soft_banned_word_count"] = tuple(sorted(words & lists.soft_banned_words))
    if lists.banned_subwords:
        letters = without_marks(url, lists.flavour)
        found["banned_subword_count"] = tuple(subword for subword in lists.banned_subwords if subword in letters)
    return Matches(**found)


def without_marks(text: str, flavour: Flavour) -> str:
    """A URL, or a sub-word, as they are compared: lower case, without the marks that hide words."""
    return (_DASH_OR_DOT if flavour == "dclm" else _NO_LETTER_OR_DIGIT).sub("", text).lower()


def _words(url: str, lists: UrlLists) -> frozenset[str] | set[str]:
    """The words of a URL, or those of them that are listed."""
    if lists.flavour == "datatrove":
        return set(_NO_LETTER_OR_DIGIT.split(url))
    text = url.lower()
    listed = lists.banned_words | lists.soft_banned_words
    return {word for word in listed if word in text and re.search(rf"\b{re.escape(word)}\b", text)}


def _listed_sites(name: str, lists: UrlLists) -> dict[str, tuple[str, ...]]:
    """Which lists hold the host or a domain above it, the longest name of each list; no name above the registered domain."""
    found: dict[str, tuple[str, ...]] = {}
    categories: dict[str, str] = {}
    name = name.removeprefix("www.")
    for level, above in enumerate(_and_above(name)):
        origins = lists.sites.find(above)
        if not origins or (level and is_public_suffix(above, lists.private_suffixes)):
            continue
        for origin in origins:
            if origin.setting == "hosts":
                if not level:
                    found.setdefault("listed_host", (_told(above, origin),))
            elif origin.setting == "categories":
                categories.setdefault(origin.name, _told(above, origin))
            elif origin.setting == "keep_list":
                found.setdefault("keep_listed", (_told(above, origin),))
            elif not level or not lists.registered_only or above == registered_domain(name, lists.private_suffixes):
                found.setdefault("listed_domain", (_told(above, origin),))
    if categories:
        found["category_domain"] = tuple(sorted(categories.values()))
    return found


def _and_above(name: str) -> list[str]:
    """A host and the domains above it, the longest first; an address alone."""
    if _ADDRESS.fullmatch(name) or ":" in name:
        return [name]
    labels = name.split(".")
    return [above for first in range(len(labels)) if (above := ".".join(labels[first:]))]


def _listed_pages(bare: str, pages: Hashed) -> dict[str, tuple[str, ...]]:
    """Which lists hold the page; of categories also pages above it."""
    found: dict[str, tuple[str, ...]] = {}
    categories: dict[str, str] = {}
    begin = _HOST_END.search(bare)
    ends = [] if begin is None else [one.start() for one in _BENEATH.finditer(bare, begin.start())]
    for end in [len(bare), *reversed(ends)]:
        above = bare[:end]
        for origin in pages.find(above) if above else ():
            if origin.setting == "categories":
                categories.setdefault(origin.name, _told(above, origin))
            elif end == len(bare):
                found.setdefault("listed_url", (_told(above, origin),))
    if categories:
        found["category_url"] = tuple(sorted(categories.values()))
    return found


def _told(entry: str, origin: Origin) -> str:
    return f"{entry} in {origin.name}" if origin.name else entry


def host(url: str) -> str:
    """The host of a URL in lower case, punycode where it is international; '' where there is none.

    Never raises, unlike `urllib.parse`, which refuses some of what crawls hold (`http://[::1/`).
    """
    scheme = _SCHEME.match(url)
    rest = url[scheme.end() :] if scheme else url.removeprefix("//")
    authority = _HOST_END.split(rest, maxsplit=1)[0].rpartition("@")[2]
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    name = unquote(authority.partition(":")[0]).strip().rstrip(".").lower()
    if not name.isascii():
        try:
            return name.encode("idna").decode("ascii")
        except UnicodeError:
            return name
    return name


def bare_url(url: str) -> str:
    """A URL without scheme, leading `www.`, fragment and last `/`, its host in lower case."""
    scheme = _SCHEME.match(url)
    rest = (url[scheme.end() :] if scheme else url.removeprefix("//")).partition("#")[0]
    end = _HOST_END.search(rest)
    split = end.start() if end else len(rest)
    return (rest[:split].lower().removeprefix("www.") + rest[split:]).removesuffix("/")


def listed_site(entry: str) -> str:
    """The host that an entry of a list means: of `0.0.0.0 name` and `*.name` the name, without a leading `www.`."""
    parts = entry.split()
    name = parts[1] if len(parts) > 1 and _ADDRESS.fullmatch(parts[0]) else entry
    return host(name.lstrip("*.")).removeprefix("www.")


def word_key(word: str) -> str:
    """A run of letters and digits that every URL with this word has between other characters; '' where there is none."""
    return max(_NO_LETTER_OR_DIGIT.split(word), key=len)


def automaton_of(subwords: tuple[str, ...]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """States of an automaton that finds sub-words in letters and digits (Aho and Corasick 1975); '' is in everything.

    Returns:
        Flat int32 of shape (n_states * 36,), the next state by state and letter; bool of shape (n_states,), whether a sub-word
        ends there. Both empty where there is no sub-word.
    """
    import numpy as np

    from gristmill.stages.url_kernels import LETTERS

    number = {letter: place for place, letter in enumerate("abcdefghijklmnopqrstuvwxyz0123456789")}
    table: list[list[int]] = [[0] * LETTERS]
    ends = [False]
    for subword in subwords:
        state = 0
        for letter in without_marks(subword, "datatrove"):
            place = number[letter]
            if not table[state][place]:
                table[state][place] = len(table)
                table.append([0] * LETTERS)
                ends.append(False)
            state = table[state][place]
        ends[state] = True
    if not subwords:
        return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.bool_)
    shorter = [0] * len(table)
    waiting = [state for state in table[0] if state]
    for state in waiting:  # grows on the way: states in the order of their depth
        ends[state] |= ends[shorter[state]]
        for place in range(LETTERS):
            after = table[state][place]
            if after:
                shorter[after] = table[shorter[state]][place]
                waiting.append(after)
            else:
                table[state][place] = table[shorter[state]][place]
    return np.array(table, dtype=np.int32).reshape(-1), np.array(ends, dtype=np.bool_)
