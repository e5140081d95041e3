import math

import pytest
import torch

from gristmill.trainer.model import Decoder, padded_vocabulary, rotate, rotations
from gristmill.trainer.settings import ModelSettings

SMALL = ModelSettings(layers=2, width=32, heads=4, kv_heads=2)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Decoder(SMALL, vocab_size=300, seq_len=16)


@pytest.mark.parametrize(("given", "padded"), [(1, 128), (128, 128), (129, 256), (50_257, 50_304)])
def test_the_vocabulary_is_padded_to_a_multiple_of_128(given, padded):
    assert padded_vocabulary(given) == padded


def test_parameters_worked_out_by_hand(model):
    # inner width: 8/3 of 32 is 85.3, so 128
    attention = 32 * 32 * 2 + 32 * 16 * 2
    feed_forward = 3 * 32 * 128
    assert sum(p.numel() for p in model.parameters()) == 384 * 32 + 2 * (attention + feed_forward + 64) + 32
    untied = Decoder(SMALL.model_copy(update={"tied": False}), 300, 16)
    assert sum(p.numel() for p in untied.parameters()) == 2 * 384 * 32 + 2 * (attention + feed_forward + 64) + 32


def test_no_token_sees_a_later_one(model):
    ids = torch.randint(0, 300, (2, 16))
    changed = ids.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 300
    before, after = model(ids), model(changed)
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.equal(before[:, 9:], after[:, 9:])


def test_a_fresh_model_knows_nothing(model):
    rows = torch.randint(0, 300, (8, 17))
    assert model.loss(rows).item() == pytest.approx(math.log(384), abs=0.1)


def test_the_loss_is_the_mean_over_targets(model):
    rows = torch.randint(0, 300, (2, 17))
    chances = torch.log_softmax(model(rows[:, :-1]), -1)
    by_hand = -torch.stack([chances[b, t, rows[b, t + 1]] for b in range(2) for t in range(16)]).mean()
    assert model.loss(rows).item() == pytest.approx(by_hand.item(), abs=1e-5)


def test_rotation_by_the_formula():
    cosines, sines = rotations(4, 4, 100.0)
    heads = torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(1, 1, 4, 4)
    turned = rotate(heads, cosines, sines)[0, 0]
    for position in range(4):
        for pair, angle in enumerate((position, position / 10)):  # 100^(-0/4), 100^(-2/4)
            a, b = heads[0, 0, 0, pair].item(), heads[0, 0, 0, pair + 2].item()
            assert turned[position, pair].item() == pytest.approx(a * math.cos(angle) - b * math.sin(angle), abs=1e-5)
            assert turned[position, pair + 2].item() == pytest.approx(b * math.cos(angle) + a * math.sin(angle), abs=1e-5)


def test_attention_depends_on_distances_only():
    cosines, sines = rotations(20, 8, 10_000.0)
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(i, j):
        return (rotate(query, cosines[i : i + 1], sines[i : i + 1]) * rotate(key, cosines[j : j + 1], sines[j : j + 1])).sum()

    assert score(5, 3).item() == pytest.approx(score(17, 15).item(), abs=1e-4)


def test_shared_keys_are_repeated_keys():
    torch.manual_seed(1)
    shared = Decoder(SMALL, 300, 16)
    full = Decoder(SMALL.model_copy(update={"kv_heads": None}), 300, 16)
    state = shared.state_dict()
    for name in list(state):
        if name.endswith(("keys.weight", "values.weight")):  # each of 2 heads of width 8 serves 2 query heads
            state[name] = state[name].view(2, 8, 32).repeat_interleave(2, 0).reshape(32, 32)
    full.load_state_dict(state)
    ids = torch.randint(0, 300, (2, 16))
    assert torch.allclose(shared(ids), full(ids), atol=1e-5)
