"""Perplexity and importance: what they say of different kinds of text, and how fast.

    python benchmarks/perplexity.py --reference DOCUMENTS... --on NAME=DOCUMENTS... [--runs 3]

DOCUMENTS are files, folders of documents or run folders. Nine tenths of the reference (by hash of the text) train an n-gram model
of 5 words. Measured are the held-out tenth, the same with the words of each line shuffled, and each named set: perplexity, and
the log importance weight towards the reference, for a word, where the weights are estimated against all named sets together. MB/s
of one core; the median of the runs.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.stages.features import TextFeatures
from gristmill.stages.importance_ngrams import ngram_buckets
from gristmill.stages.importance_weights import ImportanceWeights, log_ratios_of
from gristmill.stages.ngram_tokens import tokens_of
from gristmill.stages.ngram_training import train_model
from gristmill.stages.perplexity_models import perplexities
from gristmill.tokenizers.documents import batches_of, document_files

BUCKETS = 10_000


def texts_of(paths: list[str]) -> list[str]:
    """All texts of some places that are not blank."""
    files = [file for path in paths for file in document_files(path)]
    return [text for batch in batches_of(files) for text in batch["text"].to_pylist() if text.strip()]


def shuffled(text: str, random_source: random.Random) -> str:
    """A text with the words of each line in another order."""
    lines = [line.split() for line in text.split("\n")]
    for line in lines:
        random_source.shuffle(line)
    return "\n".join(" ".join(line) for line in lines)


def timed(call: Callable[[], Any], runs: int) -> tuple[Any, float]:
    """What a call gives, and the median of its seconds of processor time."""
    seconds = []
    for _ in range(runs):
        before = time.process_time()
        found = call()
        seconds.append(time.process_time() - before)
    return found, median(seconds)


def counts_of(texts: list[str]) -> np.ndarray:
    """How often the n-grams of each bucket occur."""
    return np.bincount(ngram_buckets(pa.array(texts, pa.large_string()), BUCKETS).buckets, minlength=BUCKETS)


def main() -> int:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", nargs="+", required=True)
    parser.add_argument("--on", nargs="+", required=True, metavar="NAME=DOCUMENTS")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    reference = texts_of(given.reference)
    held_out = [text for text in reference if sha256(text.encode()).digest()[0] < 26]
    learned = [text for text in reference if sha256(text.encode()).digest()[0] >= 26]
    named = {name: texts_of([path]) for name, _, path in (one.partition("=") for one in given.on)}
    source = random.Random(0)
    sets = {"held out": held_out, "held out, shuffled": [shuffled(text, source) for text in held_out], **named}
    weights = ImportanceWeights(log_ratios_of(counts_of(learned), sum(counts_of(texts) for texts in named.values())))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "reference.lm")
        tokens = tokens_of(TextFeatures(pa.array(learned, pa.large_string())), "uax29")
        model, seconds = timed(lambda: train_model([tokens], words="uax29"), 1)
        model.write(path)
        size = sum(len(text.encode()) for text in learned) / 1e6
        grams = sum(model.about["ngrams"])
        print(f"trained on {size:.1f} MB in {seconds:.1f} s: {grams:,} n-grams, {Path(path).stat().st_size / 1e6:.1f} MB\n")
        print("| texts | documents | MB | perplexity: 10% | median | 90% | MB/s | weight a word: median | MB/s |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for name, texts in sets.items():
            column = pa.array(texts, pa.large_string())
            perplexities(column.slice(0, 1), path)
            found, seconds = timed(lambda column=column: perplexities(column, path), given.runs)
            (sums, words), more = timed(lambda column=column: weights.score(column), given.runs)
            size = sum(len(text.encode()) for text in texts) / 1e6
            low, middle, high = np.nanquantile(found, [0.1, 0.5, 0.9])
            cells = [
                name,
                f"{len(texts):,}",
                f"{size:.1f}",
                f"{low:,.0f}",
                f"{middle:,.0f}",
                f"{high:,.0f}",
                f"{size / seconds:.1f}",
            ]
            cells += [f"{np.median(sums / np.maximum(words, 1)):.3f}", f"{size / more:.1f}"]
            print(f"| {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
