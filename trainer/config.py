"""Reading the configuration of a training run: a YAML file or a shipped name, and `--set`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from gristmill.trainer.settings import TrainSettings


class ConfigError(ValueError):
    """Mistakes in a configuration, a line each: where, what is there, and what would be right."""


def shipped() -> list[str]:
    """Names of the configurations that come with the package."""
    folder = resources.files("gristmill.configs") / "models"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def read_config(config: str | Path, sets: Sequence[str] = ()) -> TrainSettings:
    """Read and check a configuration.

    Args:
        config: a file, or a shipped name.
        sets: `path=value` each, a value in YAML; they replace what the file says.

    Raises:
        FileNotFoundError: neither a file nor a shipped name.
        ConfigError: all mistakes, one a line.
    """
    name, document = _load(config)
    origins: dict[tuple[str, ...], str] = {}
    mistakes = [mistake for item in sets if (mistake := _apply(document, item, origins))]
    if mistake := _fill_in_model(document, [name]):
        mistakes.append(f"{name}{_line(document, ['model'])}: {mistake}")
    try:
        settings = TrainSettings.model_validate(_plain(document))
    except ValidationError as error:
        mistakes += [_told(name, document, origins, dict(mistake)) for mistake in error.errors()]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return settings


def _load(config: str | Path) -> tuple[str, CommentedMap]:
    """The name to use in messages, and what the YAML holds, `model: NAME` as `model: {like: NAME}`."""
    name, text = _find(config)
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{name}{line}: not YAML: {error.problem}") from error
    if not isinstance(document, CommentedMap):
        raise ConfigError(f"{name}: holds {type(document).__name__}; a configuration is keys and values, `steps: 100`")
    if isinstance(document.get("model"), str):
        document["model"] = CommentedMap(like=document["model"])
    return name, document


def _fill_in_model(document: CommentedMap, seen: list[str]) -> str | None:
    """Take what the model does not say from the one it is `like`, another configuration's; what is wrong, if anything is."""
    model = document.get("model")
    if not isinstance(model, dict) or "like" not in model:
        return None
    like = model.pop("like")
    try:
        name, other = _load(str(like))
    except (ConfigError, FileNotFoundError) as error:
        return f"model.like: {error}"
    if name in seen:
        return f"model.like: {' is like '.join([*seen, name])}, without end"
    if mistake := _fill_in_model(other, [*seen, name]):
        return mistake
    if not isinstance(other.get("model"), dict):
        return f"model.like: {name} says nothing of its model"
    for key, value in other["model"].items():
        model.setdefault(key, value)
    return None


def _find(config: str | Path) -> tuple[str, str]:
    """The name to use in messages, and the YAML."""
    file = Path(config)
    if file.is_file():
        try:
            return str(file), file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    if str(config) in shipped():
        inside = resources.files("gristmill.configs") / "models" / f"{config}.yaml"
        return f"{config}.yaml", inside.read_text(encoding="utf-8")
    raise FileNotFoundError(f"{config}: no such file, and no shipped configuration; shipped are {', '.join(shipped())}")


def _apply(document: CommentedMap, item: str, origins: dict[tuple[str, ...], str]) -> str | None:
    """Carry out one `path=value`; what is wrong with it, if anything is."""
    path, equals, value = item.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        return f"--set {item}: has no path=value; write steps=100"
    try:
        parsed = YAML(typ="safe", pure=True).load(value)
    except YAMLError:
        return f"--set {item}: the value is not YAML; quote it"
    place: Any = document
    for key in keys[:-1]:
        if place.get(key) is None:
            place[key] = {}
        place = place[key]
        if not isinstance(place, dict):
            return f"--set {item}: {key} holds {place}, not further keys"
    place[keys[-1]] = {"like": parsed} if keys == ("model",) and isinstance(parsed, str) else parsed
    origins[keys] = f"--set {item}"
    return None


def _plain(value: Any) -> Any:
    """YAML's own number and string types as Python's."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _told(name: str, document: CommentedMap, origins: dict[tuple[str, ...], str], mistake: dict[str, Any]) -> str:
    """One mistake as `file:line: path: what is wrong; what would be right`."""
    keys = tuple(str(part) for part in mistake["loc"])
    above = (origins[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in origins)
    below = (origin for path, origin in origins.items() if path[: len(keys)] == keys)
    origin = next(iter([*above, *below]), None) if keys else None
    where = origin or f"{name}{_line(document, keys)}"
    what = str(mistake["msg"]).removeprefix("Value error, ")
    if mistake["type"] == "extra_forbidden":
        what = f"unknown key; {_keys_near(keys)}"
    elif mistake["type"] == "missing":
        what = "is missing; set data=RUN/shards" if keys == ("data",) else "is missing"
    elif keys and not isinstance(mistake["input"], dict):
        what = f"is {mistake['input']!r}; {what[:1].lower()}{what[1:]}"
    return f"{where}: {'.'.join(keys)}: {what}" if keys else f"{where}: {what}"


def _line(document: CommentedMap, keys: Sequence[str]) -> str:
    """`:line` of the innermost of these keys that stands in the file."""
    place: Any = document
    line = ""
    for key in keys:
        if not isinstance(place, CommentedMap) or key not in place:
            break
        marks = place.lc.data
        if marks and key in marks:
            line = f":{marks[key][0] + 1}"
        place = place[key]
    return line


def _keys_near(keys: Sequence[str]) -> str:
    model: Any = TrainSettings
    for key in keys[:-1]:
        kinds = get_args(model.model_fields[key].annotation) or (model.model_fields[key].annotation,)
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if model is None:
            return "it takes no keys"
    known = list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
    near = difflib.get_close_matches(keys[-1], known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
