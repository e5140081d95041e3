"""How many tokens a second the trainer's loader gives by itself, on one core.

    python benchmarks/loader.py
    python benchmarks/loader.py --data out/web/shards --seq-len 2048 --windows 256

Without --data, shards of random ids are written to a temporary folder first: five sources, 50 million tokens, documents of about
500 tokens. Batches are drawn and read as training does, as int64 rows. Each line is a JSON object: tokens a second of processor
time (of one thread; others' load does not count) and by the clock, the best of several repeats.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa

from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.shards import ShardSet, doc_hashes, open_shards, write_manifest, write_shard
from gristmill.tokenizers.training import train_byte_bpe
from gristmill.trainer.loader import Loader, Plan

SHARES = {"books": 0.1, "code": 0.2, "forums": 0.15, "web": 0.5, "wiki": 0.05}
TOKENS, MEAN_LENGTH, SHARDS = 50_000_000, 500, 2


def make_shards(folder: Path) -> None:
    """Write random ids as token shards."""
    draw = np.random.default_rng(0)
    encoder = Encoder(train_byte_bpe(["the mill grinds"], 260))
    fs = fsspec.filesystem("file")
    entries = {}
    for source, share in SHARES.items():
        entries[source] = []
        for number in range(SHARDS):
            lengths = np.maximum(
                2, draw.lognormal(np.log(MEAN_LENGTH) - 0.5, 1, int(TOKENS * share / MEAN_LENGTH / SHARDS))
            ).astype(int)
            ids = draw.integers(1, encoder.vocab_size, lengths.sum(), dtype=np.uint16)
            ends = lengths.cumsum()
            ids[ends - 1] = encoder.eos_id
            names = sorted(doc_hashes(f"{source}#{number}#{n}" for n in range(len(lengths))).to_pylist())
            table = pa.table(
                {
                    "doc_id": pa.array(names, pa.binary(16)),
                    "tokens": pa.ListArray.from_arrays(pa.array([0, *ends], pa.int32()), pa.array(ids)),
                    "n_bytes": pa.array(4 * lengths),
                }
            )
            entries[source].append(write_shard(fs, f"{folder}/{source}/{number:05d}", [table], dtype="uint16"))
    write_manifest(
        fs,
        str(folder),
        entries,
        tokenizer_json=encoder.tokenizer_json,
        eos_id=encoder.eos_id,
        vocab_size=encoder.vocab_size,
        dtype="uint16",
    )


def best(run: Callable[[], int], repeats: int) -> dict[str, float]:
    """Tokens a second, by processor time of this thread and by the clock."""
    rates = []
    for _ in range(repeats):
        cpu, clock = time.thread_time(), time.perf_counter()
        tokens = run()
        rates.append((tokens / (time.thread_time() - cpu), tokens / (time.perf_counter() - clock)))
    return {"tokens_per_cpu_second": round(max(cpu for cpu, _ in rates)), "tokens_per_second": round(max(c for _, c in rates))}


def measure(shards: ShardSet, *, seq_len: int, windows: int, tokens: int, repeats: int) -> list[dict[str, Any]]:
    """A row for the loader's batches, and one for them with the documents of each token."""
    weights = {name: float(len(stream)) for name, stream in shards.streams.items()}
    steps = max(1, tokens // (seq_len * windows))
    loader = Loader(shards, Plan.of(shards, weights, seq_len=seq_len, windows=windows), 0)

    def batches() -> int:
        return sum(rows.size for _ in range(steps) for rows in loader.rows(loader.draw(), windows))

    def with_documents() -> int:
        total = 0
        for _ in range(steps):
            draw = loader.draw()
            total += sum(rows.size for rows in loader.rows(draw, windows))
            loader.documents(draw, windows)
        return total

    settings = {"seq_len": seq_len, "windows": windows}
    kinds = {"loader": batches, "loader and documents": with_documents}
    for run in kinds.values():
        run()  # pages are read and caches are warm
    return [{"what": what, **settings, **best(run, repeats)} for what, run in kinds.items()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of token shards")
    parser.add_argument("--seq-len", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--windows", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=40_000_000, help="a repeat")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.data is None:
            make_shards(Path(folder))
        shards = open_shards(given.data or folder)
        print(json.dumps({"numpy": np.__version__, "machine": platform.machine(), "tokens": shards.manifest.tokens}))
        for seq_len in given.seq_len:
            for row in measure(shards, seq_len=seq_len, windows=given.windows, tokens=given.tokens, repeats=given.repeats):
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
