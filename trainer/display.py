"""How a training is shown while it runs: a live table on a terminal, lines elsewhere. Rows are those of metrics.jsonl."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

RECENT_STEPS = 50
"""Steps of which the mean loss and the time left are."""
KEPT_LINES = 5
"""Messages that stay on the live display."""


class Display(Protocol):
    """Where rows and messages go; a context, which is left when the training ends."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def say(self, line: str) -> None:
        """Tell the user something."""

    def show(self, row: Mapping[str, Any]) -> None:
        """A step is done."""


def display_for(name: str, steps: int, *, every: int, plain: bool = False, quiet: bool = False) -> Display:
    """The display that fits: live where standard error is a terminal, unless `plain`; none at all where `quiet`.

    Args:
        name: of the training.
        steps: where it ends.
        every: steps between lines, where there are lines.
        plain: lines in any case.
        quiet: nothing is shown, as by all processes but the first.
    """
    if quiet:
        return Silence()
    if plain or not sys.stderr.isatty():
        return Lines(steps, every)
    from rich.console import Console

    return Live(name, steps, Console(stderr=True))


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Self:
        """Nothing begins."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing ends."""

    def say(self, line: str) -> None:
        """Nobody hears."""

    def show(self, row: Mapping[str, Any]) -> None:
        """Nobody sees."""


class Lines(Silence):
    """A line now and then, on standard error."""

    def __init__(self, steps: int, every: int) -> None:
        """A line each so many steps, and for the first and the last."""
        self.steps, self.every = steps, every

    def say(self, line: str) -> None:
        """A line."""
        print(line, file=sys.stderr, flush=True)

    def show(self, row: Mapping[str, Any]) -> None:
        """A line, if it is time for one, or the step has something special to tell."""
        due = row["step"] % self.every == 0 or row["step"] in (1, self.steps)
        if due or "held_out" in row or "tasks" in row or "skipped" in row:
            self.say(line_of(row, self.steps))


def line_of(row: Mapping[str, Any], steps: int) -> str:
    """A step in one line."""
    parts = [
        f"step {row['step']}/{steps}",
        f"loss {row['loss']:.4f}",
        f"rate {row['learning_rate']:.2e}",
        f"{row['tokens_per_second']:,.0f} tokens/s",
        *([f"mfu {row['mfu']:.1%}"] if "mfu" in row else []),
        f"waited {row['data_wait_ms']:.1f} ms for data",
        *([f"held out {row['held_out']['all']['loss']:.4f}"] if "held_out" in row else []),
        *(f"{name} {task['accuracy']:.3f}" for name, task in row.get("tasks", {}).items()),
        *([f"not taken: {row['skipped']}"] if "skipped" in row else []),
    ]
    return "  ".join(parts)


class Live:
    """A table that is drawn anew with each step: losses by source, what was held out, speed, memory and the time left."""

    def __init__(self, name: str, steps: int, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        """Show a training of this name and length on a console."""
        from rich.live import Live as RichLive

        self.name, self.steps, self.clock = name, steps, clock
        self.row: Mapping[str, Any] | None = None
        self.held_out: Mapping[str, Any] = {}
        self.tasks: Mapping[str, Any] = {}
        self.recent: deque[tuple[float, float]] = deque(maxlen=RECENT_STEPS + 1)
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.live = RichLive(get_renderable=self.rendered, console=console, refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self.live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Draw once more and leave it there."""
        self.live.__exit__(kind, error, trace)

    def say(self, line: str) -> None:
        """Keep the last messages under the table."""
        self.lines.extend(line.splitlines())

    def show(self, row: Mapping[str, Any]) -> None:
        """Take in a step; it is drawn by a thread of its own, so that training does not wait."""
        self.row = row
        self.held_out, self.tasks = row.get("held_out", self.held_out), row.get("tasks", self.tasks)
        self.recent.append((self.clock(), row["loss"]))
        if "skipped" in row:
            self.say(f"step {row['step']:,} not taken: {row['skipped']}")

    def seconds_left(self) -> float | None:
        """By the last steps, with what evaluations and checkpoints among them took; None before there are two."""
        if self.row is None or len(self.recent) < 2:
            return None
        each = (self.recent[-1][0] - self.recent[0][0]) / (len(self.recent) - 1)
        return each * (self.steps - int(self.row["step"]))

    def rendered(self) -> RenderableType:
        """What is drawn."""
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [self._head()]
        if self.row is not None:
            parts += [self._figures(self.row), self._losses(self.row)]
            parts += [self._answers()] if self.tasks else []
        return Group(*parts, *(Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in list(self.lines)))

    def _head(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        done = int(self.row["step"]) if self.row is not None else 0
        left = self.seconds_left()
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        ahead = "" if left is None else f"{duration(left)} left" if done < self.steps else "done"
        grid.add_row(f"[bold]{self.name}[/]  step {done:,}/{self.steps:,}", ProgressBar(self.steps, done), ahead)
        return grid

    def _figures(self, row: Mapping[str, Any]) -> RenderableType:
        from rich.table import Table

        mean = sum(loss for _, loss in self.recent) / len(self.recent)
        wait = f"{row['data_wait_ms']:.1f} ms"
        if row.get("step_ms"):
            wait += f", {row['data_wait_ms'] / row['step_ms']:.1%} of the step"
        figures = {
            "loss": f"{row['loss']:.4f}  (mean of {len(self.recent)}: {mean:.4f})",
            "tokens": f"{count(row['tokens'])}  at {count(row['tokens_per_second'])}/s",
            "learning rate": f"{row['learning_rate']:.3e}",
            "data wait": wait,
            "gradient norm": f"{row['gradient_norm']:.3f}" if "gradient_norm" in row else "-",
            "memory": f"{row['peak_memory_bytes'] / 2**30:.2f} GiB" if "peak_memory_bytes" in row else "-",
            "mfu": f"{row['mfu']:.1%}, causal {row['mfu_causal']:.1%}" if "mfu" in row else "-",
            "order": str(row["order_hash"])[:12],
        }
        grid = Table.grid(padding=(0, 2))
        pairs = list(figures.items())
        for first, second in zip(pairs[::2], pairs[1::2], strict=True):
            grid.add_row(*(cell for name, value in (first, second) for cell in (f"[dim]{name}[/]", value)))
        return grid

    def _losses(self, row: Mapping[str, Any]) -> RenderableType:
        """A line a source."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("source", "loss", "held out", "bits a byte"):
            table.add_column(title, justify="left" if title == "source" else "right")
        for name in sorted({*row.get("source_loss", {}), *self.held_out}, key=lambda name: (name == "all", name)):
            held = self.held_out.get(name, {})
            numbers = (row.get("source_loss", {}).get(name), held.get("loss"), held.get("bits_per_byte"))
            table.add_row(escape(name), *("-" if one is None else f"{one:.4f}" for one in numbers))
        return table

    def _answers(self) -> RenderableType:
        """A line a task."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("task", "accuracy", "a byte", "chance", "items"):
            table.add_column(title, justify="left" if title == "task" else "right")
        for name, task in self.tasks.items():
            shares = (f"{task[key]:.3f}" for key in ("accuracy", "accuracy_norm", "chance"))
            table.add_row(escape(name), *shares, f"{task['items']:,}")
        return table


def count(number: float) -> str:
    """A count in three digits: 999, 1.23k, 45.6M, 789G."""
    for power, letter in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power * 0.9995:
            scaled = number / 10**power
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{letter}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """Seconds as 12 s, 3:04 (minutes and seconds) or 5:06:07."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
