"""What the stages know about the texts of a batch: words, lines, paragraphs and their counts, each found when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from gristmill.stages import line_kernels, ngram_kernels, word_kernels
from gristmill.stages.segmentation import WordView, needs_dictionary, word_view
from gristmill.stages.uax29_classes import word_break_classes
from gristmill.stages.unicode_tables import tables
from gristmill.stages.words import SEGMENT_KINDS, SPLITTERS, wordless_marks

if TYPE_CHECKING:
    from numpy.typing import NDArray

Value = TypeVar("Value")


class Spans(NamedTuple):
    """Pieces of the texts of a batch, in order."""

    starts: NDArray[np.int64]
    """Where each piece begins: byte position in `TextFeatures.data`."""
    ends: NDArray[np.int64]
    """Where each piece ends."""
    offsets: NDArray[np.int64]
    """Shape (n_documents + 1,): where the pieces of each document begin in `starts`, and their number."""


class _Lent:
    """An Arrow buffer for NumPy: not copied, kept alive by the array, and not read-only, which kernels take for another type."""

    def __init__(self, buffer: pa.Buffer, typestr: str) -> None:
        self.buffer = buffer
        items = buffer.size // int(typestr[-1])
        self.__array_interface__ = {"version": 3, "shape": (items,), "typestr": typestr, "data": (buffer.address, False)}


def _text_of_any_bytes(array: pa.Array) -> pa.Array:
    """The same array, or where it holds bytes that are no UTF-8 one with U+FFFD for them; kernels trust that text is UTF-8."""
    try:
        array.validate(full=True)  # some 3 GB/s
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise ValueError(f"column text is broken: {error}") from error
        texts = [row.decode("utf-8", "replace") for row in array.cast(pa.large_binary()).to_pylist()]
        return pa.array(texts, pa.large_string())
    return array


class TextFeatures:
    """The texts of a batch as UTF-8 bytes, and what has been found out about them."""

    def __init__(self, text: pa.ChunkedArray | pa.Array) -> None:
        """Take the texts, without a copy where they lie in one Arrow array.

        Args:
            text: large_string (or string) without nulls. Where its bytes are no UTF-8, U+FFFD stands for them.

        Raises:
            ValueError: there are nulls.
        """
        if text.null_count:
            raise ValueError(f"column text has {text.null_count} nulls; a document without text has the empty string")
        if isinstance(text, pa.ChunkedArray):
            text = text.chunk(0) if text.num_chunks == 1 else text.combine_chunks()
        array = _text_of_any_bytes(text.cast(pa.large_string()))
        _, offsets, data = array.buffers()
        positions = (
            np.asarray(_Lent(offsets, "<i8"))[array.offset : array.offset + len(array) + 1]
            if len(array)
            else np.zeros(1, np.int64)
        )
        self.offsets: NDArray[np.int64] = positions
        """Shape (n_documents + 1,): where each text begins in `data`, and the end of the last."""
        # An Arrow buffer may be longer than its texts; the kernels may read up to the end of `data`
        self.data: NDArray[np.uint8] = np.asarray(_Lent(data, "|u1"))[: positions[-1]] if positions[-1] else np.zeros(0, np.uint8)
        """UTF-8 bytes of all texts; not to be written to."""
        self._kept: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def kept(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """What `compute` gives, computed at the first call with this key."""
        if key not in self._kept:
            self._kept[key] = compute()
        value: Value = self._kept[key]
        return value

    def words(self, splitter: str) -> Spans:
        """Words of all texts.

        Args:
            splitter: a name in `gristmill.stages.words.SPLITTERS`.

        Raises:
            KeyError: there is no such splitter.
        """
        number = SPLITTERS[splitter].number
        data, offsets, flags, classes = self.word_view(splitter)

        def fill(document: int, starts: NDArray[np.int64], ends: NDArray[np.int64], spans: NDArray[np.int64]) -> tuple[int, int]:
            return word_kernels.fill_word_spans(data, offsets, document, number, flags, classes, starts, ends, spans)

        def compute() -> Spans:
            spans = self._spans(fill, expected=len(data) // 5)
            if data is not self.data:
                from gristmill.stages.segmentation_kernels import unmark_words

                unmark_words(data, self.data, self.offsets[0], spans.starts, spans.ends)
            return spans

        return self.kept(("words", splitter), compute)

    def word_view(self, splitter: str) -> WordView:
        """What a kernel that parts words is to be given with the splitter's number: texts, in which the words of scripts without
        spaces are marked for `segmented` and its like, and the tables of `unicode_tables` and `uax29_classes` or their like.

        Raises:
            KeyError: there is no such splitter.
            StageUnavailable: it needs a library that is not there.
        """
        if not splitter.startswith("segmented"):
            return WordView(self.data, self.offsets, tables().flags, word_break_classes())
        dictionary = needs_dictionary(splitter)
        return self.kept(("word_view", dictionary), lambda: word_view(self.data, self.offsets, dictionary))

    def segments(self, kind: str) -> Spans:
        """Lines or paragraphs of all texts.

        Args:
            kind: a name in `gristmill.stages.words.SEGMENT_KINDS`.

        Raises:
            KeyError: there is no such kind.
        """
        number = SEGMENT_KINDS[kind].number
        flags = tables().flags

        def fill(document: int, starts: NDArray[np.int64], ends: NDArray[np.int64], spans: NDArray[np.int64]) -> tuple[int, int]:
            return line_kernels.fill_segment_spans(self.data, self.offsets, document, number, flags, starts, ends, spans)

        return self.kept(("segments", kind), lambda: self._spans(fill, expected=len(self.data) // 40))

    @property
    def lines(self) -> Spans:
        """Lines without the whitespace at their ends, empty ones left out."""
        return self.segments("stripped_lines")

    @property
    def paragraphs(self) -> Spans:
        """Paragraphs (parted by empty lines) without the whitespace at their ends, empty ones left out."""
        return self.segments("stripped_paragraphs")

    @property
    def sentences(self) -> Spans:
        """Sentences by the rules of `gristmill.stages.sentences`, without the whitespace at their ends."""
        from gristmill.stages.line_classes import line_classes
        from gristmill.stages.sentence_spans import fill_sentence_spans

        flags, classes = tables().flags, line_classes()

        def fill(document: int, starts: NDArray[np.int64], ends: NDArray[np.int64], spans: NDArray[np.int64]) -> tuple[int, int]:
            return fill_sentence_spans(self.data, self.offsets, document, flags, classes, starts, ends, spans)

        return self.kept("sentences", lambda: self._spans(fill, expected=len(self.data) // 50))

    def _spans(self, fill: Callable[..., tuple[int, int]], expected: int) -> Spans:
        """Call a kernel that fills spans, with more room each time it has too little."""
        spans = np.zeros(len(self) + 1, dtype=np.int64)
        starts = np.empty(expected + 64, dtype=np.int64)
        ends = np.empty(expected + 64, dtype=np.int64)
        document = 0
        while True:
            document, needed = fill(document, starts, ends, spans)
            filled = int(spans[document])
            if document == len(self):
                return Spans(starts[:filled].copy(), ends[:filled].copy(), spans)
            room = max(filled + needed, len(starts) * 3 // 2)
            starts = np.concatenate([starts[:filled], np.empty(room - filled, dtype=np.int64)])
            ends = np.concatenate([ends[:filled], np.empty(room - filled, dtype=np.int64)])

    def word_statistics(self, splitter: str) -> NDArray[np.int64]:
        """Counts of words of several sorts; the columns are those of `word_kernels`."""

        def compute() -> NDArray[np.int64]:
            data, offsets, flags, classes = self.word_view(splitter)
            return word_kernels.word_statistics(data, offsets, SPLITTERS[splitter].number, flags, classes, wordless_marks())

        return self.kept(("word_statistics", splitter), compute)

    def ngram_char_counts(self, splitter: str, counting: str) -> NDArray[np.int64]:
        """Code points in repeated word n-grams; see `ngram_kernels.ngram_char_counts`."""
        ways = {
            "union": ngram_kernels.UNION,
            "first": ngram_kernels.FIRST,
            "greedy": ngram_kernels.GREEDY,
            "occurrences": ngram_kernels.OCCURRENCES,
        }
        way = ways[counting]
        number = SPLITTERS[splitter].number

        def compute() -> NDArray[np.int64]:
            data, offsets, flags, classes = self.word_view(splitter)
            return ngram_kernels.ngram_char_counts(data, offsets, number, way, flags, classes)

        return self.kept(("ngram_char_counts", splitter, counting), compute)

    def segment_copies(self, kind: str) -> NDArray[np.int64]:
        """Lines or paragraphs that occur more than once; the columns are those of `line_kernels`."""
        number = SEGMENT_KINDS[kind].number
        return self.kept(
            ("segment_copies", kind), lambda: line_kernels.segment_copies(self.data, self.offsets, number, tables().flags)
        )

    def line_marks(self, kind: str, stripped: bool, bullets: str) -> NDArray[np.int64]:
        """Lines that begin with one of `bullets` or end in an ellipsis; the columns are those of `line_kernels`."""
        number = SEGMENT_KINDS[kind].number
        points = np.array([ord(bullet) for bullet in bullets], dtype=np.int64)
        return self.kept(
            ("line_marks", kind, stripped, bullets),
            lambda: line_kernels.line_marks(self.data, self.offsets, number, stripped, tables().flags, points),
        )

    @property
    def symbol_counts(self) -> NDArray[np.int64]:
        """Hash signs and ellipses; the columns are those of `line_kernels`."""
        return self.kept("symbol_counts", lambda: line_kernels.symbol_counts(self.data, self.offsets))

    @property
    def character_counts(self) -> NDArray[np.int64]:
        """Code points of each text."""
        return self.kept("character_counts", lambda: word_kernels.character_counts(self.data, self.offsets))

    @property
    def character_sorts(self) -> NDArray[np.int64]:
        """Code points of each text by what they are; the columns are those of `character_kernels`."""
        from gristmill.stages.character_classes import character_classes
        from gristmill.stages.character_kernels import character_sorts

        return self.kept("character_sorts", lambda: character_sorts(self.data, self.offsets, tables().flags, character_classes()))
