"""The near-duplicate jobs of datatrove, text-dedup and datasketch; `dedup.py` starts this with their interpreters.

    python benchmarks/dedup_peers.py PEER DOCUMENTS.jsonl FOLDER BANDS ROWS

Prints one JSON object: `phases` {name: seconds}, `removed` documents, `version`, `peak_bytes` of the process.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

NGRAM = 5


def datatrove(documents: Path, folder: Path, bands: int, rows: int) -> dict[str, Any]:
    """Its four steps as its example has them, one after another in this process."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.word_tokenizers import load_word_tokenizer
    from loguru import logger

    logger.remove()
    load_word_tokenizer("eng").word_tokenize("Loaded before the clock starts.")
    config = MinhashConfig(n_grams=NGRAM, num_buckets=bands, hashes_per_bucket=rows, hash_config=HashConfig(hash_fc="sha1"))

    def reader() -> Any:
        return JsonlReader(str(documents.parent), glob_pattern=documents.name)

    signatures, buckets, removals = (str(folder / name) for name in ("signatures", "buckets", "removals"))
    kept = JsonlWriter(str(folder / "kept"), compression=None)
    steps = {
        "signature": (1, [reader(), MinhashDedupSignature(output_folder=signatures, config=config, language="eng")]),
        "buckets": (bands, [MinhashDedupBuckets(input_folder=signatures, output_folder=buckets, config=config)]),
        "cluster": (1, [MinhashDedupCluster(input_folder=buckets, output_folder=removals, config=config)]),
        "filter": (1, [reader(), MinhashDedupFilter(input_folder=removals), kept]),
    }
    phases = {}
    for name, (tasks, pipeline) in steps.items():
        start = time.perf_counter()
        LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=1, logging_dir=str(folder / "logs" / name)).run()
        phases[name] = time.perf_counter() - start
    stayed = sum(1 for file in (folder / "kept").iterdir() for _ in file.open("rb"))
    return {"phases": phases, "removed": lines(documents) - stayed, "version": version("datatrove")}


def text_dedup(documents: Path, folder: Path, bands: int, rows: int) -> dict[str, Any]:
    """Its command, in one process; it tells the seconds of its phases itself."""
    command = [sys.executable, "-m", "text_dedup.minhash", "--path", "json", "--data_files", str(documents), "--split", "train"]
    command += ["--column", "text", "--output", str(folder / "kept"), "--cache_dir", str(folder / "cache"), "--num_proc", "1"]
    command += ["--b", str(bands), "--r", str(rows), "--num_perm", str(bands * rows), "--ngram", str(NGRAM), "--min_length", "5"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home"), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(said.strip().splitlines()[-1] if said.strip() else f"ended with status {done.returncode}")
    told = dict(re.findall(r"(\w+)\s*: ([\d.]+)s?\b", said))
    phases = {name: float(told[name]) for name in ("Loading", "MinHashing", "Clustering", "Filtering", "Saving")}
    return {"phases": phases, "removed": int(told["Before"]) - int(told["After"]), "version": version("text-dedup")}


def datasketch(documents: Path, folder: Path, bands: int, rows: int) -> dict[str, Any]:
    """Its signatures and its LSH: each document asks for those before it, and goes where there is one."""
    from datasketch import MinHash, MinHashLSH

    def shingles(text: str) -> set[bytes]:
        words = re.findall(r"\w+", text.lower())
        return {" ".join(words[index : index + NGRAM]).encode() for index in range(len(words) - NGRAM + 1)}

    phases = {}
    start = time.perf_counter()
    texts = [json.loads(line)["text"] for line in documents.open(encoding="utf-8")]
    phases["reading"], start = time.perf_counter() - start, time.perf_counter()
    signatures = MinHash.bulk([shingles(text) for text in texts], num_perm=bands * rows)
    phases["signature"], start = time.perf_counter() - start, time.perf_counter()
    found = MinHashLSH(params=(bands, rows), num_perm=bands * rows)
    removed = 0
    for number, signature in enumerate(signatures):
        removed += bool(found.query(signature))
        found.insert(number, signature)
    phases["query, insert"] = time.perf_counter() - start
    return {"phases": phases, "removed": removed, "version": version("datasketch")}


def lines(file: Path) -> int:
    """Lines of a file."""
    with file.open("rb") as opened:
        return sum(1 for _ in opened)


def main() -> None:
    """Do one peer's job."""
    peer, documents, folder, bands, rows = sys.argv[1:]
    answers = os.dup(1)
    os.dup2(2, 1)  # libraries print what they like
    done = {"datatrove": datatrove, "text-dedup": text_dedup, "datasketch": datasketch}[peer](
        Path(documents).resolve(), Path(folder).resolve(), int(bands), int(rows)
    )
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    os.write(answers, json.dumps(done | {"peak_bytes": most * 1024}).encode())


if __name__ == "__main__":
    main()
