"""One pass: documents are read (from the input or an earlier pass), taken through a chain, and written to the work folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.pipeline.chain import EDITS, REPORTS, Outcome, run_chain
from gristmill.pipeline.counts import Counts, add, count, text_bytes, whitespace_words
from gristmill.pipeline.ledger import LEDGER, LedgerText, thin_texts
from gristmill.pipeline.parts import Part, read_part
from gristmill.pipeline.readers.reader import ReadBatch, ReadSettings, read
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter
from gristmill.stages.stage import Stage
from gristmill.tokenizers.sampling import in_sample

READ = "read"
GATHERED_BYTES = 4 << 20
"""Documents of small files go through a chain together, about so many bytes at once: three by themselves cost what 3,000 do."""


@dataclass(frozen=True)
class Slice:
    """Records of one input file whose start lies in [start, stop)."""

    fs: Any
    path: str
    file: str
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True)
class PassSettings:
    """What a pass does beside its chain."""

    source: str
    stages: tuple[Stage, ...]
    ledger_text: LedgerText
    chunk_bytes: int
    """A new file of documents is begun after about so many bytes of content."""
    first_version: int = 0
    seed: int = 0
    limit: int | None = None
    """Records to read at most."""
    sample: float | None = None
    """Share of the records to read: those with the lowest keyed id hashes."""
    name_cuts: bool = False
    """Let each cut of a corpus editor name the document that has what was cut; else only documents that fell do."""


@dataclass
class Writers:
    """The files that one pass writes."""

    work: Storage
    prefix: str
    settings: PassSettings
    documents: list[dict[str, Any]] = field(default_factory=list)
    ledger: dict[str, list[pa.Table]] = field(default_factory=dict)
    signals: dict[int, StreamWriter] = field(default_factory=dict)
    edits: dict[str, list[pa.Table]] = field(default_factory=dict)
    reports: dict[str, list[pa.Table]] = field(default_factory=dict)
    _open: StreamWriter | None = None
    _bytes: int = 0
    _words: int = 0

    def add_documents(self, table: pa.Table, words: int | None = None) -> None:
        """Append documents; a full file is finished. `words` they have, where that is known already."""
        if table.num_rows == 0:
            return
        if self._open is None:
            self._open = StreamWriter(self.work, f"{self.prefix}.documents{len(self.documents)}.arrow", table.schema)
        self._open.write(table)
        self._bytes += int(text_bytes(table).sum())
        if words is None:
            words = 0 if "html" in table.column_names else int(whitespace_words(table["text"]).sum())
        self._words += words
        if self._bytes >= self.settings.chunk_bytes:
            self._finish_documents()

    def _finish_documents(self) -> None:
        if self._open is not None:
            self.documents.append(self._open.close() | {"bytes": self._bytes, "words": self._words})
        self._open, self._bytes, self._words = None, 0, 0

    def add_removals(self, stage: str, rows: pa.Table) -> None:
        """Append ledger rows of a stage."""
        self.ledger.setdefault(stage, []).append(thin_texts(rows, self.settings.ledger_text))

    def add_signals(self, version: int, table: pa.Table) -> None:
        """Append signals of a text version."""
        if version not in self.signals:
            self.signals[version] = StreamWriter(self.work, f"{self.prefix}.signals{version}.arrow", table.schema)
        self.signals[version].write(table)

    def add_edits(self, stage: str, cuts: pa.Table) -> None:
        """Append what an editor cut."""
        self.edits.setdefault(stage, []).append(cuts)

    def add_reports(self, stage: str, places: pa.Table) -> None:
        """Append what a filter tells of documents that stay."""
        self.reports.setdefault(stage, []).append(places)

    def finish(self) -> Manifest:
        """Close all files and name them."""
        self._finish_documents()
        ledger = write_ledger(self.work, f"{self.prefix}.ledger.arrow", self.ledger, self.settings.ledger_text)
        signals = [
            writer.close() | {"version": version, "columns": writer.schema.names[2:]}
            for version, writer in sorted(self.signals.items())
        ]
        edits = _write_by_stage(self.work, f"{self.prefix}.edits.arrow", EDITS, self.edits)
        reports = _write_by_stage(self.work, f"{self.prefix}.reports.arrow", REPORTS, self.reports)
        return {
            "files": [*self.documents, *signals, *(entry for entry in (ledger, edits, reports) if entry)],
            "documents": self.documents,
            "ledger": ledger,
            "signals": signals,
            "edits": edits,
            "reports": reports,
        }


def write_ledger(work: Storage, name: str, by_stage: dict[str, list[pa.Table]], keep: LedgerText) -> dict[str, Any] | None:
    """Write ledger rows; `stages` of the entry says {label: [record batch, rows]}. None without rows."""
    thinned = {stage: [thin_texts(pa.concat_tables(tables), keep)] for stage, tables in by_stage.items()}
    return _write_by_stage(work, name, LEDGER, thinned)


def _write_by_stage(work: Storage, name: str, schema: pa.Schema, by_stage: dict[str, list[pa.Table]]) -> dict[str, Any] | None:
    """Write one record batch a stage, so that the rows of each can be read alone."""
    held = {stage: pa.concat_tables(tables) for stage, tables in by_stage.items() if any(table.num_rows for table in tables)}
    if not held:
        return None
    writer = StreamWriter(work, name, schema)
    stages: dict[str, list[int]] = {}
    for stage, rows in held.items():
        stages[stage] = [writer.batches, rows.num_rows]
        writer.write(rows)
    return writer.close() | {"stages": stages}


def read_pass(
    work: Storage,
    prefix: str,
    *,
    slices: list[Slice],
    read_settings: ReadSettings,
    settings: PassSettings,
    forgotten: Sequence[tuple[str, int, str]] = (),
) -> Manifest:
    """Read input files and take the documents through the first chain of their source.

    Records at a `forgotten` place (file, position) that have its id are left out, as if the input did not hold them.
    """
    writers = Writers(work, prefix, settings)
    for stage in settings.stages:
        stage.set_up()
    counts: dict[str, Counts] = {}
    other: dict[str, int] = {}
    gaps = 0
    held: list[pa.Table] = []
    size = words = 0

    def pass_on() -> None:
        documents = pa.concat_tables(held).combine_chunks()
        if settings.stages:
            _through(counts, writers, documents, settings)
        else:  # counted already
            writers.add_documents(documents, words)

    for batch in _read_slices(slices, read_settings, settings, set(forgotten)):
        for kind, number in batch.other_records.items():
            other[kind] = other.get(kind, 0) + number
        gaps += sum(1 for removal in batch.removals if not removal.is_record)
        words += _count_reading(counts, writers, batch, settings.source)
        held.append(batch.documents)
        size += batch.documents.nbytes
        if size >= min(GATHERED_BYTES, settings.chunk_bytes):
            pass_on()
            held, size, words = [], 0, 0
    if held:
        pass_on()
    return writers.finish() | {"counts": counts, "other_records": other, "gaps": gaps}


def part_pass(work: Storage, prefix: str, *, part: Part, settings: PassSettings) -> Manifest:
    """Take the documents of a part through a later chain."""
    writers = Writers(work, prefix, settings)
    for stage in settings.stages:
        stage.set_up()
    counts: dict[str, Counts] = {}
    for table, _ in read_part(work, part):
        _through(counts, writers, table, settings)
    return writers.finish() | {"counts": counts}


def _through(counts: dict[str, Counts], writers: Writers, documents: pa.Table, settings: PassSettings) -> None:
    take_outcome(counts, writers, run_chain(documents, settings.stages), settings)


def take_outcome(counts: dict[str, Counts], writers: Writers, outcome: Outcome, settings: PassSettings) -> None:
    """Write what a chain made of a batch, and add up its counts."""
    for stage, one in outcome.counts.items():
        counts[stage] = add(counts.get(stage), one)
    for stage, rows in outcome.removed.items():
        writers.add_removals(stage, rows)
    for index, table in enumerate(outcome.signals):
        writers.add_signals(settings.first_version + index, table)
    for stage, cuts in outcome.edits.items():
        writers.add_edits(stage, cuts)
    for stage, places in outcome.reports.items():
        writers.add_reports(stage, places)
    writers.add_documents(outcome.documents)


@dataclass
class _Named(ReadBatch):
    file: str = ""


def _read_slices(
    slices: list[Slice], read_settings: ReadSettings, settings: PassSettings, forgotten: set[tuple[str, int, str]]
) -> Iterator[_Named]:
    left = settings.limit
    for one in slices:
        if left is not None and left <= 0:
            return
        for batch in read(one.fs, one.path, one.file, settings.source, one.start, one.stop, read_settings):
            if forgotten:
                batch = _without(batch, one.file, forgotten)
            if settings.sample is not None:
                batch = _sampled(batch, settings)
            if left is not None:
                batch = _first(batch, left)
                left -= batch.documents.num_rows + sum(removal.is_record for removal in batch.removals)
            yield _Named(batch.documents, batch.removals, batch.other_records, one.file)
            if left is not None and left <= 0:
                return


def _without(batch: ReadBatch, file: str, forgotten: set[tuple[str, int, str]]) -> ReadBatch:
    places = zip(batch.documents["position"].to_pylist(), batch.documents["id"].to_pylist(), strict=True)
    stays = [(file, position, identifier) not in forgotten for position, identifier in places]
    removals = [one for one in batch.removals if not one.is_record or (file, one.position, one.id) not in forgotten]
    return ReadBatch(batch.documents.filter(pa.array(stays, pa.bool_())), removals, batch.other_records)


def _sampled(batch: ReadBatch, settings: PassSettings) -> ReadBatch:
    share = settings.sample or 0.0
    chosen = in_sample(batch.documents["id"].to_pylist(), settings.seed, share)
    records = in_sample([one.id for one in batch.removals], settings.seed, share)
    removals = [one for one, inside in zip(batch.removals, records, strict=True) if inside or not one.is_record]
    return ReadBatch(batch.documents.filter(pa.array(chosen)), removals, batch.other_records)


def _first(batch: ReadBatch, most: int) -> ReadBatch:
    """The first records of a batch, in the order of their places."""
    places = [*batch.documents["position"].to_pylist(), *(one.position for one in batch.removals if one.is_record)]
    if len(places) <= most:
        return batch
    bound = sorted(places)[most]
    inside = pc.less(batch.documents["position"], bound)
    return ReadBatch(batch.documents.filter(inside), [one for one in batch.removals if one.position < bound], batch.other_records)


def _count_reading(counts: dict[str, Counts], writers: Writers, batch: _Named, source: str) -> int:
    """Count what was read, damage included: a gap goes in and is removed, so that in = kept + removed holds for it too.

    Returns:
        Words of the documents; 0 before extraction.
    """
    removals = batch.removals
    sizes = np.concatenate([text_bytes(batch.documents), np.array([one.bytes for one in removals], dtype=np.int64)])
    kept = np.arange(len(sizes)) < batch.documents.num_rows
    rules: dict[str, int] = {}
    for one in removals:
        rules[one.rule] = rules.get(one.rule, 0) + 1
    words = None
    if "html" not in batch.documents.column_names:
        words = np.concatenate([whitespace_words(batch.documents["text"]), np.zeros(len(removals), dtype=np.int64)])
    counts[READ] = add(counts.get(READ), count(sizes, words, kept, rules))
    if removals:
        writers.add_removals(READ, _read_removals(batch, source))
    return 0 if words is None else int(words.sum())


def _read_removals(batch: _Named, source: str) -> pa.Table:
    removals = batch.removals
    columns = {
        "id": [one.id for one in removals],
        "source": [source] * len(removals),
        "file": [batch.file] * len(removals),
        "position": [one.position for one in removals],
        "url": [one.url for one in removals],
        "stage": [READ] * len(removals),
        "rule": [one.rule for one in removals],
        "value": [one.value for one in removals],
        "threshold": [one.threshold for one in removals],
        "detail": [one.detail for one in removals],
    }
    arrays = [
        pa.array(columns[name], LEDGER.field(name).type) if name in columns else pa.nulls(len(removals), LEDGER.field(name).type)
        for name in LEDGER.names
    ]
    return pa.table(arrays, schema=LEDGER)
