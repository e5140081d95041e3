"""The commands around a run: models, the demo crawl."""

from __future__ import annotations

import sys

from cyclopts import App

from gristmill.pipeline.cli_shared import AsJson, print_table, show_json

models_app = App(name="models", help="Model files (language identification, ...) in the user's cache.")


@models_app.command(name="list")
def models_list(*, as_json: AsJson = False) -> None:
    """List the models that stages can use, and whether they are here.

    Example: gristmill models list

    Args:
        as_json: print JSON.
    """
    from gristmill.stages.models import list_models

    rows = [
        {
            "model": model.name,
            "bytes": model.bytes,
            "licence": model.licence,
            "fetched": model.is_fetched,
            "path": str(model.path),
            "about": model.about,
        }
        for model in list_models()
    ]
    if as_json:
        show_json(rows)
    else:
        print_table(rows)


@models_app.command(name="fetch")
def models_fetch(name: str, /) -> None:
    """Bring a model into the user's cache, its sha256 checked; prints where it lies.

    Example: gristmill models fetch lid.176

    Args:
        name: as in `gristmill models list`.
    """
    from gristmill.stages.models import fetch

    print(fetch(name, lambda line: print(line, file=sys.stderr)))


def demo_crawl(output: str, /) -> None:
    """Make a WARC file to try things on, from the documentation of the installed Python and pages written for it.

    Example: gristmill demo-crawl demo.warc.gz

    Args:
        output: the file to write; its name ends in .warc.gz.
    """
    from pathlib import Path

    from gristmill.pipeline.demo_crawl import make_demo_crawl

    make_demo_crawl(Path(output))
    print(output)
