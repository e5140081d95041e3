"""SimHash: fingerprints, keys that bring close ones together, and which are close."""

import gzip
import json
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.character_shingles import character_shingle_hash_plainly, character_shingles_plainly
from gristmill.stages.documents import Batch
from gristmill.stages.registry import stage_class
from gristmill.stages.shingles import BASE, shingle_hash_plainly, words_plainly
from gristmill.stages.simhash import SimHash
from gristmill.stages.simhash_kernels import (
    block_key_plainly,
    block_keys,
    block_masks,
    close_pairs,
    distances,
    simhash,
    simhash_plainly,
)

numbers = st.integers(0, 2**64 - 1)


def batch(texts):
    return Batch(pa.table({"text": pa.array(texts, pa.large_string())}))


def computed(features):
    return int(simhash(np.array(features, dtype=np.uint64), len(features), np.empty(64, dtype=np.int32)))


def test_golden_case_of_four_bits():
    # bit sums +1, -3, +1, -1
    assert simhash_plainly([0b1010, 0b1000, 0b0011], bits=4) == 0b1010
    assert computed([0b1010, 0b1000, 0b0011]) == 0b1010
    assert distances(np.array([0b1010], np.uint64), np.array([0b0011], np.uint64)).tolist() == [2]


@settings(deadline=None)
@given(st.lists(numbers, max_size=12))
def test_simhash_equals_its_plain_twin(features):
    assert computed(features) == simhash_plainly(features)


@given(numbers, numbers)
def test_the_distance_is_the_number_of_different_bits(left, right):
    assert distances(np.array([left], np.uint64), np.array([right], np.uint64)).tolist() == [(left ^ right).bit_count()]


def test_simhashes_of_texts_are_those_of_their_windows(shared_data):
    with gzip.open(shared_data / "text" / "qa.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for _, line in zip(range(40), lines, strict=False)] + ["five words are too few", ""]
    found, hashed = SimHash().hashes(batch(texts))
    for text, value, has_window in zip(texts, found.tolist(), hashed.tolist(), strict=True):
        words = words_plainly(text)
        windows = [" ".join(words[at : at + 6]) for at in range(len(words) - 5)]
        assert has_window == bool(windows)
        assert value == simhash_plainly(map(shingle_hash_plainly, windows))


def test_windows_of_characters():
    (value,), (has_window,) = SimHash(shingle="characters", ngram=3).hashes(batch(["東京都に雪"]))
    shingles = character_shingles_plainly("東京都に雪", 3)
    assert has_window
    assert value == simhash_plainly(character_shingle_hash_plainly(one, int(BASE)) for one in shingles)


@pytest.mark.parametrize(("blocks", "distance", "choices"), [(6, 4, 15), (8, 7, 8), (5, 4, 5), (1, 0, 1), (64, 1, 64)])
def test_there_is_a_key_for_each_choice_of_blocks(blocks, distance, choices):
    masks = block_masks(blocks, distance)
    assert len(masks) == choices == SimHash(blocks=blocks, distance=distance).rows_per_document
    # each bit stands in as many choices as any other bit
    assert {sum(mask >> bit & 1 for mask in masks) for bit in range(64)} == {choices * (blocks - distance) // blocks}


@settings(deadline=None)
@given(numbers, st.sets(st.integers(0, 63), max_size=4))
def test_hashes_within_the_distance_share_a_key(value, flipped):
    other = value
    for bit in flipped:
        other ^= 1 << bit
    keys = block_keys(np.array([value, other], dtype=np.uint64), 6, 4)
    assert (keys[0] == keys[1]).any()
    assert keys[0].tolist() == [block_key_plainly(value, mask, at) for at, mask in enumerate(block_masks(6, 4))]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 255)), max_size=20),
    st.integers(0, 3),
    st.integers(0, 5),
    st.integers(1, 25),
)
def test_close_pairs_are_those_of_brute_force(rows, distance, first, most):
    rows = sorted(rows)
    found = close_pairs(*(np.array([row[at] for row in rows], dtype=np.uint64) for at in (0, 1)), first, distance, most)
    expected = {
        (i, j)
        for (i, left), (j, right) in combinations(enumerate(rows), 2)
        if left[0] == right[0] and (left[1] ^ right[1]).bit_count() <= distance and j >= first and j - i <= most
    }
    pairs = list(zip(*(side.tolist() for side in found), strict=True))
    assert len(pairs) == len(expected)
    assert set(pairs) == expected


def test_short_documents_emit_nothing_and_others_a_row_a_key():
    emitted = SimHash().emit(batch(["one two three four five", "one two three four five six"]))
    assert emitted["row"].to_pylist() == [1] * 15
    assert len(set(emitted["check"].to_pylist())) == 1


def test_what_the_engine_asks_of_it():
    stage = SimHash()
    assert (stage.rule, stage.least_similarity, stage.direct, stage.fitted) == ("near_duplicate", 0.9375, False, False)
    assert SimHash(cluster="direct").direct
    assert stage_class("simhash") is SimHash


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"blocks": 4}, "blocks should be more"),
        ({"blocks": 30, "distance": 15}, "take fewer blocks"),
        ({"index": "x", "keep": "earliest"}, "an index needs cluster: direct"),
        ({"against": "x"}, "it must be keep: earliest"),
        ({"distance": -1}, "greater than or equal to 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        SimHash(**wrong)
