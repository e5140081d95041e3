"""How long what-if takes: `gristmill whatif` and `gristmill funnel --by rule` on a run of a million documents.

    python benchmarks/whatif.py [--rows 1000000] [--runs 5]

A run of the recipe `demo` over the crawl of `gristmill demo-crawl` gives real signals. Its rows after extraction are drawn with
replacement until there are as many as asked for, and every value but those that are 0 or 1 is shaken by a few percent, so that
columns hold as many different numbers as in a large run. They are written as a run writes them. The numbers are medians over
the runs of whole commands, the start of Python included, and the highest resident memory of any.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.pipeline.demo_crawl import make_demo_crawl
from gristmill.pipeline.published import PublishedRun
from gristmill.pipeline.recipe import load_recipe
from gristmill.pipeline.runs import run
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.stored_signals import StoredSignals, fates
from gristmill.pipeline.tables import write_parquet
from gristmill.pipeline.whatif import Tally

FILE_ROWS = 500_000
MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""A small process that starts the command: Linux counts the memory of the one that forked as the command's own."""
COMMANDS = (
    ["whatif", "--set", "gopher_quality.min_words=30"],
    ["whatif", "--set", "gopher_repetition.max_top_2gram_chars=0.1", "gopher_quality.min_words=200"],
    ["whatif", "--set", "language.keep.en=0.7"],
    ["funnel", "--by", "rule"],
)


def shaken(values: pa.ChunkedArray, generator: np.random.Generator) -> pa.Array:
    """The values, each a few percent off; 0, 1 and null stay."""
    numbers = values.to_numpy()
    moved = np.where((numbers == 0) | (numbers == 1), numbers, numbers * np.exp(generator.normal(0, 0.05, len(numbers))))
    return pa.array(moved, pa.float64(), from_pandas=True)


def grow(small: Path, large: Path, rows: int) -> None:
    """Write a run folder whose last text version has so many documents."""
    signals = pq.read_table(sorted((small / "signals").glob("*.parquet"))[-1])
    generator, storage = np.random.default_rng(0), Storage(str(large))
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        drawn = signals.take(pa.array(generator.integers(0, signals.num_rows, min(FILE_ROWS, rows - start))))
        columns = {name: shaken(drawn[name], generator) if "." in name else drawn[name] for name in drawn.column_names}
        columns["id"] = pa.array([f"<urn:uuid:{start + row:032x}>" for row in range(drawn.num_rows)])
        write_parquet(storage, f"signals/01-web-1-{number:05d}.parquet", pa.table(columns, schema=signals.schema))
    for name in ("run.json", "funnel.json"):
        (large / name).write_bytes((small / name).read_bytes())
    stored = StoredSignals(PublishedRun(large))
    counts: dict[str, Any] = {}
    for one in stored.runs:
        tally = Tally(one.filters)
        for batch in stored.batches(one):
            tally.add(fates([batch.judge(stage) for stage in one.filters], batch.rows))
        if one.version == 1:
            counts = tally.counts()
    funnel = stored.published.funnel
    for row in funnel["rows"]:
        row.update(counts.get(row["stage"], {}))
    (large / "funnel.json").write_text(json.dumps(funnel))


def timed(command: list[str]) -> tuple[float, int]:
    """Seconds of a command, and its highest resident memory in kB (Linux)."""
    answer = subprocess.run([sys.executable, "-c", MEASURE, *command], check=True, capture_output=True, text=True).stdout.split()
    return float(answer[0]), int(answer[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        crawl, small, large = Path(folder) / "crawl.warc.gz", Path(folder) / "small", Path(folder) / "large"
        make_demo_crawl(crawl)
        run(load_recipe("demo", ["tokenize=null"], [str(crawl)]), output=small, workers=0, quiet=True)
        grow(small, large, arguments.rows)
        size = sum(file.stat().st_size for file in (large / "signals").iterdir())
        held = len(pq.read_schema(next((large / "signals").iterdir())).names) - 3
        print(f"{arguments.rows:,} documents, {held} signals, {size / 1e6:.0f} MB, medians of {arguments.runs}\n")
        print(f"{'command':<100}{'seconds':>9}{'MB':>7}")
        for name, *flags in COMMANDS:
            command = [str(Path(sys.executable).with_name("gristmill")), name, str(large), *flags]
            results = [timed(command) for _ in range(arguments.runs)]
            shown = " ".join(["gristmill", name, "RUN", *flags])
            print(f"{shown:<100}{median(one[0] for one in results):>9.2f}{max(one[1] for one in results) / 1e3:>7.0f}")


if __name__ == "__main__":
    main()
