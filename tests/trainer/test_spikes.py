import pytest

from gristmill.trainer.settings import SpikeSettings
from gristmill.trainer.spikes import SpikeWatch


def watch(values: list[float], sigmas: float = 3.0, history: int = 8) -> SpikeWatch:
    held = SpikeWatch(SpikeSettings(sigmas=sigmas, history=history))
    for value in values:
        held.stands_out(value, 1.0)
    return held


def test_a_loss_far_above_the_last_ones_stands_out():
    # mean 2, deviation sqrt(2 * 1 / 3) = 0.816: the bound is 4.449
    assert watch([1.0, 2.0, 2.0, 3.0]).stands_out(4.4, 1.0) is None
    assert "loss 4.5, 2 ± 0.82" in (watch([1.0, 2.0, 2.0, 3.0]).stands_out(4.5, 1.0) or "")


def test_a_gradient_norm_stands_out_too():
    held = watch([2.0] * 4)
    assert "gradient norm 9" in (held.stands_out(2.0, 9.0) or "")


def test_half_of_the_history_must_be_there_first():
    assert watch([1.0, 1.0, 1.0]).stands_out(100.0, 1.0) is None
    assert watch([1.0, 1.0, 1.0, 1.0]).stands_out(100.0, 1.0) is not None


def test_only_the_last_steps_count_and_low_losses_never_stand_out():
    held = watch([100.0, 1.0, 100.0, 1.0, *[5.0] * 8])
    assert held.stands_out(6.0, 1.0) is not None
    assert held.stands_out(0.0, 0.0) is None


def test_it_goes_on_where_it_stood():
    held, other = watch([1.0, 2.0, 3.0, 4.0]), watch([])
    other.resume(held.state())
    assert other.state() == held.state()
    assert other.stands_out(50.0, 1.0) == held.stands_out(50.0, 1.0)


@pytest.mark.parametrize("field", [{"sigmas": 0}, {"history": 1}])
def test_settings_that_cannot_be_are_refused(field):
    with pytest.raises(ValueError, match="greater"):
        SpikeSettings(**field)
