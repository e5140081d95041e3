from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.counting_kernels import (
    count_key,
    filter_size,
    keep_candidates,
    keep_candidates_with_places,
    mix,
    table_size,
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
    assert keep_candidates(same, len(keys), *filters(keys)) == kept
    assert same[:kept].tolist() == found[:kept].tolist()


def test_most_of_keys_that_occur_once_are_left_out():
    keys = np.arange(1, 1001, dtype=np.uint64)
    assert keep_candidates(keys, 1000, *filters([0] * 1000)) < 500


@given(st.lists(st.integers(1, 30), max_size=200))
def test_keys_are_counted_as_they_come(keys):
    size = table_size(30)
    slots, counts = np.zeros(size, np.uint64), np.empty(size, np.int32)
    seen: Counter[int] = Counter()
    for key in keys:
        seen[key] += 1
        assert count_key(slots, counts, size, np.uint64(key)) == seen[key]


def test_a_table_is_at_most_half_full():
    assert [table_size(items) for items in (0, 8, 9, 1000)] == [16, 16, 32, 2048]


def test_only_zero_is_mixed_to_zero():
    assert mix(np.uint64(0)) == 0
    assert all(mix(np.uint64(key)) for key in range(1, 1000))
