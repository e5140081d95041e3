"""The commands that carry out recipes, and tell what doing so would mean."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

from gristmill.pipeline.cli_shared import AsJson, Flag, Inputs, Sets, print_table, share, show_json


def run(
    recipe: str,
    /,
    *,
    input: Inputs = (),
    output: str | None = None,
    set: Sets = (),
    limit: int | None = None,
    sample: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster: str | None = None,
    work: str | None = None,
    verify: Annotated[bool, Flag] = False,
    keep_going: Annotated[bool, Flag] = False,
) -> None:
    """Carry out a recipe: curated documents, what was removed and why, token shards, and a report.

    Given again, it reuses what is finished and still holds.

    Example: gristmill run refinedweb-lite --input crawl/*.warc.gz --output out/web --set language.keep.en=0.8

    Args:
        recipe: a file, or a name from `gristmill recipe list`.
        input: paths (files, folders, globs, URLs, @list.txt) that replace those of the recipe's only source;
            NAME=PATH begins those of a named source.
        output: run folder; default: out/ and the recipe's name.
        set: changes to the recipe, each PATH=VALUE, e.g. stages.minhash.bands=20 or gopher_quality.min_words=40.
        limit: read only so many documents of each source, for a quick look.
        sample: read only this share of the documents, e.g. 1%.
        workers: processes on this machine; default: one a core.
        scheduler: address of a running Dask scheduler, tcp://host:port.
        cluster: file that describes a Dask cluster to start.
        work: folder of finished steps, to share one between runs; default: work/ in the run folder.
        verify: check the sha256 of everything that is reused, not only its size.
        keep_going: go on where a guardrail would stop the run.
    """
    from gristmill.pipeline.inspect import print_funnel
    from gristmill.pipeline.recipe import load_recipe
    from gristmill.pipeline.runs import run as carry_out

    chosen = load_recipe(recipe, set, input)
    result = carry_out(
        chosen,
        output=f"out/{chosen.name}" if output is None else output,
        workers=workers,
        scheduler=scheduler,
        cluster=cluster,
        work=work,
        limit=limit,
        sample=share(sample),
        verify=verify,
        keep_going=keep_going,
    )
    print_funnel(result.folder)
    folder = result.folder.rstrip("/")
    told = [
        *result.untold,
        f"documents/, removed/ and funnel.json are in {folder}; the report is {folder}/report.html",
        f"next: gristmill why {shlex.quote(folder)} ID_OR_URL",
    ]
    print("\n".join(told), file=sys.stderr)


def plan(
    recipe: str,
    /,
    *,
    input: Inputs = (),
    output: str | None = None,
    set: Sets = (),
    limit: int | None = None,
    sample: str | None = None,
    work: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Show what would run: steps, partitions, and what is finished already. Runs nothing.

    Example: gristmill plan refinedweb-lite --input crawl/*.warc.gz --output out/web

    Args:
        recipe: a file, or a name from `gristmill recipe list`.
        input: paths that replace those of the recipe's only source; NAME=PATH begins those of a named source.
        output: run folder; default: out/ and the recipe's name.
        set: changes to the recipe, each PATH=VALUE.
        limit: read only so many documents of each source.
        sample: read only this share of the documents, e.g. 1%.
        work: folder of finished steps; default: work/ in the run folder.
        as_json: print JSON.
    """
    from gristmill.pipeline.plan import plan as make_plan
    from gristmill.pipeline.recipe import load_recipe

    chosen = load_recipe(recipe, set, input)
    rows = make_plan(chosen, output=output, work=work, limit=limit, sample=share(sample))
    if as_json:
        show_json({"steps": rows})
    else:
        print_table(rows)


def clean(run: str, /) -> None:
    """Drop the finished steps that a run folder keeps for the next run; its results stay.

    Example: gristmill clean out/web

    Args:
        run: folder that `gristmill run` wrote.
    """
    from gristmill.pipeline.run_folder import clean as drop

    print(f"{drop(run):,} bytes freed")
