"""Exact duplicates: documents whose normalised texts are the same.

What the normalisations of published corpora take out is a setting each: CCNet's paragraphs are in lower case with digits as 0 and
without Unicode punctuation (Wenzek et al. 2020, arXiv:1911.00359), RefinedWeb's texts without punctuation, capitals and accents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

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
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "numba", "pyarrow")

    lowercase: bool = True
    """Take capitals for small letters."""

    collapse_whitespace: bool = True
    """Take each run of whitespace for one space, and none at either end."""

    remove_punctuation: bool = True
    """Leave punctuation out (Unicode categories P*), so that straight and curly quotes are the same.

    `$`, `+` and `<` are symbols, no punctuation. Turn it off where 1.5 and 15 must differ.
    """

    zero_digits: bool = False
    """Take each decimal digit of any script for 0, so that pages that differ in a date or a counter are the same."""

    remove_accents: bool = False
    """Leave accents out (non-spacing marks, Unicode category Mn): `café` is `cafe`. Also the vowel signs of Arabic, Hebrew and
    Indic scripts go, which in the last makes different words the same."""

    unicode_form: Literal["NFC", "NFD", "NFKC", "NFKD"] | None = None
    """Bring texts into this Unicode normalisation form first, so that an é of one code point and one of two are the same; the
    forms with K also take full-width letters, ligatures and superscripts for plain ones."""

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
            | (kernels.ZERO_DIGITS if self.zero_digits else 0)
        )
        features = batch.features
        if self.unicode_form or self.remove_accents:
            features = kernels.in_unicode_form(features, self.unicode_form or "NFC", not self.remove_accents)
        keys, checks, rows = kernels.text_keys(features, how)
        return pa.table({"key": keys, "check": checks, "row": rows})
