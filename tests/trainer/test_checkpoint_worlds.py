"""Checkpoints between numbers of processes and parallel forms: gloo on the CPU, real processes, see reshard.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gristmill.trainer import checkpoint

SMALL = [
    "seq_len=32", "windows=8", "threads=1", "device=cpu", "model.layers=2", "model.width=32", "model.heads=2",
    "model.kv_heads=2", "schedule.steps=9", "optimizer.learning_rate=0.01", "average_decay=0.9", "spikes={}",
]  # fmt: skip
ONE, DDP, FSDP, TENSOR = (1, []), (2, []), (2, ["parallel.data=fsdp"]), (2, ["parallel.tensor=2"])
MESH = (4, ["parallel.data=fsdp", "parallel.tensor=2"])

MODELS = {
    "adamw": [],
    "muon": ["optimizer.name=muon"],
    # tokens are shared among experts evenly within a micro-batch, which is the same for any number of processes only if it is set
    "experts, untied": ["model.experts={count: 4, per_token: 2, width: 16}", "model.tied=false", "micro_windows=2"],
}
# the last of each ends at step 9, those before it 3 steps earlier
CHAINS = {
    "shared out and back": ("adamw", [ONE, FSDP, ONE]),
    "copied, split, shared out": ("adamw", [DDP, TENSOR, FSDP]),
    "a mesh, one, a mesh": ("adamw", [MESH, ONE, MESH]),
    "muon: shared out, split": ("muon", [FSDP, TENSOR]),
    "experts: shared out, copied": ("experts, untied", [FSDP, DDP]),
}


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    """The folder of all runs, and what the processes of each training were ended by."""
    folder = tmp_path_factory.mktemp("worlds")
    base = [f"data={corpus}", *SMALL]
    request = [[str(folder / f"{name} whole"), 1, [*base, *sets, "steps=9"], 0] for name, sets in MODELS.items()]
    for name, (model, chain) in CHAINS.items():
        for number, (size, sets) in enumerate(chain, 4 - len(chain)):
            asynchronous = ["checkpoint.asynchronous=true", "checkpoint.every=1"] if number == 2 else []
            request.append([str(folder / name), size, [*base, *MODELS[model], *sets, *asynchronous, f"steps={3 * number}"], 0])
    for kind in ("false", "true"):
        sets = [*base, *FSDP[1], f"checkpoint.asynchronous={kind}", "checkpoint.every=2"]
        request.append([str(folder / f"full {kind}"), 2, [*sets, "steps=2"], 0])
        request.append([str(folder / f"full {kind}"), 2, [*sets, "steps=9"], 20_000])
    (folder / "request.json").write_text(json.dumps(request))
    script = Path(__file__).with_name("reshard.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, folder / "request.json", folder / "result.json"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ended = json.loads((folder / "result.json").read_text())
    return folder, {(one[0], one[2][-1]): end for one, end in zip(request, ended, strict=True)}, done.stderr


def rows(output):
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", CHAINS)
def test_a_run_goes_on_in_another_form_as_if_nothing_had_happened(runs, name):
    folder, ended, _ = runs
    model, chain = CHAINS[name]
    for number, (size, _) in enumerate(chain, 4 - len(chain)):
        assert ended[str(folder / name), f"steps={3 * number}"] == [None] * size
    whole, parts = folder / f"{model} whole", folder / name
    assert len(rows(parts)) == 9
    for one, other in zip(rows(whole), rows(parts), strict=True):
        assert other["order_hash"] == one["order_hash"]
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
    first, second = (checkpoint.load(checkpoint.newest(run)) for run in (whole, parts))
    assert second["processes"] == chain[-1][0]
    assert first["data"] == second["data"]
    for part in ("model", "average", "optimizer"):
        assert first[part].keys() == second[part].keys()
        for key, value in first[part].items():
            # Muon rounds to bfloat16 on the way, so that its matrices may differ by a bit of that
            torch.testing.assert_close(second[part][key], value, rtol=1e-3, atol=2e-3 if model == "muon" else 1e-5)


def test_the_random_numbers_of_another_world_are_told(runs):
    _, _, said = runs
    assert "step-00000003 was written by 1 processes, this run has 2: their random numbers begin anew" in said
    assert "step-00000006 was written by 2 processes, this run has 1" in said


@pytest.mark.parametrize("kind", ["false", "true"])
def test_where_one_process_has_no_room_all_end_and_one_says_why(runs, kind):
    folder, ended, _ = runs
    output = folder / f"full {kind}"
    first, second = ended[str(output), "steps=9"]
    assert first[0] == "NotSaved"
    assert "step-00000004: not written: File too large; step-00000002 stays the last good one; make room" in first[1]
    assert second[0] == "ToldElsewhere"
    assert [step for step, _ in checkpoint.checkpoints(output)] == [2]
    assert [file.name for file in (output / "checkpoints").iterdir()] == ["step-00000002"]
    assert set(checkpoint.load(checkpoint.newest(output))["rng"]) == {"0", "1"}
