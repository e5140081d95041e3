import gzip
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.documents import Batch
from gristmill.stages.editor import Edited, Loss
from gristmill.stages.repeated_lines import RepeatedLines
from gristmill.stages.repeated_lines_kernels import cut_copies_plainly

TEXTS = st.lists(st.sampled_from(["a", "é", "bb", " ", "\n", "\n", "\n\n", "\t", "\u2003", "line of text"]), max_size=20).map(
    "".join
)


def edit(*texts: str, **settings: object) -> Edited:
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    return RepeatedLines(**settings).edit(Batch(table))


def edited(text: str, **settings: object) -> str:
    return edit(text, **settings).table["text"][0].as_py()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\ntwo\none\nthree", "one\ntwo\nthree"),
        ("one\none", "one"),
        ("one\none\none\n", "one\n"),
        ("one\n  one\t\ntwo", "one\ntwo"),
        ("one\n\n\none\n\ntwo", "one\n\n\n\ntwo"),
        ("One\none", "One\none"),
        ("\n\n", "\n\n"),
        ("é\né\né", "é"),
    ],
)
def test_the_first_of_each_line_stays(text, expected):
    assert edited(text, min_characters=1) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\n\nc\n\na\nb\n\nd", "a\nb\n\nc\n\nd"),
        ("a\nb\n\na\nb", "a\nb"),
        ("a\na\n\na", "a\na\n\na"),
        ("a\n \n\na\n\n", "a"),
        ("\n\na\n\nb\n\na\n\nc\n", "\n\na\n\nb\n\nc\n"),
    ],
)
def test_the_first_of_each_paragraph_stays(text, expected):
    assert edited(text, unit="paragraph", min_characters=1) == expected


def test_short_lines_stay_and_so_do_as_many_copies_as_wanted():
    assert edited("}\nnine char\n}\nnine char\nten chars.\nten chars.") == "}\nnine char\n}\nnine char\nten chars."
    assert edited("éééééééééé\nééééééééé\nééééééééé\néééééééééé") == "éééééééééé\nééééééééé\nééééééééé"
    assert edited("a\na\nb\na\na", copies=3, min_characters=0) == "a\na\nb\na"


def test_cuts_are_places_in_the_text_before():
    result = edit("x", "é\nb\né\nc\nb\nc", min_characters=1)
    assert result.table["text"].to_pylist() == ["x", "é\nb\nc"]
    assert result.cuts.to_pylist() == [
        {"row": 1, "start": 4, "end": 6, "text": "é\n"},
        {"row": 1, "start": 7, "end": 9, "text": "\nb"},
        {"row": 1, "start": 9, "end": 11, "text": "\nc"},
    ]
    assert result.losses == []


def test_a_document_that_was_empty_is_lost_as_such():
    assert edit("", "a").losses == [Loss(0, "empty")]


@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(["line", "paragraph"]), st.integers(1, 2), st.integers(0, 3))
def test_what_is_left_is_what_the_plain_definition_leaves(texts, unit, copies, least):
    result = edit(*texts, unit=unit, copies=copies, min_characters=least)
    left = result.table["text"].to_pylist()
    assert left == [cut_copies_plainly(text, unit == "paragraph", copies, least) for text in texts]
    rebuilt = list(texts)
    for cut in reversed(result.cuts.to_pylist()):
        text = rebuilt[cut["row"]]
        assert text[cut["start"] : cut["end"]] == cut["text"]
        rebuilt[cut["row"]] = text[: cut["start"]] + text[cut["end"] :]
    assert rebuilt == left


@pytest.mark.parametrize("text", ["\n" * 1_000_000, "a\n" * 500_000, " " * 1_000_000, "a" * 10_000_000])
def test_a_text_of_one_line_or_of_nothing_but_lines_is_done(text):
    assert edited(text, min_characters=1) == cut_copies_plainly(text, False, 1, 1)


def test_real_texts_are_left_as_by_the_plain_definition(shared_data):
    with gzip.open(shared_data / "text" / "encyclopedic.jsonl.gz") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    for unit in ("line", "paragraph"):
        result = edit(*texts, unit=unit)
        assert result.table["text"].to_pylist() == [cut_copies_plainly(text, unit == "paragraph", 1, 10) for text in texts]
        assert result.cuts.num_rows > 0
