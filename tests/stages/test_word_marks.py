import gzip

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.features import TextFeatures
from gristmill.stages.uax29_classes import word_break_classes
from gristmill.stages.unicode_tables import tables
from gristmill.stages.word_marks import split_by_character
from gristmill.stages.words import SPLITTERS, split_words_plainly

ALPHABET = "aZ09_ \n\t\r\x1c\x00.,;:'\"#(-é’“\u0301\u200d\u00ad\u2003\x85日カש👨"


def words_of(texts: list[str], splitter: str) -> list[list[str]]:
    features = TextFeatures(pa.array(texts, pa.large_string()))
    spans, data = features.words(splitter), features.data.tobytes()
    words = [data[start:end].decode() for start, end in zip(spans.starts, spans.ends, strict=True)]
    return [words[first:last] for first, last in zip(spans.offsets, spans.offsets[1:], strict=False)]


@pytest.mark.parametrize("splitter", SPLITTERS)
@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(ALPHABET, max_size=200), max_size=4))
def test_words_are_those_of_the_plain_definition(splitter, texts):
    assert words_of(texts, splitter) == [split_words_plainly(text, splitter) for text in texts]


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("middle", ["a.b", "1,2", "a'é", "x_1", "_x", ". .", "“a”", "a:b", "1.a", "a\u0301", "  \u0301"])
def test_a_word_may_lie_across_the_end_of_64_bytes(splitter, middle):
    texts = ["x" * before + " " + middle + " end" for before in range(55, 70)] + [
        "w " * before + middle for before in range(28, 36)
    ]
    assert words_of(texts, splitter) == [split_words_plainly(text, splitter) for text in texts]


@pytest.mark.parametrize("name", [name for name in SPLITTERS if SPLITTERS[name].number <= 3])
def test_marks_say_what_going_from_character_to_character_says(name, shared_data):
    with gzip.open(shared_data / "text" / "qa.jsonl.gz", "rt", encoding="utf-8") as lines:
        text = lines.read(200_000)
    data = np.frombuffer(text.encode(), np.uint8).copy()
    starts, ends = np.empty(data.size + 1, np.int64), np.empty(data.size + 1, np.int64)
    number, flags, classes = SPLITTERS[name].number, tables().flags, word_break_classes()
    count = split_by_character(data, 0, data.size, number, flags, classes, starts, ends)
    spans = TextFeatures(pa.array([text], pa.large_string())).words(name)
    assert spans.starts.tolist() == starts[:count].tolist()
    assert spans.ends.tolist() == ends[:count].tolist()
