"""Which documents of a run a request to forget means: by id, by the beginning of the URL, by domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.published import PublishedRun

if TYPE_CHECKING:
    import pyarrow as pa

GAP = ("read", "unreadable_bytes")
"""Stage and rule of ledger rows that stand for no record."""


@dataclass(frozen=True)
class Selection:
    """What was asked for."""

    ids: tuple[str, ...] = ()
    url_prefixes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ids or self.url_prefixes or self.domains)


@dataclass(frozen=True)
class Found:
    """A document that was asked for, and where its fate has put it."""

    id: str
    source: str
    file: str
    position: int
    outcome: str
    """`kept`, or `removed at STAGE`."""


@dataclass
class Resolved:
    """What a selection means in a run."""

    found: list[Found] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Ids, prefixes and domains that no record has, as they were asked for."""

    def counts(self) -> list[dict[str, Any]]:
        """A row for each source and outcome: how many documents."""
        numbers: dict[tuple[str, str], int] = {}
        for one in self.found:
            numbers[one.source, one.outcome] = numbers.get((one.source, one.outcome), 0) + 1
        return [{"source": source, "outcome": outcome, "documents": number} for (source, outcome), number in numbers.items()]


def selection(
    ids: Sequence[str] = (), ids_file: str | None = None, url_prefixes: Sequence[str] = (), domains: Sequence[str] = ()
) -> Selection:
    """Check what was asked for.

    Args:
        ids: of documents; the UUID alone means a WARC record too.
        ids_file: file with one id a line; blank lines say nothing.
        url_prefixes: how URLs begin, scheme and all.
        domains: hosts; those below them are meant too.

    Raises:
        UserError: a file that cannot be read, a prefix without a scheme, something that is no domain.
    """
    from gristmill.stages.url_match import host

    listed = _ids_of(ids_file) if ids_file is not None else []
    for prefix in url_prefixes:
        scheme, mark, rest = prefix.partition("://")
        if not (scheme and mark and rest):
            raise UserError(
                f"--url-prefix {prefix or repr('')}: should be the beginning of URLs with their scheme and host, "
                "https://example.org/private/, say; for all of a host give --domain"
            )
    names = []
    for domain in domains:
        name = host(domain.strip().removeprefix("*.").removeprefix("."))
        if not name or "/" in domain or " " in domain.strip():
            raise UserError(f"--domain {domain or repr('')}: should be the name of a host, example.org, say")
        names.append(name)
    if "" in (every := (*ids, *listed)):
        raise UserError("--id: is empty; give the id of a document")
    return Selection(tuple(dict.fromkeys(every)), tuple(dict.fromkeys(url_prefixes)), tuple(dict.fromkeys(names)))


def _ids_of(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            ids = [line.rstrip("\n") for line in file]
    except UnicodeDecodeError as error:
        raise UserError(f"--ids {path}: is no UTF-8 ({error}); give a text file with one id a line") from None
    except OSError as error:
        raise UserError(f"--ids {path}: {(error.strerror or str(error)).lower()}; give a text file with one id a line") from None
    if not (ids := [one for one in ids if one.strip()]):
        raise UserError(f"--ids {path}: holds no id; give a text file with one id a line")
    return ids


def spellings(identifier: str) -> tuple[str, ...]:
    """How a record may be called that somebody calls so: WARC-Record-ID is <urn:uuid:...>, awkward to type in a shell."""
    bare = identifier.removeprefix("<").removesuffix(">").removeprefix("urn:uuid:")
    return tuple(dict.fromkeys((identifier, f"<urn:uuid:{bare}>", f"urn:uuid:{bare}")))


def resolve(published: PublishedRun, wanted: Selection) -> Resolved:
    """Look a selection up among the published documents and the ledger; only the columns that it takes are read."""
    asked = {spelling: one for one in wanted.ids for spelling in spellings(one)}
    result = Resolved()
    met: set[str] = set()
    for table, outcomes in _tables(published, [*asked], wanted):
        for row, outcome in zip(table.to_pylist(), outcomes, strict=True):
            matched = {asked[row["id"]]} if row["id"] in asked else set()
            matched |= _of_url(row["url"], wanted)
            if matched:
                met |= matched
                result.found.append(Found(row["id"], row["source"], row["file"], row["position"], outcome))
    every = (*wanted.ids, *wanted.url_prefixes, *wanted.domains)
    result.unknown = [one for one in every if one not in met]
    return result


def _tables(published: PublishedRun, ids: list[str], wanted: Selection) -> Iterator[tuple[pa.Table, list[str]]]:
    """Rows that may be meant, with the outcome of each: cheap tests on whole columns leave few to look at one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = ["id", "url", "source", "file", "position"]
    known = pa.array(ids, pa.string())
    for folder in ("documents", "removed"):
        for file in published.files(folder):
            with published.parquet(file) as parquet:
                more = [] if folder == "documents" else ["stage", "rule"]
                for batch in parquet.iter_batches(columns=[*columns, *more]):
                    table = pa.Table.from_batches([batch])
                    maybe = pc.is_in(table["id"], known)
                    for text in (*wanted.url_prefixes, *wanted.domains):
                        # a host may be written in capitals or, where it is international, as it is spoken
                        test = (
                            pc.starts_with(table["url"], text)
                            if text in wanted.url_prefixes
                            else pc.match_substring(table["url"], text, ignore_case=True)
                            if "xn--" not in text
                            else pc.is_valid(table["url"])
                        )
                        maybe = pc.or_(maybe, pc.fill_null(test, False))
                    table = table.filter(maybe)
                    outcomes = ["kept"] * table.num_rows
                    if more:
                        records = [
                            pair != GAP for pair in zip(table["stage"].to_pylist(), table["rule"].to_pylist(), strict=True)
                        ]
                        table = table.filter(pa.array(records, pa.bool_()))
                        outcomes = [f"removed at {stage}" for stage in table["stage"].to_pylist()]
                    yield table.select(columns), outcomes


def _of_url(url: str | None, wanted: Selection) -> set[str]:
    """The prefixes and domains that a URL falls under."""
    from gristmill.stages.url_match import host

    if url is None or not (wanted.url_prefixes or wanted.domains):
        return set()
    name = host(url) if wanted.domains else ""
    return {prefix for prefix in wanted.url_prefixes if url.startswith(prefix)} | {
        domain for domain in wanted.domains if name == domain or name.endswith(f".{domain}")
    }
