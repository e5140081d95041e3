"""The commands around lists that recipes call by name."""

from __future__ import annotations

import sys

from cyclopts import App

from gristmill.pipeline.cli_shared import AsJson, print_table, show_json

lists_app = App(name="lists", help="Lists of domains and words (ut1:adult, ldnoobw:en) in the user's cache.")


@lists_app.command(name="list")
def lists_list(*, as_json: AsJson = False) -> None:
    """List the collections that can be fetched by name, and which of their lists are here.

    Example: gristmill lists list

    Args:
        as_json: print JSON.
    """
    from gristmill.stages.lists import COLLECTIONS

    rows = [
        {
            "lists": one.name,
            "named": one.parts,
            "licence": one.licence,
            "checked by": one.checksum,
            "fetched": ", ".join(one.here()) or None,
            "folder": str(one.folder),
            "about": one.about,
            "publisher": one.publisher,
        }
        for one in COLLECTIONS.values()
    ]
    if as_json:
        show_json([row | {"fetched": COLLECTIONS[str(row["lists"])].here()} for row in rows])
    else:
        print_table([{key: value for key, value in row.items() if key != "publisher"} for row in rows])


@lists_app.command(name="fetch")
def lists_fetch(name: str, /) -> None:
    """Bring lists into the user's cache; prints where they lie.

    Lists of ldnoobw are checked by their sha256. For those of ut1, which change daily, none is published: the sha256 of what came
    is printed. Where a list is named that has been fetched before, it is fetched anew.

    Example: gristmill lists fetch ut1:adult

    Args:
        name: ut1 or ldnoobw for all lists of the collection, ut1:adult or ldnoobw:en for one.
    """
    from gristmill.stages.lists import fetch

    print(*fetch(name, lambda line: print(line, file=sys.stderr)), sep="\n")
