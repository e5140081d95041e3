import math

import pytest
import torch

from gristmill.trainer.model_settings import RopeScaling
from gristmill.trainer.positions import alibi_slopes, documents_of_lengths, frequencies, positions_in_documents, rotate, rotations


def test_slopes_of_a_power_of_two():
    assert alibi_slopes(4).tolist() == [2**-2, 2**-4, 2**-6, 2**-8]


def test_slopes_between_powers_take_every_other_one_of_the_next():
    # 4 heads' slopes, then the first and third of 8 heads': 2^-1, 2^-3
    assert alibi_slopes(6).tolist() == [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]


def test_dimensions_beyond_the_rotary_ones_stay():
    cosines, sines = rotations(3, 4, 100.0)
    heads = torch.randn(1, 2, 3, 10)
    turned = rotate(heads, cosines, sines)
    assert torch.equal(turned[..., 4:], heads[..., 4:])
    assert torch.equal(turned[..., :4], rotate(heads[..., :4], cosines, sines))


def test_scaling_slows_low_frequencies_only():
    scaling = RopeScaling(factor=8, low=1, high=4, original=1000)
    plain, slowed = frequencies(6, 1e6, None).tolist(), frequencies(6, 1e6, scaling).tolist()
    # turns over 1000 positions: 1000/2pi = 159, then 1.59 (between), then 0.0159
    kept = (1000 * 0.01 / (2 * math.pi) - 1) / 3
    assert slowed == pytest.approx([plain[0], plain[1] * (kept + (1 - kept) / 8), plain[2] / 8])


def test_documents_and_the_places_in_them():
    documents = documents_of_lengths([[3, 1, 2], [6]], 6)
    assert documents.tolist() == [[0, 0, 0, 1, 2, 2], [0] * 6]
    assert positions_in_documents(documents).tolist() == [[0, 1, 2, 0, 0, 1], [0, 1, 2, 3, 4, 5]]


def test_documents_that_do_not_fill_the_row_are_refused():
    with pytest.raises(ValueError, match="row 1 have 5 tokens, the row has 6"):
        documents_of_lengths([[6], [5]], 6)
