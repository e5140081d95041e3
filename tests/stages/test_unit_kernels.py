"""Where units stand and what is left without some: kernels equal to plain Python, cases worked out by hand."""

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.cut_kernels import cuts_table
from gristmill.stages.features import TextFeatures
from gristmill.stages.unit_kernels import (
    cut_spans,
    cut_spans_plainly,
    cut_units,
    cut_units_plainly,
    sentence_spans,
    unit_spans,
    units_plainly,
)

PIECES = ["a", "é", "漢", "A bo.", "C do.", " ", "\n", "\n", "\n\n", "\t", "\u2003"]
TEXT = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def features_of(texts: list[str]) -> TextFeatures:
    return TextFeatures(pa.array(texts, pa.large_string()))


def texts_of(data, offsets) -> list[str]:
    return [data[start:end].tobytes().decode() for start, end in pairwise(offsets)]


def characters(features: TextFeatures, row: int, position: int) -> int:
    return len(features.data[features.offsets[row] : position].tobytes().decode())


def what_cuts_say(texts: list[str], cuts: pa.Table) -> list[str]:
    """The texts without the characters of the cuts, each of which is checked to tell the text it took."""
    left = [list(text) for text in texts]
    for cut in cuts.to_pylist():
        assert "".join(texts[cut["row"]][cut["start"] : cut["end"]]) == cut["text"]
        left[cut["row"]][cut["start"] : cut["end"]] = [""] * (cut["end"] - cut["start"])
    return ["".join(one) for one in left]


@given(st.lists(TEXT, max_size=5), st.booleans(), st.randoms(use_true_random=False))
def test_units_go_as_in_plain_python(texts, paragraphs, random):
    features = features_of(texts)
    rows, starts, ends = unit_spans(features, paragraphs)
    found = [
        [
            (characters(features, row, starts[at]), characters(features, row, ends[at]))
            for at in range(len(rows))
            if rows[at] == row
        ]
        for row in range(len(texts))
    ]
    assert found == [units_plainly(text, paragraphs) for text in texts]
    gone = [at for at in range(len(rows)) if random.random() < 0.5]
    data, offsets, cuts = cut_units(features, paragraphs, rows[gone], starts[gone])
    expected = []
    for row, text in enumerate(texts):
        own = [at for at in range(len(rows)) if rows[at] == row]
        expected.append(cut_units_plainly(text, paragraphs, {own.index(at) for at in gone if at in own}))
    assert texts_of(data, offsets) == expected
    assert len(cuts) == len(gone)
    assert what_cuts_say(texts, cuts_table(features.data, cuts)) == expected


@pytest.mark.parametrize(
    ("text", "gone", "left"),
    [
        ("one\ntwo\nthree", {0}, "two\nthree"),
        ("one\ntwo\nthree", {1}, "one\nthree"),
        ("one\ntwo\nthree", {2}, "one\ntwo"),
        ("one\ntwo\nthree", {0, 1, 2}, ""),
        ("one\n\ntwo\n", {0, 2}, "\n"),
        ("one\n", {0, 1}, ""),
        ("", {0}, ""),
    ],
)
def test_lines_that_stay_are_joined_as_if_the_others_had_never_been(text, gone, left):
    assert cut_units_plainly(text, False, gone) == left
    features = features_of(["before", text])
    rows, starts, _ = unit_spans(features, paragraphs=False)
    chosen = [1 + at for at in sorted(gone)]
    data, offsets, _ = cut_units(features, False, rows[chosen], starts[chosen])
    assert texts_of(data, offsets) == ["before", left]


def test_a_paragraph_takes_its_blank_lines_along():
    features = features_of(["one\nmore\n\n\ntwo\n \nthree"])
    rows, starts, _ = unit_spans(features, paragraphs=True)
    data, offsets, _ = cut_units(features, True, rows[[1]], starts[[1]])
    assert texts_of(data, offsets) == ["one\nmore\n\n\nthree"]


def test_every_three_sentences_in_a_row_are_a_span_and_none_crosses_documents():
    features = features_of(["One ah. Two bo.\nThree co! Four do?", "Five eh. Six fu.", "Seven go. Eight he. Nine it."])
    rows, starts, ends = sentence_spans(features.sentences, 3)
    spans = [features.data[start:end].tobytes().decode() for start, end in zip(starts, ends, strict=True)]
    assert spans == ["One ah. Two bo.\nThree co!", "Two bo.\nThree co! Four do?", "Seven go. Eight he. Nine it."]
    assert rows.tolist() == [0, 0, 2]


@given(st.lists(TEXT, max_size=4), st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_union_of_spans_goes_as_in_plain_python(texts, size, random):
    features = features_of(texts)
    rows, starts, ends = sentence_spans(features.sentences, size)
    gone = [at for at in range(len(rows)) if random.random() < 0.5]
    data, offsets, cuts = cut_spans(features, rows[gone], starts[gone], ends[gone])
    expected = []
    for row, text in enumerate(texts):
        spans = [(characters(features, row, starts[at]), characters(features, row, ends[at])) for at in gone if rows[at] == row]
        expected.append(cut_spans_plainly(text, spans))
    assert texts_of(data, offsets) == expected
    assert what_cuts_say(texts, cuts_table(features.data, cuts)) == expected


@pytest.mark.parametrize(
    ("text", "sentences", "left"),
    [
        ("A bo. C do. E fu.", {1}, "A bo. E fu."),
        ("A bo. C do. E fu.", {0}, "C do. E fu."),
        ("A bo. C do. E fu.", {2}, "A bo. C do."),
        ("A bo. C do. E fu.", {0, 1, 2}, ""),
        ("A bo.\nC do. E fu.", {1}, "A bo.\nE fu."),
        ("A bo. C do.\nE fu.", {1}, "A bo.\nE fu."),
        ("A bo.\n\nC do.\nE fu.", {1}, "A bo.\nE fu."),
        ("A bo. C do. E fu. G he.", {0, 2}, "C do. G he."),
        ("  A bo. C do. ", {1}, "  A bo."),
    ],
)
def test_of_the_white_space_around_a_span_one_stays_and_a_newline_before_a_blank(text, sentences, left):
    features = features_of([text])
    rows, starts, ends = sentence_spans(features.sentences, 1)
    chosen = sorted(sentences)
    data, offsets, _ = cut_spans(features, rows[chosen], starts[chosen], ends[chosen])
    assert texts_of(data, offsets) == [left]
