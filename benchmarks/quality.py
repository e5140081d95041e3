"""Quality classifiers: how well two kinds of documents are told apart, and how fast documents are scored.

    python benchmarks/quality.py --positive DOCUMENTS... --negative DOCUMENTS... [--recipes none pile llama] [--runs 5]

DOCUMENTS are files, folders of documents or run folders. For each recipe of `gristmill classifier train` (`none`: the defaults) a
model is trained on nine tenths of both sets and measured on the rest; the tables are those of the command. Then the first model
scores all documents: by the stage, which asks the library for many texts at once and writes score and `meta`, and by the loop of
the library itself, a call a text; medians over runs in turns, one process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from gristmill.pipeline.classifier import train_classifier
from gristmill.pipeline.classifier_settings import RECIPES, ClassifierTraining
from gristmill.pipeline.cli_classifier import show_facts
from gristmill.stages.documents import Batch
from gristmill.stages.language_model import load
from gristmill.stages.quality_classifier import QualityClassifier
from gristmill.tokenizers.documents import batches_of, document_files


def texts_of(paths: list[str]) -> list[str]:
    """All texts of some places."""
    files = [file for path in paths for file in document_files(path)]
    return [text for batch in batches_of(files) for text in batch["text"].to_pylist()]


def train_all(positive: list[str], negative: list[str], recipes: list[str], folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Train and print; path and facts of each model."""
    trained = []
    for name in recipes:
        settings = ClassifierTraining.model_validate({} if name == "none" else {"recipe": name})
        output = str(folder / f"{name}.bin")
        start = time.perf_counter()
        facts = train_classifier(positive, negative, settings, output)
        seconds = time.perf_counter() - start
        print(f"\n## recipe {name}: {seconds:.0f} s with reading and measuring\n")
        show_facts(facts, Path(output).name)
        trained.append((output, facts))
    return trained


def speeds(texts: list[str], model: str, runs: int) -> None:
    """Print documents and megabytes a second of the stage and of the bare library."""
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    ask = load(model).f.predict

    def bare() -> None:
        for text in table["text"].to_pylist():
            ask(text.replace("\n", " ") + "\n", 2, 0.0, "strict")

    def staged() -> None:
        # a new batch each time: a batch remembers its scores
        stage, batch = QualityClassifier(model=model, at_least=0.5), Batch.of(table)
        stage.judge(batch)
        stage.annotate(batch)

    ways: dict[str, Callable[[], None]] = {"bare library, a call a text": bare, "quality_classifier": staged}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    of_bare = median(seconds["bare library, a call a text"][1:])
    print(f"\n## scoring {len(texts):,} documents, {megabytes:.1f} MB, median of {runs}\n")
    print("| way | documents/s | MB/s | time, bare library = 1 |\n| --- | --- | --- | --- |")
    for name, taken in seconds.items():
        middle = median(taken[1:])
        print(f"| {name} | {len(texts) / middle:,.0f} | {megabytes / middle:.1f} | {middle / of_bare:.2f} |")


def summary(trained: list[tuple[str, dict[str, Any]]]) -> None:
    """Print one row a recipe."""
    print("\n## by recipe, on documents held out\n")
    print("| recipe | positive | negative | AUC | precision at 0.5 | recall at 0.5 | positive kept with 10% of the negative |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for output, facts in trained:
        held = facts["held_out"]
        tenth = next(row for row in held["thresholds"] if row["keep"] == 0.1)
        half = held["at_0.5"]
        precision = "-" if half["precision"] is None else f"{half['precision']:.3f}"
        cells = (Path(output).stem, f"{held['positive']:,}", f"{held['negative']:,}", f"{held['auc']:.4f}", precision)
        print(f"| {' | '.join(cells)} | {half['recall']:.3f} | {tenth['recall']:.3f} |")


def main() -> int:
    """Train, measure, time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positive", nargs="+", required=True)
    parser.add_argument("--negative", nargs="+", required=True)
    parser.add_argument("--recipes", nargs="+", choices=["none", *RECIPES], default=["none", "gpt3", "pile", "llama"])
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trained = train_all(given.positive, given.negative, given.recipes, Path(folder))
        summary(trained)
        speeds(texts_of([*given.positive, *given.negative]), trained[0][0], given.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
