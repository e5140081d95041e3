"""Whether a 10-million-parameter model learns from the demo corpus what it should, with several seeds.

    python benchmarks/band.py
    python benchmarks/band.py --seeds 0 1 2 --run demo-run --threads 2

Makes the demo corpus on this machine, a tenth of its documents held out (or takes a run of the demo recipe with held-out
shards, --run), trains the shipped configuration demo-10m from scratch with each seed, and prints a JSON line a seed: the mean
training loss of the last 20 steps, the held-out loss and bits a byte at the end, and the seconds. The last line says whether all
of them lie in the band; if not, the exit status is 1. The band is wider than what seeds differ by: the demo's pages are partly
those of the machine, and processors round differently.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from train import demo_shards

LAST_STEPS = 20
BAND = {"loss": (5.7, 6.4), "held_out_loss": (5.75, 6.45)}
"""Lowest and highest, nats a token of the demo's own tokenizer of 4,096 tokens."""


def learn(run: Path, output: Path, seed: int, threads: int | None) -> dict[str, Any]:
    """Train with one seed."""
    from gristmill.trainer.train import train

    started = time.perf_counter()
    sets = [f"data={run}/shards", f"evaluation={{data: {run}/held_out, every: 1000}}", f"seed={seed}", "device=cpu"]
    train("demo-10m", [*sets, *([f"threads={threads}"] if threads else [])], output)
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    last = rows[-LAST_STEPS:]
    held = rows[-1]["held_out"]["all"]
    return {
        "seed": seed,
        "loss": round(sum(row["loss"] for row in last) / len(last), 4),
        "held_out_loss": round(held["loss"], 4),
        "held_out_bits_per_byte": round(held["bits_per_byte"], 4),
        "tokens": rows[-1]["tokens"],
        "seconds": round(time.perf_counter() - started),
    }


def inside(results: list[dict[str, Any]]) -> bool:
    """Whether all of them lie in the band."""
    return all(low <= result[name] <= high for result in results for name, (low, high) in BAND.items())


def main() -> None:
    """Train, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--run", type=Path, help="a run of the demo recipe with --set tokenize.held_out=0.1; made when left out")
    parser.add_argument("--threads", type=int, help="of the CPU")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = given.run or Path(demo_shards(Path(folder), "--set", "tokenize.held_out=0.1")).parent
        results = []
        for seed in given.seeds:
            results.append(learn(run, Path(folder) / f"seed-{seed}", seed, given.threads))
            print(json.dumps(results[-1]), flush=True)
    print(json.dumps({"band": BAND, "inside": inside(results)}))
    sys.exit(0 if inside(results) else 1)


if __name__ == "__main__":
    main()
