"""A corpus editor as the driver sees it: which tasks, in which order, named by what decides their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gristmill.pipeline import corpus_edit_tasks as tasks
from gristmill.pipeline.bloom_facts import filter_facts
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.exchange import BATCH_ROWS, range_count, received, sent_identity
from gristmill.pipeline.gather import gather, gather_work, width_for
from gristmill.pipeline.identity import platform_identity, stage_identity
from gristmill.pipeline.parts import Pack
from gristmill.pipeline.passes import PassSettings
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.stage_tasks import Work, run_tasks
from gristmill.pipeline.steps import Manifest
from gristmill.stages.corpus_editor import Copies, CorpusEditor

UNIT_BYTES = 48
"""An emitted unit in the exchange."""
LEAST_BATCH_ROWS = 256
MOST_FILTER_BYTES = 2**26
LEAST_FILTERS = 16
"""So many tasks can resolve at a time where a small filter would do in one."""


class CorpusEdits:
    """Runs one corpus editor over the packs of a run."""

    def __init__(
        self, runner: Runner, stage: CorpusEditor, packs: Sequence[Pack], range_bytes: int, settings: PassSettings
    ) -> None:
        """Prepare; `settings` are those of a pass, whose source and stages are filled in for each part."""
        self.runner, self.stage, self.packs, self.settings = runner, stage, list(packs), settings
        self._base = {
            "stage": stage_identity(stage),
            "code": code_hash("gristmill.pipeline.corpus_edit_tasks", "gristmill.pipeline.gather"),
            "platform": platform_identity(),
        }
        self.filters: dict[str, float] = {}
        """What `filter_facts` says of the Bloom filters, once they have run."""
        units = sum(part.bytes for pack in packs for part in pack.parts) // stage.bytes_per_unit
        ranges = range_count(units * UNIT_BYTES, range_bytes)
        if stage.filter_bytes is not None:
            # decided by the memory alone, so that a filter sees the same units however the corpus is cut
            ranges = max(LEAST_FILTERS, range_count(stage.filter_bytes, MOST_FILTER_BYTES))
        self._cut = {
            "ranges": ranges,
            # a resolving task holds one batch of each pack, even where all units are the same and meet in one range
            "batch_rows": min(BATCH_ROWS, max(LEAST_BATCH_ROWS, range_bytes // (UNIT_BYTES * max(1, len(packs))))),
            "width": width_for(len(packs), ranges),
        }
        self._pack_width = width_for(ranges, len(packs))

    def run(self) -> dict[int, tuple[str, dict[str, Manifest]]]:
        """By number of each pack that is cut: the name of its step, and what a pass over each of its parts records."""
        decided = self.decided()
        text = self.settings.ledger_text
        how = [text.mode, text.per_rule, text.seed, self.settings.chunk_bytes]
        cut = self._by_pack(tasks.cut_units, decided, how, stage=self.stage, settings=self.settings)
        return self._with_kept_ids(cut)

    def decided(self) -> list[Manifest]:
        """What of each pack is to be cut: tasks that sent it units of `corpus_edit_tasks.UNITS`."""
        emitted = self._tasks(
            tasks.emit_units,
            [([*pack.identity(), self._cut], {"stage": self.stage, "pack": pack} | self._cut, pack) for pack in self.packs],
        )
        if self.stage.filter_bytes is None:
            return self._resolve([done for _, done in emitted], self.stage.copies())
        return self._seen([done for _, done in emitted], self.stage.filter_bytes // self._cut["ranges"])

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
        width = self._pack_width
        work = [
            (
                [copies.stay, copies.tolerated, width, sent_identity(sent)],
                {"sent": sent, "copies": copies, "width": width},
                None,
            )
            for sent in received(self._gathered_units(emitted, tasks.EMITTED)).values()
        ]
        resolved = [manifest for _, manifest in self._tasks(tasks.resolve_units, work)]
        return self._gathered(resolved, tasks.UNIT, width)

    def _gathered_units(self, emitted: list[Manifest], order: list[str]) -> list[Manifest]:
        return self._gathered(emitted, order, self._cut["width"], self._cut["batch_rows"])

    def _seen(self, emitted: list[Manifest], size: int) -> list[Manifest]:
        """Resolve by Bloom filters of `size` bytes each, and add up what they are like."""
        width = self._pack_width
        work = [
            ([size, width, sent_identity(sent)], {"sent": sent, "filter_bytes": size, "width": width}, None)
            for sent in received(self._gathered_units(emitted, tasks.IN_ORDER)).values()
        ]
        done = [manifest for _, manifest in self._tasks(tasks.resolve_seen, work)]
        self.filters = filter_facts([manifest["filter"] for manifest in done], self._cut["ranges"])
        return self._gathered(done, tasks.UNIT, width)

    def _by_pack(
        self, function: Callable[..., Manifest], manifests: Iterable[Manifest], how: Any = None, **arguments: Any
    ) -> dict[int, tuple[str, Manifest]]:
        """Run a function for each pack that rows were sent to."""
        by_pack = received(manifests)
        work = [
            (
                [self.packs[number].identity(), sent_identity(sent), how],
                {"pack": self.packs[number], "sent": sent} | arguments,
                self.packs[number],
            )
            for number, sent in by_pack.items()
        ]
        return dict(zip(by_pack, self._tasks(function, work), strict=True))

    def _with_kept_ids(self, cut: dict[int, tuple[str, Manifest]]) -> dict[int, tuple[str, dict[str, Manifest]]]:
        """Let the ledger rows of documents that fell name the documents that hold the first copies."""
        found = {number: (key, dict(manifest["parts"])) for number, (key, manifest) in cut.items()}
        answered = self._by_pack(tasks.answer, [manifest for _, manifest in cut.values()])
        work = []
        by_pack = received([manifest for _, manifest in answered.values()])
        for number, sent in by_pack.items():
            ledgers = {part: one["ledger"] for part, one in found[number][1].items() if one["ledger"]}
            work.append(([cut[number][0], sent_identity(sent)], {"ledgers": ledgers, "sent": sent}, None))
        for number, (_, manifest) in zip(by_pack, self._tasks(tasks.name_kept, work), strict=True):
            for part, ledger in manifest["ledgers"].items():
                found[number][1][part] = found[number][1][part] | {"ledger": ledger}
        return found
