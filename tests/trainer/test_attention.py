import math

import pytest
import torch

from gristmill.trainer.attention import Sight, attend, look
from gristmill.trainer.model import Decoder
from gristmill.trainer.model_settings import ModelSettings
from gristmill.trainer.positions import alibi_slopes, positions_in_documents

LENGTH = 9
DOCUMENTS = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 2, 2], [0, 1, 1, 1, 1, 1, 1, 1, 1]])
PREFIX = torch.tensor([3, 0])


def attend_plainly(queries, keys, values, *, scale, cap=None, window=None, documents=None, prefix=None, slopes=None):
    """A head and a position at a time, as the papers say it."""
    batch, heads, length, _ = queries.shape
    out = torch.zeros_like(queries)
    for b in range(batch):
        for h in range(heads):
            shared = h * keys.shape[1] // heads
            for i in range(length):
                scores, seen = [], []
                for j in range(length):
                    visible = j <= i and (window is None or i - j < window)
                    visible = visible or (prefix is not None and max(i, j) < prefix[b])
                    if not visible or (documents is not None and documents[b, i] != documents[b, j]):
                        continue
                    score = (queries[b, h, i] @ keys[b, shared, j]).item() * scale
                    score = score if cap is None else cap * math.tanh(score / cap)
                    scores.append(score if slopes is None else score - slopes[h].item() * abs(i - j))
                    seen.append(j)
                weights = [math.exp(score) for score in scores]
                for weight, j in zip(weights, seen, strict=True):
                    out[b, h, i] += weight / sum(weights) * values[b, shared, j]
    return out


@pytest.fixture
def heads():
    torch.manual_seed(0)
    return torch.randn(2, 4, LENGTH, 6), torch.randn(2, 2, LENGTH, 6), torch.randn(2, 2, LENGTH, 6)


SIGHTS = {
    "causal": {},
    "window": {"window": 3},
    "window of one": {"window": 1},
    "window beyond the input": {"window": 50},
    "documents": {"documents": DOCUMENTS},
    "prefix": {"prefix": PREFIX},
    "alibi": {"slopes": alibi_slopes(4)},
    "all": {"window": 4, "documents": DOCUMENTS, "prefix": PREFIX, "slopes": alibi_slopes(4)},
}


@pytest.mark.parametrize("cap", [None, 1.5])
@pytest.mark.parametrize("kernel", ["auto", "plain", "sdpa", "flex"])
@pytest.mark.parametrize("sight", SIGHTS)
def test_every_kernel_equals_the_loop(heads, sight, kernel, cap):
    if kernel == "sdpa" and cap is not None:
        pytest.skip("the fused kernel knows no softcap; refused, see below")
    made = look(LENGTH, torch.device("cpu"), flex=kernel == "flex", **SIGHTS[sight])
    expected = attend_plainly(*heads, scale=0.5, cap=cap, **SIGHTS[sight])
    torch.testing.assert_close(attend(*heads, made, scale=0.5, cap=cap, kernel=kernel), expected, atol=1e-5, rtol=1e-5)


def test_a_kernel_that_cannot_is_refused(heads):
    sight = look(LENGTH, torch.device("cpu"))
    with pytest.raises(ValueError, match="no softcap"):
        attend(*heads, sight, scale=1.0, cap=1.0, kernel="sdpa")
    with pytest.raises(ValueError, match="flex=True"):
        attend(*heads, sight, scale=1.0, kernel="flex")


def test_plain_causality_needs_no_mask():
    assert look(LENGTH, torch.device("cpu"), window=LENGTH) == Sight(LENGTH)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"window": 3},
        {"positions": "alibi"},
        {"window": 4, "global_every": 2, "attention_softcap": 2.0},
        {"positions": "learned"},
    ],
)
def test_documents_in_one_row_score_as_each_by_itself(shape):
    torch.manual_seed(1)
    model = Decoder(ModelSettings(layers=3, width=32, heads=4, kv_heads=2, **shape), 100, 16).eval()
    ids = torch.randint(0, 100, (1, 16))
    documents = torch.tensor([[0] * 7 + [1] + [2] * 8])
    positions = positions_in_documents(documents)
    together = model(ids, documents=documents, positions=positions)
    apart = [model(ids[:, start:end]) for start, end in ((0, 7), (7, 8), (8, 16))]
    torch.testing.assert_close(together, torch.cat(apart, dim=1), atol=1e-5, rtol=1e-4)


def test_a_prefix_is_seen_both_ways_and_nothing_else_is():
    torch.manual_seed(2)
    model = Decoder(ModelSettings(layers=1, width=32, heads=2), 100, 8).eval()
    ids = torch.randint(0, 100, (1, 8))
    prefix = torch.tensor([4])
    before = model(ids, prefix=prefix)
    for changed, differing in ((3, list(range(8))), (5, [5, 6, 7])):
        other = ids.clone()
        other[0, changed] = (other[0, changed] + 1) % 100
        same = (model(other, prefix=prefix) == before).all(-1)[0].tolist()
        assert [place for place in range(8) if not same[place]] == differing


def test_a_window_reaches_further_with_each_layer():
    torch.manual_seed(3)
    model = Decoder(ModelSettings(layers=2, width=32, heads=2, window=3), 100, 12).eval()
    ids = torch.randint(0, 100, (1, 12))
    other = ids.clone()
    other[0, 2] = (other[0, 2] + 1) % 100
    differs = (model(ids) != model(other)).any(-1)[0].tolist()
    # 2 layers x 2 tokens back
    assert [place for place in range(12) if differs[place]] == [2, 3, 4, 5, 6]
