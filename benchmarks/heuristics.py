"""How fast the published heuristics are, beside datatrove's on the same texts in the same run, all on one core.

    python benchmarks/heuristics.py [--data ../shared/data/text] [--megabytes 4] [--runs 5] [--peers-python PYTHON]

datatrove runs in a process of its own, with the interpreter that --peers-python names; how to make one, and which texts are
taken, says kernels.py beside this file. It gets one text in so many (--peer-share), since it takes seconds for a megabyte.

Rows are filters from text to verdict, all rules of each (datatrove stops at the first rule that fails). `together` is one batch
judged by all four, which share what they know about its words and lines; the line for datatrove is the sum of its four. Gopher's
filters are there in two flavours: datatrove's way of counting, and our default, DCLM's. datatrove's C4 filter cuts lines and
judges pages; here these are two stages: `C4, pages` and `C4, lines and pages`, the first being measured against all of theirs.
`together, C4's lines too` cuts lines and then judges the new texts by all four, which is what the sum of theirs does.

Then: what all signals of the catalogue cost, by what those of the two Gopher filters cost; how long the first call takes in a
process, with kernels to compile and with kernels from the cache; and the most memory that a process held which read a partition
of a Parquet file and judged it, or computed all signals of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kernels import DATA, ENGLISH, LEAST_SECONDS, read_texts, seconds

if TYPE_CHECKING:
    import pyarrow as pa

Work = Callable[[], object]

PARTITIONS = (64, 128)
"""MB of text whose memory is measured."""
ROW_GROUP = 2000


def filters(flavour: Literal["datatrove", "dclm"]) -> dict[str, list[Any]]:
    """The filters of each row."""
    from gristmill.stages.c4 import C4
    from gristmill.stages.fineweb import FineWeb
    from gristmill.stages.gopher_quality import GopherQuality
    from gristmill.stages.gopher_repetition import GopherRepetition

    found: dict[str, list[Any]] = {
        "Gopher quality": [GopherQuality(flavour=flavour)],
        "Gopher repetition": [GopherRepetition(flavour=flavour)],
        "C4, pages": [C4()],
        "FineWeb": [FineWeb()],
    }
    return {**found, "together": [rules for row in found.values() for rules in row]}


def judged(table: pa.Table, stages: list[Any]) -> Work:
    """Judge a batch of which nothing is known yet."""

    def work() -> None:
        from gristmill.stages.documents import Batch

        batch = Batch(table)
        for stage in stages:
            stage.judge(batch)

    return work


def cut_and_judged(table: pa.Table, stages: list[Any]) -> Work:
    """Cut C4's lines, then judge what is left."""

    def work() -> None:
        from gristmill.stages.c4_lines import C4Lines
        from gristmill.stages.documents import Batch

        batch = Batch(C4Lines().edit(Batch(table)).table)
        for stage in stages:
            stage.judge(batch)

    return work


def signals(table: pa.Table, names: list[str] | None) -> Work:
    """Compute signals, by default those of the rules of both Gopher filters."""

    def work() -> None:
        from gristmill.stages.features import TextFeatures
        from gristmill.stages.gopher_quality import GopherQuality
        from gristmill.stages.gopher_repetition import GopherRepetition
        from gristmill.stages.signals import compute

        features = TextFeatures(table["text"])
        if names is None:
            for rule in [*GopherQuality().active_rules(), *GopherRepetition().active_rules()]:
                compute(rule.signal, features, rule.switches)
        for name in names or []:
            compute(name, features, {})

    return work


def our_work(table: pa.Table) -> dict[str, Work]:
    """What Gristmill does, by the name of the row."""
    from gristmill.stages.signals import MODULES

    found = {name: judged(table, stages) for name, stages in filters("datatrove").items()}
    found["C4, lines and pages"] = cut_and_judged(table, filters("datatrove")["C4, pages"])
    found["together, C4's lines too"] = cut_and_judged(table, filters("datatrove")["together"])
    found.update((f"{name}, dclm", judged(table, stages)) for name, stages in filters("dclm").items() if "C4" not in name)
    del found["FineWeb, dclm"]
    found["signals of Gopher"] = signals(table, None)
    found["signals of the catalogue"] = signals(table, list(MODULES))
    return found


PEER_ROWS = {
    "Gopher quality": "GopherQualityFilter",
    "Gopher repetition": "GopherRepetitionFilter",
    "C4, pages": "C4QualityFilter",
    "FineWeb": "FineWebQualityFilter",
}
SUMS = ("together", "together, C4's lines too", "together, dclm")


def serve_peer() -> None:
    """Time datatrove's filters as asked on stdin, one name a line; the first line holds the texts."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print what they like
    texts = json.loads(sys.stdin.readline())
    try:
        from datatrove.data import Document  # type: ignore[import-not-found]
        from datatrove.pipeline import filters as theirs  # type: ignore[import-not-found]

        judges = {name: getattr(theirs, peer)() for name, peer in PEER_ROWS.items()}
    except Exception as error:  # a peer that does not work here is told, and costs only its own column
        print(json.dumps(f"{type(error).__name__}: {error}"), file=answers, flush=True)
        return
    print(json.dumps(""), file=answers, flush=True)
    for line in sys.stdin:
        judge = judges[json.loads(line)]
        documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]  # the C4 filter changes texts
        begin = time.perf_counter()
        for document in documents:
            judge.filter(document)
        print(json.dumps(time.perf_counter() - begin), file=answers, flush=True)


def run_self(python: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """This file again, in a process of its own."""
    return subprocess.Popen(
        [python, str(Path(__file__).resolve()), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )


def ask(process: subprocess.Popen[str], question: object) -> Any:
    """What the process answers."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        sys.exit(f"{' '.join(map(str, process.args))} ended with status {process.wait()}; try it by itself")  # type: ignore[arg-type]
    return json.loads(answer)


def measure(texts: list[str], runs: int, python: str, share: int) -> tuple[dict[str, float], dict[str, float], str]:
    """Seconds a MB, by row, ours and datatrove's, and why datatrove is missing, if it is."""
    import pyarrow as pa

    ours = our_work(pa.table({"text": pa.array(texts, pa.large_string())}))
    fewer = texts[::share]
    megabytes, fewer_megabytes = (sum(len(text.encode()) for text in some) / 1e6 for some in (texts, fewer))
    peer = run_self(python, "--serve-peer")
    missing = ask(peer, fewer)
    taken: dict[str, list[float]] = {name: [] for name in ours}
    theirs: dict[str, list[float]] = {} if missing else {name: [] for name in PEER_ROWS}
    for run in range(runs + 1):
        for name, work in ours.items():
            ours_took = seconds(work, LEAST_SECONDS) / megabytes
            theirs_took = ask(peer, name) / fewer_megabytes if name in theirs else 0.0
            if run:  # the first one warms up: kernels load, caches fill
                taken[name].append(ours_took)
                if name in theirs:
                    theirs[name].append(theirs_took)
    if peer.stdin is not None and not missing:
        peer.stdin.close()
    peer.wait()
    medians = {name: median(times) for name, times in theirs.items()}
    if medians:
        medians.update({name: sum(map(median, theirs.values())) for name in SUMS})
        medians["C4, lines and pages"] = medians["C4, pages"]
        medians.update((f"{name}, dclm", medians[name]) for name in ("Gopher quality", "Gopher repetition"))
    return {name: median(times) for name, times in taken.items()}, medians, missing


def first_call() -> None:
    """Print the seconds that a new process takes for its first verdict, imports and Unicode tables among them."""
    begin = time.perf_counter()
    import pyarrow as pa

    table = pa.table({"text": pa.array(["A text to begin with."], pa.large_string())})
    judged(table, filters("datatrove")["together"])()
    print(json.dumps(time.perf_counter() - begin))


def first_calls() -> tuple[float, float]:
    """Seconds for the first verdict of a process that compiles, and of one that finds the kernels compiled."""
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (float(run_self(sys.executable, "--first-call", XDG_CACHE_HOME=cache).communicate()[0]) for _ in range(2))
    return cold, warm


def peak(what: str, path: str) -> None:
    """Print the most memory this process has held, in MB, after it worked on the texts of a Parquet file."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["text"])
    from gristmill.stages.signals import MODULES

    work = judged(table, filters("datatrove")["together"]) if what == "rules" else signals(table, list(MODULES))
    work()
    lines = Path("/proc/self/status").read_text().splitlines()
    print(json.dumps(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6))


def peaks(texts: list[str], megabytes: int) -> dict[str, float]:
    """MB that a process held, by what it computed of so much text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "partition.parquet")
        endless, written = cycle(texts), 0
        with pq.ParquetWriter(path, pa.schema([("text", pa.large_string())])) as writer:
            while written < megabytes * 1e6:
                some = list(islice(endless, ROW_GROUP))
                written += sum(len(text.encode()) for text in some)
                writer.write_table(pa.table({"text": pa.array(some, pa.large_string())}))
        processes = {what: run_self(sys.executable, "--peak", what, path) for what in ("rules", "signals")}
        return {what: float(process.communicate()[0]) for what, process in processes.items()}


def show(ours: dict[str, float], theirs: dict[str, float]) -> None:
    """Print the table of speeds."""
    print(f"{'one core':28}{'gristmill':>14}{'datatrove':>14}{'ratio':>10}")
    for name, took in ours.items():
        line = f"{name:28}{1 / took:9,.1f} MB/s"
        if name in theirs:
            line += f"{1 / theirs[name]:9.3f} MB/s{theirs[name] / took:9,.0f}x"
        print(line)
    print()
    ratio = ours["signals of the catalogue"] / ours["signals of Gopher"]
    print(f"all signals of the catalogue cost {ratio:.2f} times those of the Gopher filters")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of clean text (books.jsonl.gz, ...)")
    parser.add_argument("--megabytes", type=float, default=4, help="text that each row is timed on (default: 4)")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the median counts (default: 5)")
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter that has datatrove")
    parser.add_argument("--peer-share", type=int, default=8, help="datatrove gets one text in so many (default: 8)")
    parser.add_argument("--serve-peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--first-call", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))
    if arguments.serve_peer:
        serve_peer()
        return
    if arguments.first_call:
        first_call()
        return
    if arguments.peak:
        peak(*arguments.peak)
        return
    if arguments.megabytes < 0.1 or arguments.runs < 1 or arguments.peer_share < 1:
        parser.error("--megabytes must be at least 0.1, --runs and --peer-share at least 1")
    if arguments.data.is_dir() and (absent := [name for name in ENGLISH if not (arguments.data / f"{name}.jsonl.gz").is_file()]):
        parser.error(f"{arguments.data}: no {absent[0]}.jsonl.gz there; give a folder with {', '.join(ENGLISH)}")
    texts = read_texts(arguments.data, int(arguments.megabytes * 1e6))
    size = sum(len(text.encode()) for text in texts)
    origin = str(arguments.data) if arguments.data.is_dir() else "docstrings of Python's standard library"
    print(f"{len(texts)} English documents of {size / max(len(texts), 1) / 1e3:.1f} KB, {size / 1e6:.1f} MB, from {origin}")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, median of {arguments.runs} runs\n")
    ours, theirs, missing = measure(texts, arguments.runs, arguments.peers_python, arguments.peer_share)
    show(ours, theirs)
    cold, warm = first_calls()
    print(f"first verdict of a process: {cold:.1f} s with kernels to compile, {warm:.1f} s with kernels from the cache")
    for megabytes in PARTITIONS:
        aim = 3 * megabytes + 300
        held = ", ".join(f"{peak_megabytes:,.0f} MB for all {what}" for what, peak_megabytes in peaks(texts, megabytes).items())
        print(f"most memory, partition of {megabytes} MB: {held} (aim: {aim} MB)")
    if missing:
        print(f"\ndatatrove did not run ({missing}). To have it beside ours, see --help and --peers-python.")


if __name__ == "__main__":
    main()
