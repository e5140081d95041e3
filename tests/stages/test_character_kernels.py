"""Counts of characters by what they are, held to the interpreter's own Unicode data."""

import unicodedata

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from gristmill.stages.character_classes import character_classes, is_special_plainly
from gristmill.stages.character_kernels import count_letters_or_marks
from gristmill.stages.features import TextFeatures

TEXTS = st.lists(st.text(st.one_of(st.characters(), st.sampled_from("aZ0_ .\n\x00\x7fé\u0301½²中")), max_size=200), max_size=4)


def plainly(text: str) -> list[int]:
    return [
        len(text),
        sum(map(str.isalpha, text)),
        sum(map(str.isalnum, text)),
        sum(unicodedata.category(character)[0] in "LM" for character in text),
        sum(map(is_special_plainly, text)),
    ]


def test_a_letter_a_digit_a_mark_and_control_characters():
    features = TextFeatures(pa.array(["aÉ 5\u0301\x00!"], pa.large_string()))
    assert features.character_sorts.tolist() == [[7, 2, 3, 3, 3]]


@given(TEXTS)
@example(["".join(map(chr, range(0x250))), "", "".join(map(chr, range(0x80)))])
def test_characters_are_what_the_interpreter_says(texts):
    features = TextFeatures(pa.array(texts, pa.large_string()))
    assert features.character_sorts.tolist() == [plainly(text) for text in texts]


@given(st.text(max_size=150), st.text(max_size=150), st.text(max_size=150))
def test_letters_and_marks_of_a_part_of_the_bytes(before, text, after):
    features = TextFeatures(pa.array([before + text + after], pa.large_string()))
    begin = len(before.encode())
    found = count_letters_or_marks(features.data, begin, begin + len(text.encode()), character_classes())
    assert found == plainly(text)[3]
