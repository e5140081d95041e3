"""Masked spans travel in `meta`, bound to their text."""

import json
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.documents import Batch
from gristmill.stages.loss_mask import StaleMask, joined, masked_spans, text_hash, with_masked


def documents(*texts, metas=None):
    ids = [f"d{number}" for number in range(len(texts))]
    metas = metas or [None] * len(texts)
    return Batch.of(pa.table({"id": ids, "text": texts, "meta": pa.array(metas, pa.string())})).table


def test_spans_come_back_as_they_were_put_down():
    masked = with_masked(documents("aaa", "日本語 text", "bbb"), {1: [(0, 2), (4, 8)]})
    assert list(masked_spans(masked)) == [(1, [(0, 2), (4, 8)])]
    told = {"spans": [[0, 2], [4, 8]], "text": text_hash("日本語 text")}
    assert masked["meta"].to_pylist() == [None, json.dumps({"loss_mask": told}, sort_keys=True), None]


def test_other_documents_and_other_keys_stay_as_they_are():
    metas = ['{"b": 1,   "a": 2}', '{"b": 1, "a": 2}']
    masked = with_masked(documents("one", "two", metas=metas), {1: [(0, 3)]})
    assert masked["meta"][0].as_py() == metas[0]
    assert {key: value for key, value in json.loads(masked["meta"][1].as_py()).items() if key != "loss_mask"} == {"a": 2, "b": 1}


def test_masks_of_one_text_add_up():
    once = with_masked(documents("0123456789"), {0: [(0, 3), (6, 7)]})
    assert list(masked_spans(with_masked(once, {0: [(2, 4), (7, 9)]}))) == [(0, [(0, 4), (6, 9)])]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))))
def test_joined_spans_hold_the_same_characters_with_gaps_between_them(spans):
    found = joined(spans)
    assert {at for start, end in found for at in range(start, end)} == {at for start, end in spans for at in range(start, end)}
    assert all(start < end for start, end in found)
    assert all(one[1] < other[0] for one, other in pairwise(found))


def test_a_text_that_was_changed_is_told():
    masked = with_masked(documents("as it was"), {0: [(0, 2)]})
    changed = masked.set_column(1, masked.schema.field("text"), pa.array(["as it is"], pa.large_string()))
    with pytest.raises(StaleMask, match="document d0: its text was changed after its loss was masked"):
        list(masked_spans(changed))
    with pytest.raises(StaleMask, match="document d0: its text was changed"):
        with_masked(changed, {0: [(0, 2)]})


@pytest.mark.parametrize(
    "told",
    [
        {"spans": 1, "text": text_hash("text")},
        {"spans": [], "text": text_hash("text")},
        {"spans": [[2, 3], [0, 1]], "text": text_hash("text")},
        {"spans": [[0, 2], [2, 3]], "text": text_hash("text")},
        {"spans": [[0, 5]], "text": text_hash("text")},
        {"spans": [[-1, 2]], "text": text_hash("text")},
        {"spans": [[0, 2.5]], "text": text_hash("text")},
        {"spans": [[0, True]], "text": text_hash("text")},
        {"spans": [[0, 1, 2]], "text": text_hash("text")},
    ],
)
def test_what_is_no_mask_is_told(told):
    with pytest.raises(StaleMask, match=r"document d0: meta\.loss_mask"):
        list(masked_spans(documents("text", metas=[json.dumps({"loss_mask": told})])))


@pytest.mark.parametrize("meta", ['{"chat": {"loss_mask": [0, 1]}}', '{"loss_mask": [0, 1]}', '{"loss_mask": {"spans": []}}'])
def test_a_key_of_that_name_that_a_record_came_with_is_no_mask(meta):
    assert list(masked_spans(documents("text", metas=[meta]))) == []


def test_no_documents_have_no_masks():
    assert list(masked_spans(documents())) == []
    assert with_masked(documents(), {}).num_rows == 0
