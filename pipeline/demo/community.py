"""Forum threads, shop listings and recipes."""

from __future__ import annotations

import html
from collections.abc import Iterator

from gristmill.pipeline.demo.page import Page, articles, document, menu


def forum_threads() -> Iterator[Page]:
    """Threads: a question, answers, signatures and the buttons around each post."""
    for number, thread in enumerate(articles("forum")):
        title = thread.title
        posts = [post.split(": ", 1) for post in thread.paragraphs]
        buttons = menu(["Reply", "Quote", "Report", "Like"])
        shown = [
            f'<div class="post" id="p{i}"><div class="user"><b>{name}</b><br>Member<br>Posts: {37 * (i + 3) + number}</div>'
            f'<div class="text"><p>{html.escape(text)}</p></div><div class="buttons">{buttons}</div></div>'
            for i, (name, text) in enumerate(posts)
        ]
        body = f"<h1>{html.escape(title)}</h1>\n" + "\n".join(shown)
        url = f"https://forum.example.org/viewtopic.php?t={1000 + number}"
        yield Page(url, document(title, body, site="The Workshop Forum").encode())
        # the same thread in its print view: other markup, same posts
        plain = "\n".join(f"<p><b>{name}</b> wrote:</p><p>{html.escape(text)}</p>" for name, text in posts)
        yield Page(f"{url}&view=print", document(title, f"<h1>{html.escape(title)}</h1>\n{plain}").encode())


def shop_listings() -> Iterator[Page]:
    """Listings: names and prices, sorted in two ways, and nothing to read."""
    for department in articles("goods"):
        goods = items(department.paragraphs[0])
        for order in ("name", "price"):
            priced = [(name, 3.5 + 1.75 * (len(name) * 7 % 19)) for name in goods]
            priced.sort(key=lambda pair: (pair[1], pair[0]) if order == "price" else (0, pair[0]))
            listed = "".join(
                f'<li class="item"><a href="/p/{i}"><img src="/img/{i}.jpg" alt=""></a><span>{html.escape(name)}</span>'
                f'<span class="price">EUR {price:.2f}</span><button>Add to basket</button></li>'
                for i, (name, price) in enumerate(priced)
            )
            body = f"<h1>{department.title}</h1><p>{len(goods)} articles, sorted by {order}</p><ul>{listed}</ul>"
            url = f"https://shop.example.com/{department.title.lower()}?sort={order}"
            yield Page(url, document(f"{department.title} - Corner Shop", body, site="Corner Shop").encode())


def recipes() -> Iterator[Page]:
    """Recipes: a list of short lines, then prose."""
    for number, recipe in enumerate(articles("recipes")):
        ingredients, *steps = recipe.paragraphs
        wanted = "".join(f"<li>{html.escape(line)}</li>" for line in items(ingredients))
        done = "".join(f"<li>{html.escape(line)}</li>" for line in steps)
        title = recipe.title
        body = f"<article><h1>{title}</h1><h2>Ingredients</h2><ul>{wanted}</ul><h2>Method</h2><ol>{done}</ol></article>"
        yield Page(f"https://recipes.example.org/{number}", document(title, body, site="Four Burners").encode())


def items(paragraph: str) -> list[str]:
    """The lines of a list, without their dashes."""
    return [line.removeprefix("- ") for line in paragraph.splitlines()]
