"""The parent's side of extraction in a child process: pages go in, answers come out, and a page that kills the child is known."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import IO, Literal, NamedTuple

from gristmill.stages import extraction_worker as worker
from gristmill.stages.stage import StageUnavailable

PAGES_PER_CHILD = 2000
"""After so many pages a new child is started, since what parsers do not give back adds up."""

PIPE_BYTES = 1 << 20
"""How far the parent writes ahead; what Linux allows without privileges."""

START_SECONDS = 300.0
"""Longest wait for a child to import its engine, on a machine that may be very busy."""


class Page(NamedTuple):
    """A page to extract."""

    row: int
    html: bytes
    """In UTF-8."""


@dataclass(frozen=True)
class Answer:
    """What became of a page."""

    row: int
    outcome: Literal["text", "no_text", "parser_error", "parser_crashed", "too_much_time"]
    text: str = ""
    """The text, or a word on what went wrong."""


class ChildDied(Exception):
    """The child ended where an answer was due."""

    def __init__(self, outcome: Literal["parser_crashed", "too_much_time"], detail: str) -> None:
        super().__init__(detail)
        self.outcome: Literal["parser_crashed", "too_much_time"] = outcome
        self.detail = detail


class ExtractionProcess:
    """A child process that extracts pages, started when needed and again when it dies."""

    def __init__(self, engine: str, options: dict[str, object], cpu_seconds: float, memory_bytes: int) -> None:
        """Describe the child; nothing is started yet.

        Args:
            engine: as in `extraction_worker.load_engine`.
            options: of the engine.
            cpu_seconds: most processor time a page may take.
            memory_bytes: most address space the child may take.
        """
        self._engine = engine
        self._job = {"engine": engine, "options": options, "cpu_seconds": cpu_seconds, "memory_bytes": memory_bytes}
        # A page that sleeps uses no processor time; this only ends what would else wait for ever.
        self._silent_seconds = 10 * cpu_seconds + 60
        self._child: subprocess.Popen[bytes] | None = None
        self._buffer = bytearray()
        self._served = 0
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def start(self) -> None:
        """See to it that a child runs, and that its engine works.

        Raises:
            StageUnavailable: it cannot be started, or its engine cannot be loaded or fails on a plain page.
        """
        if self.pid is not None:
            return
        self.close()
        with tempfile.TemporaryFile() as errors:
            command = [sys.executable, "-P", "-W", "ignore", "-m", worker.__name__]
            try:
                child = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0, env=_environment()
                )
            except OSError as error:
                raise StageUnavailable(f"extraction cannot start a process: {error}") from error
            self._child, self._served = child, 0
            for pipe in (child.stdin, child.stdout):
                with contextlib.suppress(OSError, AttributeError):  # smaller pipes are slower, not wrong
                    fcntl.fcntl(_open(pipe), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            try:
                with contextlib.suppress(BrokenPipeError):  # the answer, or its lack, tells why
                    _send(child, json.dumps({**self._job, "parent": os.getpid()}).encode())
                kind, payload = self._receive(START_SECONDS)
            except ChildDied as death:
                self.close()
                errors.seek(0, os.SEEK_END)
                errors.seek(max(0, errors.tell() - 2000))
                said = errors.read().decode("utf-8", "replace").strip()
                reason = f"{death.detail}{': ' if said else ''}{said}"
                raise StageUnavailable(f"the extraction process ended before its first page ({reason})") from None
        if kind == worker.UNAVAILABLE:
            self.close()
            reason = payload.decode("utf-8", "replace")
            hint = "install it with: pip install " + self._engine if self._engine in worker.ENGINES else "mend that function"
            raise StageUnavailable(f"the extraction engine {self._engine} does not work here ({reason}); {hint}")

    def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        self._buffer.clear()
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                _open(pipe).close()
        child.wait()

    def extract(self, pages: Iterable[Page]) -> Iterator[Answer]:
        """Extract pages.

        A page at which the child dies is tried once more, alone in a new child; if that dies too, it is the page's fault.

        Args:
            pages: taken in another thread, a little ahead of the answers.

        Yields:
            For each page its answer, in their order.

        Raises:
            StageUnavailable: a child cannot be started.
        """
        source = iter(pages)
        again: deque[Page] = deque()

        with self._lock:
            while True:
                if self._served >= PAGES_PER_CHILD:
                    self.close()
                self.start()
                room = PAGES_PER_CHILD - self._served
                upcoming = iter(lambda: again.popleft() if again else next(source, None), None)
                answered = 0
                try:
                    for answer in self._stream(islice(upcoming, room), again):
                        answered += 1
                        yield answer
                except ChildDied:
                    yield self._alone(again.popleft())
                else:
                    if answered < room:
                        return

    def _stream(self, pages: Iterator[Page], unanswered: deque[Page]) -> Iterator[Answer]:
        """Answers to pages while a thread writes ahead.

        Raises:
            ChildDied: `unanswered` begins with the page at which it died, followed by what else was taken from `pages`.
        """
        child = self._running()
        sent: SimpleQueue[Page | BaseException | None] = SimpleQueue()
        stop = threading.Event()
        feeder = threading.Thread(target=_feed, args=(child, pages, sent, stop), daemon=True)
        feeder.start()
        page: Page | BaseException | None = None
        done = False
        try:
            while (page := sent.get()) is not None:
                if isinstance(page, BaseException):
                    raise page
                yield self._answer(page.row)
            done = True
        except ChildDied:
            child.kill()
            feeder.join()
            behind = [page, *iter(sent.get, None)]
            unanswered.extendleft(page for page in reversed(behind) if isinstance(page, Page))
            raise
        finally:
            stop.set()
            if not done:  # answers may still be in the pipe: this child is of no more use
                child.kill()
            feeder.join()  # before its pipe is closed
            if not done:
                self.close()

    def _alone(self, page: Page) -> Answer:
        """The answer to a suspect page from a new child that does nothing else meanwhile."""
        self.close()
        self.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                _send(self._running(), page.html)
            return self._answer(page.row)
        except ChildDied as death:
            self.close()
            return Answer(page.row, death.outcome, death.detail)

    def _answer(self, row: int) -> Answer:
        kind, payload = self._receive(self._silent_seconds)
        self._served += 1
        text = payload.decode("utf-8")
        if kind == worker.FAILED:
            return Answer(row, "parser_error", text)
        return Answer(row, "text" if kind == worker.TEXT else "no_text", text)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise ChildDied("parser_crashed", "the process is gone")
        return self._child

    def _receive(self, seconds: float) -> tuple[int, bytes]:
        """The next frame.

        Raises:
            ChildDied: the child has ended, or has been silent for `seconds`.
        """
        deadline = time.monotonic() + seconds
        kind, length = worker.HEADER.unpack(self._read(worker.HEADER.size, deadline))
        return kind, self._read(length, deadline)

    def _read(self, n: int, deadline: float) -> bytes:
        child = self._running()
        handle = _open(child.stdout).fileno()
        while len(self._buffer) < n:
            if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                child.kill()
                raise ChildDied("too_much_time", "no answer")
            piece = os.read(handle, 1 << 16)
            if not piece:
                raise _death(child.wait())
            self._buffer += piece
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data


def _feed(
    child: subprocess.Popen[bytes], pages: Iterator[Page], sent: SimpleQueue[Page | BaseException | None], stop: threading.Event
) -> None:
    """Write pages into the child until they, or it, have come to an end; None marks the end."""
    try:
        for page in pages:
            sent.put(page)
            try:
                _send(child, page.html)
            except BrokenPipeError:
                return  # whoever waits for the answer finds out why
            if stop.is_set():
                return
    except BaseException as error:  # of the iterator: it belongs to whoever takes the answers
        sent.put(error)
    finally:
        sent.put(None)


def _send(child: subprocess.Popen[bytes], payload: bytes) -> None:
    """Write a frame into the child.

    Raises:
        BrokenPipeError: it has ended.
    """
    pipe = _open(child.stdin)
    for piece in (worker.HEADER.pack(worker.PAGE, len(payload)), payload):
        view = memoryview(piece)
        while view:
            view = view[pipe.write(view) :]


def _death(status: int) -> ChildDied:
    """What the exit status of a child means."""
    if status == -signal.SIGPROF:
        return ChildDied("too_much_time", "")
    if status == worker.OUT_OF_MEMORY:
        return ChildDied("parser_crashed", "MemoryError")
    if status < 0:
        return ChildDied("parser_crashed", signal.Signals(-status).name)
    return ChildDied("parser_crashed", f"exit status {status}")


def _environment() -> dict[str, str]:
    """The parent's, with its module path, and with hashes of strings that are the same in every process."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the child was started without pipes")
    return pipe
