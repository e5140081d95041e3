"""One command at a time on a run folder."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.storage import Storage

NAME = "lock.json"
BEAT_SECONDS = 20.0
DEAD_AFTER_SECONDS = 120.0


class RunLock:
    """Held while a command works on a run folder.

    On a local disk the kernel holds it (`flock`), so it goes with the process, however that ends. Elsewhere an object
    with a beating time stands for it; one that has not beaten for two minutes is dead.
    """

    def __init__(self, folder: Storage) -> None:
        """Guard `folder`, which exists."""
        self._folder = folder
        self._file: Any = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._folder.local:
            self._lock_file()
        else:
            self._lock_object()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._file is not None:
            os.unlink(self._folder.path(NAME))
            self._file.close()
        else:
            if self._thread is not None:
                self._thread.join(timeout=5)
            self._folder.delete(NAME)

    def _facts(self) -> dict[str, Any]:
        return {"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}

    def _refuse(self, facts: dict[str, Any]) -> UserError:
        return UserError(
            f"{self._folder.url}: another command works on this run (process {facts.get('pid', '?')} on {facts.get('host', '?')}); "
            "wait for it, stop it, or choose another --output"
        )

    def _lock_file(self) -> None:
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
                raise self._refuse(json.loads(content) if content.startswith("{") else {}) from None
            # the holder before us may have removed the name between our opening and locking it
            if os.path.exists(path) and os.fstat(file.fileno()).st_ino == os.stat(path).st_ino:
                break
            file.close()
        file.truncate(0)
        file.write(json.dumps(self._facts()))
        file.flush()
        self._file = file

    def _lock_object(self) -> None:
        if self._folder.exists(NAME):
            facts = self._folder.get_json(NAME)
            if time.time() - facts.get("time", 0) < DEAD_AFTER_SECONDS:
                raise self._refuse(facts)
        self._folder.put_json(NAME, self._facts())

        def beat() -> None:
            while not self._stop.wait(BEAT_SECONDS):
                self._folder.put_json(NAME, self._facts())

        self._thread = threading.Thread(target=beat, name="gristmill-lock", daemon=True)
        self._thread.start()
