import pytest

from gristmill.tokenizers.shards import open_shards
from gristmill.trainer.loader import Plan
from gristmill.trainer.mixture import Shortage, default_weights, fit_to_available
from gristmill.trainer.order import integer_weights


def plan(available, shares):
    names = tuple(available)
    weights = integer_weights([shares[name] for name in names])
    return Plan("", 10, 10, names, tuple(weights.tolist()), tuple(available.values()))


def fit(plan, steps, max_epochs=2, on_shortage="error"):
    return fit_to_available(plan, steps, max_epochs=max_epochs, on_shortage=on_shortage)


def test_a_plan_that_fits_is_left_alone():
    # 10 steps of 10 windows: 50 of each; a holds 25 and may be read twice
    assert fit(plan({"a": 25, "b": 50}, {"a": 1, "b": 1}), 10) == (None, 10, "")


def test_a_shortage_is_an_error_with_a_table():
    with pytest.raises(Shortage) as caught:
        fit(plan({"a": 20, "b": 50}, {"a": 1, "b": 1}), 10)
    head, a, b, remedy = str(caught.value).splitlines()
    assert head.split() == ["source", "share", "tokens", "needed", "tokens", "held", "epochs", "at", "most", "2", "epochs"]
    assert a.split() == ["a", "0.5000", "500", "200", "2.50", "short"]
    assert b.split() == ["b", "0.5000", "500", "500", "1.00"]
    assert "on_shortage" in remedy


def test_cap_trains_fewer_steps():
    # a gives 5 windows a step and 40 in all: 8 steps
    weights, steps, told = fit(plan({"a": 20, "b": 50}, {"a": 1, "b": 1}), 10, on_shortage="cap")
    assert (weights, steps) == (None, 8)
    assert "training 8 of 10 steps" in told


def test_cap_that_leaves_nothing_is_an_error():
    with pytest.raises(Shortage, match="not one step"):
        fit(plan({"a": 1, "b": 50}, {"a": 1, "b": 1}), 10, on_shortage="cap")


def test_renormalise_lets_the_others_give_more():
    # a can give 40 of 100; the other 60 are shared 1:2 between b and c
    weights, steps, _ = fit(plan({"a": 20, "b": 90, "c": 90}, {"a": 6, "b": 1, "c": 2}), 10, on_shortage="renormalise")
    assert steps == 10
    assert weights == pytest.approx({"a": 0.4, "b": 0.2, "c": 0.4})


def test_renormalise_goes_on_when_another_source_gets_short():
    # a gives 40; of the 60 left b would give 30 but has 20: c gives 40
    weights, _, _ = fit(plan({"a": 20, "b": 10, "c": 90}, {"a": 8, "b": 1, "c": 1}), 10, on_shortage="renormalise")
    assert weights == pytest.approx({"a": 0.4, "b": 0.2, "c": 0.4})


def test_renormalise_cannot_make_tokens():
    with pytest.raises(Shortage, match="all sources together are short"):
        fit(plan({"a": 20, "b": 20}, {"a": 1, "b": 1}), 10, on_shortage="renormalise")


def test_by_default_each_source_counts_by_its_tokens(corpus):
    shards = open_shards(corpus)
    weights, left_out = default_weights(shards, 16)
    assert weights == {source.name: source.tokens for source in shards.manifest.sources}
    assert left_out == []


def test_a_source_without_one_window_is_left_out_and_named(make_corpus, tmp_path):
    shards = open_shards(make_corpus(tmp_path, {"web": ["a"], "books": [" ".join(map(str, range(400)))]}, shards=1))
    weights, left_out = default_weights(shards, 16)
    assert list(weights) == ["books"]
    assert left_out == ["web"]
    with pytest.raises(ValueError, match=r"holds too few tokens: books .*, web 2; a window reads 100,001"):
        default_weights(shards, 100_000)
