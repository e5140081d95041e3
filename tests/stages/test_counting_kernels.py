from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.counting_kernels import (
    filter_size,
    keep_candidates,
    keep_candidates_with_places,
    mix,
    table_size,
    tally,
)

KEYS = st.lists(st.one_of(st.integers(0, 40), st.integers(0, 2**64 - 1)), max_size=400)


def filters(keys: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.empty(filter_size(len(keys)), np.uint64), np.empty(filter_size(len(keys)), np.uint64)


@given(KEYS)
def test_no_key_that_occurs_twice_is_lost_and_those_left_keep_their_order_and_places(keys):
    found, same = np.array(keys, np.uint64), np.array(keys, np.uint64)
    places = np.empty(len(keys) + 1, np.int64)
    kept = keep_candidates_with_places(found, len(keys), places, *filters(keys))
    counts = Counter(keys)
    assert set(np.flatnonzero([counts[key] > 1 for key in keys])) <= set(places[:kept].tolist())
    assert found[:kept].tolist() == [keys[place] for place in places[:kept]]
    assert places[:kept].tolist() == sorted(set(places[:kept].tolist()))
    fewer = keep_candidates(same, len(keys), *filters(keys))
    repeated = [key for key in keys if counts[key] > 1]
    assert fewer <= kept
    assert [key for key in same[:fewer].tolist() if counts[key] > 1] == repeated
    assert Counter(same[:fewer].tolist()) <= counts


def test_most_of_keys_that_occur_once_are_left_out():
    keys = np.arange(1, 1001, dtype=np.uint64)
    assert keep_candidates(keys, 1000, *filters([0] * 1000)) < 500


@given(KEYS)
def test_keys_are_tallied_by_how_often_they_occur(keys):
    slots, counts = np.empty(table_size(len(keys)), np.uint64), np.empty(table_size(len(keys)), np.int32)
    at_least = np.zeros(len(keys) + 1, np.int64)
    times = Counter(keys).values()
    assert tally(np.array(keys, np.uint64), len(keys), slots, counts, at_least) == max(times, default=0)
    assert at_least.tolist() == [0] + [sum(count >= least for count in times) for least in range(1, len(keys) + 1)]


def test_the_greatest_counts_add_up_to_the_sum_over_how_many_keys_occur_so_often():
    keys = np.array([7, 7, 7, 0, 0, 5, 5, 9], np.uint64)
    at_least = np.zeros(9, np.int64)
    tally(keys, 8, np.empty(16, np.uint64), np.empty(16, np.int32), at_least)
    assert at_least.tolist() == [0, 4, 3, 1, 0, 0, 0, 0, 0]
    assert np.minimum(at_least, 2).sum() == 3 + 2


def test_a_table_is_at_most_half_full():
    assert [table_size(items) for items in (0, 8, 9, 1000)] == [16, 16, 32, 2048]


def test_only_zero_is_mixed_to_zero():
    assert mix(np.uint64(0)) == 0
    assert all(mix(np.uint64(key)) for key in range(1, 1000))
