import pytest
import torch
from torch.nn import functional

from gristmill.trainer.experts import Experts, balance_loss
from gristmill.trainer.feed_forward import ACTIVATIONS
from gristmill.trainer.model import Decoder
from gristmill.trainer.model_settings import ExpertSettings, ModelSettings


def settings(**changes):
    experts = ExpertSettings(**{"count": 5, "per_token": 2, "width": 12, **changes})
    return ModelSettings(layers=2, width=16, heads=2, experts=experts)


def layer(of):
    torch.manual_seed(0)
    made = Experts(of)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def route_plainly(made, tokens):
    """A token at a time."""
    rows = []
    for token in tokens:
        chances = made.router(token).softmax(-1)
        weights, chosen = chances.topk(made.of.per_token)
        if made.of.normalise:
            weights = weights / weights.sum()
        row = torch.zeros_like(token) if made.shared is None else made.shared(token)
        for weight, expert in zip(weights, chosen, strict=True):
            inner = made.up[expert] @ token
            inner = made.activation(inner) if made.gate is None else made.activation(made.gate[expert] @ token) * inner
            row = row + weight * (made.out[expert] @ inner)
        rows.append(row)
    return torch.stack(rows)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("changes", [{}, {"normalise": True}, {"shared": 2}, {"per_token": 5}, {"per_token": 1}])
def test_it_is_what_a_token_at_a_time_gives(changes, gated):
    made = layer(settings(**changes).model_copy(update={"gated": gated}))
    tokens = torch.randn(2, 9, 16)
    out, _ = made(tokens)
    torch.testing.assert_close(out.flatten(0, 1), route_plainly(made, tokens.flatten(0, 1)), atol=1e-5, rtol=1e-4)


def test_no_token_is_dropped_when_all_go_to_one_expert():
    made = layer(settings(per_token=1))
    with torch.no_grad():
        made.router.weight.zero_()
        made.router.weight[3, 0] = 50.0
    tokens = torch.randn(40, 16)
    tokens[:, 0] = 1.0
    out, _ = made(tokens)
    inner = functional.silu(tokens @ made.gate[3].T) * (tokens @ made.up[3].T)
    torch.testing.assert_close(out, inner @ made.out[3].T, atol=1e-4, rtol=1e-4)


def test_the_grouped_product_equals_an_expert_at_a_time():
    made = layer(settings())
    pairs = torch.randn(20, 16)
    ends = torch.tensor([4, 4, 11, 20, 20])  # two experts have nothing to do
    torch.testing.assert_close(made.run_grouped(pairs, ends), made.run_one_by_one(pairs, ends), atol=1e-5, rtol=1e-4)


def test_balance_by_hand():
    # 3 tokens, 2 experts, one each: shares 2/3 and 1/3, mean chances 0.6 and 0.4
    chances = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    assert balance_loss(chances, torch.tensor([[0], [0], [1]])).item() == pytest.approx(2 * (2 / 3 * 0.6 + 1 / 3 * 0.4))
    even = torch.full((4, 4), 0.25)
    assert balance_loss(even, torch.tensor([[0, 1], [2, 3], [0, 1], [2, 3]])).item() == pytest.approx(1.0)


def test_the_losses_of_a_layer_are_weighted():
    made = layer(settings(balance_loss=0.5, router_z_loss=0.25))
    tokens = torch.randn(7, 16)
    scores = made.router(tokens)
    chosen = scores.softmax(-1).topk(2).indices
    expected = 0.5 * balance_loss(scores.softmax(-1), chosen) + 0.25 * scores.logsumexp(-1).square().mean()
    assert made(tokens)[1].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_model_adds_the_mean_over_layers():
    torch.manual_seed(0)
    model = Decoder(settings(), 100, 8)
    rows = torch.randint(0, 100, (2, 9))
    losses = model(rows[:, :-1], rows[:, 1:])
    assert losses.total.item() == pytest.approx(losses.cross_entropy.item() + losses.experts.item(), rel=1e-5)
    losses.total.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_same_bits_again():
    torch.manual_seed(0)
    model = Decoder(settings(), 100, 32)
    rows = torch.randint(0, 100, (4, 33))
    found = []
    for _ in range(2):
        model.zero_grad()
        model.loss(rows).backward()
        found.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_activations_at_a_point():
    point = torch.tensor(1.5)
    expected = {"silu": 1.5 * 0.8175745, "gelu": 1.5 * 0.9331928, "gelu_tanh": 1.3995716, "relu": 1.5, "relu_squared": 2.25}
    assert {name: of(point).item() for name, of in ACTIVATIONS.items()} == pytest.approx(expected, abs=1e-4)


def test_more_choices_than_experts_are_refused():
    with pytest.raises(ValueError, match="per_token 6 is more than the 5 experts"):
        settings(per_token=6)


def test_the_experts_of_a_block_that_predicts_ahead_are_balanced_too():
    torch.manual_seed(0)
    model = Decoder(settings().model_copy(update={"ahead": 1}), 100, 8)
    rows = torch.randint(0, 100, (2, 9))
    found = []
    for block in (*model.blocks, model.aheads[0].block):
        block.feed_forward.register_forward_hook(lambda _, __, output: found.append(output[1]))
    losses = model(rows[:, :-1], rows[:, 1:])
    assert len(found) == 3
    assert losses.experts.item() == pytest.approx(torch.stack(found).mean().item(), rel=1e-6)
