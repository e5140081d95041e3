"""How fast the text kernels are, beside datatrove and datasketch on the same texts in the same run, all on one core.

    python benchmarks/kernels.py [--data ../shared/data/text] [--megabytes 4] [--runs 5] [--peers-python PYTHON]

The peers run in a process of their own, with the interpreter that --peers-python names, so that they need not be installed
beside Gristmill:

    python3 -m venv peers && peers/bin/pip install datatrove spacy tokenizers lxml_html_clean nltk xxhash "datasketch>=2,<3"
    python benchmarks/kernels.py --peers-python peers/bin/python

Without it this interpreter runs them: datasketch is there, datatrove usually not. A peer that is missing leaves its column empty.

Each line is one piece of work from text to result: words; the signals of a filter and its verdict (datatrove stops at the first
rule that fails, here all are measured); a MinHash signature (here with the keys of its bands). Texts are English documents of
about 3.9 KB, from --data or, where that is absent, docstrings of Python's standard library. The numbers are medians over the
runs, in MB of UTF-8 text a second; ours and the peers' runs take turns, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from itertools import chain, islice, zip_longest
from pathlib import Path
from statistics import median
from typing import Any

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "text"
ENGLISH = ("books", "textbooks", "qa", "science", "encyclopedic")
DOCUMENT_BYTES = 3900
LEAST_SECONDS = 0.1
"""A run repeats its work until this much time has passed."""
WIDE = "MinHash 450 x 20"
WIDE_SHARE = 8
"""One text in so many is used for the widest signature: datatrove takes seconds a hundred texts."""
PEERS = ("datatrove", "datasketch")

Work = Callable[[], object]


def cut(text: str) -> list[str]:
    """Pieces of a text, about as long as a web page's text, cut at white space."""
    pieces, start = [], 0
    while len(text) - start >= DOCUMENT_BYTES:
        end = text.rfind(" ", start, start + DOCUMENT_BYTES)
        end = end if end > start else start + DOCUMENT_BYTES
        pieces.append(text[start:end])
        start = end
    return pieces


def docstrings() -> str:
    """English text that every Python brings along."""
    found = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if {"test", "tests", "site-packages", "dist-packages"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(ast.get_docstring(node) or "")
    return "\n\n".join(filter(None, found))


def read_texts(folder: Path, total_bytes: int) -> list[str]:
    """Documents of about 3.9 KB, from all English files in turn."""
    if folder.is_dir():
        sources = []
        for name in ENGLISH:
            with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
                sources.append(cut("\n\n".join(json.loads(line)["text"] for line in lines)))
    else:
        sources = [cut(docstrings())]
    in_turn = (text for text in chain.from_iterable(zip_longest(*sources)) if text is not None)
    return list(islice(in_turn, total_bytes // DOCUMENT_BYTES))


def subset(name: str, texts: list[str]) -> list[str]:
    """Texts that a piece of work is timed on."""
    return texts[::WIDE_SHARE] if name == WIDE else texts


def our_work(texts: list[str]) -> dict[str, Work]:
    """What Gristmill does, by the name of the line; nothing computed for one call is there for the next."""
    import pyarrow as pa

    from gristmill.stages.documents import Batch
    from gristmill.stages.exact import Exact
    from gristmill.stages.gopher_quality import GopherQuality
    from gristmill.stages.gopher_repetition import GopherRepetition
    from gristmill.stages.minhash import MinHash
    from gristmill.stages.shingles import hash_all_words

    def batch(name: str = "") -> Batch:
        return Batch(table.slice(0, wide) if name == WIDE else table)

    # the texts of the widest signature come first, so that both are slices of one table
    table = pa.table(
        {"text": pa.array(subset(WIDE, texts) + [text for i, text in enumerate(texts) if i % WIDE_SHARE], pa.large_string())}
    )
    wide = len(subset(WIDE, texts))
    return {
        "words, hashed": lambda: hash_all_words(batch().features),
        "words, UAX #29": lambda: batch().features.words("uax29"),
        "Gopher quality": lambda: GopherQuality(flavour="datatrove").judge(batch()),
        "Gopher repetition": lambda: GopherRepetition(flavour="datatrove").judge(batch()),
        "Gopher quality, dclm": lambda: GopherQuality().judge(batch()),
        "Gopher repetition, dclm": lambda: GopherRepetition().judge(batch()),
        "MinHash 14 x 8": lambda: MinHash().emit(batch()),
        WIDE: lambda: MinHash(bands=450, rows=20).emit(batch(WIDE)),
        "exact hash": lambda: Exact().emit(batch()),
    }


def datatrove_work(texts: list[str]) -> dict[str, Work]:
    """What datatrove does; its Gopher filters stand beside our flavour `datatrove` and beside our default."""
    from datatrove.data import Document  # type: ignore[import-not-found]
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature  # type: ignore[import-not-found]
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter  # type: ignore[import-not-found]
    from datatrove.utils.hashing import HashConfig  # type: ignore[import-not-found]
    from datatrove.utils.word_tokenizers import load_word_tokenizer  # type: ignore[import-not-found]

    tokenizer = load_word_tokenizer("eng")
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]

    def words() -> object:
        return [tokenizer.word_tokenize(text) for text in texts]

    def judged(judge: Any) -> Work:
        return lambda: [judge.filter(document) for document in documents]

    def signatures(bands: int, rows: int, name: str) -> Work:
        config = MinhashConfig(n_grams=5, num_buckets=bands, hashes_per_bucket=rows, hash_config=HashConfig(hash_fc="sha1"))
        step = MinhashDedupSignature(output_folder=os.devnull, config=config)
        return lambda: [step.get_signature(step.get_shingles(text)) for text in subset(name, texts)]

    quality, repetition = judged(GopherQualityFilter()), judged(GopherRepetitionFilter())
    return {
        "words, hashed": words,
        "words, UAX #29": words,
        "Gopher quality": quality,
        "Gopher repetition": repetition,
        "Gopher quality, dclm": quality,
        "Gopher repetition, dclm": repetition,
        "MinHash 14 x 8": signatures(14, 8, ""),
        WIDE: signatures(450, 20, WIDE),
    }


def datasketch_work(texts: list[str]) -> dict[str, Work]:
    """What datasketch does, with its own hash (SHA-1) and the shingles made in plain Python."""
    from datasketch import MinHash

    def shingles(text: str) -> set[bytes]:
        words = re.findall(r"\w+", text.lower())
        return {" ".join(words[index : index + 5]).encode() for index in range(len(words) - 4)}

    def signatures(count: int, name: str) -> Work:
        return lambda: MinHash.bulk([shingles(text) for text in subset(name, texts)], num_perm=count)

    return {"MinHash 14 x 8": signatures(112, ""), WIDE: signatures(9000, WIDE)}


def seconds(work: Work, least: float) -> float:
    """Seconds that a piece of work takes; it is done again until `least` seconds have passed."""
    done, begin = 0, time.perf_counter()
    while True:
        work()
        done += 1
        passed = time.perf_counter() - begin
        if passed >= least:
            return passed / done


def serve_peers() -> None:
    """Time the peers' work as asked on stdin, one JSON a line; the first line holds the texts."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries print what they like
    texts = json.loads(sys.stdin.readline())
    found: dict[str, dict[str, Work]] = {}
    missing = {}
    for name, work in (("datatrove", datatrove_work), ("datasketch", datasketch_work)):
        try:
            found[name] = work(texts)
        except Exception as error:  # a peer that does not work here is told, and costs only its own column
            missing[name] = f"{type(error).__name__}: {error}"
    print(json.dumps({"lines": {name: list(work) for name, work in found.items()}, "missing": missing}), file=answers, flush=True)
    for line in sys.stdin:
        peer, name = json.loads(line)
        print(json.dumps(seconds(found[peer][name], 0.0)), file=answers, flush=True)


class Peers:
    """The process that runs the peers."""

    def __init__(self, python: str, texts: list[str]) -> None:
        """Start it and hand it the texts."""
        environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")}
        command = [python, str(Path(__file__).resolve()), "--serve-peers"]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
            )
        except OSError as error:
            sys.exit(f"--peers-python {python}: {error.strerror}; give the path of a Python interpreter")
        answer = self._ask(texts)
        self.lines: dict[str, list[str]] = answer["lines"]
        self.missing: dict[str, str] = answer["missing"]

    def _ask(self, question: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{' '.join(map(str, self.process.args))} ended with status {self.process.wait()}; try it by itself")  # type: ignore[arg-type]
        return json.loads(answer)

    def seconds(self, peer: str, name: str) -> float:
        """Seconds for one line of the table."""
        return float(self._ask([peer, name]))

    def close(self) -> None:
        """Let the process end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(texts: list[str], runs: int, python: str) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """MB a second, by line and by who did the work, and which peers are missing."""
    ours = our_work(texts)
    peers = Peers(python, texts)
    taken: dict[tuple[str, str], list[float]] = {}
    for run in range(runs + 1):
        for name, work in ours.items():
            if sys.stderr.isatty():
                print(f"run {run} of {runs}: {name:30}", end="\r", file=sys.stderr, flush=True)
            times = {"gristmill": seconds(work, LEAST_SECONDS)}
            times.update((peer, peers.seconds(peer, name)) for peer, lines in peers.lines.items() if name in lines)
            if run:  # the first one warms up: kernels load, caches fill
                for who, passed in times.items():
                    taken.setdefault((name, who), []).append(passed)
    peers.close()
    speeds: dict[str, dict[str, float]] = {name: {} for name in ours}
    for (name, who), times_taken in taken.items():
        megabytes = sum(len(text.encode()) for text in subset(name, texts)) / 1e6
        speeds[name][who] = megabytes / median(times_taken)
    return speeds, peers.missing


def show(speeds: dict[str, dict[str, float]]) -> None:
    """Print the table."""
    print(f"{'MB/s on one core':26}{'gristmill':>11}" + "".join(f"{peer:>13}{'ratio':>8}" for peer in PEERS))
    for name, by_whom in speeds.items():
        line = f"{name:26}{by_whom['gristmill']:11,.1f}"
        for peer in PEERS:
            ratio = f"{by_whom['gristmill'] / by_whom[peer]:,.0f}x" if peer in by_whom else "-"
            line += f"{by_whom[peer]:13.3f}{ratio:>8}" if peer in by_whom else f"{'-':>13}{ratio:>8}"
        print(line)


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of clean text (books.jsonl.gz, ...)")
    parser.add_argument("--megabytes", type=float, default=4, help="text that each line is timed on (default: 4)")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the median counts (default: 5)")
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter that has datatrove and datasketch")
    parser.add_argument("--serve-peers", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_peers:
        serve_peers()
        return
    if arguments.megabytes < 0.1 or arguments.runs < 1:
        parser.error("--megabytes must be at least 0.1 and --runs at least 1")
    if arguments.data.is_dir() and (absent := [name for name in ENGLISH if not (arguments.data / f"{name}.jsonl.gz").is_file()]):
        parser.error(f"{arguments.data}: no {absent[0]}.jsonl.gz there; give a folder with {', '.join(ENGLISH)}")
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))
    texts = read_texts(arguments.data, int(arguments.megabytes * 1e6))
    origin = str(arguments.data) if arguments.data.is_dir() else "docstrings of Python's standard library"
    size = sum(len(text.encode()) for text in texts)
    print(f"{len(texts)} English documents of {size / max(len(texts), 1) / 1e3:.1f} KB, {size / 1e6:.1f} MB, from {origin}")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, median of {arguments.runs} runs\n")
    speeds, missing = measure(texts, arguments.runs, arguments.peers_python)
    show(speeds)
    for peer, reason in missing.items():
        print(f"\n{peer} did not run ({reason}). To have it beside ours, see --help and --peers-python.")


if __name__ == "__main__":
    main()
