"""Near-duplicates by MinHash and bands.

Source: Broder 1997; bands, rows and n-grams by default as for FineWeb, Penedo et al. 2024, arXiv:2406.17557, app. E.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.minhash_choice import PRESETS, Preset, bands_and_rows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.documents import Batch


BANDS_PER_WAVE = 150
"""Bands that change hands at once: 5 KB a document, whose shingles are hashed anew for each wave."""

MOST_PERMUTATIONS = 10_000


class MinHash(Deduplicator):
    r"""Keep one of each cluster of documents that share most of their n-grams.

    Two documents whose n-gram sets have Jaccard similarity s are compared with probability 1 - (1 - s^rows)^bands, and count as
    duplicates where s reaches `verify`. Words are runs of `\w` in lower case, so punctuation, spacing and capitals do not matter;
    nor do they between characters. Documents of fewer than `ngram` of them are never duplicates here; `exact` judges them. Of the
    documents that agree in a band each is compared with the first and with the one before it: with at most 2 a band.
    """

    kind: ClassVar[str] = "minhash"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "numba")

    preset: Preset | None = None
    """Take `bands`, `rows`, `ngram`, `shingle` as a published corpus did, and no `verify`, which none of them had; what is set
    beside it goes before. Words are ours, not those of the corpus."""

    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Choose `bands` and `rows` by this similarity: with the smallest sum of false positives below and false negatives above it,
    as datasketch does."""

    permutations: Annotated[int, Field(ge=1, le=MOST_PERMUTATIONS)] = 128
    """Most values of a signature where `threshold` chooses; else `bands` times `rows` says it."""

    bands: PositiveInt = 14
    """Bands of the signature; documents are compared that agree in all values of at least one."""

    rows: PositiveInt = 8
    """Values in a band. The similarity at which half of all pairs are compared is near (1 / bands)^(1 / rows)."""

    ngram: PositiveInt = 5
    """Words, or characters, in an n-gram."""

    shingle: Literal["words", "characters"] = "words"
    """What n-grams are made of. `characters`, in lower case and without punctuation, is for scripts that do not part words by
    spaces; take an `ngram` of 8 or more then, since all long documents share the short ones."""

    verify: Annotated[float, Field(ge=0, le=1)] | None = 0.7
    """Least Jaccard similarity of the n-gram sets of two duplicates; null: documents that agree in a band count as they are."""

    cluster: Literal["components", "direct"] = "components"
    """`components`: all documents that a chain of duplicates links are one cluster, of which one stays. `direct`: a document
    goes only where one before it, in the order of `keep`, is its duplicate, kept or not."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of the permutations."""

    @model_validator(mode="before")
    @classmethod
    def _chosen(cls, given: Any) -> Any:
        """Fill in what `preset` or `threshold` decides."""
        if not isinstance(given, Mapping):
            return given
        preset, threshold = given.get("preset"), given.get("threshold")
        if preset in PRESETS:
            given = {"verify": None, **PRESETS[preset], **given}
        if threshold is None or preset is not None:
            return given
        try:
            chosen = float(threshold), int(given.get("permutations", cls.model_fields["permutations"].default))
        except (TypeError, ValueError):
            return given  # the fields tell what is wrong
        if not (0 < chosen[0] < 1 and 0 < chosen[1] <= MOST_PERMUTATIONS):
            return given
        bands, rows = bands_and_rows(*chosen)
        return {"bands": bands, "rows": rows, **given}

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.threshold is not None:
            if self.preset is not None:
                raise ValueError(f"threshold {self.threshold} and preset {self.preset}: each chooses bands and rows; give one")
            chosen = bands_and_rows(self.threshold, self.permutations)
            if (self.bands, self.rows) != chosen:
                raise ValueError(
                    f"threshold {self.threshold} with {self.permutations} permutations chooses {chosen[0]} bands of {chosen[1]} "
                    f"rows; bands and rows beside it say {self.bands} of {self.rows}: give one of the two"
                )
        return self

    @property
    def rows_per_document(self) -> int:
        return self.bands

    @property
    def characters(self) -> bool:
        """Whether shingles are of characters."""
        return self.shingle == "characters"

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
        return ["gristmill.stages.minhash_kernels", "gristmill.stages.shingles", "gristmill.stages.character_shingles"]

    @property
    def waves(self) -> int:
        return -(-self.bands // BANDS_PER_WAVE)

    def emit(self, batch: Batch, wave: int = 0) -> pa.Table:
        """One row a band of the wave and document: two 64-bit hashes of the band's number and its values."""
        import pyarrow as pa

        from gristmill.stages.minhash_kernels import band_keys

        first, last = (self.bands * at // self.waves for at in (wave, wave + 1))
        how = (self.ngram, self.bands, self.rows, self.seed, first, last)
        keys, checks, rows = band_keys(batch.features, *how, self.characters)
        return pa.table({"key": keys, "check": checks, "row": rows})

    def sketches(self, batch: Batch) -> pa.ListArray:
        """Hashes of the distinct n-grams of each document, ascending: all of them, so that the similarity is no estimate."""
        from gristmill.stages.shingles import shingle_sets

        return shingle_sets(batch.features, self.ngram, self.characters)

    def signatures(self, batch: Batch) -> pa.ListArray:
        """The signatures, list<uint32>, which datasketch reads; null for documents without an n-gram."""
        import numpy as np
        import pyarrow as pa

        from gristmill.stages.minhash_kernels import signatures

        found, signed = signatures(batch.features, self.ngram, self.bands * self.rows, self.seed, self.characters)
        offsets = pa.array(np.arange(len(found) + 1, dtype=np.int64) * found.shape[1])
        return pa.LargeListArray.from_arrays(offsets, pa.array(found.ravel()), mask=pa.array(~signed))

    def similarity(self, left: pa.ListArray, right: pa.ListArray) -> np.ndarray:
        """Jaccard similarity of pairs of n-gram sets, float64 of shape (n_pairs,)."""
        from gristmill.stages.shingles import jaccard

        return jaccard(left, right)
