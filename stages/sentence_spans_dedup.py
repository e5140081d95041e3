"""Spans of sentences that the corpus has more than once, cut from the documents (Raffel et al. 2020, arXiv:1910.10683, 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from gristmill.stages.copies import Preset, UnitCopies

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.stages.features import TextFeatures

    Positions = NDArray[np.int64]


class SentenceSpans(UnitCopies):
    """Cut sentences in a row that the corpus has more than once, from all documents and within each.

    Every three sentences in a row of a document are a span. Each span is judged by itself; of a document goes every sentence that
    is in a span which goes. So where documents share more than three sentences, all of them go but in the one document that keeps
    every span of them; where the spans of a run stay in different documents, sentences may go from all. Documents of fewer
    sentences than a span has are left alone.
    """

    kind: ClassVar[str] = "sentence_spans"
    presets: ClassVar[dict[str, Preset]] = {
        "c4": Preset(keep="url_hash", compare="exact", min_sentences_left=3),
        "datatrove": Preset(keep="first", compare="loose", min_words_left=50, min_sentences_left=3),
    }

    flavour: Literal["c4", "datatrove"] = "c4"
    """Whose spans. `c4`: equal byte for byte, all but one go [paper: Raffel et al. 2020]. The paper does not say which stays, and
    the published code cuts single lines (`lines: {flavour: c4}`); that one stays which the code would keep of a line, on the page
    whose URL has the lowest MD5, and documents that were cut keep at least 3 sentences as there. `datatrove`: the first stays,
    and documents that were cut keep at least 50 words and 3 sentences [code: datatrove dedup/sentence_dedup.py]; its comparison
    also leaves out accents and takes digits for 0, where `loose` leaves out capitals, punctuation and spacing."""

    sentences: Annotated[int, Field(ge=1)] = 3
    """Sentences in a span."""

    @property
    def preset(self) -> Preset:
        return self.presets[self.flavour]

    @property
    def unit(self) -> str:
        return "span"

    @property
    def bytes_per_unit(self) -> int:
        """About the length of an English sentence: one begins a span."""
        return 100

    def code(self) -> list[str]:
        """The kernels, and what says where sentences end."""
        return [*super().code(), "gristmill.stages.sentence_spans"]

    def units(self, features: TextFeatures) -> tuple[Positions, Positions, Positions]:
        from gristmill.stages.unit_kernels import sentence_spans

        return sentence_spans(features.sentences, self.sentences)

    def without(
        self, features: TextFeatures, rows: Positions, starts: Positions, ends: Positions
    ) -> tuple[NDArray[np.uint8], Positions, Positions]:
        from gristmill.stages.unit_kernels import cut_spans

        return cut_spans(features, rows, starts, ends)
