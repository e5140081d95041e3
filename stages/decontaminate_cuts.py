"""What decontamination found in single documents: how it is told, and documents without it."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import PrivateAttr

from gristmill.stages.contamination_scores import Match, Scorer, matches, pairs_of
from gristmill.stages.cut_kernels import CUT_COLUMNS, FIRST_BYTE, FIRST_CHAR, LAST_BYTE, LAST_CHAR, cuts_table
from gristmill.stages.cut_kernels import ROW as CUT_ROW
from gristmill.stages.editor import Edited, Editor, Loss
from gristmill.stages.edits import text_of, with_texts
from gristmill.stages.text_kernels import count_code_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gristmill.stages.contamination_index import Index
    from gristmill.stages.contamination_similarity import SimilarItems
    from gristmill.stages.decontaminate import Decontaminate
    from gristmill.stages.documents import Batch
    from gristmill.stages.features import TextFeatures

SHOWN = 200
"""Most characters of a matched text in the ledger."""


def contamination_matches(
    stage: Decontaminate, features: TextFeatures, rows: np.ndarray | None = None, every: bool = False
) -> dict[int, list[Match]]:
    """By document the items that are found in it, the greatest share first; documents without are left out.

    With `every` also of embeddings all places, not only the most similar passage.
    """
    scorer = stage.settled_scorer
    if isinstance(scorer, Scorer):
        hits = scorer.index.find(features, None if rows is None else np.sort(rows).astype(np.int64))
        shares = scorer.shares(*pairs_of(hits))
        found_here = matches(scorer, hits, stage.is_found(shares.shares), shares)
    else:
        looked_at = np.arange(len(features)) if rows is None else np.sort(rows).astype(np.int64)
        found_here = scorer.matches(features, looked_at, every)
    found: dict[int, list[Match]] = {}
    for match in found_here:
        found.setdefault(match.row, []).append(match)
    return found


def told(index: Index | SimilarItems, features: TextFeatures, found: Sequence[Match]) -> str | None:
    """The first of a document's matches in words: benchmark, item, share, where, the text; and how many more items there are."""
    if not found:
        return None
    match = found[0]
    start, end = longest(match)
    first, last = characters_of(features, match.row, (start, end))
    text = " ".join(features.data[start:end].tobytes().decode("utf-8", "replace").split())
    shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    return f"{item_of(index, match)}, characters {first}-{last}: {shown}{others(index, found)}"


def item_of(index: Index | SimilarItems, match: Match) -> str:
    """The item of a match, and how much of it is there."""
    item = index.items[int(index.text_item[match.text])]
    part = "answer" if index.text_part[match.text] else "question"
    pieces = f", in {len(match.spans)} places" if len(match.spans) > 1 else ""
    return f"{item.benchmark} {item.id}: {index.measured.format(share=match.share, part=part)}{pieces}"


def others(index: Index | SimilarItems, found: Iterable[Match]) -> str:
    """How many items there are beside the first; empty where there is none."""
    number = len({int(index.text_item[one.text]) for one in found}) - 1
    return f"; and {number} more item{'' if number == 1 else 's'}" if number else ""


def longest(match: Match) -> tuple[int, int]:
    """The longest of the places of a match, of equal ones the first: bytes of the batch."""
    return max(match.spans, key=lambda span: (span[1] - span[0], -span[0]))


def characters_of(features: TextFeatures, row: int, span: tuple[int, int]) -> tuple[int, int]:
    """Bytes of the batch as characters of the document in which they lie."""
    first = count_code_points(features.data, int(features.offsets[row]), span[0])
    return first, first + count_code_points(features.data, *span)


def contamination_reports(stage: Decontaminate, features: TextFeatures, rows: np.ndarray | None) -> pa.Table:
    """A row for each item that is found in a document: the longest of the places of its question, or of its answer where the
    document holds more of that, with benchmark, item and share; columns as of `Filter.reports`."""
    index = stage.settled_scorer.index
    found: list[tuple[int, int, int, str, str]] = []
    for row, matched in sorted(contamination_matches(stage, features, rows).items()):
        seen: set[int] = set()
        for match in matched:
            item = int(index.text_item[match.text])
            if item in seen:
                continue
            seen.add(item)
            span = longest(match)
            text = features.data[span[0] : span[1]].tobytes().decode("utf-8", "replace")
            found.append((row, *characters_of(features, row, span), text, item_of(index, match)))
    names = ("row", "start", "end", "text", "detail")
    types = (pa.int64(), pa.int64(), pa.int64(), pa.large_string(), pa.large_string())
    return pa.table({name: pa.array([one[at] for one in found], types[at]) for at, name in enumerate(names)})


class CutContamination(Editor):
    """Cuts what is found of benchmark items out of documents. The pieces stay one document."""

    kind: ClassVar[str] = "decontaminate"

    _stage: Any = PrivateAttr(default=None)

    @classmethod
    def of(cls, stage: Decontaminate) -> Self:
        """The editor of a stage that has seen the corpus."""
        made = cls(name=stage.label)
        made._stage = stage
        return made

    def edit(self, batch: Batch) -> Edited:
        """Cut what is found, and a window on either side; drop pieces that are too short, and documents of too many pieces."""
        stage: Decontaminate = self._stage
        features = batch.features
        found = contamination_matches(stage, features, stage.rows_to_search(batch), every=True)
        way = stage.way
        texts: dict[int, str] = {}
        cuts: list[tuple[int, int, int]] = []
        details: list[str] = []
        losses: list[Loss] = []
        for row, matched in sorted(found.items()):
            text = text_of(features, row)
            spans = [(*characters_of(features, row, span), match) for match in matched for span in match.spans]
            kept, pieces = pieces_without(text, [(first, last) for first, last, _ in spans], way.window, way.min_piece)
            if way.max_pieces is not None and pieces > way.max_pieces:
                about = told(stage.settled_scorer.index, features, matched)
                losses.append(Loss(row, "too_many_pieces", float(pieces), float(way.max_pieces), about))
                texts[row] = ""
                continue
            texts[row] = "".join(text[first:last] for first, last in kept)
            edges = [0, *(edge for span in kept for edge in span), len(text)]
            gone = [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if first < last]
            cuts += [(row, first, last) for first, last in gone]
            details += _details(stage.settled_scorer.index, spans, [first for first, _ in gone])
            if not texts[row].strip():
                texts[row] = ""
                share = max(match.share for match in matched)
                losses.append(
                    Loss(row, "nothing_left", share, way.share or 0.0, told(stage.settled_scorer.index, features, matched))
                )
        rows = cuts_table(features.data, _cut_rows(features, cuts))
        rows = rows.append_column("detail", pa.array(details, pa.large_string()))
        return Edited(with_texts(batch.table, texts), losses, rows)


def _details(index: Index | SimilarItems, spans: Sequence[tuple[int, int, Match]], cuts: Sequence[int]) -> Iterator[str]:
    """What goes with each cut: the item of which the document holds most, of those that stand in it, where, and how many more.

    Args:
        index: of the items.
        spans: characters [first, last) and what they are of; each lies in one cut, and each cut holds one at least.
        cuts: first characters, ascending.
    """
    inside: list[list[tuple[int, int, Match]]] = [[] for _ in cuts]
    for span in spans:
        inside[bisect_right(cuts, span[0]) - 1].append(span)
    for held in inside:
        first, last, match = max(held, key=lambda span: (span[2].share, span[1] - span[0], -span[0]))
        yield f"{item_of(index, match)}, characters {first}-{last}{others(index, (one for _, _, one in held))}"


def _cut_rows(features: TextFeatures, cuts: list[tuple[int, int, int]]) -> np.ndarray:
    rows = np.zeros((len(cuts), CUT_COLUMNS), dtype=np.int64)
    for at, (row, first, last) in enumerate(cuts):
        begin = int(features.offsets[row])
        text = text_of(features, row)
        start = begin + len(text[:first].encode())
        rows[at, CUT_ROW], rows[at, FIRST_CHAR], rows[at, LAST_CHAR] = row, first, last
        rows[at, FIRST_BYTE], rows[at, LAST_BYTE] = start, start + len(text[first:last].encode())
    return rows


def pieces_without(text: str, spans: Sequence[tuple[int, int]], window: int, min_piece: int) -> tuple[list[tuple[int, int]], int]:
    """What stays of a text without some spans.

    Args:
        text: of the document.
        spans: characters [start, end) to cut, in any order; they may overlap.
        window: characters that go with each span on either side; what it would cut a word in two for goes with it.
        min_piece: a piece between cuts stays if it has at least so many characters.

    Returns:
        Characters [start, end) of the pieces that stay, and how many pieces there were, the short ones included.
    """
    cut: list[list[int]] = []
    for start, end in sorted(_widened(text, first, last, window) for first, last in spans):
        if cut and start <= cut[-1][1]:
            cut[-1][1] = max(cut[-1][1], end)
        else:
            cut.append([start, end])
    edges = [0, *(edge for span in cut for edge in span), len(text)]
    pieces = [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if text[first:last].strip()]
    return [(first, last) for first, last in pieces if last - first >= min_piece], len(pieces)


def _widened(text: str, first: int, last: int, window: int) -> tuple[int, int]:
    """A span with a window on either side, which ends where words do: halves of two words would make one that nobody wrote."""
    if not window:
        return first, last
    start, end = max(first - window, 0), min(last + window, len(text))
    while start > 0 and not text[start - 1].isspace() and not text[start].isspace() and first - start < 2 * window:
        start -= 1
    while end < len(text) and not text[end - 1].isspace() and not text[end].isspace() and end - last < 2 * window:
        end += 1
    return start, end
