"""Text features take any Arrow strings, slices and chunks among them, and compute each thing once."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from gristmill.stages.features import TextFeatures


def words(features: TextFeatures) -> list[str]:
    spans = features.words("whitespace")
    return [features.data[start:end].tobytes().decode() for start, end in zip(spans.starts, spans.ends, strict=True)]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a b", "", "é"], pa.large_string()),
        pa.array(["a b", "", "é"], pa.string()),
        pa.array(["x y", "a b", "", "é", "z"], pa.large_string()).slice(1, 3),
        pa.chunked_array([["a b"], [], ["", "é"]], pa.large_string()),
        pa.chunked_array([pa.array(["x y", "a b", "", "é"], pa.large_string()).slice(1)]),
    ],
    ids=["large", "small", "slice", "chunks", "sliced chunk"],
)
def test_the_texts_are_those_of_the_column(column):
    features = TextFeatures(column)
    assert len(features) == 3
    assert words(features) == ["a", "b", "é"]
    assert features.words("whitespace").offsets.tolist() == [0, 2, 2, 3]
    assert features.character_counts.tolist() == [3, 0, 1]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (b"a \xff b", "a \ufffd b"),
        (b"\xf4\x90\x80\x80", "\ufffd" * 4),  # beyond the last code point, and beyond the tables
        (b"\xed\xa0\x80", "\ufffd" * 3),  # half of a surrogate pair
        (b"caf\xc3", "caf\ufffd"),  # cut short at the end of the buffer
    ],
)
def test_bytes_that_are_no_utf8_are_the_replacement_character(row, text):
    offsets = pa.py_buffer(np.array([0, 1, 1 + len(row)], np.int64))
    column = pa.Array.from_buffers(pa.large_string(), 2, [None, offsets, pa.py_buffer(b"x" + row)])
    features = TextFeatures(column)
    assert [features.data[a:b].tobytes().decode() for a, b in pairwise(features.offsets)] == ["x", text]
    assert TextFeatures(column.slice(1)).character_counts.tolist() == [len(text)]


def test_offsets_that_go_back_are_refused():
    offsets = pa.py_buffer(np.array([0, 3, 1], np.int64))
    with pytest.raises(ValueError, match="column text is broken"):
        TextFeatures(pa.Array.from_buffers(pa.large_string(), 2, [None, offsets, pa.py_buffer(b"abc")]))


@pytest.mark.parametrize("column", [pa.chunked_array([], pa.large_string()), pa.array([], pa.large_string())])
def test_no_documents_are_no_words(column):
    features = TextFeatures(column)
    assert len(features) == 0
    assert words(features) == []
    assert len(features.lines.starts) == len(features.paragraphs.starts) == 0


def test_texts_from_a_read_only_buffer_are_taken_without_a_copy():
    table = pa.table({"text": pa.array(["a b"], pa.large_string())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    read = pa.ipc.open_stream(sink.getvalue()).read_all()["text"]
    features = TextFeatures(read)
    assert words(features) == ["a", "b"]
    assert features.data.ctypes.data == read.chunk(0).buffers()[2].address


def test_nulls_are_refused():
    with pytest.raises(ValueError, match="1 nulls"):
        TextFeatures(pa.array(["a", None], pa.large_string()))


def test_the_same_words_are_found_once():
    features = TextFeatures(pa.array(["a b"], pa.large_string()))
    assert features.words("uax29") is features.words("uax29")


def test_more_words_than_expected_fit():
    texts = ["a " * 5000, "b", "c " * 70_000]
    features = TextFeatures(pa.array(texts, pa.large_string()))
    assert np.diff(features.words("whitespace").offsets).tolist() == [5000, 1, 70_000]


def test_the_catalogue_names_signals_without_loading_kernels():
    code = (
        "import sys, gristmill.stages.signals; from gristmill.stages.gopher_quality import GopherQuality; "
        "list(GopherQuality().rules()); print('numba' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
