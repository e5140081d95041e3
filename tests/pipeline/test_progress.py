"""What a run shows of itself, with a clock that stands where the test puts it."""

import io
import re
from types import SimpleNamespace

import pytest

from gristmill.pipeline.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock():
    return SimpleNamespace(now=0.0)


def test_pace_and_time_left_count_only_what_this_run_did(clock):
    with Progress(quiet=True, clock=lambda: clock.now) as progress:
        step = progress.step("extract", total=12)
        step.reuse(2)
        clock.now = 10.0
        step.advance(tasks=5, documents=500)
        assert (step.tasks, step.reused, step.documents) == (7, 2, 500)
        assert step.documents_per_second == 50.0
        # 5 tasks in 10 s, 5 to go
        assert step.seconds_left == 10.0


def test_nothing_is_promised_before_something_is_done(clock):
    with Progress(quiet=True, clock=lambda: clock.now) as progress:
        step = progress.step("extract", total=12)
        step.reuse(12)
        assert (step.documents_per_second, step.seconds_left) == (None, None)


def test_without_a_terminal_a_line_comes_now_and_then_and_at_the_end_of_a_step(clock):
    stream = io.StringIO()
    with Progress(stream=stream, clock=lambda: clock.now, log_every_seconds=5) as progress:
        step = progress.step("extract", total=100)
        step.reuse(12)
        for second in range(1, 13):
            clock.now = float(second)
            step.advance(documents=100)
        step.done()
    lines = [line.split(maxsplit=2)[2] for line in stream.getvalue().splitlines()]
    assert [re.split(r"\s{2,}|\s(?=\w+=)", line) for line in lines] == [
        ["extract", "documents=500", "documents_per_second=100.0", "left=1m23s", "partitions=17/100", "reused=12"],
        ["extract", "documents=1000", "documents_per_second=100.0", "left=1m18s", "partitions=22/100", "reused=12"],
        ["extract done", "documents=1200", "documents_per_second=100.0", "partitions=24/100", "reused=12", "seconds=12.0"],
    ]


def test_a_step_that_was_interrupted_is_told_as_stopped(clock):
    stream = io.StringIO()

    def interrupted():
        with Progress(stream=stream, clock=lambda: clock.now) as progress:
            progress.step("minhash", total=3).advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "minhash stopped" in stream.getvalue()
    assert "partitions=1/3" in stream.getvalue()


def test_on_a_terminal_bars_show_partitions_reuse_pace_and_time_left(clock):
    stream = Terminal()
    with Progress(stream=stream, clock=lambda: clock.now) as progress:
        progress._bars.console.width = 200
        step = progress.step("gopher [quality]", total=1000)
        step.reuse(600)
        clock.now = 60.0
        step.advance(tasks=200, documents=120_000)
        progress._bars.refresh()
        step.done()
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert "gopher [quality]" in shown
    assert "800/1,000 partitions, 600 reused, 120,000 documents, 2,000/s, 1m00s left" in shown
    assert "done in 1m00s" in shown


def test_quiet_writes_nothing(clock):
    stream = io.StringIO()
    with Progress(quiet=True, stream=stream, clock=lambda: clock.now) as progress:
        step = progress.step("extract", total=1)
        clock.now = 100.0
        step.advance(documents=1)
        step.done()
    assert stream.getvalue() == ""


def test_a_total_may_be_learned_later(clock):
    stream = io.StringIO()
    with Progress(stream=stream, clock=lambda: clock.now) as progress:
        step = progress.step("read", unit="files")
        assert step.seconds_left is None
        step.expect(4)
        clock.now = 1.0
        step.advance(tasks=3)
        assert step.seconds_left == pytest.approx(1 / 3)
        step.done()
        step.done()
    assert stream.getvalue().count("read done") == 1
    assert "files=3/4" in stream.getvalue()


def test_nothing_goes_to_stdout(clock, capsys):
    with Progress(clock=lambda: clock.now) as progress:
        progress.step("extract", total=1).done()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "extract done" in captured.err


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_what_cannot_wait_is_said_once(clock, stream):
    shown = stream()
    with Progress(stream=shown, clock=lambda: clock.now) as progress:
        progress.tell("[b]nobody[/b] has a value")
        progress.tell("[b]nobody[/b] has a value")
    assert shown.getvalue().count("[b]nobody[/b] has a value") == 1
    assert progress.told == ["[b]nobody[/b] has a value"]


def test_what_was_told_quietly_was_not_told():
    with Progress(quiet=True) as progress:
        progress.tell("nobody has a value")
    assert progress.told == []
