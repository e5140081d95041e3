"""Sizes by published laws, against values worked out by hand."""

import json
import math

import pytest

from gristmill.pipeline.cli import exit_status
from gristmill.trainer.sizing import (
    CHINCHILLA,
    EPOCH,
    REPEATED,
    constrained_loss,
    critical_batch,
    data_constrained,
    deepseek,
    effective_parameters,
    effective_tokens,
    olmo_ladder,
    report,
    rule_of_20,
    sizes,
    step_law,
)


def test_chinchilla_itself_has_70_billion_parameters_and_1_4_trillion_tokens():
    # 5.76e23 = 6 x 70e9 x 1.4e12, within 2%; sqrt(5.76e23 / 120) = sqrt(4.8e21)
    assert rule_of_20(5.76e23) == (pytest.approx(6.9282e10, rel=1e-4), pytest.approx(1.38564e12, rel=1e-4))


@pytest.mark.parametrize(
    ("surface", "parameters", "tokens"),
    [
        # (0.34 406.4 / (0.28 410.7))^(1 / 0.62) = 1.3447; (9.6e22)^(0.28 / 0.62) = 2.3938e10
        (CHINCHILLA, 3.219e10, 2.982e12),
        # (0.348 482 / (0.366 2085))^(1 / 0.714) = 0.1198; (9.6e22)^(0.366 / 0.714) = 6.037e11
        (EPOCH, 7.233e10, 1.327e12),
    ],
)
def test_surfaces_have_their_lowest_loss_where_the_closed_form_says(surface, parameters, tokens):
    assert surface.best(5.76e23) == (pytest.approx(parameters, rel=1e-3), pytest.approx(tokens, rel=1e-3))
    for flops in (1e18, 1e22):
        best = surface.best(flops)
        assert 6 * best[0] * best[1] == pytest.approx(flops)
        for factor in (0.9, 1.1):
            assert surface.loss(best[0] * factor, best[1] / factor) > surface.loss(*best)


def test_the_loss_of_a_surface():
    # 1e12^-0.34 = 10^-4.08, 1e12^-0.28 = 10^-3.36
    assert CHINCHILLA.loss(1e12, 1e12) == pytest.approx(1.69 + 406.4 * 8.3176e-5 + 410.7 * 4.3652e-4, rel=1e-5)


def test_deepseek():
    size = deepseek(1e20)
    # 0.1715 10^10.486, 5.8316 10^9.514, 0.292 10^6.542, 0.3118 10^-2.5
    assert size.flops_a_token == pytest.approx(5.2513e9, rel=1e-4)
    assert size.tokens == pytest.approx(1.9045e10, rel=1e-4)
    assert size.batch_tokens == pytest.approx(1.01714e6, rel=1e-4)
    assert size.learning_rate == pytest.approx(9.8600e-4, rel=1e-4)
    # its constants go together: M D is C
    assert size.flops_a_token * size.tokens == pytest.approx(1e20, rel=1e-3)


def test_step_law():
    size = step_law(1e9, 1e11)
    # 1.79 10^(-6.417 + 3.377), 0.58 10^6.281
    assert size.learning_rate == pytest.approx(1.6325e-3, rel=1e-4)
    assert size.batch_tokens == pytest.approx(1.10771e6, rel=1e-4)


def test_the_ladder_of_olmo():
    small, large = olmo_ladder(108e6, 1e10), olmo_ladder(8 * 108e6, 1e10)
    assert (small.batch_tokens, small.learning_rate) == (pytest.approx(327_680), pytest.approx(0.0047))
    # eight times the size: four times the batch, half the rate
    assert (large.batch_tokens, large.learning_rate) == (pytest.approx(1_310_720), pytest.approx(0.00235))
    assert "beta2 0.99" in small.note
    assert "beta2 0.95" in large.note


def test_the_critical_batch():
    # 22.91 10^(10 x 0.47)
    assert critical_batch(1e10).batch_tokens == pytest.approx(22.91 * 50118.7, rel=1e-4)


def test_repeated_tokens_are_worth_less_and_less():
    assert effective_tokens(0.5e9, 1e9) == 0.5e9
    assert effective_tokens(1e9, 1e9) == 1e9
    # four epochs: 1 + 15.39 (1 - e^(-3 / 15.39)) = 1 + 15.39 x 0.17712
    assert effective_tokens(4e9, 1e9) == pytest.approx(3.7258e9, rel=1e-4)
    assert effective_tokens(1e15, 1e9) == pytest.approx(16.39e9)


def test_parameters_beyond_what_the_unique_tokens_call_for_are_worth_less():
    # e^(2 (6.2554 - 7.3049) / 0.7054) = 0.051015: 19.6 tokens a parameter
    assert effective_parameters(0.05e9, 1e9) == 0.05e9
    enough = 0.051015e9
    assert effective_parameters(2 * enough, 1e9) == pytest.approx(enough * (1 + 5.31 * (1 - math.exp(-1 / 5.31))), rel=1e-3)


def test_plenty_of_data_changes_nothing_and_scarce_data_is_repeated_by_a_smaller_model():
    best = REPEATED.best(1e19)
    plenty, scarce = data_constrained(1e19, 1e12), data_constrained(1e19, 2e8)
    assert plenty.parameters == pytest.approx(best[0], rel=1e-5)
    assert plenty.tokens == pytest.approx(best[1], rel=1e-5)
    assert scarce.parameters < best[0]
    assert scarce.loss > plenty.loss
    for factor in (0.9, 1.1):
        assert constrained_loss(scarce.parameters * factor, scarce.tokens / factor, 2e8) > scarce.loss
    assert 6 * scarce.parameters * scarce.tokens == pytest.approx(1e19)


def test_every_law_has_a_source_and_what_was_not_checked_is_said():
    found = sizes(1e19, unique_tokens=1e9)
    assert len(found) == 8
    assert all(size.source for size in found)
    # the rule is arithmetic
    assert [size.law for size in found if size.uncertain is None] == ["20 tokens a parameter"]


def test_the_nearest_shipped_configuration_is_named():
    # 20 tokens a parameter: 6.7e9 x 134e9 x 6
    rows = {row["law"]: row for row in report(120 * 6.74e9**2)}
    assert rows["20 tokens a parameter"]["config"] in ("llama-7b", "llama2-7b")
    assert rows["critical batch"]["config"] is None
    assert rows["step law"]["steps"] == round(rows["step law"]["tokens"] / rows["step law"]["batch_tokens"])
    small = {row["law"]: row for row in report(120 * 124e6**2)}
    assert small["20 tokens a parameter"]["config"] == "gpt2-124m"


def test_the_command(capsys):
    assert exit_status(["train", "size", "--flops", "1e19", "--unique-tokens", "2e8"]) == 0
    told = capsys.readouterr().out
    assert "arXiv:2305.16264" in told
    assert "UNVERIFIED" in told
    assert exit_status(["train", "size", "--flops", "1e19", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["parameters"] == pytest.approx(2.8868e8, rel=1e-4)
    assert exit_status(["train", "size", "--flops", "-1"]) == 2
    assert "flops is -1; give the operations of the whole training" in capsys.readouterr().err
    assert exit_status(["train", "size", "--flops", "1e19", "--unique-tokens", "0"]) == 2
    assert "unique tokens are 0" in capsys.readouterr().err
