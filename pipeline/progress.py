"""What a run is doing: bars on a terminal, a log line now and then elsewhere; on stderr either way."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from gristmill.pipeline import display

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_LOG_EVERY_SECONDS = 5.0


class Progress:
    """Shows the steps of a run while it is entered. Used from one thread.

    Example:
        >>> with Progress(quiet=True) as progress:
        ...     step = progress.step("extract", total=2)
        ...     step.advance(documents=500)
        ...     step.reuse()
        ...     step.done()
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        log_every_seconds: float = _LOG_EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show nothing where `quiet`; `stream` is stderr unless given, `clock` counts seconds."""
        self.quiet = quiet
        self.stream = stream
        self.log_every_seconds = log_every_seconds
        self.clock = clock
        self._bars: RichProgress | None = None
        self._log: Any = None
        self._open: list[Step] = []
        self.told: list[str] = []
        """What `tell` has said."""

    def __enter__(self) -> Self:
        stream = self.stream or sys.stderr
        if self.quiet:
            return self
        if stream.isatty():
            self._bars = _bars(stream)
            self._bars.start()
        else:
            self._log = _logger(stream)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for step in list(self._open):
            step.stop()
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        self._log = None

    def tell(self, text: str) -> None:
        """Say something that is not to wait for the end of the run, once."""
        if text in self.told or (self._bars is None and self._log is None):
            return
        self.told.append(text)
        if self._bars is not None:
            self._bars.console.print(text, markup=False, soft_wrap=True)
        else:
            self._log.warning(text)

    def step(self, name: str, total: int | None = None, unit: str = "partitions") -> Step:
        """Begin a step.

        Args:
            name: what it does, in a word or two.
            total: tasks it has, None where not known yet.
            unit: what a task is about.
        """
        step = Step(self, name, total, unit)
        self._open.append(step)
        return step


class Step:
    """A step that is being carried out; `Progress.step` makes it."""

    def __init__(self, progress: Progress, name: str, total: int | None, unit: str) -> None:
        self.name = name
        self.unit = unit
        self.total = total
        self.tasks = 0
        """Tasks that are finished, reused ones among them."""
        self.reused = 0
        self.documents = 0
        """Documents worked on by this run."""
        self._progress = progress
        self._began = self._logged = progress.clock()
        self._bar: TaskID | None = None
        self._ended = False
        if progress._bars is not None:
            self._bar = progress._bars.add_task(name, total=total, told="")
            self._show()

    def expect(self, total: int) -> None:
        """Say how many tasks the step has, when that is known only later."""
        self.total = total
        self._show()

    def reuse(self, tasks: int = 1) -> None:
        """Count tasks that an earlier run finished."""
        self.tasks += tasks
        self.reused += tasks
        self._show()

    def advance(self, tasks: int = 1, documents: int = 0) -> None:
        """Count tasks that have just finished, and the documents they worked on."""
        self.tasks += tasks
        self.documents += documents
        self._show()

    def done(self) -> None:
        """End the step."""
        self._end("done")

    def stop(self) -> None:
        """End the step before it is finished, on an error or Ctrl-C."""
        self._end("stopped")

    @property
    def seconds(self) -> float:
        """Since the step began."""
        return self._progress.clock() - self._began

    @property
    def documents_per_second(self) -> float | None:
        """Over the whole step; None before the first documents."""
        seconds = self.seconds
        return self.documents / seconds if self.documents and seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """At the pace of the tasks of this run; reused ones took no time, so they do not count. None where not known."""
        worked = self.tasks - self.reused
        if self.total is None or not worked:
            return None
        return (self.total - self.tasks) * self.seconds / worked

    def _end(self, how: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._progress._open.remove(self)
        bars, log = self._progress._bars, self._progress._log
        if bars is not None and self._bar is not None:
            bars.update(self._bar, completed=self.tasks, total=self.tasks if how == "done" else self.total, told=self._told(how))
            bars.stop_task(self._bar)
        elif log is not None:
            log.info(f"{self.name} {how}", **self._numbers(), seconds=round(self.seconds, 1))

    def _show(self) -> None:
        bars, log, now = self._progress._bars, self._progress._log, self._progress.clock()
        if bars is not None and self._bar is not None:
            bars.update(self._bar, completed=self.tasks, total=self.total, told=self._told(None))
        elif log is not None and now - self._logged >= self._progress.log_every_seconds:
            self._logged = now
            left = self.seconds_left
            log.info(self.name, **self._numbers(), **({} if left is None else {"left": _duration(left)}))

    def _numbers(self) -> dict[str, Any]:
        numbers: dict[str, Any] = {self.unit: f"{self.tasks}/{'?' if self.total is None else self.total}"}
        if self.reused:
            numbers["reused"] = self.reused
        if self.documents:
            numbers["documents"] = self.documents
        if (pace := self.documents_per_second) is not None:
            numbers["documents_per_second"] = round(pace, 1)
        return numbers

    def _told(self, ended: str | None) -> str:
        """What stands behind the bar."""
        told = [f"{display.count(self.tasks)}/{'?' if self.total is None else display.count(self.total)} {self.unit}"]
        if self.reused:
            told.append(f"{display.count(self.reused)} reused")
        if self.documents:
            told.append(f"{display.count(self.documents)} documents")
        if (pace := self.documents_per_second) is not None:
            told.append(f"{pace:,.0f}/s" if pace >= 10 else f"{pace:,.1f}/s")
        if ended is not None:
            told.append(f"{ended} in {_duration(self.seconds)}")
        elif (left := self.seconds_left) is not None:
            told.append(f"{_duration(left)} left")
        return ", ".join(told)


def _duration(seconds: float) -> str:
    """E.g. `42s`, `3m05s`, `2h07m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def _bars(stream: TextIO) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}", markup=False),
        console=Console(file=stream, highlight=False, emoji=False),
        # stdout holds results only, and may be a pipe
        redirect_stdout=False,
    )


def _logger(stream: TextIO) -> Any:
    import structlog

    # its own configuration: a library does not change the one of the program that uses it
    return structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0),
        ],
        wrapper_class=structlog.BoundLogger,
    )
