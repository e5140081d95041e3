"""What publishers say about the use of a page: robots directives, TDM reservations, licences.

Sources: robots meta and X-Robots-Tag as search engines read them (developers.google.com/search/docs/crawling-indexing), with
DeviantArt's noai and noimageai; TDM Reservation Protocol (W3C community group, 2024); rel=license (HTML, RFC 4946).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

WORDS = ("robots", "tdm-", "licen", "creativecommons", "rights")
"""A tag that says something about rights holds one of these, or the name of an agent."""
_MOST_BYTES = 65_536

_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_DIRECTIVE_WITH_VALUE = re.compile(
    r"(?:max-snippet|max-image-preview|max-video-preview|unavailable_after|noimageindex)\s*:", re.I
)
_AGENT = re.compile(r"\s*([A-Za-z0-9_.*-]+)\s*:(?!//)\s*")
_CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licen[sc]es/([a-z][a-z+-]*)(?:/(\d\.\d))?|publicdomain/(zero|mark)(?:/(\d\.\d))?)", re.IGNORECASE
)
_LINK = re.compile(r"<([^<>]*)>([^<>]*)")
_REL_LICENSE = re.compile(r";\s*rel\s*=\s*(?:\"[^\"]*\blicense\b[^\"]*\"|license\b)", re.IGNORECASE)
_LICENSE_NAMES = {"license", "licence", "dc.rights", "dc.license", "dcterms.rights", "dcterms.license", "copyright", "rights"}


@dataclass
class Statements:
    """What is said of one page, each with where it was said."""

    robots: dict[str, str] = field(default_factory=dict)
    """Directive, in lower case -> what said it."""
    tdm_reserved: str | None = None
    """What reserves the rights to text and data mining; None where nothing does."""
    tdm_policy: str | None = None
    """URL of the terms under which they may be had."""
    license_url: str | None = None
    """The licence that the page declares for itself."""
    license_links: list[str] = field(default_factory=list)
    """Creative Commons licences it links to without saying that they are its own, as `license_code` writes them."""

    def __bool__(self) -> bool:
        return bool(self.robots or self.tdm_reserved or self.tdm_policy or self.license_url or self.license_links)

    @property
    def license(self) -> str | None:
        """The declared licence as `license_code` writes it; None where there is none, or none of Creative Commons."""
        return license_code(self.license_url) if self.license_url else None

    def columns(self) -> dict[str, Any]:
        """What goes to the documents' `meta`; only what was said."""
        columns = {
            "robots": sorted(self.robots) or None,
            "tdm_reserved": True if self.tdm_reserved else None,
            "tdm_policy": self.tdm_policy,
            "license": self.license,
            "license_url": self.license_url,
            "license_links": sorted(self.license_links) or None,
        }
        return {name: value for name, value in columns.items() if value is not None}


def license_code(url: str) -> str | None:
    """The licence of Creative Commons that a URL names: `cc-by-sa-4.0`, `cc0-1.0`, `pdm-1.0` (public domain mark); else None."""
    found = _CREATIVE_COMMONS.search(url)
    if not found:
        return None
    kind, version, public, public_version = found.groups()
    if public:
        return ("cc0" if public.lower() == "zero" else "pdm") + (f"-{public_version}" if public_version else "")
    return f"cc-{kind.lower().strip('-')}" + (f"-{version}" if version else "")


def directives(value: str, agents: Iterable[str], named: bool) -> Iterator[str]:
    """Directives of a robots statement that concern everyone, or one of the agents.

    Args:
        value: comma-separated directives; several headers are parted by newlines.
        agents: names in lower case.
        named: an agent may stand before its directives, as in the header.

    Yields:
        In lower case, without values; `none` as what it stands for.
    """
    for line in value.split("\n"):
        concerned = True
        for part in line.split(","):
            agent = _AGENT.match(part) if named and not _DIRECTIVE_WITH_VALUE.match(part.strip()) else None
            if agent:
                concerned = agent[1].lower() == "*" or agent[1].lower() in agents
                part = part[agent.end() :]
            word = part.partition(":")[0].strip().lower()
            if concerned and word:
                yield from ("noindex", "nofollow") if word == "none" else (word,)


def read_meta(meta: Mapping[str, Any], agents: tuple[str, ...], said: Statements) -> None:
    """Add what the record's headers said, and what an earlier look at the page has put into `meta`."""
    for directive in directives(str(meta.get("x_robots_tag") or ""), agents, named=True):
        said.robots.setdefault(directive, "X-Robots-Tag")
    if str(meta.get("tdm_reservation") or "").strip() == "1":
        said.tdm_reserved = said.tdm_reserved or "TDM-Reservation"
    said.tdm_policy = said.tdm_policy or meta.get("tdm_policy") or None
    for target, parameters in _LINK.findall(str(meta.get("link") or "")):
        if _REL_LICENSE.search(parameters):
            said.license_url = said.license_url or target
    robots = meta.get("robots")
    for directive in robots if isinstance(robots, list) else ():
        said.robots.setdefault(str(directive), "meta")
    if meta.get("tdm_reserved") is True:
        said.tdm_reserved = said.tdm_reserved or "meta"
    said.license_url = said.license_url or meta.get("license_url") or None
    links = meta.get("license_links")
    said.license_links += [link for link in (links if isinstance(links, list) else ()) if link not in said.license_links]


def read_tag(tag: bytes, agents: tuple[str, ...], base: str | None, said: Statements) -> None:
    """Add what a `meta`, `link` or `a` element says.

    Args:
        tag: the start tag, UTF-8 (other bytes are read around).
        agents: names in lower case.
        base: URL of the page, for relative links.
        said: is added to.
    """
    text = tag[:_MOST_BYTES].decode("utf-8", "replace")
    name = re.split(r"[\s/>]", text[1:], maxsplit=1)[0]
    rest = text[1 + len(name) :]
    values: dict[str, str] = {}
    for attribute in _ATTRIBUTE.finditer(rest):
        key, *quoted = attribute.groups()
        values.setdefault(key.lower(), html.unescape(next((value for value in quoted if value is not None), "")).strip())
    if name.lower() == "meta":
        _read_meta_element(values, agents, said)
    else:
        _read_link_element(values, base, said)


def _read_meta_element(values: Mapping[str, str], agents: tuple[str, ...], said: Statements) -> None:
    kind = (values.get("name") or values.get("property") or values.get("http-equiv") or "").lower()
    content = values.get("content", "")
    if kind == "robots" or kind in agents:
        for directive in directives(content, agents, named=False):
            said.robots.setdefault(directive, f"meta {kind}")
    elif kind == "x-robots-tag":
        for directive in directives(content, agents, named=True):
            said.robots.setdefault(directive, f"meta {kind}")
    elif kind == "tdm-reservation" and content == "1":
        said.tdm_reserved = said.tdm_reserved or "meta tdm-reservation"
    elif kind == "tdm-policy" and content:
        said.tdm_policy = said.tdm_policy or content
    elif kind in _LICENSE_NAMES and license_code(content):
        said.license_url = said.license_url or content


def _read_link_element(values: Mapping[str, str], base: str | None, said: Statements) -> None:
    target = values.get("href", "")
    if not target:
        return
    code = license_code(target)
    if "license" in values.get("rel", "").lower().split():
        try:
            said.license_url = said.license_url or urljoin(base or "", target)
        except ValueError:  # no URL
            return
    elif code and code not in said.license_links:
        said.license_links.append(code)
