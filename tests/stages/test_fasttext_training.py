"""Training of linear classifiers: equal to plain definitions, and to the library where that reads the file."""

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.fasttext_file import check_file
from gristmill.stages.fasttext_scores import label_scores
from gristmill.stages.fasttext_training import (
    Hyperparameters,
    LinearModel,
    descend_plainly,
    hash_plainly,
    hashes_of,
    rows_plainly,
    train,
    words_of,
)
from gristmill.stages.fasttext_writer import write_model

TEXTS = [
    "red green blue",
    "green\tgreen tea",
    "café naïve red",
    "one two three",
    "two two café",
    "three\none </s> red",
    "一 二 two",
]
LABELS = ["a", "a", "a", "b", "b", "b", "b"]
SMALL = Hyperparameters(dimensions=4, buckets=50, epochs=3, word_ngrams=3, seed=7)


def rows_of(model: LinearModel, text: str) -> list[int]:
    numbers = {word: row for row, word in enumerate(model.words)}
    return rows_plainly(words_of(text), numbers, model.settings.rows_of_ngrams, model.settings.word_ngrams)


def probabilities(model: LinearModel, text: str) -> np.ndarray:
    shares = np.exp(model.outputs.astype(float) @ model.inputs[rows_of(model, text)].astype(float).mean(axis=0))
    return shares / shares.sum()


def test_words_are_those_of_fasttext():
    assert words_of("a  b\nc\0d\u00a0e") == [b"a", b"b", b"c", b"d\xc2\xa0e", b"</s>"]
    assert words_of("a __label__x b </s> c") == [b"a", b"b", b"</s>"]
    assert words_of("") == [b"</s>"]


def test_a_word_is_hashed_as_fasttext_does():
    # FNV-1a of "a" is e40c292c; a byte above 127 counts as signed
    assert hash_plainly(b"a") == 0xE40C292C - (1 << 32)
    assert hash_plainly(b"\xc3") & 0xFFFFFFFF == ((2166136261 ^ 0xFFFFFFC3) * 16777619) & 0xFFFFFFFF


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_hashes_are_those_of_the_plain_definition(words):
    ends = np.cumsum([0, *map(len, words)]).astype(np.int64)
    found = hashes_of(np.frombuffer(bytearray().join(words) or bytearray(1), dtype=np.uint8), ends)
    assert found.tolist() == [hash_plainly(word) for word in words]


WORDS = st.lists(st.sampled_from(["red", "tea", "café", "一", "x"]), max_size=6).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(WORDS, st.sampled_from("abc")), min_size=2, max_size=8).filter(lambda rows: len({b for _, b in rows}) > 1),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_training_is_that_of_the_plain_definition(rows, word_ngrams, min_count):
    texts, labels = zip(*rows, strict=True)
    given_ = Hyperparameters(dimensions=3, buckets=11, epochs=2, word_ngrams=word_ngrams, min_count=min_count, seed=1)
    model = train(texts, labels, given_)
    n_rows = len(model.words) + given_.rows_of_ngrams
    assert model.inputs.shape == (n_rows, 3)
    start = np.random.Generator(np.random.PCG64(1)).random((n_rows, 3), dtype=np.float32).astype(float)
    inputs, outputs = (start * 2 - 1) / 3, np.zeros((len(model.labels), 3))
    lengths = [len(words_of(text)) for text in texts]
    numbers = [model.labels.index(label) for label in labels]
    descend_plainly([rows_of(model, text) for text in texts], lengths, numbers, 2, 0.5, inputs, outputs)
    np.testing.assert_allclose(model.inputs, inputs, atol=1e-5)
    np.testing.assert_allclose(model.outputs, outputs, atol=1e-5)


@pytest.mark.parametrize("word_ngrams", [1, 2, 3])
def test_the_library_reads_the_file_and_gives_the_same_probabilities(tmp_path, word_ngrams):
    model = train(TEXTS * 20, LABELS * 20, Hyperparameters(dimensions=5, buckets=64, word_ngrams=word_ngrams))
    with (tmp_path / "model.bin").open("wb") as file:
        write_model(model, file)
    check_file(str(tmp_path / "model.bin"))
    asked = [*TEXTS, "unseen words", "red unseen green"]
    for label in ("a", "b"):
        scores = label_scores(str(tmp_path / "model.bin"), pa.chunked_array([pa.array(asked)]), label)
        expected = [probabilities(model, text)[model.labels.index(label)] for text in asked]
        np.testing.assert_allclose(scores, expected, atol=3e-5)
    assert [scores[row] > 0.5 for row in range(7)] == [label == "b" for label in LABELS]


def test_one_order_and_seed_give_one_file():
    def content(texts, **changed) -> bytes:
        held = io.BytesIO()
        write_model(train(texts, LABELS, Hyperparameters(**{**vars(SMALL), **changed})), held)
        return held.getvalue()

    assert content(TEXTS) == content(TEXTS)
    assert content(TEXTS) != content(TEXTS, seed=8)


def test_no_training_ends_without_numbers_whatever_the_seed():
    for seed in range(30):
        model = train(TEXTS, LABELS, Hyperparameters(dimensions=7, buckets=13, seed=seed, learning_rate=1.0))
        assert np.isfinite(model.inputs).all()
        assert np.isfinite(model.outputs).all()


def test_what_cannot_be_learned_is_told():
    with pytest.raises(ValueError, match="two labels or more are to be told apart; there is a"):
        train(["x", "y"], ["a", "a"], SMALL)
    with pytest.raises(ValueError, match="no word occurs 9 times"):
        train(["x", "y"], ["a", "b"], Hyperparameters(min_count=9))
