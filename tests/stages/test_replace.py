import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.stages.documents import Batch
from gristmill.stages.editor import Loss
from gristmill.stages.replace import Replace


def edit(*texts, **settings):
    return Replace(**settings).edit(Batch(pa.table({"text": pa.array(texts, pa.large_string())})))


def test_what_is_found_is_cut_and_each_cut_is_a_row():
    done = edit("see https://a.example/b now, http://c", "no address", pattern=r"https?://\S+")
    assert done.table["text"].to_pylist() == ["see  now, ", "no address"]
    assert done.cuts.to_pylist() == [
        {"row": 0, "start": 4, "end": 23, "text": "https://a.example/b", "put": None},
        {"row": 0, "start": 29, "end": 37, "text": "http://c", "put": None},
    ]
    assert done.losses == []


def test_groups_are_put_back():
    assert edit("12 pages", pattern=r"(\d+) (\w+)", by=r"\2: \1").table["text"].to_pylist() == ["pages: 12"]


def test_capitals_count_unless_told_otherwise():
    assert edit("Read More read more", pattern="read more", by="-").table["text"].to_pylist() == ["Read More -"]
    assert edit("Read More read more", pattern="read more", by="-", ignore_case=True).table["text"].to_pylist() == ["- -"]


def test_a_document_of_which_nothing_is_left_goes_and_one_that_was_empty_says_so():
    done = edit("http://a http://b", "", pattern=r"http://\S")
    assert done.losses == [Loss(0, "nothing_left"), Loss(1, "empty")]


def test_a_look_around_that_finds_a_place_and_no_text_changes_nothing():
    assert edit("ab", pattern="(?<=a)(?=b)", by="-").table["text"].to_pylist() == ["ab"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"pattern": "("}, "no regular expression"),
        ({"pattern": "a*"}, "finds the empty string"),
        ({"pattern": "a", "by": r"\1"}, "does not fit the pattern"),
        ({"pattern": "(?P<a>b)", "by": r"\g<c>"}, "does not fit the pattern"),
    ],
)
def test_an_expression_that_cannot_work_is_told(settings, told):
    with pytest.raises(ValidationError, match=told):
        Replace(**settings)


@given(st.lists(st.text("ab c\n", max_size=20), max_size=4))
def test_texts_are_those_of_re_sub_and_cuts_put_back_give_the_text_before(texts):
    done = edit(*texts, pattern="a+b?", by="x")
    for row, before in enumerate(texts):
        expected = re.sub("a+b?", "x", before)
        assert done.table["text"][row].as_py() == (expected if expected.strip() or expected == before else "")
        again, shift = list(before), 0
        for cut in done.cuts.filter(pa.compute.equal(done.cuts["row"], row)).to_pylist():
            assert before[cut["start"] : cut["end"]] == cut["text"]
            again[cut["start"] + shift : cut["end"] + shift] = cut["put"]
            shift += len(cut["put"]) - len(cut["text"])
        assert "".join(again) == expected
