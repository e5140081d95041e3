"""Examples of what a run removed."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from gristmill.pipeline import display
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.funnel import by_rule
from gristmill.pipeline.published import REMOVED, Place, PublishedRun, RunFolder

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from rich.console import Console

_EXCERPT = 400
"""Characters of a document that are printed."""

_Entry = tuple[int, int, str, Place]
"""Whether the row has a text, its negated sample hash, its id, its place: the greatest is the first of the sample."""


def sample(run: RunFolder, stage: str | None = None, rule: str | None = None, n: int = 20) -> list[dict[str, Any]]:
    """Examples from the ledger: the ids with the lowest keyed hashes, those whose text the ledger holds first.

    Args:
        run: folder that `gristmill run` wrote.
        stage: only what this stage removed.
        rule: only what this rule removed.
        n: most examples.

    Returns:
        Ledger rows, all columns.

    Raises:
        UserError: the stage or rule removed nothing in this run, `n` is below 1, or the folder holds no finished run.
    """
    published = PublishedRun(run)
    if n < 1:
        raise UserError(f"-n {n}: asks for no examples; give 1 or more")
    _check_removed_something(published, stage, rule)
    chosen = lowest(published, n, lambda at, by: "all" if stage in (None, at) and rule in (None, by) else None)
    return chosen.get("all", [])


def print_sample(run: RunFolder, stage: str | None = None, rule: str | None = None, n: int = 20) -> None:
    """Print `sample` for people, to stdout."""
    console = display.stdout()
    for row in sample(run, stage, rule, n):
        _print_row(console, row)


def lowest(published: PublishedRun, n: int, group: Callable[[str, str], Hashable | None]) -> dict[Hashable, list[dict[str, Any]]]:
    """The `n` ledger rows of each group that rank lowest: with text before without, then by keyed hash of the id.

    Args:
        published: the run.
        n: most rows a group.
        group: what a row of this stage and rule belongs to; None leaves it out.

    Returns:
        Whole ledger rows by group. Held in memory are these rows and one row group.
    """
    seed = int(published.facts.get("recipe", {}).get("seed") or 0)
    removed = by_rule(published.rows)
    wanted = {(row["stage"], row["rule"]): key for row in removed if (key := group(row["stage"], row["rule"])) is not None}
    heaps: dict[Hashable, list[_Entry]] = {key: [] for key in wanted.values()}
    # Few rows of a large ledger have a text, and row groups without any are not read; so those first.
    _scan(published, heaps, n, wanted, seed, with_text=True)
    enough = Counter[Hashable]()
    for row in removed:
        if (row["stage"], row["rule"]) in wanted:
            enough[wanted[row["stage"], row["rule"]]] += row["removed"]
    short = {at: key for at, key in wanted.items() if len(heaps[key]) < min(n, enough[key])}
    if short:
        _scan(published, heaps, n, short, seed, with_text=False)
    places = sorted(entry[3] for heap in heaps.values() for entry in heap)
    read = {place: published.row(place) for place in places}
    return {key: [read[entry[3]] for entry in sorted(heap, reverse=True)] for key, heap in heaps.items() if heap}


def _scan(
    published: PublishedRun,
    heaps: dict[Hashable, list[_Entry]],
    n: int,
    wanted: dict[tuple[str, str], Hashable],
    seed: int,
    with_text: bool,
) -> None:
    """Let all ledger rows of the wanted stages and rules compete that have a text, or all that have none."""
    from gristmill.tokenizers.sampling import keyed_hashes

    for file in published.files("removed"):
        with published.parquet(file) as parquet:
            start = 0
            for number in range(parquet.num_row_groups):
                rows = _narrow(parquet, number, wanted, with_text)
                if rows is not None:
                    columns = [rows[name].to_pylist() for name in ("id", "stage", "rule", "row")]
                    hashes = keyed_hashes(columns[0], seed).tolist()
                    for document_id, stage, rule, row, rank in zip(*columns, hashes, strict=True):
                        heap = heaps[wanted[stage, rule]]
                        entry = (int(with_text), -rank, document_id, Place(file, start + row, REMOVED))
                        if len(heap) < n:
                            heapq.heappush(heap, entry)
                        elif entry > heap[0]:
                            heapq.heapreplace(heap, entry)
                start += parquet.metadata.row_group(number).num_rows


def _narrow(parquet: pq.ParquetFile, group: int, wanted: dict[tuple[str, str], Hashable], with_text: bool) -> pa.Table | None:
    """`id`, `stage`, `rule` and `row` (in the row group) of the wanted rows; None where there are none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    count = parquet.metadata.row_group(group).num_rows
    stages, texts = _statistics(parquet, group, "stage"), _statistics(parquet, group, "text")
    if stages is not None and stages.has_min_max and not any(stages.min <= stage <= stages.max for stage, _ in wanted):
        return None
    if texts is not None and texts.has_null_count and texts.null_count == (count if with_text else 0):
        return None
    rows = parquet.read_row_group(group, columns=["stage", "rule"])
    # a NUL cannot be part of a name, so the pair is one string
    both = pc.binary_join_element_wise(rows["stage"], rows["rule"], "\0")
    mask = pc.is_in(both, pa.array([f"{stage}\0{rule}" for stage, rule in wanted], both.type))
    if not pc.any(mask).as_py():
        return None
    if texts is None or not texts.has_null_count or 0 < texts.null_count < count:
        valid = pc.is_valid(parquet.read_row_group(group, columns=["text"])["text"])
        mask = pc.and_(mask, valid if with_text else pc.invert(valid))
    rows = rows.append_column("row", pa.array(range(count), pa.int64()))
    rows = rows.append_column("id", parquet.read_row_group(group, columns=["id"])["id"])
    return rows.filter(mask)


def _statistics(parquet: pq.ParquetFile, group: int, name: str) -> pq.Statistics | None:
    """Statistics of a column in a row group, None where the file has none."""
    found = parquet.metadata.row_group(group)
    # not by position in the schema: a list column before it may hold more than one leaf
    columns = (found.column(number) for number in range(found.num_columns))
    return next((column.statistics for column in columns if column.path_in_schema == name), None)


def _check_removed_something(published: PublishedRun, stage: str | None, rule: str | None) -> None:
    """Refuse a stage or rule that removed nothing, and say which did."""
    removed = by_rule(published.rows)
    stages = list(dict.fromkeys(row["stage"] for row in removed))
    if not removed:
        raise UserError(f"{published.folder}: this run removed nothing; there is nothing to sample")
    if stage is not None and stage not in stages:
        known = stage in {row["stage"] for row in published.rows}
        what = f"stage {stage} removed nothing" if known else f"has no stage {stage}"
        raise UserError(f"{published.folder}: {what}; these removed documents: {', '.join(stages)}")
    rules = list(dict.fromkeys(row["rule"] for row in removed if stage in (None, row["stage"])))
    if rule is not None and rule not in rules:
        where = f"stage {stage}" if stage else "the run"
        raise UserError(f"{published.folder}: no rule {rule} of {where} removed anything; these did: {', '.join(rules)}")


def _print_row(console: Console, row: dict[str, Any]) -> None:
    def line(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    line(f"{display.visible(row['id'])}  {display.visible(row['url'] or '')}".rstrip(), "bold")
    line(f"  {reason(row)}", "red")
    if row["text"]:
        line("  " + display.one_line(row["text"], _EXCERPT), "dim")
    else:
        line(f"  ({no_text(row)})", "dim")


def reason(row: dict[str, Any]) -> str:
    """Why a ledger row was written, in one line."""
    text = f"{row['stage']}: {row['rule']}"
    if row["value"] is not None:
        text += f"  {display.value(row['value'])}"
    if row["threshold"] is not None:
        text += f", threshold {display.value(row['threshold'])}"
    if row["kept_id"]:
        text += f"  kept {display.visible(row['kept_id'])}"
    if row["similarity"] is not None:
        text += f", similarity {display.value(row['similarity'])}"
    return text + (f"  ({display.one_line(row['detail'], 200)})" if row["detail"] else "")


def no_text(row: dict[str, Any]) -> str:
    """Why a ledger row shows no text."""
    return "the ledger holds no text of it" if row["text"] is None else "it had no text when it was removed"
