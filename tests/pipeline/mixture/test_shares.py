"""From sizes and weights to tokens: cases worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.pipeline.mixture.shares import TooMany, temperature, unimax, water_fill, whole_tokens, worth_in_epochs


@pytest.mark.parametrize(
    ("exponent", "shares"),
    [(1, (0.9, 0.09, 0.01)), (0.5, (0.7034, 0.2224, 0.0741)), (0.3, (0.568, 0.2847, 0.1473)), (0, (1 / 3, 1 / 3, 1 / 3))],
)
def test_temperature(exponent, shares):
    assert temperature([900, 90, 10], exponent) == pytest.approx(shares, abs=5e-5)


@pytest.mark.parametrize(
    ("budget", "epochs", "tokens"), [(600, 1, [490, 100, 10]), (600, 4, [280, 280, 40]), (3000, 1, [1000, 100, 10])]
)
def test_unimax(budget, epochs, tokens):
    assert unimax([1000, 100, 10], budget, epochs) == tokens


def test_unimax_is_even_where_no_cap_binds():
    assert unimax([50, 70, 90], 30, 1) == [10, 10, 10]


def test_what_a_cap_takes_from_one_source_the_others_give():
    # 100B tokens, A holds 10B at weight 0.6 and may be read four times: 40B of A, 60B of B
    assert water_fill([0.6, 0.4], 100, [40, 4000]) == [40, 60]


def test_caps_may_bind_one_after_another_and_sources_without_weight_give_nothing():
    assert water_fill([8, 1, 1, 0], 100, [40, 20, 90, 1000]) == pytest.approx([40, 20, 40, 0])


def test_more_than_the_caps_allow_names_the_largest():
    with pytest.raises(TooMany) as caught:
        water_fill([1, 1, 0], 100, [40, 50, 1000])
    assert caught.value.largest == 90


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=30).filter(any), st.integers(1, 10**14))
def test_whole_tokens_sum_to_the_total_and_nothing_stays_nothing(amounts, total):
    result = whole_tokens(amounts, total)
    assert sum(result) == total
    assert all(tokens == 0 for tokens, amount in zip(result, amounts, strict=True) if amount == 0)


@pytest.mark.parametrize(
    ("epochs", "worth"), [(0.5, 0.5), (1, 1), (2, 1.9682), (4, 3.7257), (8, 6.6241), (16, 10.5825), (40, 15.1675)]
)
def test_what_repeats_are_worth(epochs, worth):
    assert worth_in_epochs(epochs) == pytest.approx(worth, abs=5e-5)
