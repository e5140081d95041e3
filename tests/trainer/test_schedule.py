import pytest

from gristmill.trainer.schedule import cosine_rate


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
    assert cosine_rate(update, peak=1.0, warmup=4, steps=12, least=0.1) == pytest.approx(rate)


def test_no_warm_up_starts_at_the_peak():
    assert cosine_rate(0, peak=2.0, warmup=0, steps=10, least=0.0) == 2.0


def test_a_schedule_shorter_than_its_warm_up_only_warms_up():
    assert [cosine_rate(u, peak=1.0, warmup=4, steps=2, least=0.1) for u in range(2)] == [0.25, 0.5]
