"""The processes of a training run, and how they stand to each other.

torchrun or srun starts them and says to each, in its environment, which one it is. Data-parallel ranks read different windows;
tensor-parallel peers share a data rank and read the same ones. Peers have neighbouring ranks, so that they share a machine.
"""

from __future__ import annotations

import atexit
import gc
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from gristmill.trainer.config import ConfigError
from gristmill.trainer.settings import ParallelSettings, TrainSettings

T = TypeVar("T")

DATA, TENSOR = "data", "tensor"
"""Names of the two dimensions of the mesh of processes."""


class ToldElsewhere(ConfigError):
    """This process ends because of what the first one says; nothing is to be said again."""


class OthersGone(RuntimeError):
    """Another process ended, or did not answer, in the midst of the work; its own output says why."""


@dataclass(frozen=True)
class Launch:
    """What the launcher says to a process."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among the processes of its machine."""
    method: str = "env://"
    """How the processes find each other, for `init_process_group`."""


def launched(environment: Mapping[str, str] = os.environ) -> Launch:
    """Read what torchrun, or srun, says; one process alone where neither says anything.

    A batch script of SLURM that starts training without srun is one process: only steps have SLURM_STEP_NUM_TASKS (from SLURM's
    manual of srun, from memory).

    Raises:
        ConfigError: the variables are incomplete, or no numbers.
    """
    try:
        if "WORLD_SIZE" in environment:
            size = int(environment["WORLD_SIZE"])
            if size == 1:
                return Launch()
            environment["MASTER_ADDR"], environment["MASTER_PORT"]
            return Launch(int(environment["RANK"]), size, int(environment.get("LOCAL_RANK", environment["RANK"])))
        size = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
        if size == 1:
            return Launch()
        nodes = environment.get("SLURM_STEP_NODELIST") or environment["SLURM_JOB_NODELIST"]
        address = environment.get("MASTER_ADDR") or first_node(nodes)
        # two steps of one job may run at once; below the ports that systems give out by themselves
        usual = 15_000 + (7 * int(environment["SLURM_JOB_ID"]) + int(environment.get("SLURM_STEP_ID", "0"))) % 10_000
        method = f"tcp://{address}:{environment.get('MASTER_PORT', usual)}"
        return Launch(int(environment["SLURM_PROCID"]), size, int(environment["SLURM_LOCALID"]), method)
    except KeyError as missing:
        raise ConfigError(
            f"the environment speaks of several processes, and {missing.args[0]} is not set; start training with torchrun or srun"
        ) from None
    except ValueError as error:
        raise ConfigError(f"the environment says where this process stands, and not in numbers: {error}") from None


def first_node(nodes: str) -> str:
    """The first name of a list as SLURM writes it: `n[003-005,9],m1` gives n003."""
    head, bracket, tail = re.split(r",(?![^\[]*\])", nodes)[0].partition("[")
    if not bracket:
        return head
    numbers, _, suffix = tail.partition("]")
    return head + re.split("[-,]", numbers)[0] + suffix


def misfits(settings: TrainSettings, size: int) -> list[str]:
    """Why a run cannot be spread over so many processes: each a sentence with what would be right; none where it can."""
    model, parallel, tensor = settings.model, settings.parallel, settings.parallel.tensor
    if size % tensor:
        return [f"parallel.tensor is {tensor}, and the number of processes is {size}; start a multiple of {tensor} with torchrun"]
    found = []
    ranks, micro = size // tensor, settings.micro_windows
    for what, windows in (("windows", settings.windows), *(("windows of batch_ramp", count) for _, count in settings.ramp)):
        if windows % (ranks * (micro or 1)):
            by = f"{ranks} data ranks" + (f" x {micro} micro_windows" if micro else "")
            found.append(f"{what} is {windows}, which does not divide by {by}; set a multiple of {ranks * (micro or 1)}")
    if settings.optimizer.name == "adafactor" and (tensor > 1 or (parallel.data == "fsdp" and ranks > 1)):
        found.append("optimizer.name is adafactor, which needs each matrix whole; set parallel.data=ddp and parallel.tensor=1")
    if tensor == 1:
        return found
    for what, count in (
        ("heads", model.heads),
        ("kv_heads", model.key_heads),
        *([] if model.experts else [("feed_forward", model.inner_width)]),
    ):
        if count % tensor:
            found.append(f"model.{what} is {count}, which does not divide by parallel.tensor {tensor}; set a divisor of {count}")
    if model.experts is not None:
        found.append("experts are not split by parallel.tensor; set parallel.tensor=1, parallel.data=fsdp shares them out")
    if model.qk_norm == "width":
        found.append("model.qk_norm is width, a norm over all heads, which parallel.tensor splits; set parallel.tensor=1")
    if parallel.data == "ddp" and ranks > 1:
        found.append(f"parallel.data is ddp, which goes with parallel.tensor=1; set parallel.data=fsdp for {ranks} x {tensor}")
    return found


@dataclass(frozen=True)
class World:
    """This process among all of a run; one alone by default."""

    rank: int = 0
    """Of this process, from 0."""
    size: int = 1
    """Processes of the run."""
    local_rank: int = 0
    """Among the processes of its machine, from 0."""
    tensor_ranks: int = 1
    """Processes that share the matrices of one model, and a data rank."""
    mesh: DeviceMesh | None = field(default=None, compare=False, repr=False)
    """Of shape (data_ranks, tensor_ranks), dimensions `DATA` and `TENSOR`; None where a process is alone."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def data_rank(self) -> int:
        """Whose windows this process reads, from 0."""
        return self.rank // self.tensor_ranks

    @property
    def data_ranks(self) -> int:
        """Processes that read different windows."""
        return self.size // self.tensor_ranks

    @property
    def tensor_rank(self) -> int:
        """Which share of the matrices this process has, from 0."""
        return self.rank % self.tensor_ranks

    def group(self, dimension: str) -> dist.ProcessGroup:
        """The processes along a dimension of the mesh, of which this is one."""
        if self.mesh is None:
            raise RuntimeError("a process alone is in no group")
        return self.mesh.get_group(dimension)

    def sum(self, values: Tensor, dimension: str = DATA) -> Tensor:
        """Add up what the processes along a dimension of the mesh have, in place; all get the same."""
        if self.mesh is not None and self.mesh[dimension].size() > 1:
            dist.all_reduce(values, group=self.group(dimension))
        return values

    def of_the_first(self, values: Tensor) -> Tensor:
        """Give all processes what the first one has, in place."""
        if not self.alone:
            dist.broadcast(values, src=0)
        return values

    def dealt(self, work: Iterable[T]) -> Iterator[tuple[T, bool]]:
        """Deal out pieces of work to the data ranks by turns. All get as many: in some forms they can only compute together.

        Args:
            work: the same on all processes.

        Yields:
            A piece, and whether it is this data rank's; one that is not is somebody else's, and does not count.
        """
        turn: list[T] = []
        for piece in work:
            turn.append(piece)
            if len(turn) == self.data_ranks:
                yield turn[self.data_rank], True
                turn.clear()
        if turn:
            yield turn[min(self.data_rank, len(turn) - 1)], self.data_rank < len(turn)

    def agree(self, attempt: Callable[[], T]) -> T:
        """Do what may fail, and go on only where it failed on no process; no collective may be called in it.

        Returns:
            What the attempt returned here.

        Raises:
            Exception: what the attempt raised here, on the first process that failed.
            ConfigError: on the first of all processes, when another failed.
            ToldElsewhere: on the others.
        """
        if self.alone:
            return attempt()
        failure = None
        try:
            result = attempt()
        except Exception as error:
            failure = error
        said: list[str | None] = [None] * self.size
        dist.all_gather_object(said, None if failure is None else str(failure) or type(failure).__name__)
        failed = next((rank for rank, one in enumerate(said) if one is not None), None)
        if failed is None:
            return result
        if failure is not None and (self.first or not isinstance(failure, ValueError | OSError)):
            raise failure
        if self.first:
            raise ConfigError(f"process {failed} of {self.size}: {said[failed]}")
        raise ToldElsewhere

    def arranged(self, settings: TrainSettings, device: torch.device) -> World:
        """The same processes in the mesh that the settings ask for; all of them must call it.

        Raises:
            ConfigError: the run cannot be spread over them; see `misfits`.
            ToldElsewhere: the same, on all processes but the first.
        """
        if found := misfits(settings, self.size):
            if not self.first:
                raise ToldElsewhere
            raise ConfigError("\n".join(f"{settings.name}: {one}" for one in found))
        if self.alone:
            return self
        tensor = settings.parallel.tensor
        mesh = init_device_mesh(device.type, (self.size // tensor, tensor), mesh_dim_names=(DATA, TENSOR))
        return replace(self, tensor_ranks=tensor, mesh=mesh)


def wait_for_the_first() -> None:
    """Stay until the first process is gone: launchers stop all processes as soon as one ends, and it must have spoken."""
    if dist.is_initialized():
        with suppress(RuntimeError):  # its end breaks the connection
            dist.barrier()


@contextmanager
def joined(launch: Launch, device: torch.device, settings: ParallelSettings) -> Iterator[World]:
    """Meet the other processes, and part when the block ends; a process alone meets nobody.

    Args:
        launch: what the launcher says.
        device: this process's own.
        settings: how long to wait.

    Raises:
        ConfigError: they did not meet.
    """
    if launch.size == 1:
        yield World()
        return
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(
            # gloo for what is said between the processes, nccl for tensors on GPUs
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            init_method=launch.method,
            rank=launch.rank,
            world_size=launch.size,
            timeout=timedelta(seconds=settings.timeout_seconds),
        )
    except RuntimeError as error:
        raise _alone_at_the_meeting(launch, error) from error
    try:
        yield World(launch.rank, launch.size, launch.local_rank)
    except BaseException as error:
        # the end of this process lets the others know, and it has to speak before it; on GPUs, parting would wait for the others'
        # share of a sum that they may never send
        if not on_gpu or isinstance(error, ValueError | OSError):
            atexit.register(_part)
        if (lost := _lost(error, settings)) is None:
            raise
        if launch.rank:
            raise ToldElsewhere from error
        raise OthersGone(f"{lost}; the same command goes on from the last checkpoint") from error
    _part()


def _alone_at_the_meeting(launch: Launch, error: RuntimeError) -> ConfigError:
    """Why the processes did not find each other; each says it, but for those that only see the first one go."""
    said = str(error).splitlines()[0]
    if launch.rank and "closed" in said:
        return ToldElsewhere()
    where = launch.method.removeprefix("tcp://")
    if launch.method == Launch.method:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    return ConfigError(
        f"process {launch.rank} of {launch.size} did not meet the others at {where}: {said}\n"
        "start all of them at once; MASTER_ADDR and MASTER_PORT say where the first one is, at a port that is free"
    )


def _lost(error: BaseException, settings: ParallelSettings) -> str | None:
    """What became of another process, by gloo's words; None where an error is of something else."""
    if isinstance(error, RuntimeError):
        if re.search("Connection (closed|reset) by peer|Broken pipe", str(error)):
            return "another process ended, and its own output says why"
        if "Timed out waiting" in str(error):
            return f"another process did not answer for {settings.timeout_seconds} s (parallel.timeout_seconds)"
    return None


def _part() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
    # a model's hooks hold its groups in circles; what is left of them when the interpreter ends may abort the process
    gc.collect()


def leave(ending: BaseException) -> None:
    """End this process at once with the status of `ending`, if it is one of several; otherwise do nothing.

    For programs to call last. A thread of gloo's may be letting go of a tensor, for which it needs the interpreter; where it
    finds it winding up, it ends the process with SIGABRT and the status is lost (seen with torch 2.13). Groups outlive
    `destroy_process_group` in torch's caches, so that these threads cannot be waited for.
    """
    with suppress(ConfigError):
        if launched().size == 1:
            return
    if isinstance(ending, SystemExit):
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    else:
        sys.excepthook(type(ending), ending, ending.__traceback__)
        status = 1
    with suppress(OSError, ValueError):  # nobody reads any more
        sys.stdout.flush()
    os._exit(status)


def own_device(name: str, launch: Launch) -> torch.device:
    """Where a process computes; of several on a machine, each has a GPU of its own.

    Raises:
        ConfigError: there is no such GPU, or not one for each.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    device, count = torch.device("cuda" if name == "auto" else name), torch.cuda.device_count()
    if launch.size == 1:
        if (device.index or 0) >= count:
            raise ConfigError(f"device is {name}; there are {count} GPUs here. Set device=auto or device=cpu")
        return device
    if device.index is not None:
        raise ConfigError(f"device is {name}, and each of {launch.size} processes needs a GPU of its own; set device=cuda")
    # srun may show each process its own GPU alone
    index = 0 if count == 1 and launch.method != Launch.method else launch.local_rank
    if index >= count:
        raise ConfigError(
            f"device is {name}; there are {count} GPUs here, for {index + 1} processes or more. Start fewer of them"
        )
    return torch.device("cuda", index)
