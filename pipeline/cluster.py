"""Where tasks run: a Dask cluster, on this machine or any other, or this process."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.steps import Manifest, Task, carry_out
from gristmill.pipeline.storage import Storage
from gristmill.stages.stage import StageUnavailable

ATTEMPTS_ALONE = 2
"""How often a task that lost its worker again and again is tried with nothing beside it."""


class TaskFailed(Exception):
    """A task failed for a reason that is neither the user's nor a document's; the message names what it worked on."""


class Cluster(Protocol):
    """What the driver needs of the place where tasks run."""

    workers: int

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function on one worker and wait for it."""

    def carry_out(self, work: Storage, tasks: Sequence[Task]) -> Iterator[tuple[Task, Manifest]]:
        """Run tasks; yields each with its manifest as it ends."""

    def close(self) -> None:
        """Stop the workers that were started for this run."""


class InProcess:
    """Tasks one after another in this process: for one stage over a small folder, and for debugging."""

    workers = 1

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function here."""
        return function(*arguments)

    def carry_out(self, work: Storage, tasks: Sequence[Task]) -> Iterator[tuple[Task, Manifest]]:
        """Run tasks here, in their order."""
        for task in tasks:
            try:
                yield task, carry_out(work, task)
            except (UserError, StageUnavailable, OSError):
                raise
            except Exception as error:
                raise TaskFailed(f"{task.about}: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Nothing was started."""


class DaskCluster:
    """Tasks on a Dask cluster, a bounded number in flight."""

    def __init__(self, *, workers: int | None = None, scheduler: str | None = None, cluster_file: str | None = None) -> None:
        """Start workers on this machine, connect to a running scheduler, or start what a cluster file describes.

        Args:
            workers: processes on this machine; default: one a core.
            scheduler: address of a running scheduler, `tcp://host:port`.
            cluster_file: YAML with `cluster: module:Class` and the arguments of that Dask cluster class.

        Raises:
            UserError: the scheduler cannot be reached, or the cluster file is wrong.
        """
        import dask
        from distributed import Client

        # a paused worker can stall for good on memory that the allocator holds; one over the limit is restarted instead
        dask.config.set(
            {
                "distributed.worker.memory.target": False,
                "distributed.worker.memory.spill": False,
                "distributed.worker.memory.pause": False,
                "distributed.worker.memory.terminate": 0.95,
                "distributed.comm.timeouts.connect": "20s",
                "distributed.admin.tick.limit": "30s",
            }
        )
        logging.getLogger("distributed").setLevel(logging.ERROR)
        self._cluster: Any = None
        if scheduler:
            try:
                self._client = Client(scheduler, timeout="20s", set_as_default=False)
            except (OSError, ValueError) as error:
                raise UserError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from error
        else:
            self._cluster = _from_file(cluster_file) if cluster_file else _local(workers)
            self._client = Client(self._cluster, set_as_default=False)
        self._client.wait_for_workers(1, timeout=120)
        self.workers = max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function on one worker and wait for it."""
        return self._client.submit(function, *arguments, pure=False).result()

    def carry_out(self, work: Storage, tasks: Sequence[Task]) -> Iterator[tuple[Task, Manifest]]:
        """Run tasks, at most two a worker in flight; yields each as it ends, in any order."""
        from distributed import as_completed

        waiting = iter(tasks)
        suspects: list[Task] = []
        in_flight: dict[Any, Task] = {}
        done = as_completed(loop=self._client.loop)
        try:
            for task in waiting:
                in_flight[self._submitted(work, task, done)] = task
                if len(in_flight) >= 2 * self.workers + 1:
                    break
            while in_flight:
                future = next(done)
                task = in_flight.pop(future)
                manifest = self._result(future, task)
                if manifest is None:
                    suspects.append(task)
                following = next(waiting, None)
                if following is not None:
                    in_flight[self._submitted(work, following, done)] = following
                if manifest is not None:
                    yield task, manifest
            for task in suspects:
                yield task, self._alone(work, task)
        finally:
            if in_flight:
                with suppress(Exception):
                    self._client.cancel(list(in_flight), force=True)

    def _submit(self, work: Storage, task: Task) -> Any:
        return self._client.submit(
            carry_out, work, task, key=f"{task.function.__name__}-{task.key}-{os.urandom(3).hex()}", pure=False
        )

    def _submitted(self, work: Storage, task: Task, done: Any) -> Any:
        future = self._submit(work, task)
        done.add(future)
        return future

    def _result(self, future: Any, task: Task) -> Manifest | None:
        """Manifest of a finished future; None when its workers died under it."""
        from distributed import KilledWorker

        try:
            manifest: Manifest = future.result()
            return manifest
        except KilledWorker:
            return None
        except (UserError, StageUnavailable):
            raise
        except OSError as error:
            raise type(error)(*error.args) from error
        except Exception as error:
            raise TaskFailed(f"{task.about}: {type(error).__name__}: {error}") from error

    def _alone(self, work: Storage, task: Task) -> Manifest:
        """Run a suspect with nothing beside it: Dask blames whatever ran on a worker that died, innocent tasks among them."""
        for _ in range(ATTEMPTS_ALONE):
            manifest = self._result(self._submit(work, task), task)
            if manifest is not None:
                return manifest
        raise TaskFailed(
            f"{task.about}: its worker died each time, also with nothing beside it; most likely it needs more memory than a worker has: "
            "make partition_bytes smaller, or give fewer workers"
        )

    def close(self) -> None:
        """Disconnect, and stop the workers that were started for this run."""
        with suppress(Exception):
            self._client.close(timeout=5)
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(timeout=10)


def _local(workers: int | None) -> Any:
    from distributed import LocalCluster

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return LocalCluster(
            n_workers=workers or cores,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.ERROR,
            memory_limit="auto",
            preload=["gristmill.pipeline.worker_preload"],
        )
    except RuntimeError as error:
        if "freeze_support" in str(error.__cause__) or "bootstrapping" in str(error.__cause__):
            raise UserError('worker processes import the script again: call run() under if __name__ == "__main__"') from error
        raise


def _from_file(path: str) -> Any:
    from importlib import import_module

    from ruamel.yaml import YAML, YAMLError

    try:
        with open(path, encoding="utf-8") as file:
            values = dict(YAML(typ="safe").load(file) or {})
    except FileNotFoundError as error:
        raise UserError(f"--cluster {path}: no such file") from error
    except (YAMLError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not readable as YAML: {error}") from error
    target, jobs = str(values.pop("cluster", "")), values.pop("jobs", None)
    module, _, name = target.partition(":")
    try:
        cluster = getattr(import_module(module), name)(**values)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{path}: cluster: {target or 'missing'}: {error}; give module:Class, e.g. dask_jobqueue:SLURMCluster"
        ) from error
    if jobs is not None:
        cluster.scale(jobs=int(jobs))
    return cluster
