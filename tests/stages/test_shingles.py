"""Shingles: what a word is, what an n-gram is, and how similar two sets of them are."""

import gzip
import json
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.stages.features import TextFeatures
from gristmill.stages.shingles import (
    hash_words,
    jaccard,
    jaccard_plainly,
    shingle_hash_plainly,
    shingle_sets,
    shingles_plainly,
    words_plainly,
)
from gristmill.stages.unicode_tables import tables

FOX = "the quick brown fox jumps over the lazy dog today"
CAT = "the quick brown fox jumps over the lazy cat today"


def features(texts):
    return TextFeatures(pa.array(texts, pa.large_string()))


def sets(texts, n=5):
    return shingle_sets(features(texts), n).to_pylist()


def sets_plainly(texts, n=5):
    return [sorted(map(shingle_hash_plainly, shingles_plainly(text, n))) for text in texts]


def text_files(shared_data):
    return sorted((shared_data / "text").glob("*.jsonl.gz"))


def first_texts(path, count):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for _, line in zip(range(count), lines, strict=False)]


def labelled(shared_data, name):
    """Texts by id, and labelled pairs."""
    folder = shared_data / "dedup"
    with gzip.open(folder / f"{name}.docs.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = {document["id"]: document["text"] for document in map(json.loads, lines)}
    with gzip.open(folder / f"{name}.pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        return texts, [json.loads(line) for line in lines]


def test_words_are_runs_of_word_characters_in_lower_case():
    assert words_plainly("It's 3.14 in Café—Zürich, snake_case ÅNGSTRÖM") == [
        *("it", "s", "3", "14", "in", "café", "zürich", "snake_case", "ångström")
    ]


def test_a_capital_whose_lower_case_is_two_characters_stays():
    assert words_plainly("İstanbul") == ["İstanbul"]


def test_shingles_are_distinct_word_ngrams():
    assert shingles_plainly("to be or not to be or not to be", 4) == {
        "to be or not",
        "be or not to",
        "or not to be",
        "not to be or",
    }


def test_golden_case_of_two_sentences():
    left, right = shingles_plainly(FOX, 5), shingles_plainly(CAT, 5)
    assert (len(left), len(right), len(left & right), len(left | right)) == (6, 6, 4, 8)
    both = shingle_sets(features([FOX, CAT]), 5)
    assert jaccard(both.slice(0, 1), both.slice(1, 1)).tolist() == [0.5]


def test_commas_and_capitals_do_not_matter():
    plain, dressed = sets([FOX, "The quick, brown FOX jumps... over the lazy dog; Today!"])
    assert plain == dressed


def test_a_text_of_fewer_than_n_words_has_no_shingle():
    assert sets(["", " ", "one two three four", "one two three four five"], 5)[:3] == [[], [], []]
    assert len(sets(["one two three four five"], 5)[0]) == 1


def test_repeats_count_once():
    assert sets(["a a a a a a"], 2) == [[shingle_hash_plainly("a a")]]


@pytest.mark.parametrize("length", range(1, 26))
def test_words_of_every_length_at_every_place_hash_as_defined(length):
    word = "AbcdefghijklmnopqrstuvwxyZ"[:length]
    texts = [lead + word + tail for lead in ("", " ", "...", "    é-") for tail in ("", ".", "—", " x", "é")]
    assert sets(texts, 1) == sets_plainly(texts, 1)


def test_every_code_point_is_a_word_character_or_not_as_for_re():
    points = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    texts = ["".join(f"x{point}Y " for point in points[start : start + 500]) for start in range(0, len(points), 500)]
    hashes = np.empty(10_000, dtype=np.uint64)
    data = features(texts)
    for document, text in enumerate(texts):
        begin, end = data.offsets[document], data.offsets[document + 1]
        count = hash_words(data.data, begin, end, tables().flags, tables().lower, hashes)
        assert count == len(words_plainly(text))
    # each code point alone in a word, its lower case included; a sample, since the plain twin takes seconds for all
    sampled = [f"x{point}Y" for point in points[:3000]] + [f"x{point}Y" for point in points[3000::97]]
    assert sets(sampled, 1) == sets_plainly(sampled, 1)


word_like = st.text(st.sampled_from("aZ09_ é漢ß𝔸İΣ.,\n—\u00a0ȺꙀ"), max_size=60)


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(max_size=40), word_like), max_size=6), st.integers(1, 6))
@example(["Ⱥ" * 9, "ⱥ" * 9], 1)
def test_shingle_sets_equal_their_plain_twin(texts, n):
    assert sets(texts, n) == sets_plainly(texts, n)


def test_a_slice_of_a_column_gives_the_sets_of_its_rows():
    texts = pa.array(["zero " * 5, FOX, CAT, "last"], pa.large_string())
    assert shingle_sets(TextFeatures(texts.slice(1, 2)), 5).to_pylist() == sets([FOX, CAT])


def test_shingle_sets_equal_their_plain_twin_on_real_text(shared_data):
    for path in text_files(shared_data):
        texts = [text[:20_000] for text in first_texts(path, 6)]
        assert sets(texts) == sets_plainly(texts)


sorted_sets = st.lists(st.integers(0, 30).map(lambda value: value * (2**64 // 31)), max_size=12, unique=True).map(sorted)


@settings(deadline=None)
@given(st.lists(st.tuples(sorted_sets, sorted_sets), max_size=5), st.sampled_from([pa.list_, pa.large_list]))
def test_jaccard_equals_its_plain_twin(pairs, list_of):
    left = pa.array([left for left, _ in pairs], list_of(pa.uint64()))
    right = pa.array([right for _, right in pairs], list_of(pa.uint64()))
    assert jaccard(left, right).tolist() == [jaccard_plainly(*pair) for pair in pairs]


def test_jaccard_of_slices_of_nulls_and_of_empty_sets():
    left = pa.array([[9], [1, 2, 3], None, []], pa.list_(pa.uint64()))
    right = pa.array([[2, 3, 4], [1], []], pa.large_list(pa.uint64()))
    assert jaccard(left.slice(1), right).tolist() == [0.5, 0.0, 0.0]


def test_jaccard_refuses_arrays_that_are_no_pairs():
    with pytest.raises(ValueError, match="left has 2 sets, right 1"):
        jaccard(pa.array([[1], [2]], pa.list_(pa.uint64())), pa.array([[1]], pa.list_(pa.uint64())))


@pytest.mark.parametrize("name", ["pep_revisions", "licences"])
def test_jaccard_is_the_labelled_one(shared_data, name):
    texts, pairs = labelled(shared_data, name)
    place = {key: index for index, key in enumerate(texts)}
    found = shingle_sets(features(list(texts.values())), 5)
    left = found.take(pa.array([place[pair["a"]] for pair in pairs]))
    right = found.take(pa.array([place[pair["b"]] for pair in pairs]))
    assert [round(value, 4) for value in jaccard(left, right).tolist()] == [pair["jaccard5"] for pair in pairs]
