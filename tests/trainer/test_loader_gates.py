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
RAMP = ((150 * LENGTH, 48), (200 * LENGTH, 72))
"""4 steps of 48 windows, which reach 192, and 3 of 72."""
KINDS = {
    "concat": {},
    "best_fit": {"packing": "best_fit"},
    "crop": {"packing": "crop"},
    "ramp": {"ramp": RAMP},
    "best_fit and ramp": {"packing": "best_fit", "ramp": RAMP},
}


class Places:
    """A stream whose tokens say where they stand, in documents of about 7."""

    def __init__(self, first, count):
        self.first, self.count = first, count
        ends = np.cumsum(np.random.default_rng(first).integers(1, 14, count))
        self.ends = np.append(ends[ends < count], count)

    def __len__(self):
        return self.count

    def read(self, start, stop):
        assert 0 <= start <= stop <= self.count
        return self.first + np.arange(start, stop)

    def document_ends(self, start, stop):
        return self.ends[(self.ends > start) & (self.ends < stop)]


SHARDS = SimpleNamespace(
    folder="shards", content="abc", streams={name: Places(n * 1_000_000, count) for n, (name, count) in enumerate(TOKENS.items())}
)
PLANS = {kind: Plan.of(SHARDS, WEIGHTS, seq_len=LENGTH, windows=WINDOWS, **options) for kind, options in KINDS.items()}


def fresh(kind="concat", plan=None):
    return Loader(SHARDS, plan or PLANS[kind], 5)


def steps_of_a_world(ranks, micro, steps, loaders=None, kind="concat"):
    """Tokens of each global batch as the ranks read it together, and the order hash; each rank has a loader of its own."""
    loaders = loaders or [fresh(kind=kind) for _ in range(ranks)]
    for _ in range(steps):
        draws = [loader.draw() for loader in loaders]
        assert len({draw.order_hash for draw in draws}) == 1
        parts = [
            loader.rows(draw, micro or len(draw.sources) // ranks, rank=r, ranks=ranks)
            for r, (loader, draw) in enumerate(zip(loaders, draws, strict=True))
        ]
        assert len({len(part) for part in parts}) == 1
        yield np.concatenate([part[a] for a in range(len(parts[0])) for part in parts]), draws[0].order_hash


@pytest.fixture(scope="module")
def alone_by_kind():
    return {kind: list(steps_of_a_world(1, None, STEPS, kind=kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def alone(alone_by_kind):
    return alone_by_kind["concat"]


@pytest.mark.parametrize(
    ("ranks", "micro"), [(r, m) for r in WORLD_SIZES for m in range(1, WINDOWS // r + 1) if WINDOWS % (r * m) == 0]
)
def test_every_world_size_and_accumulation_reads_the_same_batches_over_three_epochs(alone, ranks, micro):
    for (rows, order_hash), (expected, expected_hash) in zip(steps_of_a_world(ranks, micro, STEPS), alone, strict=True):
        assert order_hash == expected_hash
        assert np.array_equal(rows, expected)


@pytest.mark.parametrize(
    ("ranks", "micro", "kind"),
    [(ranks, None, kind) for kind in KINDS for ranks in WORLD_SIZES] + [(ranks, 1, "best_fit and ramp") for ranks in WORLD_SIZES],
)
def test_packed_windows_and_batches_that_grow_are_the_same_for_every_world_size(alone_by_kind, ranks, micro, kind):
    steps = steps_of_a_world(ranks, micro, STEPS, kind=kind)
    for (rows, order_hash), (expected, expected_hash) in zip(steps, alone_by_kind[kind], strict=True):
        assert order_hash == expected_hash
        assert np.array_equal(rows, expected)


@settings(deadline=None, max_examples=12)
@given(
    kills=st.lists(st.integers(0, STEPS), min_size=1, max_size=3),
    worlds=st.lists(st.sampled_from(WORLD_SIZES), min_size=4, max_size=4),
    kind=st.sampled_from(list(KINDS)),
)
def test_a_run_killed_at_any_steps_goes_on_with_any_world_size(alone_by_kind, kills, worlds, kind):
    state, done, alone = None, 0, alone_by_kind[kind]
    for until, ranks in zip([*sorted(kills), STEPS], worlds, strict=False):
        loaders = [fresh(kind=kind) for _ in range(ranks)]
        for loader in loaders if state is not None else ():
            loader.resume(state)
        for rows, order_hash in steps_of_a_world(ranks, None, until - done, loaders):
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


@pytest.mark.parametrize("kind", ["best_fit", "crop", "ramp", "best_fit and ramp"])
def test_packed_windows_too_come_exactly_once_an_epoch(kind):
    loader = fresh(kind=kind)
    draws = [loader.draw() for _ in range(STEPS)]
    sources, windows = (np.concatenate([getattr(draw, name) for draw in draws]) for name in ("sources", "windows"))
    for number, size in enumerate(loader.plan.available):
        counts = np.bincount(windows[sources == number], minlength=size)
        assert len(counts) == size
        assert set(counts.tolist()) <= {counts.sum() // size, counts.sum() // size + 1}
        assert counts.sum() > 1.5 * size


PHASES = [(700, {"books": 1}), (5_003, {"books": 0.1, "web": 0.1, "wiki": 0.8}), (9_000, {"web": 1, "wiki": 1e-6})]


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("later", [(), PHASES])
@pytest.mark.parametrize("weights", [WEIGHTS, {"books": 1e-6, "web": 1, "wiki": 1e-6}, {"books": 0, "web": 1, "wiki": 3}])
def test_what_a_source_has_given_is_within_one_and_a_half_windows_of_its_share_at_every_step(kind, later, weights):
    plan = Plan.of(SHARDS, weights, seq_len=LENGTH, windows=WINDOWS, later=later, **KINDS[kind])
    loader = fresh(plan=plan)
    targets = [one.counted for one in plan.packed] or [np.full(count, LENGTH) for count in plan.available]
    given_, owed, windows = np.zeros(3), np.zeros(3), 0
    for step in range(1, 200):
        draw = loader.draw()
        batch = np.array([targets[n][draw.windows[draw.sources == n]].sum() for n in range(3)])
        given_ += batch
        assert given_.sum() == loader.tokens
        for count, shares in plan.phases(windows, windows + len(draw.sources)):
            owed += shares / 2**32 * batch.sum() * count / len(draw.sources)
        windows += len(draw.sources)
        assert windows == plan.windows_before(step)
        assert np.abs(given_ - owed).max() <= 1.5 * LENGTH


def test_a_source_is_charged_for_the_targets_of_its_windows_not_for_the_windows():
    # no two documents of 6 fit into a window of 9: those of small have 5 targets, the full ones of large 8
    streams = {"large": Places(0, 9 * 400), "small": Places(1_000_000, 6 * 400)}
    streams["large"].ends, streams["small"].ends = np.arange(9, 9 * 400 + 1, 9), np.arange(6, 6 * 400 + 1, 6)
    shards = SimpleNamespace(folder="shards", content="abc", streams=streams)
    plan = Plan.of(shards, {"large": 1, "small": 1}, seq_len=8, windows=13, packing="best_fit")
    assert (plan.available, plan.targets) == ((400, 400), (3200, 2000))
    loader = Loader(shards, plan, 0)
    # 5 windows of large give as much as 8 of small
    for step in range(1, 31):
        assert np.bincount(loader.draw().sources).tolist() == [5, 8]
        assert loader.tokens == 80 * step == plan.targets_before(step)


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
