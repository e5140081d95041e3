"""A batch of any table: what documents lack is null, and what kernels could not read is refused."""

import pyarrow as pa
import pytest

from gristmill.stages.documents import DOCUMENTS, Batch


def test_columns_that_a_table_lacks_are_null():
    batch = Batch.of(pa.table({"text": ["a", "b"], "extra": [1, 2]}))
    assert batch.table.column_names == DOCUMENTS.names
    assert batch.table["text"].to_pylist() == ["a", "b"]
    assert batch.table["url"].null_count == 2


def test_a_table_without_text_is_refused():
    with pytest.raises(ValueError, match="no column text; it has body, id"):
        Batch.of(pa.table({"body": ["a"], "id": ["1"]}))


def test_bytes_that_are_no_text_are_refused_before_a_kernel_reads_them():
    offsets = pa.array([0, 3], pa.int64()).buffers()[1]
    broken = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(b"\xff\xfea")])
    with pytest.raises(ValueError, match="Invalid UTF8"):
        Batch.of(pa.table({"text": broken}))


def test_features_stay_when_only_other_columns_change():
    batch = Batch.of(pa.table({"text": ["a b", "c"]}))
    features = batch.features
    changed = batch.with_table(batch.table.set_column(8, "language", pa.array(["en", "de"])))
    assert changed.features is features
    assert changed.table["language"].to_pylist() == ["en", "de"]
