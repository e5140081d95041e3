"""What the commands have in common: their flags, and how results are printed to stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gristmill.pipeline.errors import UserError

Flag = Parameter(negative="", show_default=False)
Inputs = Annotated[tuple[str, ...], Parameter(name="--input", negative="", show_default=False)]
Sets = Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)]
AsJson = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]


def show_json(value: Any) -> None:
    """Print a result as JSON."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows with the same keys as columns: numbers to the right, the rest to the left."""
    if not rows:
        return
    cells = [[*rows[0]], *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    right = [all(isinstance(row[key], int | float) and not isinstance(row[key], bool) for row in rows) for key in rows[0]]
    for line in cells:
        aligned = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        )
        print("  ".join(aligned).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)


def share(text: str | None) -> float | None:
    """Read a share, `1%` or `0.01`.

    Raises:
        UserError: it is no share above 0 and at most 1.
    """
    if text is None:
        return None
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise UserError(f"--sample {text}: should be a share of the documents, e.g. 1% or 0.01")
    return value


def check_output_file(output: str, example: str) -> None:
    """See, before anything is computed, that a file can be written there.

    Raises:
        UserError: it is a folder; `example` is how a file in it might be called.
    """
    if output.endswith("/") or Path(output).is_dir():
        raise UserError(f"--output {output}: is a folder; give the file to write, e.g. {output.rstrip('/')}/{example}")
