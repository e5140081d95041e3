"""Curves of several trainings in one HTML file that needs nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from gristmill.trainer.config import ConfigError
from gristmill.trainer.run_folder import METRICS_FILE

Point = tuple[float, float]
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Of Okabe & Ito 2008, told apart by the colour-blind (from memory)."""
WIDTH, HEIGHT, LEFT, TOP = 640, 260, 70, 20
MOST_POINTS = 800
MARKED_POINTS = 40
"""Lines of at most so many points show each of them: a measurement now and then is no curve."""
ANSWERS = {
    "accuracy": "accuracy",
    "accuracy_norm": "accuracy a byte",
    "answer_bits_per_byte": "bits a byte of the right answers",
}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Trainings</title>
<style>body{{font:14px sans-serif;margin:2em}}svg{{max-width:100%}}text{{font:11px sans-serif}}</style></head>
<body><h1>Trainings</h1>
<table>{table}</table>
{charts}
</body></html>
"""


def report(runs: Sequence[str | Path], output: str | Path) -> dict[str, Any]:
    """Draw loss, held-out bits per byte and the rest over the tokens read, a line a run.

    Args:
        runs: output folders of trainings.
        output: the HTML file to write.

    Returns:
        `output`, `runs`, `charts`: the titles of what was drawn.

    Raises:
        FileNotFoundError: a folder holds no metrics.
        ConfigError: a line of metrics cannot be read, or there are no steps.
    """
    rows = {str(run): _rows(Path(run)) for run in runs}
    charts: dict[str, dict[str, list[Point]]] = {}
    for title, get in _measures(rows).items():
        lines = {run: [(float(row["tokens"]), v) for row in of if (v := get(row)) is not None] for run, of in rows.items()}
        if any(lines.values()):
            charts[title] = {run: line for run, line in lines.items() if line}
    table = "".join(
        f"<tr><td>{escape(run)}</td><td>{of[-1]['step']:,} steps</td><td>{of[-1]['tokens']:,} tokens</td>"
        f"<td>loss {of[-1]['loss']:.4f}</td><td>order {escape(str(of[-1]['order_hash'])[:12])}</td></tr>"
        for run, of in rows.items()
    )
    colours = {run: COLOURS[number % len(COLOURS)] for number, run in enumerate(rows)}
    drawn = "\n".join(chart(title, lines, colours) for title, lines in charts.items())
    file = Path(output)
    temporary = file.with_name(f".{file.name}.partial")
    temporary.write_text(PAGE.format(table=table, charts=drawn), encoding="utf-8")
    temporary.replace(file)
    return {"output": str(file), "runs": len(rows), "charts": list(charts)}


def _rows(folder: Path) -> list[dict[str, Any]]:
    file = folder / METRICS_FILE
    if not file.is_file():
        raise FileNotFoundError(f"{folder}: holds no {METRICS_FILE}; give the output folders of trainings")
    lines = file.read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ConfigError(f"{file}:{number}: is not JSON: {error}") from error
            # the last line may be one that is being written
    if not rows:
        raise ConfigError(f"{folder}: has no steps yet; train it first, or leave it out")
    return rows


def _measures(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Callable[[dict[str, Any]], float | None]]:
    """Title and how a row gives its number; None where it has none."""
    every = [row for of in rows.values() for row in of]
    held = sorted({name for row in every for name in row.get("held_out", {})}, key=lambda name: (name != "all", name))
    sources = sorted({name for row in every for name in row.get("source_loss", {})})
    measures: dict[str, Callable[[dict[str, Any]], float | None]] = {"loss, nats a token": lambda row: row.get("loss")}
    for name in held:
        measures[f"held out, {name}: bits a byte"] = lambda row, name=name: (  # type: ignore[misc]
            row.get("held_out", {}).get(name, {}).get("bits_per_byte")
        )
    for name in held:
        measures[f"held out, {name}: loss"] = lambda row, name=name: (  # type: ignore[misc]
            row.get("held_out", {}).get(name, {}).get("loss")
        )
    for name in sorted({name for row in every for name in row.get("tasks", {})}):
        for key, what in ANSWERS.items():
            measures[f"{name}: {what}"] = lambda row, name=name, key=key: (  # type: ignore[misc]
                row.get("tasks", {}).get(name, {}).get(key)
            )
    for name in sources if len(sources) > 1 else ():
        measures[f"loss of {name}"] = lambda row, name=name: row.get("source_loss", {}).get(name)  # type: ignore[misc]
    for key in ("learning_rate", "gradient_norm", "tokens_per_second", "data_wait_ms", "mfu"):
        measures[key.replace("_", " ")] = lambda row, key=key: row.get(key)  # type: ignore[misc]
    return measures


def chart(title: str, lines: dict[str, list[Point]], colours: dict[str, str]) -> str:
    """One picture: an SVG with a polyline a run, axes that name their ends, and a legend."""
    points = [point for line in lines.values() for point in line if math.isfinite(point[1])]
    low_x, high_x = (edge((x for x, _ in points), default=0.0) for edge in (min, max))
    low_y, high_y = (edge((y for _, y in points), default=0.0) for edge in (min, max))
    right, bottom = WIDTH - 10, HEIGHT - 30

    def placed(point: Point) -> str:
        across = (point[0] - low_x) / ((high_x - low_x) or 1)
        up = (point[1] - low_y) / ((high_y - low_y) or 1)
        return f"{LEFT + across * (right - LEFT):.1f},{bottom - up * (bottom - TOP):.1f}"

    parts = [
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#888"/>',
        *(f'<text x="{LEFT - 5}" y="{y}" text-anchor="end">{v:.4g}</text>' for y, v in ((bottom, low_y), (TOP + 8, high_y))),
        f'<text x="{LEFT}" y="{bottom + 15}">{low_x:,.0f}</text>',
        f'<text x="{right}" y="{bottom + 15}" text-anchor="end">{high_x:,.0f} tokens</text>',
    ]
    for number, (run, line) in enumerate(lines.items()):
        drawn = thinned([point for point in line if math.isfinite(point[1])], MOST_POINTS)
        parts.append(
            f'<polyline fill="none" stroke="{colours[run]}" stroke-width="1.5" points="{" ".join(map(placed, drawn))}"/>'
            + "".join(_marked(placed(point), colours[run]) for point in drawn if len(drawn) <= MARKED_POINTS)
            + f'<text x="{right}" y="{TOP + 8 + 14 * number}" text-anchor="end" fill="{colours[run]}">{escape(run)}</text>'
        )
    return f'<h2>{escape(title)}</h2>\n<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">{"".join(parts)}</svg>'


def _marked(place: str, colour: str) -> str:
    across, up = place.split(",")
    return f'<circle cx="{across}" cy="{up}" r="2.5" fill="{colour}"/>'


def thinned(line: list[Point], most: int) -> list[Point]:
    """At most so many points of a line, evenly chosen, its first and last among them."""
    if len(line) <= most:
        return line
    return [line[round(number * (len(line) - 1) / (most - 1))] for number in range(most)]
