"""URLs with what does not matter taken out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from gristmill.stages.url_dedup import UrlDedup

PORTS = {"http": "80", "https": "443", "ftp": "21"}
UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_DOTS = re.compile(r"(?:^|/)\.\.?(?:/|$)")


@dataclass(frozen=True)
class UrlRules:
    """What makes two URLs the same."""

    ignore_scheme: bool
    strip_www: bool
    lowercase_path: bool
    ignore_trailing_slash: bool
    keep_fragment: bool
    keep_query: bool
    sort_query: bool
    drop: re.Pattern[str] | None

    @classmethod
    def of(cls, stage: UrlDedup) -> UrlRules:
        """The rules that a stage's settings make."""
        patterns = "|".join(translate(name) for name in stage.drop_parameters)
        return cls(
            stage.ignore_scheme,
            stage.strip_www,
            stage.lowercase_path,
            stage.ignore_trailing_slash,
            stage.keep_fragment,
            stage.keep_query,
            stage.sort_query,
            re.compile(patterns, re.IGNORECASE) if patterns else None,
        )

    def normal(self, url: str) -> str:
        """The URL in its normal form; one that is no URL stands for itself."""
        url = url.strip()
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:  # brackets that hold no IPv6 address, a port that is no number
            return url
        if not host:
            return url
        scheme = parts.scheme.lower()
        if self.strip_www and host.startswith("www."):
            host = host[4:]
        if port is not None and str(port) != PORTS.get(scheme):
            host = f"{host}:{port}"
        path = _path(parts.path)
        if self.ignore_trailing_slash:
            path = path.rstrip("/")
        query = self._query(parts.query) if self.keep_query else ""
        rest = path + (f"?{query}" if query else "")
        if self.lowercase_path:
            rest = rest.lower()
        if self.keep_fragment and parts.fragment:
            rest += f"#{parts.fragment}"
        return f"{'' if self.ignore_scheme and scheme in ('http', 'https') else scheme}//{host}{rest}"

    def _query(self, query: str) -> str:
        pairs = [_escapes(pair) for pair in query.split("&") if pair]
        if self.drop is not None:
            pairs = [pair for pair in pairs if not self.drop.fullmatch(pair.partition("=")[0])]
        return "&".join(sorted(pairs) if self.sort_query else pairs)


def _path(path: str) -> str:
    path = _escapes(path)
    if _DOTS.search(path):
        kept: list[str] = []
        for piece in path.split("/"):
            if piece == "..":
                kept = kept[:-1] if len(kept) > 1 else kept
            elif piece != ".":
                kept.append(piece)
        path = "/".join(kept) + ("/" if path.endswith(("/.", "/..")) else "")
    return path


def _escapes(text: str) -> str:
    return _ESCAPE.sub(lambda found: _character(found.group(1)), text) if "%" in text else text


@lru_cache(maxsize=256)
def _character(digits: str) -> str:
    """What an escape stands for where that is a plain character (RFC 3986, 6.2.2.2), else the escape in capitals."""
    character = chr(int(digits, 16))
    return character if character in UNRESERVED else f"%{digits.upper()}"
