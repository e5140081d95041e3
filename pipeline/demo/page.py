"""A page of the demo crawl, and the furniture that web sites put around their text."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Page:
    """What a server answered: one response record."""

    url: str
    body: bytes
    content_type: str = "text/html; charset=utf-8"
    status: str = "200 OK"


@dataclass(frozen=True)
class Article:
    """A title and its paragraphs."""

    title: str
    paragraphs: tuple[str, ...]

    @property
    def slug(self) -> str:
        """The title as it stands in a URL; ASCII letters and digits only, so empty for some scripts."""
        return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in self.title.lower()).split())


def articles(name: str) -> list[Article]:
    """The articles in `texts/<name>.md`, mostly named by language: a heading begins one, a blank line ends a paragraph."""
    text = (files(__package__) / "texts" / f"{name}.md").read_text(encoding="utf-8")
    found = []
    for part in text.removeprefix("# ").split("\n# "):
        title, _, body = part.partition("\n")
        found.append(Article(title.strip(), tuple(paragraph.strip() for paragraph in body.split("\n\n") if paragraph.strip())))
    return found


def written_page(url: str, article: Article, *, site: str, language: str = "en", layout: int = 0, banner: str = "") -> Page:
    """An article in the furniture of a site; `layout` picks one of three ways to mark it up."""
    paragraphs = [html.escape(paragraph) for paragraph in article.paragraphs]
    title = html.escape(article.title)
    if layout % 3 == 0:
        text = "\n".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
        body = f"<main><article><h1>{title}</h1>\n{text}\n</article></main>"
    elif layout % 3 == 1:
        text = "<br><br>\n".join(paragraphs)
        side = menu(["Home", "Latest", "Archive", "About this site", "Contact"])
        body = (
            f'<table width="100%"><tr><td width="160" valign="top">{side}</td>'
            f'<td><font size="5"><b>{title}</b></font><hr>\n<div>{text}</div></td></tr></table>'
        )
    else:
        text = "\n".join(f'<div class="p"><span>{paragraph}</span></div>' for paragraph in paragraphs)
        post = f'<h2 class="post-title">{title}</h2>\n<div class="post-body">{text}</div>'
        body = f'<div class="col col-8"><div class="post">{post}</div></div>'
    return Page(url, document(article.title, body, site=site, language=language, banner=banner).encode())


def document(title: str, body: str, *, site: str = "", language: str = "en", banner: str = "") -> str:
    """A whole page: head, banner, navigation, body, footer. Without a site only head and body."""
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title>'
    if site:
        head += '<link rel="stylesheet" href="/style.css"><script>window.dataLayer = window.dataLayer || [];</script>'
        body = f"{furniture_above(site, banner)}\n{body}\n{furniture_below(site)}"
    return f'<!DOCTYPE html>\n<html lang="{language}">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def furniture_above(site: str, banner: str = "") -> str:
    """A banner and a row of links."""
    notice = f'<div class="banner">{html.escape(banner)}</div>\n' if banner else ""
    links = menu(["Home", "News", "Topics", "Archive", "Search"])
    return f'{notice}<header><a href="/">{html.escape(site)}</a></header>\n<nav>{links}</nav>'


def furniture_below(site: str) -> str:
    """The small print."""
    rights = "All rights reserved. Reproduction of any part of this site needs written permission."
    links = menu(["Terms of use", "Privacy", "Cookie settings", "Imprint"])
    return f"<footer><p>{html.escape(site)}. {rights}</p>{links}</footer>"


def menu(names: Sequence[str]) -> str:
    """A list of links."""
    items = "".join(f'<li><a href="/{name.lower().replace(" ", "-")}">{html.escape(name)}</a></li>' for name in names)
    return f"<ul>{items}</ul>"
