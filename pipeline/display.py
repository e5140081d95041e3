"""How numbers and strangers' text are shown to people, in the terminal and in the report."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# C0 and C1 controls except tab and newline, and the characters that reorder a line: a document must not be able to drive
# the terminal (escape sequences) or to make a value read backwards.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")

_PLAIN_WIDTH = 400


def visible(text: str) -> str:
    """The text with every control and reordering character replaced by U+FFFD; line ends become plain newlines."""
    return _UNSHOWABLE.sub("\ufffd", text.replace("\r\n", "\n"))


def one_line(text: str, characters: int) -> str:
    """The beginning of the text on one line of at most `characters` characters."""
    return excerpt(" ".join(visible(text).split()), characters)


def excerpt(text: str, characters: int) -> str:
    """The first `characters` characters, ending in an ellipsis where something was cut off."""
    shown = visible(text)
    return shown if len(shown) <= characters else shown[: characters - 1].rstrip() + "…"


def count(number: int | None) -> str:
    """A count with thousands separators; a dash where it is not known."""
    return "-" if number is None else f"{number:,}"


def percent(part: int | None, whole: int | None) -> str:
    """A share in percent with one decimal; never rounded to 0 or 100 unless it is; a dash where the whole is 0 or unknown."""
    if part is None or not whole:
        return "-"
    shown = f"{100 * part / whole:.1f}%"
    if shown == "0.0%" and part > 0:
        return "<0.1%"
    if shown == "100.0%" and part < whole:
        return ">99.9%"
    return shown


def byte_size(number: int | None) -> str:
    """Bytes in the largest decimal unit that leaves at least 1, e.g. `12.3 MB`."""
    if number is None:
        return "-"
    size = float(number)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        # 999.95 would be shown as 1000.0 of the smaller unit
        if size < 999.95 or unit == "TB":
            break
        size /= 1000
    return f"{number} B" if unit == "B" else f"{size:,.1f} {unit}"


def value(number: float | None) -> str:
    """A signal's value or a threshold: up to 6 significant digits, whole numbers as such; a dash for None."""
    if number is None:
        return "-"
    return f"{int(number):,}" if float(number).is_integer() and abs(number) < 1e15 else f"{number:.6g}"


def bound(rule: dict[str, object]) -> str:
    """A rule's bound in words, e.g. `at least 50`."""
    threshold = rule.get("threshold")
    words = str(rule.get("bound") or "bound").replace("_", " ")
    return f"{words} {value(threshold)}" if isinstance(threshold, int | float) else words


def stdout() -> Console:
    """Where results go: as wide as the terminal, or unwrapped lines without colour when it is none; `ut1:adult:` is no emoji."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(file=sys.stdout, highlight=False, emoji=False)
    return Console(file=sys.stdout, highlight=False, emoji=False, width=_PLAIN_WIDTH, no_color=True)
