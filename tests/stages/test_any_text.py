"""No text is too odd for any signal, filter or editor: the checks of tools/fuzz_signals.py on texts that Hypothesis makes."""

import importlib.util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.stages.corpus_stage import CorpusStage
from gristmill.stages.documents import Batch
from gristmill.stages.editor import Editor
from gristmill.stages.features import TextFeatures
from gristmill.stages.filter import Filter
from gristmill.stages.registry import STAGES, stage_class
from gristmill.stages.signals import MODULES, compute, describe

ROOT = Path(__file__).resolve().parents[2]


def load_fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_signals", ROOT / "tools" / "fuzz_signals.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz = load_fuzz()
PIECES = st.sampled_from(fuzz.PIECES)
TEXTS = st.one_of(
    st.text(max_size=30),
    st.lists(PIECES, max_size=30).map(" ".join),
    st.lists(PIECES, max_size=30).map("".join),
    st.tuples(PIECES, st.integers(0, 50)).map(lambda pair: pair[0] * pair[1]),
)
BYTES = st.one_of(
    st.binary(max_size=30),
    st.lists(st.one_of(st.sampled_from(fuzz.BROKEN), PIECES.map(str.encode)), max_size=20).map(b"".join),
    st.tuples(st.text(max_size=10), st.sampled_from(fuzz.BROKEN)).map(lambda pair: pair[0].encode() + pair[1]),
)
ODD = {
    "nothing": "",
    "a letter": "a",
    "a NUL": "\0",
    "a space": " ",
    "a newline": "\n",
    "a carriage return": "\r",
    "a zero width space": "\u200b",
    "a byte order mark": "\ufeff",
    "a combining mark": "\u0301",
    "many combining marks": "a" + "\u0301" * 1000,
    "right to left": "\u202eשלום مرحبا\u202c",
    "NULs in words": "a\0b \0\0 c\0",
    "the last code point": "\U0010ffff",
}


def test_every_filter_and_editor_of_texts_is_checked():
    checked = {name.split()[0] for name in fuzz.stages()}
    kinds = {name: stage_class(name) for name in STAGES}
    # corpus stages judge no text by itself, and stages of models need one; their tests hold them to any text
    expected = {
        name
        for name, cls in kinds.items()
        if issubclass(cls, Filter | Editor) and not issubclass(cls, CorpusStage) and not fuzz.needs_file(cls)
    }
    assert checked == expected - {"extract", "language"}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_texts_have_defined_values_verdicts_and_cuts(text):
    fuzz.check_texts([text])


@settings(deadline=None, max_examples=60)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_any_texts_have_defined_values_verdicts_and_cuts(texts):
    fuzz.check_texts(texts)


@settings(deadline=None, max_examples=150)
@given(st.lists(BYTES, min_size=1, max_size=3))
@example([b"\xed\xa0\x80"])  # half of a surrogate pair
@example([b"\xf0\x9f\x98"])  # cut short at the end of the buffer
@example([b"\xc0\x80\xe0\x80\x80"])  # overlong
def test_bytes_that_are_no_text_are_refused_by_a_batch_and_have_finite_signals(rows):
    fuzz.check_bytes(rows)


def test_a_line_of_ten_megabytes_has_finite_signals():
    for line in ("a" * 10_000_000, "the word. " * 1_000_000):
        fuzz.check_signals(TextFeatures(pa.array([line], pa.large_string())))


@pytest.mark.parametrize("name", ["c4_lines tfds", "line_corrections", "repeated_lines", "normalise", "pii gristmill"])
def test_a_line_of_ten_megabytes_is_edited(name):
    batch = Batch.of(pa.table({"text": pa.array(["the word " * 1_111_111], pa.large_string())}))
    fuzz.check_editor(name, fuzz.stages()[name], batch)


def test_signals_of_a_batch_without_documents_are_empty():
    assert all(len(values) == 0 for values in fuzz.check_signals(TextFeatures(pa.array([], pa.large_string()))).values())


def test_a_text_has_the_same_signals_alone_and_among_others():
    texts = [*ODD.values(), "The cat.\nThe cat.\n"]
    together = {name: compute(name, TextFeatures(pa.array(texts, pa.large_string())), {}) for name in MODULES}
    for row, text in enumerate(texts):
        alone = TextFeatures(pa.array([text], pa.large_string()))
        assert all(np.array_equal(compute(name, alone, {}), together[name][row : row + 1]) for name in MODULES), text


def test_every_share_and_mean_says_what_it_is_without_anything_to_share():
    without = [info.name for info in describe() if info.unit == "fraction" or info.definition.startswith(("Mean", "Median"))]
    assert len(without) > 50
    definitions = {info.name: info.definition for info in describe()}
    assert [name for name in without if "; 0 " not in definitions[name]] == []
