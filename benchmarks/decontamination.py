"""Decontamination by method: how much of what was planted is found, how many clean documents are taken for dirty, how fast.

    python benchmarks/decontamination.py BENCHMARKS TEXT.jsonl.gz... [--rephrased FILE] [--model MODEL...] [--items 200]

BENCHMARKS is a folder of benchmark files. Of their items some are drawn (lowest hashes of their ids) and planted, each between
pieces of clean text of its own, once for each kind of change. TEXT are files of clean documents, which are cut into pieces of
about 2,000 characters. REPHRASED has items rephrased by a model, with `of` (id of the item) and `kind`. Each method sees all
documents as one corpus. MODEL is word vectors or the folder of a sentence-transformers model: the method `embedding` at several
similarities, in the same table and, by source of the rephrased items, in one of its own, which also says how often a rephrased
item and its own are nearest to each other: what is left for those who read through candidates. Speeds are those of the search
in the clean documents, medians of runs in turns, by the processor's time.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.stages.contamination_items import Item, read_items
from gristmill.stages.contamination_similarity import SimilarItems, similarities
from gristmill.stages.decontaminate import Decontaminate
from gristmill.stages.documents import Batch
from gristmill.stages.embeddings import model_vectors

PIECE = 2_000
METHODS: dict[str, dict[str, Any]] = {
    "weighted (the default)": {},
    "weighted, share 0.3": {"share": 0.3},
    "ngram gpt3": {"method": "ngram", "flavour": "gpt3"},
    "ngram palm": {"method": "ngram", "flavour": "palm"},
    "ngram llama3": {"method": "ngram", "flavour": "llama3"},
    "substring": {"method": "substring"},
    "substring, shortest 50": {"method": "substring", "shortest": 50},
}
BOUNDS = (0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.98)
"""Similarities at which the method `embedding` is measured."""
_DIGITS = dict(enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]))
KINDS: dict[str, Callable[[Item], str]] = {
    "exact": lambda item: f"{item.question}\n{item.answer}",
    "re-cased": lambda item: f"{item.question}\n{item.answer}".upper(),
    "re-punctuated": lambda item: re.sub(r"[.,;:!?]", " -", f"{item.question}\n{item.answer}"),
    "re-wrapped": lambda item: re.sub(r"\s+", "\n  ", f"{item.question}\n{item.answer}"),
    "other digits": lambda item: item.question.translate({48 + at: 0x660 + at for at in range(10)}),
    "digits as words": lambda item: re.sub(r"\d", lambda found: f" {_DIGITS[int(found[0])]} ", item.question),
    "question alone": lambda item: item.question,
}


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a gzip file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def pieces(path: Path) -> Iterator[str]:
    """The documents of a file, cut after about 2,000 characters where a line ends."""
    for row in rows_of(path):
        held: list[str] = []
        for line in row["text"].splitlines(keepends=True):
            held.append(line)
            if sum(map(len, held)) >= PIECE:
                yield "".join(held)
                held = []
        if held:
            yield "".join(held)


def drawn(items: list[Item], number: int) -> list[Item]:
    """The items with the lowest hashes of their ids."""
    return sorted(items, key=lambda item: hashlib.blake2b(f"{item.benchmark} {item.id}".encode()).digest())[:number]


def words_of(text: str) -> list[str]:
    """Words as the default method compares them, plainly."""
    return re.findall(r"\w+", text.lower())


def plain_search(items: list[Item]) -> Callable[[str], bool]:
    """A search for 13-grams in plain Python: a set of tuples, the first hit is enough."""
    wanted = set()
    for item in items:
        words = words_of(item.question)
        wanted.update(zip(*(words[at:] for at in range(13)), strict=False))
    return lambda text: any(gram in wanted for gram in zip(*(words_of(text)[at:] for at in range(13)), strict=False))


def datatrove_search(items: list[Item]) -> Callable[[str], bool] | None:
    """Datatrove's filter with its default 12-grams of questions; None where it is not installed.

    Its indexer wants the library lighteval even for items of one's own, so the hashes are computed with its own function.
    """
    try:
        from datatrove.data import Document
        from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
        from datatrove.utils.hashing import HashConfig
        from datatrove.utils.text import ngrams, simplify_text

        # its default, xxhash, fails on strings with some releases of that library
        hashing = HashConfig(hash_fc="sha1")
        filter = NGramsDecontFilter(".", NGramsDecontConfig(find_query_ngrams=True, hash_config=hashing))
        tokenize = filter.tokenizer.word_tokenize
        tokenize("a mill")
    except Exception as error:  # whichever of its own dependencies is missing
        print(f"datatrove cannot be run here: {type(error).__name__}: {str(error).splitlines()[0]}")
        return None
    filter._index_hashes = {}
    for item in items:
        words = tokenize(simplify_text(item.question, filter.config.norm_config))
        filter._index_hashes |= {filter.hash_func(" ".join(gram)): item.benchmark for gram in ngrams(words, 12)}
    return lambda text: filter.filter(Document(text=text, id="")) is not True


def flagged(stage: Decontaminate, texts: list[str]) -> np.ndarray:
    """Which documents of a corpus hold an item; bool of shape (n_texts,)."""
    batch = Batch.of(pa.table({"text": pa.array(texts, pa.large_string()), "source": ["x"] * len(texts)}))
    survey = stage.survey(batch)
    batch.given = survey.signals
    settled = stage.settled(survey.totals)
    assert isinstance(settled, Decontaminate)
    return ~settled.judge(batch).kept


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmarks", type=Path)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--rephrased", type=Path)
    parser.add_argument("--model", nargs="*", default=[], help="for the method embedding; none: the method is left out")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--leave-out", nargs="*", default=["natural_overlaps", "rephrased"], help="files that are no benchmarks")
    parser.add_argument("--plain-documents", type=int, default=1000, help="clean documents for the searches in plain Python")
    given = parser.parse_args()
    files = [path for path in sorted(given.benchmarks.glob("*.jsonl.gz")) if path.name.split(".")[0] not in given.leave_out]
    items = [item for path in files for item in read_items(str(path))]
    clean = [piece for path in given.texts for piece in pieces(path)]
    hosts = iter(clean * 20)
    planted: dict[str, list[str]] = {}
    restated: dict[str, list[dict[str, Any]]] = {}
    chosen = drawn(items, given.items)
    for kind, change in KINDS.items():
        planted[kind] = [f"{next(hosts)}\n\n{change(item)}\n\n{next(hosts)}" for item in chosen]
    if given.rephrased:
        known = {item.id for item in items}
        rephrased = [row for row in rows_of(given.rephrased) if row["of"] in known]
        for kind in sorted({row["kind"] for row in rephrased}):
            rows = [row for row in rephrased if row["kind"] == kind]
            planted[kind] = [f"{next(hosts)}\n\n{row['text']}\n\n{next(hosts)}" for row in rows[: given.items]]
            for name in sorted({row["of"].split("/")[0] for row in rows}):
                restated[f"{kind}, {name}"] = [row for row in rows if row["of"].split("/")[0] == name][: given.items]
    corpus = [*clean, *(text for texts in planted.values() for text in texts)]
    size = sum(len(text.encode()) for text in clean) / 1e6
    print(
        f"{len(items):,} items of {len(files)} benchmarks, {given.items} planted; {len(clean):,} clean documents, {size:.1f} MB\n"
    )
    searches = {"13-grams, plain Python": plain_search(items), "datatrove, 12-grams": datatrove_search(items)}
    head = ["method", *planted, "false alarms", "of a million documents"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    stages = {name: Decontaminate(benchmarks=tuple(map(str, files)), **settings) for name, settings in METHODS.items()}
    exact: dict[str, np.ndarray] = {}
    for name, stage in stages.items():
        found = flagged(stage, corpus)
        exact[name] = found[len(clean) : len(clean) + given.items]
        print_row(name, found, clean, planted)
    for name, search in searches.items():
        if search is not None:
            print_row(name, np.array([search(text) for text in corpus]), clean, planted)
    greatest = {model: nearness(similar_items(files, model), corpus) for model in given.model}
    for model, near in greatest.items():
        for bound in BOUNDS:
            print_row(f"embedding, {Path(model).name}, {bound}", near >= bound, clean, planted)
    lengths = np.array([len(words_of(item.question)) for item in chosen])
    groups = {"under 8 words": lengths < 8, "8 to 12": (lengths >= 8) & (lengths < 13), "13 and more": lengths >= 13}
    named = " | ".join(f"{name} ({rows.sum()})" for name, rows in groups.items())
    print(f"\n| exact copies found, by length of the question | {named} |")
    print(f"| --- |{' --- |' * len(groups)}")
    for name, found in exact.items():
        print(f"| {name} | {' | '.join(f'{found[rows].mean():.0%}' if rows.any() else '-' for rows in groups.values())} |")
    for model in given.model if restated else ():
        print_restated(similar_items(files, model), items, clean, restated, greatest[model][: len(clean)])
    speeds(stages, searches, clean, given)


def similar_items(files: list[Path], model: str) -> SimilarItems:
    """The items as the method `embedding` compares them; the bound is of no account here."""
    stage = Decontaminate(benchmarks=tuple(map(str, files)), method="embedding", model=model, similarity_at_least=1.0)
    found = stage.similar_items()
    assert found is not None
    return found


def nearness(items: SimilarItems, texts: list[str]) -> np.ndarray:
    """The greatest similarity of each text to an item; shape (n_texts,)."""
    batch = Batch.of(pa.table({"text": pa.array(texts, pa.large_string())}))
    return items.near(batch.features, np.arange(len(texts))).greatest


def print_restated(
    similar: SimilarItems, items: list[Item], clean: list[str], restated: dict[str, list[dict[str, Any]]], alarms: np.ndarray
) -> None:
    """Print, for rephrased items by themselves, how many are found where few false alarms are allowed, how often the item that
    one restates is the nearest to it of all, and it the nearest to its item, passages of the clean documents included."""
    batch = Batch.of(pa.table({"text": pa.array(clean, pa.large_string())}))
    # the nearest passage of the clean documents to each item
    rivals = np.zeros(len(similar.vectors))
    for passages in similar._passages(batch.features, np.arange(len(clean))):
        spans = zip(passages.starts.tolist(), passages.ends.tolist(), strict=True)
        vectors, _ = model_vectors(similar.model, [batch.features.data[start:end].tobytes().decode() for start, end in spans])
        for begin in range(0, len(rivals), 4096):
            some = slice(begin, begin + 4096)
            rivals[some] = np.maximum(rivals[some], similarities(vectors, similar.vectors[some]).max(axis=0))
    text_of = {(items[item].id): text for text, item in reversed(list(enumerate(similar.text_item.tolist())))}
    allowed = [0, len(alarms) // 1000, len(alarms) // 100]
    bounds = {number: float(np.sort(alarms)[-1 - number]) + 1e-6 for number in allowed}
    head = ["rephrased items by themselves", *(f"{number} (similarity {bound:.3f})" for number, bound in bounds.items())]
    head += ["its item is the nearest of all items", "it is the passage nearest to its item"]
    print(f"\n{Path(similar.model).name}: found, where so many of {len(alarms):,} clean documents are false alarms\n")
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for kind, rows in restated.items():
        vectors, embedded = model_vectors(similar.model, [row["text"] for row in rows])
        own = np.array([text_of.get(rows[at]["of"], -1) for at in embedded.tolist()])
        scores = similarities(vectors, similar.vectors)
        nearest, first = scores.max(axis=1), scores.argmax(axis=1)
        of_own = np.where(own >= 0, scores[np.arange(len(own)), own], 0.0)
        others = np.array([np.delete(of_own_column, at).max(initial=0.0) for at, of_own_column in enumerate(scores[:, own].T)])
        passage_is_nearest = (own >= 0) & (of_own >= rivals[own]) & (of_own >= others)
        cells = [nearest >= bound for bound in bounds.values()] + [(own >= 0) & (first == own), passage_is_nearest]
        print(f"| {kind} ({len(rows)}) | {' | '.join(f'{cell.sum() / len(rows):.0%}' for cell in cells)} |", flush=True)


def print_row(name: str, found: np.ndarray, clean: list[str], planted: dict[str, list[str]]) -> None:
    """Print the recall of each kind and the false alarms of a method, given which documents of the corpus it takes."""
    begin = len(clean)
    cells = []
    for texts in planted.values():
        cells.append(f"{found[begin : begin + len(texts)].mean():.0%}")
        begin += len(texts)
    wrong = int(found[: len(clean)].sum())
    print(f"| {name} | {' | '.join(cells)} | {wrong:,} of {len(clean):,} | {wrong / len(clean) * 1e6:,.0f} |", flush=True)


def speeds(
    stages: dict[str, Decontaminate],
    searches: dict[str, Callable[[str], bool] | None],
    clean: list[str],
    given: argparse.Namespace,
) -> None:
    """Print megabytes of text a second of each search."""
    table = pa.table({"text": pa.array(clean, pa.large_string())})
    few = clean[: given.plain_documents]
    ways: dict[str, tuple[Callable[[], object], list[str]]] = {
        name: (lambda stage=stage: stage.index().find(Batch.of(table).features), clean) for name, stage in stages.items()
    }
    for name, search in searches.items():
        if search is not None:
            ways[name] = (lambda search=search: [search(text) for text in few], few)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.runs):
        for name, (way, _) in ways.items():
            start = time.process_time()
            way()
            taken[name].append(time.process_time() - start)
    print("\n| method | MB/s |\n| --- | --- |")
    for name, (_, texts) in ways.items():
        print(f"| {name} | {sum(len(text.encode()) for text in texts) / 1e6 / median(taken[name]):,.1f} |")


if __name__ == "__main__":
    main()
