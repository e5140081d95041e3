import numpy as np
import pytest
import torch

from gristmill.trainer.loader import Draw
from gristmill.trainer.losses import IGNORED
from gristmill.trainer.micro_batch import make_micro_batches
from gristmill.trainer.objectives import Objective
from gristmill.trainer.settings import ObjectiveSettings
from gristmill.trainer.train import train

DRAW = Draw(3, np.array([0, 1, 0, 1], dtype=np.int32), np.array([5, 6, 7, 8]), "")
ROWS = np.arange(4 * 17, dtype=np.int64).reshape(4, 17)


def made(name, micro, rank=0, ranks=1):
    objective = Objective(ObjectiveSettings(name=name), 100, 16)
    starts = [(part * ranks + rank) * micro for part in range(4 // (micro * ranks))]
    return make_micro_batches([ROWS[s : s + micro] for s in starts], DRAW, objective, 9, rank=rank, ranks=ranks)


def test_causal_rows_are_inputs_and_the_tokens_after_them():
    [batch] = made("causal", 4)
    assert torch.equal(batch.ids, torch.from_numpy(ROWS[:, :-1]))
    assert torch.equal(batch.targets, torch.from_numpy(ROWS[:, 1:]))
    assert (batch.prefix, batch.counted) == (None, 64)


@pytest.mark.parametrize("name", ["prefix", "span_corruption", "ul2", "fill_in_the_middle"])
def test_a_window_becomes_the_same_wherever_it_is_read(name):
    [whole] = made(name, 4)
    for parts in (made(name, 1), made(name, 2), [made(name, 2, 0, 2)[0], made(name, 2, 1, 2)[0]]):
        assert torch.equal(torch.cat([part.ids for part in parts]), whole.ids)
        assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)
        assert sum(part.counted for part in parts) == whole.counted == int((whole.targets != IGNORED).sum())
        assert (whole.prefix is None) == (name == "fill_in_the_middle")


@pytest.mark.parametrize("name", ["prefix", "span_corruption", "ul2", "fill_in_the_middle"])
def test_training_by_an_objective_learns_and_goes_on_exactly(name, corpus, tmp_path):
    sets = [
        f"data={corpus}", "device=cpu", "threads=1", "seq_len=32", "windows=8", "model.layers=1", "model.width=32",
        "model.heads=2", "model.kv_heads=1", "schedule.steps=12", "optimizer.learning_rate=0.01", f"objective.name={name}",
    ]  # fmt: skip
    whole = train("tiny", [*sets, "steps=12", "micro_windows=4"], tmp_path / "whole")
    train("tiny", [*sets, "steps=5", "micro_windows=4"], tmp_path / "parts")
    parts = train("tiny", [*sets, "steps=12", "micro_windows=4"], tmp_path / "parts")
    assert whole["last_loss"] == parts["last_loss"] < whole["first_loss"]
