"""The catalogue of signals and stages, as the command line and the documentation show it."""

from __future__ import annotations

from typing import Any

from gristmill.stages.corpus_stage import CorpusStage
from gristmill.stages.editor import Editor
from gristmill.stages.filter import Filter
from gristmill.stages.registry import STAGES, stage_class
from gristmill.stages.signals import describe, plain_definition


def rows() -> list[dict[str, Any]]:
    """A row a signal, in the order of the catalogue: `{"signal", "unit", "empty", "definition", "source"}`; `empty` is its value
    on empty text, as its plain definition has it."""
    return [
        {
            "signal": one.name,
            "unit": one.unit,
            "empty": plain_definition(one.name)(""),
            "definition": one.definition,
            "source": one.source,
        }
        for one in describe()
    ]


def as_markdown() -> str:
    """The catalogue as one table of Markdown."""
    lines = ["| signal | unit | empty text | definition | source |", "| --- | --- | --- | --- | --- |"]
    for row in rows():
        cells = (f"`{row['signal']}`", row["unit"], f"{row['empty']:g}", row["definition"], row["source"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def stage_rows() -> list[dict[str, str]]:
    """A row a stage, in the order of the registry: `{"stage", "is", "looks_at", "does"}`."""
    found = []
    for name in STAGES:
        cls = stage_class(name)
        kind = "corpus stage" if issubclass(cls, CorpusStage) else "editor" if issubclass(cls, Editor) else "filter"
        if kind == "corpus stage" and issubclass(cls, Filter):
            kind = "corpus filter"
        does = " ".join((cls.__doc__ or "").strip().split("\n\n")[0].split())
        found.append({"stage": name, "is": kind, "looks_at": cls.needs, "does": does})
    return found
