"""Multiple-choice items out of files: which fields are the question, the choices and the right one."""

from __future__ import annotations

import gzip
import json
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from gristmill.trainer.config import ConfigError
from gristmill.trainer.settings import TaskSettings


@dataclass(frozen=True)
class Item:
    """One question, and its choices, two or more."""

    id: str
    contexts: tuple[str, ...]
    """What stands before each choice; mostly the same."""
    choices: tuple[str, ...]
    right: int
    """Which choice, from 0."""


@dataclass(frozen=True)
class Fields:
    """Where a set's files have what an item needs: for each the first of some names that a row has."""

    question: tuple[str, ...]
    choices: tuple[str, ...]
    answer: tuple[str, ...]
    id: tuple[str, ...]
    prompt: str = "{question}"
    fixed: tuple[str, ...] = ()
    """The choices, where they are the same for all items."""


@dataclass(frozen=True)
class _Row:
    place: str
    values: Mapping[str, Any]

    def held(self, what: str, names: Sequence[str]) -> Any:
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
        raise ConfigError(
            f"{self.place} has no field {' or '.join(names)} for the {what}; it has {', '.join(self.values) or 'none'}. "
            f"Set the task's {what} to a field"
        )


@dataclass(frozen=True)
class _Parts:
    contexts: tuple[str, ...]
    choices: tuple[str, ...]
    labels: tuple[str, ...]
    """What the file calls the choices; empty where it does not."""
    answer: Any


def read_items(settings: TaskSettings) -> list[Item]:
    """The items of a task, chosen as its settings say.

    The right choice is told by its label (in files that have `choices: {text: [...], label: [...]}`), by its text (or that of
    question and choice, joined by a space), by its number from 0, or by its letter from A: in the whole file by one of these.

    Raises:
        FileNotFoundError: no such file.
        ConfigError: it cannot be read, a row lacks a field, an answer is no choice, or nothing is left; the line is named.
    """
    rows = list(_rows(Path(settings.file)))
    if not rows:
        raise ConfigError(f"{settings.file}: holds no items; leave the task out, or see whether its download was cut short")
    fields = _fields(settings)
    parts = [_parts(row, fields) for row in rows]
    right = _right(rows, parts)
    prompt = settings.prompt or fields.prompt
    items = []
    for number, (row, part, which) in enumerate(zip(rows, parts, right, strict=True)):
        called = next((row.values[name] for name in fields.id if row.values.get(name) is not None), None)
        prompts = tuple(prompt.replace("{question}", context) for context in part.contexts)
        items.append(Item(f"{settings.called}/{number}" if called is None else str(called), prompts, part.choices, which))
    if settings.clean is not None:
        clean = clean_items(settings.clean, settings.called)
        items = [item for item in items if item.id in clean]
        if not items:
            raise ConfigError(f"{settings.clean}: calls no item of {settings.file} clean; does it speak of the same ids?")
    return _chosen(items, settings.items)


def clean_items(file: str, name: str) -> set[str]:
    """Ids of a benchmark's items that a run's contamination.json calls clean, at every stage that looked for it.

    Raises:
        FileNotFoundError: no such file.
        ConfigError: it is none, or does not speak of that benchmark.
    """
    path = Path(file) / "contamination.json" if Path(file).is_dir() else Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the contamination.json of a run that has decontaminate")
    try:
        stages = json.loads(path.read_text(encoding="utf-8"))["stages"]
        lists = [stage["clean"] for stage in stages]
        ids = [set(clean[name]) for clean in lists if name in clean]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: is no contamination.json of a run") from error
    if not ids:
        known = sorted({known for clean in lists for known in clean})
        raise ConfigError(f"{path}: says nothing of {name}; it speaks of {', '.join(known) or 'none'}. Set the task's name")
    return set.intersection(*ids)


def _fields(settings: TaskSettings) -> Fields:
    """Of the set of that name, else of any other, as configs/benchmarks has them; with what the settings name instead."""
    usual, described = _described("default"), _described(settings.called)
    values = (usual or {}) | (described or {})
    if isinstance(settings.choices, tuple):
        values["fixed"] = settings.choices
    elif settings.choices is not None:
        values |= {"choices": settings.choices, "fixed": ()}
    values |= {key: value for key in ("question", "answer") if (value := getattr(settings, key)) is not None}
    prompt = values.pop("prompt", "{question}")
    return Fields(prompt=prompt, **{key: (value,) if isinstance(value, str) else tuple(value) for key, value in values.items()})


def _described(name: str) -> dict[str, Any] | None:
    """Fields of a set, as its file in configs/benchmarks has them; None where there is none."""
    from ruamel.yaml import YAML

    entry = files("gristmill.configs") / "benchmarks" / f"{name}.yaml"
    if not entry.is_file():
        return None
    told = YAML(typ="safe").load(entry.read_text(encoding="utf-8"))
    # `answer` of the description itself is for decontamination, which looks for its text
    return {"question": told["question"], **({"id": told["id"]} if "id" in told else {}), **told.get("score", {})}


def _parts(row: _Row, fields: Fields) -> _Parts:
    """What stands before each choice, the choices and the answer; one of the first two may be the same for all."""
    question = row.held("question", fields.question)
    if "passage" in fields.question and question == row.values.get("passage") and "question" in row.values:
        question = f"{question}\n{row.values['question']}"  # some files have them apart
    choices: Any = list(fields.fixed) or row.held("choices", fields.choices)
    labels: Sequence[str] = ()
    if isinstance(choices, dict):
        choices, labels = choices.get("text"), choices.get("label") or ()
    several = question if isinstance(question, list) else choices
    if not isinstance(several, list) or len(several) < 2:
        raise ConfigError(
            f"{row.place}: has no list of two or more choices in {' or '.join(fields.choices)}; it holds {_short(several)}"
        )
    contexts = question if isinstance(question, list) else [question] * len(several)
    endings = choices if isinstance(choices, list) else [choices] * len(several)
    if len(contexts) != len(endings):
        raise ConfigError(f"{row.place}: has {len(contexts)} questions and {len(endings)} choices; give one question, or as many")
    texts = tuple(str(text) for text in endings)
    if empty := [number for number, text in enumerate(texts) if not text.strip()]:
        raise ConfigError(f"{row.place}: choice {empty[0]}, counted from 0, is empty; mend the item or leave it out")
    return _Parts(tuple(str(text) for text in contexts), texts, tuple(map(str, labels)), row.held("answer", fields.answer))


def _by_label(part: _Parts) -> int | None:
    told = str(part.answer).strip()
    return part.labels.index(told) if told in part.labels[: len(part.choices)] else None


def _by_text(part: _Parts) -> int | None:
    """The first, where two choices read the same."""
    if part.answer in part.choices:
        return part.choices.index(part.answer)
    whole = [f"{context} {choice}" for context, choice in zip(part.contexts, part.choices, strict=True)]
    return whole.index(part.answer) if part.answer in whole else None


def _by_number(part: _Parts) -> int | None:
    told = part.answer.strip() if isinstance(part.answer, str) else part.answer
    if not (isinstance(told, int) or (isinstance(told, str) and told.isdecimal())):
        return None
    return int(told) if 0 <= int(told) < len(part.choices) else None


def _by_letter(part: _Parts) -> int | None:
    told = str(part.answer).strip()
    place = string.ascii_uppercase.find(told) if len(told) == 1 else -1
    return place if 0 <= place < len(part.choices) else None


def _right(rows: Sequence[_Row], parts: Sequence[_Parts]) -> list[int]:
    """Which choice of each item its answer names."""
    attempts = [[tell(part) for part in parts] for tell in (_by_label, _by_text, _by_number, _by_letter)]
    best = max(attempts, key=lambda found: sum(one is not None for one in found))
    found = [which for which in best if which is not None]
    if len(found) < len(parts):
        wrong = best.index(None)
        raise ConfigError(
            f"{rows[wrong].place}: the answer {_short(parts[wrong].answer)} is none of its {len(parts[wrong].choices)} choices, "
            "neither by text nor by number from 0 nor by letter from A; mend the item, or set the task's answer to another field"
        )
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _chosen(items: list[Item], most: int | None) -> list[Item]:
    """So many of them, by a hash of their ids, in the order of the file."""
    if most is None or most >= len(items):
        return items
    lowest = sorted(range(len(items)), key=lambda number: (sha256(items[number].id.encode()).digest(), number))[:most]
    return [items[number] for number in sorted(lowest)]


def _rows(file: Path) -> Iterator[_Row]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; a task is a file of JSON lines, also gzip")
    number = 0
    try:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise ConfigError(f"{file}:{number}: is not JSON: {error}") from error
                if not isinstance(row, dict):
                    raise ConfigError(f"{file}:{number}: is no object but {_short(row)}; an item is fields and their values")
                yield _Row(f"{file}:{number}", row)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}:{number + 1}: cannot be read: {error}") from error
