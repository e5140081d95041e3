"""Words of languages without spaces: rules held against ICU's dictionaries, words a character, speed.

    python benchmarks/segmentation.py LANGID.jsonl.gz TEXT.jsonl.gz

LANGID holds `text` and `lang` a line, TEXT `text` in a language with spaces. Speeds are medians of 5, for scripts with spaces the
best of three such medians, on one core, compile time not counted; those of `uax29` are of the same run.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable
from statistics import median

import pyarrow as pa

from gristmill.stages.features import TextFeatures

LANGUAGES = {"zh": "Chinese", "yue": "Cantonese", "ja": "Japanese", "th": "Thai", "lo": "Lao", "km": "Khmer", "my": "Burmese"}
LANGUAGES |= {"bo": "Tibetan"}
MEGABYTES = 4


def texts_of(path: str) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def features_of(texts: list[str]) -> TextFeatures:
    return TextFeatures(pa.array(texts, pa.large_string()))


def seconds(texts: list[str], work: Callable[[TextFeatures], object]) -> float:
    """Median time that `work` takes on features of its own."""
    work(features_of(texts[:1]))
    times = []
    for _ in range(5):
        features = features_of(texts)
        begin = time.perf_counter()
        work(features)
        times.append(time.perf_counter() - begin)
    return median(times)


def boundaries(texts: list[str], splitter: str) -> tuple[set[int], int]:
    """Where a word begins right after another, which is where splitters may differ; and how many words there are."""
    features = features_of(texts)
    spans = features.words(splitter)
    ends = set(spans.ends.tolist())
    return {start for start in spans.starts.tolist() if start in ends}, len(spans.starts)


def main(langid: str, plain: str) -> None:
    everything = texts_of(langid)
    # the zero width spaces of Khmer texts mark words already: without them, the splitters have something to do
    print(
        f"{'language':10} {'texts':>6} {'precision':>9} {'recall':>7} | words per 100 characters: {'dictionary':>10} {'rules':>6}"
        f" {'uax29':>6} | MB/s: {'dictionary':>10} {'rules':>6} {'uax29':>6}"
    )
    for code, name in LANGUAGES.items():
        texts = [row["text"].replace("\u200b", "") for row in everything if row["lang"] == code]
        dictionary, words = boundaries(texts, "segmented_alphanumeric")
        rules, syllables = boundaries(texts, "segmented_by_rules_alphanumeric")
        _, plainly = boundaries(texts, "uax29_alphanumeric")
        agreed = len(dictionary & rules)
        characters = sum(map(len, texts)) / 100
        size = sum(len(text.encode()) for text in texts)
        many = texts * (1 + MEGABYTES * 1_000_000 // size)
        speeds = [
            size
            * (len(many) // len(texts))
            / 1e6
            / seconds(many, lambda features, splitter=splitter: features.word_statistics(splitter))
            for splitter in ("segmented", "segmented_by_rules", "uax29")
        ]
        print(
            f"{name:10} {len(texts):6} {agreed / max(len(rules), 1):9.3f} {agreed / max(len(dictionary), 1):7.3f} | {'':25}"
            f"{words / characters:10.1f} {syllables / characters:6.1f} {plainly / characters:6.1f} | {'':5}"
            f"{speeds[0]:10.1f} {speeds[1]:6.1f} {speeds[2]:6.1f}"
        )
    print()
    latin = [row["text"] for row in texts_of(plain)]
    russian = [row["text"] for row in everything if row["lang"] in ("ru", "uk", "bg", "el")] * 20
    for name, texts in (("English", latin), ("Cyrillic, Greek", russian)):
        times = {splitter: [0.0] for splitter in ("uax29", "segmented", "segmented_by_rules")}
        for _ in range(3):  # in turn, so that the noise of the machine meets all of them
            for splitter in times:
                times[splitter].append(seconds(texts, lambda features, splitter=splitter: features.word_statistics(splitter)))
        times = {splitter: [min(found[1:])] for splitter, found in times.items()}
        usual = times["uax29"][0]
        size = sum(len(text.encode()) for text in texts) / 1e6
        for splitter, found in times.items():
            print(
                f"{name:16} {splitter:20} {size / found[0]:7.1f} MB/s, {100 * (found[0] / usual - 1):+5.1f}% of the time of uax29"
            )
    one_line = "大学的生活" * 350_000 + "คนไทยกินข้าว" * 140_000
    for splitter in ("segmented", "segmented_by_rules"):
        features = features_of([one_line])
        begin = time.perf_counter()
        count = int(features.word_statistics(splitter)[0, 0])
        took = time.perf_counter() - begin
        print(f"one line of {len(one_line.encode()) / 1e6:.1f} MB, {splitter}: {count:,} words, {took:.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
