"""Shingles of characters: what a character is, and which sets they form."""

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.stages.character_shingles import (
    character_shingle_hash_plainly,
    character_shingles_plainly,
    characters_plainly,
)
from gristmill.stages.features import TextFeatures
from gristmill.stages.shingles import BASE, jaccard, shingle_sets


def sets(texts, n):
    return shingle_sets(TextFeatures(pa.array(texts, pa.large_string())), n, True)


def sets_plainly(texts, n):
    return [
        sorted(character_shingle_hash_plainly(shingle, int(BASE)) for shingle in character_shingles_plainly(text, n))
        for text in texts
    ]


def test_capitals_punctuation_and_spacing_do_not_matter():
    assert characters_plainly("  Hello,\n World! ") == "hello world"
    assert len(set(map(str, sets(["  Hello,\n World! ", "hello world"], 4).to_pylist()))) == 1


def test_shingles_are_distinct_character_ngrams():
    assert character_shingles_plainly("abcabc", 3) == {"abc", "bca", "cab"}
    assert character_shingles_plainly("東京都", 2) == {"東京", "京都"}
    assert character_shingles_plainly("ab", 3) == set()


def test_texts_without_spaces_are_compared_by_their_characters():
    # shared: 東京 京都 都に に雪 雪が が降; each has two of its own
    both = sets(["東京都に雪が降った。", "東京都に雪が降らぬ。"], 2)
    assert jaccard(both.slice(0, 1), both.slice(1, 1)).tolist() == [0.6]


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(max_size=40), st.text("aB .,é漢𝔸İΣ\n", max_size=40)), max_size=6), st.integers(1, 6))
@example(["Ⱥ" * 9, "ⱥ" * 9], 1)
def test_shingle_sets_equal_their_plain_twin(texts, n):
    assert sets(texts, n).to_pylist() == sets_plainly(texts, n)
