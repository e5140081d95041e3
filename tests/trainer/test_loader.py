import dataclasses
import json

import numpy as np
import pytest

from gristmill.tokenizers.shards import open_shards
from gristmill.trainer.loader import Loader, Plan, PlanMismatch, windows_of

LENGTH = 16


@pytest.fixture(scope="module")
def shards(corpus):
    return open_shards(corpus)


def plan(shards, weights=None, windows=12):
    return Plan.of(shards, weights or {"web": 3, "books": 1}, seq_len=LENGTH, windows=windows)


def draws(loader, count):
    return [loader.draw() for _ in range(count)]


def ids(draw):
    return list(zip(draw.sources.tolist(), draw.windows.tolist(), strict=True))


@pytest.mark.parametrize(("tokens", "windows"), [(0, 0), (1, 0), (16, 0), (17, 1), (32, 1), (33, 2)])
def test_a_window_reads_one_token_more_than_it_predicts(tokens, windows):
    assert windows_of(tokens, 16) == windows


def test_every_window_comes_exactly_once_an_epoch_and_in_another_order_the_next(shards):
    # windows of one: the order of the batches is the order of the cursor
    loader = Loader(shards, plan(shards, {"web": 1}, windows=1), seed=3)
    size = loader.plan.available[0]
    epochs = [[int(draw.windows[0]) for draw in draws(loader, size)] for _ in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(size))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_a_batch_may_hold_several_epochs_of_a_small_source(shards):
    small = dataclasses.replace(plan(shards, {"web": 1}, windows=10), available=(3,))
    loader = Loader(shards, small, seed=0)
    counts = np.bincount(np.concatenate([draw.windows for draw in draws(loader, 3)]))
    assert counts.tolist() == [10, 10, 10]


def test_rows_hold_the_tokens_of_their_windows(shards):
    loader = Loader(shards, plan(shards), seed=0)
    for draw in draws(loader, 20):
        (rows,) = loader.rows(draw, 12)
        assert rows.shape == (12, LENGTH + 1)
        for row, (source, window) in zip(rows, ids(draw), strict=True):
            stream = shards.streams[loader.plan.sources[source]]
            assert row.tolist() == stream.read(window * LENGTH, window * LENGTH + LENGTH + 1).tolist()


def test_the_tokens_of_an_epoch_are_the_stream_but_for_its_tail(shards):
    loader = Loader(shards, plan(shards, {"books": 1}, windows=1), seed=0)
    stream = shards.streams["books"]
    inputs = np.empty((loader.plan.available[0], LENGTH), dtype=np.int64)
    for draw in draws(loader, loader.plan.available[0]):
        inputs[draw.windows[0]] = loader.rows(draw, 1)[0][0, :-1]
    assert inputs.ravel().tolist() == stream.read(0, inputs.size).tolist()
    assert len(stream) - 1 - inputs.size < LENGTH


def test_the_mixture_is_exact(shards):
    loader = Loader(shards, plan(shards, {"web": 3, "books": 1}), seed=0)
    served = np.bincount(np.concatenate([draw.sources for draw in draws(loader, 100)]), minlength=2)
    assert dict(zip(loader.plan.sources, served.tolist(), strict=True)) == {"books": 300, "web": 900}


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("micro", [1, 3])
def test_the_global_batches_do_not_depend_on_the_number_of_ranks(shards, ranks, micro):
    whole = Loader(shards, plan(shards, windows=36), seed=1)
    for _ in range(5):
        draw = whole.draw()
        (expected,) = whole.rows(draw, 36)
        parts = [whole.rows(draw, micro, rank=rank, ranks=ranks) for rank in range(ranks)]
        # accumulation by accumulation, rank by rank
        joined = np.concatenate([parts[rank][a] for a in range(36 // (ranks * micro)) for rank in range(ranks)])
        assert (joined == expected).all()


def test_a_batch_that_does_not_divide_is_refused(shards):
    loader = Loader(shards, plan(shards), seed=1)
    with pytest.raises(ValueError, match="12 windows does not divide into 5 ranks x micro-batches of 1"):
        loader.rows(loader.draw(), 1, ranks=5)


@pytest.mark.parametrize("after", [0, 1, 7, 400])  # 400 batches: beyond the third epoch of both sources
def test_a_resumed_order_is_the_uninterrupted_one(shards, after):
    whole = Loader(shards, plan(shards), seed=1)
    draws(whole, after)
    state = json.loads(json.dumps(whole.state()))
    expected = draws(whole, 20)
    resumed = Loader(shards, plan(shards), seed=1)
    resumed.resume(state)
    actual = draws(resumed, 20)
    assert [ids(draw) for draw in actual] == [ids(draw) for draw in expected]
    assert [draw.order_hash for draw in actual] == [draw.order_hash for draw in expected]
    assert resumed.state() == whole.state()


def test_the_state_is_a_few_numbers_however_long_the_run(shards):
    loader = Loader(shards, plan(shards), seed=1)
    draws(loader, 30)
    state = loader.state()
    assert (state["step"], state["tokens"]) == (30, 30 * 12 * LENGTH)
    assert sum(state["cursor"]) == 360
    assert sum(state["carry"]) == 0


def test_the_order_hash_tells_orders_apart(shards):
    hashes = {Loader(shards, plan(shards), seed=seed).draw().order_hash for seed in range(5)}
    assert len(hashes) == 5
    assert Loader(shards, plan(shards), seed=0).draw().order_hash in hashes


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"content": "other"}, "content was"),
        ({"seq_len": 8}, "seq_len was 16, now 8"),
        ({"windows": 6}, "windows was 12, now 6"),
        ({"weights": (1 << 31, 1 << 31)}, "weights was"),
    ],
)
def test_a_state_of_another_plan_is_refused_by_field(shards, change, told):
    state = Loader(shards, plan(shards), seed=1).state()
    other = Loader(shards, dataclasses.replace(plan(shards), **change), seed=1)
    with pytest.raises(PlanMismatch, match=told):
        other.resume(state)


def test_a_state_of_another_seed_is_refused(shards):
    with pytest.raises(PlanMismatch, match="seed was 1, now 2"):
        Loader(shards, plan(shards), seed=2).resume(Loader(shards, plan(shards), seed=1).state())


def test_a_source_that_is_not_there_or_too_short_is_named(shards, make_corpus, tmp_path):
    with pytest.raises(ValueError, match=r"no source wiki in .*; it has books, web"):
        plan(shards, {"wiki": 1})
    small = open_shards(make_corpus(tmp_path, {"web": ["a b c"], "books": [" ".join(map(str, range(400)))]}, shards=1))
    with pytest.raises(ValueError, match=r"source web has .* tokens, a window reads 17"):
        plan(small, {"web": 1, "books": 1})
