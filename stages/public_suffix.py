"""Under which names anyone can register a domain: `com`, `co.uk`, from the list that a library carries; no network."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

LIBRARY = "publicsuffixlist"
"""The distribution that carries the list; its version decides what is a suffix."""


@cache
def _suffixes(private: bool) -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=True, only_icann=not private)


def is_public_suffix(name: str, private: bool = False) -> bool:
    """Whether domains are registered right beneath a name.

    Args:
        name: lower case, international names in punycode.
        private: whether suffixes that companies give away (`github.io`, `blogspot.com`) count too.
    """
    return bool(_suffixes(private).is_public(name))


def registered_domain(name: str, private: bool = False) -> str | None:
    """The domain that someone registered, `example.co.uk` of `a.b.example.co.uk`; None of a suffix itself."""
    found = _suffixes(private).privatesuffix(name)
    return None if found is None else str(found)
