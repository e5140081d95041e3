"""Exact duplicates: documents whose normalised texts are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from gristmill.stages.deduplicator import Deduplicator

if TYPE_CHECKING:
    import pyarrow as pa

    from gristmill.stages.documents import Batch


class Exact(Deduplicator):
    """Keep one of the documents whose texts are the same but for capitals, spacing and punctuation.

    Texts are compared by 128-bit hashes. Of copies that differ in what does not matter, the longest stays by default: it is the
    one that has kept its punctuation and line breaks. Documents of which normalisation leaves nothing are never duplicates.
    """

    kind: ClassVar[str] = "exact"
    one_key: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "numba")

    lowercase: bool = True
    """Take capitals for small letters."""

    collapse_whitespace: bool = True
    """Take each run of whitespace for one space, and none at either end."""

    remove_punctuation: bool = True
    """Leave punctuation out (Unicode categories P*), so that straight and curly quotes are the same.

    `$`, `+` and `<` are symbols, no punctuation. Turn it off where 1.5 and 15 must differ.
    """

    @property
    def rule(self) -> str:
        return "exact_duplicate"

    def set_up(self) -> None:
        """Compile the kernels, or load them from the cache."""
        from gristmill.stages import normalisation  # noqa: F401

    def code(self) -> list[str]:
        return ["gristmill.stages.normalisation"]

    def emit(self, batch: Batch, wave: int = 0) -> pa.Table:
        """One row a document: both halves of the hash of its normalised text."""
        import pyarrow as pa

        from gristmill.stages import normalisation as kernels

        how = (
            (kernels.LOWERCASE if self.lowercase else 0)
            | (kernels.COLLAPSE_WHITESPACE if self.collapse_whitespace else 0)
            | (kernels.REMOVE_PUNCTUATION if self.remove_punctuation else 0)
        )
        keys, checks, rows = kernels.text_keys(batch.features, how)
        return pa.table({"key": keys, "check": checks, "row": rows})
