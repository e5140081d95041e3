"""Where tasks run: a Dask cluster, on this machine or any other, or this process."""

from __future__ import annotations

import errno
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Protocol
from uuid import uuid4

from gristmill.pipeline.cluster_start import (
    CONNECT_SECONDS,
    SETTINGS,
    from_file,
    interrupts_are_ours,
    on_this_machine,
    quiet,
    short,
    terminated_like_interrupted,
)
from gristmill.pipeline.errors import TaskFailed, UserError
from gristmill.pipeline.steps import Manifest, Task, carry_out
from gristmill.pipeline.storage import Storage
from gristmill.stages.stage import StageUnavailable

ATTEMPTS_ALONE = 2
"""How often a task that lost its worker again and again is tried with nothing beside it."""
FAILURES_TOLD = 3
"""After so many tasks that kill their worker the rest is not tried any more."""
WORKER_SECONDS = 60
"""Longest wait for a running scheduler to have a worker."""
QUIET_SECONDS = 30.0
"""After so long without a worker the user is told what is being waited for."""
MENDABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG})
MENDABLE_ERRORS = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
"""What the system refuses and the user can mend; it needs no word on the partition at which it was noticed."""


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
                manifest = carry_out(work, task)
            except Exception as error:
                raise _explained(error, task.about) from error
            yield task, manifest

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
            UserError: the scheduler cannot be reached or has no workers, a worker has other code, or the cluster file is
                wrong.
        """
        import dask
        import distributed  # noqa: F401 - its defaults must be there before ours, or they go when ours are taken back

        self._cluster: Any = None
        self._client: Any = None
        self._named = f"--scheduler {scheduler}" if scheduler else f"--cluster {cluster_file}" if cluster_file else ""
        self._seen: set[str] = set()
        self._restore = terminated_like_interrupted()
        quiet()
        try:
            # only while things are set up: the configuration is also that of whoever calls us as a library
            with dask.config.set(SETTINGS), interrupts_are_ours(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Port .* is already in use")
                self._connect(workers, scheduler, cluster_file)
            quiet()  # again: starting a cluster sets levels of its own
            self._await_workers(patient=bool(cluster_file))
            self._prepare()
            self.workers = self._threads()
        except BaseException:
            self.close()
            raise

    def _connect(self, workers: int | None, scheduler: str | None, cluster_file: str | None) -> None:
        import distributed

        client: Any = distributed.Client  # typed only in part
        if scheduler is None:
            self._cluster = from_file(cluster_file) if cluster_file else on_this_machine(workers)
            self._client = client(self._cluster, set_as_default=False)
            return
        try:
            self._client = client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"--scheduler {scheduler}: no Dask scheduler answers there ({short(error)}); give the address that "
                "`dask scheduler` shows, e.g. tcp://host:8786"
            ) from error

    def _await_workers(self, patient: bool) -> None:
        """Wait for the first worker; that of a batch system may come in an hour."""
        started, told = time.monotonic(), False
        while True:
            try:
                self._client.wait_for_workers(1, timeout=1)
                return
            except TimeoutError:
                waited = time.monotonic() - started
                if waited > WORKER_SECONDS and not patient:
                    raise UserError(
                        f"{self._named or 'the local cluster'}: no worker within {WORKER_SECONDS} s; start some, e.g. "
                        "`dask worker ADDRESS --nworkers auto --nthreads 1`"
                    ) from None
                if waited > QUIET_SECONDS and not told:
                    told = True
                    _tell(f"{self._named or 'the local cluster'}: waiting for the first worker")

    def _prepare(self) -> None:
        """Make workers ready, also those that come later."""
        from gristmill.pipeline.worker_preload import Preparation, WorkerRefused, code_of_package

        own = self._named == ""
        try:
            self._client.register_plugin(Preparation(None if own else code_of_package()))
        except WorkerRefused as error:
            raise UserError(f"{self._named}: {error}") from None
        except ImportError as error:
            raise UserError(
                f"{self._named}: a worker cannot load this package ({error}); install the same environment on the scheduler "
                "and on all workers"
            ) from error

    def _threads(self) -> int:
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function on one worker and wait for it."""
        from distributed import KilledWorker

        try:
            return self._client.submit(function, *arguments, pure=False).result()
        except KilledWorker as error:
            raise TaskFailed(f"{function.__name__}: the worker died each time") from error

    def carry_out(self, work: Storage, tasks: Sequence[Task]) -> Iterator[tuple[Task, Manifest]]:
        """Run tasks, at most two a worker in flight; yields each as it ends, in any order.

        Raises:
            TaskFailed: a task failed, or its worker died each time; those that ended before were yielded.
        """
        self._check_folder(work)
        waiting = iter(tasks)
        suspects: list[Task] = []
        in_flight: dict[Any, Task] = {}
        done: SimpleQueue[Any] = SimpleQueue()

        def submit_next(number: int) -> None:
            for task in islice(waiting, number):
                future = self._submit(work, task)
                in_flight[future] = task
                future.add_done_callback(done.put)

        try:
            submit_next(2 * self.workers + 1)
            while in_flight:
                future = self._next(done)
                task = in_flight.pop(future)
                manifest = self._result(future, task)
                submit_next(1)
                if manifest is None:
                    suspects.append(task)
                else:
                    yield task, manifest
            yield from self._alone(work, suspects)
        finally:
            if in_flight:
                with suppress(Exception):
                    self._client.cancel(list(in_flight), force=True)

    def _submit(self, work: Storage, task: Task) -> Any:
        return self._client.submit(
            carry_out, work, task, key=f"{task.function.__name__}-{task.key}-{uuid4().hex[:6]}", pure=False
        )

    def _next(self, done: SimpleQueue[Any]) -> Any:
        """The next future that is done; where all workers have gone, the user is told that new ones are waited for."""
        told = False
        while True:
            try:
                return done.get(timeout=QUIET_SECONDS)
            except Empty:
                if not told and not self._client.nthreads():
                    told = True
                    _tell(f"{self._named or 'the local cluster'}: all workers are gone; waiting for new ones")

    def _result(self, future: Any, task: Task) -> Manifest | None:
        """Manifest of a finished future; None when its workers died under it."""
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        try:
            manifest: Manifest = future.result()
            return manifest
        except KilledWorker:
            return None
        except CancelledError:
            raise TaskFailed(
                f"{task.about}: the connection to the Dask scheduler was lost; give the same command again to go on from what "
                "is finished"
            ) from None
        except Exception as error:
            raise _explained(error, task.about) from error

    def _alone(self, work: Storage, suspects: list[Task]) -> Iterator[tuple[Task, Manifest]]:
        """Run suspects, each with nothing beside it: Dask blames whatever ran on a worker that died, innocent tasks too."""
        failed: list[str] = []
        for task in suspects:
            manifest = None
            for _ in range(ATTEMPTS_ALONE):
                manifest = self._result(self._submit(work, task), task)
                if manifest is not None:
                    yield task, manifest
                    break
            if manifest is None:
                failed.append(task.about)
            if len(failed) == FAILURES_TOLD:
                break
        if failed:
            raise TaskFailed(
                f"{', '.join(failed)}: the worker died each time, also with nothing beside it; most likely this needs more "
                "memory than a worker has: make partition_bytes smaller, or give fewer workers"
            )

    def _check_folder(self, work: Storage) -> None:
        """Make sure, once, that workers elsewhere see the folder they are to write to.

        Raises:
            UserError: some do not.
        """
        from gristmill.pipeline.worker_preload import sees

        if not self._named or not work.local or work.url in self._seen:
            return
        name = f"seen-{uuid4().hex[:8]}"
        work.put(name, b"")
        try:
            hosts = self._client.run(sees, work.path(name))
        finally:
            work.delete(name)
        if blind := sorted({host for host in hosts.values() if host is not None}):
            raise UserError(
                f"{self._named}: workers on {', '.join(blind[:5])} do not see {work.path()}; give --output (and --work) a folder "
                "that all machines share, or a URL such as s3://bucket/folder"
            )
        self._seen.add(work.url)

    def close(self) -> None:
        """Disconnect, and stop the workers that were started for this run."""
        from gristmill.pipeline.worker_preload import Preparation

        if self._client is not None:
            with suppress(Exception):
                if self._cluster is None:
                    self._client.unregister_worker_plugin(Preparation.name)
            with suppress(Exception):
                self._client.close(timeout=5)
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(timeout=10)
        self._restore()


def _explained(error: Exception, about: str) -> Exception:
    """An error of a task as the driver raises it: as it is where the user can mend it, else with what was worked on."""
    if isinstance(error, (UserError, StageUnavailable, *MENDABLE_ERRORS)):
        return error
    if isinstance(error, OSError) and error.errno in MENDABLE:
        return error
    return TaskFailed(f"{about}: {type(error).__name__}: {error}")


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
