"""YAML 1.2 files as plain values, and the line on which each of them stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gristmill.pipeline.errors import UserError

Loc = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top, e.g. `("sources", "web", "stages", 0)`."""


@dataclass(frozen=True)
class YamlFile:
    """What a YAML file holds."""

    name: str
    data: Any
    """Mappings, lists and scalars; of a key given twice the first value counts."""
    lines: dict[Loc, int] = field(default_factory=dict)
    """Line of each key and list entry, counted from 1."""
    twice: list[tuple[Loc, int]] = field(default_factory=list)
    """Keys that stand twice in a mapping, with the line of the second one."""

    def line(self, loc: Loc) -> int:
        """Line of a value; of what should hold it, where it is missing."""
        while loc not in self.lines:
            loc = loc[:-1]
        return self.lines[loc]


def read_yaml(path: str) -> YamlFile:
    """Read a file.

    Raises:
        UserError: it is absent, may not be read, or is no UTF-8 text, no YAML, or several documents.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; give a YAML file") from None
    except PermissionError:
        raise UserError(f"{path}: may not be read by this user; check its permissions") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is no UTF-8 text (byte {error.start}); save it as UTF-8") from None
    return parse_yaml(text, path)


def parse_yaml(text: str, name: str) -> YamlFile:
    """Parse one YAML document.

    Args:
        text: the document.
        name: what error messages call it.

    Raises:
        UserError: it is no YAML, or several documents.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    def reader() -> Any:
        yaml = YAML(typ="safe", pure=True)  # pure: the C parser reads YAML 1.1, where `no` is false
        yaml.allow_duplicate_keys = True
        return yaml

    try:
        node = reader().compose(text)
        data = reader().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        what = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise UserError(f"{place}: is no valid YAML: {what}; check indentation, colons and quotes there") from None
    except (YAMLError, ValueError) as error:
        raise UserError(f"{name}: is no valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UserError(
            f"{name}: nests mappings and lists deeper than can be read; a recipe needs less than ten levels"
        ) from None
    file = YamlFile(name, data, {(): 1})
    if node is not None:
        _note_lines(file, node, (), [])
    return file


def _note_lines(file: YamlFile, node: Any, loc: Loc, above: list[Any]) -> None:
    """Note the lines of what stands below a node; `above` holds the nodes it stands in (an alias may point there)."""
    if any(node is other for other in above) or isinstance(node.value, str):
        return
    for index, child in enumerate(node.value):
        key, value = child if isinstance(child, tuple) else (None, child)
        here: Loc = (*loc, index if key is None else str(key.value))
        line = (value if key is None else key).start_mark.line + 1
        if here in file.lines:
            file.twice.append((here, line))
            continue
        file.lines[here] = line
        _note_lines(file, value, here, [*above, node])
