"""`report.html`: the funnel as a picture, the rules with examples of what they removed, and what made the run."""

from __future__ import annotations

from importlib.resources import files
from io import StringIO
from typing import TYPE_CHECKING, Any

from gristmill.pipeline import display
from gristmill.pipeline.cluster_sizes import report_clusters
from gristmill.pipeline.contamination import contamination_of
from gristmill.pipeline.funnel import by_rule, by_source, by_stage
from gristmill.pipeline.funnel_svg import funnel_svg
from gristmill.pipeline.published import PublishedRun
from gristmill.pipeline.rule_counts import RuleCounts, evaluates_all, rule_counts
from gristmill.pipeline.sample import lowest, no_text
from gristmill.pipeline.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Hashable

    import fsspec

__all__ = ["funnel_svg", "report_html", "write_report"]

EXAMPLES = 5
"""Documents shown a rule."""

_EXCERPT = 700
"""Characters of a document that are shown."""

_LISTED = 50
"""Most inputs, and most damaged places, that are named."""

DAMAGED = "unreadable_bytes"
"""The rule of `read` that stands for a gap in a file."""


def write_report(fs: fsspec.AbstractFileSystem, folder_path: str) -> None:
    """Write `report.html` into a run folder, from its `run.json`, `funnel.json` and `removed/`.

    Args:
        fs: the file system that the folder is on.
        folder_path: the run folder on it.
    """
    storage = Storage(fs.unstrip_protocol(folder_path), dict(fs.storage_options))
    storage.put("report.html", report_html(PublishedRun(storage)).encode())


def report_html(published: PublishedRun) -> str:
    """The report: one page that needs no other file, no network and no scripts; the same for the same run."""
    from jinja2 import Environment, StrictUndefined

    # everything that comes from documents is hostile: escaped here, and the page's own policy lets nothing load or run
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(count=display.count, bytes=display.byte_size, visible=display.visible, value=display.value)
    template = environment.from_string(files("gristmill.pipeline").joinpath("report.html.jinja").read_text(encoding="utf-8"))
    rows = published.rows
    stages = by_stage(rows)
    # reading all signals takes a while, so only where the recipe asks for every failed rule
    counts = rule_counts(published, evaluates_all) if _evaluates_all(published) else {}
    return template.render(
        name=published.facts.get("recipe", {}).get("name", "a run"),
        tiles=_tiles(published, stages),
        svg=funnel_svg(rows),
        stages=stages,
        doubts=[str(told) for told in published.facts.get("doubts") or ()],
        sources=by_source(rows),
        removals=_removals(published, rows, counts),
        every_rule=bool(counts),
        clusters=report_clusters(published.funnel.get("clusters") or {}),
        damaged=_damaged(published),
        contamination=contamination_of(published),
        facts=_facts(published),
        inputs=_inputs(published),
        settings=_yaml(published.facts.get("recipe", {})),
        percent=display.percent,
        examples=EXAMPLES,
    )


def _tiles(published: PublishedRun, stages: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """The run in a few numbers: what, how many, and a word on it."""
    sources = by_source(published.rows)
    read, kept = published.records_read, sum(source["kept"] for source in sources)
    tiles = [
        ("records read", display.count(read), _plural(len(published.facts.get("inputs") or ()), "input file")),
        ("documents kept", display.count(kept), f"{display.percent(kept, read)} of the records"),
    ]
    words = [source["words_kept"] for source in sources]
    if words and None not in words:
        first = stages[0]["words_read"] if stages else None
        tiles.append(("words kept", display.count(sum(words)), f"{display.percent(sum(words), first)} of the words"))
    tiles.append(("text kept", display.byte_size(sum(source["bytes_kept"] or 0 for source in sources)), "UTF-8"))
    return tiles


def _plural(number: int, what: str) -> str:
    return f"{display.count(number)} {what}{'' if number == 1 else 's'}"


def _removals(published: PublishedRun, rows: list[dict[str, Any]], counts: RuleCounts) -> list[dict[str, Any]]:
    """Stages that removed something, each with its rules, their bounds and their examples."""
    chosen = lowest(published, EXAMPLES, lambda stage, rule: (stage, rule))
    bounds = _bounds(published)
    stages: dict[str, dict[str, Any]] = {}
    for rule in by_rule(rows, counts):
        stage = stages.setdefault(rule["stage"], {"stage": rule["stage"], "removed": 0, "in": rule["in"], "rules": []})
        key: Hashable = (rule["stage"], rule["rule"])
        shown = [_example(row, bounds.get((rule["stage"], rule["rule"]), {})) for row in chosen.get(key, [])]
        bound = bounds.get((rule["stage"], rule["rule"]))
        told = f"{bound['signal']} {display.bound(bound)}" if bound else ""
        stage["rules"].append(
            {**rule, "bound": told, "examples": shown, "anchor": f"rule-{len(stages)}-{len(stage['rules']) + 1}"}
        )
        stage["removed"] += rule["removed"]
    return list(stages.values())


def _evaluates_all(published: PublishedRun) -> bool:
    """Whether any filter of the recipe is asked for every failed rule."""
    recipe = published.facts.get("recipe", {})
    lists = [*(source.get("stages", []) for source in recipe.get("sources", {}).values()), recipe.get("stages", [])]
    entries = (settings for stages in lists for stage in stages if isinstance(stage, dict) for settings in stage.values())
    return any(isinstance(settings, dict) and settings.get("evaluate") == "all" for settings in entries)


def _bounds(published: PublishedRun) -> dict[tuple[str, str], dict[str, Any]]:
    """The bound of each rule by stage and rule; where sources differ, the first source's."""
    bounds: dict[tuple[str, str], dict[str, Any]] = {}
    for stage in published.facts.get("stages", []):
        for rule in stage.get("rules", []):
            bounds.setdefault((stage["label"], rule["rule"]), rule)
    return bounds


def _example(row: dict[str, Any], bound: dict[str, Any]) -> dict[str, Any]:
    """A ledger row as the report shows it."""
    measured = None
    if row["value"] is not None or row["threshold"] is not None:
        wanted = (
            display.bound({**bound, "threshold": row["threshold"]}) if bound else f"threshold {display.value(row['threshold'])}"
        )
        measured = f"{bound.get('signal', 'value')} {display.value(row['value'])}, {wanted}"
    return {
        "id": row["id"],
        "url": row["url"],
        "where": f"{row['source']}: {row['file']} at {row['position']:,}",
        "measured": measured,
        "kept_id": row["kept_id"],
        "similarity": row["similarity"],
        "detail": None if not row["detail"] else display.excerpt(row["detail"], 300),
        "text": display.excerpt(row["text"].strip(), _EXCERPT) if row["text"] else None,
        "no_text": no_text(row),
    }


def _damaged(published: PublishedRun) -> dict[str, Any]:
    """How many gaps the inputs have, and the first of them by sample hash."""
    number = sum(row["rules"].get(DAMAGED, 0) for row in published.rows if row["stage"] == "read")
    if not number:
        return {"number": 0, "rows": []}
    chosen = lowest(published, _LISTED, lambda stage, rule: "gap" if (stage, rule) == ("read", DAMAGED) else None)
    rows = sorted(chosen.get("gap", []), key=lambda row: (row["source"], row["file"], row["position"]))
    return {"number": number, "rows": rows}


def _inputs(published: PublishedRun) -> dict[str, Any]:
    """The input files, sizes where known; only the first of many are named."""
    inputs = [entry if isinstance(entry, dict) else {"path": str(entry)} for entry in published.facts.get("inputs") or ()]
    rows = [{"source": entry.get("source", ""), "path": entry.get("path", ""), "size": entry.get("size")} for entry in inputs]
    known = [row["size"] for row in rows if row["size"] is not None]
    return {"number": len(rows), "rows": rows[:_LISTED], "bytes": sum(known) if known else None}


def _facts(published: PublishedRun) -> list[tuple[str, str]]:
    """What else `run.json` says about the run, in short: versions, seeds, records that were no documents."""
    facts: list[tuple[str, str]] = []
    told = {"gristmill": "Gristmill", "limit": "limited to records", "sample": "share of records sampled"}
    for key, name in told.items():
        if (fact := published.facts.get(key)) is not None:
            facts.append((name, str(fact)))
    if (seed := published.facts.get("recipe", {}).get("seed")) is not None:
        facts.append(("seed", str(seed)))
    versions = published.facts.get("versions")
    if isinstance(versions, dict):
        facts += [(str(name), str(version)) for name, version in sorted(versions.items()) if name != "gristmill"]
    facts += [("list left out", str(missing)) for missing in published.facts.get("left_out") or ()]
    if gone := published.facts.get("forgotten"):
        facts.append(("documents forgotten (gristmill forget)", display.count(gone)))
    others = published.facts.get("other_records") or {}
    facts += [(f"{name} records, not documents", display.count(others[name])) for name in sorted(others) if others[name]]
    return facts


def _yaml(value: Any) -> str:
    from ruamel.yaml import YAML

    writer = YAML()
    writer.default_flow_style = False
    writer.width = 120
    stream = StringIO()
    writer.dump(value, stream)
    return stream.getvalue()
