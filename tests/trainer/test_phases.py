"""Phases of a mixture: other shares from an exact token on, in the order of the data."""

from types import SimpleNamespace

import numpy as np
import pytest

from gristmill.trainer.loader import Loader, Plan, PlanMismatch


class Tokens:
    """A stream of so many tokens, each its own place."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def read(self, start, stop):
        return np.arange(start, stop)


def data(**tokens):
    return SimpleNamespace(folder="shards", content="abc", streams={name: Tokens(count) for name, count in tokens.items()})


def served(loader, steps):
    """Windows of each source in each batch, shape (steps, n_sources)."""
    return np.array([np.bincount(loader.draw().sources, minlength=len(loader.plan.sources)) for _ in range(steps)])


def test_the_order_of_a_single_phase_is_what_it_was_before_there_were_phases():
    shards = data(a=10_001, b=777, c=99_999)
    loader = Loader(shards, Plan.of(shards, {"a": 0.5, "b": 0.2, "c": 0.3}, seq_len=16, windows=7), 3)
    for _ in range(200):
        draw = loader.draw()
    # computed by the loader that knew no phases
    assert draw.order_hash == "400b39fb1f8a7d6640b7d2cb60d2efe08f5bd3e0060661db7fde227766fbef66"


def test_a_phase_begins_within_a_batch_at_its_window():
    # batches of 4 windows of 10 tokens; the second phase begins after 60 tokens, 6 windows: in the middle of batch 2
    shards = data(a=100_001, b=100_001)
    plan = Plan.of(shards, {"a": 1, "b": 0}, seq_len=10, windows=4, later=[(60, {"b": 1})])
    assert served(Loader(shards, plan, 0), 3).tolist() == [[4, 0], [2, 2], [0, 4]]


def test_tokens_served_equal_the_plan_within_two_windows_a_source_over_a_long_run():
    draw = np.random.default_rng(0)
    names = [f"s{n:02d}" for n in range(40)]
    shards = data(**{name: int(draw.integers(2_000, 900_000)) for name in names})
    phases = [dict(zip(names, draw.dirichlet(np.full(40, 0.3)), strict=True)) for _ in range(3)]
    for phase in phases[1:]:
        phase[names[3]] = 0.0
    starts, seq_len, windows = [0, 100_003 * 8, 180_001 * 8], 8, 56
    later = list(zip(starts[1:], phases[1:], strict=True))
    loader = Loader(shards, Plan.of(shards, phases[0], seq_len=seq_len, windows=windows, later=later), 7)
    total = served(loader, 5_000).sum(axis=0)
    bounds = [0, 100_003, 180_001, 5_000 * windows]
    wanted = sum(
        (bounds[n + 1] - bounds[n]) * np.array(list(phase.values())) / sum(phase.values()) for n, phase in enumerate(phases)
    )
    assert total.sum() == 5_000 * windows
    assert np.abs(total - wanted).max() < 2


def test_a_run_resumed_in_a_later_phase_is_the_uninterrupted_one():
    shards = data(a=1_001, b=501)
    plan = Plan.of(shards, {"a": 1, "b": 1}, seq_len=10, windows=4, later=[(90, {"a": 1, "b": 3})])
    whole, first, second = (Loader(shards, plan, 5) for _ in range(3))
    served(whole, 9)
    served(first, 4)
    second.resume(first.state())
    served(second, 5)
    assert second.state() == whole.state()


def test_a_state_of_other_phases_is_refused_by_name():
    shards = data(a=1_001, b=501)
    phased = Plan.of(shards, {"a": 1, "b": 1}, seq_len=10, windows=4, later=[(90, {"b": 3})])
    plain = Plan.of(shards, {"a": 1, "b": 1}, seq_len=10, windows=4)
    with pytest.raises(PlanMismatch, match=r"^later was None, now \[\[9, \[0, 4294967296\]\]\]$"):
        Loader(shards, phased, 0).resume(Loader(shards, plain, 0).state())
    with pytest.raises(PlanMismatch, match=r"^later was .*, now None$"):
        Loader(shards, plain, 0).resume(Loader(shards, phased, 0).state())


def test_a_source_that_only_a_later_phase_reads_must_hold_a_window():
    shards = data(a=1_001, b=5)
    with pytest.raises(ValueError, match="source b has 5 tokens, a window reads 11"):
        Plan.of(shards, {"a": 1, "b": 0}, seq_len=10, windows=4, later=[(90, {"b": 1})])
