"""Pages that are hard to read: charsets that are old, missing or wrong, and markup that is broken."""

from __future__ import annotations

import html
from collections.abc import Iterator

from gristmill.pipeline.demo.page import Article, Page, articles, document

HTML = "text/html"


def odd_pages() -> Iterator[Page]:
    """Pages of every kind of trouble."""
    yield from odd_charsets()
    yield from broken_markup()
    yield from empty_pages()


def odd_charsets() -> Iterator[Page]:
    """(language, encoding of the bytes, what the HTTP header says, what the page's meta element says)."""
    cases = (
        ("ru", "windows-1251", f"{HTML}; charset=windows-1251", ""),
        ("ru", "koi8-r", HTML, "koi8-r"),
        ("ja", "shift_jis", f"{HTML}; charset=Shift_JIS", "Shift_JIS"),
        ("ja", "euc-jp", HTML, "EUC-JP"),
        ("zh", "gb18030", HTML, "gb2312"),
        ("de", "iso-8859-1", f"{HTML}; charset=utf-8", "iso-8859-1"),  # the header is wrong
        ("fr", "windows-1252", HTML, ""),  # nothing is said at all
        ("es", "utf-8", f"{HTML}; charset=iso-8859-1", "utf-8"),  # the header is wrong again
        ("ar", "windows-1256", f'{HTML}; charset="windows-1256"', ""),
        ("it", "utf-16", HTML, ""),  # only its first two bytes tell
    )
    for number, (language, encoding, header, meta) in enumerate(cases):
        article = articles(language)[-1]
        declared = f'<meta http-equiv="Content-Type" content="text/html; charset={meta}">' if meta else ""
        title, text = html.escape(article.title), markup(article)
        page = (
            f'<html lang="{language}"><head>{declared}<title>{title}</title></head><body><h1>{title}</h1>\n{text}</body></html>'
        )
        body = page.encode(encoding, "xmlcharrefreplace")
        yield Page(f"http://old-{number}.example.net/{language}/index.html", body, header)


def broken_markup() -> Iterator[Page]:
    """Articles in markup that no parser is promised to like."""
    first, second, third, *_ = articles("en")
    host = "http://broken.example.net"
    unclosed = f"<html><body><div><p><b>{first.title}<table><tr><td>" + "<p><i>".join(map(html.escape, first.paragraphs))
    yield Page(f"{host}/unclosed", unclosed.encode())
    nested = "<table><tr><td>" * 40 + markup(second) + "</td></tr></table>" * 40
    yield Page(f"{host}/nested-tables", document(second.title, nested).encode())
    whole = document(third.title, markup(third)).encode()
    yield Page(f"{host}/cut-off", whole[: len(whole) * 2 // 3])
    yield Page(f"{host}/control-characters", document("Control", markup(first)).replace(" the ", " \x00the\x08 ").encode())
    yield Page(
        f"{host}/half-a-character", document("Half", markup(articles("zh")[0])).encode().replace("茶".encode(), "茶".encode()[:2])
    )
    swapped = markup(second).replace("<p>", "</p><em><strong>").replace("</p>", "</em></strong><p>")
    yield Page(f"{host}/swapped-tags", document(second.title, swapped).encode())
    yield Page(f"{host}/no-html-element", "\n\n".join(third.paragraphs).encode(), HTML)
    yield Page(f"{host}/deep", ("<div>" * 400 + markup(third) + "</div>" * 400).encode())
    one_line = "0123456789abcdef" * 20_000
    yield Page(f"{host}/one-long-line", document("Dump", f"<p>{one_line}</p>").encode())
    many = "".join(f"<p>{number}</p>" for number in range(5_000))
    yield Page(f"{host}/five-thousand-paragraphs", document("Numbers", many).encode())


def empty_pages() -> Iterator[Page]:
    """Pages with nothing in them."""
    host = "https://empty.example.net"
    yield Page(f"{host}/no-bytes", b"")
    yield Page(f"{host}/white-space", b" \r\n\t\r\n ")
    yield Page(f"{host}/only-script", document("App", '<div id="root"></div><script>' + "var a=1;" * 500 + "</script>").encode())
    yield Page(f"{host}/only-comment", b"<!-- generated page, do not edit -->")
    yield Page(f"{host}/only-images", document("Gallery", "".join(f'<img src="{i}.jpg">' for i in range(60))).encode())
    yield Page(f"{host}/redirect", b'<html><head><meta http-equiv="refresh" content="0; url=/new"></head><body></body></html>')


def markup(article: Article) -> str:
    """The paragraphs of an article, plainly."""
    return "\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in article.paragraphs)
