import json
import resource
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
import torch

from gristmill.trainer import checkpoint
from gristmill.trainer.checkpoint import State, checkpoints
from gristmill.trainer.checkpoint_saver import NotSaved, Saver
from gristmill.trainer.settings import CheckpointSettings


def state(step, weight=None):
    return State(step, {"model/w": torch.full((1000,), float(step)) if weight is None else weight}, {"settings": {}})


def steps(output):
    return [step for step, _ in checkpoints(output)]


def names(output):
    return sorted(file.name for file in (output / "checkpoints").iterdir())


def test_the_newest_stay_and_milestones_for_good(tmp_path):
    with Saver(tmp_path, CheckpointSettings(keep=2, milestone_every=4, milestones=(5,))) as saver:
        for step in range(1, 11):
            saver.save(state(step))
    assert steps(tmp_path) == [4, 5, 8, 9, 10]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"every": 5}, [5, 10, 12]),
        ({"every": 100}, [12]),
        ({"every": 100, "milestone_every": 6}, [6, 12]),
        ({"every": 5, "milestones": [3, 5, 99]}, [3, 5, 10, 12]),
    ],
)
def test_a_run_is_saved_every_so_often_at_milestones_and_at_its_end(settings, expected):
    asked = CheckpointSettings.model_validate(settings)
    assert [step for step in range(1, 13) if asked.due(step, 12)] == expected


def test_leftovers_of_a_killed_run_are_removed_and_nothing_else(tmp_path):
    folder = tmp_path / "checkpoints"
    for name in (".step-00000003.partial", ".step-00000001.old", "step-00000002", ".mine"):
        (folder / name).mkdir(parents=True)
    with Saver(tmp_path, CheckpointSettings()):
        assert names(tmp_path) == [".mine", "step-00000002"]


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path):
    with Saver(tmp_path, CheckpointSettings()) as saver:
        saver.save(state(1))
        saver.save(state(1, torch.tensor([9.0])))
    assert checkpoint.load(tmp_path / "checkpoints" / "step-00000001")["model"]["w"].tolist() == [9.0]
    assert names(tmp_path) == ["step-00000001"]


def test_in_the_background_what_is_written_is_what_was_when_it_was_saved(tmp_path):
    weight, plain = torch.ones(1_000_000), {"settings": {}, "data": {"step": 1}}
    with Saver(tmp_path, CheckpointSettings(asynchronous=True)) as saver:
        saver.save(State(1, {"model/w": weight}, plain))
        weight.fill_(2.0)
        plain["data"]["step"] = 2
        saver.save(State(2, {"model/w": weight}, plain))
        weight.fill_(3.0)
    for step in (1, 2):
        held = checkpoint.load(dict(checkpoints(tmp_path))[step])
        assert (held["model"]["w"] == step).all()
        assert held["data"]["step"] == step


def test_the_next_save_waits_for_the_last_and_training_does_not(tmp_path):
    go_on, order = threading.Event(), []

    class Slow(Saver):
        def _write(self, state):
            order.append(f"begin {state.step}")
            go_on.wait(20)
            super()._write(state)
            order.append(f"end {state.step}")

    with Slow(tmp_path, CheckpointSettings(asynchronous=True)) as saver:
        saver.save(state(1))
        saver.check()  # a step of training: nothing to wait for
        order.append("step")
        go_on.set()
        saver.save(state(2))
    assert order.index("step") < order.index("end 1") < order.index("begin 2")
    assert steps(tmp_path) == [1, 2]


@contextmanager
def files_no_longer_than(limit):
    """The system's own limit, which ends writes as a full disk does; SIGXFSZ is ignored by Python."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_room_the_cause_is_told_and_the_last_good_one_stays(tmp_path):
    with Saver(tmp_path, CheckpointSettings(keep=1)) as saver:
        saver.save(state(1))
        with files_no_longer_than(20_000), pytest.raises(NotSaved) as caught:
            saver.save(state(2, torch.ones(100_000)))
        assert str(caught.value) == (
            f"{tmp_path}/checkpoints/step-00000002: not written: File too large; step-00000001 stays the last good one; "
            "make room and give the same command again"
        )
        assert names(tmp_path) == ["step-00000001"]
        assert (checkpoint.load(checkpoints(tmp_path)[0][1])["model"]["w"] == 1).all()
        saver.save(state(2, torch.ones(100_000)))
    assert steps(tmp_path) == [2]


TOO_LARGE = torch.ones(100_000)


def steps_of_training(saver):
    while saver._writing is not None:
        saver.check()


def failing_twice(output):
    with Saver(output, CheckpointSettings(asynchronous=True)) as saver:
        saver.save(state(1, TOO_LARGE))
        saver.save(state(2, TOO_LARGE))


def failing_and_ended_by_something_else(output):
    with Saver(output, CheckpointSettings(asynchronous=True)) as saver:
        saver.save(state(1, TOO_LARGE))
        raise KeyError("what ended the training")


def test_what_fails_in_the_background_is_raised_after_a_later_step(tmp_path):
    with Saver(tmp_path, CheckpointSettings(asynchronous=True)) as saver, files_no_longer_than(20_000):
        saver.save(state(1, TOO_LARGE))
        with pytest.raises(NotSaved, match="step-00000001: not written: File too large; there is none before it"):
            steps_of_training(saver)
        saver.check()  # and once


def test_what_fails_in_the_background_is_raised_at_the_next_save_or_the_end(tmp_path):
    with files_no_longer_than(20_000), pytest.raises(NotSaved, match="step-00000001"):
        failing_twice(tmp_path)
    with files_no_longer_than(20_000), pytest.raises(KeyError) as caught:
        failing_and_ended_by_something_else(tmp_path)
    assert "step-00000001: not written: File too large" in caught.value.__notes__[0]


FULL_DISK = """
import sys, torch
from pathlib import Path
from gristmill.trainer.checkpoint import State, checkpoints
from gristmill.trainer.checkpoint_saver import NotSaved, Saver
from gristmill.trainer.settings import CheckpointSettings
output = Path(sys.argv[1])
with Saver(output, CheckpointSettings(keep=1)) as saver:
    saver.save(State(1, {"model/w": torch.ones(100_000)}, {}))
    try:
        saver.save(State(2, {"model/w": torch.ones(500_000)}, {}))
    except NotSaved as error:
        print(error)
print([(step, sorted(file.name for file in folder.iterdir())) for step, folder in checkpoints(output)])
print(sorted(file.name for file in (output / "checkpoints").iterdir()))
"""


def test_a_disk_that_is_full(tmp_path):
    """A real one of 1 MB, in a namespace of its own, which ends with the process."""
    mounted = f'mount -t tmpfs -o size=1m none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no namespaces here to mount a small disk in")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", mounted, FULL_DISK], capture_output=True, text=True)
    if "mount:" in done.stderr:
        pytest.skip(f"cannot mount a small disk: {done.stderr}")
    said, left, inside = done.stdout.splitlines()
    assert "step-00000002: not written: No space left on device; step-00000001 stays the last good one; make room" in said
    assert left == str([(1, [".metadata", "__0_0.distcp", "state.json"])])
    assert inside == str(["step-00000001"])


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "checkpoints").write_text("mine")
    with Saver(tmp_path, CheckpointSettings()) as saver, pytest.raises(NotSaved, match=r"not written: .*; there is none before"):
        saver.save(state(1))
    assert (tmp_path / "checkpoints").read_text() == "mine"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_do_not_follow_the_last_good_ones(tmp_path, bad):
    with Saver(tmp_path, CheckpointSettings(keep=1)) as saver:
        saver.save(state(1))
        weight = torch.ones(1000)
        weight[500] = bad
        with pytest.raises(NotSaved, match="weights are not finite after step 2; step-00000001 stays the last good one"):
            saver.save(state(2, weight))
    assert steps(tmp_path) == [1]


def test_the_largest_numbers_are_finite(tmp_path):
    with Saver(tmp_path, CheckpointSettings()) as saver:
        saver.save(state(1, torch.full((1000,), torch.finfo(torch.float32).max)))
    assert steps(tmp_path) == [1]


def test_what_stands_in_state_json_is_plain(tmp_path):
    with Saver(tmp_path, CheckpointSettings()) as saver:
        saver.save(state(3))
    told = json.loads((tmp_path / "checkpoints" / "step-00000003" / "state.json").read_text())
    assert (told["format_version"], told["step"], told["processes"]) == (2, 3, 1)
    assert set(told["files"]) == {".metadata", "__0_0.distcp"}
