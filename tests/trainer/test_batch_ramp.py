import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.trainer.batch_ramp import ramp_steps, steps_within, windows_at, windows_before

RAMP = ((3, 4), (2, 10))

ramps = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 50)), max_size=4)


def test_tokens_are_rounded_up_to_whole_batches():
    # batches of 4 windows of 10 tokens: 81 tokens are 3 of them, 80 are 2
    assert ramp_steps([(81, 4), (80, 4)], 10) == ((3, 4), (2, 4))


def test_windows_step_by_step():
    assert [windows_at(RAMP, 16, step) for step in range(1, 8)] == [4, 4, 4, 10, 10, 16, 16]
    assert [windows_before(RAMP, 16, steps) for steps in range(8)] == [0, 4, 8, 12, 22, 32, 48, 64]


@pytest.mark.parametrize(
    ("limit", "steps"), [(0, 0), (3, 0), (4, 1), (11.9, 2), (12, 3), (21, 3), (22, 4), (32, 5), (47, 5), (48, 6)]
)
def test_the_most_steps_within_so_many_windows(limit, steps):
    assert steps_within(RAMP, 16, limit) == steps


@given(ramps, st.integers(1, 50), st.integers(0, 200))
def test_the_three_agree(ramp, windows, steps):
    before = windows_before(ramp, windows, steps)
    assert before == sum(windows_at(ramp, windows, step) for step in range(1, steps + 1))
    assert steps_within(ramp, windows, before) == steps
    assert steps_within(ramp, windows, before + windows_at(ramp, windows, steps + 1) - 0.5) == steps
