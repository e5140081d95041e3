"""One command at a time on a run folder."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.storage import Storage

NAME = "lock.json"
BEAT_SECONDS = 10.0
DEAD_AFTER_SECONDS = 60.0
NO_FLOCK = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""What a mounted file system without locks answers."""


class RunLock:
    """Held while a command works on a run folder.

    On a local disk the kernel holds it (`flock`), so it goes with the process, however that ends. Elsewhere an object
    with a beating time stands for it; it is dead when its process is known to be, or when it has not beaten for a minute.
    """

    def __init__(
        self, folder: Storage, beat_seconds: float = BEAT_SECONDS, dead_after_seconds: float = DEAD_AFTER_SECONDS
    ) -> None:
        """Guard `folder`, which exists.

        Args:
            folder: of the run.
            beat_seconds: how often a lock object is written again.
            dead_after_seconds: how old a lock object must be to count for nothing.
        """
        self._folder = folder
        self._beat_seconds, self._dead_after_seconds = beat_seconds, dead_after_seconds
        self._file: Any = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._facts = {"host": socket.gethostname(), "pid": os.getpid(), "system": _system(), "token": uuid4().hex}

    def __enter__(self) -> Self:
        if not (self._folder.local and self._lock_file()):
            self._lock_object()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            with suppress(FileNotFoundError):  # somebody removed the whole folder
                os.unlink(self._folder.path(NAME))
            self._file.close()
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        with suppress(Exception):  # one that cannot be removed is dead in a minute
            if self._is_ours(self._read()):
                self._folder.delete(NAME)

    def _refuse(self, facts: dict[str, Any]) -> UserError:
        return UserError(
            f"{self._folder.url}: another command works on this run (process {facts.get('pid', '?')} on "
            f"{facts.get('host', '?')}); wait for it, stop it, or choose another --output"
        )

    def _lock_file(self) -> bool:
        """Take the kernel's lock; False where the file system has none."""
        import fcntl

        path = self._folder.path(NAME)
        while True:
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - held open as long as the lock
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                content = file.read()
                file.close()
                raise self._refuse(_parsed(content)) from None
            except OSError as error:
                file.close()
                if error.errno not in NO_FLOCK:
                    raise
                return False
            # the holder before us may have removed the name between our opening and locking it
            if os.path.exists(path) and os.fstat(file.fileno()).st_ino == os.stat(path).st_ino:
                break
            file.close()
        file.truncate(0)
        file.write(json.dumps(self._facts))
        file.flush()
        self._file = file
        return True

    def _lock_object(self) -> None:
        if not self._folder.put_new(NAME, self._beaten()):
            facts = self._read()
            if not self._is_dead(facts):
                raise self._refuse(facts)
            self._folder.delete(NAME)
            if not self._folder.put_new(NAME, self._beaten()):
                raise self._refuse(self._read())
        self._thread = threading.Thread(target=self._beat, name="gristmill-lock", daemon=True)
        self._thread.start()

    def _is_dead(self, facts: dict[str, Any]) -> bool:
        if not facts or time.time() - float(facts.get("time", 0)) > self._dead_after_seconds:
            # a machine whose clock is wrong beats nevertheless
            return self._stands_still(facts)
        return facts.get("system") == _system() is not None and not _alive(int(facts["pid"]))

    def _stands_still(self, facts: dict[str, Any]) -> bool:
        time.sleep(2 * self._beat_seconds)
        return self._read() == facts

    def _is_ours(self, facts: dict[str, Any]) -> bool:
        return facts.get("token") == self._facts["token"]

    def _read(self) -> dict[str, Any]:
        try:
            with self._folder.open(NAME) as file:
                return _parsed(file.read())
        except FileNotFoundError:
            return {}

    def _beaten(self) -> bytes:
        return json.dumps(self._facts | {"time": time.time()}).encode()

    def _beat(self) -> None:
        while not self._stop.wait(self._beat_seconds):
            with suppress(Exception):  # a network that is away for a while must not end the beating
                if self._is_ours(self._read()) and not self._stop.is_set():
                    self._folder.put(NAME, self._beaten())


def _parsed(content: str | bytes) -> dict[str, Any]:
    try:
        facts = json.loads(content)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _system() -> str | None:
    """What process numbers count in: this start of this machine, and its namespace (a container has its own)."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
