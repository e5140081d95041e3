"""The commands that look inside finished runs."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from gristmill.pipeline.cli_shared import AsJson, Sets, show_json


def funnel(run: str, /, *, by: Literal["stage", "source", "rule"] = "stage", as_json: AsJson = False) -> None:
    """Show how many documents each stage kept, and what removed the rest.

    A document is removed by the first rule that it fails. By rule, and where the run stored signals, `alone` says how many of
    the documents that came to the stage fail the rule, whatever the stage's other rules say; `only`, how many fail no other.

    Example: gristmill funnel out/web --by rule

    Args:
        run: folder that `gristmill run` wrote.
        by: what a row stands for.
        as_json: print JSON: rows of stage and source, as in funnel.json; by rule also with `alone` and `only`.
    """
    from gristmill.pipeline import inspect

    if as_json:
        show_json(inspect.funnel(run, by))
    else:
        inspect.print_funnel(run, by)


def why(run: str, id_or_url: str, /, *, as_json: AsJson = False) -> None:
    """Show what became of a document: each stage it passed, with its values beside the thresholds, and where it ended.

    Example: gristmill why out/web https://example.org/page

    Args:
        run: folder that `gristmill run` wrote.
        id_or_url: id of a document, or the URL of one or several.
        as_json: print JSON: a list, one entry a document.
    """
    from gristmill.pipeline import inspect

    if as_json:
        show_json(inspect.why(run, id_or_url))
    else:
        inspect.print_why(run, id_or_url)


def sample(
    run: str,
    /,
    *,
    stage: str | None = None,
    rule: str | None = None,
    n: Annotated[int, Parameter(name="-n")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show examples of what a run removed.

    Example: gristmill sample out/web --stage gopher_quality --rule too_few_words -n 5

    Args:
        run: folder that `gristmill run` wrote.
        stage: only what this stage removed.
        rule: only what this rule removed.
        n: most examples.
        as_json: print JSON.
    """
    from gristmill.pipeline import inspect

    if as_json:
        show_json(inspect.sample(run, stage, rule, n))
    else:
        inspect.print_sample(run, stage, rule, n)


def whatif(run: str, /, *, sets: Sets = (), as_json: AsJson = False) -> None:
    """Show what other thresholds would have kept and removed, from the signals that a run stored; no text is read.

    Exact up to the first editor, checkpoint or deduplication after the changed filter; what comes there newly is not judged.

    Example: gristmill whatif out/web --set gopher_quality.min_words=30

    Args:
        run: folder that `gristmill run` wrote.
        sets: another bound of a filter, as PATH=VALUE, e.g. gopher_quality.min_words=30; once or several times.
        as_json: print JSON.
    """
    from gristmill.pipeline import inspect

    if as_json:
        show_json(inspect.whatif(run, sets))
    else:
        inspect.print_whatif(run, sets)
