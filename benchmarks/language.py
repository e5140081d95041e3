"""Language identification: how fast it is beside the bare library's own loop, and how often it is right, language by language.

    python benchmarks/language.py EVAL.jsonl.gz [--model lid.176] [--runs 5] [--documents TEXTS.jsonl.gz]

EVAL has objects with `text` and `lang` (ISO 639-1, else 639-3), and `lingua75` on those of well-resourced languages. Speeds are
medians over runs in turns, one process: whole documents (`--documents`, else the texts of EVAL twenty at a time) through the
stage, through fastText's own `predict` one at a time, and the lines of the documents. Accuracy is the share of a language's texts
that the model gives its label; `can` says whether it has one.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from gristmill.stages.documents import Batch
from gristmill.stages.language import Language
from gristmill.stages.language_codes import matching_key
from gristmill.stages.language_model import labels_of, load, predict
from gristmill.stages.models import list_models


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def speeds(texts: list[str], model: str, runs: int) -> None:
    """Print documents and megabytes a second of each way."""
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    ask = load(model).f.predict

    def bare() -> None:
        for text in table["text"].to_pylist():
            ask(text.replace("\n", " ") + "\n", 1, 0.0, "strict")

    # a new batch each time: a batch remembers what the model said
    ways: dict[str, Callable[[], object]] = {
        "bare library, a call a text": bare,
        "language": lambda: Language(model=model).annotate(Batch.of(table)),
        "language, top_k 5": lambda: Language(model=model, top_k=5).annotate(Batch.of(table)),
        "language, min_script_share": lambda: Language(model=model, min_script_share=0.5).judge(Batch.of(table)),
        "language, lines": lambda: Language(model=model, lines=True).judge(Batch.of(table)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    of_bare = median(seconds["bare library, a call a text"][1:])
    print(f"{len(texts):,} documents, {megabytes:.1f} MB, model {model}, median of {runs}\n")
    print("| way | documents/s | MB/s | time, bare library = 1 |\n| --- | --- | --- | --- |")
    for name, taken in seconds.items():
        middle = median(taken[1:])
        print(f"| {name} | {len(texts) / middle:,.0f} | {megabytes / middle:.1f} | {middle / of_bare:.2f} |")


def accuracy(rows: list[dict[str, Any]], model: str) -> None:
    """Print how often the model is right, for each language and for groups of them."""
    found = predict(model, pa.array([row["text"] for row in rows], pa.large_string())).first_labels()
    labels = labels_of(model)
    asked: dict[str, list[str]] = {}
    for row, label in zip(rows, found, strict=True):
        asked.setdefault(row["lang"], []).append(label or "none")
    can = {language: any(matching_key(label, [language]) for label in labels) for language in asked}
    well = {row["lang"] for row in rows if row.get("lingua75")}
    right = {
        language: sum(matching_key(label, [language]) is not None for label in answers) / len(answers)
        for language, answers in asked.items()
    }
    groups = {
        "well-resourced": sorted(well),
        "well-resourced, and the model has them": sorted(language for language in well if can[language]),
        "all": sorted(asked),
        "all, and the model has them": sorted(language for language in asked if can[language]),
        "all, and the model lacks them": sorted(language for language in asked if not can[language]),
    }
    print("\n| group | languages | accuracy, mean over languages | under 0.8 |\n| --- | --- | --- | --- |")
    for name, languages in groups.items():
        mean = sum(right[language] for language in languages) / max(len(languages), 1)
        print(f"| {name} | {len(languages)} | {mean:.3f} | {sum(right[language] < 0.8 for language in languages)} |")
    print("\n| language | texts | accuracy | can | most taken for |\n| --- | --- | --- | --- | --- |")
    for language in sorted(asked, key=lambda one: (one not in well, one)):
        wrong = Counter(label for label in asked[language] if matching_key(label, [language]) is None).most_common(3)
        taken = ", ".join(f"{label} {count}" for label, count in wrong)
        mark = "*" if language in well else ""
        answers = len(asked[language])
        print(f"| {language}{mark} | {answers} | {right[language]:.2f} | {'yes' if can[language] else 'no'} | {taken} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eval", type=Path)
    parser.add_argument("--model", default="lid.176", help=f"name ({', '.join(one.name for one in list_models())}) or path")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--documents", type=Path)
    given = parser.parse_args()
    rows = read(given.eval)
    texts = [row["text"] for row in read(given.documents or given.eval)]
    if given.documents is None:
        texts = ["\n".join(texts[start : start + 20]) for start in range(0, len(texts), 20)]
    speeds(texts, given.model, given.runs)
    accuracy(rows, given.model)


if __name__ == "__main__":
    main()
