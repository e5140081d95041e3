"""Tokens are cut into shards of about one size, whatever the buckets hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.pipeline.exchange import Sent
from gristmill.pipeline.shard_cuts import FINE_BUCKETS, bucket_count, cut_shards, joined


@pytest.mark.parametrize(
    ("sizes", "most", "cuts"),
    [
        ([], 10, []),
        ([0, 0], 10, []),
        ([3, 3, 3], 10, [range(3)]),
        ([5, 5], 10, [range(2)]),
        ([3, 3, 3, 3], 10, [range(2), range(2, 4)]),
        ([4, 4, 4], 4, [range(1), range(1, 2), range(2, 3)]),
        # two would do by the total, but buckets are not cut
        ([6, 6, 6], 10, [range(1), range(1, 2), range(2, 3)]),
        ([1, 50, 1], 10, [range(1), range(1, 2), range(2, 3)]),
        ([0, 0, 9, 0, 9, 0], 10, [range(4), range(4, 6)]),
    ],
)
def test_shards_are_as_few_as_hold_no_more_than_the_most(sizes, most, cuts):
    assert cut_shards(sizes, most) == cuts


@given(st.lists(st.integers(0, 40), max_size=40), st.integers(1, 120))
def test_every_bucket_is_in_one_shard_and_no_shard_is_empty_or_too_large(sizes, most):
    cuts = cut_shards(sizes, most)
    assert [bucket for cut in cuts for bucket in cut] == (list(range(len(sizes))) if any(sizes) else [])
    for cut in cuts:
        held = [sizes[bucket] for bucket in cut if sizes[bucket]]
        assert held
        assert sum(held) <= most or len(held) == 1


@given(st.lists(st.integers(900, 1100), min_size=64, max_size=200))
def test_shards_of_even_buckets_hold_more_than_half_of_the_most(sizes):
    cuts = cut_shards(sizes, 16_000)
    assert all(sum(sizes[bucket] for bucket in cut) > 8_000 - 1100 for cut in cuts)
    assert all(sum(sizes[bucket] for bucket in cut) <= 16_000 for cut in cuts)


def test_buckets_are_sixteen_a_shard_until_there_are_thousands():
    shard = 512 << 20
    assert bucket_count(10**6, 2, shard) == 1
    assert bucket_count(0, 2, shard) == 1
    # 6 GB of tokens, twelve shards: 179 sixteenths of a shard, and the next power of two
    assert bucket_count(10**10, 2, shard) == 256
    assert bucket_count(10**10, 4, shard) == 512
    assert bucket_count(10**12, 2, shard) == FINE_BUCKETS
    # 6 TB: 22,352 halves of a shard
    assert bucket_count(10**13, 2, shard) == 32_768


def test_neighbouring_buckets_of_a_file_are_one_stretch():
    places = {
        0: [Sent("a", 0, 2, 5), Sent("b", 0, 1, 3)],
        1: [Sent("a", 2, 3, 1)],
        3: [Sent("b", 1, 2, 7)],
        4: [Sent("a", 3, 4, 9)],
    }
    assert joined(places, range(4)) == [Sent("a", 0, 3, 6), Sent("b", 0, 2, 10)]
    assert joined(places, range(2, 3)) == []
