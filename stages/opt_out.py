"""What publishers say about the use of their pages: robots directives, TDM reservations and licences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar
from weakref import WeakKeyDictionary

from pydantic import Field, field_validator

from gristmill.stages.filter import Filter, Rule

if TYPE_CHECKING:
    import numpy as np

    from gristmill.stages.documents import Batch
    from gristmill.stages.rights import Statements

_VERSION = re.compile(r"-[0-9.]+$")
_LICENSE = re.compile(r"(cc-[a-z+]+(-[a-z+]+)*|cc0|pdm)(-[0-9]\.[0-9])?")
_DIRECTIVES = ("noai", "noimageai", "noindex", "nofollow", "noarchive")


class OptOut(Filter):
    """Drop pages whose publisher does not want them used, and note in `meta` what is said.

    Before extraction it reads the page (robots meta, TDM-Reservation, licence links) and the headers that the WARC holds
    (X-Robots-Tag, TDM-Reservation, Link); on documents that are no pages any more it goes by what stands in `meta`. It sets
    there, where it was said: `robots` (list), `tdm_reserved`, `tdm_policy`, `license` (such as cc-by-sa-4.0), `license_url`, and
    `license_links` (Creative Commons licences the page links to without calling them its own).
    """

    kind: ClassVar[str] = "opt_out"
    needs: ClassVar = "page"

    noai: bool = True
    """Drop pages that say `noai`."""

    noimageai: bool = False
    """Drop pages that say `noimageai`, which is about their pictures."""

    noindex: bool = False
    """Drop pages that say `noindex` or `none`."""

    nofollow: bool = False
    """Drop pages that say `nofollow` or `none`."""

    noarchive: bool = False
    """Drop pages that say `noarchive`."""

    tdm_reservation: bool = True
    """Drop pages that reserve the rights to text and data mining (TDM-Reservation: 1)."""

    agents: tuple[Annotated[str, Field(min_length=1)], ...] = ("ccbot",)
    """Robots whose directives count beside those for all: names as in `<meta name="ccbot" ...>`; case does not matter."""

    licenses: tuple[str, ...] | None = None
    """Keep only pages that declare one of these licences, such as cc-by, cc-by-sa-4.0, cc0; without a version, any version."""

    @field_validator("licenses")
    @classmethod
    def _are_licences(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if given is None:
            return None
        names = tuple(name.lower() for name in given)
        if unknown := [name for name in names if not _LICENSE.fullmatch(name)]:
            raise ValueError(f"no licence is called {unknown[0]} here; write cc-by, cc-by-sa-4.0, cc-by-nc-nd, cc0 or pdm, say")
        return names

    def rules(self) -> Iterator[Rule]:
        for directive in _DIRECTIVES:
            if getattr(self, directive):
                yield Rule(directive, directive, at_most=0)
        if self.tdm_reservation:
            yield Rule("tdm_reservation", "tdm_reserved", at_most=0)
        if self.licenses is not None:
            yield Rule("other_license", "is_kept_license", at_least=1)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        """0 or 1: each directive, a TDM reservation, a licence declared, one of Creative Commons, one of these only linked to."""
        import numpy as np

        said = self._statements(batch)
        signals = {name: np.array([name in one.robots for one in said], dtype=np.float64) for name in _DIRECTIVES}
        signals["tdm_reserved"] = np.array([one.tdm_reserved is not None for one in said], dtype=np.float64)
        signals["has_license"] = np.array([one.license_url is not None for one in said], dtype=np.float64)
        signals["has_cc_license"] = np.array([one.license is not None for one in said], dtype=np.float64)
        signals["links_to_cc_license"] = np.array([bool(one.license_links) for one in said], dtype=np.float64)
        if self.licenses is not None:
            signals["is_kept_license"] = np.array([self._is_kept(one.license) for one in said], dtype=np.float64)
        return signals

    def annotate(self, batch: Batch) -> Batch:
        """Add what is said to `meta`."""
        import json

        import pyarrow as pa

        said = self._statements(batch)
        metas: list[str | None] = batch.table["meta"].to_pylist()
        for row, one in enumerate(said):
            if columns := one.columns():
                metas[row] = json.dumps(json.loads(metas[row] or "{}") | columns, ensure_ascii=False, sort_keys=True)
        at = batch.table.schema.get_field_index("meta")
        annotated = batch.with_table(batch.table.set_column(at, batch.table.schema.field(at), pa.array(metas, pa.string())))
        _found.setdefault(annotated, {})[self._agents] = said
        return annotated

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        """Where it was said; for `other_license` the licence that was found."""
        said = self._statements(batch)
        if rule.name == "other_license":
            return [said[row].license_url for row in rows]
        if rule.name == "tdm_reservation":
            return [said[row].tdm_reserved for row in rows]
        return [said[row].robots.get(rule.signal) for row in rows]

    def set_up(self) -> None:
        """Load the kernel."""
        from gristmill.stages import rights_kernels  # noqa: F401

    def code(self) -> list[str]:
        """What reads pages and headers."""
        return [
            "gristmill.stages.rights",
            "gristmill.stages.rights_kernels",
            "gristmill.stages.cut_kernels",
            "gristmill.stages.charset",
            "gristmill.stages.numba_cache",
        ]

    def _is_kept(self, license: str | None) -> bool:
        # cc-by-nc is not cc-by of a version nc
        return license is not None and (license in (kept := self.licenses or ()) or _VERSION.sub("", license) in kept)

    @property
    def _agents(self) -> tuple[str, ...]:
        return tuple(sorted(agent.lower() for agent in self.agents))

    def _statements(self, batch: Batch) -> list[Statements]:
        """What is said of each document, found once a batch."""
        known = _found.setdefault(batch, {})
        if self._agents not in known:
            known[self._agents] = _read(batch, self._agents)
        return known[self._agents]


_found: WeakKeyDictionary[Batch, dict[tuple[str, ...], list[Statements]]] = WeakKeyDictionary()


def _read(batch: Batch, agents: tuple[str, ...]) -> list[Statements]:
    import json

    import pyarrow as pa

    from gristmill.stages.charset import decode_html
    from gristmill.stages.rights import WORDS, Statements, read_meta, read_tag
    from gristmill.stages.rights_kernels import HEAD_BYTES, tags_of

    said = [Statements() for _ in range(len(batch))]
    words = [word.encode() for word in (*WORDS, *agents)]
    if "html" in batch.table.column_names:
        urls, types = batch.table["url"].to_pylist(), batch.table["content_type"].to_pylist()
        for row, tag in tags_of(batch.table["html"], words):
            if b"\0" in tag[:HEAD_BYTES]:  # a whole page in UTF-16
                page = decode_html(tag, types[row]).replace("\0", "").encode("utf-8", "replace")
                for _, one in tags_of(pa.chunked_array([pa.array([page], pa.large_binary())]), words):
                    read_tag(one, agents, urls[row], said[row])
            else:
                read_tag(tag, agents, urls[row], said[row])
    for row, meta in enumerate(batch.table["meta"].to_pylist()):
        if meta and any(name in meta for name in ("robots", "tdm_", "license", "link")):
            found = json.loads(meta)
            if isinstance(found, dict):
                read_meta(found, agents, said[row])
    return said
