"""Bloom filters: equal to a set of bit numbers, no key forgotten, and the rate of theory at powers of two as elsewhere."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.bloom import (
    INDEX_HASHES,
    BloomFilter,
    best_hashes,
    expected_false_positives,
    false_positive_rate,
    keys_of_bits,
    seen_plainly,
)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=60), st.integers(1, 40), st.integers(1, 200))
def test_a_filter_says_what_a_set_of_bit_numbers_says(keys, words, expected):
    keys += keys[: len(keys) // 2]
    made = BloomFilter(8 * words, expected)
    assert made.bits == 64 * words
    assert made.add(np.array(keys, dtype=np.uint64)).tolist() == seen_plainly(made.bits, made.hashes, keys)


# sizes in bytes; one key for 10 bits is theory's rate of 0.8%
@pytest.mark.parametrize("size", [2**16, 2**19, 500_000, 2**19 + 8, 2**19 - 8])
def test_the_rate_is_that_of_theory_at_powers_of_two_and_elsewhere(size):
    number = size * 8 // 10
    made = BloomFilter(size, number)
    keys = np.random.default_rng(3).integers(0, 2**64, 2 * number, dtype=np.uint64)
    # as in a range of keys: the upper bits of all are the same
    keys = keys >> np.uint64(6) | np.uint64(5) << np.uint64(58)
    made.add(keys[:number])
    assert made.add(keys[:number]).all()  # none is forgotten
    theory = false_positive_rate(made.bits, made.hashes, number)
    assert theory == pytest.approx(0.0082, rel=0.02)
    by_bits = (made.bits_set / made.bits) ** made.hashes
    assert by_bits == pytest.approx(theory, rel=0.05)
    # so few more that the filter stays about as full
    found = int(made.add(keys[number : number + number // 50]).sum())
    expected = number // 50 * theory
    assert abs(found - expected) < 5 * math.sqrt(expected)


@pytest.mark.parametrize("size", [2**10, 2**12, 1000])
def test_all_bits_are_reached(size):
    made = BloomFilter(size, 1)
    made.add(np.arange(200 * size, dtype=np.uint64))
    assert made.bits_set == made.bits


def test_rates_worked_out_by_hand():
    assert false_positive_rate(64, 1, 0) == 0
    assert false_positive_rate(64, 1, 1) == pytest.approx(1 / 64)
    assert false_positive_rate(100, 2, 50) == pytest.approx((1 - 0.99**100) ** 2)
    assert false_positive_rate(2**33, 7, 2**33 // 10) == pytest.approx(0.00819, rel=0.01)
    # with one function the rate grows nearly evenly as long as few bits are set
    assert expected_false_positives(10**6, 1, 1000) == pytest.approx(1000 * 1000 / 2 / 10**6, rel=0.01)
    assert [best_hashes(1000, keys) for keys in (0, 100, 144, 10**6)] == [16, 7, 5, 1]


@pytest.mark.parametrize("size", [0, 7, 2**29])
def test_sizes_that_cannot_be_addressed_are_refused(size):
    with pytest.raises(ValueError, match=r"should have 8 to 536870904"):
        BloomFilter(size, 1)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.lists(st.integers(0, 2**64 - 1), max_size=30))
def test_filters_that_are_joined_are_the_filter_of_all_keys(ours, theirs):
    one, other, both = (BloomFilter(64, 0, INDEX_HASHES) for _ in range(3))
    one.add(np.array(ours, dtype=np.uint64))
    other.add(np.array(theirs, dtype=np.uint64))
    both.add(np.array(ours + theirs, dtype=np.uint64))
    one.join(other.words)
    assert np.array_equal(one.words, both.words)
    assert one.hashes == both.hashes == 7


def test_filters_of_two_sizes_are_not_joined():
    with pytest.raises(ValueError, match="a filter of 1024 bits cannot join one of 512"):
        BloomFilter(64, 0, 7).join(BloomFilter(128, 0, 7).words)


@pytest.mark.parametrize("number", [0, 1, 1000, 5000])
def test_the_bits_tell_about_how_many_keys_there_are(number):
    made = BloomFilter(4096, 0, INDEX_HASHES)
    made.add(np.random.default_rng(1).integers(2**64, size=number, dtype=np.uint64))
    assert abs(keys_of_bits(made.bits, made.hashes, made.bits_set) - number) <= 0.02 * number


def test_a_full_filter_gives_a_number_too():
    assert keys_of_bits(64, 1, 64) == keys_of_bits(64, 1, 63) == round(64 * np.log(64))
