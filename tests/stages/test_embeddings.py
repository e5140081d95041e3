"""Embeddings: where they come from, their clusters, and which of a cluster are alike."""

import json
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.embeddings import (
    as_lists,
    as_matrix,
    as_sketches,
    column_vectors,
    cosines,
    kmeans,
    model_vectors,
    nearest,
    nearest_plainly,
    similar_rows,
    vector_hashes,
)
from gristmill.stages.stage import StageUnavailable


def unit(rows):
    matrix = np.array(rows, dtype=np.float32)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def table(*metas):
    return pa.table({"id": [f"d{at}" for at in range(len(metas))], "meta": pa.array(metas, pa.string())})


def test_a_column_gives_vectors_of_length_one_to_those_that_have_one():
    metas = [json.dumps({"embedding": [3, 4]}), None, json.dumps({"other": 1}), json.dumps({"embedding": [0, 0]})]
    vectors, rows = column_vectors(table(*metas, json.dumps({"embedding": [0, 2.0]})), "embedding")
    assert vectors.tolist() == unit([[3, 4], [0, 1]]).tolist()
    assert rows.tolist() == [0, 4]


@pytest.mark.parametrize("wrong", ["text", [], [1, "a"], [[1, 2]], [1, 2, 3], [1, None]])
def test_what_is_no_embedding_is_told_with_the_document(wrong):
    with pytest.raises(ValueError, match=r"d1: meta.embedding holds .* should be a list of 2 finite numbers, as others have"):
        column_vectors(table(json.dumps({"embedding": [1, 2]}), json.dumps({"embedding": wrong})), "embedding")


def test_lists_and_sketches_hold_the_vectors():
    vectors = unit([[1, 2, 3], [-1, 0, 5]])
    assert np.array_equal(as_matrix(pa.chunked_array([as_lists(vectors)])), vectors)
    sketches = as_sketches(vectors, np.array([0, 2]), 3)
    assert [len(one) for one in sketches.to_pylist()] == [2, 0, 2]
    # (-1 + 15) / (sqrt(14) * sqrt(26)), and nothing where there is no embedding
    assert cosines(sketches, sketches.take(pa.array([2, 0, 2]))).tolist() == [round(14 / (14 * 26) ** 0.5, 6), 0.0, 1.0]


def test_kmeans_finds_the_bundles_that_are_there():
    generator = np.random.default_rng(3)
    middles = np.eye(4)
    vectors = unit(np.repeat(middles, 30, axis=0) + generator.normal(scale=0.05, size=(120, 4)))
    assigned = nearest(vectors, kmeans(vectors, 4, 25, seed=0)).reshape(4, 30)
    assert [len(set(bundle)) for bundle in assigned.tolist()] == [1, 1, 1, 1]
    assert len(set(assigned[:, 0].tolist())) == 4


def test_kmeans_of_fewer_or_equal_vectors():
    vectors = unit([[1, 0], [1, 0], [1, 0]])
    assert kmeans(vectors, 10, 5, seed=0).tolist() == vectors.tolist()


directions = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)


@settings(deadline=None)
@given(st.lists(directions, min_size=1, max_size=8), st.lists(directions, min_size=1, max_size=4))
def test_the_nearest_centroid_is_that_of_the_plain_twin(vectors, centroids):
    # whole numbers, not of length one: their products are exact
    found = nearest(np.array(vectors, dtype=np.float32), np.array(centroids, dtype=np.float32))
    assert found.tolist() == nearest_plainly(vectors, centroids)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), directions), max_size=12), st.integers(0, 4), st.integers(1, 12))
def test_similar_rows_are_those_of_brute_force(rows, first, most):
    rows = sorted(rows)
    keys = np.array([key for key, _ in rows], dtype=np.uint64)
    vectors = unit([vector for _, vector in rows]) if rows else np.zeros((0, 3), dtype=np.float32)
    pairs = list(zip(*(side.tolist() for side in similar_rows(keys, vectors, first, 0.9, most)), strict=True))
    expected = [
        (i, j)
        for i, j in combinations(range(len(rows)), 2)
        if keys[i] == keys[j] and float(vectors[i] @ vectors[j]) >= 0.9 and j >= first and j - i <= most
    ]
    assert sorted(pairs) == expected


def test_equal_vectors_have_equal_hashes():
    one, other, third = vector_hashes(unit([[1, 2], [1, 2], [1, 3]])).tolist()
    assert one == other != third


def test_a_model_gives_each_text_its_own_embedding(tmp_path):
    pytest.importorskip("sentence_transformers", reason="needs the extra semantic")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    from tokenizers import Tokenizer

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "red": 1, "blue": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.array([[1, 0], [0, 1], [3, 4]], dtype=np.float32)
    folder = tmp_path / "model"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu").save(str(folder))
    vectors, rows = model_vectors(str(folder), ["red", "blue", "blue blue", "red other"])
    assert rows.tolist() == [0, 1, 2, 3]
    assert np.allclose(vectors, unit([[0, 1], [3, 4], [3, 4], [1, 1]]))


def test_a_folder_without_a_model_is_told(tmp_path):
    pytest.importorskip("sentence_transformers", reason="needs the extra semantic")
    with pytest.raises(StageUnavailable, match="holds no sentence-transformers model"):
        model_vectors(str(tmp_path), ["text"])
