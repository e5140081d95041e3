"""A window editor as the driver sees it: other rounds before what all corpus editors do."""

from __future__ import annotations

from collections.abc import Sequence

from gristmill.pipeline import window_cut_tasks as tasks
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.corpus_edits import LEAST_BATCH_ROWS, CorpusEdits
from gristmill.pipeline.dedup_index import Extension, Index, extension, ranges_for
from gristmill.pipeline.exchange import BATCH_ROWS, range_count, received, sent_identity
from gristmill.pipeline.parts import Pack
from gristmill.pipeline.passes import PassSettings
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.steps import Manifest
from gristmill.stages.window_editor import WindowEditor

ROW_BYTES = 40
"""A window or k-gram in the exchange."""
TEXT_BYTES = 6
"""About as many bytes of text are there for each of them, where units are bytes; more for words and tokens."""


class WindowCuts(CorpusEdits):
    """Runs one window editor over the packs of a run."""

    stage: WindowEditor

    def __init__(
        self,
        runner: Runner,
        stage: WindowEditor,
        packs: Sequence[Pack],
        range_bytes: int,
        settings: PassSettings,
        against: Index | None = None,
    ) -> None:
        """Prepare, as `CorpusEdits`."""
        super().__init__(runner, stage, packs, range_bytes, settings, against)
        self._base |= {"code": code_hash("gristmill.pipeline.window_cut_tasks")}
        rows = sum(part.bytes for pack in packs for part in pack.parts) // TEXT_BYTES
        files = len(packs) + (len(against.packs) if against else 0)
        self._cut = {
            "ranges": ranges_for(against, range_count(rows * ROW_BYTES, range_bytes)),
            "batch_rows": min(BATCH_ROWS, max(LEAST_BATCH_ROWS, range_bytes // (ROW_BYTES * max(1, files)))),
        }
        self._first_pack = against.next_pack if against else 0

    def decided(self) -> list[Manifest]:
        """What of each pack is to be cut."""
        grams = self._tasks(
            tasks.emit_grams,
            [([*pack.identity(), self._cut], {"stage": self.stage, "pack": pack} | self._cut, pack) for pack in self.packs],
        )
        self._emitted = [done for _, done in grams]
        known = {"first_pack": self._first_pack}
        repeated = self._tasks(
            tasks.resolve_grams,
            [
                ([sent_identity(sent), *known.values()], {"sent": sent} | known, None)
                for sent in received([*self._brought(), *self._emitted]).values()
            ],
        )
        windows = self._by_pack(tasks.emit_windows, [done for _, done in repeated], self._cut, stage=self.stage, **self._cut)
        stays = self.stage.first_stays
        resolved = self._tasks(
            tasks.resolve_windows,
            [
                ([sent_identity(sent), stays, *known.values()], {"sent": sent, "first_stays": stays} | known, None)
                for sent in received([done for _, done in windows.values()]).values()
            ],
        )
        told = received([done for _, done in resolved])
        joined = self._tasks(
            tasks.join_windows,
            [
                (
                    [key, stays, sent_identity(told.get(pack.number, []))],
                    {"pack": pack, "length": self.stage.window, "first_stays": stays}
                    | {"places": done["places"], "sent": told.get(pack.number, [])},
                    pack,
                )
                for pack in self.packs
                if pack.number in windows
                for key, done in [windows[pack.number]]
            ],
        )
        return [done for _, done in joined]

    def extension(self, index: Index, run: str) -> Extension:
        """What this run adds to an index: the texts as they came to the stage, and the k-grams that their windows select."""
        written = self._tasks(tasks.index_texts, [(pack.identity(), {"pack": pack}, pack) for pack in self.packs])
        packs = [
            (pack.number, pack.span, pack.kept, done["held"], grams["sent"])
            for pack, (_, done), grams in zip(self.packs, written, self._emitted, strict=True)
        ]
        return extension(index, self.stage, run, self._cut["ranges"], packs)
