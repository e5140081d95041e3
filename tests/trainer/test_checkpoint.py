import pickle

import pytest
import torch

from gristmill.trainer import checkpoint
from gristmill.trainer.checkpoint_saver import Saver
from gristmill.trainer.config import ConfigError
from gristmill.trainer.settings import CheckpointSettings


def written(output, step=7, **plain):
    """A checkpoint with two weights and what an optimizer remembers of one."""
    tensors = {
        "model/a.weight": torch.arange(6.0).reshape(2, 3),
        "model/b.weight": torch.ones(4, dtype=torch.bfloat16),
        "optimizer/a.weight/step": torch.tensor(3.0),
    }
    with Saver(output, CheckpointSettings(keep=9)) as saver:
        saver.save(checkpoint.State(step, tensors, {"settings": {"name": "x"}, **plain}))
    return output / "checkpoints" / f"step-{step:08d}"


def test_what_was_written_is_read(tmp_path):
    folder = written(tmp_path, data={"order_hash": "ab", "carry": [1, 2]}, spikes={"losses": [0.1 + 0.2, float("inf")]})
    held = checkpoint.load(folder)
    assert (held["step"], held["processes"], held["settings"]) == (7, 1, {"name": "x"})
    assert held["data"] == {"order_hash": "ab", "carry": [1, 2]}
    assert held["spikes"]["losses"] == [0.30000000000000004, float("inf")]
    assert held["model"]["a.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert held["model"]["b.weight"].dtype == torch.bfloat16
    assert held["optimizer"] == {"a.weight/step": torch.tensor(3.0)}
    assert held["average"] == held["rng"] == {}
    assert sorted(file.name for file in folder.iterdir()) == [".metadata", "__0_0.distcp", "state.json"]


def test_only_the_parts_asked_for_are_read(tmp_path):
    held = checkpoint.load(written(tmp_path), ["optimizer"])
    assert set(held["optimizer"]) == {"a.weight/step"}
    assert "model" not in held


def test_checkpoints_are_found_by_step_and_nothing_half_done_is(tmp_path):
    assert checkpoint.checkpoints(tmp_path) == []
    for step in (100, 20):
        written(tmp_path, step)
    (tmp_path / "checkpoints" / ".step-00000300.partial").mkdir()
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [20, 100]
    assert checkpoint.newest(tmp_path).name == "step-00000100"
    assert checkpoint.newest(tmp_path / "checkpoints" / "step-00000020").name == "step-00000020"


def damage_missing(folder):
    (folder / "__0_0.distcp").unlink()


def damage_cut(folder):
    file = folder / "__0_0.distcp"
    file.write_bytes(file.read_bytes()[:-100])


def damage_state(folder):
    (folder / "state.json").write_text('{"format_version": 2, "fil')


def damage_no_state(folder):
    (folder / "state.json").unlink()


def damage_metadata(folder):
    size = (folder / ".metadata").stat().st_size
    (folder / ".metadata").write_bytes(b"x" * size)


def damage_inside(folder):
    size = (folder / "__0_0.distcp").stat().st_size
    (folder / "__0_0.distcp").write_bytes(bytes(size))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (damage_missing, "__0_0.distcp is missing"),
        (damage_cut, r"__0_0.distcp has [\d,]+ bytes, [\d,]+ were written"),
        (damage_state, "state.json cannot be read"),
        (damage_no_state, "state.json is missing"),
        (damage_metadata, ".metadata cannot be read"),
        (damage_inside, ""),
    ],
)
def test_damage_is_told_with_what_to_do(tmp_path, damage, told):
    first, folder = written(tmp_path, 10), written(tmp_path, 20)
    damage(folder)
    with pytest.raises(ConfigError, match=f"step-00000020: is damaged: {told}") as caught:
        checkpoint.load(folder)
    assert str(caught.value).endswith("; remove step-00000020 to go on from step-00000010")
    damage(first)
    with pytest.raises(ConfigError, match="there is none before it: remove step-00000010 to begin anew"):
        checkpoint.load(first)


def test_places_without_a_checkpoint_are_told(tmp_path):
    with pytest.raises(ConfigError, match="is no checkpoint and no run with one"):
        checkpoint.newest(tmp_path)
    with pytest.raises(ConfigError, match="no such checkpoint"):
        checkpoint.load(tmp_path / "checkpoints" / "step-00000001")


def test_other_formats_are_refused_by_name(tmp_path):
    old = tmp_path / "checkpoints" / "step-00000100.pt"
    old.parent.mkdir()
    torch.save({"format_version": 1}, old)
    for read in (checkpoint.checkpoints, checkpoint.newest):
        with pytest.raises(ConfigError, match=r"step-00000100\.pt: is a checkpoint of format 1, one file"):
            read(tmp_path)
    for read in (checkpoint.load, checkpoint.newest):
        with pytest.raises(ConfigError, match="of format 1"):
            read(old)
    folder = written(tmp_path / "run")
    state = folder / "state.json"
    state.write_text(state.read_text().replace('"format_version": 2', '"format_version": 3'))
    with pytest.raises(ConfigError, match="is a checkpoint of format 3; this version reads format 2"):
        checkpoint.load(folder)


class Calls:
    def __reduce__(self):
        return (print, ("code in a checkpoint was run",))


def test_no_code_in_a_checkpoint_is_run(tmp_path, capsys):
    folder = written(tmp_path)
    harmful = pickle.dumps(Calls())
    state = folder / "state.json"
    size = (folder / ".metadata").stat().st_size
    state.write_text(state.read_text().replace(f'".metadata": {size}', f'".metadata": {len(harmful)}'))
    (folder / ".metadata").write_bytes(harmful)
    with pytest.raises(ConfigError, match=r"holds builtins\.print, which no checkpoint needs"):
        checkpoint.load(folder)
    assert "was run" not in capsys.readouterr().out


def test_tensors_are_filled_where_they_lie(tmp_path):
    folder = written(tmp_path)
    mine = torch.zeros(2, 3)
    checkpoint.read_into(folder, {"model/a.weight": mine})
    assert mine.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert checkpoint.tensor_shapes(folder)["model/b.weight"] == (4,)
    with pytest.raises(ConfigError, match=r"is damaged: .*model/c\.weight"):
        checkpoint.read_into(folder, {"model/c.weight": mine})
