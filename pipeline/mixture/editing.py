"""Changing the file of a mixture and nothing else in it: comments, order, spacing and quotes stay as they are.

The YAML parser says where a value stands, and only those characters are replaced. A round trip through a YAML writer keeps
comments, but not the spaces inside `{weight:   0.3}`, the width of long lines or every quote.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.mixture.reading import is_shipped, parse_mixture
from gristmill.pipeline.recipe_errors import nearest_first, shown_path
from gristmill.pipeline.yaml_lines import Loc, parse_yaml, read_yaml


@dataclass
class MixtureFile:
    """The text of a mixture's file, while it is changed."""

    file: str
    text: str
    data: dict[str, Any]

    @classmethod
    def open(cls, file: str) -> MixtureFile:
        """Read a file.

        Raises:
            UserError: it is a shipped mixture, or no readable one.
        """
        if is_shipped(file):
            raise UserError(f"{file}: is shipped; copy it first: gristmill mixture show {file} > {file}.yaml")
        read = read_yaml(file)
        if not isinstance(read.data, dict) or not isinstance(read.data.get("sources"), dict):
            raise UserError(f"{file}: has no sources; a mixture is a mapping with name and sources")
        with open(file, encoding="utf-8", newline="") as stream:
            return cls(file, stream.read(), copy.deepcopy(read.data))

    def set(self, loc: Loc, value: Any) -> None:
        """Replace a value, or add a key to the mapping that should hold it."""
        node = self._node(loc)
        holder: Any = self.data
        for part in loc[:-1]:
            holder = holder[part]
        holder[loc[-1]] = value
        if node is not None:
            self._replace(node, _flow(value))
        else:
            self._insert(loc, value)

    def remove(self, loc: Loc) -> None:
        """Take a key and its value out, with its lines."""
        holder: Any = self.data
        for part in loc[:-1]:
            holder = holder[part]
        del holder[loc[-1]]
        parent = self._node(loc[:-1])
        pairs = parent.value
        index = next(i for i, (key, _) in enumerate(pairs) if key.value == loc[-1])
        key, value = pairs[index]
        start, stop = key.start_mark.index, self._end(value)
        if parent.flow_style:
            stop = pairs[index + 1][0].start_mark.index if index + 1 < len(pairs) else stop
            start = self._end(pairs[index - 1][1]) if index and index + 1 == len(pairs) else start
        else:
            start = self.text.rfind("\n", 0, start) + 1
            stop = (self.text.find("\n", stop) + 1) or len(self.text)
        self.text = self.text[:start] + self.text[stop:]

    def save(self) -> None:
        """Write the file, if it is a valid mixture now and says what it should.

        Raises:
            UserError: it would not be; the file stays as it was.
        """
        changed = parse_yaml(self.text, self.file)
        if changed.data != self.data:
            raise UserError(f"{self.file}: this change cannot be made without touching other lines; edit the file by hand")
        parse_mixture(changed.data, lambda loc: f"{self.file}: {shown_path(loc)}" if loc else self.file, changed)
        path = Path(self.file)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            stream.write(self.text)
        temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)

    def _node(self, loc: Loc) -> Any:
        from ruamel.yaml import YAML

        node = YAML(typ="safe", pure=True).compose(self.text)
        for part in loc:
            found = None
            if isinstance(node.value, list) and isinstance(part, int):
                found = node.value[part] if part < len(node.value) else None
            elif isinstance(node.value, list):
                found = next((value for key, value in node.value if str(key.value) == part), None)
            if found is None:
                return None
            node = found
        return node

    def _end(self, node: Any) -> int:
        """Where a value's last character is; the parser's mark of a block lies after its comments and empty lines."""
        if isinstance(node.value, list) and node.value and not node.flow_style:
            last = node.value[-1]
            return self._end(last[1] if isinstance(last, tuple) else last)
        return int(node.end_mark.index)

    def _replace(self, node: Any, text: str) -> None:
        start, stop = node.start_mark.index, self._end(node)
        # `key:` with nothing after it
        space = " " if start == stop and not self.text[:start].endswith((" ", "\n")) else ""
        self.text = self.text[:start] + space + text + self.text[stop:]

    def _insert(self, loc: Loc, value: Any) -> None:
        parent = self._node(loc[:-1])
        if parent is None or not isinstance(parent.value, list):
            raise UserError(f"{self.file}: {shown_path(loc[:-1])} is no mapping, so nothing can be set in it")
        entry = f"{_flow(loc[-1])}: {_flow(value)}"
        if parent.flow_style:
            at = self._end(parent.value[-1][1]) if parent.value else parent.start_mark.index + 1
            self.text = self.text[:at] + (", " if parent.value else "") + entry + self.text[at:]
            return
        key, last = parent.value[-1]
        at = self.text.find("\n", self._end(last))
        line_end = "\r\n" if "\r\n" in self.text else "\n"
        before = self.text if at < 0 else self.text[: at + 1]
        before = before if before.endswith("\n") else before + line_end
        after = "" if at < 0 else self.text[at + 1 :]
        self.text = f"{before}{' ' * key.start_mark.column}{entry}{line_end}{after}"


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    from io import StringIO

    from ruamel.yaml import YAML

    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    if isinstance(value, float):
        return repr(value)
    yaml = YAML(typ="safe", pure=True)
    yaml.width = 10**9
    stream = StringIO()
    yaml.dump(value, stream)
    text = re.sub(r"\n(\.\.\.\n)?$", "", stream.getvalue())
    # what ends a value inside braces must be quoted there
    if isinstance(value, str) and text == value and re.search(r"[,\[\]{}#:]", text):
        return "'" + text.replace("'", "''") + "'"
    return text


def set_value(file: str, assignment: str, rescale: bool = False) -> None:
    """Change one value of a mixture's file, e.g. `sources.wikipedia.weight=0.05`.

    Args:
        file: of the mixture.
        assignment: `PATH=VALUE`.
        rescale: change the other weights in proportion, so that all keep their sum.

    Raises:
        UserError: no such place, or the mixture would be mistaken; the file stays as it was.
    """
    edited = MixtureFile.open(file)
    path, equals, value = assignment.partition("=")
    if not equals or not path.strip():
        raise UserError(f"{assignment}: should be KEY=VALUE, e.g. sources.wikipedia.weight=0.05")
    loc = _loc(edited.data, path.strip(), assignment)
    before = dict(_weights(edited.data))
    edited.set(loc, parse_yaml(value, assignment).data)
    if rescale:
        if loc[:1] != ("sources",) or loc[-1] != "weight":
            raise UserError(f"{assignment}: --rescale others goes with a weight, e.g. sources.wikipedia.weight=0.05")
        _rescale(edited, str(loc[1]), sum(before.values()))
    edited.save()


def add_source(file: str, name: str, settings: Mapping[str, Any], rescale: bool = False) -> None:
    """Add a source at the end of a mixture's file.

    Raises:
        UserError: there is one of this name, or the mixture would be mistaken; the file stays as it was.
    """
    edited = MixtureFile.open(file)
    if name in edited.data["sources"]:
        raise UserError(
            f"{file}: there is a source {name} already; change it: gristmill mixture set {file} sources.{name}.weight=..."
        )
    before = sum(_weights(edited.data).values())
    edited.set(("sources", name), dict(settings))
    if rescale:
        _rescale(edited, name, before)
    edited.save()


def remove_source(file: str, name: str, rescale: bool = False) -> None:
    """Take a source out of a mixture's file.

    Raises:
        UserError: there is none of this name, or a phase names it; the file stays as it was.
    """
    edited = MixtureFile.open(file)
    if name not in edited.data["sources"]:
        raise UserError(f"{file}: there is no source {name}; sources are {nearest_first(name, edited.data['sources'])}")
    before = sum(_weights(edited.data).values())
    edited.remove(("sources", name))
    if rescale:
        _rescale(edited, name, before)
    edited.save()


def _loc(data: dict[str, Any], path: str, assignment: str) -> Loc:
    """The place that a path means; a phase may be called by its name."""
    at: Any = data
    loc: Loc = ()
    parts = path.split(".")
    for number, part in enumerate(parts):
        step: str | int = part
        if isinstance(at, list):
            names = [str(entry.get("name", i)) if isinstance(entry, dict) else str(i) for i, entry in enumerate(at)]
            if part not in names and not (part.isdecimal() and int(part) < len(at)):
                raise UserError(f"{assignment}: no entry {part}; there are {', '.join(names)}")
            step = names.index(part) if part in names else int(part)
            at = at[step]
        elif isinstance(at, dict):
            if part not in at and number < len(parts) - 1:
                raise UserError(f"{assignment}: no key {part}; there are {nearest_first(part, map(str, at))}")
            at = at.get(part)
        else:
            raise UserError(f"{assignment}: nothing can stand below {shown_path(loc)}")
        loc = (*loc, step)
    return loc


def _weights(data: dict[str, Any]) -> dict[str, float]:
    return {
        name: float(source["weight"])
        for name, source in data["sources"].items()
        if isinstance(source, dict) and isinstance(source.get("weight"), int | float)
    }


def _rescale(edited: MixtureFile, fixed: str, total: float) -> None:
    """Change all weights but one in proportion, so that all sum to `total`."""
    weights = _weights(edited.data)
    rest = total - weights.pop(fixed, 0.0)
    whole = sum(weights.values())
    if rest < 0 or not whole:
        said = f"the other weights are {whole:g}" if not whole else f"this weight is above {total:g}, the sum of all"
        raise UserError(f"{edited.file}: --rescale others: {said}; nothing is left to rescale")
    for name, weight in weights.items():
        edited.set(("sources", name, "weight"), float(f"{weight / whole * rest:.10g}"))
