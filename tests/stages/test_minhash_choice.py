"""Bands and rows: those of published corpora, and those that a similarity asks for."""

import numpy as np
import pytest
from datasketch.lsh import _optimal_param

from gristmill.stages.minhash import MinHash
from gristmill.stages.minhash_choice import PRESETS, bands_and_rows, chance_to_meet


@pytest.mark.parametrize(
    ("preset", "chances"),
    [
        # chance to meet at similarities .5, .6, .7, .75, .8, .85, .9
        ("refinedweb", [0.0004, 0.0163, 0.3018, 0.7605, 0.9946, 1, 1]),
        ("fineweb", [0.0533, 0.2111, 0.5645, 0.7716, 0.9235, 0.9884, 0.9996]),
        ("dclm", [0.0028, 0.0428, 0.3576, 0.7138, 0.9642, 0.9998, 1]),
        ("redpajama_v2_0.7", [0.0270, 0.1322, 0.4382, 0.6647, 0.8670, 0.9750, 0.9990]),
        ("redpajama_v2_0.8", [0.0011, 0.0117, 0.0839, 0.1946, 0.3988, 0.6864, 0.9286]),
        ("redpajama_v2_0.9", [0, 0, 0.0007, 0.0038, 0.0187, 0.0831, 0.3110]),
        ("nemotron_cc", [0.0024, 0.0258, 0.1769, 0.3818, 0.6773, 0.9240, 0.9972]),
        ("starcoder", [0.0241, 0.1407, 0.5115, 0.7652, 0.9416, 0.9958, 1]),
        ("pile", [0.3301, 0.5181, 0.7164, 0.8068, 0.8838, 0.9425, 0.9801]),
    ],
)
def test_presets_have_the_published_curves(preset, chances):
    stage = MinHash(preset=preset)
    similarities = np.array([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9])
    assert np.abs(chance_to_meet(similarities, stage.bands, stage.rows) - chances).max() <= 0.5e-4 + 1e-9


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7, 0.8, 0.9, 0.99])
@pytest.mark.parametrize("permutations", [1, 10, 128])
def test_a_threshold_picks_what_datasketch_picks(threshold, permutations):
    assert bands_and_rows(threshold, permutations) == _optimal_param(threshold, permutations, 0.5, 0.5)


@pytest.mark.parametrize(
    ("threshold", "permutations", "chosen"), [(0.5, 10, (3, 3)), (0.7, 256, (25, 10)), (0.7, 128, (14, 9)), (0.8, 128, (9, 13))]
)
def test_published_corpora_went_by_this_rule(threshold, permutations, chosen):
    assert bands_and_rows(threshold, permutations) == chosen


def test_every_preset_is_one_of_the_stage_and_verifies_nothing():
    assert all(MinHash(preset=name).verify is None for name in PRESETS)
