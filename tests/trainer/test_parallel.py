"""Each parallel form against one process: gloo on the CPU, real processes. They are carried out together, see spread.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = [
    "steps=4", "seq_len=32", "windows=8", "threads=1", "device=cpu", "model.layers=2", "model.width=32", "model.heads=4",
    "model.kv_heads=2", "optimizer.learning_rate=0.01", "optimizer.clip=0.5",
]  # fmt: skip
DDP, FSDP, TENSOR = [], ["parallel.data=fsdp"], ["parallel.tensor=2"]
RTOL = 1e-5
ALONE = {"strange folder": [], "dies": [], "hangs": ["parallel.timeout_seconds=4"]}

MODELS = {
    "llama": [],
    "llama, uneven parts": ["micro_windows=1", "documents.first_token=ignore"],
    # 19 batches of windows and 3 of choices: one process has nothing of its own in the last turn
    "llama, held out": [
        "evaluation.data={data}", "evaluation.tokens=2000", "evaluation.micro_windows=6", "evaluation.tasks=[{{file: {tasks}}}]",
        "average_decay=0.9", "spikes={{}}",
    ],
    "biases, untied, heads normalised": [
        "model.bias=all", "model.norm=layer", "model.positions=learned", "model.tied=false", "model.qk_norm=head",
        "model.gated=false", "model.activation=gelu", "documents.mask=true",
    ],
    "ALiBi, parallel, two tokens ahead": [
        "model.positions=alibi", "model.block=parallel_one_norm", "model.ahead=1", "model.window=8", "model.global_every=2",
    ],
    "experts": ["model.experts={{count: 4, per_token: 2, width: 16, shared: 1}}", "micro_windows=2"],
    "recomputed": ["activation_checkpointing=full"],
    "partly recomputed": ["activation_checkpointing=selective"],
    "denoisers": ["objective.name=ul2", "micro_windows=2"],
    "adafactor": ["optimizer.name=adafactor"],
    "muP": ["model.mup.base_width=16"],
}  # fmt: skip

SPREADS = [
    *((name, 2, "ddp", DDP) for name in MODELS if name != "muP"),
    *((name, 2, "fsdp", FSDP) for name in MODELS if name not in ("adafactor", "muP")),
    *((name, 2, "tensor", TENSOR) for name in MODELS if name not in ("adafactor", "experts", "muP")),
    ("llama", 4, "ddp", DDP),
    ("llama, uneven parts", 4, "fsdp", FSDP),
    *((name, 4, "fsdp x tensor", FSDP + TENSOR) for name in MODELS if name not in ("adafactor", "experts", "llama")),
]


@pytest.fixture(scope="module")
def outcomes(corpus, tmp_path_factory):
    """What every process of every case tells, by (model, processes, form)."""
    folder = tmp_path_factory.mktemp("spread")
    tasks = folder / "tasks.jsonl"
    questions = [
        {"question": f"Near the river one {n}", "choices": ["grinds", "carries boats"], "answer": n % 2} for n in range(7)
    ]
    tasks.write_text("\n".join(map(json.dumps, questions)))
    base = {
        name: [f"data={corpus}", *SMALL, *(one.format(data=corpus, tasks=tasks) for one in sets)] for name, sets in MODELS.items()
    }
    failing = {name: [name, []] for name in ("first fails", "second fails")}
    request = [
        (1, {f"{name}|1|alone": ["train", sets] for name, sets in base.items()}),
        *((n, {f"{name}|{n}|{form}": ["train", base[name] + sets] for name, m, form, sets in SPREADS if m == n}) for n in (2, 4)),
        (2, failing),
        (4, {"muon": ["muon", [*base["llama"], "optimizer.name=muon", *FSDP, *TENSOR]]}),
        *((2, {name: [name, base["llama"] + sets]}) for name, sets in ALONE.items()),
    ]
    (folder / "request.json").write_text(json.dumps(request))
    script = Path(__file__).with_name("spread.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script, folder / "request.json", folder / "result.json"], env=environment, check=True)
    return json.loads((folder / "result.json").read_text())


def on_one(outcomes, name):
    (alone,) = outcomes[f"{name}|1|alone"]
    assert isinstance(alone, dict), alone
    return alone


@pytest.mark.parametrize(("name", "size", "form", "sets"), SPREADS, ids=[f"{n}-{s}-{f}" for n, s, f, _ in SPREADS])
def test_losses_and_gradients_are_those_of_one_process(outcomes, name, size, form, sets):
    parts, alone = outcomes[f"{name}|{size}|{form}"], on_one(outcomes, name)
    assert isinstance(parts[0], dict), parts[0]
    assert len(parts) == size
    assert all(part["rows"] == parts[0]["rows"] for part in parts)
    assert len(parts[0]["rows"]) == 4
    for mine, theirs in zip(parts[0]["rows"], alone["rows"], strict=True):
        assert mine["order_hash"] == theirs["order_hash"]
        assert mine["tokens"] == theirs["tokens"]
        for key in ("loss", "gradient_norm", "source_loss"):
            assert mine[key] == pytest.approx(theirs[key], rel=RTOL), key
        for key in ("held_out", "tasks"):
            assert mine[key].keys() == theirs[key].keys()
            for name, figures in theirs[key].items():
                assert mine[key][name] == pytest.approx(figures, rel=RTOL), (key, name)
    assert parts[0]["average"] == pytest.approx(alone["average"], rel=RTOL)


def test_the_steps_that_are_compared_are_clipped_and_learn(outcomes):
    rows = on_one(outcomes, "llama")["rows"]
    assert all(row["gradient_norm"] > 0.5 for row in rows)
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.3


def test_held_out_documents_were_measured_and_averages_kept(outcomes):
    told = on_one(outcomes, "llama, held out")
    assert told["rows"][-1]["held_out"]["all"]["loss"] > 1
    assert told["rows"][-1]["tasks"]["tasks"]["items"] == 7
    assert told["rows"][0]["held_out"] == told["rows"][0]["tasks"] == {}
    assert told["average"] > 1


def test_every_copy_is_whole_and_every_share_is_a_share(outcomes):
    whole = on_one(outcomes, "llama")["numbers"]
    assert [part["numbers_here"] for part in outcomes["llama|2|ddp"]] == [whole] * 2
    shares = [part["numbers_here"] for part in outcomes["llama|2|fsdp"]]
    assert sum(shares) == whole
    assert max(shares) < 0.51 * whole
    # 2 layers of queries and out 32 x 32, keys and values 16 x 32, three matrices of the feed-forward 128 x 32
    split = 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 128 * 32)
    assert [part["numbers_here"] for part in outcomes["llama|2|tensor"]] == [whole - split // 2] * 2
    both = [part["numbers_here"] for part in outcomes["muP|4|fsdp x tensor"]]
    assert sum(both) == 2 * whole - split


def test_gradients_are_sent_once_a_batch(outcomes):
    # a unit each for two blocks and the rest, four steps; 8 windows over 2 ranks are 4 micro-batches each
    assert outcomes["llama|2|fsdp"][0]["reduce_scatters"] == 3 * 4
    assert outcomes["llama, uneven parts|2|fsdp"][0]["reduce_scatters"] == 3 * 4
    assert outcomes["llama, uneven parts|2|ddp"][0]["buckets"] == outcomes["llama|2|ddp"][0]["buckets"] >= 4


def test_what_fails_on_one_process_ends_all_of_them_and_is_told_once(outcomes):
    assert outcomes["first fails"] == [["ConfigError", "no such thing here"], ["ToldElsewhere", ""]]
    assert outcomes["second fails"] == [["ConfigError", "process 1 of 2: no such thing here"], ["ToldElsewhere", ""]]


def test_an_output_that_the_first_process_cannot_have_ends_all_of_them(outcomes):
    (kind, said), other = outcomes["strange folder"]
    assert kind == "ConfigError"
    assert "holds files but no train.json" in said
    assert other == ["ToldElsewhere", ""]


def test_a_process_that_dies_or_hangs_ends_the_others_with_a_word(outcomes):
    said = "another process ended, and its own output says why; the same command goes on from the last checkpoint"
    assert outcomes["dies"] == [["OthersGone", said], None]
    waited = (
        "another process did not answer for 4 s (parallel.timeout_seconds); the same command goes on from the last checkpoint"
    )
    assert outcomes["hangs"] == [["OthersGone", waited], None]


def test_muon_moves_matrices_in_parts_as_whole_ones_to_the_last_bit(outcomes):
    for part in outcomes["muon"]:
        assert len(part) == 2 * 7
        assert part == [[name, True, True] for name, _, _ in part]
