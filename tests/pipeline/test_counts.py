"""Counts add up."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from gristmill.pipeline.counts import add, count, whitespace_words


def test_counts_add_up_rule_by_rule():
    first = count(np.array([5, 7]), np.array([1, 2]), np.array([True, False]), {"short": 1})
    second = count(np.array([11]), np.array([4]), np.array([False]), {"long": 1, "unused": 0})
    assert add(add(None, first), second) == {
        "in": 3,
        "kept": 1,
        "removed": 2,
        "edited": 0,
        "rules": {"long": 1, "short": 1},
        "bytes_in": 23,
        "bytes_kept": 5,
        "words_in": 7,
        "words_kept": 1,
    }


def test_a_sum_leaves_its_parts_as_they_are():
    first = count(np.array([5]), None, np.array([False]), {"short": 1})
    total = add(None, first)
    total["rules"]["short"] = 9
    assert first["rules"] == {"short": 1}


def test_words_stay_unknown_where_a_part_does_not_know_them():
    known = count(np.array([5]), np.array([2]), np.array([True]), {})
    unknown = count(np.array([5]), None, np.array([True]), {})
    assert (add(known, unknown)["words_in"], add(unknown, known)["words_in"]) == (None, None)


@given(st.lists(st.text(max_size=30), max_size=5))
def test_words_are_what_lies_between_white_space(texts):
    found = whitespace_words(pa.chunked_array([pa.array(texts, pa.large_string())]))
    assert found.tolist() == [len(text.split()) for text in texts]
