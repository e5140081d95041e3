"""The commands `gristmill mixture ...`."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from gristmill.pipeline.cli_shared import AsJson, Sets, print_table, show_json
from gristmill.pipeline.errors import UserError

mixture_app = App(
    name="mixture", help="Which sources a model is trained on, and how many tokens each gives: plan, check, edit, compare."
)

Sizes = Literal["measured", "published"]
Rescale = Annotated[Literal["others"] | None, Parameter(name="--rescale")]


@mixture_app.command(name="list")
def mixture_list(*, as_json: AsJson = False) -> None:
    """List the mixtures that come with Gristmill.

    Example: gristmill mixture list

    Args:
        as_json: print JSON.
    """
    from gristmill.pipeline.mixture.reading import about, shipped_mixtures

    rows = [{"mixture": name, "about": about(name)} for name in shipped_mixtures()]
    if as_json:
        show_json(rows)
    else:
        print_table(rows)


@mixture_app.command(name="show")
def mixture_show(
    mixture: str, /, *, set: Sets = (), plot: str | None = None, sizes: Sizes | None = None, as_json: AsJson = False
) -> None:
    """Show a mixture as it is written; with --json, with every default filled in; with --plot, as a picture of its plan.

    Example: gristmill mixture show pile --plot pile.svg

    Args:
        mixture: a file, or a name from `gristmill mixture list`.
        set: changes to the mixture, each PATH=VALUE.
        plot: file to draw its shares into, ending in .svg or .png.
        sizes: what the picture's plan is made of; published for a shipped mixture, otherwise measured.
        as_json: print JSON.
    """
    from gristmill.pipeline.mixture.reading import as_written, is_shipped, load_mixture

    if plot is not None:
        from gristmill.pipeline.mixture.picture import write_picture
        from gristmill.pipeline.mixture.planning import plan_of

        write_picture(plan_of(mixture, set, sizes or ("published" if is_shipped(mixture) else "measured")), plot)
        print(plot)
    elif as_json or set:
        from gristmill.pipeline.recipe_file import as_yaml

        resolved = load_mixture(mixture, set).mixture.model_dump(mode="json")
        if as_json:
            show_json(resolved)
        else:
            print(as_yaml(resolved), end="")
    else:
        print(as_written(mixture), end="")


@mixture_app.command(name="plan")
def mixture_plan(
    mixture: str, /, *, set: Sets = (), sizes: Sizes = "measured", output: str | None = None, as_json: AsJson = False
) -> None:
    """Plan a mixture: what each source has and gives, how often it is read, and what to be warned of.

    Example: gristmill mixture plan my-mixture.yaml --output plan.json

    Args:
        mixture: a file, a name from `gristmill mixture list`, or a plan that was made before.
        set: changes to the mixture, each PATH=VALUE, e.g. sources.wikipedia.shards=out/wiki/shards.
        sizes: measured counts what the folders hold; published takes the sizes that the mixture states.
        output: file for the plan, ending in .json; `gristmill train` takes it as data.
        as_json: print the plan as JSON.
    """
    from gristmill.pipeline.mixture.planning import make_plan, plan_of
    from gristmill.pipeline.mixture.reading import load_mixture

    if output is not None:
        if mixture.endswith(".json"):
            raise UserError(f"{mixture}: is a plan already; --output takes one made of a mixture")
        planned = make_plan(load_mixture(mixture, set), sizes)
        planned.save(output)
        plan = planned.plan
    else:
        plan = plan_of(mixture, set, sizes)
    if as_json:
        show_json(plan.model_dump(mode="json"))
    else:
        _print_plan(plan)


def _print_plan(plan: Any) -> None:
    from gristmill.pipeline.display import one_line

    print(f"{plan.mixture}: {plan.tokens:,} tokens")
    total = sum(min(source.tokens, source.available_tokens) for source in plan.sources)
    print_table(
        [
            {
                "source": one_line(source.source, 40),
                "available tokens": source.available_tokens,
                "counted": source.counted,
                "weight": f"{100 * source.weight:.2f}%",
                "tokens": source.tokens,
                "epochs": f"{source.epochs:.2f}",
                "effective size": _bytes(source.effective_bytes),
                "unique": f"{100 * source.unique_share:.1f}%",
            }
            for source in plan.sources
        ]
    )
    print(f"{100 * total / plan.tokens:.1f}% of the tokens are seen for the first time")
    if len(plan.phases) > 1:
        for phase in plan.phases:
            largest = sorted(((n, name) for name, n in phase.sources.items() if n), key=lambda pair: (-pair[0], pair[1]))
            shown = ", ".join(f"{one_line(name, 40)} {100 * n / phase.tokens:.1f}%" for n, name in largest[:6])
            more = ", ..." if len(largest) > 6 else ""
            print(f"phase {phase.name}: {phase.tokens:,} tokens from token {phase.start:,} on: {shown}{more}")
    for warning in plan.warnings:
        print(f"note: {warning}", file=sys.stderr)


def _bytes(number: int | None) -> str | None:
    if number is None:
        return None
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if number >= 1 << power:
            return f"{number / (1 << power):.2f} {unit}"
    return f"{number} B"


@mixture_app.command(name="check")
def mixture_check(mixture: str, /, *, set: Sets = (), as_json: AsJson = False) -> None:
    """Check a mixture, tell all mistakes of its file at once, and look into the folders that it names; counts nothing.

    Example: gristmill mixture check my-mixture.yaml

    Args:
        mixture: a file, or a name from `gristmill mixture list`.
        set: changes to the mixture, each PATH=VALUE.
        as_json: print the mixture as JSON, with every default filled in.
    """
    from gristmill.pipeline.mixture.folders import check_tokenizers, open_folder
    from gristmill.pipeline.mixture.reading import load_mixture

    read = load_mixture(mixture, set)
    found: dict[str, Any] = {}
    mistakes = []
    for name in read.mixture.sources:
        try:
            found[name] = open_folder(read, name)
        except UserError as error:
            mistakes.append(str(error))
    if mistakes:
        raise UserError("\n".join(mistakes))
    check_tokenizers(read, found)
    if as_json:
        show_json(read.mixture.model_dump(mode="json"))
        return
    print(f"{mixture}: no mistakes")
    for name, folder in found.items():
        kind = "names no folder" if folder is None else f"{'token shards' if folder.manifest else 'documents'} in {folder.path}"
        print(f"  {name}: {kind}")


@mixture_app.command(name="tokenize")
def mixture_tokenize(
    mixture: str,
    /,
    *,
    set: Sets = (),
    tokenizer: str | None = None,
    output: str | None = None,
    workers: int | None = None,
    as_json: AsJson = False,
) -> None:
    """Make the token shards of sources whose documents have none, so that the mixture can be trained on.

    All documents of a source are tokenized; which of them are meant (where, quality_buckets) is decided by the plan. What was
    made before of the same documents is not made again.

    Example: gristmill mixture tokenize my-mixture.yaml --tokenizer tokenizer.json --output out/mixture

    Args:
        mixture: a file.
        set: changes to the mixture, each PATH=VALUE.
        tokenizer: a tokenizer.json; default: the mixture's.
        output: folder that gets a run folder with shards for each source; default: the mixture's `shards`.
        workers: processes on this machine; default: one a core.
        as_json: print JSON.
    """
    from gristmill.pipeline.mixture.reading import load_mixture
    from gristmill.pipeline.mixture.tokenizing import tokenize_sources

    read = load_mixture(mixture, set)
    rows = tokenize_sources(read, tokenizer, output, workers=workers)
    if as_json:
        show_json(rows)
        return
    print_table(rows)
    if read.mixture.shards is None:
        print(f"the mixture finds them after: gristmill mixture set {mixture} shards={output}", file=sys.stderr)


@mixture_app.command(name="diff")
def mixture_diff(old: str, new: str, /, *, sizes: Sizes = "measured", as_json: AsJson = False) -> None:
    """Compare two mixtures in tokens and epochs.

    Example: gristmill mixture diff plan.json my-mixture.yaml

    Args:
        old: a mixture or a plan.
        new: a mixture or a plan.
        sizes: for mixtures: measured counts what the folders hold; published takes the sizes that the mixture states.
        as_json: print JSON.
    """
    from gristmill.pipeline.mixture.differing import differences
    from gristmill.pipeline.mixture.planning import plan_of

    found = differences(plan_of(old, (), sizes), plan_of(new, (), sizes))
    if as_json:
        show_json(found)
        return
    before, after = found["tokens"]["before"], found["tokens"]["after"]
    print(f"{before:,} tokens" if before == after else f"{before:,} tokens before, {after:,} after")
    if not found["sources"] and not found["phases"]:
        print("no source changes")
    print_table(
        [
            {
                "source": row["source"],
                "tokens before": row["tokens_before"],
                "after": row["tokens_after"],
                "change": f"{row['change']:+,}",
                "epochs before": f"{row['epochs_before']:.2f}",
                "epochs after": f"{row['epochs_after']:.2f}",
            }
            for row in found["sources"]
        ]
    )
    print_table(found["phases"])


@mixture_app.command(name="set")
def mixture_set(file: str, assignment: str, /, *, rescale: Rescale = None) -> None:
    """Change one value in a mixture's file; all else in it stays as it is.

    Example: gristmill mixture set my-mixture.yaml sources.wikipedia.weight=0.05 --rescale others

    Args:
        file: of the mixture.
        assignment: KEY=VALUE.
        rescale: others changes the other weights in proportion, so that all keep their sum.
    """
    from gristmill.pipeline.mixture.editing import set_value

    set_value(file, assignment, rescale is not None)


@mixture_app.command(name="add")
def mixture_add(
    file: str,
    source: str,
    /,
    *,
    documents: str | None = None,
    shards: str | None = None,
    where: str | None = None,
    weight: float | None = None,
    epochs: float | None = None,
    max_epochs: float | None = None,
    rescale: Rescale = None,
) -> None:
    """Add a source to a mixture's file.

    Example: gristmill mixture add my-mixture.yaml books --shards out/books/shards --weight 0.1 --rescale others

    Args:
        file: of the mixture.
        source: its name.
        documents: a run folder, or a folder of document files.
        shards: a folder of token shards.
        where: which documents.
        weight: share of the training tokens, relative to the others.
        epochs: passes over its tokens, instead of a weight.
        max_epochs: most passes over its tokens.
        rescale: others changes the other weights in proportion, so that all keep their sum.
    """
    from gristmill.pipeline.mixture.editing import add_source

    given = {
        "documents": documents,
        "shards": shards,
        "where": where,
        "weight": weight,
        "epochs": epochs,
        "max_epochs": max_epochs,
    }
    add_source(file, source, {key: value for key, value in given.items() if value is not None}, rescale is not None)


@mixture_app.command(name="remove")
def mixture_remove(file: str, source: str, /, *, rescale: Rescale = None) -> None:
    """Take a source out of a mixture's file.

    Example: gristmill mixture remove my-mixture.yaml books --rescale others

    Args:
        file: of the mixture.
        source: its name.
        rescale: others changes the other weights in proportion, so that all keep their sum.
    """
    from gristmill.pipeline.mixture.editing import remove_source

    remove_source(file, source, rescale is not None)
