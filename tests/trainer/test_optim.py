import json
import math

import pytest
import torch

from gristmill.trainer import checkpoint
from gristmill.trainer.config import ConfigError
from gristmill.trainer.model import Decoder, is_hidden_matrix
from gristmill.trainer.model_settings import ModelSettings, MupSettings
from gristmill.trainer.optim import Together, make_optimizer
from gristmill.trainer.settings import OptimizerSettings
from gristmill.trainer.train import train

SHAPE = ModelSettings(layers=2, width=16, heads=2, kv_heads=1, vocab_size=64)
SMALL = [
    "seq_len=32", "windows=8", "threads=1", "device=cpu", "model.layers=2", "model.width=32", "model.heads=2",
    "model.kv_heads=1", "schedule.steps=8",
]  # fmt: skip


def model() -> Decoder:
    torch.manual_seed(0)
    return Decoder(SHAPE, None, 8)


def stepped(settings: OptimizerSettings, gradient: float = 0.5) -> tuple[dict, dict]:
    """Weights before and after one step with all gradients alike."""
    held = model()
    before = {name: value.detach().clone() for name, value in held.named_parameters()}
    optimizer = make_optimizer(held, settings, fused=False)
    for parameter in held.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    optimizer.step()
    return before, dict(held.named_parameters())


def test_the_first_step_of_adamw_is_its_rate_and_its_decay():
    before, after = stepped(OptimizerSettings(learning_rate=0.01, weight_decay=0.1, epsilon=1e-12))
    for name, value in after.items():
        # both moments are corrected to g and g^2, so the step is the sign of the gradient; gains do not decay
        kept = 1 - 0.01 * 0.1 if value.dim() >= 2 else 1.0
        torch.testing.assert_close(value.detach(), before[name] * kept - 0.01)


def newton_schulz(update: torch.Tensor) -> torch.Tensor:
    """The five steps by the formula of Jordan et al. 2024, in bfloat16."""
    a, b, c = 3.4445, -4.775, 2.0315
    x = update.bfloat16()
    x = x.T if x.shape[0] > x.shape[1] else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(5):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return (x.T if update.shape[0] > update.shape[1] else x).float()


def test_the_first_step_of_muon_is_an_orthogonal_one_for_hidden_matrices_and_adamws_for_the_rest():
    settings = OptimizerSettings(name="muon", learning_rate=0.01, weight_decay=0.0, epsilon=1e-12, muon={"learning_rate": 0.1})
    before, after = stepped(settings)
    moved = 0
    for name, value in after.items():
        if value.dim() == 2 and is_hidden_matrix(name):
            # Nesterov's g + 0.95 g is a multiple of g, and the size goes out in the first division
            scale = math.sqrt(max(1, value.shape[0] / value.shape[1]))
            expected = before[name] - 0.1 * scale * newton_schulz(torch.full_like(value, 0.5))
            torch.testing.assert_close(value.detach(), expected, atol=2e-3, rtol=0)
            moved += 1
        else:
            torch.testing.assert_close(value.detach(), before[name] - 0.01)
    assert moved >= 2 * 6


def test_muon_moves_each_parameter_once():
    optimizer = make_optimizer(held := model(), OptimizerSettings(name="muon"), fused=False)
    assert isinstance(optimizer, Together)
    groups = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(groups) == sorted(id(parameter) for parameter in held.parameters())


def test_muon_and_mup_are_not_both_taken():
    settings = SHAPE.model_copy(update={"mup": MupSettings(base_width=8)})
    with pytest.raises(ValueError, match="both set the rate"):
        make_optimizer(Decoder(settings, None, 8), OptimizerSettings(name="muon"), fused=False)


@pytest.mark.parametrize("name", ["muon", "adafactor"])
def test_training_goes_on_to_the_last_bit_with_every_optimizer(corpus, tmp_path, name):
    sets = [f"data={corpus}", *SMALL, f"optimizer.name={name}", "average_decay=0.9", "spikes.history=4"]
    whole = train("tiny", [*sets, "steps=8"], tmp_path / "whole")
    train("tiny", [*sets, "steps=4"], tmp_path / "parts")
    parts = train("tiny", [*sets, "steps=8"], tmp_path / "parts")
    first, second = (checkpoint.load(checkpoint.checkpoints(tmp_path / one)[-1][1]) for one in ("whole", "parts"))
    for part in ("model", "average"):
        assert all(torch.equal(first[part][key], second[part][key]) for key in first[part]), part
    assert first["spikes"] == second["spikes"]
    assert parts["last_loss"] == whole["last_loss"] < whole["first_loss"]
    with pytest.raises(ConfigError, match="another optimizer"):
        train("tiny", [*sets, "steps=9", "optimizer.name=adamw"], tmp_path / "parts")


def test_a_step_that_stands_out_is_not_taken_and_told(corpus, tmp_path):
    train("tiny", [f"data={corpus}", *SMALL, "steps=8", "spikes.sigmas=0.001", "spikes.history=2"], tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert any("before" in row.get("skipped", "") for row in rows)
    assert any("skipped" not in row for row in rows)
