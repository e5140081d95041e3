"""A chain of stages over one batch: who leaves, for which reason, and what is measured of whom."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gristmill.pipeline.chain import run_chain
from gristmill.stages.documents import DOCUMENTS, WITH_HTML, Batch
from gristmill.stages.editor import Edited, Editor, Loss
from gristmill.stages.filter import Filter, Rule
from gristmill.stages.stage import Stage


class Size(Filter):
    """Bounds on the characters of a text."""

    kind: ClassVar[str] = "size"
    least: float | None = None
    most: float | None = None
    even: float | None = None

    def rules(self) -> Iterator[Rule]:
        yield Rule("too_short", "characters", at_least=self.least)
        yield Rule("too_long", "characters", at_most=self.most)
        yield Rule("odd", "remainder", at_most=self.even)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        characters = pc.utf8_length(batch.table["text"]).to_numpy().astype(np.float64)
        return {"characters": characters, "remainder": characters % 2}

    def details(self, batch: Batch, rule: Rule, rows: np.ndarray) -> list[str | None]:
        return [f"{rule.name} {batch.table['id'][row].as_py()}" for row in rows.tolist()]


class Tag(Size):
    """A filter that also notes a language."""

    kind: ClassVar[str] = "tag"

    def annotate(self, batch: Batch) -> Batch:
        place = batch.table.schema.get_field_index("language")
        return batch.with_table(batch.table.set_column(place, "language", pa.array(["xx"] * len(batch))))


class Trim(Editor):
    """Takes the first `characters` away."""

    kind: ClassVar[str] = "trim"
    characters: int = 1

    def edit(self, batch: Batch) -> Edited:
        texts = batch.table["text"].to_pylist()
        shorter = [text[self.characters :] for text in texts]
        losses = [Loss(row, "nothing_left", 0.0, 1.0, "trimmed") for row, text in enumerate(shorter) if not text]
        # out of order on purpose: the ledger of edits is put in order by the engine
        cuts = [(row, 0, self.characters, text[: self.characters]) for row, text in enumerate(texts) if text][::-1]
        place = batch.table.schema.get_field_index("text")
        return Edited(
            batch.table.set_column(place, DOCUMENTS.field("text"), pa.array(shorter, pa.large_string())),
            losses,
            pa.table({name: [cut[index] for cut in cuts] for index, name in enumerate(("row", "start", "end", "text"))}),
        )


def documents(*texts: str) -> pa.Table:
    rows = [
        dict.fromkeys(DOCUMENTS.names) | {"id": f"d{row}", "text": text, "source": "s", "file": "f", "position": row}
        for row, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=DOCUMENTS)


def ids(table: pa.Table) -> list[str]:
    return table["id"].to_pylist()


def test_each_removed_document_is_told_with_its_first_failed_rule_and_the_bound():
    outcome = run_chain(documents("a", "abcd", "abcdefgh"), (Size(least=2, most=5),))
    assert ids(outcome.documents) == ["d1"]
    rows = outcome.removed["size"].select(["id", "rule", "value", "threshold", "detail", "failed_rules"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("d0", "too_short", 1.0, 2.0, "too_short d0", None),
        ("d2", "too_long", 8.0, 5.0, "too_long d2", None),
    ]


def test_evaluate_all_lists_every_failed_rule():
    outcome = run_chain(documents("a", "ab"), (Size(least=2, even=0, evaluate="all"),))
    assert outcome.removed["size"]["rule"].to_pylist() == ["too_short"]
    assert outcome.removed["size"]["failed_rules"].to_pylist() == [["too_short", "odd"]]


def test_filters_in_a_row_measure_all_documents_also_those_that_the_first_removes():
    outcome = run_chain(documents("a", "abc", "abcdef"), (Size(name="short", least=2), Size(name="long", most=5)))
    assert ids(outcome.documents) == ["d1"]
    (signals,) = outcome.signals
    assert ids(signals) == ["d0", "d1", "d2"]
    assert signals["short.characters"].to_pylist() == signals["long.characters"].to_pylist() == [1.0, 3.0, 6.0]
    # but a document leaves once, and goes into no stage after that
    assert [ids(outcome.removed[name]) for name in ("short", "long")] == [["d0"], ["d2"]]
    assert [(outcome.counts[name]["in"], outcome.counts[name]["kept"]) for name in ("short", "long")] == [(3, 2), (2, 1)]


def test_an_editor_begins_a_new_text_version():
    outcome = run_chain(documents("ab", "abc"), (Size(name="before"), Trim(), Size(name="after")))
    assert [table["id"].to_pylist() for table in outcome.signals] == [["d0", "d1"], ["d0", "d1"]]
    assert outcome.signals[0]["before.characters"].to_pylist() == [2.0, 3.0]
    assert outcome.signals[1]["after.characters"].to_pylist() == [1.0, 2.0]


def test_a_document_that_an_editor_left_empty_leaves_with_the_editors_reason_and_its_old_text():
    outcome = run_chain(documents("a", "abc"), (Trim(),))
    assert outcome.documents["text"].to_pylist() == ["bc"]
    (row,) = outcome.removed["trim"].to_pylist()
    told = ("id", "rule", "value", "threshold", "detail", "text")
    assert tuple(row[name] for name in told) == ("d0", "nothing_left", 0.0, 1.0, "trimmed", "a")


def test_what_an_editor_cut_is_kept_in_the_order_of_the_documents():
    cuts = run_chain(documents("ab", "", "cde"), (Trim(characters=2),)).edits["trim"]
    assert [tuple(row.values()) for row in cuts.to_pylist()] == [
        ("d0", "s", "trim", 0, 2, "ab", None, None),
        ("d2", "s", "trim", 0, 2, "cd", None, None),
    ]


def test_counts_are_of_documents_bytes_and_words_before_and_after():
    outcome = run_chain(documents("é b", "xyz w v", "q"), (Trim(), Size(least=3)))
    trim, size = outcome.counts["trim"], outcome.counts["size"]
    # "é b" is 4 bytes, becomes " b"; "xyz w v" is 7 bytes, becomes "yz w v"; "q" is lost
    assert trim == {
        "in": 3,
        "kept": 2,
        "removed": 1,
        "edited": 2,
        "rules": {"nothing_left": 1},
        "bytes_in": 12,
        "bytes_kept": 8,
        "words_in": 6,
        "words_kept": 4,
    }
    assert size == {
        "in": 2,
        "kept": 1,
        "removed": 1,
        "edited": 0,
        "rules": {"too_short": 1},
        "bytes_in": 8,
        "bytes_kept": 6,
        "words_in": 4,
        "words_kept": 3,
    }


def test_pages_are_counted_by_their_html_and_have_no_words_yet():
    page = dict.fromkeys(WITH_HTML.names) | {"id": "p", "text": "", "source": "s", "file": "f", "position": 0, "html": b"<p>hi"}
    counts = run_chain(pa.Table.from_pylist([page], schema=WITH_HTML), (Size(),)).counts["size"]
    assert (counts["bytes_in"], counts["bytes_kept"], counts["words_in"], counts["words_kept"]) == (5, 5, None, None)


def test_the_ledger_never_holds_html():
    page = dict.fromkeys(WITH_HTML.names) | {"id": "p", "text": "", "source": "s", "file": "f", "position": 0, "html": b"<p>hi"}
    removed = run_chain(pa.Table.from_pylist([page], schema=WITH_HTML), (Size(least=1),)).removed["size"]
    assert "html" not in removed.column_names
    assert removed.num_rows == 1


def test_what_a_filter_learned_stays_with_the_documents():
    assert run_chain(documents("a", "b"), (Tag(),)).documents["language"].to_pylist() == ["xx", "xx"]


def test_an_editor_that_makes_another_number_of_documents_is_refused():
    class Doubler(Editor):
        kind: ClassVar[str] = "doubler"

        def edit(self, batch: Batch) -> Edited:
            return Edited(pa.concat_tables([batch.table, batch.table]))

    with pytest.raises(ValueError, match="doubler made 2 documents of 1"):
        run_chain(documents("a"), (Doubler(),))


def test_a_stage_that_is_neither_filter_nor_editor_is_refused():
    class Idle(Stage):
        kind: ClassVar[str] = "idle"

    with pytest.raises(TypeError, match="idle is neither a filter nor an editor"):
        run_chain(documents("a"), (Idle(),))
