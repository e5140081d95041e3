"""Examples of what a run removed."""

from __future__ import annotations

import heapq
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
    chosen = lowest(published, n, lambda at, by: "all" if stage in (None, at) and rule in (None, by) else None, only_stage=stage)
    return chosen.get("all", [])


def print_sample(run: RunFolder, stage: str | None = None, rule: str | None = None, n: int = 20) -> None:
    """Print `sample` for people, to stdout."""
    console = display.stdout()
    for row in sample(run, stage, rule, n):
        _print_row(console, row)


def lowest(
    published: PublishedRun, n: int, group: Callable[[str, str], Hashable | None], only_stage: str | None = None
) -> dict[Hashable, list[dict[str, Any]]]:
    """The `n` ledger rows of each group that rank lowest: with text before without, then by keyed hash of the id.

    Args:
        published: the run.
        n: most rows a group.
        group: what a row of this stage and rule belongs to; None leaves it out.
        only_stage: no row of another stage is in any group; files and row groups without it are not read.

    Returns:
        Whole ledger rows by group. Held in memory are these rows and one row group.
    """
    seed = int(published.facts.get("recipe", {}).get("seed") or 0)
    heaps: dict[Hashable, list[_Entry]] = {}
    for file in published.files("removed"):
        with published.parquet(file) as parquet:
            start = 0
            for number in range(parquet.num_row_groups):
                rows = parquet.metadata.row_group(number).num_rows
                if rows and _may_hold(parquet, number, only_stage):
                    _rank(heaps, n, group, seed, _narrow(parquet, number), file, start)
                start += rows
    places = sorted(entry[3] for heap in heaps.values() for entry in heap)
    read = {place: published.row(place) for place in places}
    return {key: [read[entry[3]] for entry in sorted(heap, reverse=True)] for key, heap in heaps.items()}


def _rank(
    heaps: dict[Hashable, list[_Entry]],
    n: int,
    group: Callable[[str, str], Hashable | None],
    seed: int,
    rows: pa.Table,
    file: str,
    start: int,
) -> None:
    """Let the rows of one row group compete; `start` is the row of the file that the row group begins with."""
    from gristmill.tokenizers.sampling import keyed_hashes

    ids, *columns = [rows[name].to_pylist() for name in ("id", "stage", "rule", "has_text")]
    hashes = keyed_hashes(ids, seed).tolist()
    for index, (document_id, rank, stage, rule, has_text) in enumerate(zip(ids, hashes, *columns, strict=True)):
        key = group(stage, rule)
        if key is None:
            continue
        heap = heaps.setdefault(key, [])
        entry = (int(has_text), -rank, document_id, Place(file, start + index, REMOVED))
        if len(heap) < n:
            heapq.heappush(heap, entry)
        elif entry > heap[0]:
            heapq.heapreplace(heap, entry)


def _may_hold(parquet: pq.ParquetFile, group: int, stage: str | None) -> bool:
    """Whether rows of the stage can be in the row group, by its statistics; the ledger is sorted by stage."""
    if stage is None:
        return True
    found = parquet.metadata.row_group(group)
    for number in range(found.num_columns):
        column = found.column(number)
        if column.path_in_schema == "stage" and column.statistics is not None and column.statistics.has_min_max:
            return bool(column.statistics.min <= stage <= column.statistics.max)
    return True


def _narrow(parquet: pq.ParquetFile, group: int) -> pa.Table:
    """`id`, `stage`, `rule` and `has_text` of a row group; texts are read only where some rows have one and some not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = parquet.metadata.row_group(group)
    columns = (found.column(number) for number in range(found.num_columns))
    text = next((column for column in columns if column.path_in_schema == "text"), None)
    nulls = None if text is None or text.statistics is None or not text.statistics.has_null_count else text.statistics.null_count
    rows = parquet.read_row_group(group, columns=["id", "stage", "rule"])
    if text is None or nulls in (0, found.num_rows):
        has_text = pa.array([text is not None and nulls == 0] * found.num_rows, pa.bool_())
    else:
        has_text = pc.is_valid(parquet.read_row_group(group, columns=["text"])["text"])
    return rows.append_column("has_text", has_text)


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
        line("  (the ledger holds no text of it)", "dim")


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
