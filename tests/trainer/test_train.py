import json

import pytest
import torch

from gristmill.trainer import checkpoint
from gristmill.trainer.config import ConfigError
from gristmill.trainer.train import Diverged, train

SMALL = [
    "seq_len=32", "windows=8", "threads=1", "device=cpu", "model.layers=2", "model.width=32", "model.heads=2",
    "model.kv_heads=1", "optimizer.learning_rate=0.01",
]  # fmt: skip


def go(corpus, output, *sets):
    return train("tiny", [f"data={corpus}", *SMALL, *sets], output)


def metrics(output):
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def newest(output):
    return checkpoint.load(checkpoint.checkpoints(output)[-1][1])


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.fixture(scope="module")
def twenty(corpus, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "twenty"
    return output, go(corpus, output, "steps=20", "schedule.steps=20")


def test_twenty_steps_are_ten_and_ten_to_the_last_bit(corpus, twenty, tmp_path):
    whole, result = twenty
    go(corpus, tmp_path, "steps=10", "schedule.steps=20")
    resumed = go(corpus, tmp_path, "steps=20", "schedule.steps=20")
    first, second = newest(whole), newest(tmp_path)
    for part in ("model", "optimizer", "data", "rng"):
        assert same(first[part], second[part]), part
    assert resumed["order_hash"] == result["order_hash"]
    for a, b in zip(metrics(whole), metrics(tmp_path), strict=True):
        for key in ("step", "tokens", "loss", "learning_rate", "gradient_norm", "order_hash"):
            assert a[key] == b[key]


def test_a_run_that_died_after_its_checkpoint_goes_on_from_there(corpus, twenty, tmp_path):
    go(corpus, tmp_path, "steps=10", "schedule.steps=20")
    rows = (tmp_path / "metrics.jsonl").read_text()
    lost = json.dumps({**metrics(tmp_path)[-1], "step": 11, "loss": 99.0})
    (tmp_path / "metrics.jsonl").write_text(f'{rows}{lost}\n{{"step": 12, "lo')
    (tmp_path / "checkpoints" / ".step-00000020.partial").mkdir()
    go(corpus, tmp_path, "steps=20", "schedule.steps=20")
    assert [row["loss"] for row in metrics(tmp_path)] == [row["loss"] for row in metrics(twenty[0])]


def test_the_loss_falls(corpus, tmp_path):
    result = go(corpus, tmp_path, "steps=60")
    rows = metrics(tmp_path)
    assert result["first_loss"] == rows[0]["loss"] > 5
    assert result["last_loss"] == rows[-1]["loss"] < 0.6 * rows[0]["loss"]


def test_each_step_has_a_row_with_the_agreed_keys(twenty):
    output, result = twenty
    rows = metrics(output)
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert [row["tokens"] for row in rows] == [256 * step for step in range(1, 21)]
    for row in rows:
        assert {"loss", "learning_rate", "tokens_per_second", "data_wait_ms", "order_hash"} <= row.keys()
        # PyTorch alone takes more than 50 MB
        assert 50_000_000 < row["peak_memory_bytes"] < 1 << 40
    assert rows[0]["learning_rate"] == pytest.approx(0.01 / 3)  # warm-up of 3 steps
    assert (result["steps"], result["tokens"], result["device"]) == (20, 5120, "cpu")


def test_micro_batches_change_the_sum_only_by_rounding(corpus, twenty, tmp_path):
    go(corpus, tmp_path, "steps=3", "schedule.steps=20", "micro_windows=2")
    for part, whole in zip(metrics(tmp_path), metrics(twenty[0]), strict=False):
        assert part["order_hash"] == whole["order_hash"]
        assert part["loss"] == pytest.approx(whole["loss"], rel=1e-4)


def test_only_the_newest_checkpoints_stay(corpus, tmp_path):
    go(corpus, tmp_path, "steps=5", "checkpoint.every=1", "checkpoint.keep=2")
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [4, 5]


def test_a_finished_run_is_left_as_it_is(corpus, tmp_path, capsys):
    first = go(corpus, tmp_path, "steps=3")
    assert go(corpus, tmp_path, "steps=3") == first
    assert len(metrics(tmp_path)) == 3
    assert "nothing to do up to step 3" in capsys.readouterr().err


def test_progress_goes_to_stderr(corpus, tmp_path, capsys):
    go(corpus, tmp_path, "steps=2")
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "step 2/2  loss" in seen.err


def test_the_run_says_what_it_was(corpus, twenty):
    told = json.loads((twenty[0] / "train.json").read_text())
    assert told["settings"]["data"] == str(corpus)
    assert told["plan"]["sources"] == ["books", "web"]
    assert told["parameters"] == twenty[1]["parameters"] < 1_000_000
    assert told["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("model.layers=3", "model.layers was 2, now 3"),
        ("windows=4", "windows was 8, now 4"),
        ("seed=1", "seed was 0, now 1"),
        ("mixture={web: 1, books: 1}", "weights was"),
    ],
)
def test_another_run_is_not_continued(corpus, tmp_path, change, told):
    go(corpus, tmp_path, "steps=1")
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=f"{told}.*; choose another --output"):
        go(corpus, tmp_path, "steps=2", change)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_other_data_is_not_continued(corpus, make_corpus, tmp_path):
    go(corpus, tmp_path / "run", "steps=1", "mixture={web: 1}")
    other = make_corpus(tmp_path / "other", {"web": ["a different text " * 50] * 9})
    with pytest.raises(ConfigError, match="content was"):
        go(other, tmp_path / "run", "steps=2", "mixture={web: 1}")


def test_a_changed_rate_is_told_and_taken(corpus, tmp_path, capsys):
    go(corpus, tmp_path, "steps=4", "schedule.steps=20")
    go(corpus, tmp_path, "steps=5", "schedule.steps=20", "optimizer.learning_rate=0.02")
    assert "from here on, optimizer.learning_rate was 0.01, now 0.02" in capsys.readouterr().err
    assert metrics(tmp_path)[4]["learning_rate"] > 0.0199 * 0.9


def test_too_few_tokens_are_a_table_before_the_first_step(corpus, tmp_path):
    with pytest.raises(ConfigError, match="too few tokens for 3,000 steps") as caught:
        go(corpus, tmp_path / "run", "steps=3000", "max_epochs=1")
    assert str(caught.value).count("   short\n") == 2
    assert not (tmp_path / "run").exists()


def test_cap_trains_as_far_as_the_tokens_go(corpus, tmp_path):
    result = go(corpus, tmp_path, "steps=3000", "max_epochs=0.05", "on_shortage=cap")
    assert 0 < result["steps"] < 100


def test_data_and_devices_that_are_not_there(corpus, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        go(tmp_path / "absent", tmp_path / "run")
    with pytest.raises(ConfigError, match="no source wiki"):
        go(corpus, tmp_path / "run", "mixture={wiki: 1}")
    with pytest.raises(ConfigError, match="GPUs here"):
        go(corpus, tmp_path / "run", "device=cuda:99")


@pytest.mark.parametrize(
    ("sets", "told"),
    [(["attention=flex"], "cannot train on a CPU"), (["attention=sdpa", "model.attention_softcap=50"], "sdpa, which knows no")],
)
def test_a_kernel_that_cannot_do_it_is_refused_before_the_first_step(corpus, tmp_path, sets, told):
    with pytest.raises(ConfigError, match=told):
        go(corpus, tmp_path / "run", *sets)
    assert not (tmp_path / "run").exists()


def test_folders_of_others_are_left_alone(corpus, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds files but no train\.json"):
        go(corpus, tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        go(corpus, tmp_path / "notes.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_two_commands_do_not_share_a_folder(corpus, tmp_path):
    from gristmill.trainer.run_folder import claimed

    with claimed(tmp_path), pytest.raises(ConfigError, match="another command is training there"):
        go(corpus, tmp_path, "steps=1")
    go(corpus, tmp_path, "steps=1")


def test_a_damaged_checkpoint_is_told(corpus, tmp_path):
    go(corpus, tmp_path, "steps=1")
    (checkpoint.checkpoints(tmp_path)[-1][1] / "state.json").write_bytes(b"{")
    with pytest.raises(ConfigError, match="step-00000001: is damaged"):
        go(corpus, tmp_path, "steps=2")


def test_a_loss_that_is_no_number_ends_the_run(corpus, tmp_path):
    with pytest.raises(Diverged, match=r"the loss is (nan|inf) at step"):
        go(corpus, tmp_path, "steps=10", "optimizer.learning_rate=1e30", "optimizer.clip=null", "schedule.warmup_steps=0")
