"""How fast near-duplicates are removed, beside datatrove, text-dedup and datasketch on the same documents in one run.

    python benchmarks/dedup.py [--megabytes 20] [--wide-megabytes 2] [--growth-megabytes 24] [--runs 3]
                               [--peers-python PYTHON] [--text-dedup-python PYTHON] [--only jobs|growth]

The peers run in processes of their own, with interpreters that have them; one that is missing is said to be, and costs its line:

    python3 -m venv peers && peers/bin/pip install datatrove spacy "datasketch>=2,<3" orjson xxhash
    python3 -m venv text-dedup && text-dedup/bin/pip install text-dedup
    python benchmarks/dedup.py --peers-python peers/bin/python --text-dedup-python text-dedup/bin/python

Texts are English documents of about 3.9 KB. One in ten has one to three near copies planted, in which up to 3% of the words are
changed. Where more text is asked for than there is, the same texts come again with their letters exchanged for others, by an
alphabet for each round: words of the same lengths and frequencies that share no shingle with the first ones.

First table: the whole job by phase, each on one core. Ours verifies each candidate pair (true Jaccard of at least 0.7), the
others take candidates as they are, so they may remove more. "job" is from documents in the work folder to lists of removals,
with the ledger rows that tell the kept id and the similarity; "run" is the stage as a command does it, from JSONL to published
documents, with ledger, index and report. Both in this interpreter, whose kernels are compiled; medians over the runs.

Second table: the same job on ever more text in partitions of a fixed size, with the highest memory of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kernels import DATA, read_texts  # type: ignore[import-not-found]

PEERS = Path(__file__).resolve().with_name("dedup_peers.py")
PARTITION_BYTES = 64 << 20
GROWTH_PARTITION_BYTES = 8 << 20
BATCH_DOCUMENTS = 1024
PHASES = {
    "emit": ("emit",),
    "resolve": ("resolve",),
    "offer, verify": ("offer", "verify"),
    "cluster": ("forest", "decide", "spread", "small stars", "large stars", "decide stars"),
    "remove": ("offer again", "remove"),
}
"""Steps of the engine by what they are for."""


def documents(texts: list[str], total_bytes: int, seed: int = 0) -> Iterator[str]:
    """English documents and planted near copies of some, until so many bytes are there."""
    generator = random.Random(seed)
    held = 0
    for turn in count():
        letters = list(string.ascii_lowercase)
        if turn:
            generator.shuffle(letters)
        other = str.maketrans(string.ascii_letters, "".join(letters) + "".join(letters).upper())
        for text in texts:
            for copy in copies(text.translate(other), generator):
                yield copy
                held += len(copy.encode())
                if held >= total_bytes:
                    return


def copies(text: str, generator: random.Random) -> Iterator[str]:
    """A document, and its planted near copies where it has some."""
    yield text
    if generator.random() < 0.1:
        for _ in range(generator.randint(1, 3)):
            words = text.split(" ")
            for _ in range(int(len(words) * generator.choice([0, 0.005, 0.01, 0.03]))):
                words[generator.randrange(len(words))] = "changed"
            yield " ".join(words)


def write_parts(texts: Iterator[str], folder: Path, part_bytes: int) -> list[Any]:
    """The documents as an earlier step of the engine leaves them, about `part_bytes` of text a file."""
    import pyarrow as pa

    from gristmill.pipeline.parts import Part
    from gristmill.pipeline.storage import Storage
    from gristmill.pipeline.tables import StreamWriter
    from gristmill.stages.documents import DOCUMENTS

    work, done = Storage(str(folder)), 0
    parts: list[Part] = []
    pending = list(islice(texts, BATCH_DOCUMENTS))
    while pending:
        name = f"documents/{len(parts)}.arrow"
        writer, size, rows = StreamWriter(work, name, DOCUMENTS), 0, 0
        while pending and size < part_bytes:
            records = [
                dict.fromkeys(DOCUMENTS.names) | {"id": f"d{at}", "text": text, "source": "s", "file": "f", "position": at}
                for at, text in enumerate(pending, done + rows)
            ]
            writer.write(pa.Table.from_pylist(records, schema=DOCUMENTS))
            size += sum(len(text.encode()) for text in pending)
            rows += len(pending)
            pending = list(islice(texts, BATCH_DOCUMENTS))
        writer.close()
        parts.append(Part("s", name, name, rows, rows, size, 0))
        done += rows
    return parts


def job(folder: Path, parts: list[Any], bands: int, rows: int, partition_bytes: int) -> dict[str, Any]:
    """Our job from documents to removals: `phases` {name: seconds} and `removed` documents."""
    from gristmill.pipeline.cluster import InProcess
    from gristmill.pipeline.dedup import Deduplication
    from gristmill.pipeline.ledger import LedgerText
    from gristmill.pipeline.parts import make_packs
    from gristmill.pipeline.progress import Progress
    from gristmill.pipeline.runner import Runner
    from gristmill.pipeline.steps import Manifest, StepStore, Task
    from gristmill.pipeline.storage import Storage
    from gristmill.stages.minhash import MinHash

    seconds: dict[str, float] = {}

    class Timed(Runner):
        def run(self, step: str, tasks: list[Task]) -> list[Manifest]:  # type: ignore[override]
            start = time.perf_counter()
            done = super().run(step, tasks)
            name = step.removeprefix("minhash: ")
            name = "offer again" if name == "offer" and "verify" in seconds else name
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
            return done

    for finished in ("steps", "data"):
        shutil.rmtree(folder / finished, ignore_errors=True)
    work = Storage(str(folder))
    with Progress(quiet=True) as progress:
        runner = Timed(InProcess(), work, StepStore(work), progress)
        stage, start = MinHash(bands=bands, rows=rows), time.perf_counter()
        packs = make_packs(parts, partition_bytes)
        removed = Deduplication(runner, stage, packs, partition_bytes, LedgerText()).run()
        total = time.perf_counter() - start
    phases = {name: sum(seconds.get(step, 0.0) for step in steps) for name, steps in PHASES.items()}
    gone = sum(part["rows"] for manifest in removed.values() for part in manifest["by_part"].values())
    return {"phases": phases | {"job": total}, "removed": gone}


def whole_run(file: Path, folder: Path, bands: int, rows: int) -> float:
    """Seconds of the stage from a JSONL file to a published run folder."""
    from gristmill.pipeline.single_stage import run_stage
    from gristmill.stages.minhash import MinHash

    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    run_stage(MinHash(bands=bands, rows=rows), str(file), str(folder), workers=0, quiet=True)
    return time.perf_counter() - start


def ours(texts: list[str], folder: Path, bands: int, rows: int, runs: int) -> dict[str, Any]:
    """Medians of our phases."""
    parts = write_parts(iter(texts), folder / "work", PARTITION_BYTES)
    warm = write_parts(iter(texts[:200]), folder / "warm", PARTITION_BYTES)
    job(folder / "warm", warm, bands, rows, PARTITION_BYTES)  # kernels load
    done = [job(folder / "work", parts, bands, rows, PARTITION_BYTES) for _ in range(runs)]
    phases = {name: median(one["phases"][name] for one in done) for name in done[0]["phases"]}
    phases["run"] = median(whole_run(folder / "documents.jsonl", folder / "run", bands, rows) for _ in range(runs))
    return {"phases": phases, "removed": done[0]["removed"], "version": ""}


def peer(name: str, python: str, folder: Path, bands: int, rows: int) -> dict[str, Any]:
    """What a peer's process tells, `error` where it does not work."""
    if not python:
        return {"error": "no interpreter was given that has it"}
    place = folder / name
    place.mkdir()
    command = [python, str(PEERS), name, str(folder / "documents.jsonl"), str(place), str(bands), str(rows)]
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        return {"error": f"{python}: {error.strerror}"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}
    answer: dict[str, Any] = json.loads(done.stdout)
    answer["phases"]["job"] = sum(answer["phases"].values())
    return answer


def jobs(texts: list[str], bands: int, rows: int, runs: int, pythons: dict[str, str]) -> None:
    """Print the table of whole jobs at one setting."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"\n{bands} bands x {rows} rows: {len(texts):,} documents, {size:.1f} MB")
    print(f"{'':14}{'phase':16}{'seconds':>9}{'documents/s':>13}{'MB/s':>9}{'ours is':>9}{'removed':>9}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "documents.jsonl").open("w") as file:
            file.writelines(json.dumps({"id": f"d{at}", "text": text}) + "\n" for at, text in enumerate(texts))
        found = {"gristmill": ours(texts, folder, bands, rows, runs)}
        found |= {peer_name: peer(peer_name, python, folder, bands, rows) for peer_name, python in pythons.items()}
    best = found["gristmill"]["phases"]["job"]
    for who, answer in found.items():
        if "error" in answer:
            print(f"{who:14}did not run: {answer['error']}")
            continue
        for phase, seconds in answer["phases"].items():
            speed = f"{len(texts) / max(seconds, 1e-6):13,.0f}{size / max(seconds, 1e-6):9.2f}"
            whole = f"{seconds / best:8.0f}x" if phase == "job" and who != "gristmill" else f"{'':9}"
            removed = f"{answer['removed']:9,}" if phase == "job" else ""
            print(f"{who:14}{phase:16}{seconds:9.3f}{speed}{whole}{removed}", flush=True)
            who = ""


def growth(texts: list[str], megabytes: float, bands: int, rows: int) -> None:
    """Print the table of ever more text, each in a process of its own."""
    print(f"\n{bands} bands x {rows} rows, ever more text in partitions of {GROWTH_PARTITION_BYTES >> 20} MB")
    print(f"{'':6}{'documents':>11}{'MB':>8}{'seconds':>9}{'time':>8}{'MB/s':>8}{'removed':>9}{'peak memory':>13}")
    first = 0.0
    for times in (1, 2, 5, 10):
        with tempfile.TemporaryDirectory() as name:
            wanted = documents(texts, int(times * megabytes * 1e6))
            parts = write_parts(wanted, Path(name), GROWTH_PARTITION_BYTES)
            size = sum(part.bytes for part in parts) / 1e6
            described = json.dumps([[part.file, part.rows, part.bytes] for part in parts])
            command = [sys.executable, __file__, "--one-job", name, str(bands), str(rows)]
            answer = json.loads(subprocess.run(command, input=described, capture_output=True, text=True, check=True).stdout)
        seconds = answer["seconds"]
        first = first or seconds
        speed = f"{seconds:9.2f}{seconds / first:7.1f}x{size / seconds:8.1f}"
        number = sum(part.rows for part in parts)
        memory = f"{answer['peak_bytes'] / 1e6:10.0f} MB"
        print(f"{times:4}x {number:11,}{size:8.0f}{speed}{answer['removed']:9,}{memory}", flush=True)


def one_job(folder: Path, bands: int, rows: int) -> None:
    """The job on documents that are there, in this process; prints seconds, removed and the highest memory."""
    from gristmill.pipeline.parts import Part

    parts = [Part("s", file, file, rows_, rows_, size, 0) for file, rows_, size in json.load(sys.stdin)]
    job(folder, parts[:1], bands, rows, GROWTH_PARTITION_BYTES)  # kernels load
    done = [job(folder, parts, bands, rows, GROWTH_PARTITION_BYTES) for _ in range(3)]
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    print(
        json.dumps({"seconds": median(one["phases"]["job"] for one in done), "removed": done[0]["removed"], "peak_bytes": peak})
    )


def main() -> None:
    """Measure and print the tables."""
    if sys.argv[1:2] == ["--one-job"]:
        one_job(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of clean text (books.jsonl.gz, ...)")
    parser.add_argument("--megabytes", type=float, default=20, help="text of the job at 14 x 8 (default: 20)")
    parser.add_argument("--wide-megabytes", type=float, default=2, help="text of the job at 450 x 20 (default: 2)")
    parser.add_argument("--growth-megabytes", type=float, default=24, help="text at 1x (default: 24)")
    parser.add_argument("--runs", type=int, default=3, help="runs of ours of which the median counts (default: 3)")
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter that has datatrove and datasketch")
    parser.add_argument("--text-dedup-python", default="", help="interpreter that has text-dedup")
    parser.add_argument("--only", choices=["jobs", "growth"], help="one of the tables")
    arguments = parser.parse_args()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))
    texts = read_texts(arguments.data, 10**9)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, Python {platform.python_version()}; ours: medians of {arguments.runs} runs")

    pythons = dict.fromkeys(("datatrove", "datasketch"), arguments.peers_python)
    pythons = {"datatrove": pythons["datatrove"], "text-dedup": arguments.text_dedup_python, "datasketch": pythons["datasketch"]}
    if arguments.only != "growth":
        jobs(list(documents(texts, int(arguments.megabytes * 1e6))), 14, 8, arguments.runs, pythons)
        jobs(list(documents(texts, int(arguments.wide_megabytes * 1e6))), 450, 20, arguments.runs, pythons)
    if arguments.only != "jobs":
        growth(texts, arguments.growth_megabytes, 14, 8)


if __name__ == "__main__":
    main()
