"""Reading recipes from files, changing them from the command line, and telling all their mistakes at once."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.overrides import apply_inputs, apply_set, default_label, stage_lists
from gristmill.pipeline.recipe import Recipe, SourceRead, arrangement_problems, name_problems, resolved, stage_entry
from gristmill.pipeline.recipe_errors import Problem, nearest_first, raise_problems, shown, shown_path, validation_problems
from gristmill.pipeline.yaml_lines import Loc, YamlFile, parse_yaml, read_yaml
from gristmill.stages.registry import STAGES, stage_class
from gristmill.stages.stage import Stage

FORMATS = frozenset(get_args(SourceRead.model_fields["format"].annotation))


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("gristmill.configs") / "recipes"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def shipped_text(name: str) -> str:
    """A shipped recipe as it is written.

    Raises:
        UserError: no recipe has this name.
    """
    if name not in (names := shipped_recipes()):
        raise UserError(f"{name}: no shipped recipe and no file; shipped are {nearest_first(name, names)}; a file ends in .yaml")
    return (resources.files("gristmill.configs") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")


def as_written(name_or_path: str) -> str:
    """The text of a recipe, comments and all.

    Raises:
        UserError: there is no such recipe, or it cannot be read.
    """
    if is_shipped(name_or_path):
        return shipped_text(name_or_path)
    read_yaml(name_or_path)
    return Path(name_or_path).read_text(encoding="utf-8")


def about(name: str) -> str:
    """What a shipped recipe says of itself: the comment on its first line."""
    return shipped_text(name).partition("\n")[0].lstrip("# ")


def as_yaml(data: Mapping[str, Any]) -> str:
    """A resolved recipe as YAML."""
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = StringIO()
    yaml.dump(dict(data), stream)
    return stream.getvalue()


def load(name_or_path: str, sets: Sequence[str], inputs: Sequence[str], paths_required: bool) -> Recipe:
    """See `gristmill.pipeline.recipe.load_recipe`."""
    shipped = is_shipped(name_or_path)
    file = parse_yaml(shipped_text(name_or_path), f"{name_or_path}.yaml") if shipped else read_yaml(name_or_path)
    data = file.data
    if not isinstance(data, dict):
        raise UserError(f"{file.name}: holds {shown(data)}; a recipe is a mapping with keys {', '.join(Recipe.model_fields)}")
    if not shipped:
        seek_beside(data, os.path.dirname(name_or_path))
    changed: dict[Loc, str] = dict.fromkeys(apply_inputs(data, inputs).values(), "--input")
    changed |= {apply_set(data, assignment, Recipe.model_fields): f"--set {assignment}" for assignment in sets}

    def place(loc: Loc) -> str:
        for origin in sorted(changed, key=len, reverse=True):
            if loc[: len(origin)] == origin:
                return changed[origin] if loc == origin else f"{changed[origin]}: {shown_path(loc)}"
            if origin[: len(loc)] == loc and loc not in file.lines:  # made on the way to what was set
                return f"{changed[origin]}: {shown_path(loc)}"
        where = f"{file.name}:{file.line(loc)}"
        return f"{where}: {shown_path(loc)}" if loc else where

    recipe = parse_recipe(data, place, _twice(file))
    if paths_required:
        _require_paths(recipe, file.name)
    return recipe


def as_recipe(
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str], sets: Sequence[str] = (), inputs: Sequence[str] = ()
) -> Recipe:
    """What a user of the library gives as a recipe.

    Args:
        recipe: a recipe, a file, the name of a shipped recipe, or a mapping in the form of a recipe file.
        sets: changes, each `PATH=VALUE`.
        inputs: paths that replace those of the only source, or `NAME=PATH` for a named one.

    Raises:
        UserError: it cannot be read, is no valid recipe, or a source has no paths; the message lists all mistakes.
    """
    if isinstance(recipe, str | os.PathLike):
        return load(os.fspath(recipe), sets, inputs, paths_required=True)
    if not isinstance(recipe, Recipe | Mapping):
        raise UserError(f"a recipe is a name, a file, a mapping or a Recipe, not {shown(recipe)}")
    if isinstance(recipe, Recipe) and not sets and not inputs:
        checked = recipe
    else:
        data = resolved(recipe) if isinstance(recipe, Recipe) else _plain(recipe)
        apply_inputs(data, inputs)
        for assignment in sets:
            apply_set(data, assignment, Recipe.model_fields)
        checked = parse_recipe(data, lambda loc: f"recipe: {shown_path(loc)}" if loc else "recipe")
    _require_paths(checked, f"recipe {checked.name}")
    return checked


def _plain(value: Any) -> Any:
    """A copy of mappings and lists that may be changed, with stages as they stand in a file."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return stage_entry(value) if isinstance(value, Stage) else value


def _require_paths(recipe: Recipe, name: str) -> None:
    if without := [source for source, settings in recipe.sources.items() if not settings.read.paths]:
        flags = " ".join("PATH..." if len(recipe.sources) == 1 else f"{source}=PATH..." for source in without)
        raise UserError(f"{name}: source {', '.join(without)} names no paths; give --input {flags}, or set read.paths")


def is_shipped(name_or_path: str) -> bool:
    """Whether a name means a shipped recipe, and no file: it has neither a folder nor the ending of one."""
    looks_like_a_file = name_or_path.endswith((".yaml", ".yml", ".json")) or os.path.basename(name_or_path) != name_or_path
    return not looks_like_a_file and (name_or_path in shipped_recipes() or not os.path.exists(name_or_path))


def parse_recipe(data: Mapping[str, Any], place: Callable[[Loc], str], problems: Sequence[Problem] = ()) -> Recipe:
    """Validate a recipe as a whole.

    Args:
        data: the recipe as read; stages may also be given as stages.
        place: turns a place in the data into the start of a message.
        problems: mistakes that are known already.

    Raises:
        UserError: there are mistakes; the message has a line for each.
    """
    found = list(problems)
    values: dict[str, Any] = dict(data)
    if isinstance(data.get("sources"), Mapping):
        values["sources"] = {
            str(name): dict(source) if isinstance(source, Mapping) else source for name, source in data["sources"].items()
        }
    for loc, entries in stage_lists(values).items():
        stages = [_parse_entry(entry, (*loc, index), found) for index, entry in enumerate(entries)]
        (values["sources"][loc[1]] if loc[0] == "sources" else values)["stages"] = stages
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        invalid = validation_problems(error, Recipe, values, (), "a recipe")
        # how the parts fit together is said below, each with its own place
        found += [problem for problem in invalid if problem.loc] + _misfits(values)
        raise_problems(sorted(found or invalid, key=lambda problem: _order(values, problem.loc)), place)
        raise
    raise_problems(sorted(found, key=lambda problem: _order(values, problem.loc)), place)
    return recipe


def _order(data: Any, loc: Loc) -> tuple[int, ...]:
    """Where a place comes in the data, counted at each level; what is missing comes first."""
    order = []
    for part in loc:
        keys = list(data) if isinstance(data, Mapping) else list(range(len(data))) if isinstance(data, list) else []
        order.append(keys.index(part) if part in keys else -1)
        data = data[part] if part in keys else None
    return tuple(order)


def _misfits(values: Mapping[str, Any]) -> list[Problem]:
    """What does not fit together, as far as the parts could be read."""
    read: dict[str, tuple[str | None, list[Stage]]] = {}
    sources = values.get("sources")
    for name, source in sources.items() if isinstance(sources, dict) else ():
        settings = source.get("read") if isinstance(source, dict) else None
        stages = source.get("stages", []) if isinstance(source, dict) else []
        if isinstance(settings, BaseModel):
            settings = settings.model_dump()
        format_ = settings.get("format") if isinstance(settings, dict) else None
        read[name] = (format_ if format_ in FORMATS else None, _only_stages(stages))
    across = _only_stages(values.get("stages", []))
    mixture, guardrails = values.get("mixture"), values.get("guardrails")
    guarded = guardrails.get("stages") if isinstance(guardrails, dict) else None
    if any(type(stage) is Stage for stages in (*(stages for _, stages in read.values()), across) for stage in stages):
        guarded = None  # a name that is asked for may be that of an entry which could not be read
    return [
        *arrangement_problems(read, across),
        *name_problems(list(read), read, across, mixture if isinstance(mixture, dict) else None, guarded or {}),
    ]


def _only_stages(stages: Any) -> list[Stage]:
    return [stage for stage in stages if isinstance(stage, Stage)] if isinstance(stages, list) else []


def _parse_entry(entry: Any, loc: Loc, problems: list[Problem]) -> Stage:
    """Make a stage of an entry, `name` or `{name: settings}`; a bare `Stage` or one of defaults if that fails."""
    if isinstance(entry, Stage):
        return entry
    if isinstance(entry, dict) and len(entry) == 1:
        kind, settings = next(iter(entry.items()))
    else:
        kind, settings = entry, None
    if not isinstance(kind, str):
        found = f"keys {', '.join(map(str, entry))}" if isinstance(entry, dict) and entry else shown(entry)
        problems.append(Problem(loc, f"is {found}; an entry is `- name` or `- name: {{settings}}` (settings stand deeper)"))
        return Stage()
    try:
        cls = find_stage(kind)
    except UserError as error:
        problems.append(Problem(loc, str(error)))
        return Stage()
    if settings is not None and not isinstance(settings, Mapping):
        takes = ", ".join(cls.model_fields)
        problems.append(Problem((*loc, kind), f"is {shown(settings)}; should be a mapping of settings: {takes}"))
        return cls.model_construct()
    settings = dict(settings or {})
    try:
        return cls.model_validate(settings if cls.kind else {"name": default_label(kind), **settings})
    except ValidationError as error:
        problems += validation_problems(error, cls, settings, (*loc, kind), cls.kind or default_label(kind))
        name = settings.get("name")
        return cls.model_construct(name=name if isinstance(name, str) else default_label(kind))


def find_stage(name: str) -> type[Stage]:
    """Find a stage by its name, or a user's own by `module:Class`; modules in the current folder are found too.

    Raises:
        UserError: there is no such stage.
    """
    if ":" in name and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a console script does not have it; worker processes get the parent's path
    try:
        return stage_class(name)
    except KeyError:
        known = nearest_first(name, STAGES)
        raise UserError(f"unknown stage {name}; stages are {known}, or module:Class of your own") from None
    except (ImportError, TypeError, ValueError) as error:
        if name in STAGES:
            raise
        raise UserError(f"stage {name} cannot be used: {error}; it should be the module:Class of a Stage") from None


def seek_beside(data: dict[str, Any], folder: str) -> None:
    """Turn the relative paths in a recipe that lead somewhere from the recipe's own folder into such that do from here.

    Args:
        data: the recipe as read; changed in place.
        folder: the recipe file's folder.
    """
    if not folder:
        return
    sources = data.get("sources")
    for source in sources.values() if isinstance(sources, dict) else ():
        read = source.get("read") if isinstance(source, dict) else None
        if isinstance(read, dict) and isinstance(read.get("paths"), str | list):
            read["paths"] = _beside(read["paths"], folder)
    tokenize = data.get("tokenize")
    if isinstance(tokenize, dict) and isinstance(tokenize.get("tokenizer"), str):
        tokenize["tokenizer"] = _beside(tokenize["tokenizer"], folder)
    for stages in stage_lists(data).values():
        for entry in stages:
            for settings in entry.values() if isinstance(entry, dict) else ():
                if isinstance(settings, dict):
                    settings.update({key: _beside(value, folder) for key, value in settings.items() if key != "name"})


def _beside(value: Any, folder: str) -> Any:
    """A path, or a list of them, from here, if it leads to something from `folder`."""
    if isinstance(value, list):
        return [_beside(each, folder) for each in value]
    # a plain word is the value of a setting, not a path, even where a file is called so
    if not isinstance(value, str) or "://" in value or not ("/" in value or "." in value):
        return value
    at = "@" if value.startswith("@") else ""
    path = value.removeprefix("@")
    if os.path.isabs(path):
        return value
    there = os.path.join(folder, path)
    return at + there if os.path.exists(there) or glob.glob(there, recursive=True) else value


def _twice(file: YamlFile) -> list[Problem]:
    """The keys that a file gives twice."""
    return [Problem(loc, f"stands twice, again on line {line}; keep one") for loc, line in file.twice]
