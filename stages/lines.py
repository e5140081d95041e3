"""Lines that the corpus has more than once: menus, notices, footers, cut from the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from gristmill.stages.copies import Preset, UnitCopies

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

    Positions = NDArray[np.int64]


class Lines(UnitCopies):
    """Cut lines that the corpus has more than once, from all documents and within each.

    Lines end at newlines. One that goes takes its newline along, so the others stay as they are.
    """

    kind: ClassVar[str] = "lines"
    presets: ClassVar[dict[str, Preset]] = {
        "oscar": Preset(keep="first", max_copies=1, compare="exact", min_characters=1),
        "c4": Preset(keep="url_hash", max_copies=1, compare="lowercase", min_characters=0, min_sentences_left=3),
        "mc4": Preset(keep="url_hash", max_copies=1, compare="lowercase", min_characters=0),
        "llama3": Preset(keep="none", max_copies=6, compare="exact", min_characters=1),
    }

    flavour: Literal["oscar", "c4", "mc4", "llama3"] = "oscar"
    """Whose lines. `oscar`: equal byte for byte, the first stays [code: goclassy, ungoliant]; blank lines stay. `c4`: equal
    without white space at the ends and in lower case; the copy stays on the page whose URL has the lowest MD5, and a page that
    was cut keeps at least 3 sentences; `mc4`: so, but for the sentences [code: TFDS text/c4_utils.py]. `llama3`: a line with more
    than 6 copies goes, all of them; others stay [text: Llama 3, section 3.1.1, which counts in parts of 30 M documents]."""

    @property
    def preset(self) -> Preset:
        return self.presets[self.flavour]

    @property
    def unit(self) -> str:
        return "line"

    def units(self, features: TextFeatures) -> tuple[Positions, Positions, Positions]:
        from gristmill.stages.unit_kernels import unit_spans

        return unit_spans(features, paragraphs=False)

    def without(
        self, features: TextFeatures, rows: Positions, starts: Positions, ends: Positions
    ) -> tuple[NDArray[np.uint8], Positions, Positions]:
        from gristmill.stages.unit_kernels import cut_units

        return cut_units(features, False, rows, starts)
