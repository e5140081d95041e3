"""What no one wants in a corpus: link farms, machine-made spam, cookie walls, pages of nothing but navigation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from gristmill.pipeline.demo.page import Page, document, menu

TOWNS = ("Ashford", "Brookfield", "Carlton", "Dunmore", "Eastleigh", "Fairview")
TRADES = ("plumber", "locksmith", "roof repair", "carpet cleaning")
KEYWORDS = (
    "cheap flights",
    "online casino",
    "best loans",
    "replica watches",
    "weight loss",
    "free ringtones",
    "car insurance",
    "diet pills",
)

SPAM = (
    "Are you looking for the best {trade} in {town}? You have found the best {trade} in {town}! "
    "Our {trade} service in {town} is the best {trade} service that {town} has to offer. "
    "Call now for the best {trade} in {town} and get the best price for {trade} in {town} today!!! "
)
COOKIES = (
    "We value your privacy. We and our 847 partners store and access information on a device, such as cookies, and process "
    "personal data. You may click to consent to our processing as described above. Please enable cookies and disable your "
    "ad blocker to continue to the site."
)


def junk_pages() -> Iterator[Page]:
    """Pages that filters are made for."""
    yield from machine_made_spam()
    yield from link_farm()
    yield from casino()
    yield from cookie_walls()
    yield from navigation_only()
    yield from calendars()


def machine_made_spam() -> Iterator[Page]:
    """One template, filled in for every town and trade, repeated until it looks long enough."""
    for number, (town, trade) in enumerate(product(TOWNS, TRADES)):
        text = SPAM.format(town=town, trade=trade)
        body = f"<h1>Best {trade} in {town}</h1>" + f"<p>{text}</p>" * (2 + number % 4)
        url = f"http://{trade.replace(' ', '-')}-{town.lower()}.example/"
        yield Page(url, document(f"Best {trade} in {town}", body, site=f"{trade} {town}").encode())


def link_farm() -> Iterator[Page]:
    """Pages that only point at each other."""
    for number in range(10):
        links = [
            f'<a href="http://links-{(number * 7 + i) % 40}.example/">{KEYWORDS[(number + i) % 8]} {i}</a>' for i in range(150)
        ]
        yield Page(f"http://links-{number}.example/", document("Top links", " | ".join(links)).encode())


def casino() -> Iterator[Page]:
    """Hosts and paths that the URL rules should know without a look at the page."""
    text = (
        "<p>Play the best slots with a welcome bonus and free spins for every new player. "
        "The bonus is paid at once and no deposit is needed.</p>"
    )
    for host, path in (
        ("online-casino.example", "bonus"),
        ("free-casino-slots.test", ""),
        ("news.example.org", "partners/poker-casino-bonus"),
    ):
        yield Page(f"https://{host}/{path}", document("Bonus", text * 3, site="Lucky").encode())


def cookie_walls() -> Iterator[Page]:
    """Sites that show the same notice instead of what was asked for."""
    buttons = "<button>Accept all</button><button>Settings</button>"
    body = f"<div class='consent'><h2>Your privacy</h2><p>{COOKIES}</p>{buttons}</div>"
    for number in range(8):
        yield Page(f"https://paper-{number}.example/story/{number * 31 + 5}", document("Before you continue", body).encode())


def navigation_only() -> Iterator[Page]:
    """Portals and tag pages: menus all the way down."""
    sections = ("World", "Business", "Culture", "Sport", "Travel", "Opinion", "Weather", "Jobs", "Cars", "Homes")
    for number in range(8):
        columns = "".join(
            f"<div><h3>{section}</h3>{menu([f'{section} {i}' for i in range(number, number + 9)])}</div>" for section in sections
        )
        yield Page(f"https://portal.example.com/tag/{number}", document("All topics", columns, site="Portal").encode())


def calendars() -> Iterator[Page]:
    """A crawler trap: a page for every month, each as empty as the last."""
    for month in range(1, 13):
        days = "".join(
            f"<td><a href='/day/{month}/{day}'>{day}</a></td>" + ("</tr><tr>" if day % 7 == 0 else "") for day in range(1, 29)
        )
        body = f"<h1>Events {month}/2031</h1><table><tr>{days}</tr></table><p>There are no events in this month.</p>"
        yield Page(
            f"https://events.example.org/calendar?month=2031-{month:02d}", document("Events", body, site="Events").encode()
        )
