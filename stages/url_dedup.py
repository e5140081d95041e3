"""Documents of one address: of those whose normalised URLs are the same, one stays."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.keeper import Keep

if TYPE_CHECKING:
    import pyarrow as pa

    from gristmill.stages.documents import Batch
    from gristmill.stages.normal_url import UrlRules

TRACKING = (
    "utm_*",
    "gclid",
    "dclid",
    "gbraid",
    "wbraid",
    "fbclid",
    "msclkid",
    "yclid",
    "igshid",
    "mc_cid",
    "mc_eid",
    "_ga",
    "_gl",
    "_hsenc",
    "_hsmi",
    "mkt_tok",
    "vero_id",
    "oly_anon_id",
    "oly_enc_id",
    "ref_src",
    "PHPSESSID",
    "jsessionid",
)
"""Parameters that say how a reader came, or who it is, and not what is shown; `*` stands for anything."""


class UrlDedup(Deduplicator):
    """Keep one of the documents whose URLs are the same but for what does not matter.

    Hosts are compared without regard to case, a scheme's own port and empty queries do not count, and %7e is ~ (RFC 3986,
    section 6). Documents without a URL are never duplicates here.
    """

    kind: ClassVar[str] = "url_dedup"
    one_key: ClassVar[bool] = True
    needs: ClassVar[Literal["text", "html", "page", "url"]] = "url"

    keep: Keep = "newest"
    """Which document of a URL stays: `newest` or `oldest` (date), `longest`, or another policy, as for `exact`."""

    ignore_scheme: bool = True
    """Take http and https for the same."""

    strip_www: bool = False
    """Take www.example.com for example.com."""

    lowercase_path: bool = False
    """Take capitals in path and query for small letters; most servers tell them apart."""

    ignore_trailing_slash: bool = True
    """Take /page/ for /page."""

    keep_fragment: bool = False
    """Tell URLs apart by what follows `#`, as for pages that a script fills."""

    keep_query: bool = True
    """Tell URLs apart by what follows `?`."""

    sort_query: bool = True
    """Take ?b=2&a=1 for ?a=1&b=2."""

    drop_parameters: tuple[str, ...] = TRACKING
    """Parameters of the query that do not count, by name; `*` stands for anything, case does not matter."""

    @property
    def rule(self) -> str:
        return "duplicate_url"

    @cached_property
    def _rules(self) -> UrlRules:
        from gristmill.stages.normal_url import UrlRules

        return UrlRules.of(self)

    def code(self) -> list[str]:
        """Normalisation and hashes."""
        return ["gristmill.stages.normal_url"]

    def emit(self, batch: Batch, wave: int = 0) -> pa.Table:
        """One row a document with a URL: both halves of a 128-bit hash (BLAKE2b) of its normalised URL."""
        from hashlib import blake2b

        import numpy as np
        import pyarrow as pa

        rules = self._rules
        rows, digests = [], []
        for row, url in enumerate(batch.table["url"].to_pylist()):
            if url is not None and (normal := rules.normal(url)):
                rows.append(row)
                digests.append(blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        halves = np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)
        return pa.table(
            {
                "key": np.ascontiguousarray(halves[:, 0]),
                "check": np.ascontiguousarray(halves[:, 1]),
                "row": pa.array(rows, pa.int64()),
            }
        )
