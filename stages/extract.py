"""Text out of HTML, by one of several libraries, in a process that can be killed."""

from __future__ import annotations

import atexit
import json
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import ByteSize, Field, PositiveFloat, PositiveInt, model_validator

from gristmill.stages.editor import Edited, Editor, Loss

if TYPE_CHECKING:
    import pyarrow as pa

    from gristmill.stages.documents import Batch
    from gristmill.stages.extraction_process import ExtractionProcess, Page

_OPTIONS: dict[str, tuple[str, ...]] = {
    "trafilatura": ("favour", "comments", "tables", "fast"),
    "resiliparse": ("favour", "comments", "tables"),
    "justext": ("stop_words",),
}
"""Settings that each engine knows."""

_MARKUP = re.compile(r"\s*(?:$|text/html|[\w.-]+/(?:xhtml|(?:[\w.-]+\+)?xml))", re.IGNORECASE)
"""Content types that are parsed; a page without one is."""


class Extract(Editor):
    """Take the main text out of HTML pages. Plain text is only decoded."""

    kind: ClassVar[str] = "extract"
    needs: ClassVar = "html"
    libraries: ClassVar[tuple[str, ...]] = ("trafilatura", "justext", "lxml", "resiliparse", "courlan", "htmldate")

    engine: Annotated[str, Field(pattern=r"^(trafilatura|resiliparse|justext|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$")] = "trafilatura"
    """`trafilatura`, `resiliparse` (fast), `justext`, or `module:function` of one's own, from HTML to text or None."""

    favour: Literal["balanced", "precision", "recall"] = "balanced"
    """Rather lose text (`precision`) or keep boilerplate (`recall`). For resiliparse, recall means the whole page's text."""

    comments: bool = False
    """Keep what readers wrote below the text."""

    tables: bool = True
    """Keep the text of tables."""

    fast: bool = False
    """Trafilatura without its second opinions from other algorithms."""

    stop_words: str | None = None
    """Language whose stop words justext goes by, e.g. `English`; without it those of all languages it knows."""

    max_html_bytes: ByteSize = ByteSize(10_000_000)
    """Longest page that is parsed."""

    max_elements: PositiveInt = 100_000
    """Most elements of a page that is parsed; parsers of deeply tangled pages take minutes. Real pages have some thousands."""

    max_depth: PositiveInt = 250
    """Deepest nesting of a page that is parsed; libxml2 stops in the middle at 256, without a word. Real pages stay under 50."""

    cpu_seconds: PositiveFloat = 60
    """Most processor time for a page; far above what pages within the other limits take, so a busy machine decides nothing."""

    max_memory: Annotated[ByteSize, Field(ge=200_000_000)] = ByteSize(4_000_000_000)
    """Most address space of the extraction process."""

    @model_validator(mode="after")
    def _options_of_the_engine(self) -> Self:
        known = _OPTIONS.get(self.engine, ())
        for option in ("favour", "comments", "tables", "fast", "stop_words"):
            if option not in known and getattr(self, option) != type(self).model_fields[option].default:
                takes = ", ".join(known) or "no options"
                raise ValueError(f"{option}: the engine {self.engine} has no such option; it takes {takes}")
        return self

    def edit(self, batch: Batch) -> Edited:
        """Put the text of each page into `text` and drop the column `html`.

        Rows without `html` keep the text they have. A row that ends without text is a loss, with one of the rules
        `too_many_bytes`, `too_many_elements`, `too_deep` (the same on every machine), `too_much_time` (value: the limit),
        `parser_crashed` (detail: how it died), `parser_error` (detail: the exception), `no_text`.

        Raises:
            StageUnavailable: the engine does not work here.
        """
        texts: list[str] = batch.table["text"].to_pylist()
        losses: dict[int, Loss] = {}
        if "html" in batch.table.column_names:
            for answer in self._process().extract(self._pages(batch.table, texts, losses)):
                if answer.outcome == "text":
                    texts[answer.row] = tidy(answer.text)
                elif answer.outcome == "too_much_time":
                    losses[answer.row] = Loss(answer.row, answer.outcome, self.cpu_seconds, self.cpu_seconds, answer.text or None)
                elif answer.outcome != "no_text":
                    losses[answer.row] = Loss(answer.row, answer.outcome, detail=answer.text or None)
        for row, text in enumerate(texts):
            if not text and row not in losses:
                losses[row] = Loss(row, "no_text")
        return Edited(_with_texts(batch.table, texts), [losses[row] for row in sorted(losses)])

    def set_up(self) -> None:
        """Start the process and let it extract a sample page.

        Raises:
            StageUnavailable: the engine is not installed, or does not work here.
        """
        from gristmill.stages.html_size import html_size

        html_size(b"<p>")  # compiled here, not in the middle of the first batch
        self._process().start()

    def code(self) -> list[str]:
        """The child's module, and the user's own engine."""
        own = [self.engine.partition(":")[0]] if ":" in self.engine else []
        return ["gristmill.stages.extraction_worker", *own]

    def _pages(self, table: pa.Table, texts: list[str], losses: dict[int, Loss]) -> Iterator[Page]:
        """Pages to parse; plain text goes straight into `texts`, pages beyond the limits into `losses`."""
        from gristmill.stages.charset import decode_html
        from gristmill.stages.extraction_process import Page
        from gristmill.stages.html_size import html_size

        content_types: list[str | None] = table["content_type"].to_pylist()
        for row, scalar in enumerate(table["html"]):
            if not scalar.is_valid:
                continue
            html: bytes = scalar.as_py()
            texts[row] = ""
            if len(html) > self.max_html_bytes:
                losses[row] = Loss(row, "too_many_bytes", float(len(html)), float(self.max_html_bytes))
                continue
            text = decode_html(html, content_types[row])
            if not _MARKUP.match(content_types[row] or ""):
                texts[row] = tidy(text)
                continue
            page = text.encode("utf-8", "replace")
            elements, depth = html_size(page)
            if elements > self.max_elements:
                losses[row] = Loss(row, "too_many_elements", float(elements), float(self.max_elements))
            elif depth > self.max_depth:
                losses[row] = Loss(row, "too_deep", float(depth), float(self.max_depth))
            elif page.strip():
                yield Page(row, page)

    def _process(self) -> ExtractionProcess:
        """The process for these settings, one for each worker process."""
        from gristmill.stages.extraction_process import ExtractionProcess

        options = {option: getattr(self, option) for option in _OPTIONS.get(self.engine, ())}
        key = json.dumps([os.getpid(), self.engine, options, self.cpu_seconds, int(self.max_memory)])
        if key not in _processes:
            _processes[key] = ExtractionProcess(self.engine, options, self.cpu_seconds, int(self.max_memory))
        return _processes[key]


_processes: dict[str, ExtractionProcess] = {}


@atexit.register
def close_processes() -> None:
    """End the extraction processes that this process started."""
    for key, process in list(_processes.items()):
        if json.loads(key)[0] == os.getpid():
            process.close()
            del _processes[key]


def tidy(text: str) -> str:
    """Text as documents hold it: lines end in `\\n`, no null characters, no white space around it."""
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").strip()


def _with_texts(table: pa.Table, texts: list[str]) -> pa.Table:
    """The table with other texts and without `html`."""
    import pyarrow as pa

    at = table.schema.get_field_index("text")
    changed = table.set_column(at, table.schema.field(at), pa.array(texts, pa.large_string()))
    return changed.drop_columns("html") if "html" in table.column_names else changed
