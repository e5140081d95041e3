"""Changes to a recipe from the command line: `--set PATH=VALUE` and `--input [SOURCE=]PATH...`, made before it is validated."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.recipe_errors import nearest_first, shown
from gristmill.pipeline.yaml_lines import Loc, parse_yaml


def apply_set(data: dict[str, Any], assignment: str, top: Iterable[str]) -> Loc:
    """Set one value of a recipe in place.

    Args:
        data: the recipe as read.
        assignment: `PATH=VALUE`; the value is YAML. A path names keys from the top, with stages by the name of their step
            (`sources.web.stages.gopher_quality.min_words`, `stages.minhash.bands`), or begins with the name of a step
            that the recipe has once (`gopher_quality.min_words`).
        top: keys that a recipe takes.

    Returns:
        Where the value was set.

    Raises:
        UserError: the assignment cannot be read, or the recipe has no such source or step.
    """
    path, equals, text = assignment.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise UserError(f"--set {assignment}: should read PATH=VALUE, e.g. --set gopher_quality.min_words=40")
    value = parse_yaml(text, f"--set {assignment}").data
    loc, rest = _locate(data, keys, assignment, list(top))
    if not rest:
        return _replace(data, loc, value, assignment)
    holder = _open(data, loc, assignment)
    for index, key in enumerate(rest[:-1]):
        inner = holder.get(key)
        if inner is not None and not isinstance(inner, dict):
            reached = ".".join(keys[: len(keys) - len(rest) + index + 1])
            raise UserError(f"--set {assignment}: {reached} is {shown(inner)}, which has nothing below it; set {reached} itself")
        holder[key] = dict(inner or {})
        holder = holder[key]
    holder[rest[-1]] = value
    if loc and isinstance(loc[-1], int):
        return (*loc, _kind(_get(data, loc)), *rest)
    return (*loc, *rest)


def apply_inputs(data: dict[str, Any], inputs: Sequence[str]) -> dict[str, Loc]:
    """Replace the paths of sources in place.

    Args:
        data: the recipe as read.
        inputs: paths for the only source; `NAME=PATH` begins those of a named one, and paths after it are its own too.

    Returns:
        Where the paths of each changed source stand.

    Raises:
        UserError: a source is unknown, or must be named because there are several.
    """
    sources = data.get("sources")
    names = [str(name) for name in sources] if isinstance(sources, dict) else []
    if not inputs or not isinstance(sources, dict) or not names:
        return {}
    current = names[0] if len(names) == 1 else None
    paths: dict[str, list[str]] = {}
    for text in inputs:
        before, equals, after = text.partition("=")
        if equals and before in names:
            current, path = before, after
        elif equals and before.replace("_", "").replace("-", "").isalnum() and not os.path.exists(text):
            known = nearest_first(before, names)
            raise UserError(f"--input {text}: the recipe has no source {before}; it has {known}. A path with = in it is ./{text}")
        else:
            path = text
        if current is None:
            raise UserError(f"--input {text}: the recipe has sources {', '.join(names)}; name one: --input {names[0]}={text}")
        if not path:
            raise UserError(f"--input {text}: names no path; write --input {current}=PATH")
        paths.setdefault(current, []).append(path)
    for name, replaced in paths.items():
        source = sources[name] = dict(sources[name]) if isinstance(sources[name], dict) else {}
        source["read"] = {**(source["read"] if isinstance(source.get("read"), dict) else {}), "paths": replaced}
    return {name: ("sources", name, "read", "paths") for name in paths}


def stage_lists(data: dict[str, Any]) -> dict[Loc, list[Any]]:
    """The lists of stages that a recipe holds, by place: those of each source, then the one across sources."""
    found: dict[Loc, Any] = {}
    sources = data.get("sources")
    if isinstance(sources, dict):
        for name, source in sources.items():
            if isinstance(source, dict):
                found["sources", str(name), "stages"] = source.get("stages")
    found["stages",] = data.get("stages")
    return {loc: stages for loc, stages in found.items() if isinstance(stages, list)}


def entry_label(entry: Any) -> str:
    """Name of the step that an entry of a stage list stands for; empty for what is no entry."""
    kind = _kind(entry)
    settings = entry[kind] if isinstance(entry, dict) and kind in entry else None
    name = settings.get("name") if isinstance(settings, dict) else None
    return str(name or default_label(kind))


def default_label(kind: str) -> str:
    """Name of a step that is given none: the stage's own, `long_words` for a user's `module:LongWords`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.rpartition(":")[2]).lower() if ":" in kind else kind


def _kind(entry: Any) -> str:
    if isinstance(entry, dict) and len(entry) == 1:
        return str(next(iter(entry)))
    return entry if isinstance(entry, str) else ""


def _locate(data: dict[str, Any], keys: list[str], assignment: str, top: list[str]) -> tuple[Loc, list[str]]:
    """Split a path into the place of a source, a step or nothing, and the keys that lead on from there."""
    first, *rest = keys
    if first == "sources" and rest:
        names = [str(name) for name in data["sources"]] if isinstance(data.get("sources"), dict) else []
        if rest[0] not in names:
            raise UserError(f"--set {assignment}: no source {rest[0]}; the recipe has {nearest_first(rest[0], names)}")
        if rest[1:2] == ["stages"] and rest[2:]:
            return _step(data, ("sources", rest[0], "stages"), rest[2], assignment), rest[3:]
        return ("sources", rest[0]), rest[1:]
    if first == "stages" and rest:
        return _step(data, ("stages",), rest[0], assignment), rest[1:]
    if first in top:
        return (), keys
    steps = [
        ((*loc, index), entry_label(entry)) for loc, entries in stage_lists(data).items() for index, entry in enumerate(entries)
    ]
    places = [loc for loc, label in steps if label == first]
    if len(places) == 1:
        return places[0], rest
    if places:
        full = [".".join([*map(str, loc[:-1]), *keys]) for loc in places]
        raise UserError(f"--set {assignment}: {first} stands in the recipe {len(places)} times; say {' or '.join(full)}")
    names = [*dict.fromkeys(label for _, label in steps if label), *top]
    raise UserError(f"--set {assignment}: no step and no key is called {first}; the recipe has {nearest_first(first, names)}")


def _step(data: dict[str, Any], loc: Loc, label: str, assignment: str) -> Loc:
    labels = [entry_label(entry) for entry in stage_lists(data).get(loc, [])]
    if label not in labels:
        has = nearest_first(label, filter(None, labels)) or "none"
        raise UserError(f"--set {assignment}: no step {label} in {'.'.join(map(str, loc))}; there: {has}")
    return (*loc, labels.index(label))


def _get(data: Any, loc: Loc) -> Any:
    for part in loc:
        data = data[part]
    return data


def _open(data: dict[str, Any], loc: Loc, assignment: str) -> dict[str, Any]:
    """The mapping at a place, made where a step stands there by its name alone."""
    if not loc:
        return data
    holder, last = _get(data, loc[:-1]), loc[-1]
    if not isinstance(last, int):
        if not isinstance(holder[last], dict):
            raise UserError(f"--set {assignment}: {'.'.join(map(str, loc))} is {shown(holder[last])}; it should be a mapping")
        return holder[last]  # type: ignore[no-any-return]
    kind = _kind(holder[last])
    settings = holder[last][kind] if isinstance(holder[last], dict) else None
    holder[last] = {kind: dict(settings) if isinstance(settings, dict) else {}}
    return holder[last][kind]  # type: ignore[no-any-return]


def _replace(data: dict[str, Any], loc: Loc, value: Any, assignment: str) -> Loc:
    """Set all settings of a source or step at once."""
    holder, last = _get(data, loc[:-1]), loc[-1]
    if not isinstance(value, dict):
        raise UserError(f"--set {assignment}: is {shown(value)}; should be a mapping of settings, e.g. {{min_words: 40}}")
    if isinstance(last, int):
        label, kind = entry_label(holder[last]), _kind(holder[last])
        named = {} if label == default_label(kind) else {"name": label}
        holder[last] = {kind: {**named, **value}}
        return (*loc, kind)
    holder[last] = value
    return loc
