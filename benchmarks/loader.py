"""How many tokens a second the trainer's loader gives by itself, on one core.

    python benchmarks/loader.py
    python benchmarks/loader.py --data out/web/shards --seq-len 2048 --windows 256

Without --data, shards of random ids are written to a temporary folder first: five sources, 50 million tokens, documents of about
500 tokens. Batches are drawn and read as training does, as int64 rows; packed ones with the targets that do not count, `chosen`
from every other document. Each line is a JSON object: tokens a second of processor time (of one thread; others' load does not
count) and by the clock, the best of several repeats, and for the packed ones how long packing took, a million documents.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa

from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.mixture_plan import SelectedStream
from gristmill.tokenizers.shards import ShardSet, doc_hashes, open_shards, write_manifest, write_shard
from gristmill.tokenizers.training import train_byte_bpe
from gristmill.trainer.loader import Loader, Plan, Sources
from gristmill.trainer.packing import Packing

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
    """Rows for the loader's batches, without and with the documents of each token."""
    weights = {name: float(len(stream)) for name, stream in shards.streams.items()}
    steps = max(1, tokens // (seq_len * windows))

    def batches(loader: Loader, documents: bool) -> int:
        total = 0
        for _ in range(steps):
            draw = loader.draw()
            total += sum(rows.size for rows in loader.rows(draw, windows))
            loader.ignored(draw, windows)
            if documents:
                loader.documents(draw, windows)
        return total

    found = []
    packings: tuple[Packing, ...] = ("concat", "best_fit", "crop")
    kinds: list[tuple[str, Sources, Packing]] = [(packing, shards, packing) for packing in packings]
    for what, data, packing in [*kinds, ("chosen", chosen(shards), "concat")]:
        began = time.thread_time()
        plan = Plan.of(data, weights, seq_len=seq_len, windows=windows, packing=packing)
        seconds = time.thread_time() - began
        loader = Loader(data, plan, 0)
        row: dict[str, Any] = {"what": what, "seq_len": seq_len, "windows": windows}
        if plan.packed:
            documents = sum(source.docs for source in shards.manifest.sources)
            row["packing_seconds_a_million"] = round(seconds / documents * 1e6, 2)
        for asked in (False, True):
            run = partial(batches, loader, asked)
            run()  # pages are read and caches are warm
            found.append(row | {"documents": asked} | best(run, repeats))
    return found


def chosen(shards: ShardSet) -> Any:
    """Every other document of each source, as a mixture's `where` would choose them."""
    streams = {}
    for name, stream in shards.streams.items():
        bounds = np.concatenate([[0], stream.document_ends(0, len(stream) + 1)])
        streams[name] = SelectedStream(stream, np.stack([bounds[:-1:2], bounds[1::2]], axis=1))
    return SimpleNamespace(folder=shards.folder, tokenizer=shards.tokenizer, content="chosen", streams=streams)


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
