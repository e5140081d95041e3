"""The funnel of a run: what each stage was given, what it kept, and what removed the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from gristmill.pipeline import display
from gristmill.pipeline.bloom_facts import told_filters
from gristmill.pipeline.cluster_sizes import told_clusters
from gristmill.pipeline.published import PublishedRun, RunFolder

if TYPE_CHECKING:
    from rich.console import Console

    from gristmill.pipeline.rule_counts import RuleCounts

By = Literal["stage", "source", "rule"]

_TOP_RULES = 4
_NARROW = 130
"""Columns below which the rules are listed under the table instead of in it."""


def funnel(run: RunFolder, by: By = "stage") -> dict[str, Any]:
    """The run's funnel, `{"rows": [...]}`, one row a stage and source.

    Args:
        run: folder that `gristmill run` wrote.
        by: with `rule`, rows of filters whose signals are stored also have `alone` and `only`, documents by rule, as
            `rule_counts` has them; this reads the signals.

    Raises:
        UserError: the folder holds no finished run.
    """
    published = PublishedRun(run)
    if by != "rule":
        return published.funnel
    from gristmill.pipeline.rule_counts import rule_counts

    counts = rule_counts(published)
    return {**published.funnel, "rows": [row | counts.get((row["stage"], row["source"]), {}) for row in published.rows]}


def by_stage(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows summed over sources, in the order of the stages.

    Each has the keys of a funnel row without `source`, and `read`, `words_read`: the records read, and the words first
    counted, of the sources that reach the stage. Shares are of those: a stage of one source says nothing of another.
    """
    summed: dict[str, dict[str, Any]] = {}
    reach: dict[str, set[str]] = {}
    for row in rows:
        stage = summed.setdefault(row["stage"], _empty(row["stage"]))
        _add(stage, row)
        reach.setdefault(row["stage"], set()).add(row["source"])
    read = {row["source"]: row["in"] for row in rows if row["stage"] == "read"}
    words: dict[str, int] = {}
    for row in rows:
        if (first := row["words_in"] if row["words_in"] is not None else row["words_kept"]) is not None:
            words.setdefault(row["source"], first)
    for stage in summed.values():
        stage["read"] = sum(read.get(source, 0) for source in reach[stage["stage"]])
        known = [words[source] for source in reach[stage["stage"]] if source in words]
        stage["words_read"] = sum(known) if known else None
    order = _stage_order(rows)
    return [summed[stage] for stage in order]


def by_source(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a source: `source`, `in` (records read), `kept` (published), `removed`, `bytes_kept`, `words_kept`, and
    `stages`: removed documents by stage."""
    sources: dict[str, dict[str, Any]] = {}
    for row in rows:
        source = sources.setdefault(row["source"], {"source": row["source"], "in": row["in"], "removed": 0, "stages": {}})
        source["removed"] += row["removed"]
        source["stages"][row["stage"]] = source["stages"].get(row["stage"], 0) + row["removed"]
        source.update(kept=row["kept"], bytes_kept=row["bytes_kept"], words_kept=row["words_kept"])
    return list(sources.values())


def by_rule(rows: list[dict[str, Any]], counts: RuleCounts | None = None) -> list[dict[str, Any]]:
    """One row a stage and rule that removed something: `stage`, `rule`, `removed`, `in` (of the stage), `read`.

    With `counts` a row also has `alone` and `only`, None where they are not known; and rules that removed nothing, because
    others before them did, stand there too.
    """
    found = []
    for stage in by_stage(rows):
        sides = {}
        if counts is not None:
            keys = [(row["stage"], row["source"]) for row in rows if row["stage"] == stage["stage"]]
            sides = {side: _summed([counts[key][side] for key in keys if key in counts], len(keys)) for side in ("alone", "only")}
        removed = dict.fromkeys(sides.get("alone") or (), 0) | stage["rules"]
        for rule, number in most_first(removed):
            told = {side: None if known is None else known.get(rule, 0) for side, known in sides.items()}
            if number or told.get("alone"):
                row = {"stage": stage["stage"], "rule": rule, "removed": number, "in": stage["in"], "read": stage["read"]}
                found.append(row | told)
    return found


def _summed(sources: list[dict[str, int]], number: int) -> dict[str, int] | None:
    """Counts by rule of all sources of a stage together; None unless those of all are known."""
    if len(sources) < number:
        return None
    total: dict[str, int] = {}
    for rules in sources:
        for rule, documents in rules.items():
            total[rule] = total.get(rule, 0) + documents
    return total


def most_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Names and their counts, the largest count first, equal ones by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def print_funnel(run: RunFolder, by: By = "stage") -> None:
    """Print the funnel as a table to stdout; plain text when that is no terminal.

    Args:
        run: folder that `gristmill run` wrote.
        by: what a row stands for.
    """
    published = PublishedRun(run)
    console = display.stdout()
    if by == "source":
        _print_sources(console, published.rows)
    elif by == "rule":
        from gristmill.pipeline.rule_counts import rule_counts

        _print_rules(console, published.rows, rule_counts(published))
    else:
        _print_stages(console, published.rows)
    console.print(summary(published), highlight=False, markup=False, soft_wrap=True)


def summary(published: PublishedRun) -> str:
    """The run in a few lines: what was kept of what was read, which records were no documents, how large clusters of duplicates
    are, what Bloom filters were like, which lists were left out."""
    rows = published.rows
    last = by_source(rows)
    read, kept = published.records_read, sum(source["kept"] for source in last)
    text = [f"{display.count(kept)} of {display.count(read)} records read are kept ({display.percent(kept, read)})"]
    words = [source["words_kept"] for source in last]
    if words and None not in words:
        counted = [stage["words_read"] for stage in by_stage(rows) if stage["stage"] == "read"]
        share = f" ({display.percent(sum(words), counted[0])} of those read)" if counted and counted[0] else ""
        text.append(f"{display.count(sum(words))} words{share}")
    text.append(display.byte_size(sum(source["bytes_kept"] or 0 for source in last)) + " of text")
    lines = "; ".join(text)
    if others := {name: number for name, number in (published.facts.get("other_records") or {}).items() if number}:
        lines += "\nrecords that are no documents: " + ", ".join(
            f"{name} {display.count(others[name])}" for name in sorted(others)
        )
    filters = told_filters(published.funnel.get("filters") or {})
    for told in (*told_clusters(published.funnel.get("clusters") or {}), *filters, *(published.facts.get("left_out") or ())):
        lines += f"\n{told}"
    return lines


def _empty(stage: str) -> dict[str, Any]:
    zero: dict[str, Any] = dict.fromkeys(
        ("in", "kept", "removed", "edited", "bytes_in", "bytes_kept", "words_in", "words_kept"), 0
    )
    return {"stage": stage, **zero, "rules": {}}


def _add(total: dict[str, Any], row: dict[str, Any]) -> None:
    for key in ("in", "kept", "removed", "edited", "bytes_in", "bytes_kept"):
        total[key] += row[key] or 0
    for key in ("words_in", "words_kept"):
        # words of some sources only would look like those of all
        total[key] = None if row[key] is None or total[key] is None else total[key] + row[key]
    for rule, removed in row["rules"].items():
        total["rules"][rule] = total["rules"].get(rule, 0) + removed


def _stage_order(rows: list[dict[str, Any]]) -> list[str]:
    """Stage names such that every source meets its stages in the order of its own rows."""
    order: list[str] = []
    sequences: dict[str, list[str]] = {}
    for row in rows:
        sequences.setdefault(row["source"], []).append(row["stage"])
    while any(sequences.values()):
        heads = [sequence[0] for sequence in sequences.values() if sequence]
        # a stage comes when no source has something else to do before it; where sources disagree, the first decides
        free = [stage for stage in heads if not any(stage in sequence[1:] for sequence in sequences.values())]
        stage = (free or heads)[0]
        order.append(stage)
        sequences = {source: [name for name in sequence if name != stage] for source, sequence in sequences.items()}
    return order


def _rules_shown(rules: dict[str, int], top: int = _TOP_RULES) -> str:
    ranked = [(rule, removed) for rule, removed in most_first(rules) if removed]
    shown = ", ".join(f"{rule} {display.count(removed)}" for rule, removed in ranked[:top])
    return f"{shown}, {len(ranked) - top} more" if len(ranked) > top else shown


def table_for(console: Console, names: list[str], numbers: list[str], last: str | None = None) -> Any:
    """An empty table: columns of names to the left, of numbers to the right, and one to fold that takes the room that is left."""
    from rich.table import Table

    gap = 1 if console.width < _NARROW else 2
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, style="bold", overflow="fold")
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    if last:
        table.add_column(last, style="dim", overflow="fold")
    return table


def _print_stages(console: Console, rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape

    stages = by_stage(rows)
    narrow = console.width < _NARROW
    columns = ["in", "kept", "removed", "kept %", "of read", "edited", "bytes", "words"]
    table = table_for(console, ["stage"], columns, None if narrow else "removed by")
    for row in stages:
        cells = [
            escape(row["stage"]),
            display.count(row["in"]),
            display.count(row["kept"]),
            display.count(row["removed"]),
            display.percent(row["kept"], row["in"]),
            display.percent(row["kept"], row["read"]),
            display.count(row["edited"]),
            display.byte_size(row["bytes_kept"]),
            display.count(row["words_kept"]),
        ]
        table.add_row(*cells, *([] if narrow else [escape(_rules_shown(row["rules"]))]))
    console.print(table)
    if narrow:
        console.print("\nremoved by", style="bold")
        for row in stages:
            if row["removed"]:
                console.print(f"{row['stage']}: {_rules_shown(row['rules'])}", style="dim", markup=False)
    console.print()


def _print_sources(console: Console, rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape

    table = table_for(console, ["source"], ["read", "kept", "removed", "kept %", "bytes", "words"], "removed at")
    for row in by_source(rows):
        table.add_row(
            escape(row["source"]),
            display.count(row["in"]),
            display.count(row["kept"]),
            display.count(row["removed"]),
            display.percent(row["kept"], row["in"]),
            display.byte_size(row["bytes_kept"]),
            display.count(row["words_kept"]),
            escape(_rules_shown(row["stages"])),
        )
    console.print(table)
    console.print()


def _print_rules(console: Console, rows: list[dict[str, Any]], counts: RuleCounts) -> None:
    from rich.markup import escape

    table = table_for(console, ["stage", "rule"], ["removed", "of the stage", "of read", *(("alone", "only") if counts else ())])
    for row in by_rule(rows, counts or None):
        shares = display.percent(row["removed"], row["in"]), display.percent(row["removed"], row["read"])
        known = [display.count(row[side]) for side in ("alone", "only") if side in row]
        table.add_row(escape(row["stage"]), escape(row["rule"]), display.count(row["removed"]), *shares, *known)
    console.print(table)
    if counts:
        told = "alone: documents that came to the stage and fail the rule; only: those that fail no other rule of the stage"
        console.print(told, style="dim", markup=False, soft_wrap=True)
    console.print()
