"""A stage that cannot work is found before the first record, and says why."""

from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa
import pytest

from gristmill.pipeline.setup_check import sample_document, try_stages
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.documents import Batch
from gristmill.stages.editor import Edited, Editor
from gristmill.stages.exact import Exact
from gristmill.stages.extract import Extract
from gristmill.stages.filter import Filter, Rule
from gristmill.stages.gopher_quality import GopherQuality
from gristmill.stages.minhash import MinHash
from gristmill.stages.stage import Stage, StageUnavailable


class Missing(Filter):
    kind: ClassVar[str] = "missing"

    def set_up(self) -> None:
        import no_such_module.inside  # noqa: F401

    def rules(self) -> Iterator[Rule]:
        return iter(())


class Broken(Editor):
    kind: ClassVar[str] = "broken"

    def edit(self, batch: Batch) -> Edited:
        raise KeyError("txet")


class Unequal(Deduplicator):
    kind: ClassVar[str] = "unequal"

    def emit(self, batch: Batch) -> pa.Table:
        return pa.table({"key": [1], "check": [1], "row": [0]})

    def sketches(self, batch: Batch) -> pa.ListArray:
        return pa.array([[1]], pa.list_(pa.uint64()))


class Unfetched(Filter):
    kind: ClassVar[str] = "unfetched"

    def set_up(self) -> None:
        raise StageUnavailable("unfetched: fetch it with gristmill models fetch it")

    def rules(self) -> Iterator[Rule]:
        return iter(())


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Missing(), "missing: the module no_such_module is missing where the workers run; install it there"),
        (Broken(name="mine"), r"mine: fails on a plain document: KeyError: 'txet' \(.*test_setup_check\.py:\d+\)"),
        (Unequal(), "unequal: fails on a plain document: TypeError: Unequal gives sketches, but no similarity of them"),
        (Unfetched(), "^unfetched: fetch it with gristmill models fetch it$"),
    ],
)
def test_a_stage_that_cannot_work_is_told_with_its_reason(stage: Stage, message: str):
    with pytest.raises(StageUnavailable, match=message):
        try_stages([GopherQuality(), stage])


def test_stages_that_work_are_let_pass():
    try_stages([Extract(engine="resiliparse"), GopherQuality(), Exact(), MinHash()])


@pytest.mark.parametrize("html", [True, False])
def test_the_sample_document_is_one_page_or_one_text(html):
    table = sample_document(html)
    assert table.num_rows == 1
    assert ("html" in table.column_names, table["text"][0].as_py() == "") == (html, html)
