import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gristmill.trainer.losses import IGNORED, next_token_loss, with_ignored
from gristmill.trainer.model import Decoder
from gristmill.trainer.model_settings import ModelSettings


def problem(positions=23, width=7, vocabulary=40, dtype=torch.float64):
    torch.manual_seed(0)
    hidden = torch.randn(positions, width, dtype=dtype, requires_grad=True)
    weight = torch.randn(vocabulary, width, dtype=dtype, requires_grad=True)
    targets = torch.randint(0, vocabulary, (positions,))
    targets[[2, 3, 20]] = IGNORED
    return hidden, weight, targets


@pytest.mark.parametrize("chunk", [1, 5, 23, 100])
@pytest.mark.parametrize("cap", [None, 3.0])
@pytest.mark.parametrize("z_weight", [0.0, 0.1])
@pytest.mark.parametrize("denominator", [None, 57])
def test_chunks_give_the_loss_and_gradients_of_the_whole(chunk, cap, z_weight, denominator):
    found = []
    for tokens in (None, chunk):
        hidden, weight, targets = problem()
        over = None if denominator is None else torch.tensor(denominator)
        total, each, sizes = next_token_loss(
            hidden, weight, targets, denominator=over, z_weight=z_weight, cap=cap, chunk_tokens=tokens
        )
        (3 * total).backward()
        found.append((total, each, sizes, hidden.grad, weight.grad))
    for plain, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, plain, atol=1e-12, rtol=1e-10)


def test_by_hand():
    # two words with logits 0 and ln 3: chances 1/4 and 3/4, log-sum-exp ln 4
    hidden, weight = torch.ones(2, 1), torch.tensor([[0.0], [math.log(3)]])
    total, each, sizes = next_token_loss(hidden, weight, torch.tensor([1, IGNORED]), z_weight=0.5)
    assert each.tolist() == pytest.approx([math.log(4 / 3), 0.0])
    assert sizes.tolist() == pytest.approx([math.log(4), 0.0])
    assert total.item() == pytest.approx(math.log(4 / 3) + 0.5 * math.log(4) ** 2)


def test_nothing_to_count_costs_nothing():
    hidden, weight, targets = problem()
    total, _, _ = next_token_loss(hidden, weight, torch.full_like(targets, IGNORED))
    total.backward()
    assert total.item() == 0
    assert not hidden.grad.any()


class Largest(TorchDispatchMode):
    """The most elements that any tensor made meanwhile has."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(made, torch.Tensor):
                self.elements = max(self.elements, made.numel())
        return result


@pytest.mark.parametrize(("chunk", "most"), [(32, 32 * 1000), (128, 128 * 1000), (None, 4096 * 1000)])
def test_no_tensor_is_larger_than_the_logits_of_a_chunk(chunk, most):
    hidden = torch.randn(4096, 4, requires_grad=True)
    weight = torch.randn(1000, 4, requires_grad=True)
    targets = torch.randint(0, 1000, (4096,))
    with Largest() as largest:
        total, _, _ = next_token_loss(hidden, weight, targets, chunk_tokens=chunk)
        total.backward()
    assert largest.elements == most


def test_gradients_are_not_worked_out_when_none_are_wanted():
    hidden, weight, targets = problem()
    with torch.no_grad():
        total, _, _ = next_token_loss(hidden, weight, targets)
    assert not total.requires_grad


def test_half_precision_keeps_its_types():
    hidden, weight, targets = problem(dtype=torch.float32)
    expected, _, _ = next_token_loss(hidden, weight, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, each, _ = next_token_loss(hidden, weight, targets, chunk_tokens=8)
    total.backward()
    assert (total.dtype, each.dtype, hidden.grad.dtype, weight.grad.dtype) == (torch.float32,) * 4
    assert total.item() == pytest.approx(expected.item(), rel=0.02)


def test_what_does_not_count():
    targets = torch.tensor([[11, 12, 13, 14], [21, 22, 23, 24]])
    documents = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]])
    n = IGNORED
    assert with_ignored(targets, documents=documents).tolist() == [[11, n, 13, 14], [21, 22, 23, 24]]
    assert with_ignored(targets, prefix=torch.tensor([3, 0])).tolist() == [[n, n, 13, 14], [21, 22, 23, 24]]
    assert with_ignored(targets).tolist() == targets.tolist()


def model_and_rows(**shape):
    torch.manual_seed(0)
    model = Decoder(ModelSettings(layers=2, width=32, heads=2, **shape), 100, 12, z_weight=0.01).double()
    return model, torch.randint(0, 100, (4, 13))


@pytest.mark.parametrize("ahead", [0, 2])
def test_micro_batches_over_one_denominator_add_up_to_the_whole(ahead):
    model, rows = model_and_rows(ahead=ahead)
    targets = rows[:, 1:].clone()
    if not ahead:
        targets[0, :9] = IGNORED
    counted = (targets != IGNORED).sum()
    model(rows[:, :-1], targets).total.backward()
    whole = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    for part in (slice(0, 1), slice(1, 4)):
        model(rows[part, :-1], targets[part], denominator=counted).total.backward()
    for parameter, expected in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(parameter.grad, expected, atol=1e-12, rtol=1e-9)


def test_tokens_ahead_are_those_after_the_next():
    model, rows = model_and_rows(ahead=2)
    ids, targets = rows[:, :-1], rows[:, 1:]
    losses = model(ids, targets)
    rotation, sight = model._rotation(12, None), model._sights(12, ids.device, None, None)[None]
    hidden = model.embedding(ids)
    for block in model.blocks:
        hidden, _ = block(hidden, rotation, sight)
    costs = []
    for shift, ahead in enumerate(model.aheads, 1):
        # padding at the end stands after all that counts, and is not seen
        came = torch.cat([rows[:, shift : shift + 12], torch.zeros(4, shift - 1, dtype=torch.long)], 1)
        hidden, _ = ahead(hidden, model.embedding(came), rotation, sight)
        chances = model.head(model.norm(hidden))[:, : 12 - shift].log_softmax(-1)
        sizes = model.head(model.norm(hidden))[:, : 12 - shift].logsumexp(-1)
        wanted = rows[:, shift + 1 :]
        costs.append((-chances.gather(2, wanted[..., None])).mean() + 0.01 * sizes.square().mean())
    assert losses.ahead.item() == pytest.approx(torch.stack(costs).mean().item(), rel=1e-9)
    expected = losses.cross_entropy + 0.01 * losses.z + 0.1 * losses.ahead
    assert losses.total.item() == pytest.approx(expected.item(), rel=1e-9)


def test_losses_of_each_token_mean_to_the_cross_entropy():
    model, rows = model_and_rows()
    losses = model(rows[:, :-1], rows[:, 1:])
    assert losses.per_token.shape == (4, 12)
    assert losses.per_token.mean().item() == pytest.approx(losses.cross_entropy.item(), rel=1e-12)
    chances = model(rows[:, :-1]).log_softmax(-1)
    torch.testing.assert_close(losses.per_token, -chances.gather(2, rows[:, 1:, None])[..., 0])
