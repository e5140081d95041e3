"""The command that takes documents out of a finished run."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from gristmill.pipeline.cli_shared import AsJson, Flag, print_table, show_json

Several = Parameter(negative="", show_default=False)


def forget(
    run: str,
    /,
    *,
    ids: str | None = None,
    id: Annotated[tuple[str, ...], Several] = (),
    url_prefix: Annotated[tuple[str, ...], Several] = (),
    domain: Annotated[tuple[str, ...], Several] = (),
    reason: str | None = None,
    dry_run: Annotated[bool, Flag] = False,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster: str | None = None,
    work: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Take documents out of a finished run, as if its input had never held them; later runs into the folder leave them out too.

    Duplicates that were removed in their favour come back, percentiles, cuts and shards follow. Input files are read again only
    where they hold one of the documents. Afterwards all finished steps that the new outcome does not rest on are deleted, in
    work/ and in every other folder that runs into this one were given by --work: no other run may be at work there meanwhile,
    and those that share it compute again what is gone. Runs that read this run's documents must forget them by themselves.

    What stays is forgotten.json: ids and places, when and why, no text and no URL. An interrupted request is brought to its end
    by the next one, which needs no selection, or by running the recipe again.

    Example: gristmill forget out/web --domain example.org --reason "request of 12 March"

    Args:
        run: folder that `gristmill run` wrote.
        ids: file with one id a line.
        id: id of a document, one or several.
        url_prefix: beginning of URLs, as they are written: https://example.org/private/
        domain: host name; hosts below it are meant too.
        reason: kept in forgotten.json, and told by `gristmill why`.
        dry_run: only say how many documents are meant, by source and what became of them.
        workers: processes on this machine; default: one a core.
        scheduler: address of a running Dask scheduler, tcp://host:port.
        cluster: file that describes a Dask cluster to start.
        work: folder of finished steps; default: the one that the run used last.
        as_json: print JSON.
    """
    from gristmill.pipeline.forget import forget as carry_out

    done = carry_out(
        run,
        ids=id,
        ids_file=ids,
        url_prefixes=url_prefix,
        domains=domain,
        reason=reason,
        dry_run=dry_run,
        workers=workers,
        scheduler=scheduler,
        cluster=cluster,
        work=work,
    )
    if as_json:
        show_json(asdict(done))
        return
    print_table(done.counts)
    if done.unknown:
        shown = "".join(f"\n  {one}" for one in done.unknown[:20])
        more = f"\n  and {len(done.unknown) - 20:,} more" if len(done.unknown) > 20 else ""
        print(f"nothing in the run has these {len(done.unknown):,}:{shown}{more}", file=sys.stderr)
    if done.already:
        print(f"{done.already:,} of the ids were forgotten before", file=sys.stderr)
    for note in done.notes:
        print(note, file=sys.stderr)
    if dry_run:
        print("nothing was changed", file=sys.stderr)
        return
    if done.forgotten:
        print(
            f"{done.forgotten:,} forgotten. The run has {done.kept:,} documents, before it had {done.kept_before:,}; "
            f"{done.back:+,} because others went"
        )
    print(f"{done.purged.files:,} files of finished steps deleted, {done.purged.bytes:,} bytes", file=sys.stderr)
