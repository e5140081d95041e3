from types import SimpleNamespace

import numpy as np
import pytest

from gristmill.trainer.loader import Loader, PlanMismatch
from gristmill.trainer.mixture import Shortage, default_weights, fit_to_available
from gristmill.trainer.plan import Plan


class Documents:
    """A stream of documents of the same length; its tokens are their places."""

    def __init__(self, length, count):
        self.ends = np.arange(1, count + 1) * length

    def __len__(self):
        return int(self.ends[-1])

    def read(self, start, stop):
        return np.arange(start, stop)

    def document_ends(self, start, stop):
        return self.ends[(self.ends > start) & (self.ends < stop)]


# no two documents of 6 fit into 9 tokens: windows of small have 5 targets, those of large 8
SHARDS = SimpleNamespace(folder="shards", content="abc", streams={"large": Documents(9, 400), "small": Documents(6, 400)})


def plan(weights=(1, 1), **options):
    options = {"seq_len": 8, "windows": 13, "packing": "best_fit"} | options
    return Plan.of(SHARDS, {"large": weights[0], "small": weights[1]}, **options)


def test_padded_windows_have_the_targets_that_are_in_them():
    assert (plan().available, plan().targets) == ((400, 400), (3200, 2000))
    # as much of each: 5 windows of large and 8 of small are 80 targets
    assert plan().window_targets(plan().weights) == pytest.approx(80 / 13)
    assert plan().targets_before(3) == 240


def test_full_windows_have_seq_len_targets():
    full = plan(packing="concat")
    # 3,600 and 2,400 tokens end to end
    assert (full.available, full.targets, full.targets_before(3)) == ((449, 299), (449 * 8, 299 * 8), 3 * 13 * 8)


def test_a_phase_of_padded_windows_begins_after_the_windows_that_have_its_targets():
    # 800 targets, half of them of each: 50 windows of large and 80 of small; then 400 of large alone: 50 windows
    phases = plan(later=[(800, {"large": 1}), (1200, {"small": 1})])
    assert [begin for begin, _ in phases.later] == [130, 180]
    loader = Loader(SHARDS, phases, 0)
    while loader.step < 10:
        loader.draw()
    assert loader.tokens == 800
    assert set(loader.draw().sources.tolist()) == {0}
    assert phases.targets_before(10) == 800
    assert (phases.steps_within(800), phases.steps_within(799), phases.steps_within(800 + 13 * 8)) == (10, 9, 11)


def test_a_shortage_is_counted_in_targets():
    # small gives 40 of 80 targets a step, and has 2,000 for one epoch: 50 steps
    assert fit_to_available(plan(), 50, max_epochs=1, on_shortage="error") == (None, 50, "")
    with pytest.raises(Shortage) as caught:
        fit_to_available(plan(), 60, max_epochs=1, on_shortage="error")
    assert str(caught.value).splitlines()[2].split() == ["small", "0.5000", "2,400", "2,000", "1.20", "short"]
    assert fit_to_available(plan(), 60, max_epochs=1, on_shortage="cap")[1] == 50
    changed, _, _ = fit_to_available(plan(), 60, max_epochs=1, on_shortage="renormalise")
    assert changed == pytest.approx({"large": 2800 / 4800, "small": 2000 / 4800})
    assert plan().with_shares(changed).weights == plan((2800, 2000)).weights


def test_a_ramp_counts_in_a_shortage():
    # 4 windows in each of 10 steps, then 13: 25 steps are 235 windows of 8, half of them large's 449
    ramped = plan(packing="concat", ramp=[(40 * 8, 4)])
    assert ramped.ramp == ((10, 4),)
    assert ramped.targets_before(25) == 235 * 8
    assert fit_to_available(ramped, 100, max_epochs=0.25, on_shortage="cap")[1] == 10 + int((299 * 0.25 * 2 - 40) // 13)


def test_a_short_source_is_a_window_with_best_fit_only():
    shards = SimpleNamespace(folder="shards", streams={"long": Documents(100, 1), "short": Documents(5, 1)})
    assert default_weights(shards, 8) == ({"long": 100.0}, ["short"])
    assert default_weights(shards, 8, packing="crop") == ({"long": 100.0}, ["short"])
    assert default_weights(shards, 8, packing="best_fit") == ({"long": 100.0, "short": 5.0}, [])


def test_a_source_of_nothing_but_single_tokens_has_nothing_to_predict():
    shards = SimpleNamespace(folder="shards", content="", streams={"ends": Documents(1, 1)})
    with pytest.raises(ValueError, match="source ends has 1 tokens, a window reads 9"):
        Plan.of(shards, {"ends": 1}, seq_len=8, windows=1, packing="best_fit")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"packing": "concat"}, "packing was best_fit, now concat"),
        ({"packing": "crop"}, "packed was"),
        ({"ramp": [(8, 1)]}, "ramp was None, now"),
    ],
)
def test_a_state_of_another_packing_or_ramp_is_refused_by_field(options, field):
    state = Loader(SHARDS, plan(), 0).state()
    with pytest.raises(PlanMismatch, match=field):
        Loader(SHARDS, plan(**options), 0).resume(state)


def test_a_state_of_windows_that_hold_other_pieces_is_refused(monkeypatch):
    state = Loader(SHARDS, plan(), 0).state()
    monkeypatch.setattr(SHARDS.streams["small"], "ends", np.append(np.arange(1, 400) * 6 - 1, 2400))
    with pytest.raises(PlanMismatch, match="packed was"):
        Loader(SHARDS, plan(), 0).resume(state)


def test_the_order_hash_tells_packings_apart_that_have_the_same_windows_by_number():
    # one document a window, whether it is cropped from 10 tokens or 9 or has 9
    hashes = set()
    for length, packing in ((9, "concat"), (9, "best_fit"), (9, "crop"), (10, "crop")):
        shards = SimpleNamespace(folder="shards", content="abc", streams={"large": Documents(length, 400)})
        draw = Loader(shards, Plan.of(shards, {"large": 1}, seq_len=8, windows=13, packing=packing), 0).draw()
        hashes.add(draw.order_hash)
    assert len(hashes) == 3  # documents of 9 are cropped nowhere: the same windows as by best fit


@pytest.mark.parametrize("packing", ["concat", "best_fit", "crop"])
@pytest.mark.parametrize("ramp", [(), [(40 * 8, 4), (200, 30)]])
def test_batches_that_were_skipped_were_as_if_drawn(packing, ramp):
    later = [(1_000, {"large": 1}), (1_500, {"large": 1, "small": 9})]
    drawn, skipped = (Loader(SHARDS, plan(packing=packing, ramp=ramp, later=later), 3) for _ in range(2))
    for _ in range(30):
        last = drawn.draw()
    skipped.skip(30, last.order_hash)
    assert skipped.state() == drawn.state()
    assert skipped.draw().order_hash == drawn.draw().order_hash
