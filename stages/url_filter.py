"""URL rules: lists of domains and of words, as RefinedWeb and FineWeb use them before anything is extracted.

Source: Penedo et al. 2023, arXiv:2306.01116, app. G.1; FineWeb's order of rules and ways to match. No list is shipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeInt, field_validator

from gristmill.stages import lists
from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.filter import Filter, Rule
from gristmill.stages.list_settings import WithLists
from gristmill.stages.public_suffix import LIBRARY
from gristmill.stages.url_lists import Hashed, ListFile, Origin, blocks, entries, hash_file, hash_values
from gristmill.stages.url_match import (
    Flavour,
    Matches,
    UrlLists,
    automaton_of,
    bare_url,
    listed_site,
    match,
    without_marks,
    word_key,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.documents import Batch

LIST_FILES = (".txt", ".txt.gz")
"""Endings by which a value is known for the path of a list."""

_SIGNALS = {
    "keep_list": ("keep_listed",),
    "domains": ("listed_domain",),
    "hosts": ("listed_host",),
    "urls": ("listed_url",),
    "categories": ("category_domain", "category_url"),
    "banned_words": ("banned_word_count",),
    "soft_banned_words": ("soft_banned_word_count",),
    "banned_subwords": ("banned_subword_count",),
}
"""Setting -> the signals that are measured where it is given: the number of entries found."""

Named = tuple[Origin, str | ListFile]
"""An entry that stands in the settings, or a list."""


class UrlFilter(WithLists, Filter):
    """Drop documents by their URL. A document without URL passes.

    Each list holds values, paths of lists (.txt or .txt.gz: a value a line, `#` starts a comment line), names of fetched lists
    (`ut1:adult`, see `gristmill lists`), or several of these. RefinedWeb's strict, hard and soft words are `banned_subwords`,
    `banned_words` and `soft_banned_words`. The flavours differ in how words are compared. `datatrove` (FineWeb): whole words
    stand between characters other than a-z, A-Z, 0-9 and are compared case-sensitively, sub-words with such characters left out.
    `dclm` (its RefinedWeb): whole words stand between word boundaries, `_` belongs to a word, sub-words are compared with `-` and
    `.` left out, and case does not matter. An entry that is a public suffix (`co.uk`) means that host alone.
    """

    kind: ClassVar[str] = "url_filter"
    needs: ClassVar = "url"
    libraries: ClassVar[tuple[str, ...]] = (LIBRARY,)
    list_settings: ClassVar[tuple[str, ...]] = tuple(_SIGNALS)

    flavour: Flavour = "datatrove"
    """Whose way of comparing words."""

    keep_list: tuple[str, ...] = ()
    """Domains whose documents pass whatever the other lists say, with all their sub-domains."""

    domains: tuple[str, ...] = ()
    """Domains to drop, with all their sub-domains; lists in the format of hosts files are read too."""

    match_domains: Literal["beneath", "registered"] = "beneath"
    """Which hosts an entry of `domains` means: all beneath it, or itself and, where it is a registered domain, all beneath it
    (datatrove)."""

    private_suffixes: bool = False
    """Whether suffixes that companies give away (`github.io`, `blogspot.com`) count as public suffixes too."""

    hosts: tuple[str, ...] = ()
    """Hosts to drop, without what is beneath them; a leading `www.` does not matter."""

    urls: tuple[str, ...] = ()
    """Single pages to drop; scheme, `www.` and a last `/` do not matter."""

    categories: tuple[str, ...] = ()
    """Categories of UT1's lists to drop, e.g. adult: their domains with all sub-domains, their URLs with all pages beneath."""

    categories_from: str = "ut1"
    """Folder of the categories, each a folder with files `domains` and `urls`, plain or .gz; `ut1`: those fetched by
    `gristmill lists fetch ut1`."""

    banned_words: tuple[str, ...] = ()
    """Words that a URL must not hold; compared whole."""

    soft_banned_words: tuple[str, ...] = ()
    """Words that a URL may hold to a certain number."""

    soft_banned_words_at_most: NonNegativeInt | None = 1
    """Most different soft-banned words in the URL of a kept document."""

    banned_subwords: tuple[str, ...] = ()
    """Letters that must not occur in a URL, not even inside words or across punctuation; case does not matter."""

    @field_validator("keep_list", "domains", "hosts", "banned_words", "soft_banned_words", "banned_subwords")
    @classmethod
    def _paths_end_as_lists(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if "/" in value and not value.endswith(LIST_FILES):
                raise ValueError(f"{value}: neither an entry nor a list; the path of a list ends in {' or '.join(LIST_FILES)}")
        return values

    @field_validator("categories")
    @classmethod
    def _categories_are_names(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if "/" in value or value in ("", ".", ".."):
                raise ValueError(f"{value}: no category; give its name, e.g. adult, and its folder's folder in categories_from")
        return values

    def rules(self) -> Iterator[Rule]:
        """The rules in FineWeb's order."""
        if self.domains:
            yield Rule("listed_domain", "listed_domain", at_most=0)
        if self.hosts:
            yield Rule("listed_host", "listed_host", at_most=0)
        if self.urls:
            yield Rule("listed_url", "listed_url", at_most=0)
        if self.categories:
            yield Rule("category_domain", "category_domain", at_most=0)
            yield Rule("category_url", "category_url", at_most=0)
        if self.banned_words:
            yield Rule("banned_word", "banned_word_count", at_most=0)
        if self.soft_banned_words:
            yield Rule("too_many_soft_banned_words", "soft_banned_word_count", at_most=self.soft_banned_words_at_most)
        if self.banned_subwords:
            yield Rule("banned_subword", "banned_subword_count", at_most=0)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """How many entries of each list the URL holds; NaN for documents without URL, and for all lists but `keep_list` where
        that holds the URL."""
        import numpy as np

        url_lists = self._read()
        rows, urls, blank = _looked_at(batch, url_lists)
        signals = {name: np.zeros(len(batch)) for setting, names in _SIGNALS.items() if getattr(self, setting) for name in names}
        for row, url in zip(rows.tolist(), urls, strict=True):
            found = match(url, url_lists)
            for name, values in signals.items():
                kept = found.keep_listed and name != "keep_listed"
                values[row] = np.nan if kept else len(getattr(found, name))
        for values in signals.values():
            values[blank] = np.nan
        return signals

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """The entries that were found, of hosts and pages with the list that holds them."""
        import pyarrow as pa

        url_lists = self._read()
        urls = batch.table["url"].take(pa.array(rows)).to_pylist()
        found = (match(url, url_lists) if url else Matches() for url in urls)
        return [" ".join(getattr(one, rule.signal)) or None for one in found]

    def set_up(self) -> None:
        """Read the lists.

        Raises:
            StageUnavailable: one cannot be read.
        """
        self._read()

    def files(self) -> list[str]:
        """The list files.

        Raises:
            StageUnavailable: one cannot be read.
        """
        self._read()
        return [source.path for setting in _SIGNALS for _, source in self._sources(setting) if isinstance(source, ListFile)]

    def code(self) -> list[str]:
        """What reads the lists and compares."""
        modules = ("list_settings", "lists", "public_suffix", "text_kernels", "url_kernels", "url_lists", "url_match")
        return [f"gristmill.stages.{module}" for module in modules]

    def missing(self, setting: str, value: str) -> lists.MissingList | None:
        """What is to be told where a value of a setting names a list that is not here."""
        try:
            for _, source in self._sources(setting, [value]):
                if isinstance(source, ListFile):
                    next(blocks(source), None)
        except lists.MissingList as error:
            return error
        return None

    def _sources(self, setting: str, values: Sequence[str] | None = None) -> list[Named]:
        """Entries and list files that a setting names.

        Raises:
            MissingList: one has not been fetched.
            StageUnavailable: there is no list of that name.
        """
        given: Sequence[str] = getattr(self, setting) if values is None else values
        found: list[Named] = []
        for value in given:
            if setting == "categories":
                found += [(file.origin, file) for file in self._category(value)]
            elif lists.is_name(value):
                path = _located(setting, value)
                if path is not None:
                    origin = Origin(setting, value)
                    found.append((origin, ListFile(origin, path, strict=False)))
            elif value.endswith(LIST_FILES):
                origin = Origin(setting, os.path.basename(value))
                found.append((origin, ListFile(origin, value)))
            else:
                found.append((Origin(setting), value))
        return found

    def _category(self, name: str) -> list[ListFile]:
        if self.categories_from == "ut1":
            kinds: tuple[Literal["domains", "urls"], ...] = ("domains", "urls")
            paths = [lists.locate(f"ut1:{name}", kind) for kind in kinds]
        else:
            folder = Path(self.categories_from) / name
            if not folder.is_dir():
                raise lists.MissingList(
                    f"url_filter.categories: {folder}: no such folder; categories_from should be a folder that has a folder "
                    f"{name} with files domains and urls; UT1's own: gristmill lists fetch ut1:{name}, and categories_from: ut1"
                )
            paths = [lists.file_of_category(folder, kind) for kind in ("domains", "urls")]
        origin = Origin("categories", name)
        return [ListFile(origin, str(path), strict=False) for path in paths if path is not None]

    def _read(self) -> UrlLists:
        sources = tuple(source for setting in _SIGNALS for source in self._sources(setting))
        return _read_lists(sources, self.flavour, self.match_domains == "registered", self.private_suffixes)


def _located(setting: str, name: str) -> str | None:
    kind: Literal["domains", "urls", "words"] = (
        "words" if setting.endswith("words") else "urls" if setting == "urls" else "domains"
    )
    path = lists.locate(name, kind)
    return None if path is None else str(path)


def _looked_at(batch: Batch, url_lists: UrlLists) -> tuple[NDArray[np.int64], list[str], NDArray[np.bool_]]:
    """The documents whose URL a list may concern: rows and URLs; and for each document whether it has none."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from gristmill.stages.url_kernels import candidates

    column = batch.table["url"]
    urls = pc.fill_null(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column, "").cast(pa.large_string())
    _, positions, content = urls.buffers()
    offsets = (
        np.frombuffer(positions, dtype=np.int64)[urls.offset : urls.offset + len(urls) + 1]
        if len(urls)
        else np.zeros(1, np.int64)
    )
    data = np.frombuffer(content or b"", dtype=np.uint8)
    sites, pages, words = url_lists.sites, url_lists.pages, url_lists.words
    concerned = candidates(
        data.copy() if not data.flags.writeable else data,
        offsets.copy(),
        sites.hashes,
        sites.starts,
        sites.shift,
        pages.hashes,
        pages.starts,
        pages.shift,
        words.hashes,
        words.starts,
        words.shift,
        url_lists.flavour == "dclm",
        *url_lists.automaton,
    )
    rows = np.flatnonzero(concerned)
    return rows, urls.take(pa.array(rows)).to_pylist(), np.diff(offsets) == 0


@cached_by_files
def _read_lists(sources: tuple[Named, ...], flavour: Flavour, registered_only: bool, private_suffixes: bool) -> UrlLists:
    """Read all lists, once a process.

    Raises:
        StageUnavailable: a file cannot be read.
    """
    words = {
        setting: frozenset(_words_of([source for origin, source in sources if origin.setting == setting]))
        for setting in ("banned_words", "soft_banned_words", "banned_subwords")
    }
    if flavour == "dclm":
        words = {setting: frozenset(word.lower() for word in found) for setting, found in words.items()}
    subwords = tuple(sorted({without_marks(word, flavour) for word in words["banned_subwords"]} - {""}))
    listed = sorted(words["banned_words"] | words["soft_banned_words"])
    # what has no letter that the kernel knows: looked for in all URLs, or where it is not ASCII in those that are not
    unknown = [word for word in [*listed, *subwords] if flavour == "dclm" and word.isascii() and not word_key(word)]
    known = [subword for subword in subwords if word_key(subword)]
    return UrlLists(
        sites=_hashed(sources, ("keep_list", "domains", "hosts"), "domains", False, listed_site),
        pages=_hashed(sources, ("urls",), "urls", True, bare_url),
        banned_words=words["banned_words"],
        soft_banned_words=words["soft_banned_words"],
        banned_subwords=subwords,
        words=Hashed([(Origin("words"), hash_values(listed, word_key))]),
        automaton=automaton_of((*known, *unknown[:1])),
        flavour=flavour,
        registered_only=registered_only,
        private_suffixes=private_suffixes,
    )


def _hashed(
    sources: Sequence[Named], settings: tuple[str, ...], file_name: str, pages: bool, plainly: Callable[[str], str]
) -> Hashed:
    """Hosts or pages of some settings, and of the categories."""
    inline: dict[Origin, list[str]] = {}
    parts = []
    for origin, source in sources:
        if isinstance(source, ListFile):
            of_category = origin.setting == "categories" and os.path.basename(source.path).startswith(file_name)
            if of_category or origin.setting in settings:
                parts.append((origin, hash_file(source, pages, plainly)))
        elif origin.setting in settings:
            inline.setdefault(origin, []).append(source)
    return Hashed([*((origin, hash_values(values, plainly)) for origin, values in inline.items()), *parts])


def _words_of(sources: Sequence[str | ListFile]) -> Iterator[str]:
    for source in sources:
        if isinstance(source, ListFile):
            yield from entries(source)
        else:
            yield source
