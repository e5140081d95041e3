"""Near-duplicates by SimHash: fingerprints of 64 bits that differ in few of them.

Source: Charikar 2002; Manku, Jain and Das Sarma 2007 (blocks); parameters of ROOTS, Laurencon et al. 2022, arXiv:2303.03915.
"""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from gristmill.stages.group_deduplicator import GroupDeduplicator

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch

MOST_KEYS = 1_000
"""Keys of a document, each a row that changes hands."""


class SimHash(GroupDeduplicator):
    r"""Keep one of each cluster of documents whose SimHashes differ in few bits.

    A bit of a SimHash is what most of the document's windows of words (or characters) have there. Two of 64 bits that differ in
    at most `distance` agree in `blocks - distance` of their blocks or more, so every such pair is found, and no other. Similarity
    in the ledger is the share of equal bits: 0.5 is that of unrelated texts. Documents of fewer than `ngram` words are never
    duplicates here. ROOTS took words for English and characters for other languages, and left out the last window of a text.
    """

    kind: ClassVar[str] = "simhash"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "numba")
    when_crowded: ClassVar[str] = "More blocks make longer keys that fewer share"
    when_none: ClassVar[str] = "is as long as a window (ngram)"

    distance: Annotated[int, Field(ge=0, le=32)] = 4
    """Most bits in which the SimHashes of two duplicates differ (7 for Galician in ROOTS)."""

    blocks: Annotated[int, Field(ge=1, le=64)] = 6
    """Blocks of neighbouring bits (8 for Galician in ROOTS); more than `distance`. Documents are compared that agree in all
    but `distance` of them. More blocks make longer keys, so fewer comparisons, and more keys."""

    ngram: PositiveInt = 6
    """Words or characters in a window (4 for Galician in ROOTS)."""

    shingle: Literal["words", "characters"] = "words"
    """What windows are made of: words as `minhash` has them, or characters, both in lower case and without punctuation."""

    cluster: Literal["components", "direct"] = "components"
    """`components`: all documents that a chain of duplicates links are one cluster, of which one stays. `direct`: a document
    goes only where one before it, in the order of `keep`, is its duplicate, kept or not."""

    @model_validator(mode="after")
    def _more_blocks_than_distance(self) -> Self:
        if self.blocks <= self.distance:
            raise ValueError(
                f"blocks is {self.blocks}, distance {self.distance}; blocks should be more, or no block need be equal"
            )
        if self.rows_per_document > MOST_KEYS:
            raise ValueError(
                f"{self.blocks} blocks of which {self.distance} may differ make {self.rows_per_document:,} keys a document; "
                f"take fewer blocks, so that there are at most {MOST_KEYS:,}"
            )
        return self

    @property
    def rows_per_document(self) -> int:
        return comb(self.blocks, self.distance)

    @property
    def direct(self) -> bool:
        return self.cluster == "direct"

    @property
    def rule(self) -> str:
        return "near_duplicate"

    @property
    def least_similarity(self) -> float | None:
        return 1 - self.distance / 64

    def set_up(self) -> None:
        """Compile the kernels, or load them from the cache."""
        from gristmill.stages import simhash_kernels  # noqa: F401

    def code(self) -> list[str]:
        return ["gristmill.stages.simhash_kernels", "gristmill.stages.shingles", "gristmill.stages.group_deduplicator"]

    def emit(self, batch: Batch, wave: int = 0) -> pa.Table:
        """One row a choice of blocks and document: a hash of the blocks, and the whole SimHash."""
        import numpy as np
        import pyarrow as pa

        from gristmill.stages.simhash_kernels import block_keys

        hashes, hashed = self.hashes(batch)
        rows = np.flatnonzero(hashed)
        keys = block_keys(hashes[rows], self.blocks, self.distance)
        choices = keys.shape[1]
        return pa.table({"key": keys.ravel(), "check": np.repeat(hashes[rows], choices), "row": np.repeat(rows, choices)})

    def hashes(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """SimHash of each document, uint64, and which documents have a window; each of shape (n_documents,)."""
        from gristmill.stages.simhash_kernels import simhashes

        return simhashes(batch.features, self.ngram, self.shingle == "characters")

    def meet(self, rows: pa.Table, first: int) -> tuple[np.ndarray, np.ndarray]:
        from gristmill.stages.simhash_kernels import close_pairs

        keys, checks = rows["key"].to_numpy(), rows["check"].to_numpy()
        return close_pairs(keys, checks, first, self.distance, self.most_compared)

    def sketches(self, batch: Batch) -> pa.ListArray:
        """The SimHash of each document."""
        import numpy as np
        import pyarrow as pa

        hashes, _ = self.hashes(batch)
        return pa.ListArray.from_arrays(pa.array(np.arange(len(hashes) + 1, dtype=np.int32)), pa.array(hashes))

    def similarity(self, left: pa.ListArray, right: pa.ListArray) -> np.ndarray:
        """Share of equal bits of pairs of SimHashes, float64 of shape (n_pairs,)."""
        from gristmill.stages.simhash_kernels import distances

        ours, theirs = (side.flatten().to_numpy(zero_copy_only=False) for side in (left, right))
        return 1 - distances(ours, theirs) / 64
