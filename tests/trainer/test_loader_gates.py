"""What the order of the data promises whatever the ranks, the micro-batches and the kills: token by token, over epochs."""

import json
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.trainer.loader import Loader, Plan
from gristmill.trainer.train import train

LENGTH, WINDOWS = 8, 24
WORLD_SIZES = (1, 2, 3, 4, 6, 8, 12)
TOKENS = {"books": 801, "web": 2_405, "wiki": 330}
"""100, 300 and 41 windows."""
WEIGHTS = {"books": 0.25, "web": 0.7, "wiki": 0.05}
STEPS = 60
"""1,440 windows: 360 of books and 1,008 of web, more than three epochs of each."""


class Places:
    """A stream whose tokens say where they stand."""

    def __init__(self, first, count):
        self.first, self.count = first, count

    def __len__(self):
        return self.count

    def read(self, start, stop):
        assert 0 <= start <= stop <= self.count
        return self.first + np.arange(start, stop)


def fresh(seed=5, later=()):
    streams = {name: Places(n * 1_000_000, count) for n, (name, count) in enumerate(TOKENS.items())}
    shards = SimpleNamespace(folder="shards", content="abc", streams=streams)
    return Loader(shards, Plan.of(shards, WEIGHTS, seq_len=LENGTH, windows=WINDOWS, later=later), seed)


def steps_of_a_world(ranks, micro, steps, loaders=None):
    """Tokens of each global batch as the ranks read it together, and the order hash; each rank has a loader of its own."""
    loaders = loaders or [fresh() for _ in range(ranks)]
    for _ in range(steps):
        draws = [loader.draw() for loader in loaders]
        assert len({draw.order_hash for draw in draws}) == 1
        parts = [
            loader.rows(draw, micro, rank=r, ranks=ranks) for r, (loader, draw) in enumerate(zip(loaders, draws, strict=True))
        ]
        assert len({len(part) for part in parts}) == 1
        yield np.concatenate([part[a] for a in range(len(parts[0])) for part in parts]), draws[0].order_hash


@pytest.fixture(scope="module")
def alone():
    return list(steps_of_a_world(1, WINDOWS, STEPS))


@pytest.mark.parametrize(
    ("ranks", "micro"), [(r, m) for r in WORLD_SIZES for m in range(1, WINDOWS // r + 1) if WINDOWS % (r * m) == 0]
)
def test_every_world_size_and_accumulation_reads_the_same_batches_over_three_epochs(alone, ranks, micro):
    for (rows, order_hash), (expected, expected_hash) in zip(steps_of_a_world(ranks, micro, STEPS), alone, strict=True):
        assert order_hash == expected_hash
        assert np.array_equal(rows, expected)


@settings(deadline=None, max_examples=12)
@given(
    kills=st.lists(st.integers(0, STEPS), min_size=1, max_size=3),
    worlds=st.lists(st.sampled_from(WORLD_SIZES), min_size=4, max_size=4),
)
def test_a_run_killed_at_any_steps_goes_on_with_any_world_size(alone, kills, worlds):
    state, done = None, 0
    for until, ranks in zip([*sorted(kills), STEPS], worlds, strict=False):
        loaders = [fresh() for _ in range(ranks)]
        for loader in loaders if state is not None else ():
            loader.resume(state)
        for rows, order_hash in steps_of_a_world(ranks, WINDOWS // ranks, until - done, loaders):
            assert np.array_equal(rows, alone[done][0])
            assert order_hash == alone[done][1]
            done += 1
        assert all(loader.state() == loaders[0].state() for loader in loaders)
        state = json.loads(json.dumps(loaders[-1].state()))
    assert done == STEPS


def test_every_window_comes_exactly_once_an_epoch_of_its_source(alone):
    rows = np.concatenate([rows for rows, _ in alone])
    # a window's first token tells its source and its place there
    for number, name in enumerate(TOKENS):
        loader = fresh()
        size = loader.plan.available[loader.plan.sources.index(name)]
        windows = (rows[rows[:, 0] // 1_000_000 == number][:, 0] % 1_000_000) // LENGTH
        counts = np.bincount(windows, minlength=size)
        assert len(counts) == size
        # whole epochs, and in the one that has begun no window a second time
        assert set(counts.tolist()) <= {len(windows) // size, len(windows) // size + 1}
    assert (rows[:, 1:] - rows[:, :-1] == 1).all()


@pytest.mark.parametrize("later", [(), [(700, {"books": 1}), (5_003, {"books": 0.1, "web": 0.1, "wiki": 0.8})]])
def test_what_a_source_has_given_is_within_one_and_a_half_windows_of_its_share_at_every_step(later):
    loader = fresh(later=later)
    served = np.zeros(3)
    for step in range(1, 200):
        served += np.bincount(loader.draw().sources, minlength=3)
        owed = sum(count * weights / 2**32 for count, weights in loader.plan.phases(0, step * WINDOWS))
        assert np.abs(served - owed).max() <= 1.5


def test_a_training_killed_at_a_random_step_reads_and_learns_what_an_undisturbed_one_does(corpus, tmp_path):
    sets = [
        f"data={corpus}", "seq_len=32", "windows=8", "threads=1", "device=cpu", "model.layers=1", "model.width=32",
        "model.heads=2", "model.kv_heads=1", "steps=60", "checkpoint.every=4",
    ]  # fmt: skip
    whole = train("tiny", sets, tmp_path / "whole")
    metrics = tmp_path / "killed" / "metrics.jsonl"
    code = "import sys; from gristmill.trainer.train import train; train('tiny', sys.argv[2:], sys.argv[1])"
    victim = subprocess.Popen([sys.executable, "-c", code, str(metrics.parent), *sets], stderr=subprocess.DEVNULL)
    last = random.randrange(1, 40)
    while victim.poll() is None and (not metrics.is_file() or metrics.read_bytes().count(b"\n") < last):
        time.sleep(0.001)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() in (-signal.SIGKILL, 0)
    again = train("tiny", sets, metrics.parent)
    assert (again["order_hash"], again["last_loss"]) == (whole["order_hash"], whole["last_loss"])
