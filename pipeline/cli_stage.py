"""`gristmill stage NAME IN OUT`: any one stage by itself, with flags made from its settings."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from gristmill.pipeline.cli_calibrate import ARGUMENTS as CALIBRATION
from gristmill.pipeline.cli_calibrate import calibrating
from gristmill.pipeline.cli_catalogue import List, print_stages, signals
from gristmill.pipeline.cli_shared import AsJson
from gristmill.pipeline.stage_examples import example_of
from gristmill.stages.registry import STAGES

stage_app = App(
    name="stage",
    help="Run any one stage over a file or folder of documents.\n\n"
    "Example: gristmill stage gopher_quality out/web/documents out/strict --min-words 200\n\n"
    "A stage of your own is module:Class. The flags of a stage: gristmill stage NAME --help",
)


@stage_app.default
def stages(*, list: List = False, as_json: AsJson = False) -> None:
    """Run any one stage, or list them.

    Args:
        list: print the stages: which kind each is, what it looks at, what it does.
        as_json: print them as JSON.
    """
    if list or as_json:
        print_stages(as_json)
    else:
        from gristmill.pipeline.cli import app

        app.help_print(["stage"])


def offer_stages(arguments: Sequence[str]) -> None:
    """Make the stages commands: the one that is asked for, else all of them for the list.

    Args:
        arguments: what follows `gristmill stage`.

    Raises:
        UserError: a user's own stage cannot be imported.
    """
    from gristmill.pipeline.recipe_file import find_stage

    if arguments[:1] == ["tokenize"] or not arguments or arguments[0].startswith("-"):
        from gristmill.pipeline.cli_tokenize import tokenize

        if "tokenize" not in list(stage_app):
            stage_app.command(tokenize)
        if arguments[:1] == ["tokenize"]:
            return  # not a stage of documents, but a step of recipes like one
    if arguments[:1] == ["signals"] or not arguments or arguments[0].startswith("-"):
        if "signals" not in list(stage_app):
            stage_app.command(signals)
        if {"signals", "--list", "--json"} & set(arguments[:1]):
            return  # no stage is asked for
    asked = [word for word in arguments[:1] if word in STAGES or ":" in word]
    if not asked and arguments and not arguments[0].startswith("-"):
        find_stage(arguments[0])  # says which stages there are
    for name in asked or STAGES:
        if name not in list(stage_app):
            stage_app.command(_command(find_stage(name), name), name=name)


def with_mappings_as_json(arguments: Sequence[str]) -> list[str]:
    """The arguments, mappings among them as the JSON that flags take: recipes and the help write `{en: 0.65, "*": 0.8}`."""
    return [_as_json(word) if word.startswith(("{", "--")) and "{" in word and word.endswith("}") else word for word in arguments]


def _as_json(word: str) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    flag, brace, rest = word.partition("{")
    try:
        value = YAML(typ="safe", pure=True).load(brace + rest)
        return flag + json.dumps(value) if isinstance(value, dict) else word
    except (YAMLError, TypeError):  # said by who reads the flag
        return word


_ARGUMENTS = """Args:
    input: file or folder of documents, or a run folder.
    output: run folder to write: documents/, removed/, funnel.json, ...
    format: what the input files are; default: what their names say.
    text_column: column (jsonl, parquet) that holds the text; default: text.
    id_column: column (jsonl, parquet) that holds the id; without it a document is called by its place.
    workers: processes on this machine; default: one a core.
    scheduler: address of a running Dask scheduler, tcp://host:port."""


def _command(cls: type[Any], name: str) -> Callable[..., None]:
    """A command that runs one stage."""

    def command(
        input: str,
        output: str,
        /,
        *,
        settings: Any = None,
        format: Literal["warc", "wet", "jsonl", "parquet", "text"] | None = None,
        text_column: str | None = None,
        id_column: str | None = None,
        workers: int | None = None,
        scheduler: str | None = None,
    ) -> None:
        from gristmill.pipeline.inspect import print_funnel
        from gristmill.pipeline.overrides import default_label
        from gristmill.pipeline.single_stage import run_stage

        read = {"format": format, "text_column": text_column, "id": "column" if id_column else None, "id_column": id_column}
        stage = settings if settings is not None else _without_flags(cls, name)
        if not stage.label:
            stage = stage.model_copy(update={"name": default_label(f":{cls.__name__}")})
        given = {key: value for key, value in read.items() if value is not None}
        result = run_stage(stage, input, output, read=given, workers=workers, scheduler=scheduler)
        print_funnel(result.folder)
        print(*result.untold, sep="\n", end="\n" if result.untold else "", file=sys.stderr)

    arguments = _ARGUMENTS
    if name == "minhash":
        command, arguments = calibrating(command), _ARGUMENTS + CALIBRATION
    command.__doc__ = f"{inspect.cleandoc(cls.__doc__ or cls.__name__)}\n\nExample: {example_of(name)}\n\n{arguments}"
    # flags of the stage: its settings, each named, typed and explained once, in the stage
    command.__annotations__["settings"] = Annotated[cls, Parameter(name="*")]
    return command


def _without_flags(cls: type[Any], name: str) -> Any:
    """A stage with its defaults.

    Raises:
        UserError: it has settings without one, or cannot do with the defaults of all.
    """
    from pydantic import ValidationError

    from gristmill.pipeline.errors import UserError

    see = f"See: gristmill stage {name} --help"
    if missing := [f"--{key.replace('_', '-')}" for key, field in cls.model_fields.items() if field.is_required()]:
        raise UserError(f"{name} needs {' and '.join(missing)}\n{see}")
    try:
        return cls()
    except ValidationError as error:
        told = "; ".join(found["msg"].removeprefix("Value error, ") for found in error.errors())
        raise UserError(f"{name}: {told}\n{see}") from None
