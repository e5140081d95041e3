"""URL rules: lists of domains and of words, as RefinedWeb and FineWeb use them before anything is extracted.

Source: Penedo et al. 2023, arXiv:2306.01116, app. G.1; FineWeb's order of rules and ways to match. No list is shipped.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, NamedTuple
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from pydantic import NonNegativeInt, field_validator

from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.filter import Filter, Rule
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch

LIST_FILES = (".txt", ".txt.gz")
"""Endings by which a value is known for the path of a list."""

_NO_LETTER_OR_DIGIT = re.compile(r"[^a-zA-Z0-9]+")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_HOST_END = re.compile(r"[/?#\\]")
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F:]*::[0-9a-fA-F:]*")
_SIGNALS = ("listed_domain", "listed_url", "banned_word_count", "soft_banned_word_count", "banned_subword_count")


class Lists(NamedTuple):
    """The lists of a filter, read."""

    domains: frozenset[str]
    urls: frozenset[str]
    banned_words: frozenset[str]
    soft_banned_words: frozenset[str]
    banned_subwords: tuple[str, ...]


class Matches(NamedTuple):
    """What of the lists was found in one URL."""

    listed_domain: tuple[str, ...] = ()
    listed_url: tuple[str, ...] = ()
    banned_word_count: tuple[str, ...] = ()
    soft_banned_word_count: tuple[str, ...] = ()
    banned_subword_count: tuple[str, ...] = ()


class UrlFilter(Filter):
    """Drop documents by their URL. A document without URL passes.

    Each list holds values, paths of lists (.txt or .txt.gz: a value a line, `#` starts a comment line), or both.
    """

    kind: ClassVar[str] = "url_filter"
    needs: ClassVar = "url"

    domains: tuple[str, ...] = ()
    """Domains to drop, with all their sub-domains; lists in the format of hosts files are read too."""

    urls: tuple[str, ...] = ()
    """Single pages to drop; scheme, `www.` and a last `/` do not matter."""

    banned_words: tuple[str, ...] = ()
    """Words that a URL must not hold; compared whole and case-sensitively, between characters other than a-z, A-Z, 0-9."""

    soft_banned_words: tuple[str, ...] = ()
    """Words that a URL may hold to a certain number."""

    soft_banned_words_at_most: NonNegativeInt | None = 1
    """Most different soft-banned words in the URL of a kept document."""

    banned_subwords: tuple[str, ...] = ()
    """Letters that must not occur in a URL, not even inside words or across punctuation; case does not matter."""

    @field_validator("domains", "banned_words", "soft_banned_words", "banned_subwords")
    @classmethod
    def _paths_end_as_lists(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if "/" in value and not value.endswith(LIST_FILES):
                raise ValueError(f"{value}: neither an entry nor a list; the path of a list ends in {' or '.join(LIST_FILES)}")
        return values

    def rules(self) -> Iterator[Rule]:
        if self.domains:
            yield Rule("listed_domain", "listed_domain", at_most=0)
        if self.urls:
            yield Rule("listed_url", "listed_url", at_most=0)
        if self.banned_words:
            yield Rule("banned_word", "banned_word_count", at_most=0)
        if self.soft_banned_words:
            yield Rule("too_many_soft_banned_words", "soft_banned_word_count", at_most=self.soft_banned_words_at_most)
        if self.banned_subwords:
            yield Rule("banned_subword", "banned_subword_count", at_most=0)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """How many entries of each list the URL holds; NaN for documents without URL."""
        import numpy as np

        found = self._matches(batch)
        return {
            signal: np.array([np.nan if one is None else len(getattr(one, signal)) for one in found], dtype=np.float64)
            for signal in _SIGNALS
        }

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """The entries that were found."""
        found = self._matches(batch)
        return [" ".join(getattr(found[row] or Matches(), rule.signal)) or None for row in rows]

    def set_up(self) -> None:
        """Read the lists.

        Raises:
            StageUnavailable: one cannot be read.
        """
        self._lists()

    def files(self) -> list[str]:
        """The list files.

        Raises:
            StageUnavailable: one cannot be read.
        """
        self._lists()
        values = self.domains + self.urls + self.banned_words + self.soft_banned_words + self.banned_subwords
        return [value for value in values if value.endswith(LIST_FILES)]

    def _lists(self) -> Lists:
        return _read_lists(self.domains, self.urls, self.banned_words, self.soft_banned_words, self.banned_subwords)

    def _matches(self, batch: Batch) -> list[Matches | None]:
        """Matches of each document's URL, found once a batch; None without URL."""
        known = _matched.setdefault(batch, {})
        lists = self._lists()
        if lists not in known:
            known[lists] = [match(url, lists) if url else None for url in batch.table["url"].to_pylist()]
        return known[lists]


_matched: WeakKeyDictionary[Batch, dict[Lists, list[Matches | None]]] = WeakKeyDictionary()


def match(url: str, lists: Lists) -> Matches:
    """Hold a URL against the lists.

    Args:
        url: as recorded; it need not be a valid URL.
        lists: the domains in lower case, the URLs as by `bare_url`, the sub-words in lower case.

    Returns:
        The entries found, each kind sorted; of domains and URLs at most one.
    """
    words = set(_NO_LETTER_OR_DIGIT.split(url))
    letters = _NO_LETTER_OR_DIGIT.sub("", url).lower() if lists.banned_subwords else ""
    bare = bare_url(url) if lists.urls else ""
    return Matches(
        listed_domain=_listed_domain(host(url), lists.domains) if lists.domains else (),
        listed_url=(bare,) if bare in lists.urls else (),
        banned_word_count=tuple(sorted(words & lists.banned_words)),
        soft_banned_word_count=tuple(sorted(words & lists.soft_banned_words)),
        banned_subword_count=tuple(subword for subword in lists.banned_subwords if subword in letters),
    )


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


def _listed_domain(name: str, domains: frozenset[str]) -> tuple[str, ...]:
    """The longest listed domain that is `name` or above it."""
    while name:
        if name in domains:
            return (name,)
        name = name.partition(".")[2]
    return ()


@cached_by_files
def _read_lists(
    domains: tuple[str, ...],
    urls: tuple[str, ...],
    banned_words: tuple[str, ...],
    soft_banned_words: tuple[str, ...],
    banned_subwords: tuple[str, ...],
) -> Lists:
    """Read all lists, once a process.

    Raises:
        StageUnavailable: a file cannot be read.
    """
    return Lists(
        domains=frozenset(host(_after_address(entry).lstrip("*.")).removeprefix("www.") for entry in _entries("domains", domains))
        - {""},
        urls=frozenset(bare_url(entry) for entry in _entries("urls", urls)) - {""},
        banned_words=frozenset(_entries("banned_words", banned_words)),
        soft_banned_words=frozenset(_entries("soft_banned_words", soft_banned_words)),
        banned_subwords=tuple(
            sorted({_NO_LETTER_OR_DIGIT.sub("", entry).lower() for entry in _entries("banned_subwords", banned_subwords)} - {""})
        ),
    )


def _after_address(entry: str) -> str:
    """The name in a line of a hosts file (`0.0.0.0 name`), any other entry as it is."""
    parts = entry.split()
    return parts[1] if len(parts) > 1 and _ADDRESS.fullmatch(parts[0]) else entry


def _entries(setting: str, values: tuple[str, ...]) -> Iterator[str]:
    """Inline values, and the lines of list files without comments and blanks."""
    for value in values:
        if not value.endswith(LIST_FILES):
            yield value
            continue
        try:
            opening = gzip.open if value.endswith(".gz") else open
            with opening(value, "rt", encoding="utf-8") as lines:
                for line in lines:
                    if (entry := line.strip()) and not entry.startswith("#"):
                        yield entry
        except (OSError, EOFError, UnicodeDecodeError) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
            raise StageUnavailable(
                f"url_filter.{setting}: {value}: {reason}; give a text file with an entry a line, or the entries themselves"
            ) from error
