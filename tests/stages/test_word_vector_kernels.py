"""Vectors of words and texts: the kernels compute what the plain definitions do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.word_vector_kernels import (
    add_words,
    finish_texts,
    rows_of_parts_plainly,
    rows_of_words,
    sums_of_rows,
    text_vector_plainly,
)

WORDS = st.lists(st.text("aé一𝒳b<>", max_size=7).map(str.encode), min_size=1, max_size=5)


def rows_of(words: list[bytes], own: list[int], shortest: int, longest: int, buckets: int, first: int) -> list[list[int]]:
    data = np.frombuffer(bytearray(b"".join(words)) or bytearray(1), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, words)]).astype(np.int64)
    rows = np.zeros((int(offsets[-1]) + 2 * len(words)) * max(longest, 1) + len(words), dtype=np.int64)
    ends = np.zeros(len(words), dtype=np.int64)
    filled = rows_of_words(data, offsets, np.array(own, dtype=np.int64), shortest, longest, buckets, first, rows, ends)
    assert filled == ends[-1]
    return [one.tolist() for one in np.split(rows[:filled], ends[:-1])]


@given(WORDS, st.integers(1, 4), st.integers(0, 6), st.integers(0, 9))
def test_rows_of_words_are_their_own_and_those_of_their_parts(words, shortest, longest, buckets):
    own = [at if at % 2 else -1 for at in range(len(words))]
    expected = [
        [row] * (row >= 0) + rows_of_parts_plainly(word, shortest, longest, buckets, 10)
        for row, word in zip(own, words, strict=True)
    ]
    assert rows_of(words, own, shortest, longest, buckets, 10) == expected


def test_parts_are_those_of_fasttext():
    # <ab> in parts of 3 and 4 characters: <ab, <ab>, ab>
    assert len(rows_of_parts_plainly(b"ab", 3, 4, 100, 0)) == 3
    # < and > by themselves are no parts, "a" is one
    assert len(rows_of_parts_plainly(b"a", 1, 1, 100, 0)) == 1


def test_a_word_is_the_direction_of_the_sum_of_its_rows():
    matrix = np.array([[3, 0], [0, 4], [0, 0]], dtype=np.float32)
    vectors = np.zeros((4, 2))
    sums_of_rows(np.array([0, 1, 0, 2]), np.array([2, 3, 4, 4]), matrix, vectors)
    assert vectors.tolist() == [[0.6, 0.8], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=6), min_size=1, max_size=5), st.integers(0, 12), st.booleans())
def test_texts_are_those_of_the_plain_definition_wherever_they_are_cut(texts, cut, with_common):
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0, 0.8], [0, 0, 0]])
    weights = np.array([0.5, 1.0, 0.25, 1.0])
    common = np.array([1.0, 0, 0]) if with_common else np.zeros(3)
    words = np.array(["abcd".index(word) for text in texts for word in text], dtype=np.int64)
    text_of = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    sums, totals = np.zeros((len(texts), 3)), np.zeros(len(texts))
    for part in (slice(0, cut), slice(cut, None)):
        add_words(words[part], text_of[part], weights, vectors, sums, totals)
    finish_texts(sums, totals, common)
    by_name = (dict(zip("abcd", weights.tolist(), strict=True)), dict(zip("abcd", vectors, strict=True)))
    expected = [text_vector_plainly(text, *by_name, common) for text in texts]
    np.testing.assert_allclose(sums, expected, atol=1e-12)


def test_a_text_of_nothing_but_what_all_have_in_common_has_no_direction():
    common = np.array([0.6, 0.8])
    sums = np.array([common * 3, common * 3 + [0.8, -0.6]])
    finish_texts(sums, np.array([3.0, 4.0]), common)
    assert sums[0].tolist() == [0.0, 0.0]
    assert sums[1] == pytest.approx([0.8, -0.6])
