"""Sizes of the shipped models against published ones."""

from pathlib import Path

import pytest
import torch

from gristmill.trainer.config import ConfigError, read_config, shipped
from gristmill.trainer.model import Decoder

# exact counts of the published weights, as the model cards on the Hugging Face Hub give them or as their config.json makes
# them; those of Pythia also in its README
EXACT = {
    "gpt2-124m": 124_439_808,
    "gpt2-355m": 354_823_168,
    "gpt2-774m": 774_030_080,
    "gpt2-1.5b": 1_557_611_200,
    "pythia-14m": 14_067_712,
    "pythia-31m": 30_494_720,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "pythia-6.9b": 6_857_302_016,
    "pythia-12b": 11_846_072_320,
    "bloom-560m": 559_214_592,
    "llama-7b": 6_738_415_616,
    "llama2-7b": 6_738_415_616,
    "llama3-8b": 8_030_261_248,
    "llama3.2-1b": 1_235_814_400,
    "mistral-7b": 7_241_732_096,
    "gemma2-2b": 2_614_341_888,
    "olmoe-1b-7b": 6_919_161_856,
}
# rounded as the papers print them: Brown et al. 2020, table 2.1 (nominal sizes); Chowdhery et al. 2022, table 1;
# Magnusson et al. 2025, table of model sizes, from memory
ROUNDED = {
    "gpt3-125m": (125e6, 0.5e6), "gpt3-350m": (350e6, 6e6), "gpt3-760m": (760e6, 1e6), "gpt3-1.3b": (1.3e9, 0.05e9),
    "gpt3-2.7b": (2.7e9, 0.05e9), "gpt3-6.7b": (6.7e9, 0.05e9), "gpt3-13b": (13e9, 0.2e9), "gpt3-175b": (175e9, 0.5e9),
    "palm-8b": (8.63e9, 0.005e9),
    "datadecide-4m": (3.7e6, 5e4), "datadecide-6m": (6.0e6, 5e4), "datadecide-8m": (8.5e6, 5e4), "datadecide-10m": (9.9e6, 5e4),
    "datadecide-14m": (14.4e6, 5e4), "datadecide-16m": (16.0e6, 5e4), "datadecide-20m": (19.1e6, 5e4),
    "datadecide-60m": (57.1e6, 5e4), "datadecide-90m": (97.9e6, 1e5), "datadecide-150m": (151.9e6, 5e4),
    "datadecide-300m": (320.0e6, 5e4), "datadecide-530m": (530.1e6, 5e4), "datadecide-750m": (681.3e6, 5e4),
    "datadecide-1b": (1176.8e6, 5e4),
}  # fmt: skip


def parameters(name):
    settings = read_config(name, ["data=somewhere"])
    with torch.device("meta"):
        model = Decoder(settings.model, None, settings.seq_len)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", EXACT)
def test_as_many_parameters_as_the_published_weights(name):
    assert parameters(name) == EXACT[name]


@pytest.mark.parametrize("name", ROUNDED)
def test_as_many_parameters_as_the_paper_says(name):
    published, rounding = ROUNDED[name]
    assert abs(parameters(name) - published) <= rounding


def test_every_shipped_model_of_a_published_size_is_counted():
    ours = {"tiny", "demo-10m", "30m", "llama-tiny", "olmoe-tiny", "llama-60m", "llama-130m", "llama-350m", "llama-1b"}
    assert set(shipped()) - ours == set(EXACT) | set(ROUNDED)


def test_a_model_is_taken_from_another_configuration(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\ndata: here\nsteps: 5\nmodel: {like: pythia-70m, layers: 3}\n")
    settings = read_config(file)
    pythia = read_config("pythia-70m", ["data=here"]).model
    assert settings.model == pythia.model_copy(update={"layers": 3})
    assert settings.steps == 5


@pytest.mark.parametrize("text", ["model: pythia-70m", "model: {like: pythia-70m}"])
def test_a_name_alone_is_the_whole_model(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(f"name: mine\ndata: here\nsteps: 5\n{text}\n")
    assert read_config(file).model == read_config("pythia-70m", ["data=here"]).model


def test_a_model_may_be_set_and_then_changed():
    settings = read_config("tiny", ["data=here", "model=pythia-70m", "model.layers=2"])
    assert (settings.name, settings.model.layers, settings.model.block) == ("tiny", 2, "parallel")


def test_a_model_may_be_like_one_in_a_file(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text("name: base\nsteps: 1\nmodel: {like: gpt2-124m, layers: 2}\n")
    settings = read_config("tiny", ["data=here", f"model={base}"])
    assert (settings.model.layers, settings.model.positions) == (2, "learned")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model: nonesuch", "mine.yaml:4: model.like: nonesuch: no such file, and no shipped configuration"),
        ("model: {like: FILE}", "is like .*mine.yaml, without end"),
    ],
)
def test_a_model_that_is_not_there_is_told(tmp_path, text, told):
    file = Path(tmp_path / "mine.yaml")
    file.write_text(f"name: mine\ndata: here\nsteps: 5\n{text.replace('FILE', str(file))}\n")
    with pytest.raises(ConfigError, match=told):
        read_config(file)


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["model.kv_heads=5"], "kv_heads 5 must divide heads 4"),
        (["model.positions=absolute"], "model.positions: is 'absolute'"),
        (["model.experts.cuont=5"], "model.experts.cuont: unknown key; did you mean count"),
        (["model.rotary_fraction=0.1"], "is 3, no number of pairs"),
        (["model.global_every=2"], "global_every needs a window"),
        (["model.max_positions=8"], "max_positions is for learned positions; positions is rope"),
        (["model.post_norms=true", "model.block=parallel"], "post_norms goes with the sequential block"),
        (["model.layers.x=2"], "layers holds 4, not further keys"),
    ],
)
def test_a_shape_that_cannot_be_is_told(sets, told):
    with pytest.raises(ConfigError, match=told):
        read_config("tiny", ["data=here", *sets])
