import json

import pytest
import torch

from gristmill.trainer import checkpoint
from gristmill.trainer.averaging import average
from gristmill.trainer.checkpoint_saver import NotSaved, Saver
from gristmill.trainer.config import ConfigError
from gristmill.trainer.named_tensors import forget, remembered, tied, weights
from gristmill.trainer.settings import CheckpointSettings
from gristmill.trainer.train import train

SMALL = [
    "seq_len=32", "windows=8", "threads=1", "device=cpu", "model.layers=1", "model.width=32", "model.heads=2",
    "model.kv_heads=1", "optimizer.learning_rate=0.01", "schedule.name=wsd", "schedule.decay_fraction=0.5",
]  # fmt: skip


def go(corpus, output, *sets):
    return train("tiny", [f"data={corpus}", *SMALL, *sets], output)


def metrics(output):
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def stable(corpus, tmp_path_factory):
    """A run of 8 steps whose rate is stable for long after, and its checkpoints of steps 4 and 8."""
    output = tmp_path_factory.mktemp("stable") / "run"
    go(corpus, output, "steps=8", "schedule.steps=100", "checkpoint.every=4", "average_decay=0.5", "spikes={}")
    return output


def test_a_decay_begins_at_an_earlier_checkpoint_of_another_run(corpus, stable, tmp_path, capsys):
    start = stable / "checkpoints" / "step-00000004"
    go(corpus, tmp_path, f"init_from={start}", "steps=8", "schedule.steps=8", "spikes={}")
    assert f"beginning with {start}, step 4" in capsys.readouterr().err
    rows = metrics(tmp_path)
    assert [row["step"] for row in rows] == [5, 6, 7, 8]
    # the same batches as in the stable run, at rates that fall from step 5 on
    assert [row["order_hash"] for row in rows] == [row["order_hash"] for row in metrics(stable)[4:]]
    assert rows[0]["loss"] == metrics(stable)[4]["loss"]
    assert rows[-1]["learning_rate"] < rows[1]["learning_rate"] < metrics(stable)[5]["learning_rate"]
    # from here on the folder has checkpoints of its own
    go(corpus, tmp_path, f"init_from={start}", "steps=9", "schedule.steps=9", "spikes={}")
    assert "going on from" in capsys.readouterr().err
    assert [row["step"] for row in metrics(tmp_path)] == [5, 6, 7, 8, 9]


def test_weights_alone_begin_a_run_on_other_data_at_its_start(corpus, stable, tmp_path, capsys):
    sets = [f"init_from={stable}", "init=weights", "steps=2", "mixture={books: 1}", "average_decay=0.9"]
    go(corpus, tmp_path, *sets, "optimizer.learning_rate=1e-30", "optimizer.name=muon", "optimizer.muon.learning_rate=1e-30")
    assert "beginning with the weights of" in capsys.readouterr().err
    assert [row["step"] for row in metrics(tmp_path)] == [1, 2]
    held, first = (checkpoint.load(checkpoint.newest(run)) for run in (tmp_path, stable))
    for name, weight in first["model"].items():
        # at such rates nothing moves, and a running average that begins with these weights is them
        torch.testing.assert_close(held["model"][name], weight)
        torch.testing.assert_close(held["average"][name], weight)


def test_the_optimizer_of_a_run_that_begins_with_weights_alone_is_new(corpus, stable, tmp_path):
    go(corpus, tmp_path, f"init_from={stable}", "init=weights", "steps=1", "optimizer.weight_decay=0")
    rate = metrics(tmp_path)[0]["learning_rate"]
    first, then = (checkpoint.load(checkpoint.newest(run)) for run in (stable, tmp_path))
    # the first step of Adam moves a weight by the rate, whatever its gradient
    moved = max((then["model"][name] - weight).abs().max().item() for name, weight in first["model"].items())
    assert moved == pytest.approx(rate, rel=1e-3)
    assert {value.item() for name, value in then["optimizer"].items() if name.endswith("/step")} == {1}


def test_what_a_run_cannot_begin_with_is_told(corpus, stable, tmp_path):
    for sets, told in [
        ([f"init_from={tmp_path}"], "is no checkpoint and no run with one"),
        ([f"init_from={stable}", "windows=4"], "windows was 8, now 4; .*init=weights to take its weights alone"),
        ([f"init_from={stable}", "optimizer.name=muon"], "another optimizer; .*init=weights"),
        ([f"init_from={stable}", "init=weights", "model.layers=2"], "model.layers was 1, now 2"),
    ]:
        with pytest.raises(ConfigError, match=told):
            go(corpus, tmp_path / "run", *sets, "steps=9")
        assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_mean_of_checkpoints_begins_a_run_with_its_weights_alone(corpus, stable, tmp_path):
    average([folder for _, folder in checkpoint.checkpoints(stable)], tmp_path / "mean")
    with pytest.raises(ConfigError, match="holds weights alone; give init=weights"):
        go(corpus, tmp_path / "run", f"init_from={tmp_path / 'mean'}", "steps=9")
    go(corpus, tmp_path / "run", f"init_from={tmp_path / 'mean'}", "init=weights", "steps=1")


def test_what_is_set_of_the_optimizer_now_holds_not_what_was_set_then(corpus, stable, tmp_path):
    start = [f"init_from={stable / 'checkpoints' / 'step-00000004'}", "schedule.steps=100"]
    losses = []
    for name, sets in (("same", []), ("decay", ["optimizer.weight_decay=50"])):
        go(corpus, tmp_path / name, *start, *sets, "steps=6")
        losses.append(metrics(tmp_path / name)[-1]["loss"])
    assert losses[0] == metrics(stable)[5]["loss"] != losses[1]


def test_a_run_without_an_average_begins_one_where_it_goes_on(corpus, tmp_path):
    go(corpus, tmp_path, "steps=1", "schedule.steps=9")
    before = checkpoint.load(checkpoint.newest(tmp_path))["model"]
    go(corpus, tmp_path, "steps=2", "schedule.steps=9", "average_decay=0.75")
    held = checkpoint.load(checkpoint.newest(tmp_path))
    for name, mean in held["average"].items():
        torch.testing.assert_close(mean, 0.75 * before[name] + 0.25 * held["model"][name])


def test_an_optimizer_of_which_a_checkpoint_says_nothing_begins_anew(corpus, tmp_path, capsys):
    """As after steps that were all left out."""
    sets = ["schedule.steps=9"]
    go(corpus, tmp_path / "parts", *sets, "steps=1")
    folder = checkpoint.newest(tmp_path / "parts")
    held = checkpoint.load(folder)
    bare = {f"{part}/{name}": value for part in ("model", "rng") for name, value in held[part].items() if name != "head.weight"}
    with Saver(tmp_path / "parts", CheckpointSettings()) as saver:
        plain = {key: held[key] for key in ("settings", "data", "spikes")}
        saver.save(checkpoint.State(1, bare, plain))
    go(corpus, tmp_path / "parts", *sets, "steps=2")
    assert "holds nothing of an optimizer, which begins anew" in capsys.readouterr().err
    after = checkpoint.load(checkpoint.newest(tmp_path / "parts"), ["optimizer"])["optimizer"]
    assert {value.item() for name, value in after.items() if name.endswith("/step")} == {1.0}


def test_weights_that_a_step_ruined_do_not_become_a_checkpoint(corpus, tmp_path):
    go(corpus, tmp_path, "steps=2", "schedule.steps=9", "checkpoint.every=1")
    ruin = ["optimizer.learning_rate=1e36", "optimizer.weight_decay=1e6", "checkpoint.every=1"]
    with pytest.raises(NotSaved, match="weights are not finite after step 3; step-00000002 stays the last good one; lower"):
        go(corpus, tmp_path, "steps=9", "schedule.steps=9", *ruin)
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [1, 2]


def test_names_are_those_of_the_weights():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1, bias=False))
    optimizers = [torch.optim.AdamW([model[1].weight]), torch.optim.SGD(model[0].parameters(), momentum=0.5)]
    assert weights(model)["0.weight"].data_ptr() == model[0].weight.data_ptr()
    assert tied(model) == {}
    kinds = {"1.weight/step", "1.weight/exp_avg", "1.weight/exp_avg_sq", "0.weight/momentum_buffer", "0.bias/momentum_buffer"}
    assert set(remembered(model, optimizers)) == kinds
    forget(model, optimizers, ["0.weight", "1.weight"])
    assert [set(one.state) for one in optimizers] == [set(), {model[0].bias}]


def test_a_tied_head_is_held_once_and_read_under_both_names(corpus, stable):
    folder = checkpoint.newest(stable)
    for part in ("model", "average"):
        assert f"{part}/embedding.weight" in checkpoint.tensor_shapes(folder)
        assert f"{part}/head.weight" not in checkpoint.tensor_shapes(folder)
        held = checkpoint.load(folder, [part])[part]
        assert held["head.weight"] is held["embedding.weight"]
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2, bias=False), "b": torch.nn.Linear(2, 2, bias=False)})
    model["b"].weight = model["a"].weight
    assert tied(model) == {"b.weight": "a.weight"}
    assert list(weights(model)) == ["a.weight"]
