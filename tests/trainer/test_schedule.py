import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.trainer.schedule import rate_factor
from gristmill.trainer.settings import ScheduleSettings


@pytest.mark.parametrize(
    ("update", "rate"),
    [
        (0, 0.25),  # a quarter of the warm-up
        (3, 1.0),
        (4, 1.0),  # the cosine begins: (0.1 + 1) / 2 + 0.45
        (8, 0.55),  # half-way: (1 + 0.1) / 2
        (12, 0.1),
        (50, 0.1),
    ],
)
def test_warm_up_cosine_and_end(update, rate):
    assert rate_factor(ScheduleSettings(warmup_steps=4), update, 1, 12) == pytest.approx(rate)


def test_no_warm_up_starts_at_the_peak():
    assert rate_factor(ScheduleSettings(least=0.0), 0, 1, 10) == 1.0


def test_a_schedule_shorter_than_its_warm_up_only_warms_up():
    assert [rate_factor(ScheduleSettings(warmup_steps=4), update, 1, 2) for update in range(2)] == [0.25, 0.5]


@pytest.mark.parametrize(
    ("decay", "half_way", "three_quarters"),
    [
        ("linear", 0.5, 0.25),
        ("sqrt", 1 - math.sqrt(0.5), 1 - math.sqrt(0.75)),
        ("cosine", 0.5, 0.5 * (1 - math.sqrt(0.5))),
        ("exponential", 0.5**2, 0.5**3),  # 4 half-lives in the decay
    ],
)
def test_wsd_is_stable_until_its_decay_and_then_takes_its_form(decay, half_way, three_quarters):
    schedule = ScheduleSettings(name="wsd", warmup_steps=10, decay_fraction=0.2, decay=decay, least=0.0, half_lives=4)
    rates = {update: rate_factor(schedule, update, 1, 100) for update in (9, 10, 50, 80, 90, 95, 100)}
    assert [rates[update] for update in (9, 10, 50, 80)] == [1, 1, 1, 1]
    assert rates[90] == pytest.approx(half_way)
    assert rates[95] == pytest.approx(three_quarters)
    assert rates[100] == pytest.approx(0.5**4 if decay == "exponential" else 0)


def test_linear_falls_to_its_least():
    schedule = ScheduleSettings(name="linear", warmup_steps=2, least=0.2)
    assert [rate_factor(schedule, update, 1, 10) for update in (2, 6, 10)] == pytest.approx([1.0, 0.6, 0.2])


def test_power_falls_by_its_exponent_and_ends_in_a_decay():
    schedule = ScheduleSettings(name="power", warmup_steps=4, exponent=0.5, decay_fraction=0.25, decay="linear", least=0.0)
    # (16 / 4)^-0.5 = 1/2, (36 / 4)^-0.5 = 1/3; the decay begins at 75 of 100: (75 / 4)^-0.5, half of it at 87.5
    assert rate_factor(schedule, 16, 1, 100) == pytest.approx(1 / 2)
    assert rate_factor(schedule, 36, 1, 100) == pytest.approx(1 / 3)
    assert rate_factor(schedule, 87.5, 1, 100) == pytest.approx((75 / 4) ** -0.5 / 2)
    assert rate_factor(schedule, 100, 1, 100) == pytest.approx(0)


@given(st.integers(1, 50), st.integers(1, 2000), st.integers(0, 3000), st.sampled_from(["cosine", "linear", "wsd", "power"]))
def test_a_clock_of_tokens_tells_the_same_as_one_of_steps_when_all_batches_are_alike(batch, end, update, name):
    steps = ScheduleSettings(name=name, warmup_steps=20)
    tokens = ScheduleSettings(name=name, clock="tokens", warmup_tokens=20 * batch)
    expected = rate_factor(steps, update, 1, end)
    assert rate_factor(tokens, update * batch, batch, end * batch) == pytest.approx(expected)
    assert 0 <= expected <= 1


def test_a_count_by_the_other_clock_is_refused_with_what_to_set():
    with pytest.raises(ValueError, match=r"count something else; set schedule.steps=null schedule.warmup_steps=0 "):
        ScheduleSettings(clock="tokens", steps=10, warmup_steps=3)
    with pytest.raises(ValueError, match=r"set schedule.warmup_tokens=0 "):
        ScheduleSettings(warmup_tokens=3)
