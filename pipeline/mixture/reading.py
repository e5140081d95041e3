"""Reading mixtures from files, changing them from the command line, and telling all their mistakes at once."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.mixture.settings import Mixture, Source
from gristmill.pipeline.recipe_errors import Problem, nearest_first, raise_problems, shown, shown_path, validation_problems
from gristmill.pipeline.yaml_lines import Loc, YamlFile, parse_yaml, read_yaml


@dataclass(frozen=True)
class ReadMixture:
    """A mixture, and where its parts stand in its file."""

    mixture: Mixture
    file: str
    place: Callable[[Loc], str]
    """Turns a place in the mixture into the start of a message."""

    def error(self, loc: Loc, message: str) -> UserError:
        """A mistake found later, told like those found on reading."""
        return UserError(f"{self.place(loc)}: {message}")


def shipped_mixtures() -> list[str]:
    """Names of the mixtures that come with the package."""
    folder = resources.files("gristmill.configs") / "mixtures"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def is_shipped(name_or_path: str) -> bool:
    """Whether a name means a shipped mixture, and no file."""
    looks_like_a_file = name_or_path.endswith((".yaml", ".yml", ".json")) or os.path.basename(name_or_path) != name_or_path
    return not looks_like_a_file and (name_or_path in shipped_mixtures() or not os.path.exists(name_or_path))


def as_written(name_or_path: str) -> str:
    """The text of a mixture, comments and all.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    if not is_shipped(name_or_path):
        read_yaml(name_or_path)
        return Path(name_or_path).read_text(encoding="utf-8")
    if name_or_path not in (names := shipped_mixtures()):
        known = nearest_first(name_or_path, names)
        raise UserError(f"{name_or_path}: no shipped mixture and no file; shipped are {known}; a file ends in .yaml")
    return (resources.files("gristmill.configs") / "mixtures" / f"{name_or_path}.yaml").read_text(encoding="utf-8")


def about(name: str) -> str:
    """What a shipped mixture says of itself: the comment on its first line."""
    return as_written(name).partition("\n")[0].lstrip("# ")


def load_mixture(name_or_path: str, sets: Sequence[str] = ()) -> ReadMixture:
    """Read and check a mixture.

    Args:
        name_or_path: a file, or a shipped name.
        sets: changes, each `PATH=VALUE`, e.g. `sources.wikipedia.weight=0.1`.

    Raises:
        UserError: it cannot be read or is no valid mixture; the message lists all mistakes, a line each.
    """
    shipped = is_shipped(name_or_path)
    file = parse_yaml(as_written(name_or_path), f"{name_or_path}.yaml") if shipped else read_yaml(name_or_path)
    if not isinstance(file.data, dict):
        raise UserError(
            f"{file.name}: holds {shown(file.data)}; a mixture is a mapping with keys {', '.join(Mixture.model_fields)}"
        )
    if not shipped:
        _seek_beside(file.data, os.path.dirname(name_or_path))
    changed = {_apply(file.data, assignment): f"--set {assignment}" for assignment in sets}

    def place(loc: Loc) -> str:
        for origin in sorted(changed, key=len, reverse=True):
            if loc[: len(origin)] == origin or (origin[: len(loc)] == loc and loc not in file.lines):
                return changed[origin] if loc == origin else f"{changed[origin]}: {shown_path(loc)}"
        where = f"{file.name}:{file.line(loc)}"
        return f"{where}: {shown_path(loc)}" if loc else where

    return ReadMixture(parse_mixture(file.data, place, file), file.name, place)


def parse_mixture(data: Mapping[str, Any], place: Callable[[Loc], str], file: YamlFile | None = None) -> Mixture:
    """Validate a mixture as a whole.

    Raises:
        UserError: there are mistakes; the message has a line for each.
    """
    problems = [Problem(loc, f"stands twice, again on line {line}; keep one") for loc, line in file.twice] if file else []
    mixture: Mixture | None = None
    try:
        mixture = Mixture.model_validate(dict(data))
    except ValidationError as error:
        invalid = validation_problems(error, Mixture, dict(data), (), "a mixture")
        problems += invalid
        mixture = _without([problem.loc for problem in invalid], data)
    if mixture is not None:
        wrong = {problem.loc for problem in problems}
        # what lacks a value that could not be read is no second mistake
        problems += [
            p for p in _misfits(mixture) if not any(loc[: len(p.loc)] == p.loc or p.loc[: len(loc)] == loc for loc in wrong)
        ]
    raise_problems(sorted(problems, key=lambda problem: file.line(problem.loc) if file else 0), place)
    if mixture is None:
        raise UserError(f"{place(())}: is no mixture")
    return mixture


def _without(wrong: Sequence[Loc], data: Mapping[str, Any]) -> Mixture | None:
    """The mixture without the values that could not be read, so that the rest is checked too; None if that is none."""
    rest: Any = copy.deepcopy(dict(data))
    at: Any
    for loc in wrong:
        at = rest
        for part in loc[:-1]:
            held = (isinstance(at, dict) and part in at) or (isinstance(at, list) and isinstance(part, int) and part < len(at))
            at = at[part] if held else None
        if isinstance(at, dict) and loc:
            at.pop(loc[-1], None)
    try:
        return Mixture.model_validate(rest)
    except ValidationError:
        return None


def _misfits(mixture: Mixture) -> Iterator[Problem]:
    """What does not fit together."""
    for name, source in mixture.sources.items():
        yield from _source_misfits(mixture, ("sources", name), source)
    weights = [source.weight for source in mixture.sources.values() if source.weight is not None]
    if mixture.weights.way == "given" and weights and not any(weights) and not _has_amounts(mixture):
        yield Problem(("sources",), "all weights are 0; give at least one source a weight above 0")
    read: dict[tuple[Any, ...], str] = {}
    for name, source in mixture.sources.items():
        what = (source.documents or source.shards, source.only, source.where)
        if what[0] and (other := read.setdefault(what, name)) != name:
            yield Problem(
                ("sources", name), f"reads the same documents as {other}; give them one weight, or tell them apart by where"
            )
    yield from _phase_misfits(mixture)


def _has_amounts(mixture: Mixture) -> bool:
    """Whether some source says its tokens by itself: by epochs, or by buckets without a weight."""
    return any(source.epochs or (source.quality_buckets and source.weight is None) for source in mixture.sources.values())


def _source_misfits(mixture: Mixture, loc: Loc, source: Source) -> Iterator[Problem]:
    if source.documents is not None and source.shards is not None:
        yield Problem((*loc, "shards"), "stands beside documents; name one folder (of a run, documents finds the shards too)")
    if source.weight is not None and source.epochs is not None:
        yield Problem((*loc, "epochs"), "stands beside weight; a source has one or the other")
    way = mixture.weights
    if way.way == "given":
        if source.weight is None and source.epochs is None and source.quality_buckets is None:
            yield Problem(loc, "has neither weight nor epochs; give one, or set weights: proportional for all")
    elif source.weight is not None or source.epochs is not None:
        key = "weight" if source.weight is not None else "epochs"
        yield Problem((*loc, key), f"stands beside weights: {_named(mixture)}, which gives the shares; leave one of them out")
    cap = max_epochs(mixture, source)
    if source.epochs is not None and source.epochs > cap:
        yield Problem((*loc, "epochs"), f"is {source.epochs:g}, max_epochs is {cap:g}; raise that or lower this")
    if source.quality_buckets and source.weight is None:
        for label, repeat in source.quality_buckets.labels():
            if repeat * (source.epochs or 1) > cap:
                yield Problem(
                    (*loc, "quality_buckets"),
                    f"{label} is read {repeat:g} times, max_epochs is {cap:g}; raise that or lower this",
                )


def _named(mixture: Mixture) -> str:
    way = mixture.weights
    if way.temperature is not None:
        return f"{{temperature: {way.temperature:g}}}"
    return way.way or "{unimax: ...}"


def max_epochs(mixture: Mixture, source: Source) -> float:
    """Most passes over a source: its own cap, else UniMax's, else the mixture's."""
    if source.max_epochs is not None:
        return source.max_epochs
    return mixture.weights.unimax.epochs if mixture.weights.unimax else mixture.max_epochs


def _phase_misfits(mixture: Mixture) -> Iterator[Problem]:
    names: set[str] = set()
    for index, phase in enumerate(mixture.phases):
        loc: Loc = ("phases", index)
        if phase.name in names:
            yield Problem((*loc, "name"), f"is {phase.name!r}, like that of another phase; give each its own")
        names.add(phase.name)
        if phase.shares is not None and phase.weights is not None:
            yield Problem((*loc, "weights"), "stands beside shares; a phase has one or the other")
        if phase.weights is not None and phase.weights.way == "given":
            yield Problem((*loc, "weights"), "is 'given'; give shares, or leave both out for the shares of the mixture")
        for name in phase.shares or ():
            if name not in mixture.sources:
                yield Problem(
                    (*loc, "shares", name), f"there is no such source; sources are {nearest_first(name, mixture.sources)}"
                )
        if phase.shares is not None and not any(phase.shares.values()):
            yield Problem((*loc, "shares"), "all are 0; give at least one source a share above 0")
    lengths = [phase.tokens for phase in mixture.phases]
    if not lengths:
        return
    if lengths.count(None) > 1:
        yield Problem(("phases",), "more than one has no tokens; one may leave them out and takes the rest")
    known = sum(length for length in lengths if length is not None)
    if mixture.tokens is None and None in lengths:
        yield Problem(("phases",), "one has no tokens, and neither has the mixture; give either")
    elif mixture.tokens is not None and (known > mixture.tokens or (known == mixture.tokens) == (None in lengths)):
        yield Problem(("phases",), f"their tokens sum to {known:,}, those of the mixture are {mixture.tokens:,}; change either")


def _apply(data: dict[str, Any], assignment: str) -> Loc:
    """Carry out one `PATH=VALUE`."""
    path, equals, value = assignment.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        raise UserError(f"--set {assignment}: should be PATH=VALUE, e.g. sources.wikipedia.weight=0.1")
    at: Any = data
    loc: Loc = ()
    for part in keys[:-1]:
        step = _step(at, part, assignment)
        loc = (*loc, step)
        if isinstance(at, dict) and at.get(step) is None:
            at[step] = {}
        at = at[step]
    last = _step(at, keys[-1], assignment)
    at[last] = parse_yaml(value, f"--set {assignment}").data
    return (*loc, last)


def _step(at: Any, part: str, assignment: str) -> str | int:
    if isinstance(at, dict):
        return part
    if isinstance(at, list):
        for index, entry in enumerate(at):
            if part == str(index) or (isinstance(entry, dict) and entry.get("name") == part):
                return index
        known = ", ".join(str(entry.get("name", i)) if isinstance(entry, dict) else str(i) for i, entry in enumerate(at))
        raise UserError(f"--set {assignment}: no entry {part}; there are {known or 'none'}")
    raise UserError(f"--set {assignment}: nothing can stand below {shown(at)}; {part} would")


def _seek_beside(data: dict[str, Any], folder: str) -> None:
    """Turn the relative paths that lead somewhere from the mixture's own folder into such that do from here."""
    places = [(data, "tokenizer"), (data, "shards")]
    sources = data.get("sources")
    for source in sources.values() if isinstance(sources, dict) else ():
        if isinstance(source, dict):
            places += [(source, "documents"), (source, "shards")]
    for holder, key in places:
        value = holder.get(key)
        if folder and isinstance(value, str) and "://" not in value and os.path.exists(there := os.path.join(folder, value)):
            holder[key] = there
