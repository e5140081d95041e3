import pytest

from gristmill.trainer.model import Decoder, is_hidden_matrix
from gristmill.trainer.model_settings import MupSettings
from gristmill.trainer.mup import coordinate_check, parameter_groups
from gristmill.trainer.settings import ModelSettings

SHAPE = ModelSettings(layers=2, width=32, heads=2)


def sizes(*, mup):
    shape = ModelSettings(layers=1, width=64, heads=4)
    rows = coordinate_check(shape, widths=[64, 256], steps=3, mup=mup)
    return {name: [row[name] for row in rows if row["step"] == 3] for name in ("blocks_change", "logits_change")}


def test_activations_are_flat_over_a_fourfold_width():
    for name, values in sizes(mup=True).items():
        assert max(values) / min(values) < 1.5, name


def test_without_it_they_grow():
    least, most = sizes(mup=False)["blocks_change"]
    assert most > 4 * least


def test_groups_of_four_times_the_base_width():
    model = Decoder(SHAPE.model_copy(update={"mup": MupSettings(base_width=8)}), 100, 8)
    groups = parameter_groups(model, 0.1)
    assert [(group["weight_decay"], group.get("rate_factor", 1)) for group in groups] == [(0.1, 1), (0.0, 1), (0.4, 0.25)]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [{names[id(parameter)] for parameter in group["params"]} for group in groups]
    assert found[0] == {"embedding.weight"}
    assert found[2] == {name for name in names.values() if name.startswith("blocks.") and "norm" not in name}
    assert sum(len(part) for part in found) == len(names)


def test_the_base_width_changes_only_the_attention_scale():
    plain, based = Decoder(SHAPE, 100, 8), Decoder(SHAPE.model_copy(update={"mup": MupSettings(base_width=32)}), 100, 8)
    assert plain.settings.width_multiple == based.settings.width_multiple == 1
    assert (plain.blocks[0].attention.scale, based.blocks[0].attention.scale) == (16**-0.5, 8 / 16)


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("blocks.0.attention.queries.weight", True),
        ("blocks.0.feed_forward.up", True),
        ("blocks.0.attention.queries.bias", False),
        ("blocks.0.attention.key_norm.weight", False),
        ("embedding.weight", False),
        ("head.weight", False),
    ],
)
def test_which_parameters_are_hidden_matrices(name, hidden):
    assert is_hidden_matrix(name) is hidden


def test_a_width_without_whole_heads_is_refused():
    with pytest.raises(ValueError, match="width 40 is no multiple of the head width 16"):
        coordinate_check(SHAPE, widths=[40])
