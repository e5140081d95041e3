"""The mistakes in a recipe: found all at once, each told with its place, what is there, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.yaml_lines import Loc

MOST_CHARACTERS_SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """One mistake."""

    loc: Loc
    message: str
    """What is wrong there; what would be right."""


def raise_problems(problems: Iterable[Problem], place: Callable[[Loc], str]) -> None:
    """Tell all problems at once, each on its line, in the order of their places.

    Args:
        problems: what is wrong; said twice of one place, it is told once.
        place: turns a place in the data into the start of a message, e.g. `file.yaml:7: stages[1].min_words`.

    Raises:
        UserError: there are problems.
    """
    told = list(dict.fromkeys(f"{place(problem.loc)}: {problem.message}" for problem in problems))
    if told:
        raise UserError("\n".join(told))


def shown_path(loc: Loc) -> str:
    """A place as people write it: `sources.web.stages[3].min_words` (a stage's own name is left out)."""
    path = ""
    for index, part in enumerate(loc):
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (index >= 2 and isinstance(loc[index - 1], int) and loc[index - 2] == "stages"):
            path += f".{part}" if path else part
    return path


def shown(value: Any) -> str:
    """A value in an error message, cut where it is long."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= MOST_CHARACTERS_SHOWN else text[: MOST_CHARACTERS_SHOWN - 3] + "..."


def nearest_first(wrong: str, right: Iterable[str]) -> str:
    """The names that would be right, those nearest to the wrong one first."""
    names = list(right)
    near = get_close_matches(wrong, names, n=3)
    return ", ".join([*near, *(name for name in names if name not in near)])


def validation_problems(error: ValidationError, model: type[BaseModel], data: Any, at: Loc, owner: str) -> list[Problem]:
    """What pydantic found, in our words.

    Args:
        error: raised when `model` was given `data`.
        model: the settings.
        data: what was given.
        at: where the data stands.
        owner: what the settings are called, e.g. `gopher_quality`.
    """
    merged: dict[Loc, list[str]] = {}
    for found in error.errors(include_url=False):
        inside = _inside(found["loc"], data, missing=found["type"] == "missing")
        message = _message(dict(found), model, inside, owner)
        merged.setdefault((*at, *inside), []).append(message)
    # a value that fits no branch of a union fails once for each
    return [Problem(loc, "; or ".join(dict.fromkeys(messages))) for loc, messages in merged.items()]


def _inside(loc: tuple[int | str, ...], data: Any, missing: bool) -> Loc:
    """The part of pydantic's place that the data has; the rest names branches of unions."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        held = isinstance(data, dict) and part in data
        if held or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            data = data[part]
            path.append(part)
        elif missing and index == len(loc) - 1:
            path.append(part)
    return tuple(path)


def _message(found: dict[str, Any], model: type[BaseModel], inside: Loc, owner: str) -> str:
    kind, value, said = found["type"], found["input"], str(found["msg"])
    if kind == "extra_forbidden":
        holder = _model_at(model, inside[:-1])
        name = owner if len(inside) == 1 else str(inside[-2])
        takes = nearest_first(str(inside[-1]), holder.model_fields if holder else ())
        return f"unknown key; {name} takes {takes}"
    if kind == "missing":
        holder = _model_at(model, inside[:-1])
        field = holder.model_fields.get(str(inside[-1])) if holder else None
        what = (field.description or "").split("\n")[0] if field else ""
        return f"is missing; {what}" if what else "is missing, and has no default"
    if kind == "value_error":
        return said.removeprefix("Value error, ")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        holder = _model_at(model, inside)
        keys = f" of {', '.join(holder.model_fields)}" if holder else ""
        return f"is {shown(value)}; should be a mapping{keys}"
    if kind.startswith("byte_size"):
        return f"is {shown(value)}; should be a size such as 64MB (10^6 bytes), 64MiB (2^20 bytes) or a number of bytes"
    return f"is {shown(value)}; {re.sub(r'^[A-Z][a-z]+ should', 'should', said)}"


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The settings that stand at a place inside `model`, if any do."""
    here: Any = model
    for part in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = field.annotation if field else None
        else:  # the values of a dict or list
            here = get_args(here)[-1] if get_args(here) else None
        here = _settings_in(here)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _settings_in(annotation: Any) -> Any:
    """Look through `X | None` to what holds settings."""
    if get_origin(annotation) in (dict, list, tuple):
        return annotation
    choices = [choice for choice in get_args(annotation) if choice is not type(None)]
    return _settings_in(choices[0]) if len(choices) == 1 else annotation
