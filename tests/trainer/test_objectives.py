from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.trainer.objectives import IGNORED, MODES, Draws, Objective, span_counts, spans
from gristmill.trainer.settings import ObjectiveSettings

N = IGNORED


class Script(Draws):
    """Draws that are given, to work results out by hand."""

    def __init__(self, *values):
        self.values = list(values)

    def below(self, bound):
        value = self.values.pop(0)
        assert 0 <= value < bound
        return value

    def share(self):
        return self.values.pop(0)


def objective(name, seq_len, vocab_size=100, **changes):
    return Objective(ObjectiveSettings(name=name, **changes), vocab_size, seq_len)


def window(tokens):
    return np.arange(1, tokens + 1, dtype=np.int64)


def test_causal_is_the_window_itself():
    made = objective("causal", 4)
    example = made.example(window(5), (0, 0))
    assert (example.ids.tolist(), example.targets.tolist(), example.prefix) == ([1, 2, 3, 4], [2, 3, 4, 5], 0)
    assert (made.length, made.special.vocab_size) == (4, 100)


def test_a_prefix_is_read_and_the_rest_predicted():
    # half on average: from 1 to 7 of 8 tokens, and the third of those is 3
    example = objective("prefix", 7, prefix_fraction=0.5)._prefix(window(8), Script(2))
    assert example.ids.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert example.targets.tolist() == [N, N, 4, 5, 6, 7, 8]
    assert example.prefix == 3


def test_spans_by_hand():
    # 10 tokens, 4 hidden in 2 spans; of 3 places to cut the hidden ones the second, of 5 of the kept ones the first
    made = objective("span_corruption", 9, corrupted=0.4, mean_span=2.0)
    example = made._denoise(window(10), 2.0, 0.4, Script(1, 0))
    # kept 1 | hidden 2 3 | kept 4 5 6 7 8 | hidden 9 10; sentinels are 100, 101, 102
    shown, answer = [1, 100, 4, 5, 6, 7, 8, 101], [100, 2, 3, 101, 9, 10, 102]
    assert example.ids.tolist() == (shown + answer)[:-1]
    assert example.targets.tolist() == [N] * 7 + answer
    assert example.prefix == 8
    assert (made.length, made.special.vocab_size) == (9 + 5, 103)


def test_ul2_names_the_denoiser_first():
    made = objective("ul2", 9)
    # R up to 0.25; its first kind hides round(1.5) = 2 of 10 tokens in 1 span: no cuts to draw
    example = made._ul2(window(10), Script(0.1, 0))
    shown = [100, 1, 2, 3, 4, 5, 6, 7, 8, 103]
    assert example.ids[:13].tolist() == [*shown, 103, 9, 10]
    assert example.targets[:13].tolist() == [N] * 9 + [103, 9, 10, 104]
    assert set(example.targets[13:].tolist()) == {N}
    # S from 0.25 to 0.75: from half of 10 tokens up to 9, and 2 more than the least is 7
    example = made._ul2(window(10), Script(0.5, 2))
    assert example.ids[:10].tolist() == [101, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert example.targets[:10].tolist() == [N] * 7 + [8, 9, 10]
    assert example.prefix == 8


@pytest.mark.parametrize(
    ("draws", "whole"),
    [
        ((0.9,), [1, 2, 3, 4, 5, 6]),
        ((0.1, 4, 1, 0.7), [100, 1, 101, 5, 6, 102, 2, 3, 4]),
        ((0.1, 4, 1, 0.2), [100, 101, 5, 6, 102, 1, 2, 3, 4]),
        ((0.1, 0, 6, 0.7), [100, 101, 102, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_the_middle_comes_last(draws, whole):
    made = objective("fill_in_the_middle", 5, rate=0.5, suffix_first=0.5)
    example = made._middle(window(6), Script(*draws))
    given_ids, targets = whole[:-1], whole[1:]
    assert example.ids.tolist() == given_ids + [0] * (8 - len(given_ids))
    assert example.targets.tolist() == targets + [N] * (8 - len(targets))
    assert example.prefix == 0


@pytest.mark.parametrize(
    ("tokens", "corrupted", "mean", "counts"),
    [(512, 0.15, 3, (77, 26)), (512, 0.5, 64, (256, 4)), (2, 0.15, 3, (1, 1)), (10, 0.9, 1, (9, 1)), (1024, 0.5, 3, (512, 171))],
)
def test_counts_of_spans(tokens, corrupted, mean, counts):
    assert span_counts(tokens, corrupted, mean) == counts


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["prefix", "span_corruption", "ul2", "fill_in_the_middle"]),
    st.integers(3, 80),
    st.integers(0, 2**40),
    st.floats(0.05, 0.95),
    st.floats(1, 20),
)
def test_every_token_of_the_window_is_there_once(name, seq_len, key, corrupted, mean):
    made = objective(name, seq_len, corrupted=corrupted, mean_span=mean)
    tokens = window(seq_len + 1)
    example = made.example(tokens, (0, key))
    assert example.ids.shape == example.targets.shape == (made.length,)
    length = int(np.flatnonzero(example.targets != N)[-1]) + 1
    whole = [*example.ids[:length].tolist(), int(example.targets[length - 1])]
    assert sorted(token for token in whole if token < 100) == tokens.tolist()
    assert max(whole) < made.special.vocab_size
    assert all(target in (N, after) for target, after in zip(example.targets[:length].tolist(), whole[1:], strict=True))
    assert (example.targets[: max(0, example.prefix - 1)] == N).all()
    assert (example.targets[max(0, example.prefix - 1) : length] != N).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.floats(0.01, 0.99), st.floats(1, 64), st.integers(0, 2**30))
def test_spans_fill_the_window(tokens, corrupted, mean, key):
    hidden, kept = spans(tokens, corrupted, mean, Draws((key,)))
    wanted, count = span_counts(tokens, corrupted, mean)
    assert (sum(hidden), len(hidden), sum(kept), len(kept)) == (wanted, count, tokens - wanted, count)
    assert min(hidden + kept) >= 1


def test_a_draw_is_a_function_of_its_key():
    made = objective("span_corruption", 63)
    first = made.example(window(64), (7, 0, 12))
    assert first.ids.tolist() == made.example(window(64), (7, 0, 12)).ids.tolist()
    others = [made.example(window(64), key).ids.tolist() for key in ((8, 0, 12), (7, 1, 12), (7, 0, 13))]
    assert first.ids.tolist() not in others


def test_draws_are_those_of_the_first_release():
    # sha256 of three numbers of 8 bytes each: the key (1, 2), then 1, 2, 3
    draw = Draws((1, 2))
    assert [draw.below(1000) for _ in range(4)] == [381, 614, 530, 475]


def test_denoisers_come_as_often_as_their_shares_say():
    made = objective("ul2", 15)
    seen = Counter(int(made.example(window(16), (0, n)).ids[0]) - 100 for n in range(2000))
    assert {MODES[kind]: count / 2000 for kind, count in seen.items()} == pytest.approx(
        {"R": 0.25, "S": 0.5, "X": 0.25}, abs=0.03
    )


def test_cuts_fall_everywhere_alike():
    draws = [tuple(sorted(Draws((n,)).sample(4, 2))) for n in range(6000)]
    counts = Counter(draws)
    assert len(counts) == 6
    assert all(abs(count - 1000) < 150 for count in counts.values())
    assert all(a < b for pair in counts for a, b in pairwise(pair))


def test_windows_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match="at least 4 tokens; seq_len is 2"):
        objective("ul2", 2)
