import pytest
import torch
from torch import nn

from gristmill.trainer import checkpoint
from gristmill.trainer.averaging import RunningAverage, average, mean_weights
from gristmill.trainer.checkpoint_saver import Saver
from gristmill.trainer.settings import CheckpointSettings


def test_a_running_average_keeps_its_share_of_what_it_was():
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    held = RunningAverage(layer, 0.75)
    for value in (5.0, 9.0):
        with torch.no_grad():
            layer.weight.fill_(value)
        held.update(layer)
    # 1 -> 0.75 * 1 + 0.25 * 5 = 2 -> 0.75 * 2 + 0.25 * 9 = 3.75
    assert held.weights["weight"].item() == 3.75


def test_the_mean_of_weights_is_that_of_each_number():
    states = [{"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 2.0])}, {"w": torch.tensor([5.0, 5.0])}]
    assert mean_weights(states)["w"].tolist() == [3.0, 3.0]


def write(folder, step, **state):
    tensors = {f"{part}/{name}": value for part, held in state.items() for name, value in held.items()}
    with Saver(folder, CheckpointSettings(keep=9)) as saver:
        saver.save(checkpoint.State(step, tensors, {"settings": {}}))
    return dict(checkpoint.checkpoints(folder))[step]


def test_an_average_is_a_checkpoint_of_its_own(tmp_path):
    one = write(tmp_path / "run", 10, model={"w": torch.tensor([1.0])}, average={"w": torch.tensor([2.0])})
    two = write(tmp_path / "run", 20, model={"w": torch.tensor([3.0])}, average={"w": torch.tensor([6.0])})
    average([one, two], tmp_path / "mean")
    average([one, two], tmp_path / "running", running=True)
    for name, expected in (("mean", 2.0), ("running", 4.0)):
        ((step, file),) = checkpoint.checkpoints(tmp_path / name)
        assert (step, checkpoint.load(file)["model"]["w"].item()) == (20, expected)


def test_what_cannot_be_averaged_is_refused_and_nothing_is_written(tmp_path):
    one = write(tmp_path / "run", 10, model={"w": torch.tensor([1.0])})
    other = write(tmp_path / "run", 20, model={"v": torch.tensor([1.0])})
    for files, running, message in [
        ([one], False, "two or more"),
        ([one, other], False, "another model"),
        ([one, one], True, "no running average"),
    ]:
        with pytest.raises(ValueError, match=message):
            average(files, tmp_path / "mean", running=running)
    assert not (tmp_path / "mean").exists()
    with pytest.raises(ValueError, match="is there already"):
        average([one, one], tmp_path / "run")
