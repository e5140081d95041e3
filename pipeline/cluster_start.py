"""Clusters to start, and what their processes are given: settings, quiet, and no part in Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

from gristmill.pipeline.errors import UserError

CONNECT_SECONDS = 15
SETTINGS = {
    # a paused worker can stall for good on memory that the allocator holds; one over the limit is restarted instead
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # a task that lost two workers is a suspect and runs alone next; Dask's own 3 would cost two workers more
    "distributed.scheduler.allowed-failures": 1,
    "distributed.comm.timeouts.connect": f"{CONNECT_SECONDS}s",
    "distributed.admin.tick.limit": "30s",
    # of the processes that are started for us
    "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical",
}


def short(error: BaseException) -> str:
    """What is wrong in the end: Dask wraps it in `Cluster failed to start` and `Nanny failed to start`."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def quiet() -> None:
    """Dask's own log says nothing that our messages do not say, and much that users cannot act on."""
    for name in ("distributed", "distributed.client"):  # the second has a level of its own
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def interrupts_are_ours() -> Iterator[None]:
    """Keep Ctrl-C from the threads and processes that begin meanwhile, and from all that these begin later.

    The terminal sends it to every process of the command; workers would die of it with a traceback each. Blocked signals are
    inherited by threads and child processes, also by workers that are restarted; what comes meanwhile is raised at the end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # it unblocks the signal in the thread that starts it, which would then start the first worker
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def terminated_like_interrupted() -> Callable[[], None]:
    """Let SIGTERM end the command as Ctrl-C does, where nobody else handles it; returns what undoes this."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return lambda: None

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)

    def undo() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    return undo


def on_this_machine(workers: int | None) -> Any:
    """Start workers on this machine, by default one a core.

    Raises:
        UserError: the calling script would be imported by the workers and start the run again.
    """
    import distributed

    start: Any = distributed.LocalCluster  # typed only in part
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return start(
            n_workers=workers or cores,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            memory_limit="auto",
        )
    except RuntimeError as error:
        if "freeze_support" in str(error.__cause__) or "bootstrapping" in str(error.__cause__):
            raise UserError('worker processes import the script again: call run() under if __name__ == "__main__"') from error
        raise


def from_file(path: str) -> Any:
    """Start the cluster that a file describes.

    Raises:
        UserError: the file is missing or wrong, or the cluster cannot be started.
    """
    from importlib import import_module

    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        with open(path, encoding="utf-8") as file:
            values = dict(YAML(typ="safe").load(file) or {})
    except FileNotFoundError as error:
        raise UserError(f"--cluster {path}: no such file") from error
    except (YAMLError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not readable as YAML: {error}") from error
    target, jobs, adapt = str(values.pop("cluster", "")), values.pop("jobs", None), values.pop("adapt", None)
    module, _, name = target.partition(":")
    if not module or not name:
        raise UserError(f"{path}: cluster: {target or 'missing'}; give module:Class, e.g. dask_jobqueue:SLURMCluster")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{path}: cluster: {target}: {error}; install it, or give another module:Class") from error
    cluster = None
    try:
        cluster = kind(**values)
        if adapt is not None:
            cluster.adapt(**adapt)
        elif jobs is not None:
            cluster.scale(jobs=int(jobs))
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        if cluster is not None:
            cluster.close()
        raise UserError(f"{path}: {target} cannot be started: {short(error)}") from error
    return cluster
