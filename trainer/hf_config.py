"""config.json of Hugging Face, to and from the settings of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gristmill.trainer.model_settings import ExpertSettings, ModelSettings, RopeScaling

FAMILIES = {name: name for name in ("llama", "mistral", "gemma2", "olmoe", "gpt2", "gpt_neox", "bloom")}
"""model_type of config.json -> how its weights are named."""

_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "olmoe": "OlmoeForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
    "bloom": "BloomForCausalLM",
}
_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "relu2": "relu_squared",
}
_THEIR_ACTIVATIONS = {
    "silu": "silu",
    "gelu": "gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
    "relu": "relu",
    "relu_squared": "relu2",
}


class ConversionError(ValueError):
    """A model that the other format has no place for; the message names what does not fit."""


_PLAIN: dict[str, Any] = {
    "attention_scale": None,
    "attention_softcap": None,
    "logit_softcap": None,
    "embedding_scale": None,
    "embedding_norm": False,
    "post_norms": False,
    "qk_norm": None,
    "experts": None,
    "window": None,
    "global_every": None,
    "rope_scaling": None,
    "rotary_fraction": 1.0,
    "norm": "rms",
    "bias": "none",
    "block": "sequential",
    "positions": "rope",
    "gated": True,
    "ahead": 0,
    "mup": None,
}
_LAYER_NORM = {"norm": "layer", "bias": "all", "gated": False}
# what a family fixes; Ellipsis: what it leaves open
_FIXED: dict[str, dict[str, Any]] = {
    "llama": {**_PLAIN, "rope_scaling": ...},
    "mistral": {**_PLAIN, "window": ...},
    "olmoe": {**_PLAIN, "qk_norm": "width", "experts": ...},
    "gemma2": {
        **_PLAIN,
        **dict.fromkeys(("attention_scale", "attention_softcap", "logit_softcap", "embedding_scale"), ...),
        "post_norms": True,
        "window": ...,
        "global_every": 2,
    },
    "gpt2": {**_PLAIN, **_LAYER_NORM, "positions": "learned", "rotary_fraction": ...},
    "gpt_neox": {**_PLAIN, **_LAYER_NORM, "rotary_fraction": ..., "block": ...},
    "bloom": {**_PLAIN, **_LAYER_NORM, "positions": "alibi", "embedding_norm": True, "rotary_fraction": ...},
}


def family_of(settings: ModelSettings) -> str:
    """The family of `transformers` that has this architecture.

    Raises:
        ConversionError: none has; the message names what stands between it and the nearest one.
    """
    misfits = {family: _misfits(settings, family) for family in FAMILIES}
    nearest = min(misfits, key=lambda family: len(misfits[family]))
    if misfits[nearest]:
        raise ConversionError(f"no known family has this architecture; {nearest} would, but for {', '.join(misfits[nearest])}")
    return nearest


def _misfits(of: ModelSettings, family: str) -> list[str]:
    found = []
    for name, value in _FIXED[family].items():
        mine = getattr(of, name)
        if value is not ... and mine != value:
            found.append(f"{name} {mine}")
    if family in ("gpt2", "gpt_neox", "bloom"):
        if of.key_heads != of.heads:
            found.append(f"kv_heads {of.kv_heads}")
        if of.head_size * of.heads != of.width:
            found.append(f"head_width {of.head_width}")
    if family == "bloom" and (of.inner_width != 4 * of.width or of.activation != "gelu_tanh"):
        found.append(f"feed_forward {of.inner_width} with {of.activation}")
    if family == "gpt_neox" and of.block == "parallel_one_norm":
        found.append("block parallel_one_norm")
    if family == "olmoe" and (of.experts is None or of.experts.shared):
        found.append("shared experts" if of.experts else "no experts")
    if family == "gemma2":
        if of.embedding_scale is None or abs(of.embedding_scale - of.width**0.5) > 0.01 * of.width**0.5:
            found.append(f"embedding_scale {of.embedding_scale}")
        if abs((scalar := (of.attention_scale or of.head_size**-0.5) ** -2) - round(scalar)) > 1e-3:
            found.append(f"attention_scale {of.attention_scale}, which is no whole number's root")
        if of.window is None:
            found.append("no window")
        if not of.tied:
            found.append("a head of its own")
    return found


def to_config(settings: ModelSettings, *, vocabulary: int, seq_len: int) -> dict[str, Any]:
    """The config.json of a model; seq_len is its longest input.

    Raises:
        ConversionError: no family has this architecture.
    """
    family = family_of(settings)
    config: dict[str, Any] = {
        "architectures": [_ARCHITECTURES[family]],
        "model_type": family,
        "vocab_size": vocabulary,
        "tie_word_embeddings": settings.tied,
        "initializer_range": settings.init_std,
        "torch_dtype": "float32",
    }
    if family == "gpt2":
        return config | _gpt2_config(settings, seq_len)
    if family == "bloom":
        return config | {
            "hidden_size": settings.width,
            "n_layer": settings.layers,
            "n_head": settings.heads,
            "layer_norm_epsilon": settings.norm_epsilon,
            "seq_length": seq_len,
            "hidden_dropout": 0.0,
            "attention_dropout": 0.0,
        }
    config |= {
        "hidden_size": settings.width,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "intermediate_size": settings.experts.width if settings.experts else settings.inner_width,
        "hidden_act": _THEIR_ACTIVATIONS[settings.activation],
        "max_position_embeddings": seq_len,
    }
    if family == "gpt_neox":
        return config | {
            "layer_norm_eps": settings.norm_epsilon,
            "rotary_emb_base": settings.rope_base,
            "rotary_pct": settings.rotary_fraction,
            "use_parallel_residual": settings.block == "parallel",
            "attention_bias": True,
            "hidden_dropout": 0.0,
            "attention_dropout": 0.0,
        }
    config |= {
        "num_key_value_heads": settings.key_heads,
        "head_dim": settings.head_size,
        "rms_norm_eps": settings.norm_epsilon,
        "rope_theta": settings.rope_base,
        "attention_bias": False,
    }
    return config | _extras(settings, family)


def _gpt2_config(settings: ModelSettings, seq_len: int) -> dict[str, Any]:
    return {
        "n_embd": settings.width,
        "n_layer": settings.layers,
        "n_head": settings.heads,
        "n_inner": settings.inner_width,
        "n_positions": settings.max_positions or seq_len,
        "activation_function": "gelu_new" if settings.activation == "gelu_tanh" else _THEIR_ACTIVATIONS[settings.activation],
        "layer_norm_epsilon": settings.norm_epsilon,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }


def _extras(settings: ModelSettings, family: str) -> dict[str, Any]:
    """What the families of Llama's kind have beside it."""
    if family == "mistral":
        return {"sliding_window": settings.window}
    if family == "gemma2":
        scale = settings.attention_scale or settings.head_size**-0.5
        return {
            "sliding_window": settings.window,
            "query_pre_attn_scalar": round(scale**-2),
            "attn_logit_softcapping": settings.attention_softcap,
            "final_logit_softcapping": settings.logit_softcap,
            "hidden_activation": _THEIR_ACTIVATIONS[settings.activation],
        }
    if family == "olmoe" and settings.experts:
        of = settings.experts
        return {
            "num_experts": of.count,
            "num_experts_per_tok": of.per_token,
            "norm_topk_prob": of.normalise,
            "router_aux_loss_coef": of.balance_loss,
        }
    if settings.rope_scaling:
        of_scaling = settings.rope_scaling
        return {
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": of_scaling.factor,
                "low_freq_factor": of_scaling.low,
                "high_freq_factor": of_scaling.high,
                "original_max_position_embeddings": of_scaling.original,
            }
        }
    return {}


def from_config(config: Mapping[str, Any]) -> ModelSettings:
    """The settings of a model by its config.json.

    Raises:
        ConversionError: another family, or something that this one's settings cannot say.
    """
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ConversionError(f"model_type is {family}; known are {', '.join(FAMILIES)}")
    for name in ("quantization_config", "clip_qkv"):
        if config.get(name) is not None:
            raise ConversionError(f"config.json sets {name}, which is not supported")
    read = {"gpt2": _read_gpt2, "gpt_neox": _read_neox, "bloom": _read_bloom}.get(family, _read_llama)
    return ModelSettings.model_validate(read(config) | {"vocab_size": config["vocab_size"]})


def _activation(config: Mapping[str, Any], name: str, usual: str) -> str:
    given = config.get(name) or usual
    if given not in _ACTIVATIONS:
        raise ConversionError(f"{name} is {given}; known are {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[given]


def _read_gpt2(config: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn"):
        if config.get(name):
            raise ConversionError(f"config.json sets {name}, which is not supported")
    width = config.get("n_embd", 768)
    return {
        "layers": config.get("n_layer", 12),
        "width": width,
        "heads": config.get("n_head", 12),
        "feed_forward": config.get("n_inner") or 4 * width,
        "activation": _activation(config, "activation_function", "gelu_new"),
        "positions": "learned",
        "max_positions": config.get("n_positions", 1024),
        "norm_epsilon": config.get("layer_norm_epsilon", 1e-5),
        "tied": config.get("tie_word_embeddings", True),
        **_LAYER_NORM,
    }


def _read_neox(config: Mapping[str, Any]) -> dict[str, Any]:
    if not config.get("attention_bias", True):
        raise ConversionError("config.json sets attention_bias false, which is not supported for gpt_neox")
    base, scaling = _rope(config, "rotary_emb_base")
    if scaling:
        raise ConversionError("config.json scales the rotations, which is not supported for gpt_neox")
    rope = config.get("rope_parameters") or {}
    return {
        "layers": config["num_hidden_layers"],
        "width": config["hidden_size"],
        "heads": config["num_attention_heads"],
        "feed_forward": config["intermediate_size"],
        "activation": _activation(config, "hidden_act", "gelu"),
        "rope_base": base,
        "rotary_fraction": config.get("rotary_pct") or rope.get("partial_rotary_factor", 0.25),
        "norm_epsilon": config.get("layer_norm_eps", 1e-5),
        "block": "parallel" if config.get("use_parallel_residual", True) else "sequential",
        "tied": config.get("tie_word_embeddings", False),
        **_LAYER_NORM,
    }


def _read_bloom(config: Mapping[str, Any]) -> dict[str, Any]:
    if config.get("apply_residual_connection_post_layernorm"):
        raise ConversionError("config.json sets apply_residual_connection_post_layernorm, which is not supported")
    return {
        "layers": config.get("n_layer") or config["num_hidden_layers"],
        "width": config.get("hidden_size") or config["n_embed"],
        "heads": config.get("n_head") or config["num_attention_heads"],
        "activation": "gelu_tanh",
        "positions": "alibi",
        "norm_epsilon": config.get("layer_norm_epsilon", 1e-5),
        "embedding_norm": True,
        "tied": config.get("tie_word_embeddings", True),
        **_LAYER_NORM,
    }


def _rope(config: Mapping[str, Any], name: str) -> tuple[float, dict[str, Any] | None]:
    """Base and scaling of the rotations, where older and newer files say them."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    base = config.get(name) or given.get("rope_theta", 10_000.0)
    kind = given.get("rope_type") or given.get("type") or "default"
    if kind == "default":
        return float(base), None
    if kind != "llama3":
        raise ConversionError(f"rope_scaling of type {kind}; known is llama3")
    scaling = RopeScaling(
        factor=given["factor"],
        low=given["low_freq_factor"],
        high=given["high_freq_factor"],
        original=given["original_max_position_embeddings"],
    )
    return float(base), scaling.model_dump()


def _read_llama(config: Mapping[str, Any]) -> dict[str, Any]:
    family = config["model_type"]
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise ConversionError("config.json sets attention_bias or mlp_bias, which is not supported")
    base, scaling = _rope(config, "rope_theta")
    gemma = family == "gemma2"
    head_width = config.get("head_dim") or (256 if gemma else config["hidden_size"] // config["num_attention_heads"])
    read: dict[str, Any] = {
        "layers": config["num_hidden_layers"],
        "width": config["hidden_size"],
        "heads": config["num_attention_heads"],
        "kv_heads": config.get("num_key_value_heads") or config["num_attention_heads"],
        "head_width": head_width if head_width != config["hidden_size"] // config["num_attention_heads"] else None,
        "feed_forward": config["intermediate_size"],
        "activation": _activation(config, "hidden_activation" if gemma else "hidden_act", "gelu_tanh" if gemma else "silu"),
        "rope_base": base,
        "rope_scaling": scaling,
        "norm_epsilon": config.get("rms_norm_eps", 1e-6),
        "tied": config.get("tie_word_embeddings", gemma),
    }
    if family in ("mistral", "gemma2"):
        read["window"] = config.get("sliding_window")
    if gemma:
        read |= {
            "global_every": 2,
            "post_norms": True,
            "embedding_scale": config["hidden_size"] ** 0.5,
            "attention_scale": config.get("query_pre_attn_scalar", 256) ** -0.5,
            "attention_softcap": config.get("attn_logit_softcapping"),
            "logit_softcap": config.get("final_logit_softcapping"),
        }
    if family == "olmoe":
        read["qk_norm"] = "width"
        read["experts"] = ExpertSettings(
            count=config["num_experts"],
            per_token=config["num_experts_per_tok"],
            width=config["intermediate_size"],
            normalise=config.get("norm_topk_prob", False),
            balance_loss=config.get("router_aux_loss_coef", 0.01),
        ).model_dump()
    return read
