"""Make rows of a table of languages from a file of texts whose language is known.

    python tools/language_table.py REFERENCE.jsonl.gz [--model lid.176] [--flavour datatrove] > table.yaml

Each line of the reference is an object with `text` and `lang`. What is made, and how: gristmill.stages.language_reference.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gristmill.stages.language_reference import language_rows


def texts_by_language(path: Path, only: str | None) -> dict[str, list[str]]:
    """The texts of a reference; `only` names a key that must be true."""
    texts: dict[str, list[str]] = {}
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if only is None or row.get(only):
                texts.setdefault(row["lang"], []).append(row["text"])
    return texts


def as_yaml(rows: dict[str, dict[str, dict[str, Any]]]) -> Iterator[str]:
    """The table, a line a stage."""
    for language, stages in rows.items():
        yield f"{language}:"
        for stage, settings in stages.items():
            told = ", ".join(f"{key}: {'null' if value is None else value}" for key, value in settings.items())
            yield f"  {stage}: {{{told}}}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--model", default="lid.176")
    parser.add_argument("--flavour", default="datatrove")
    parser.add_argument("--only", help="key of the lines that must be true, such as lingua75")
    given = parser.parse_args()
    rows = language_rows(texts_by_language(given.reference, given.only), given.model, given.flavour)
    sys.stdout.writelines(f"{line}\n" for line in as_yaml(rows))


if __name__ == "__main__":
    main()
