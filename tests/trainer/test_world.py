import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gristmill.trainer.config import ConfigError, read_config
from gristmill.trainer.settings import ParallelSettings
from gristmill.trainer.world import Launch, World, first_node, joined, launched, leave, misfits, own_device

SMALL = [
    "steps=2", "seq_len=32", "windows=8", "threads=1", "device=cpu", "model.layers=1", "model.width=32", "model.heads=4",
    "model.kv_heads=2",
]  # fmt: skip
SLURM = {
    "SLURM_STEP_NUM_TASKS": "4", "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "2", "SLURM_JOB_NODELIST": "n[003-004],m1",
    "SLURM_PROCID": "3", "SLURM_LOCALID": "1",
}  # fmt: skip


def test_a_process_that_nobody_launched_is_alone():
    assert launched({}) == Launch()
    # a batch script of SLURM, which is one process though its job has many tasks
    assert launched({"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1", "SLURM_JOB_NODELIST": "n[1-8]"}) == Launch()
    assert launched({"WORLD_SIZE": "1", "RANK": "0"}) == Launch()


def test_torchrun_says_where_a_process_stands():
    said = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "n1", "MASTER_PORT": "29500"}
    assert launched(said) == Launch(rank=3, size=4, local_rank=1, method="env://")
    # torchrun within a job of SLURM
    assert launched(said | SLURM) == launched(said)


def test_srun_says_where_a_process_stands():
    # 15000 + 7 * 77 + 2
    assert launched(SLURM) == Launch(rank=3, size=4, local_rank=1, method="tcp://n003:15541")
    given = {"SLURM_STEP_NODELIST": "m9", "MASTER_PORT": "1234"}
    assert launched(SLURM | given).method == "tcp://m9:1234"
    assert launched(SLURM | {"MASTER_ADDR": "10.0.0.1"}).method == "tcp://10.0.0.1:15541"


def test_an_environment_that_says_half_of_it_is_refused():
    with pytest.raises(ConfigError, match="MASTER_ADDR is not set; start training with torchrun or srun"):
        launched({"WORLD_SIZE": "2", "RANK": "0"})
    with pytest.raises(ConfigError, match=r"not in numbers: .*'two'"):
        launched({"WORLD_SIZE": "two"})


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("n1", "n1"), ("n1,n2", "n1"), ("n[003-005,9],m1", "n003"), ("a-[7,9]-b,c", "a-7-b"), ("gpu-1-[12]", "gpu-1-12")],
)
def test_the_first_node_of_a_list(nodes, first):
    assert first_node(nodes) == first


@pytest.mark.parametrize(
    ("size", "sets", "told"),
    [
        (2, ["parallel.tensor=3"], "parallel.tensor is 3, and the number of processes is 2; start a multiple of 3"),
        (1, ["parallel.tensor=2"], "parallel.tensor is 2, and the number of processes is 1; start a multiple of 2"),
        (3, [], "windows is 8, which does not divide by 3 data ranks; set a multiple of 3"),
        (4, ["micro_windows=4"], "windows is 8, which does not divide by 4 data ranks x 4 micro_windows; set a multiple of 16"),
        (4, ["batch_ramp=[{tokens: 100, windows: 2}]"], "windows of batch_ramp is 2, which does not divide by 4 data ranks"),
        (8, ["parallel.tensor=8"], "model.heads is 4, which does not divide by parallel.tensor 8; set a divisor of 4"),
        (4, ["parallel.tensor=4"], "model.kv_heads is 2, which does not divide by parallel.tensor 4; set a divisor of 2"),
        (2, ["parallel.tensor=2", "model.feed_forward=33"], "model.feed_forward is 33, which does not divide"),
        (2, ["parallel.tensor=2", "model.experts={count: 2, per_token: 1, width: 8}"], "experts are not split"),
        (2, ["parallel.tensor=2", "model.qk_norm=width"], "model.qk_norm is width, a norm over all heads"),
        (4, ["parallel.tensor=2"], "parallel.data is ddp, which goes with parallel.tensor=1; set parallel.data=fsdp for 2 x 2"),
        (2, ["parallel.data=fsdp", "optimizer.name=adafactor"], "optimizer.name is adafactor, which needs each matrix whole"),
    ],
)
def test_what_does_not_fit_the_processes_is_named_with_what_would(size, sets, told):
    found = misfits(read_config("tiny", ["data=none", *SMALL, *sets]), size)
    assert any(one.startswith(told) for one in found), found


@pytest.mark.parametrize(
    ("size", "sets"),
    [
        (1, []),
        (8, []),
        (2, ["parallel.tensor=2"]),
        (4, ["parallel.tensor=2", "parallel.data=fsdp", "micro_windows=2"]),
        (2, ["optimizer.name=adafactor"]),
        (2, ["parallel.data=fsdp", "model.experts={count: 2, per_token: 1, width: 8}", "model.qk_norm=width"]),
    ],
)
def test_what_fits_is_not_complained_of(size, sets):
    assert misfits(read_config("tiny", ["data=none", *SMALL, *sets]), size) == []


def test_peers_of_one_model_are_neighbours_and_share_a_data_rank():
    worlds = [World(rank, 6, tensor_ranks=2) for rank in range(6)]
    assert [world.data_rank for world in worlds] == [0, 0, 1, 1, 2, 2]
    assert [world.tensor_rank for world in worlds] == [0, 1] * 3
    assert {world.data_ranks for world in worlds} == {3}
    assert [world.first for world in worlds] == [True] + [False] * 5


def test_work_is_dealt_by_turns_and_all_get_as_many():
    dealt = [list(World(rank, 6, tensor_ranks=2).dealt("abcde")) for rank in (0, 1, 2, 4)]
    assert dealt[0] == dealt[1] == [("a", True), ("d", True)]
    assert dealt[2] == [("b", True), ("e", True)]
    assert dealt[3] == [("c", True), ("e", False)]  # computed for company
    assert list(World().dealt("abc")) == [("a", True), ("b", True), ("c", True)]
    assert [list(World(rank, 3).dealt("")) for rank in range(3)] == [[]] * 3


def test_a_process_alone_meets_nobody_and_raises_its_own_errors():
    with joined(Launch(), torch.device("cpu"), read_config("tiny", ["data=none"]).parallel) as world:
        assert world == World()
        assert not torch.distributed.is_initialized()
        assert world.agree(lambda: 3) == 3
        assert world.sum(torch.tensor([2.0])).tolist() == [2.0]
        assert world.of_the_first(torch.tensor([2.0])).tolist() == [2.0]
        with pytest.raises(KeyError):
            world.agree(lambda: {}["absent"])


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    several, srun = Launch(1, 2, 1), Launch(1, 2, 1, "tcp://n1:1")
    assert own_device("auto", several) == own_device("cuda", several) == torch.device("cuda:1")
    assert own_device("cpu", several) == torch.device("cpu")
    assert own_device("cuda:1", Launch()) == torch.device("cuda:1")
    with pytest.raises(ConfigError, match="each of 2 processes needs a GPU of its own; set device=cuda"):
        own_device("cuda:0", several)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="there are 1 GPUs here, for 2 processes or more"):
        own_device("auto", several)
    # srun --gpus-per-task=1 hides the others' GPUs
    assert own_device("auto", srun) == torch.device("cuda:0")
    with pytest.raises(ConfigError, match="device is cuda:5; there are 1 GPUs here"):
        own_device("cuda:5", Launch())


@pytest.mark.parametrize(
    ("ending", "status", "told"),
    [
        (SystemExit(3), 3, ""),
        (SystemExit(), 0, ""),
        (SystemExit("a word"), 1, ""),
        (RuntimeError("odd"), 1, "RuntimeError: odd\n"),
    ],
)
def test_one_of_several_processes_ends_at_once_with_its_status(monkeypatch, capsys, ending, status, told):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    leave(ending)
    assert ended == []  # alone: the interpreter ends as ever
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    leave(ending)
    assert ended == [status]
    assert capsys.readouterr().err == told


def test_a_place_to_meet_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        launch = Launch(rank=0, size=2, method=f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        told = rf"process 0 of 2 did not meet the others at 127.0.0.1:{taken.getsockname()[1]}: .*address already in use"
        with pytest.raises(ConfigError, match=told), joined(launch, torch.device("cpu"), ParallelSettings(timeout_seconds=5)):
            pytest.fail("nobody is there")


def test_processes_that_do_not_come_are_waited_for_and_no_longer(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    told = rf"process 0 of 2 did not meet the others at 127.0.0.1:{port}: Timed out"
    with (
        pytest.raises(ConfigError, match=told),
        joined(Launch(rank=0, size=2), torch.device("cpu"), ParallelSettings(timeout_seconds=1)),
    ):
        pytest.fail("nobody is there")


def under_torchrun(*arguments):
    """The real command, on two processes."""
    torchrun = shutil.which("torchrun", path=Path(sys.executable).parent) or shutil.which("torchrun")
    if torchrun is None:
        pytest.skip("torchrun is not installed")
    command = [torchrun, "--standalone", "--nproc-per-node", "2", "-m", "gristmill.pipeline", "train", "tiny", *arguments]
    return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300)


def test_the_command_runs_under_torchrun_and_one_process_speaks(corpus, tmp_path):
    sets = ["--set", f"data={corpus}", *SMALL, "parallel.data=fsdp"]
    done = under_torchrun(*sets, "--output", str(tmp_path / "run"), "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"last_loss"') == 1
    assert done.stderr.count("step 2/2  loss") == 1
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_mistake_under_torchrun_is_said_once_and_leaves_nothing(corpus, tmp_path):
    done = under_torchrun("--set", f"data={corpus}", *SMALL, "parallel.tensor=3", "--output", str(tmp_path / "run"))
    assert done.returncode != 0
    assert "exitcode: 2" in done.stderr  # what torchrun says of the one that ended first
    assert "SIGABRT" not in done.stderr
    assert done.stdout == ""
    assert done.stderr.count("parallel.tensor is 3, and the number of processes is 2") == 1
    assert "gristmill/trainer" not in done.stderr  # no traceback of ours
    assert not (tmp_path / "run").exists()
