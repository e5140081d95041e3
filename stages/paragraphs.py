"""Paragraphs that the corpus has more than once, cut from the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from gristmill.stages.copies import Preset, UnitCopies

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

    Positions = NDArray[np.int64]


class Paragraphs(UnitCopies):
    """Cut paragraphs that the corpus has more than once, from all documents and within each.

    A paragraph that goes takes along what parts it from the next one, so the others stay as they are.
    """

    kind: ClassVar[str] = "paragraphs"
    presets: ClassVar[dict[str, Preset]] = {
        "fast": Preset(keep="none", max_copies=1, compare="ccnet", min_characters=1),
        "ccnet": Preset(keep="none", max_copies=1, compare="ccnet", min_characters=0, sha1=True),
        "dolma": Preset(keep="first", max_copies=1, compare="exact", min_characters=1),
    }

    flavour: Literal["fast", "ccnet", "dolma"] = "fast"
    """Whose paragraphs. `ccnet`: equal in CCNet's form, in lower case and with digits 0, by the first 64 bits of SHA-1; all
    copies go, and blank lines are paragraphs like others [code: cc_net dedup.py; there, within groups of shards]. `fast`: so, by
    a faster hash of 128 bits, and blank lines stay. `dolma`: equal byte for byte, the first stays, blank lines stay [code: dolma;
    there, by a Bloom filter, which is `memory` here]."""

    parted_by: Literal["newline", "blank_line"] = "newline"
    """What parts paragraphs: a newline, as in all three flavours, since the text of web pages has one at each; or blank lines."""

    @property
    def preset(self) -> Preset:
        return self.presets[self.flavour]

    @property
    def unit(self) -> str:
        return "paragraph"

    def units(self, features: TextFeatures) -> tuple[Positions, Positions, Positions]:
        from gristmill.stages.unit_kernels import unit_spans

        return unit_spans(features, self.parted_by == "blank_line")

    def without(
        self, features: TextFeatures, rows: Positions, starts: Positions, ends: Positions
    ) -> tuple[NDArray[np.uint8], Positions, Positions]:
        from gristmill.stages.unit_kernels import cut_units

        return cut_units(features, self.parted_by == "blank_line", rows, starts)
