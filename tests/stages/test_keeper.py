"""Which of several like documents stays."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gristmill.stages.documents import DOCUMENTS
from gristmill.stages.keeper import LAST, Keep, ranks

KEEP = TypeAdapter(Keep)


def documents(*rows: dict) -> pa.Table:
    base = {"id": "x", "text": "", "source": "s", "file": "f", "position": 0}
    return pa.Table.from_pylist([dict.fromkeys(DOCUMENTS.names) | base | row for row in rows], schema=DOCUMENTS)


def order(keep: str, table: pa.Table) -> list[int]:
    """Rows, those that stay first."""
    addresses = np.arange(table.num_rows, dtype=np.uint64)
    return np.lexsort([addresses, ranks(keep, table, addresses)]).tolist()


def test_policies_are_words_or_name_a_column():
    assert KEEP.validate_python("longest") == "longest"
    assert KEEP.validate_python({"highest": "language_score"}) == "highest:language_score"
    assert KEEP.validate_python({"sources": ["wiki", "web"]}) == "sources:wiki,web"
    for wrong in ("first", "highest", "highest:", {"highest": "a", "lowest": "b"}, 3):
        with pytest.raises(ValidationError):
            KEEP.validate_python(wrong)


def test_each_policy_orders_documents_as_it_says():
    days = [dt.datetime(2024, month, 1, tzinfo=dt.UTC) for month in (5, 3, 9)]
    table = documents(
        {"text": "äää", "source": "web", "date": days[0], "language_score": 0.5, "meta": '{"score": 3, "flag": true}'},
        {"text": "aaaa", "source": "wiki", "date": days[1], "language_score": -0.5, "meta": '{"other": "score"}'},
        {"text": "aaa", "source": "books", "date": days[2], "language_score": None, "meta": '{"score": 4.5}'},
        {"text": "a", "source": "wiki", "date": None, "language_score": 0.7, "meta": None},
    )
    assert order("longest", table) == [1, 0, 2, 3]
    assert order("earliest", table) == [0, 1, 2, 3]
    assert order("latest", table) == [3, 2, 1, 0]
    assert order("newest", table) == [2, 0, 1, 3]
    assert order("oldest", table) == [1, 0, 2, 3]
    assert order("highest:language_score", table) == [3, 0, 1, 2]
    assert order("lowest:language_score", table) == [1, 0, 3, 2]
    assert order("highest:meta.score", table) == [2, 0, 1, 3]
    assert order("highest:meta.flag", table) == [0, 1, 2, 3]
    assert order("sources:wiki,web", table) == [1, 3, 0, 2]


@given(st.lists(st.one_of(st.floats(allow_nan=False), st.none()), min_size=1, max_size=20))
def test_numbers_of_any_size_and_sign_keep_their_order(values):
    table = documents(*({"language_score": value} for value in values))
    last = [row for row, value in enumerate(values) if value is None]
    known = [row for row, value in enumerate(values) if value is not None]
    assert order("lowest:language_score", table) == sorted(known, key=lambda row: (values[row], row)) + last
    assert order("highest:language_score", table) == sorted(known, key=lambda row: (-values[row], row)) + last
    assert set(ranks("highest:language_score", table, np.zeros(len(values), np.uint64))[last]) <= {LAST}


@pytest.mark.parametrize("column", ["quality", "id"])
def test_a_column_that_is_not_there_or_holds_no_numbers_is_named(column):
    with pytest.raises(ValueError, match=column):
        ranks(f"highest:{column}", documents({}), np.zeros(1, np.uint64))
