"""The best and the worst share by any number: bins that keep the order, bounds worked out by sorting."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.documents import Batch
from gristmill.stages.percentile import Percentile, bins_of, bound_of, lowest_of


def batch(values: list[float | None], **columns) -> Batch:
    metas = [None if value is None else json.dumps({"n": value}) for value in values]
    table = {"id": [f"d{row}" for row in range(len(values))], "text": ["x"] * len(values), "meta": pa.array(metas, pa.string())}
    return Batch.of(pa.table(table | columns))


def kept(held: Batch, **settings) -> list[int]:
    stage = Percentile(**({"signal": "meta.n"} | settings))
    return np.flatnonzero(stage.settled(stage.survey(held).totals).judge(held).kept).tolist()


def test_the_highest_and_the_lowest_share_stay_with_ties_and_documents_without_a_value():
    held = batch([5, 1, 4, None, 4, 2, 3])
    assert kept(held, top=1 / 6) == [0, 3]
    # two of six: 5 and a 4, and the other 4 with it
    assert kept(held, top=2 / 6) == [0, 2, 3, 4]
    assert kept(held, bottom=0.5) == [1, 3, 5, 6]
    assert kept(held, top=1.0) == kept(held, bottom=1.0) == list(range(7))


def test_a_share_of_each_group():
    held = batch([1, 2, 30, 40, 7], source=["a", "a", "b", "b", "b"], language=["en", "de", "en", "de", None])
    assert kept(held, top=0.5, by="source") == [1, 2, 3]
    assert kept(held, bottom=0.5, by="language") == [0, 1, 4]


def test_signals_of_the_catalogue_and_columns_are_compared():
    held = Batch.of(pa.table({"text": ["a b c", "a", "a b"], "language_score": [0.1, None, 0.3]}))
    assert kept(held, signal="word_count", top=0.3) == [0]
    assert kept(held, signal="language_score", top=0.5) == [1, 2]


VALUES = st.one_of(st.floats(allow_nan=False), st.integers(-30, 30).map(float))


@given(st.lists(VALUES, min_size=1, max_size=40))
def test_bins_ascend_with_the_values_and_begin_at_or_below_them(values):
    ordered = np.sort(np.array(values))
    power, place = bins_of(ordered)
    assert (np.diff(power * (1 << 14) + place) >= 0).all()
    for value, *where in zip(ordered.tolist(), power.tolist(), place.tolist(), strict=True):
        assert not lowest_of(*where) > value
        if value == int(value) if np.isfinite(value) and 0 <= value < 2**15 else False:
            assert lowest_of(*where) == value


@given(st.lists(st.integers(0, 32_767), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_whole_numbers_are_parted_exactly(values, share):
    stay = max(1, int(np.ceil(share * len(values) - 1e-9)))
    least, most = sorted(values, reverse=True)[stay - 1], sorted(values)[stay - 1]
    held = batch([float(value) for value in values])
    assert kept(held, top=share) == [row for row, value in enumerate(values) if value >= least]
    assert kept(held, bottom=share) == [row for row, value in enumerate(values) if value <= most]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_at_least_the_share_stays_and_none_below_one_that_went(values, share):
    stays = kept(batch(values), top=share)
    assert len(stays) >= share * len(values) - 1e-9
    gone = [value for row, value in enumerate(values) if row not in stays]
    assert not gone or max(gone) < min(values[row] for row in stays)


def test_a_bound_is_found_over_powers_of_two():
    # values 1, 1.5, 2, 8: three quarters are 8, 2 and 1.5
    power, place = bins_of(np.array([1, 1.5, 2, 8.0]))
    histogram = {int(one): np.bincount(place[power == one]) for one in set(power)}
    assert [bound_of(histogram, share) for share in (0.25, 0.5, 0.75, 1.0)] == [8.0, 2.0, 1.5, 1.0]


def test_what_went_tells_value_and_bound():
    held = batch([1, 2.5])
    stage = Percentile(signal="meta.n", top=0.5)
    settled = stage.settled(stage.survey(held).totals)
    verdict = settled.judge(held)
    assert verdict.first_failed_rule == ["not_among_top", None]
    assert settled.details(held, verdict.rules[0], np.array([0])) == ["meta.n 1, bound 2.5"]
    assert verdict.signals["inside_bound"].tolist() == [-1.5, 0.0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"signal": "word_count"}, "set top or bottom"),
        ({"signal": "word_count", "top": 0.1, "bottom": 0.1}, "set top or bottom"),
        ({"signal": "word_cuont", "top": 0.1}, "word_cuont: no such signal"),
        ({"signal": "word_count", "top": 0.1, "per_language": {"de": {"top": 0.2}}}, "by: language"),
    ],
)
def test_what_is_no_share_of_a_signal_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Percentile(**settings)
