"""Exact substrings that repeat in the corpus (Lee et al. 2022, arXiv:2107.06499), found without a suffix array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from gristmill.stages.editor import Edited, Loss
from gristmill.stages.gopher_quality import Fraction
from gristmill.stages.window_editor import Units, WindowEditor

if TYPE_CHECKING:
    import pyarrow as pa

    from gristmill.stages.documents import Batch


class Substring(WindowEditor):
    """Cut what stands in the corpus twice, letter by letter, over at least `min_length` bytes, words or tokens.

    What is cut is exactly what a suffix array of the corpus finds: the union of all windows of `min_length` units that occur at
    least twice, in one document or in two (they may overlap); a window never spans two documents. Cuts are of whole characters:
    one that is only partly in a repeat stays. A document shorter than `min_length` has no repeat. Windows are compared by 128-bit
    hashes. As published: RefinedWeb takes `unit: tokenizer` with GPT-2's (50 tokens), ROOTS `unit: bytes` (50 bytes), Dolma 3
    `unit: bytes, min_length: 500`.
    """

    kind: ClassVar[str] = "substring"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "numba")

    unit: Literal["words", "bytes", "tokenizer"] = "words"
    """What is counted. Words are cut with the white space behind them, and that between them is not compared."""

    tokenizer: str | None = None
    """A tokenizer.json, for `unit: tokenizer`; the published recipes take GPT-2's."""

    words: Literal["whitespace", "uax29", "segmented"] = "whitespace"
    """What a word is, for `unit: words`: what stands between white space; what Unicode's rules part, where each Chinese character
    is a word; the same with words of scripts without spaces found by a dictionary (extra `words`). With `whitespace`, a line of
    Chinese or Thai is one word or few: take another one, or bytes."""

    min_length: Annotated[int, Field(ge=8, le=100_000)] = 50
    """Units of the shortest repeat. 50 tokens: matches under 10 are common, and none of 25 was by chance [notes: Lee et al. 2022,
    app. B]; below 8 it would be common phrases."""

    keep: Literal["none", "first"] = "none"
    """Which copy stays: none, as the published code does it, or what stands first in the corpus.

    With `first` a window is cut when an equal one begins before it; what every cut unit says still stands somewhere."""

    policy: Literal["cut", "mask", "drop"] = "cut"
    """Cut repeats out of documents; leave them there and mask their loss, so that a model reads and does not learn them; or drop
    the documents whose share of repeats is above `max_share`, and leave others whole [RefinedWeb, app. G.3.2: CUT, MASK,
    DROP-PARTIAL and, with 0, DROP-ANY]."""

    max_share: Fraction | None = None
    """Greatest share of a kept document's characters that repeats. Needed to drop; where repeats are cut or masked, none unless
    given."""

    min_characters: NonNegativeInt = 20
    """Fewest characters that are left of a document where something was cut. [RefinedWeb, app. G.3.2]"""

    against: str | None = None
    """Folder of an index that an earlier run wrote with the same settings: what its documents say stands before this run's."""

    index: str | None = None
    """Folder where an index of this run's documents is written for later runs, or extended by them: their texts, and hashes of
    pieces of them. It needs `keep: first`: then crawl A, and B against A's index, leave what A and B in one run would."""

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        if (self.unit == "tokenizer") != (self.tokenizer is not None):
            given = "none is given" if self.tokenizer is None else f"unit is {self.unit}"
            raise ValueError(f"tokenizer: {given}; unit: tokenizer takes the path of a tokenizer.json, other units none")
        if self.policy == "drop" and self.max_share is None:
            raise ValueError("max_share: none is given; policy: drop needs one, 0 drops every document with a repeat")
        if (self.index or self.against) and self.keep != "first":
            raise ValueError(
                f"keep: {self.keep} with an index; what an earlier run left alone would have to go where this one repeats it, "
                "so it must be keep: first"
            )
        if self.unit != "words" and self.words != "whitespace":
            raise ValueError(f"words: is {self.words}, and unit is {self.unit}; set unit: words")
        return self

    @property
    def window(self) -> int:
        return self.min_length

    @property
    def changes_text(self) -> bool:
        return self.policy == "cut"

    @property
    def masks_loss(self) -> bool:
        return self.policy == "mask"

    @property
    def first_stays(self) -> bool:
        return self.keep == "first"

    def library_names(self) -> tuple[str, ...]:
        more = {"tokenizer": ("tokenizers",), "words": ("icu4py",) if self.words == "segmented" else ()}
        return self.libraries + more.get(self.unit, ())

    def set_up(self) -> None:
        """Compile the kernels, or load them from the cache, and read the tokenizer."""
        from gristmill.stages import substring_units

        if self.tokenizer is not None:
            substring_units.tokenizer_of(self.tokenizer)

    def code(self) -> list[str]:
        mask = ["gristmill.stages.loss_mask"] if self.policy == "mask" else []
        return ["gristmill.stages.substring_units", *mask] + (["gristmill.stages.features"] if self.unit == "words" else [])

    def files(self) -> list[str]:
        if self.tokenizer is None:
            return []
        from gristmill.stages.substring_units import tokenizer_of

        tokenizer_of(self.tokenizer)
        return [self.tokenizer]

    def index_settings(self) -> dict[str, Any]:
        """What decides which windows texts have."""
        from gristmill.stages.substring_units import tokenizer_sha256

        tokenizer = None if self.tokenizer is None else tokenizer_sha256(self.tokenizer)
        return {"unit": self.unit, "words": self.words, "min_length": self.min_length, "tokenizer": tokenizer}

    def units(self, batch: Batch) -> Units:
        """Bytes, words or tokens of the texts."""
        from gristmill.stages import substring_units

        if self.unit == "bytes":
            return substring_units.byte_units(batch.features)
        if self.tokenizer is not None:
            return substring_units.token_units(batch.features, self.tokenizer)
        return substring_units.word_units(batch.features, self.words)

    def cut(self, batch: Batch, units: pa.Table) -> Edited:
        """Cut or mask the spans, or name the documents that fall.

        Rules: `repeated_text`, value and threshold shares of the characters; `too_short`, value and threshold characters that are
        left; `nothing_left`.
        """
        import numpy as np
        import pyarrow as pa

        from gristmill.stages.cut_kernels import cuts_table, spans_by_row, with_text
        from gristmill.stages.loss_mask import with_masked
        from gristmill.stages.substring_kernels import cut_spans

        features = batch.features
        rows, starts, ends = (np.array(units[name].to_numpy()) for name in ("row", "start", "end"))
        data, offsets, cuts, sizes = cut_spans(features.data, features.offsets, rows, starts, ends)
        losses = []
        for row in np.flatnonzero(sizes[:, 1]).tolist():
            before, gone = sizes[row].tolist()
            if self.max_share is not None and gone / before > self.max_share:
                losses.append(Loss(row, "repeated_text", gone / before, self.max_share))
            elif self.policy == "cut" and before - gone < self.min_characters:
                losses.append(Loss(row, "too_short", float(before - gone), float(self.min_characters)))
            elif self.policy == "cut" and before == gone:
                losses.append(Loss(row, "nothing_left"))
        if self.policy == "drop":
            return Edited(batch.table, losses)
        if self.policy == "mask":
            spans = spans_by_row(cuts)
            told = cuts_table(features.data, cuts)
            told = told.append_column("put", told["text"])  # it still stands there
            told = told.append_column("detail", pa.array(["loss masked"] * told.num_rows, pa.large_string()))
            return Edited(with_masked(batch.table, spans), losses, told, list(spans))
        return Edited(with_text(batch.table, data, offsets), losses, cuts_table(features.data, cuts))
