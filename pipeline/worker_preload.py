"""What every Dask worker does before its first task of a run, whoever started it."""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from importlib import import_module
from typing import Any

import psutil
from distributed import Status, Worker, WorkerPlugin

MEMORY_FRACTIONS = ("memory_spill_fraction", "memory_pause_fraction")


class WorkerRefused(Exception):
    """A worker cannot take part in this run; the message says why, and what would be right."""


@cache
def code_of_package() -> str:
    """A hash of the package's sources that a run reaches, and of the versions it stands on; as first seen by this process."""
    from gristmill.pipeline.code_hash import code_hash
    from gristmill.pipeline.identity import platform_identity

    versions = " ".join(f"{name} {version}" for name, version in sorted(platform_identity().items()))
    return f"{versions} code {code_hash('gristmill.pipeline.driver')[:16]}"


def changed_modules() -> list[str]:
    """Loaded modules whose file changed after this process began: a stage of the user's own, say, in a worker that stays."""
    began = psutil.Process().create_time()
    changed = []
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        try:
            if file is not None and os.stat(file).st_mtime > began:
                changed.append(name)
        except OSError:
            continue
    return changed


class Preparation(WorkerPlugin):
    """Makes a worker ready: kernels loaded, no pausing, and the same code as the driver's."""

    name = "gristmill-preparation"

    def __init__(self, code: str | None) -> None:
        """Prepare workers; `code` is what `code_of_package` gives in the driver, None where they run the driver's own files."""
        self.code = code
        self._fractions: dict[str, Any] = {}

    def setup(self, worker: Worker) -> None:
        """Make `worker` ready.

        Raises:
            WorkerRefused: it has other code than the driver. Finished work is named by the driver's code, so it would be
                recorded under a false name.
        """
        if self.code is not None:
            who = f"worker {worker.address} on {socket.gethostname()}"
            if (code := code_of_package()) != self.code:
                raise WorkerRefused(
                    f"{who} has other versions than this command: {code} there, {self.code} here; start it again in the same "
                    "environment"
                )
            if changed := changed_modules():
                raise WorkerRefused(
                    f"{who} may still run old code: {', '.join(changed[:3])} changed after it was started; start it again"
                )
        # now, while the driver still looks for its inputs, and not in the first task
        import_module("gristmill.pipeline.passes")
        # a paused worker can stall for good on memory that the allocator holds
        memory = worker.memory_manager
        self._fractions = {name: getattr(memory, name) for name in MEMORY_FRACTIONS}
        for name in MEMORY_FRACTIONS:
            setattr(memory, name, False)
        if worker.status == Status.paused:
            worker.status = Status.running

    def teardown(self, worker: Worker) -> None:
        """Leave a worker that others use as it was."""
        for name, fraction in self._fractions.items():
            setattr(worker.memory_manager, name, fraction)


def sees(path: str) -> str | None:
    """Whether this worker sees a file of the driver's.

    Returns:
        None where it does, else the name of its machine.
    """
    return None if os.path.exists(path) else socket.gethostname()
