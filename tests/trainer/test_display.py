"""What is shown of a training: lines, and the live table as it stands after some steps."""

import io
import sys

import pytest
from rich.console import Console

from gristmill.trainer.display import Lines, Live, Silence, count, display_for, duration, line_of
from gristmill.trainer.train import train

ROW = {
    "step": 10,
    "tokens": 1_234_567,
    "loss": 3.25,
    "source_loss": {"web": 3.0, "books": 4.0},
    "learning_rate": 0.001,
    "gradient_norm": 1.5,
    "order_hash": "0123456789abcdef",
    "tokens_per_second": 45_600.0,
    "data_wait_ms": 2.0,
    "step_ms": 100.0,
    "peak_memory_bytes": 3 * 2**30,
}
HELD = {"web": {"loss": 3.1, "bits_per_byte": 1.25}, "all": {"loss": 3.5, "bits_per_byte": 1.5}}
TASK = {"accuracy": 0.625, "accuracy_norm": 0.5, "chance": 0.25, "items": 1838}


def live(clock=None, width=100):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, legacy_windows=False)
    return Live("tiny", 100, console, *([clock] if clock else [])), console


def drawn(display, console):
    with console.capture() as capture:
        console.print(display.rendered())
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_step_in_a_line():
    assert line_of(ROW, 100) == "step 10/100  loss 3.2500  rate 1.00e-03  45,600 tokens/s  waited 2.0 ms for data"
    more = {"mfu": 0.41, "held_out": HELD, "tasks": {"piqa": TASK}, "skipped": "loss 9 is 7 sigmas above"}
    assert line_of(ROW | more, 100) == (
        "step 10/100  loss 3.2500  rate 1.00e-03  45,600 tokens/s  mfu 41.0%  waited 2.0 ms for data"
        "  held out 3.5000  piqa 0.625  not taken: loss 9 is 7 sigmas above"
    )


def test_lines_come_now_and_then_and_when_there_is_something_to_tell(capsys):
    lines = Lines(7, 3)
    for step in range(1, 8):
        lines.show(ROW | {"step": step} | ({"held_out": HELD} if step == 5 else {}))
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["1/7", "3/7", "5/7", "6/7", "7/7"]


def test_the_table_shows_losses_by_source_speed_memory_and_tasks():
    display, console = live()
    display.show(ROW | {"held_out": HELD, "tasks": {"piqa": TASK}, "mfu": 0.41, "mfu_causal": 0.39})
    # what was held out stays on the table until it is measured again
    display.show(ROW | {"step": 11, "loss": 3.75})
    display.say("a message")
    told = drawn(display, console)
    assert told[0].startswith("tiny step 11/100")
    for line in (
        "loss 3.7500 (mean of 2: 3.5000) tokens 1.23M at 45.6k/s",
        "learning rate 1.000e-03 data wait 2.0 ms, 2.0% of the step",
        "gradient norm 1.500 memory 3.00 GiB",
        "mfu - order 0123456789ab",
        "source loss held out bits a byte",
        "books 4.0000 - -",
        "web 3.0000 3.1000 1.2500",
        "all - 3.5000 1.5000",
        "task accuracy a byte chance items",
        "piqa 0.625 0.500 0.250 1,838",
        "a message",
    ):
        assert line in told
    display.show(ROW | {"mfu": 0.41, "mfu_causal": 0.39})
    assert "mfu 41.0%, causal 39.0% order 0123456789ab" in drawn(display, console)


def test_names_are_no_markup():
    display, console = live()
    display.show(ROW | {"source_loss": {"[red]x[/red]": 1.0}})
    assert "[red]x[/red] 1.0000 - -" in drawn(display, console)


def test_the_time_left_is_that_of_the_last_steps_for_those_to_come():
    now = iter(range(0, 10_000, 4))
    display, console = live(lambda: next(now))
    assert display.seconds_left() is None
    assert drawn(display, console)[0].startswith("tiny step 0/100")
    for step in range(1, 11):
        display.show(ROW | {"step": step})
    # 4 s a step, 90 to go
    assert display.seconds_left() == 360
    assert drawn(display, console)[0].endswith("6:00 left")
    display.show(ROW | {"step": 100})
    assert drawn(display, console)[0].endswith("done")


def test_messages_beyond_the_last_few_go():
    display, console = live()
    for number in range(8):
        display.say(f"line {number}")
    assert [line for line in drawn(display, console) if line.startswith("line")] == [f"line {number}" for number in range(3, 8)]


def test_a_terminal_gets_the_table_and_all_else_lines(monkeypatch):
    assert type(display_for("a", 1, every=1)) is Lines
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert type(display_for("a", 1, every=1)) is Live
    assert type(display_for("a", 1, every=1, plain=True)) is Lines
    assert type(display_for("a", 1, every=1, quiet=True)) is Silence


def test_training_on_a_terminal_ends_with_its_last_table(corpus, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    sets = [f"data={corpus}", "device=cpu", "threads=1", "seq_len=32", "windows=2", "model.layers=1", "steps=3"]
    train("tiny", sets, tmp_path / "run", plain=False)
    assert "step 3/3" in stream.getvalue()
    assert "books" in stream.getvalue()


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00k"),
        (1234, "1.23k"),
        (45_600, "45.6k"),
        (789e9, "789G"),
        (999_990, "1.00M"),
        (2.5e12, "2.50T"),
    ],
)
def test_counts_have_three_digits(number, told):
    assert count(number) == told


@pytest.mark.parametrize(("seconds", "told"), [(12.4, "12 s"), (59.6, "1:00"), (184, "3:04"), (18367, "5:06:07")])
def test_durations(seconds, told):
    assert duration(seconds) == told
