"""Near-duplicates by MinHash and bands.

Source: Broder 1997; bands, rows and n-grams as for FineWeb, Penedo et al. 2024, arXiv:2406.17557, app. E.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from gristmill.stages.deduplicator import Deduplicator

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch


BANDS_PER_WAVE = 150
"""Bands that change hands at once: 5 KB a document, whose shingles are hashed anew for each wave."""


class MinHash(Deduplicator):
    r"""Keep one of each cluster of documents that share most of their word n-grams.

    Two documents whose n-gram sets have Jaccard similarity s are compared with probability 1 - (1 - s^rows)^bands, and count as
    duplicates where s reaches `verify`. Words are runs of `\w` in lower case, so punctuation, spacing and capitals do not matter.
    Documents of fewer than `ngram` words are never duplicates here; `exact` judges them.
    """

    kind: ClassVar[str] = "minhash"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "numba")

    bands: PositiveInt = 14
    """Bands of the signature; documents are compared that agree in all values of at least one."""

    rows: PositiveInt = 8
    """Values in a band. The similarity at which half of all pairs are compared is near (1 / bands)^(1 / rows)."""

    ngram: PositiveInt = 5
    """Words in an n-gram."""

    verify: Annotated[float, Field(ge=0, le=1)] | None = 0.7
    """Least Jaccard similarity of the n-gram sets of two duplicates; null: documents that agree in a band count as they are."""

    cluster: Literal["components", "direct"] = "components"
    """`components`: all documents that a chain of duplicates links are one cluster, of which one stays. `direct`: a document
    goes only where one before it, in the order of `keep`, is its duplicate, kept or not."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of the permutations."""

    @property
    def rows_per_document(self) -> int:
        return self.bands

    @property
    def direct(self) -> bool:
        return self.cluster == "direct"

    @property
    def rule(self) -> str:
        return "near_duplicate"

    @property
    def least_similarity(self) -> float | None:
        return self.verify

    def set_up(self) -> None:
        """Compile the kernels, or load them from the cache."""
        from gristmill.stages import minhash_kernels  # noqa: F401

    def code(self) -> list[str]:
        return ["gristmill.stages.minhash_kernels", "gristmill.stages.shingles"]

    @property
    def waves(self) -> int:
        return -(-self.bands // BANDS_PER_WAVE)

    def emit(self, batch: Batch, wave: int = 0) -> pa.Table:
        """One row a band of the wave and document: two 64-bit hashes of the band's number and its values."""
        import pyarrow as pa

        from gristmill.stages.minhash_kernels import band_keys

        first, last = (self.bands * at // self.waves for at in (wave, wave + 1))
        keys, checks, rows = band_keys(batch.features, self.ngram, self.bands, self.rows, self.seed, first, last)
        return pa.table({"key": keys, "check": checks, "row": rows})

    def sketches(self, batch: Batch) -> pa.ListArray:
        """Hashes of the distinct n-grams of each document, ascending: all of them, so that the similarity is no estimate."""
        from gristmill.stages.shingles import shingle_sets

        return shingle_sets(batch.features, self.ngram)

    def signatures(self, batch: Batch) -> pa.ListArray:
        """The signatures, list<uint32>, which datasketch reads; null for documents without an n-gram."""
        import numpy as np
        import pyarrow as pa

        from gristmill.stages.minhash_kernels import signatures

        found, signed = signatures(batch.features, self.ngram, self.bands * self.rows, self.seed)
        offsets = pa.array(np.arange(len(found) + 1, dtype=np.int64) * found.shape[1])
        return pa.LargeListArray.from_arrays(offsets, pa.array(found.ravel()), mask=pa.array(~signed))

    def similarity(self, left: pa.ListArray, right: pa.ListArray) -> np.ndarray:
        """Jaccard similarity of pairs of n-gram sets, float64 of shape (n_pairs,)."""
        from gristmill.stages.shingles import jaccard

        return jaccard(left, right)
