"""A corpus editor as the driver sees it: which tasks, in which order, named by what decides their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gristmill.pipeline import corpus_edit_index_tasks as index_tasks
from gristmill.pipeline import corpus_edit_naming as naming
from gristmill.pipeline import corpus_edit_tasks as tasks
from gristmill.pipeline.bloom_facts import filter_facts
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.dedup_index import Extension, Index, IndexPack, extension, ranges_for
from gristmill.pipeline.dedup_index_tasks import bring_pack
from gristmill.pipeline.exchange import BATCH_ROWS, range_count, received, sent_identity
from gristmill.pipeline.gather import gather, gather_work, width_for
from gristmill.pipeline.identity import platform_identity, stage_identity
from gristmill.pipeline.keep_values import check_values, keep_of
from gristmill.pipeline.parts import Pack
from gristmill.pipeline.passes import PassSettings
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.stage_tasks import Work, run_tasks
from gristmill.pipeline.steps import Manifest
from gristmill.stages.corpus_editor import Copies, CorpusEditor
from gristmill.stages.indexed import Indexed

UNIT_BYTES = 48
"""An emitted unit in the exchange."""
LEAST_BATCH_ROWS = 256
MOST_FILTER_BYTES = 2**26
LEAST_FILTERS = 16
"""So many tasks can resolve at a time where a small filter would do in one."""


class CorpusEdits:
    """Runs one corpus editor over the packs of a run."""

    def __init__(
        self,
        runner: Runner,
        stage: CorpusEditor,
        packs: Sequence[Pack],
        range_bytes: int,
        settings: PassSettings,
        against: Index | None = None,
    ) -> None:
        """Prepare.

        Args:
            runner: carries out the tasks.
            stage: what to run.
            packs: the documents.
            range_bytes: about how many bytes of emitted units one resolving task streams over.
            settings: those of a pass, whose source and stages are filled in for each part.
            against: documents of earlier runs, in packs whose numbers come before those of `packs`; of a stage with an index.
        """
        self.runner, self.stage, self.packs, self.settings = runner, stage, list(packs), settings
        self.against = against
        self._by_number: dict[int, Pack | IndexPack] = {pack.number: pack for pack in packs}
        modules = ("corpus_edit_tasks", "corpus_edit_naming", "corpus_edit_index_tasks", "dedup_index_tasks", "gather")
        self._base = {
            "stage": stage_identity(stage),
            "code": code_hash(*(f"gristmill.pipeline.{name}" for name in modules)),
            "platform": platform_identity(),
        }
        self.doubts: list[str] = []
        """What looks like a mistake, once `run` has seen it."""
        self.filters: dict[str, float] = {}
        """What `filter_facts` says of the Bloom filters, once they have run."""
        units = sum(part.bytes for pack in packs for part in pack.parts) // stage.bytes_per_unit
        ranges = ranges_for(against, range_count(units * UNIT_BYTES, range_bytes))
        if stage.filter_bytes is not None:
            # decided by the memory alone, so that a filter sees the same units however the corpus is cut
            ranges = max(LEAST_FILTERS, range_count(stage.filter_bytes, MOST_FILTER_BYTES))
        files = len(packs) + (len(against.packs) if against else 0)
        last = max((pack.number for pack in packs), default=0) + 1
        self._cut = {
            "ranges": ranges,
            # a resolving task holds one batch of each pack, even where all units are the same and meet in one range
            "batch_rows": min(BATCH_ROWS, max(LEAST_BATCH_ROWS, range_bytes // (UNIT_BYTES * max(1, files)))),
            "width": width_for(len(packs), ranges),
        }
        self._pack_width = width_for(ranges, last)
        self._emitted: list[Manifest] = []
        self._own_filters: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[int, tuple[str, dict[str, Manifest]]]:
        """By number of each pack that is cut: the name of its step, and what a pass over each of its parts records."""
        decided = self.decided()
        text = self.settings.ledger_text
        how = [text.mode, text.per_rule, text.seed, self.settings.chunk_bytes, self.settings.name_cuts]
        cut = self._by_pack(tasks.cut_units, decided, how, stage=self.stage, settings=self.settings)
        return self._with_kept_ids(cut)

    def decided(self) -> list[Manifest]:
        """What of each pack is to be cut: tasks that sent it units of `corpus_edit_tasks.UNITS`."""
        emitted = self._tasks(
            tasks.emit_units,
            [([*pack.identity(), self._cut], {"stage": self.stage, "pack": pack} | self._cut, pack) for pack in self.packs],
        )
        self._emitted = [done for _, done in emitted]
        self.doubts += check_values(self.stage.label, keep_of(self.stage), self._emitted)
        if self.stage.filter_bytes is None:
            return self._resolve(self._emitted, self.stage.copies())
        return self._seen(self._emitted, self.stage.filter_bytes // self._cut["ranges"])

    def extension(self, index: Index, run: str) -> Extension:
        """What this run adds to an index; after `run`."""
        assert isinstance(self.stage, Indexed)
        ranges = self._cut["ranges"]
        if self.stage.filter_bytes is not None:
            return extension(index, self.stage, run, ranges, [], self._own_filters)
        stay = self.stage.copies().stay
        how = {"stay": stay, "ranges": ranges, "batch_rows": self._cut["batch_rows"]}
        work = []
        for pack, manifest in zip(self.packs, self._emitted, strict=True):
            files = [entry["file"] for entry in manifest["sent"]]
            work.append(([pack.identity(), files, *how.values()], {"pack": pack, "emitted": manifest["sent"]} | how, pack))
        written = self._tasks(index_tasks.index_units, work)
        packs = [
            (pack.number, pack.span, pack.kept, done["held"], done["sent"])
            for pack, (_, done) in zip(self.packs, written, strict=True)
        ]
        return extension(index, self.stage, run, ranges, packs)

    def _brought(self) -> list[Manifest]:
        """Let the packs of the index stand before those of this run; what they have emitted."""
        if self.against is None:
            return []
        known = self.against.packs
        work = [
            ([entry["sha256"] for entry in (pack["held"], *pack["emitted"])], {"index": self.against.storage, "pack": pack}, None)
            for pack in known
        ]
        brought = [manifest for _, manifest in self._tasks(bring_pack, work)]
        for pack, manifest in zip(known, brought, strict=True):
            number = pack["number"]
            self._by_number[number] = IndexPack(number, pack["span"], pack["documents"], manifest["held"]["file"])
        return brought

    def _tasks(self, function: Callable[..., Manifest], work: Work) -> list[tuple[str, Manifest]]:
        """Run a function for each piece of work; gives the names of the steps too."""
        return run_tasks(self.runner, self.stage.label, self._base, function, work)

    def _gathered(self, manifests: list[Manifest], order: list[str], width: int, batch_rows: int = BATCH_ROWS) -> list[Manifest]:
        """What was sent to coarse ranges of `width` destinations each, cut for the destinations."""
        if width == 1:
            return manifests
        work = [(*one, None) for one in gather_work(manifests, order, batch_rows)]
        return [manifest for _, manifest in self._tasks(gather, work)]

    def _resolve(self, emitted: list[Manifest], copies: Copies) -> list[Manifest]:
        more = {"width": self._pack_width, "first_pack": self.against.next_pack if self.against else 0}
        work = [
            ([copies.stay, copies.tolerated, *more.values(), sent_identity(sent)], {"sent": sent, "copies": copies} | more, None)
            for sent in received([*self._brought(), *self._gathered_units(emitted, tasks.EMITTED)]).values()
        ]
        resolved = [manifest for _, manifest in self._tasks(tasks.resolve_units, work)]
        return self._gathered(resolved, tasks.UNIT, self._pack_width)

    def _gathered_units(self, emitted: list[Manifest], order: list[str]) -> list[Manifest]:
        return self._gathered(emitted, order, self._cut["width"], self._cut["batch_rows"])

    def _seen(self, emitted: list[Manifest], size: int) -> list[Manifest]:
        """Resolve by Bloom filters of `size` bytes each, and add up what they are like."""
        work = []
        gathered = received(self._gathered_units(emitted, tasks.IN_ORDER))
        for number, sent in gathered.items():
            known = self._filters(number)
            more = {"filter_bytes": size, "width": self._pack_width}
            decides = [*more.values(), sent_identity(sent), known and known.identity()]
            work.append((decides, {"sent": sent, "filters": known} | more, None))
        done = [manifest for _, manifest in self._tasks(tasks.resolve_seen, work)]
        self.filters = filter_facts([manifest["filter"] for manifest in done], self._cut["ranges"])
        self._own_filters = {_filter_name(at): one["own"] for at, one in zip(gathered, done, strict=True) if "own" in one}
        return self._gathered(done, tasks.UNIT, self._pack_width)

    def _filters(self, number: int) -> index_tasks.Filters | None:
        """Filters of a key range that the index holds; None without an index."""
        if self.against is None:
            return None
        entries = self.against.more(_filter_name(number))
        return index_tasks.Filters(
            self.against.storage, entries, isinstance(self.stage, Indexed) and self.stage.index is not None
        )

    def _by_pack(
        self, function: Callable[..., Manifest], manifests: Iterable[Manifest], how: Any = None, **arguments: Any
    ) -> dict[int, tuple[str, Manifest]]:
        """Run a function for each pack that rows were sent to."""
        by_pack = received(manifests)
        work = [
            (
                [self._by_number[number].identity(), sent_identity(sent), how],
                {"pack": self._by_number[number], "sent": sent} | arguments,
                self._by_number[number],
            )
            for number, sent in by_pack.items()
        ]
        return dict(zip(by_pack, self._tasks(function, work), strict=True))

    def _with_kept_ids(self, cut: dict[int, tuple[str, Manifest]]) -> dict[int, tuple[str, dict[str, Manifest]]]:
        """Let the ledger rows of documents that fell, and cuts where they are asked for, name who holds the first copies."""
        found = {number: (key, dict(manifest["parts"])) for number, (key, manifest) in cut.items()}
        answered = self._by_pack(naming.answer, [manifest for _, manifest in cut.values()])
        work = []
        by_pack = received([manifest for _, manifest in answered.values()])
        for number, sent in by_pack.items():
            parts = found[number][1].items()
            ledgers = {part: one["ledger"] for part, one in parts if one["ledger"]}
            edits = {part: one["edits"] for part, one in parts if one["edits"] and self.settings.name_cuts}
            work.append(([cut[number][0], sent_identity(sent)], {"ledgers": ledgers, "edits": edits, "sent": sent}, None))
        for number, (_, manifest) in zip(by_pack, self._tasks(naming.name_kept, work), strict=True):
            for kind in ("ledger", "edits"):
                for part, entry in manifest[kind].items():
                    found[number][1][part] = found[number][1][part] | {kind: entry}
        return found


def _filter_name(number: int) -> str:
    """Name of the filter of a key range in a segment of an index."""
    return f"filter-{number:05d}"
