import json

import pytest
import torch

from gristmill.trainer.hf_config import ConversionError, family_of, from_config, to_config
from gristmill.trainer.hf_format import export, from_hf, load, to_hf
from gristmill.trainer.model import Decoder
from gristmill.trainer.model_settings import ExpertSettings, ModelSettings, RopeScaling

transformers = pytest.importorskip("transformers", reason="needs transformers, of the test extra")

SHAPE = {"vocab_size": 128, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 80}
GROUPED = {**SHAPE, "num_key_value_heads": 2}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip


def make(family):
    """A random model of `transformers`, small, without dropout; norms are drawn too, since a gain of 1 would hide much."""
    classes = {
        "llama": lambda t: t.LlamaConfig(**GROUPED, tie_word_embeddings=False, rope_theta=5000.0),
        "llama-tied-scaled": lambda t: t.LlamaConfig(**GROUPED, tie_word_embeddings=True, rope_parameters=LLAMA3),
        "mistral": lambda t: t.MistralConfig(**GROUPED, sliding_window=5, head_dim=16),
        "gemma2": lambda t: t.Gemma2Config(
            **GROUPED, sliding_window=5, head_dim=16, query_pre_attn_scalar=20, attn_logit_softcapping=2.0,
            final_logit_softcapping=1.0,
        ),
        "olmoe": lambda t: t.OlmoeConfig(**SHAPE, num_key_value_heads=2, num_experts=6, num_experts_per_tok=2),
        "olmoe-normalised": lambda t: t.OlmoeConfig(**SHAPE, num_experts=4, num_experts_per_tok=3, norm_topk_prob=True),
        "gpt2": lambda t: t.GPT2Config(vocab_size=128, n_embd=48, n_layer=3, n_head=4, n_positions=32),
        "gpt_neox": lambda t: t.GPTNeoXConfig(**SHAPE, rotary_pct=0.5),
        "gpt_neox-sequential": lambda t: t.GPTNeoXConfig(**SHAPE, rotary_pct=0.5, use_parallel_residual=False),
        "bloom": lambda t: t.BloomConfig(vocab_size=128, hidden_size=48, n_layer=3, n_head=4),
        "bloom-6-heads": lambda t: t.BloomConfig(vocab_size=128, hidden_size=48, n_layer=2, n_head=6),
    }  # fmt: skip
    config = classes[family](transformers)
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


ALL = ["llama", "llama-tied-scaled", "mistral", "gemma2", "olmoe", "olmoe-normalised", "gpt2", "gpt_neox", "gpt_neox-sequential",
       "bloom", "bloom-6-heads"]  # fmt: skip


@pytest.mark.parametrize("family", ALL)
def test_logits_equal_those_of_transformers_both_ways(family, tmp_path):
    theirs = make(family)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load(tmp_path / "theirs", seq_len=24).eval()
    ids = torch.randint(0, 128, (2, 24))
    with torch.no_grad():
        expected = theirs(ids).logits
        assert expected.std() > 0.05
        torch.testing.assert_close(ours(ids), expected, atol=2e-5, rtol=1e-4)
        export(ours, tmp_path / "ours")
        back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", attn_implementation="eager").eval()
        torch.testing.assert_close(back(ids).logits, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ALL)
def test_weights_go_there_and_back_bit_for_bit(family, tmp_path):
    make(family).save_pretrained(tmp_path)
    model = load(tmp_path, seq_len=24)
    state = model.state_dict()
    back = from_hf(to_hf(state, model.settings), model.settings, family.split("-")[0])
    assert list(back) == list(state)
    for name, weight in state.items():
        if "gemma" in family and "norm" in name:  # 1 is added and taken away
            torch.testing.assert_close(back[name], weight)
        else:
            assert torch.equal(back[name], weight), name


@pytest.mark.parametrize("family", ALL)
def test_settings_go_there_and_back(family):
    settings = from_config(make(family).config.to_dict())
    longest = settings.max_positions or 24
    again = from_config(json.loads(json.dumps(to_config(settings, vocabulary=128, seq_len=longest))))
    for name, value in settings.model_dump().items():
        if isinstance(value, float):
            assert getattr(again, name) == pytest.approx(value), name
        else:
            assert again.model_dump()[name] == value, name


@pytest.mark.parametrize(
    ("changes", "family"),
    [
        ({}, "llama"),
        ({"tied": False, "rope_scaling": RopeScaling(factor=2)}, "llama"),
        ({"window": 8}, "mistral"),
        ({"qk_norm": "width", "experts": ExpertSettings(count=4, per_token=2, width=8)}, "olmoe"),
        ({"norm": "layer", "bias": "all", "gated": False, "activation": "gelu", "positions": "learned"}, "gpt2"),
        ({"norm": "layer", "bias": "all", "gated": False, "activation": "gelu", "block": "parallel"}, "gpt_neox"),
    ],
)
def test_the_family_is_told_from_the_settings(changes, family):
    assert family_of(ModelSettings(**changes)) == family


def test_an_exported_model_of_our_own_is_read_by_transformers(tmp_path):
    torch.manual_seed(3)
    ours = Decoder(ModelSettings(layers=2, width=32, heads=4, kv_heads=2), 300, 16)
    export(ours, tmp_path, eos_id=5)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.randint(0, 300, (2, 16))
    torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-5, rtol=1e-4)
    assert theirs.config.eos_token_id == 5


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ahead": 1}, "llama would, but for ahead 1"),
        ({"qk_norm": "head"}, "but for qk_norm head"),
        ({"block": "parallel_one_norm", "norm": "layer", "gated": False, "bias": "all"}, "gpt_neox would, but for block"),
    ],
)
def test_an_architecture_that_no_family_has_is_refused(changes, told):
    with pytest.raises(ConversionError, match=told):
        to_config(ModelSettings(**changes), vocabulary=128, seq_len=8)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model_type": "mamba"}, "model_type is mamba; known are llama"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "of type yarn"),
        ({"attention_bias": True}, "attention_bias"),
        ({"hidden_act": "mish"}, "hidden_act is mish"),
    ],
)
def test_a_config_that_cannot_be_said_is_refused(change, told):
    with pytest.raises(ConversionError, match=told):
        from_config({**make("llama").config.to_dict(), **change})


def test_missing_spare_and_misshapen_weights_are_named():
    model = Decoder(ModelSettings(layers=1, width=16, heads=2, vocab_size=32), None, 8)
    state = to_hf(model.state_dict(), model.settings)
    spare = {**state, "model.layers.1.mlp.up_proj.weight": torch.zeros(1)}
    with pytest.raises(ConversionError, match=r"no place for, such as model\.layers\.1\.mlp\.up_proj\.weight"):
        from_hf(spare, model.settings, "llama")
    short = {**state, "model.norm.weight": torch.zeros(3)}
    with pytest.raises(ConversionError, match=r"norm\.weight: the file's has shape \(3,\), config\.json makes it \(16,\)"):
        from_hf(short, model.settings, "llama")
    del state["model.norm.weight"]
    with pytest.raises(ConversionError, match=r"no weight model\.norm\.weight"):
        from_hf(state, model.settings, "llama")


def test_a_folder_that_holds_a_model_is_not_written_over(tmp_path):
    model = Decoder(ModelSettings(layers=1, width=16, heads=2), 100, 8)
    export(model, tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(ConversionError, match="holds a model"):
        export(model, tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before
