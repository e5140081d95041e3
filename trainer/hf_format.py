"""Models in the format of Hugging Face: config.json and model.safetensors, to and from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gristmill.trainer.hf_config import FAMILIES, ConversionError, family_of, from_config, to_config
from gristmill.trainer.model import Decoder
from gristmill.trainer.model_settings import ModelSettings

State = dict[str, Tensor]

# names of a layer: ours -> theirs; fused projections and stacked experts are handled beside the table
_LLAMA = {
    "attention_norm": "input_layernorm",
    "attention.queries": "self_attn.q_proj",
    "attention.keys": "self_attn.k_proj",
    "attention.values": "self_attn.v_proj",
    "attention.out": "self_attn.o_proj",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.out": "mlp.down_proj",
}
_LAYER_NAMES: dict[str, dict[str, str]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "gemma2": {
        **_LLAMA,
        "attention_post_norm": "post_attention_layernorm",
        "feed_forward_norm": "pre_feedforward_layernorm",
        "feed_forward_post_norm": "post_feedforward_layernorm",
    },
    "olmoe": {
        **{ours: theirs for ours, theirs in _LLAMA.items() if not ours.startswith("feed_forward.")},
        "attention.query_norm": "self_attn.q_norm",
        "attention.key_norm": "self_attn.k_norm",
        "feed_forward.router": "mlp.gate",
    },
    "gpt2": {
        "attention_norm": "ln_1",
        "attention.out": "attn.c_proj",
        "feed_forward_norm": "ln_2",
        "feed_forward.up": "mlp.c_fc",
        "feed_forward.out": "mlp.c_proj",
    },
    "gpt_neox": {
        "attention_norm": "input_layernorm",
        "attention.out": "attention.dense",
        "feed_forward_norm": "post_attention_layernorm",
        "feed_forward.up": "mlp.dense_h_to_4h",
        "feed_forward.out": "mlp.dense_4h_to_h",
    },
    "bloom": {
        "attention_norm": "input_layernorm",
        "attention.out": "self_attention.dense",
        "feed_forward_norm": "post_attention_layernorm",
        "feed_forward.up": "mlp.dense_h_to_4h",
        "feed_forward.out": "mlp.dense_4h_to_h",
    },
}
_LLAMA_OUTER = {"blocks": "model.layers", "embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
_OUTER_NAMES: dict[str, dict[str, str]] = {
    "llama": _LLAMA_OUTER,
    "mistral": _LLAMA_OUTER,
    "gemma2": _LLAMA_OUTER,
    "olmoe": _LLAMA_OUTER,
    "gpt2": {
        "blocks": "transformer.h",
        "embedding": "transformer.wte",
        "position_embedding": "transformer.wpe",
        "norm": "transformer.ln_f",
        "head": "lm_head",
    },
    "gpt_neox": {
        "blocks": "gpt_neox.layers",
        "embedding": "gpt_neox.embed_in",
        "norm": "gpt_neox.final_layer_norm",
        "head": "embed_out",
    },
    "bloom": {
        "blocks": "transformer.h",
        "embedding": "transformer.word_embeddings",
        "embedding_norm": "transformer.word_embeddings_layernorm",
        "norm": "transformer.ln_f",
        "head": "lm_head",
    },
}
_FUSED = {"gpt2": "attn.c_attn", "gpt_neox": "attention.query_key_value", "bloom": "self_attention.query_key_value"}
_PROJECTIONS = ("queries", "keys", "values")
_EXPERT_PROJECTIONS = {"gate": "gate_proj", "up": "up_proj", "out": "down_proj"}
_MASKS = (".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq")
"""Tables that older files hold beside the weights."""


def to_hf(state: Mapping[str, Tensor], settings: ModelSettings) -> State:
    """Weights by their names in `transformers`; of a tied head none.

    Raises:
        ConversionError: no family has this architecture.
    """
    family = family_of(settings)
    changed: State = {}
    for name, weight in state.items():
        if name == "head.weight" and settings.tied:
            continue
        if not name.startswith("blocks."):
            changed[_outer(name, _OUTER_NAMES[family])] = _their_gain(family, name, weight)
            continue
        _, layer, inside = name.split(".", 2)
        prefix = f"{_OUTER_NAMES[family]['blocks']}.{layer}."
        part, _, kind = inside.rpartition(".")
        if part == "attention.queries" and family in _FUSED:
            parts = [state[f"blocks.{layer}.attention.{each}.{kind}"] for each in _PROJECTIONS]
            changed[f"{prefix}{_FUSED[family]}.{kind}"] = _their_layout(family, kind, _fuse(family, parts, settings))
        elif part in ("attention.keys", "attention.values") and family in _FUSED:
            continue
        elif family == "olmoe" and part == "feed_forward":
            for expert, matrix in enumerate(weight):
                changed[f"{prefix}mlp.experts.{expert}.{_EXPERT_PROJECTIONS[kind]}.weight"] = matrix.contiguous()
        else:
            theirs = _LAYER_NAMES[family][part]
            changed[f"{prefix}{theirs}.{kind}"] = _their_layout(family, kind, _their_gain(family, part, weight), theirs)
    return changed


def from_hf(theirs: Mapping[str, Tensor], settings: ModelSettings, family: str) -> State:
    """Weights by our names, for `Decoder.load_state_dict`; a tied head is the embedding.

    Raises:
        ConversionError: a weight is missing, or one is there that the architecture has no place for.
    """
    given = {name: weight for name, weight in theirs.items() if not name.endswith(_MASKS)}
    given = _with_prefix(given, family)
    with torch.device("meta"):
        wanted = Decoder(settings, None, settings.max_positions or 2).state_dict()
    used: set[str] = set()

    def take(name: str) -> Tensor:
        if name not in given:
            raise ConversionError(f"no weight {name}; {family} with {settings.layers} layers has one")
        used.add(name)
        return given[name]

    state = {name: _fetch(name, weight.shape, take, family, settings) for name, weight in wanted.items()}
    spare = set(given) - used - ({_OUTER_NAMES[family]["head"] + ".weight"} if settings.tied else set())
    if spare:
        raise ConversionError(f"{len(spare)} weights that {family} has no place for, such as {min(spare)}")
    return state


def _fetch(name: str, shape: torch.Size, take: Callable[[str], Tensor], family: str, settings: ModelSettings) -> Tensor:
    """One of our weights, out of theirs."""
    outer = _OUTER_NAMES[family]
    if not name.startswith("blocks."):
        source = "embedding.weight" if name == "head.weight" and settings.tied else name
        weight = _our_gain(family, name, take(_outer(source, outer)))
    else:
        _, layer, inside = name.split(".", 2)
        prefix = f"{outer['blocks']}.{layer}."
        part, _, kind = inside.rpartition(".")
        projection = part.removeprefix("attention.")
        if projection in _PROJECTIONS and family in _FUSED:
            fused = _their_layout(family, kind, take(f"{prefix}{_FUSED[family]}.{kind}"))
            weight = _split(family, fused, settings)[_PROJECTIONS.index(projection)]
        elif family == "olmoe" and part == "feed_forward":
            experts = range(shape[0])
            weight = torch.stack([take(f"{prefix}mlp.experts.{e}.{_EXPERT_PROJECTIONS[kind]}.weight") for e in experts])
        else:
            theirs = _LAYER_NAMES[family][part]
            weight = _our_gain(family, part, _their_layout(family, kind, take(f"{prefix}{theirs}.{kind}"), theirs))
    if weight.shape != shape:
        raise ConversionError(f"{name}: the file's has shape {tuple(weight.shape)}, config.json makes it {tuple(shape)}")
    return weight.contiguous()


def _outer(name: str, names: Mapping[str, str]) -> str:
    part, _, kind = name.rpartition(".")
    if part not in names:
        raise ConversionError(f"weight {name} has no name in that format")
    return f"{names[part]}.{kind}"


def _with_prefix(given: State, family: str) -> State:
    """Files of the bare model, without the head, leave the model's own name out (GPT-2's published file does)."""
    outer = _OUTER_NAMES[family]
    own = outer["blocks"].split(".")[0] + "."
    if outer["embedding"] + ".weight" in given:
        return given
    return {name if name.startswith(outer["head"]) else own + name: weight for name, weight in given.items()}


def _their_gain(family: str, name: str, weight: Tensor) -> Tensor:
    """Gemma multiplies by 1 + gain."""
    return weight - 1 if family == "gemma2" and "norm" in name else weight


def _our_gain(family: str, name: str, weight: Tensor) -> Tensor:
    return weight + 1 if family == "gemma2" and "norm" in name else weight


def _their_layout(family: str, kind: str, weight: Tensor, part: str = "attn.c_attn") -> Tensor:
    """GPT-2 keeps its matrices transposed; the same both ways."""
    return weight.T.contiguous() if family == "gpt2" and kind == "weight" and ".c_" in part else weight


def _fuse(family: str, parts: list[Tensor], settings: ModelSettings) -> Tensor:
    """Queries, keys and values one after another (GPT-2), or a head at a time (GPT-NeoX, BLOOM)."""
    if family == "gpt2":
        return torch.cat(parts)
    by_head = [part.view(settings.heads, settings.head_size, *part.shape[1:]) for part in parts]
    return torch.stack(by_head, dim=1).flatten(0, 2)


def _split(family: str, fused: Tensor, settings: ModelSettings) -> list[Tensor]:
    if family == "gpt2":
        return list(fused.chunk(3))
    by_head = fused.view(settings.heads, 3, settings.head_size, *fused.shape[1:])
    return [by_head[:, part].flatten(0, 1) for part in range(3)]


def export(model: Decoder, folder: Path, *, bos_id: int | None = None, eos_id: int | None = None) -> Path:
    """Write config.json and model.safetensors; both or neither, since the weights are moved into place last.

    Raises:
        ConversionError: no family of `transformers` has this architecture, or the folder holds a model.
    """
    from safetensors.torch import save_file

    if (folder / "model.safetensors").exists():
        raise ConversionError(f"{folder} holds a model; choose another folder")
    config = to_config(model.settings, vocabulary=model.embedding.num_embeddings, seq_len=model.seq_len)
    config |= {name: value for name, value in (("bos_token_id", bos_id), ("eos_token_id", eos_id)) if value is not None}
    state = {name: weight.detach().cpu() for name, weight in model.state_dict().items()}
    weights = {name: weight.contiguous().clone() for name, weight in to_hf(state, model.settings).items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    partial = folder / ".model.safetensors.partial"
    save_file(weights, partial, metadata={"format": "pt"})
    os.replace(partial, folder / "model.safetensors")
    return folder


def load(folder: Path, *, seq_len: int | None = None) -> Decoder:
    """A model out of a folder with config.json and safetensors, in one file or several.

    Args:
        folder: as `transformers` saves and the Hub serves them.
        seq_len: longest input; the file's own when None.

    Raises:
        FileNotFoundError: a file is missing.
        ConversionError: the architecture is not one of those known, or the weights do not fit it.
    """
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings = from_config(config)
    files = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        files = [folder / name for name in sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))]
    if not files:
        raise FileNotFoundError(f"{folder}: no .safetensors file; save the model with safe_serialization=True")
    weights: State = {}
    for file in files:
        weights |= load_file(file)
    state = from_hf(weights, settings, FAMILIES[config["model_type"]])
    model = Decoder(settings, None, seq_len or longest(config))
    model.load_state_dict({name: weight.float() for name, weight in state.items()})
    return model


def longest(config: Mapping[str, Any]) -> int:
    """The longest input that a config.json speaks of."""
    for name in ("max_position_embeddings", "n_positions", "seq_length"):
        if config.get(name):
            return int(config[name])
    return 2048
