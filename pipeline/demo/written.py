"""The pages written for the demo crawl: articles in eleven languages, and the other things that a crawl brings home."""

from __future__ import annotations

from collections.abc import Iterator

from gristmill.pipeline.demo.community import forum_threads, recipes, shop_listings
from gristmill.pipeline.demo.junk import junk_pages
from gristmill.pipeline.demo.oddities import odd_pages
from gristmill.pipeline.demo.page import Article, Page, articles, written_page

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "ru", "zh", "ja", "ar", "hi")

SITES = (
    ("essays.example.org", "The Long Table"),
    ("notebook.example.com", "A Notebook of Ordinary Things"),
    ("science-weekly.example", "Science Weekly"),
)


def written_pages() -> Iterator[Page]:
    """All pages written for the demo."""
    yield from english_articles()
    yield from mirrors()
    for language in LANGUAGES[1:]:
        for number, article in enumerate(articles(language)):
            url = f"https://{language}.example.org/{article.slug or f'page-{number + 1}'}.html"
            yield written_page(url, article, site=f"example.org ({language})", language=language, layout=number)
    yield from forum_threads()
    yield from shop_listings()
    yield from recipes()
    yield from junk_pages()
    yield from odd_pages()


def english_articles() -> Iterator[Page]:
    """Each English article once, on one of three sites with their own markup."""
    for number, article in enumerate(articles("en")):
        host, site = SITES[number % len(SITES)]
        yield written_page(f"https://{host}/{article.slug}", article, site=site, layout=number)


def mirrors() -> Iterator[Page]:
    """Sites that repeat others: as they are, under a banner of their own, shortened, or with a note of where it came from."""
    for number, article in enumerate(articles("en")):
        kind = number % 5
        if kind == 0:
            yield written_page(f"https://copies.example.net/a/{number}", article, site="Copies", layout=number + 1)
        elif kind == 1:
            banner = "You are reading an archived copy. Support the archive with a small donation today!"
            url = f"https://archive.example.com/web/2024/{article.slug}"
            yield written_page(url, article, site="Open Archive", layout=number, banner=banner)
        elif kind == 2:
            note = f"This article was first published elsewhere as {article.title} and appears here with a few small changes."
            changed = Article(
                article.title, (note, *article.paragraphs[:-1], article.paragraphs[-1].replace(" is ", " remains "))
            )
            yield written_page(f"https://reader.example.net/{article.slug}.html", changed, site="The Reader", layout=number)
        elif kind == 3:
            # about two thirds of the text: alike, but not alike enough to go
            shorter = Article(f"{article.title} (abridged)", article.paragraphs[:-1])
            yield written_page(f"https://digest.example.net/{article.slug}", shorter, site="The Digest", layout=number)
