"""How well each extraction engine does on annotated pages, how fast it is, and what the stage costs on top of the bare library.

    python benchmarks/extraction.py [--data ../shared/data/web] [--limit N] [--engines trafilatura resiliparse justext]

Recall: share of the gold segments that belong to the text and are in it. Precision: of all gold segments found in the text, the
share that belongs there. White space is normalised before a segment is looked for. F1: over the bag of lower-cased words of a
page, the mean of all pages that have a whole gold text. Overhead: the stage beside the same library called in this process on the
same pages (both decode them), taking turns every 100 pages; in seconds that pass, and in processor time, child included.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import re
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pyarrow as pa
from warcio.archiveiterator import ArchiveIterator

from gristmill.stages import extraction_worker
from gristmill.stages.charset import decode_html
from gristmill.stages.documents import WITH_HTML, Batch
from gristmill.stages.extract import Extract, tidy

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "web"
TURN = 100
"""Pages that the stage and the bare library extract in turn."""


@dataclass
class Score:
    """Gold segments found and missed in a set of pages."""

    wanted_found: int = 0
    wanted: int = 0
    unwanted_found: int = 0

    @property
    def recall(self) -> float:
        return self.wanted_found / self.wanted if self.wanted else float("nan")

    @property
    def precision(self) -> float:
        found = self.wanted_found + self.unwanted_found
        return self.wanted_found / found if found else float("nan")


@dataclass
class Result:
    """What one engine did."""

    sets: dict[str, Score] = field(default_factory=dict)
    word_f1: list[float] = field(default_factory=list)
    pages: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    different: int = 0
    """Pages of which the stage made another text than the bare library."""
    stage_seconds: float = 0
    stage_cpu: float = 0
    bare_seconds: float = 0
    bare_cpu: float = 0


def main() -> None:
    """Run the engines and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the WARC files and the gold files")
    parser.add_argument("--limit", type=int, help="pages taken from each WARC file (default: all)")
    parser.add_argument("--engines", nargs="+", default=["trafilatura", "resiliparse", "justext"])
    arguments = parser.parse_args()
    if not (arguments.data / "gold.jsonl").is_file():
        parser.error(f"{arguments.data}: no gold.jsonl there; give the folder with --data")
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)

    pages = read_pages(arguments.data, arguments.limit)
    gold = {page["url"]: page for page in map(json.loads, (arguments.data / "gold.jsonl").read_text("utf-8").splitlines())}
    with gzip.open(arguments.data / "gold_text.jsonl.gz", "rt", encoding="utf-8") as lines:
        gold_texts = {page["url"]: page["text"] for page in map(json.loads, lines)}

    results = {engine: run(engine, pages, gold, gold_texts) for engine in arguments.engines}
    print_table(results)


def read_pages(folder: Path, limit: int | None) -> pa.Table:
    """The pages of all WARC files as documents before extraction."""
    rows: list[dict[str, object]] = []
    for path in sorted(folder.glob("*.warc.gz")):
        n_before = len(rows)
        with path.open("rb") as file:
            for record in ArchiveIterator(file):
                if limit is not None and len(rows) - n_before >= limit:
                    break
                if record.rec_type == "response":
                    url = record.rec_headers.get_header("WARC-Target-URI")
                    content_type = record.http_headers.get_header("Content-Type")
                    row = {"id": url, "text": "", "source": "web", "file": path.name, "position": len(rows), "url": url}
                    rows.append({**row, "content_type": content_type, "html": record.content_stream().read()})
    return pa.Table.from_pylist(rows, schema=WITH_HTML)


def run(engine: str, pages: pa.Table, gold: dict[str, dict[str, Any]], gold_texts: dict[str, str]) -> Result:
    """Extract all pages with the stage and with the bare library, and compare the texts with the gold."""
    stage = Extract(engine=engine)
    stage.set_up()
    options = {name: getattr(stage, name) for name in ("favour", "comments", "tables", "fast", "stop_words")}
    bare = extraction_worker.load_engine(engine, options)
    bare(extraction_worker.SAMPLE)
    result = Result(pages=len(pages))
    for turn, start in enumerate(range(0, len(pages), TURN)):
        some = pages.slice(start, TURN)
        if turn % 2:
            bare_texts, texts = run_bare(bare, some, result), run_stage(stage, some, result)
        else:
            texts, bare_texts = run_stage(stage, some, result), run_bare(bare, some, result)
        result.different += sum(left != right for left, right in zip(texts, bare_texts, strict=True))
        for url, text in zip(some["url"].to_pylist(), texts, strict=True):
            judge(text, gold.get(url), gold_texts.get(url), result)
    return result


def run_stage(stage: Extract, pages: pa.Table, result: Result) -> list[str]:
    """Texts from the stage, its time added to the result."""
    child = stage._process().pid
    started, cpu = time.perf_counter(), time.process_time() + cpu_seconds(child)
    edited = stage.edit(Batch(pages))
    result.stage_seconds += time.perf_counter() - started
    if stage._process().pid == child:
        result.stage_cpu += time.process_time() + cpu_seconds(child) - cpu
    else:
        result.stage_cpu = float("nan")  # the child was replaced, and its time is lost
    result.lost.update(loss.rule for loss in edited.losses)
    texts: list[str] = edited.table["text"].to_pylist()
    return texts


def run_bare(engine: extraction_worker.Engine, pages: pa.Table, result: Result) -> list[str]:
    """Texts from the library called here, its time added to the result."""
    htmls, content_types = pages["html"].to_pylist(), pages["content_type"].to_pylist()
    started, cpu = time.perf_counter(), time.process_time()
    texts = []
    for html, content_type in zip(htmls, content_types, strict=True):
        try:
            texts.append(engine(decode_html(html, content_type)) or "")
        except Exception:
            texts.append("")
    result.bare_seconds += time.perf_counter() - started
    result.bare_cpu += time.process_time() - cpu
    return [tidy(text) for text in texts]


def cpu_seconds(pid: int | None) -> float:
    """Processor time that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def judge(text: str, gold: dict[str, Any] | None, gold_text: str | None, result: Result) -> None:
    """Look for the gold segments in a text, and compare its words with those of the gold text."""
    if gold is not None:
        score = result.sets.setdefault(gold["set"], Score())
        flat = flatten(text)
        score.wanted += len(gold["with"])
        score.wanted_found += sum(flatten(segment) in flat for segment in gold["with"])
        score.unwanted_found += sum(flatten(segment) in flat for segment in gold["without"])
    if gold_text is not None:
        mine, right = words(text), words(gold_text)
        n_common = (mine & right).total()
        result.word_f1.append(2 * n_common / (mine.total() + right.total()) if mine or right else 1.0)


def flatten(text: str) -> str:
    """White space normalised."""
    return " ".join(text.split())


def words(text: str) -> Counter[str]:
    """Bag of words."""
    return Counter(re.findall(r"\w+", text.lower()))


def print_table(results: dict[str, Result]) -> None:
    """One row an engine."""
    sets = sorted({name for result in results.values() for name in result.sets})
    header = ["engine", "pages", "lost"]
    header += [f"{name} {what}" for name in sets for what in ("recall", "precision")]
    header += ["word F1", "pages/s", "bare pages/s", "overhead", "CPU overhead", "texts unlike bare"]
    rows = [header]
    for engine, result in results.items():
        row = [engine, str(result.pages), str(result.lost.total())]
        for name in sets:
            score = result.sets.get(name, Score())
            row += [f"{score.recall:.3f}", f"{score.precision:.3f}"]
        row += [
            f"{sum(result.word_f1) / len(result.word_f1):.3f}" if result.word_f1 else "-",
            f"{result.pages / result.stage_seconds:.1f}",
            f"{result.pages / result.bare_seconds:.1f}",
            f"{result.stage_seconds / result.bare_seconds - 1:+.1%}",
            f"{result.stage_cpu / result.bare_cpu - 1:+.1%}",
            str(result.different),
        ]
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(
                cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        )


if __name__ == "__main__":
    main()
