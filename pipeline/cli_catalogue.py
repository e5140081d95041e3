"""`gristmill stage signals --list` and `gristmill stage --list`: what can be measured, what can be done."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gristmill.pipeline.cli_shared import AsJson, Flag, print_table, show_json

List = Annotated[bool, Parameter(name="--list", negative="", show_default=False)]


def signals(*, list: List = False, markdown: Annotated[bool, Flag] = False, as_json: AsJson = False) -> None:
    """Show the catalogue of signals: name, unit, value on empty text, definition and source of each.

    A signal is one number a document. Filters hold bounds against signals, and runs store them under the name of the filter.

    Example: gristmill stage signals --list

    Args:
        list: print the catalogue; what the command does in any case.
        markdown: print it as the tables of docs/signals.md.
        as_json: print JSON.
    """
    from gristmill.pipeline.signal_catalogue import as_markdown, rows

    if as_json:
        show_json(rows())
    elif markdown:
        print(as_markdown(), end="")
    else:
        print_table(rows())


def print_stages(as_json: bool) -> None:
    """Print the stages by name: which kind each is, what it looks at, and what it does."""
    from gristmill.pipeline.signal_catalogue import stage_rows

    if as_json:
        show_json(stage_rows())
    else:
        print_table(stage_rows())
