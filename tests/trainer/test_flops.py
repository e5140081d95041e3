import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gristmill.trainer.config import read_config
from gristmill.trainer.flops import flops_per_token, matmul_weights, peak, utilisation
from gristmill.trainer.model import Decoder
from gristmill.trainer.model_settings import ExpertSettings, ModelSettings


def shape(name, **changes):
    return read_config(name, ["data=x"]).model.model_copy(update=changes)


def test_gpt2_by_hand():
    # 12 layers of 12 x 768^2, and the head
    assert matmul_weights(shape("gpt2-124m"), 50_304) == 12 * 12 * 768**2 + 768 * 50_304 == 123_568_128
    assert flops_per_token(shape("gpt2-124m"), 50_304, 1024) == 6 * 123_568_128 + 12 * 12 * 768 * 1024 == 854_654_976


@pytest.mark.parametrize(
    ("name", "vocabulary", "length", "giga"),
    [  # from published runs' tokens/s and MFU, or worked out by their own formulas
        ("gpt2-124m", 50_304, 1024, 0.855),
        ("llama3.2-1b", 128_256, 4096, 9.03),
        ("gpt2-1.5b", 50_304, 1024, 10.28),
        ("llama3-8b", 128_256, 4096, 51.5),
    ],
)
def test_known_costs_of_a_token(name, vocabulary, length, giga):
    assert flops_per_token(shape(name), vocabulary, length) / 1e9 == pytest.approx(giga, rel=0.001)


def test_causal_counts_half_the_attention():
    full, causal = (flops_per_token(shape("gpt2-124m"), 50_304, 1024, causal=causal) for causal in (False, True))
    assert full - causal == 6 * 12 * 768 * 1024


def test_windows_count_what_they_see():
    # 13 of 26 layers see 4096 of 8192; 8 heads of 256
    gemma = shape("gemma2-2b")
    attention = flops_per_token(gemma, 256_000, 8192) - 6 * matmul_weights(gemma, 256_000)
    assert attention == 12 * 8 * 256 * 13 * (4096 + 8192)


def test_experts_count_where_a_token_goes():
    of = ModelSettings(layers=2, width=16, heads=2, experts=ExpertSettings(count=8, per_token=2, width=12, shared=1))
    assert matmul_weights(of, 128) == 2 * (4 * 16 * 16 + 16 * 8 + 3 * 3 * 16 * 12) + 16 * 128


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gated": False, "bias": "all", "norm": "layer", "tied": False},
        {"kv_heads": 1, "head_width": 24, "block": "parallel_one_norm"},
        {"ahead": 2},
    ],
)
def test_the_formula_equals_what_torch_counts(changes):
    of = ModelSettings(layers=3, width=64, heads=4, **changes)
    model = Decoder(of, 250, 32, kernel="plain", chunk_tokens=None)
    rows = torch.randint(0, 250, (2, 33))
    with FlopCounterMode(display=False) as counted:
        model.loss(rows).backward()
    assert counted.get_total_flops() == 2 * 32 * flops_per_token(of, 256, 32)


def test_utilisation_by_hand():
    # modded-nanogpt's record 7: 462k tokens/s a GPU is 39.9 % of an H100
    assert utilisation(462_000, 854_654_976, peak("NVIDIA H100 80GB HBM3")) == pytest.approx(0.399, abs=5e-4)
    assert utilisation(8 * 462_000, 854_654_976, peak("NVIDIA H100 80GB HBM3"), 8) == pytest.approx(0.399, abs=5e-4)


def test_a_device_is_known_by_its_whole_name():
    assert peak("NVIDIA H200 NVL") != peak("NVIDIA H200")
    assert peak("NVIDIA H200 MIG 1g.18gb") is None
