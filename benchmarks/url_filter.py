"""How long lists of URLs take to read, what they hold in memory, and how many URLs a second are held against them.

    python benchmarks/url_filter.py URLS.txt [--domains 3000000] [--pages FILE] [--hard FILE] [--soft FILE] [--strict FILE]

URLS.txt holds a URL a line. The domains are made up; hard, soft and strict are lists of words.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from statistics import median

import pyarrow as pa

from gristmill.stages.documents import Batch
from gristmill.stages.url_filter import UrlFilter

LETTERS = "abcdefghijklmnopqrstuvwxyz-"
ENDINGS = ("com", "net", "org", "de", "co.uk", "info")
LEAST_URLS = 100_000


def write_domains(path: Path, number: int) -> None:
    """Write made-up domains, a line each."""
    generator = random.Random(0)
    with path.open("w") as file:
        for _ in range(number):
            name = "".join(generator.choices(LETTERS, k=generator.randint(5, 18)))
            file.write(f"{name}.{generator.choice(ENDINGS)}\n")


def seconds(stage: UrlFilter, batch: Batch, runs: int) -> float:
    """Median seconds to measure a batch."""
    stage.measure(batch)
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        stage.measure(batch)
        taken.append(time.perf_counter() - start)
    return median(taken)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", type=Path)
    parser.add_argument("--domains", type=int, default=3_000_000)
    for name in ("pages", "hard", "soft", "strict"):
        parser.add_argument(f"--{name}", nargs="*", default=())
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    urls = arguments.urls.read_text(encoding="utf-8").split()
    batch = Batch(pa.table({"url": urls * (LEAST_URLS // len(urls) + 1)}))
    UrlFilter(domains=("example.com",)).measure(batch)  # compiles
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "domains.txt"
        write_domains(path, arguments.domains)
        domains = UrlFilter(domains=(str(path),))
        start = time.perf_counter()
        domains.set_up()
        sites = domains._read().sites
        print(
            f"{len(sites):,} domains read in {time.perf_counter() - start:.2f} s, {sites.nbytes / len(sites):.1f} bytes an entry"
        )
        everything = UrlFilter(
            domains=(str(path),),
            urls=tuple(arguments.pages),
            banned_words=tuple(arguments.hard),
            soft_banned_words=tuple(arguments.soft),
            banned_subwords=tuple(arguments.strict),
        )
        for told, stage in (("domains", domains), ("domains, pages and words", everything)):
            print(f"{told:<26}{len(batch) / seconds(stage, batch, arguments.runs):>12,.0f} URLs/s")


if __name__ == "__main__":
    main()
