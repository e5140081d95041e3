"""Embeddings of documents: where they come from, k-means over them, and which of a cluster are alike."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.stages.fasttext_file import is_word_vectors, path_of_vectors
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    """Shape (n, size), rows of length 1."""

_AT_ONCE = 1024
"""Rows whose products with all others are in memory together."""


@cache
def sentence_model(folder: str) -> Any:
    """A model of sentence-transformers from a folder, kept for the process.

    Raises:
        StageUnavailable: the library is missing, or the folder holds no model.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise StageUnavailable(
            f"{folder}: a model needs sentence-transformers ({error}); pip install 'gristmill[semantic]', or give a file of word "
            "vectors (.bin, .vec); the stage semantic also takes embeddings in a column, embedding: meta.KEY"
        ) from error
    try:
        return SentenceTransformer(folder, device="cpu", local_files_only=True)
    except Exception as error:
        raise StageUnavailable(f"{folder} holds no sentence-transformers model ({error})") from error


def load_model(model: str) -> None:
    """Load what a setting names: a file of word vectors or the folder of a model of sentence-transformers.

    Raises:
        StageUnavailable: a library is missing, or there is no such model.
    """
    if is_word_vectors(model):
        from gristmill.stages.word_vectors import load_word_vectors

        load_word_vectors(model)
    else:
        sentence_model(model)


def model_libraries(model: str) -> tuple[str, ...]:
    """The libraries that decide what a model makes of texts."""
    return ("numpy", "numba") if is_word_vectors(model) else ("sentence-transformers", "torch")


def model_files(model: str, label: str) -> list[str]:
    """The file of word vectors, or the files of a model's folder, sorted.

    Args:
        model: as in `load_model`.
        label: of the stage, for the message.

    Raises:
        StageUnavailable: there is no such file or folder.
    """
    if is_word_vectors(model):
        path = path_of_vectors(model)
        if not os.path.isfile(path):
            raise StageUnavailable(f"{label}: {path} is no file; give word vectors of fastText (.bin, .vec)")
        return [path]
    if not os.path.isdir(model):
        raise StageUnavailable(
            f"{label}: {model} is no folder; give one with a sentence-transformers model, or a file of word vectors (.bin, .vec)"
        )
    return sorted(os.path.join(inside, name) for inside, _, names in os.walk(model) for name in names)


def model_vectors(model: str, texts: Sequence[str]) -> tuple[Vectors, NDArray[np.int64]]:
    """Embeddings of texts, and their rows: all of them, or with word vectors those of which a word has one."""
    if is_word_vectors(model):
        # kernels, which who gives embeddings in a column does without
        from gristmill.stages.word_vectors import load_word_vectors

        return _of_length_one(load_word_vectors(model).of(texts), np.arange(len(texts), dtype=np.int64))
    return sentence_vectors(model, texts)


def sentence_vectors(folder: str, texts: Sequence[str]) -> tuple[Vectors, NDArray[np.int64]]:
    """Embeddings of texts by a model of sentence-transformers, and their rows: all of them."""
    model = sentence_model(folder)
    # one at a time: in a batch, what a text is padded with depends on its neighbours, and so do the last bits
    vectors = [model.encode([text], batch_size=1, show_progress_bar=False, convert_to_numpy=True)[0] for text in texts]
    size = model.encode([""], batch_size=1, show_progress_bar=False, convert_to_numpy=True).shape[1] if not vectors else 0
    matrix = np.array(vectors, dtype=np.float32).reshape(len(vectors), -1 if vectors else size)
    return _of_length_one(matrix, np.arange(len(vectors), dtype=np.int64))


def column_vectors(table: pa.Table, key: str) -> tuple[Vectors, NDArray[np.int64]]:
    """Embeddings from a key of the column `meta`, and the rows of the documents that have one.

    Raises:
        ValueError: a document has something else there than numbers, or not as many as another.
    """
    rows: list[int] = []
    found: list[NDArray[np.float32]] = []
    quoted = json.dumps(key)
    for row, meta in enumerate(table["meta"].to_pylist()):
        value = json.loads(meta).get(key) if meta and quoted in meta else None
        if value is None:
            continue
        vector = _numbers(value)
        if vector is None or (found and len(vector) != len(found[0])):
            wanted = f"a list of {len(found[0])} finite numbers, as others have" if found else "a list of finite numbers"
            raise ValueError(f"{table['id'][row]}: meta.{key} holds {str(value)[:60]!r}; should be {wanted}")
        found.append(vector)
        rows.append(row)
    matrix = np.array(found, dtype=np.float32).reshape(len(found), len(found[0]) if found else 1)
    return _of_length_one(matrix, np.array(rows, dtype=np.int64))


def _numbers(value: Any) -> NDArray[np.float32] | None:
    """A list of finite numbers as float32, at least one; None for anything else."""
    if not isinstance(value, list) or not value:
        return None
    try:
        vector = np.array(value, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        return None
    return vector if vector.ndim == 1 and bool(np.isfinite(vector).all()) else None


def _of_length_one(matrix: NDArray[np.float32], rows: NDArray[np.int64]) -> tuple[Vectors, NDArray[np.int64]]:
    lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
    some = lengths > 0
    return (matrix[some] / lengths[some, None]).astype(np.float32), rows[some]


def id_hashes(ids: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """One number an id, spread evenly over 64 bits: BLAKE2b keyed by the seed."""
    key = seed.to_bytes(8, "little")
    data = b"".join(hashlib.blake2b(one.encode(), digest_size=8, key=key).digest() for one in ids)
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)


def vector_hashes(vectors: Vectors) -> NDArray[np.uint64]:
    """64-bit hashes of the bits of embeddings."""
    data = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in vectors)
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)


def as_lists(vectors: Vectors) -> pa.Array:
    """Embeddings as an Arrow column, list<float>."""
    offsets = np.arange(len(vectors) + 1, dtype=np.int64) * vectors.shape[1]
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(vectors.ravel()))


def as_matrix(column: pa.ChunkedArray) -> Vectors:
    """The embeddings of a column of `as_lists`.

    Raises:
        ValueError: they are of several lengths.
    """
    lists = column.combine_chunks()
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    sizes = np.unique(np.diff(lists.offsets.to_numpy(zero_copy_only=False)))
    if len(sizes) > 1:
        raise ValueError(
            f"embeddings have {sizes[0]} numbers in one document and {sizes[-1]} in another; all should have as many"
        )
    return np.ascontiguousarray(flat.reshape(len(lists), -1 if len(lists) else 1))


def as_sketches(vectors: Vectors, rows: NDArray[np.int64], documents: int) -> pa.ListArray:
    """Embeddings as list<uint64>, two numbers in each; an empty list for documents without one."""
    if vectors.shape[1] % 2:
        vectors = np.hstack([vectors, np.zeros((len(vectors), 1), dtype=np.float32)])
    held = np.zeros(documents, dtype=np.int64)
    held[rows] = vectors.shape[1] // 2
    offsets = np.concatenate([[0], np.cumsum(held)])
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(vectors).view(np.uint64).ravel()))


def cosines(left: pa.Array, right: pa.Array) -> NDArray[np.float64]:
    """Cosine similarity of pairs of sketches, rounded to 6 decimals; 0 where one is empty."""
    result = np.zeros(len(left), dtype=np.float64)
    both = [np.asarray(pc.list_value_length(side.fill_null([]))) for side in (left, right)]
    some = np.flatnonzero((both[0] > 0) & (both[1] > 0))
    if len(some):
        taken = pa.array(some)
        ours, theirs = (
            np.ascontiguousarray(side.take(taken).flatten().to_numpy(zero_copy_only=False))
            .view(np.float32)
            .reshape(len(some), -1)
            for side in (left, right)
        )
        result[some] = np.einsum("ij,ij->i", ours.astype(np.float64), theirs.astype(np.float64))
    return np.clip(np.round(result, 6), -1, 1)


def nearest(vectors: Vectors, centroids: Vectors) -> NDArray[np.int64]:
    """The centroid that each embedding is most similar to; of equal ones the first."""
    found = np.zeros(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _AT_ONCE):
        # rounded, because the last bits of a product depend on what else is multiplied with it
        scores = np.round(vectors[start : start + _AT_ONCE].astype(np.float64) @ centroids.T.astype(np.float64), 6)
        found[start : start + _AT_ONCE] = np.argmax(scores, axis=1)
    return found


def kmeans(vectors: Vectors, clusters: int, iterations: int, seed: int) -> Vectors:
    """Centroids of a spherical k-means: vectors and centroids have length 1, and the nearest is the most similar.

    Args:
        vectors: at least one.
        clusters: how many; at most as many as there are vectors.
        iterations: rounds at most; it ends before when nothing changes.
        seed: of the first centroids, drawn as by k-means++ (Arthur and Vassilvitskii 2007).

    Returns:
        Shape (n_clusters, size).
    """
    generator = np.random.default_rng(seed)
    clusters = min(clusters, len(vectors))
    centroids = vectors[_first_centroids(vectors, clusters, generator)].copy()
    before = None
    for _ in range(iterations):
        assigned = nearest(vectors, centroids)
        if before is not None and np.array_equal(assigned, before):
            break
        before = assigned
        sums = np.zeros((clusters, vectors.shape[1]), dtype=np.float64)
        np.add.at(sums, assigned, vectors)
        lengths = np.linalg.norm(sums, axis=1)
        # a cluster that nothing is nearest to stays where it is
        some = lengths > 0
        centroids[some] = (sums[some] / lengths[some, None]).astype(np.float32)
    return centroids


def _first_centroids(vectors: Vectors, clusters: int, generator: np.random.Generator) -> list[int]:
    chosen = [int(generator.integers(len(vectors)))]
    distance = np.maximum(1 - vectors @ vectors[chosen[0]], 0).astype(np.float64)
    while len(chosen) < clusters:
        total = distance.sum()
        # where all that is left is a copy of what is chosen, any will do
        weights = distance / total if total > 0 else None
        chosen.append(int(generator.choice(len(vectors), p=weights)))
        distance = np.minimum(distance, np.maximum(1 - vectors @ vectors[chosen[-1]], 0))
    return chosen


def similar_rows(
    keys: NDArray[np.uint64], vectors: Vectors, first: int, bound: float, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of rows of equal keys whose cosine similarity reaches a bound.

    Args:
        keys: ascending.
        vectors: embedding of each row.
        first: rows before it are not compared with each other.
        bound: least similarity.
        most: rows that a pair lies apart at most.

    Returns:
        Earlier and later row of each pair.
    """
    left, right = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    cuts = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    for start, stop in zip([0, *cuts], [*cuts, len(keys)], strict=True):
        for begin in range(max(first, int(start)), stop, _AT_ONCE):
            end = min(begin + _AT_ONCE, stop)
            low = max(int(start), begin - most)
            scores = vectors[begin:end] @ vectors[low:end].T
            later, earlier = np.nonzero(scores >= bound)
            later, earlier = later + begin, earlier + low
            wanted = (earlier < later) & (later - earlier <= most)
            left.append(earlier[wanted])
            right.append(later[wanted])
    return np.concatenate(left), np.concatenate(right)


def nearest_plainly(vectors: Sequence[Sequence[float]], centroids: Sequence[Sequence[float]]) -> list[int]:
    """What `nearest` finds."""
    products = [[sum(a * b for a, b in zip(vector, one, strict=True)) for one in centroids] for vector in vectors]
    return [max(range(len(row)), key=lambda at: (row[at], -at)) for row in products]
