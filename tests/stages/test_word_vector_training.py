"""Training of word vectors: equal to the plain definition, read by the library, the same bytes each time."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.fasttext_file import check_file, read_vectors_file
from gristmill.stages.fasttext_writer import write_vectors
from gristmill.stages.word_vector_kernels import rows_of_parts_plainly
from gristmill.stages.word_vector_training import (
    VectorSettings,
    descend_plainly,
    kept_below,
    negative_table,
    rows_of_vocabulary,
    train_vectors,
)

WORDS = ["red", "tea", "café", "一", "Red", "x1"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=9), min_size=1, max_size=4).filter(
        lambda texts: len({word.lower() for text in texts for word in text}) > 1
    ),
    st.sampled_from(["skipgram", "cbow"]),
    st.sampled_from([(0, 0), (1, 2), (3, 6)]),
    st.sampled_from([1e-2, 1.0]),
)
def test_training_is_that_of_the_plain_definition(texts, model, parts, sampling):
    chosen = VectorSettings(
        model=model, dimensions=9, epochs=2, learning_rate=0.3, window=3, negatives=2, sampling=sampling, min_count=1,
        shortest=parts[0], longest=parts[1], buckets=7, seed=5,
    )  # fmt: skip
    trained = train_vectors([" ".join(text) for text in texts], chosen)
    read = [word for text in texts for word in [one.lower() for one in text]]
    assert (trained.tokens, sum(trained.counts)) == (len(read), len(read))
    assert trained.counts == sorted((read.count(word.decode()) for word in trained.words), reverse=True)
    start = np.random.Generator(np.random.PCG64(5)).random(trained.inputs.shape, dtype=np.float32).astype(float)
    inputs, outputs = (start * 2 - 1) / 9, np.zeros(trained.outputs.shape)
    numbers = {word.decode(): number for number, word in enumerate(trained.words)}
    n_words, buckets = len(numbers), chosen.rows_of_parts
    descend_plainly(
        [[numbers[word.lower()] for word in text] for text in texts],
        [
            [number, *rows_of_parts_plainly(word, parts[0], parts[1], buckets, n_words)]
            for number, word in enumerate(trained.words)
        ],
        kept_below(trained.counts, trained.tokens, sampling).tolist(),
        negative_table(trained.counts).tolist(),
        chosen,
        inputs,
        outputs,
    )
    np.testing.assert_allclose(trained.inputs, inputs, atol=2e-5)
    np.testing.assert_allclose(trained.outputs, outputs, atol=2e-5)


def test_how_often_frequent_words_stay():
    # shares 0.8 and 0.2, t = 0.05: sqrt(1/16) + 1/16 and sqrt(1/4) + 1/4 of all numbers of 64 bits
    found = kept_below([8, 2], 10, 0.05).astype(float) / 2.0**64
    assert found.tolist() == pytest.approx([0.3125, 0.75])
    assert kept_below([1, 1], 2, 10.0)[0] == 2**64 - 2048


def test_negative_samples_follow_the_square_root_of_counts():
    drawn = np.bincount(negative_table([9, 4, 1]))
    assert (drawn / drawn.sum()).tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6], abs=1e-5)


def test_rows_of_all_words_begin_with_their_own():
    rows, ends = rows_of_vocabulary([b"ab", b"c"], VectorSettings(shortest=3, longest=3, buckets=5))
    # <ab, ab>; <c>
    assert ends.tolist() == [0, 3, 5]
    assert (rows[0], rows[3], rows[[1, 2, 4]].min() >= 2) == (0, 1, True)


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_the_library_reads_the_file_and_gives_the_same_vectors(tmp_path, model):
    fasttext = pytest.importorskip("fasttext")
    chosen = VectorSettings(model=model, dimensions=5, buckets=30, min_count=1, epochs=3)
    trained = train_vectors(["red green blue", "green tea, café red"] * 5, chosen)
    with (tmp_path / "v.bin").open("wb") as file:
        write_vectors(trained, file)
    library = fasttext.load_model(str(tmp_path / "v.bin"))
    assert library.get_words() == [word.decode() for word in trained.words]
    for number, word in [*enumerate(trained.words), (None, "grün".encode())]:
        rows = rows_of_parts_plainly(word, 3, 6, 30, len(trained.words)) + ([] if number is None else [number])
        np.testing.assert_allclose(library.get_word_vector(word.decode()), trained.inputs[rows].mean(axis=0), atol=1e-6)
    held = read_vectors_file(str(tmp_path / "v.bin"))
    assert (held.words, held.counts, held.buckets, held.dimensions) == (trained.words, trained.counts, 30, 5)
    with pytest.raises(ValueError, match="holds word vectors, and no labels"):
        check_file(str(tmp_path / "v.bin"))


def test_one_order_and_seed_give_one_file():
    def content(**given) -> bytes:
        held = io.BytesIO()
        write_vectors(
            train_vectors(["red green blue", "green tea red"] * 9, VectorSettings(min_count=1, buckets=9, **given)), held
        )
        return held.getvalue()

    assert content() == content()
    assert len({content(), content(seed=1), content(model="cbow")}) == 3


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_no_training_ends_without_numbers(model):
    for seed in range(10):
        trained = train_vectors(["a b a a", "b", "", "a a"] * 20, VectorSettings(model=model, min_count=1, buckets=3, seed=seed))
        assert np.isfinite(trained.inputs).all()
        assert np.isfinite(trained.outputs).all()


def test_what_cannot_be_learned_is_told():
    with pytest.raises(ValueError, match="1 of 2 words occur 2 times; give more text"):
        train_vectors(["a a b"], VectorSettings(min_count=2))
    with pytest.raises(ValueError, match="0 of 0 words"):
        train_vectors(["..."], VectorSettings())
