"""How fast the trainer trains: tokens a second, utilisation, waiting for data, memory; one JSON line a configuration.

    python benchmarks/train.py                                  all configurations of this kind of device, on synthetic tokens
    python benchmarks/train.py --demo                           then on the shards of the demo corpus, made on this machine
    python benchmarks/train.py --data out/web/shards            then on these shards
    python benchmarks/train.py --against                        beside plain PyTorch of the same model, in alternating blocks
    python benchmarks/train.py --configs gpt2-124m --steps 50

Runs unattended: each configuration is a process of its own, so that its memory is its own and one that fails is a line with
`error`. Synthetic tokens are random ids in documents of about 500 tokens. A line says: tokens a second of the median step;
`mfu` and `mfu_causal` by the formulas of docs/models.md, on GPUs of known peak; waiting for data as a share of the step; peak
memory (of the GPU, or of the process); median and 99th percentile of the steps; the load of the machine when it began.

--against is for CPUs and one GPU: GPT-2 in plain PyTorch (train_plain.py) with the weights of ours; `loss_difference` shows that
both compute the same. Blocks of a few steps alternate, and `ratio` is the median over pairs of neighbouring blocks of our tokens
a second over theirs, so that others' load hits both; with --threads 1 the same by processor time, which leaves that load out, is
to be trusted too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loader import make_shards

GPT2 = ["model.vocab_size=50304"]
GPU = {
    "gpt2-124m": ("gpt2-124m", [*GPT2, "windows=128", "micro_windows=32"]),
    "llama-360m": ("llama-350m", ["seq_len=2048", "windows=64", "micro_windows=16"]),
    # nanochat's depth 24: three of four layers see 1,024 tokens
    "0.73b": (
        "llama-1b",
        [
            "seq_len=2048", "windows=32", "micro_windows=16", "model.layers=24", "model.width=1536", "model.heads=12",
            "model.feed_forward=6144", "model.gated=false", "model.activation=relu_squared", "model.vocab_size=32768",
            "model.tied=false", "model.window=1024", "model.global_every=4", "model.qk_norm=head",
        ],
    ),
    "llama3.2-1b": ("llama3.2-1b", ["seq_len=4096", "windows=16", "micro_windows=4"]),
    "gpt2-1.5b": ("gpt2-1.5b", [*GPT2, "windows=64", "micro_windows=16"]),
    "llama3-8b": ("llama3-8b", ["windows=4", "micro_windows=1", "activation_checkpointing=full"]),
}  # fmt: skip
SMALL = ["model.vocab_size=8192", "model.max_positions=null"]
CPU = {
    # 5 and 23 million parameters
    "gpt2-5m": (
        "gpt2-124m",
        [*SMALL, "model.layers=4", "model.width=256", "model.heads=4", "seq_len=256", "windows=8", "micro_windows=8"],
    ),
    "gpt2-23m": (
        "gpt2-124m",
        [*SMALL, "model.layers=6", "model.width=512", "model.heads=8", "seq_len=512", "windows=4", "micro_windows=4"],
    ),
    "gpt2-124m": ("gpt2-124m", [*GPT2, "seq_len=512", "windows=2", "micro_windows=2"]),
}
DEMO = {"tiny": ("tiny", ["max_epochs=1000"])}


def main() -> None:
    """Measure each configuration in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--configs", nargs="+", help=f"of {', '.join(dict.fromkeys([*GPU, *CPU, *DEMO]))}, or files or shipped names"
    )
    parser.add_argument("--set", nargs="+", default=[], help="further settings, each PATH=VALUE")
    parser.add_argument("--data", help="token shards to measure on, after synthetic ones")
    parser.add_argument("--demo", action="store_true", help="make the demo corpus and measure on its shards too")
    parser.add_argument("--against", action="store_true", help="compare with plain PyTorch")
    parser.add_argument("--steps", type=int, help="measured ones; a block's with --against")
    parser.add_argument("--warmup", type=int, help="steps before")
    parser.add_argument("--blocks", type=int, default=8, help="of each, with --against")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one(**json.loads(given.one))), flush=True)
        return
    import torch

    gpu = torch.cuda.is_available()
    table = GPU if gpu else CPU
    chosen = given.configs or list(table)
    steps = given.steps or (2 if given.against else 30 if gpu else 8)
    warmup = given.warmup if given.warmup is not None else 10 if gpu else 2
    with tempfile.TemporaryDirectory() as folder:
        make_shards(Path(folder) / "synthetic")
        places = [("synthetic", f"{folder}/synthetic", chosen)]
        if given.demo:
            places.append(("demo", demo_shards(Path(folder)), given.configs or [*DEMO, *table]))
        if given.data:
            places.append((given.data, given.data, chosen))
        for label, data, names in places:
            for name in names:
                config, sets = {**CPU, **DEMO, **table}.get(name, (name, []))
                sets = [
                    *sets,
                    *(["compile=true"] if gpu else []),
                    *([f"threads={given.threads}"] if given.threads else []),
                    *given.set,
                ]
                task = {"name": name, "config": config, "sets": [*sets, f"data={data}"], "steps": steps, "warmup": warmup}
                task["blocks"] = given.blocks if given.against else 0
                print(json.dumps({"configuration": name, "data": label} | in_a_process(task)), flush=True)


def in_a_process(task: dict[str, Any]) -> dict[str, Any]:
    """What `one` returns, by another process."""
    load = os.getloadavg()[0]
    done = subprocess.run(
        [sys.executable, __file__, "--one", json.dumps(task)],
        capture_output=True,
        text=True,
        check=False,
    )
    about = {"commit": commit(), "load": round(load, 1)}
    if done.returncode:
        return {"error": (done.stderr.strip() or "killed").splitlines()[-1], **about}
    return {**json.loads(done.stdout.splitlines()[-1]), **about}


def commit() -> str:
    """Of the repository that this file is in; with + where something was changed since."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", here, *words], capture_output=True, text=True, check=False).stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        "+" if git("status", "--porcelain", "--untracked-files=no") else ""
    )


def demo_shards(folder: Path, *more: str) -> str:
    """The shards of the demo recipe on pages made on this machine; `more` are further words of its command."""
    crawl, output = folder / "crawl.warc.gz", folder / "demo"
    for words in (["demo-crawl", crawl], ["run", "demo", "--input", crawl, "--output", output, *more]):
        subprocess.run(
            [sys.executable, "-c", "from gristmill.pipeline.cli import main; main()", *words], check=True, stdout=sys.stderr
        )
    return str(output / "shards")


def one(name: str, config: str, sets: list[str], steps: int, warmup: int, blocks: int) -> dict[str, Any]:
    """Measure one configuration in this process."""
    import torch

    from gristmill.trainer.config import read_config
    from gristmill.trainer.data import settle
    from gristmill.trainer.training import Training
    from gristmill.trainer.world import World

    settings = read_config(config, ["max_epochs=1000", f"steps={warmup + steps * max(1, blocks)}", *sets])
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = torch.device("cuda" if torch.cuda.is_available() and settings.device != "cpu" else "cpu")
    shards, plan, last = settle(settings, lambda line: None)
    training = Training(settings, shards, plan, device, last, world=World().arranged(settings, device), say=lambda line: None)
    told = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "parameters": training.parameters,
        "flops_per_token": training.flops,
        "seq_len": settings.seq_len,
        "windows": settings.windows,
        "micro_windows": settings.micro_windows or settings.windows,
    }
    if blocks:
        return told | compare(training, shards, steps, blocks, warmup)
    rows = list(training.steps())[warmup:]
    return told | figures(rows)


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of measured steps."""
    times = sorted(row["step_ms"] for row in rows)
    middle = {
        key: statistics.median(row[key] for row in rows) for key in ("tokens_per_second", "mfu", "mfu_causal") if key in rows[0]
    }
    return {
        **{key: round(value, 4) if value < 1 else round(value) for key, value in middle.items()},
        "data_wait_share": round(sum(row["data_wait_ms"] for row in rows) / sum(times), 6),
        "peak_memory_bytes": rows[-1]["peak_memory_bytes"],
        "step_ms_p50": round(statistics.median(times), 2),
        "step_ms_p99": round(times[min(len(times) - 1, int(0.99 * len(times)))], 2),
        "steps": len(rows),
    }


def compare(training: Any, shards: Any, steps: int, blocks: int, warmup: int) -> dict[str, Any]:
    """Blocks of steps of ours and of plain PyTorch by turns; both begin with the same weights."""
    import torch
    from train_plain import PlainGPT2, PlainTraining

    settings = training.settings
    of = settings.model
    if (of.positions, of.norm, of.bias, of.gated, of.activation) != (
        "learned",
        "layer",
        "all",
        False,
        "gelu_tanh",
    ) or not of.tied:
        raise SystemExit("--against needs a configuration of GPT-2's architecture")
    rows = len(training.model.embedding.weight)
    plain = PlainGPT2(rows, of.layers, of.width, of.heads, of.max_positions or settings.seq_len).to(training.device)
    plain.take(training.model.state_dict())
    tokens = max((piece for stream in shards.streams.values() for piece in stream.pieces), key=len)
    micro = settings.micro_windows or settings.windows
    theirs = PlainTraining(plain, tokens, windows=settings.windows, length=settings.seq_len, micro=micro)
    ids, targets = theirs.batch()
    with torch.no_grad():
        difference = abs(training.model(ids, targets).total.item() - plain(ids, targets).item())
    if training.device.type == "cuda":
        plain.compile()
    ours = training.steps()
    for _ in range(warmup):
        next(ours)
        theirs.step()
    mine: list[tuple[float, float]] = []
    other: list[tuple[float, float]] = []
    for number in range(blocks):
        # who goes first changes, so that neither profits from its place
        for who in (0, 1) if number % 2 else (1, 0):
            (mine if who else other).append(block((lambda: next(ours)) if who else theirs.step, steps))
    batch = settings.windows * settings.seq_len
    by_clock, by_cpu = (sorted(there[of] / here[of] for here, there in zip(mine, other, strict=True)) for of in (0, 1))
    return {
        "tokens_per_second": round(batch / statistics.median(clock for clock, _ in mine)),
        "plain_tokens_per_second": round(batch / statistics.median(clock for clock, _ in other)),
        "ratio": round(statistics.median(by_clock), 3),
        "ratio_by_processor_time": round(statistics.median(by_cpu), 3),
        "ratios": [round(ratio, 3) for ratio in by_clock],
        "loss_difference": difference,
        "blocks": blocks,
        "steps": steps,
    }


def block(step: Callable[[], Any], steps: int) -> tuple[float, float]:
    """Seconds a step: the median by the clock, and the mean of processor time."""
    cpu, times = time.process_time(), []
    for _ in range(steps):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times), (time.process_time() - cpu) / steps


def processor() -> str:
    """The name of the CPU."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
