"""What happened to one document: the stages it passed, its signal values beside the thresholds, and where it ended."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gristmill.pipeline import display
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.forget_selection import spellings
from gristmill.pipeline.forgotten import Forgotten
from gristmill.pipeline.published import ID, KEPT, REMOVED, SIGNALS, URL, Place, PublishedRun, RunFolder
from gristmill.pipeline.why_places import place_lines, places_of
from gristmill.stages.filter import LANGUAGE_NUMBER
from gristmill.stages.language_codes import language_of, matching_key

if TYPE_CHECKING:
    from rich.console import Console

_UNREAD = ("text", "meta", "html")
"""Columns that `why` does not need and that are most of a file."""

_SCANNED = 100_000
"""Documents looked through for an id or URL like the one that is unknown."""
_COMPARED = 2000
"""Of those, how many are compared letter by letter."""


def why(run: RunFolder, id_or_url: str) -> list[dict[str, Any]]:
    """The fate of the documents of this id or URL.

    Args:
        run: folder that `gristmill run` wrote.
        id_or_url: an id, or a URL (which many documents can have). The UUID alone finds a WARC record.

    Returns:
        One object a document: `id`, `url`, `source`, `outcome` ("kept" or "removed"), `stage`, `rule`, `value`, `threshold`,
        `kept_id`, `similarity`, `detail`, `file`, `position`; `stages`: what it went through, ending where it ended, each
        `{"stage", "rules": [{"rule", "signal", "bound", "value", "threshold", "passed"}]}` (`passed` is None where the value
        is not known); `chain`: for a duplicate the document kept in its place, the one kept in place of that, and so on;
        `kept_fate`: "kept" or "removed", the outcome of the last of the chain; None for others. The outcome of one that was
        taken out by `gristmill forget` is "forgotten", with `when` and `reason`; nothing else is known of it.
        `edits`: what editors cut from it, each `{"stage", "start", "end", "text", "put", "detail"}` (characters of the text
        before the stage; what stood there, what stands there now), in the order of the stages; `edited_by`: the editors that
        are known to have changed it, `maybe_edited_by`: those that changed documents of its source without writing down which;
        `reports`: what filters tell of it though it stayed, as `edits` but without `put`.

    Raises:
        UserError: nothing in the run has that id or URL, or the folder holds no finished run.
    """
    published = PublishedRun(run)
    published.funnel  # noqa: B018 - says so when nothing is published yet
    places = _places(published, id_or_url)
    if not places:
        if gone := _forgotten(published, id_or_url):
            return gone
        raise UserError(_unknown(published, id_or_url))
    return [_explain(published, record, place) for record, place in places]


def _forgotten(published: PublishedRun, identifier: str) -> list[dict[str, Any]]:
    """What is remembered of a document that was taken out of the run."""
    known = Forgotten.of(published.storage).by_id
    nothing = dict.fromkeys(("stage", "rule", "value", "threshold", "kept_id", "similarity", "detail"))
    return [
        {"id": one.id, "url": None, "source": one.source, "outcome": "forgotten"}
        | nothing
        | {"file": one.file, "position": one.position, "stages": [], "chain": [], "kept_fate": None}
        | {"edits": [], "edited_by": [], "maybe_edited_by": [], "reports": []}
        | {"when": one.when, "reason": one.reason}
        for spelling in spellings(identifier)
        for one in known.get(spelling, [])[:1]
    ]


def print_why(run: RunFolder, id_or_url: str) -> None:
    """Print `why` for people, to stdout."""
    console = display.stdout()
    for number, fate in enumerate(why(run, id_or_url)):
        if number:
            console.print()
        _print_fate(console, fate)


def _places(published: PublishedRun, id_or_url: str) -> list[tuple[dict[str, Any], Place]]:
    """Documents and ledger rows of an id or, where there is none, of a URL."""
    for document_id in spellings(id_or_url):
        if found := _rows(published, document_id, "id"):
            return found
    return _rows(published, id_or_url, "url")


def _rows(published: PublishedRun, text: str, column: str) -> list[tuple[dict[str, Any], Place]]:
    kind = ID if column == "id" else URL
    places = [place for place in published.lookup(text, kind) if place.outcome in (KEPT, REMOVED)]
    records = [(published.row(place, leave_out=_UNREAD), place) for place in places]
    return [(record, place) for record, place in records if record[column] == text]


def _signals(published: PublishedRun, document_id: str) -> dict[str, float]:
    """All signal values of a document as `stage.signal`, of the latest version of its text that has them."""
    places = [place for place in published.lookup(document_id, ID) if place.outcome == SIGNALS]
    rows = [row for place in places if (row := published.row(place))["id"] == document_id]
    values: dict[str, float] = {}
    for row in sorted(rows, key=lambda row: row.get("version") or 0):
        values.update({name: value for name, value in row.items() if "." in name and value is not None})
    return values


def _explain(published: PublishedRun, record: dict[str, Any], place: Place) -> dict[str, Any]:
    kept = place.outcome == KEPT
    ledger = {} if kept else record
    chain = _chain(published, ledger.get("kept_id"), {record["id"]})
    stages = _stages(published, record, ledger)
    return {
        "id": record["id"],
        "url": record["url"],
        "source": record["source"],
        "outcome": "kept" if kept else "removed",
        **{key: ledger.get(key) for key in ("stage", "rule", "value", "threshold", "kept_id", "similarity", "detail")},
        "file": record["file"],
        "position": record["position"],
        "stages": stages,
        "chain": chain,
        "kept_fate": chain[-1]["outcome"] if chain else None,
        **places_of(published, record["id"], record["source"], [stage["stage"] for stage in stages], kept),
    }


def _stages(published: PublishedRun, record: dict[str, Any], ledger: dict[str, Any]) -> list[dict[str, Any]]:
    signals = _signals(published, record["id"])
    stages = []
    for stage in published.stages_of(record["source"]):
        ended = bool(ledger) and stage["label"] == ledger["stage"]
        rules = [_judged(stage["label"], rule, signals, ledger if ended else None) for rule in stage.get("rules", [])]
        if ended and all(rule["rule"] != ledger["rule"] for rule in rules):
            # reasons that are no bound on a signal, such as a duplicate or an empty extraction
            failed = {
                "rule": ledger["rule"],
                "signal": None,
                "bound": None,
                "value": ledger["value"],
                "threshold": ledger["threshold"],
            }
            rules.append({**failed, "passed": False})
        stages.append({"stage": stage["label"], "rules": rules})
        if ended:
            break
    return stages


def _judged(label: str, rule: dict[str, Any], signals: dict[str, float], ledger: dict[str, Any] | None) -> dict[str, Any]:
    """One rule and the document's value; `ledger` is the document's row where it was removed by this stage."""
    value = signals.get(f"{label}.{rule['signal']}")
    threshold = _threshold(rule, signals.get(f"{label}.{LANGUAGE_NUMBER}"))
    passed: bool | None
    if ledger is None:
        passed = True
    elif rule["rule"] == ledger["rule"]:
        value, threshold, passed = ledger["value"], ledger["threshold"], False
    elif rule["rule"] in (ledger.get("failed_rules") or ()):
        passed = False
    else:
        passed = _holds(rule.get("bound"), value, threshold)
    # JSON knows no NaN; a signal that does not apply has no value
    shown = value if value is not None and math.isfinite(value) else None
    judged = {"rule": rule["rule"], "signal": rule["signal"], "bound": rule.get("bound"), "value": shown, "threshold": threshold}
    return {**judged, "passed": passed}


def _threshold(rule: dict[str, Any], language: float | None) -> float | None:
    """The threshold of a rule for documents in a language, which is given as `language_number` does."""
    by_language = rule.get("by_language", {})
    key = None if language is None else matching_key(language_of(language), by_language)
    threshold: float | None = rule["threshold"] if key is None else by_language[key]
    return threshold


def _holds(bound: str | None, value: float | None, threshold: float | None) -> bool | None:
    if value is None or threshold is None:
        return None
    if math.isnan(value):
        return True  # as Rule has it: a signal that does not apply passes
    return {
        "at_least": value >= threshold,
        "at_most": value <= threshold,
        "above": value > threshold,
        "below": value < threshold,
    }.get(bound or "")


def _chain(published: PublishedRun, kept_id: str | None, seen: set[str]) -> list[dict[str, Any]]:
    """The document kept in place of a duplicate, then the one kept in place of that one, and so on."""
    chain = []
    while kept_id is not None and kept_id not in seen:
        seen.add(kept_id)
        found = _rows(published, kept_id, "id")
        if not found:
            break
        record, place = found[0]
        ledger = {} if place.outcome == KEPT else record
        outcome = "kept" if place.outcome == KEPT else "removed"
        told = {key: ledger.get(key) for key in ("stage", "rule", "value", "threshold", "kept_id", "similarity")}
        chain.append({"id": kept_id, "url": record["url"], "source": record["source"], "outcome": outcome, **told})
        kept_id = ledger.get("kept_id")
    return chain


def _unknown(published: PublishedRun, id_or_url: str) -> str:
    """What to say about an id or URL that the run does not have."""
    records = display.count(published.records_read)
    text = f"{published.folder}: none of its {records} records has the id or URL {display.visible(id_or_url)!r}"
    if number := published.facts.get("forgotten"):
        text += f" (of {display.count(number)} forgotten ones only the ids are remembered)"
    if like := _like(published, id_or_url):
        return f"{text}; did you mean {display.visible(like)}"
    for folder in ("documents", "removed"):
        for file in published.files(folder):
            with published.parquet(file) as parquet:
                if parquet.metadata.num_rows:
                    example = next(parquet.iter_batches(batch_size=1, columns=["id"]))["id"][0].as_py()
                    return f"{text}; an id looks like {display.visible(example)!r}"
    return f"{text}; it read nothing"


def _like(published: PublishedRun, unknown: str) -> str | None:
    """An id or URL of the run that differs little from this one."""
    if "://" not in unknown:
        return _closest(published, unknown, "id")
    scheme, _, rest = unknown.partition("://")
    bare = rest.removeprefix("www.")
    for prefix in (scheme, "http" if scheme == "https" else "https"):
        for host in (bare, f"www.{bare}"):
            for ending in (host, host.rstrip("/"), host.rstrip("/") + "/", host.partition("#")[0], host.partition("?")[0]):
                if _rows(published, url := f"{prefix}://{ending}", "url"):
                    return url
    return _closest(published, unknown, "url")


def _closest(published: PublishedRun, unknown: str, column: str) -> str | None:
    """The most similar id or URL among the first documents of the run, URLs of the same host before others."""
    host = unknown.split("/")[2] if column == "url" and unknown.count("/") > 1 else None
    of_host: set[str] = set()
    others: set[str] = set()
    for text in _first_texts(published, column):
        # a cheap test first: comparing texts is quadratic in their length
        if abs(len(text) - len(unknown)) < 20:
            chosen = of_host if host and host in text else others
            if len(chosen) < _COMPARED:
                chosen.add(text)
    for candidates in (of_host, others):
        if closest := difflib.get_close_matches(unknown, sorted(candidates), n=1, cutoff=0.8):
            return closest[0]
    return None


def _first_texts(published: PublishedRun, column: str) -> Iterator[str]:
    """Ids or URLs of the first documents and ledger rows; a large run is not read whole."""
    scanned = 0
    for file in published.files("documents") + published.files("removed"):
        with published.parquet(file) as parquet:
            for batch in parquet.iter_batches(columns=[column]):
                yield from filter(None, batch[column].to_pylist())
                scanned += len(batch)
                if scanned >= _SCANNED:
                    return


def _print_fate(console: Console, fate: dict[str, Any]) -> None:
    def line(text: str, style: str | None = None) -> None:
        console.print(display.visible(text), style=style, markup=False, soft_wrap=True)

    line(fate["id"], "bold")
    if fate["url"]:
        line(fate["url"])
    line(f"source {fate['source']}, {fate['file']} at {fate['position']:,}", "dim")
    for stage in fate["stages"]:
        ended = fate["outcome"] == "removed" and stage["stage"] == fate["stage"]
        line(f"  {'✗' if ended else '✓'} {stage['stage']}", "red" if ended else "green")
        for rule in stage["rules"]:
            line(f"      {_rule_line(rule)}", "red" if rule["passed"] is False else "dim")
        for told in place_lines(fate, stage["stage"]):
            line(f"      {told}", "yellow")
    if fate["outcome"] == "kept":
        line("kept", "bold green")
        return
    if fate["outcome"] == "forgotten":
        line(f"forgotten {fate['when']}" + (f": {fate['reason']}" if fate["reason"] else ""), "bold")
        return
    similar = "" if fate["similarity"] is None else f", similarity {display.value(fate['similarity'])}"
    line(f"removed at {fate['stage']}: {fate['rule']}" + (f" ({fate['detail']})" if fate["detail"] else ""), "bold red")
    if fate["kept_id"]:
        line(f"kept in its place: {fate['kept_id']}{similar}")
    for kept in fate["chain"]:
        url = f" {kept['url']}" if kept["url"] else ""
        if kept["outcome"] == "kept":
            line(f"  {kept['id']}{url} is kept")
        else:
            instead = f", in favour of {kept['kept_id']}" if kept["kept_id"] else ""
            line(f"  {kept['id']}{url} was itself removed later, at {kept['stage']}: {kept['rule']}{instead}")


def _rule_line(rule: dict[str, Any]) -> str:
    mark = {True: "✓", False: "✗", None: "·"}[rule["passed"]]
    value = "not measured" if rule["value"] is None else display.value(rule["value"])
    if rule["signal"] is None:
        told = rule["value"] is not None or rule["threshold"] is not None
        return f"{mark} {rule['rule']}" + (f"  {value}, threshold {display.value(rule['threshold'])}" if told else "")
    return f"{mark} {rule['rule']}  {rule['signal']} {value}, {display.bound(rule)}"
