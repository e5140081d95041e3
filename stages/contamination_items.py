"""Items of benchmarks as decontamination reads them: which fields of a file are question, answer and id, and their texts."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from pydantic import Field

from gristmill.stages.settings import Settings
from gristmill.stages.stage import StageUnavailable

ENDINGS = (".jsonl", ".jsonl.gz", ".ndjson", ".parquet")
"""Files that can hold items."""


class Fields(Settings):
    """Fields of a benchmark's files, each the first of some names that an item has."""

    question: tuple[str, ...]
    """What an item asks, its passage included."""
    answer: tuple[str, ...] = ()
    """What would be right; items may lack it."""
    id: tuple[str, ...] = ("id",)
    """What an item is called; items without are called `<benchmark>/<number>`, from 0."""
    score: dict[str, Any] = Field(default_factory=dict)
    """How the trainer asks a model; nothing that decontamination looks at."""


class Item(NamedTuple):
    """One item of a benchmark."""

    benchmark: str
    id: str
    question: str
    answer: str


def fields_of(benchmark: str) -> Fields:
    """The fields of a benchmark whose configuration ships with the package, else those of `default`."""
    shipped = _shipped()
    return shipped.get(benchmark, shipped["default"])


@cache
def _shipped() -> dict[str, Fields]:
    from ruamel.yaml import YAML

    found = {}
    for entry in (files("gristmill.configs") / "benchmarks").iterdir():
        if entry.name.endswith(".yaml"):
            found[entry.name.removesuffix(".yaml")] = Fields.model_validate(YAML(typ="safe").load(entry.read_text("utf-8")))
    return found


def benchmark_files(paths: tuple[str, ...]) -> list[str]:
    """The files that paths name; of a folder those in it that can hold items, sorted.

    Raises:
        StageUnavailable: there is no such file, or a folder holds none.
    """
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            inside = [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(ENDINGS)]
            if not inside:
                raise StageUnavailable(f"{path}: holds no file of items; give files that end in {', '.join(ENDINGS)}")
            found += inside
        elif not os.path.isfile(path):
            raise StageUnavailable(f"{path}: no such file; give files of benchmark items, {', '.join(ENDINGS)}")
        elif not path.endswith(ENDINGS):
            raise StageUnavailable(f"{path}: is no file of items by its name; its ending should be {', '.join(ENDINGS)}")
        else:
            found.append(path)
    return found


def read_items(path: str, question: str | None = None, answer: str | None = None) -> list[Item]:
    """The items of one file.

    A row's benchmark is its field `benchmark`, else the name of the file.

    Args:
        path: JSON lines (also gzip) or Parquet.
        question, answer: fields that hold them, where they are not those of `configs/benchmarks`.

    Raises:
        StageUnavailable: the file cannot be read, holds no item, or an item lacks the fields.
    """
    name = os.path.basename(path).split(".")[0]
    items: list[Item] = []
    for number, (place, row) in enumerate(_rows(path)):
        benchmark = row.get("benchmark")
        benchmark = benchmark if isinstance(benchmark, str) and benchmark else name
        known = fields_of(benchmark)
        asked = (question,) if question else known.question
        held = _first(row, asked)
        if held is None:
            raise StageUnavailable(
                f"{place} has no field {' or '.join(asked)}; it has {', '.join(row) or 'none'}. "
                "Name the field of the question: --question FIELD"
            )
        answered = _first(row, (answer,) if answer else known.answer)
        if answer and answered is None:
            raise StageUnavailable(f"{place} has no field {answer}; it has {', '.join(row)}. Name the field of the answer")
        called = _first(row, known.id)
        # the passage and the question of some sets are fields of their own
        both = "passage" in row and "passage" in known.question and "question" in row and not question
        asks = f"{_text(row['passage'])}\n{_text(row['question'])}" if both else _text(held)
        items.append(Item(benchmark, str(called) if called is not None else f"{benchmark}/{number}", asks, _text(answered)))
    if not items:
        raise StageUnavailable(f"{path}: holds no items; leave the file out, or see whether its download was cut short")
    return items


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _text(value: Any) -> str:
    """A field as text: that of lists joined, numbers as they are written."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "\n".join(_text(one) for one in value)
    return json.dumps(value, ensure_ascii=False)


def _rows(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a file, each with its place for messages."""
    if path.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise StageUnavailable(f"{path}: cannot be read as Parquet: {error}") from error
        for number, row in enumerate(table.to_pylist()):
            yield f"{path}: row {number}", row
        return
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise StageUnavailable(f"{path}:{number}: is no JSON: {error}") from error
                if not isinstance(row, dict):
                    raise StageUnavailable(f"{path}:{number}: is no JSON object; each line should be one item")
                yield f"{path}:{number}", row
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise StageUnavailable(f"{path}: cannot be read as JSON lines, UTF-8 or gzip of it: {error}") from error
