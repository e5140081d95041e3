"""Duplicates in meaning: documents whose embeddings point the same way.

Source: SemDeDup, Abbas et al. 2023, arXiv:2303.09540: k-means, and cosine similarity within each cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from gristmill.stages.group_deduplicator import GroupDeduplicator
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch


class Semantic(GroupDeduplicator):
    """Keep one of the documents whose embeddings have nearly the same direction.

    Embeddings come from a column of the input, from word vectors, or from a model of sentence-transformers on this machine (the
    extra `semantic`).

    A k-means over a sample cuts them into clusters, and within each cluster all pairs are compared (each document with 4,096
    others before it at most): pairs of different clusters are never found. The k-means is computed once and kept; another machine
    may come to another one. An index keeps it too, and later runs take it from there. Documents without an embedding, and those
    of length 0, are never duplicates.
    """

    kind: ClassVar[str] = "semantic"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    most_compared: ClassVar[int] = 4096
    when_crowded: ClassVar[str] = "More clusters hold fewer documents each"
    when_none: ClassVar[str] = "has an embedding"
    fitted: ClassVar[bool] = True

    embedding: str | None = None
    """Column with the embedding, a list of numbers of one length: `meta.KEY`, since a reader puts columns of its own there."""

    model: str | None = None
    """Instead: a file of word vectors of fastText (.bin, .vec or fasttext:FILE), see `gristmill embeddings train`, or the folder
    of a sentence-transformers model; nothing is downloaded. Each text is embedded two to four times, by itself: with a
    transformer and more than some 100,000 documents, compute embeddings once and give them as a column."""

    similarity_at_least: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Least cosine similarity of two duplicates."""

    clusters: PositiveInt = 1000
    """Clusters of the k-means; about one for each 1,000 documents. Fewer take longer and find more."""

    learn_from: PositiveInt = 100_000
    """Documents that the k-means learns from: those with the lowest keyed hashes of their ids."""

    iterations: PositiveInt = 25
    """Rounds of the k-means."""

    cluster: Literal["components", "direct"] = "direct"
    """`direct`: a document goes where one before it, in the order of `keep`, is its duplicate, kept or not, as in SemDeDup.
    `components`: all documents that a chain of duplicates links are one cluster, of which one stays."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the sample and the k-means."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.embedding is None) == (self.model is None):
            raise ValueError("give embedding, a column such as meta.embedding, or model, a file or folder; one of the two")
        if self.embedding is not None and not self.embedding.startswith("meta."):
            raise ValueError(f"embedding is {self.embedding!r}; should be meta.KEY: columns of the input stand in meta")
        return self

    @property
    def rows_per_document(self) -> int:
        return 40  # one row, as large as 40: an embedding of some hundred numbers

    @property
    def direct(self) -> bool:
        return self.cluster == "direct"

    @property
    def rule(self) -> str:
        return "semantic_duplicate"

    @property
    def least_similarity(self) -> float | None:
        return self.similarity_at_least

    @property
    def sample_documents(self) -> int:
        return self.learn_from

    def library_names(self) -> tuple[str, ...]:
        if self.model is None:
            return self.libraries
        from gristmill.stages.embeddings import model_libraries

        return tuple(dict.fromkeys((*self.libraries, *model_libraries(self.model))))

    def set_up(self) -> None:
        """Load the model.

        Raises:
            StageUnavailable: a library is not installed, or there is no such model.
        """
        if self.model is not None:
            from gristmill.stages.embeddings import load_model

            load_model(self.model)

    def code(self) -> list[str]:
        modules = ("embeddings", "group_deduplicator", *(("word_vectors",) if self.model else ()))
        return [f"gristmill.stages.{module}" for module in modules]

    def files(self) -> list[str]:
        """The model's files."""
        if self.model is None:
            return []
        from gristmill.stages.embeddings import model_files

        return model_files(self.model, "semantic")

    def vectors(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of length 1, float32 of shape (n_embedded, size), and the rows (int64) of the documents that have one.

        Raises:
            ValueError: the column holds something else than lists of numbers of one length.
        """
        from gristmill.stages.embeddings import column_vectors, model_vectors

        if self.model is not None:
            return model_vectors(self.model, batch.table["text"].to_pylist())
        return column_vectors(batch.table, (self.embedding or "").removeprefix("meta."))

    def sample(self, batch: Batch) -> pa.Table:
        """Embeddings, each with the keyed hash of its document's id."""
        import pyarrow as pa

        from gristmill.stages.embeddings import as_lists, id_hashes

        hashes = id_hashes(batch.table["id"].to_pylist(), self.seed)
        vectors, rows = self.vectors(batch)
        return pa.table({"hash": hashes[rows], "vector": as_lists(vectors)})

    def fit(self, sample: pa.Table) -> pa.Table:
        """Centroids of the k-means, of length 1 each."""
        import pyarrow as pa

        from gristmill.stages.embeddings import as_lists, as_matrix, kmeans

        centroids = kmeans(as_matrix(sample["vector"]), self.clusters, self.iterations, self.seed)
        return pa.table({"vector": as_lists(centroids)})

    def emit(self, batch: Batch, wave: int = 0) -> pa.Table:
        """As `emit_grouped`, all documents being one cluster."""
        return self.emit_grouped(batch, wave, None)

    def emit_grouped(self, batch: Batch, wave: int, model: pa.Table | None) -> pa.Table:
        """One row a document: its cluster, a hash of its embedding, and the embedding."""
        import pyarrow as pa

        from gristmill.stages.embeddings import as_lists, vector_hashes

        vectors, rows = self.vectors(batch)
        columns = {"key": self._keys(vectors, model), "check": vector_hashes(vectors), "row": rows}
        return pa.table({**columns, "vector": as_lists(vectors)})

    def keys_of(self, emitted: pa.Table, model: pa.Table) -> pa.Array:
        """The clusters of embeddings, by centroids that they were not emitted with."""
        import pyarrow as pa

        from gristmill.stages.embeddings import as_matrix

        return pa.array(self._keys(as_matrix(emitted["vector"]), model))

    def _keys(self, vectors: np.ndarray, model: pa.Table | None) -> np.ndarray:
        """The cluster of each embedding, spread over all keys, which are cut into equal ranges.

        Raises:
            StageUnavailable: the centroids, of an earlier run's index perhaps, are of embeddings of another length.
        """
        import numpy as np

        from gristmill.stages.embeddings import as_matrix, nearest

        cluster = np.zeros(len(vectors), dtype=np.int64)
        if model is not None and len(vectors):
            centroids = as_matrix(model["vector"])
            if centroids.shape[1] != vectors.shape[1]:
                raise StageUnavailable(
                    f"{self.label}: embeddings have {vectors.shape[1]} numbers, those that its k-means has learned from "
                    f"{centroids.shape[1]}; all should be of one model"
                )
            cluster = nearest(vectors, centroids)
        return (cluster.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)

    def meet(self, rows: pa.Table, first: int) -> tuple[np.ndarray, np.ndarray]:
        from gristmill.stages.embeddings import as_matrix, similar_rows

        # a little less than the bound, which the exact similarity then judges
        bound = self.similarity_at_least - 1e-4
        return similar_rows(rows["key"].to_numpy(), as_matrix(rows["vector"]), first, bound, self.most_compared)

    def sketches(self, batch: Batch) -> pa.ListArray:
        """Embeddings, two float32 numbers in 64 bits; empty where there is none."""
        from gristmill.stages.embeddings import as_sketches

        return as_sketches(*self.vectors(batch), len(batch))

    def similarity(self, left: pa.ListArray, right: pa.ListArray) -> np.ndarray:
        """Cosine similarity of pairs of embeddings, rounded to 6 decimals, float64 of shape (n_pairs,)."""
        from gristmill.stages.embeddings import cosines

        return cosines(left, right)
