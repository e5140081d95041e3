import json

import pytest
import torch

from gristmill.trainer import checkpoint, hf_format
from gristmill.trainer.config import ConfigError
from gristmill.trainer.describe import check_coordinates, describe, export_run
from gristmill.trainer.train import train


def test_llama3_8b_described():
    found = describe("llama3-8b")
    assert found["parameters"] == 8_030_261_248
    assert found["embedding_parameters"] == 128_256 * 4096
    # all but the embedding and 65 gains of 4096
    assert found["matmul_weights_a_token"] == 8_030_261_248 - 128_256 * 4096 - 65 * 4096
    assert found["flops_a_token"] / 1e9 == pytest.approx(51.5, rel=1e-3)


def test_a_vocabulary_that_the_data_decides_is_told():
    with pytest.raises(ConfigError, match=r"tiny: the model's vocabulary is not set; set model\.vocab_size"):
        describe("tiny")
    assert describe("tiny", ["model.vocab_size=128"])["embedding_parameters"] == 128 * 128


def test_coordinates_of_a_configuration():
    rows = check_coordinates("tiny", ["model.layers=1", "model.width=32"], steps=1)
    assert [(row["width"], row["step"]) for row in rows] == [(32, 0), (32, 1), (64, 0), (64, 1), (128, 0), (128, 1)]
    with pytest.raises(ConfigError, match="width 33"):
        check_coordinates("tiny", widths=[33])


def test_a_run_is_exported_as_it_was_trained(corpus, tmp_path):
    sets = [f"data={corpus}", "device=cpu", "seq_len=32", "windows=4", "model.layers=1", "model.width=32", "schedule.steps=4"]
    train("tiny", [*sets, "steps=4", "checkpoint.every=2"], tmp_path / "run")
    told = export_run(tmp_path / "run", tmp_path / "hf", step=2)
    assert told["step"] == 2
    weights = checkpoint.load(dict(checkpoint.checkpoints(tmp_path / "run"))[2])["model"]
    model = hf_format.load(tmp_path / "hf")
    for name, weight in weights.items():
        assert torch.equal(model.state_dict()[name], weight), name
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["max_position_embeddings"] == 32
    with pytest.raises(ConfigError, match="no checkpoint of step 3; there are 2, 4"):
        export_run(tmp_path / "run", tmp_path / "other", step=3)
    with pytest.raises(ConfigError, match="holds a model"):
        export_run(tmp_path / "run", tmp_path / "hf")
    with pytest.raises(ConfigError, match="holds no checkpoint"):
        export_run(tmp_path / "nothing", tmp_path / "other")
    newest = checkpoint.newest(tmp_path / "run")
    (newest / "__0_0.distcp").unlink()
    with pytest.raises(ConfigError, match=f"^{newest}: is damaged: __0_0.distcp is missing; remove step-00000004 to go on from"):
        export_run(tmp_path / "run", tmp_path / "other")


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["model.vocab_size=100"], "tiny: model.vocab_size is 100, the data has 300 token ids; set model.vocab_size=null"),
        (["model.positions=learned", "model.max_positions=16"], "tiny: seq_len 32 is beyond the 16 learned positions"),
        (["objective.name=ul2", "seq_len=2"], "tiny: objective ul2 needs windows of at least 4 tokens"),
    ],
)
def test_a_model_that_does_not_fit_the_data_is_told(sets, told, corpus, tmp_path):
    with pytest.raises(ConfigError, match=told):
        train("tiny", [f"data={corpus}", "device=cpu", "seq_len=32", "steps=1", "windows=1", *sets], tmp_path / "run")
    assert not (tmp_path / "run" / "train.json").exists()
