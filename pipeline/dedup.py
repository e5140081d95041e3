"""A deduplication as the driver sees it: which tasks, in which order, named by what decides their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gristmill.pipeline import cluster_tasks, dedup_group_tasks, dedup_index_tasks, dedup_tasks, gather
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.dedup_index import Extension, Index, IndexPack, extension, ranges_for
from gristmill.pipeline.exchange import BATCH_ROWS, Sent, range_count, received, sent_identity
from gristmill.pipeline.gather import gather_work, width_for
from gristmill.pipeline.identity import platform_identity, stage_identity
from gristmill.pipeline.keep_values import check_values
from gristmill.pipeline.ledger import LedgerText
from gristmill.pipeline.parts import Pack
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.stage_tasks import Work, run_tasks
from gristmill.pipeline.steps import Manifest, step_key
from gristmill.stages.deduplicator import Deduplicator

MODULES = (dedup_tasks, cluster_tasks, dedup_index_tasks, dedup_group_tasks, gather)
EMITTED_ROW_BYTES = 40
LEAST_BATCH_ROWS = 256
"""Fewest emitted rows in a record batch: smaller ones cost more to open than to read."""
FOREST_FAN_IN = 16
"""Files of pairs that one task merges."""
PAIR_MEMORY_BYTES = 160
"""A pair in the memory of a task that finds components."""
MOST_ROUNDS = 200
"""Rounds of stars after which something is wrong: log2 of the corpus, squared, is more than enough."""


class Deduplication:
    """Runs one deduplicator over the packs of a run."""

    def __init__(
        self,
        runner: Runner,
        stage: Deduplicator,
        packs: Sequence[Pack],
        range_bytes: int,
        ledger_text: LedgerText,
        cluster_bytes: int = 10**9,
        against: Index | None = None,
    ) -> None:
        """Prepare.

        Args:
            runner: carries out the tasks.
            stage: what to run.
            packs: the documents.
            range_bytes: about how many bytes of emitted rows one resolving task streams over.
            ledger_text: which removed texts are kept.
            cluster_bytes: memory that one task may use to join pairs to clusters; where they need more, pairs are exchanged in
                rounds instead, with the same outcome.
            against: documents of earlier runs, in packs whose numbers come before those of `packs`.
        """
        self.runner, self.stage, self.own = runner, stage, list(packs)
        self.packs: dict[int, Pack | IndexPack] = {pack.number: pack for pack in packs}
        self.against = against or Index(runner.work)
        self.first_pack = self.against.next_pack
        self.ledger_text, self.range_bytes, self.cluster_bytes = ledger_text, range_bytes, cluster_bytes
        self._base = {
            "stage": stage_identity(stage),
            "code": code_hash(*(module.__name__ for module in MODULES)),
            "platform": platform_identity(),
            "against": self.against.identity(),
        }
        rows = sum(pack.kept for pack in packs) * -(-stage.rows_per_document // stage.waves)
        indexed = against if stage.index or stage.against else None
        self.ranges = ranges_for(indexed, range_count(rows * EMITTED_ROW_BYTES, range_bytes))
        # a resolving task holds one batch of each pack, even where all rows share a key and meet in one range
        files = max(1, len(packs) + self.first_pack)
        self.batch_rows = min(BATCH_ROWS, max(LEAST_BATCH_ROWS, range_bytes // (EMITTED_ROW_BYTES * files)))
        # an index takes the emitted rows as they lie, in ranges that it has chosen
        self._emit_width = 1 if stage.index else width_for(files, self.ranges)
        self._pack_width = width_for(max(files, self.ranges * stage.waves), files)
        self._emitted: dict[int, list[dict[str, Any]]] = {pack.number: [] for pack in packs}
        self._brought: list[Manifest] = []
        self._removals: dict[int, str] = {}
        self.bridged: list[Manifest] = []
        """Published lists of the documents of the index that clusters of this run would have removed."""
        self.doubts: list[str] = []
        """What looks like a mistake, once `run` has seen it."""
        self.clusters: dict[int, int] = {}
        """Size of a cluster -> how many there are, once `run` has found them; not for `direct` stages, which have none."""

    def run(self) -> dict[int, Manifest]:
        """Manifests of the removing tasks by pack number; packs that lose nothing have none."""
        self._bring()
        decided = self._resolve()
        direct = self.stage.direct and not self.stage.one_key
        if not self.stage.one_key and not direct:
            edges = [entry for manifest in decided for entry in manifest["sent"]]
            if self.stage.least_similarity is not None:
                offered = self._offer("candidates", decided, decided=False)
                verified = self._measure(dedup_tasks.verify, "verify", offered)
                edges = [entry for manifest in verified.values() for entry in manifest["edges"]]
            decided = self._cluster([entry for entry in edges if entry["rows"]])
        offered = self._offer("direct" if direct else "offer", decided, decided=not direct)
        text = self.ledger_text
        how = ["remove", text.mode, text.per_rule, text.seed]
        removed = self._measure(dedup_tasks.remove, how, offered, first=self.first_pack, ledger_text=text)
        for number, sent in received(offered).items():
            if number < self.first_pack:
                self.bridged += self._bridge(number, sent)
        removed = {number: manifest for number, manifest in removed.items() if manifest["removals"]}
        self._removals = {number: manifest["removals"]["file"] for number, manifest in removed.items()}
        return {number: manifest | {"rule": self.stage.rule} for number, manifest in removed.items()}

    def extension(self, index: Index, run: str) -> Extension:
        """What this run adds to an index; after `run`."""
        work = []
        for pack in self.own:
            removals = self._removals.get(pack.number)
            work.append(([pack.identity(), removals], {"stage": self.stage, "pack": pack, "removals": removals}, pack))
        held = [manifest["held"] for manifest in self._tasks(dedup_index_tasks.index_pack, work)]
        packs = [
            (pack.number, pack.span, pack.kept, entry, self._emitted[pack.number])
            for pack, entry in zip(self.own, held, strict=True)
        ]
        return extension(index, self.stage, run, self.ranges, packs, self._extra())

    def _extra(self) -> dict[str, dict[str, Any]]:
        """Entries of what else an index holds, by name."""
        return {}

    def _bring(self) -> None:
        """Let the packs of the index stand before those of this run."""
        known = self.against.packs
        work = [(pack["held"]["sha256"], {"index": self.against.storage, "pack": pack}, None) for pack in known]
        self._brought = self._tasks(dedup_index_tasks.bring_pack, work)
        for pack, manifest in zip(known, self._brought, strict=True):
            self.packs[pack["number"]] = IndexPack(pack["number"], pack["span"], pack["documents"], manifest["held"]["file"])

    def _bridge(self, number: int, sent: list[Sent]) -> list[Manifest]:
        pack = self.packs[number]
        name = f"against/{self.stage.label}-{number:07d}.parquet"
        arguments = {"stage": self.stage, "pack": pack, "sent": sent, "name": name}
        return self._tasks(dedup_index_tasks.list_bridged, [([pack.identity(), sent_identity(sent), name], arguments, None)])

    def _tasks(self, function: Callable[..., Manifest], work: Work) -> list[Manifest]:
        """Run a function of the tasks for each piece of work."""
        return [manifest for _, manifest in run_tasks(self.runner, self.stage.label, self._base, function, work)]

    def _resolve(self) -> list[Manifest]:
        """Bring equal keys together; pairs of documents come out."""
        if self.stage.waves == 1:
            return self._resolved(self._gathered_rows(self._emit(0)), 0)
        return [self._wave(number) for number in range(self.stage.waves)]

    def _wave(self, number: int) -> Manifest:
        """One of several waves: once its pairs are there, its emitted rows are dropped."""
        store = self.runner.store
        identity = [[*pack.identity()] for pack in self.packs.values()]
        key = step_key("wave", number=number, ranges=self.ranges, packs=identity, **self._base)
        held = store.get(key)
        if held is None or self.stage.index:  # an index takes the rows, so they stay
            emitted = self._emit(number)
            gathered = self._gathered_rows(emitted)
            resolved = self._resolved(gathered, number)
            if self.stage.index:
                return {"sent": [entry for manifest in resolved for entry in manifest["sent"]]}
            files = [entry for manifest in resolved for entry in manifest["files"]]
            held = {"files": files, "sent": files}
            store.put(key, held)
            for file in {entry["file"] for manifest in (*emitted, *gathered) for entry in manifest["files"]}:
                self.runner.work.delete(file)
        return held

    def _gathered(self, manifests: list[Manifest], order: list[str], width: int, batch_rows: int = BATCH_ROWS) -> list[Manifest]:
        """What was sent to coarse ranges of `width` destinations each, cut for the destinations."""
        if width == 1:
            return manifests
        return self._tasks(gather.gather, [(*one, None) for one in gather_work(manifests, order, batch_rows)])

    def _gathered_rows(self, emitted: list[Manifest]) -> list[Manifest]:
        files = -(-len(emitted) // gather.GROUP_FILES)
        batch_rows = min(BATCH_ROWS, max(LEAST_BATCH_ROWS, self.range_bytes // (EMITTED_ROW_BYTES * max(1, files))))
        return self._gathered(emitted, dedup_tasks.EMITTED, self._emit_width, batch_rows)

    def _offer(self, step: str, pairs: list[Manifest], *, decided: bool) -> list[Manifest]:
        """Send what is needed of documents to the packs of those they are paired with; counts the clusters where `decided`."""
        pairs = self._gathered(pairs, dedup_tasks.PAIR, self._pack_width)
        offered = self._measure(dedup_tasks.offer, step, pairs, decided=decided, width=self._pack_width)
        for manifest in offered.values():
            for size, number in manifest.get("clusters", {}).items():
                self.clusters[int(size)] = self.clusters.get(int(size), 0) + number
        return self._gathered([*offered.values()], dedup_tasks.PAIR, self._pack_width, dedup_tasks.PAIRS_AT_ONCE)

    def _emit(self, wave: int) -> list[Manifest]:
        how = {"wave": wave, "ranges": self.ranges, "batch_rows": self.batch_rows, "width": self._emit_width}
        emitted = self._tasks(
            dedup_tasks.emit, [([*pack.identity(), how], {"stage": self.stage, "pack": pack} | how, pack) for pack in self.own]
        )
        return self._noted(emitted, wave)

    def _noted(self, emitted: list[Manifest], wave: int) -> list[Manifest]:
        """Note what the packs have emitted, for an index, and whether `keep` finds what it goes by."""
        if wave == 0:
            self.doubts += check_values(self.stage.label, self.stage.keep, emitted)
        for pack, manifest in zip(self.own, emitted, strict=True):
            self._emitted[pack.number] += [entry | {"wave": wave} for entry in manifest["sent"]]
        return emitted

    def _brought_in(self, wave: int) -> list[Manifest]:
        """What the packs of the index have emitted in a wave."""
        return [{"sent": [entry for entry in manifest["sent"] if entry["wave"] == wave]} for manifest in self._brought]

    def _resolved(self, emitted: list[Manifest], wave: int) -> list[Manifest]:
        more = {"chain": self._chain, "first_pack": self.first_pack, "width": self._pack_width}
        return self._tasks(
            dedup_tasks.resolve,
            [
                ([sent_identity(sent), *more.values()], {"sent": sent} | more, None)
                for sent in received([*self._brought_in(wave), *emitted]).values()
            ],
        )

    @property
    def _chain(self) -> bool:
        """Whether each row also meets the row before it."""
        return not self.stage.one_key and (self.stage.direct or self.stage.least_similarity is not None)

    def _measure(
        self, function: Any, step: Any, manifests: Iterable[Manifest], first: int = 0, **more: Any
    ) -> dict[int, Manifest]:
        """Run a task for each pack from `first` on that rows were sent to; `step` tells the uses of one function apart."""
        step = [step, more.get("width")]
        by_pack = {number: sent for number, sent in received(manifests).items() if number >= first}
        done = self._tasks(
            function,
            [
                (
                    [step, self.packs[number].identity(), sent_identity(sent)],
                    {"stage": self.stage, "pack": self.packs[number], "sent": sent} | more,
                    self.packs[number],
                )
                for number, sent in by_pack.items()
            ],
        )
        return dict(zip(by_pack, done, strict=True))

    def _cluster(self, edges: list[dict[str, Any]]) -> list[Manifest]:
        """Join pairs to clusters, and send who stays for whom to the packs of those that stay."""
        if not edges:
            return []
        if sum(entry["rows"] for entry in edges) * PAIR_MEMORY_BYTES > self.cluster_bytes:
            edges = self._contracted(edges)
        if sum(entry["rows"] for entry in edges) * PAIR_MEMORY_BYTES > self.cluster_bytes:
            return self._stars(edges)
        files, merged = [entry["file"] for entry in edges], False
        while len(files) > 1 or not merged:
            groups = [files[start : start + FOREST_FAN_IN] for start in range(0, len(files), FOREST_FAN_IN)]
            done = self._tasks(cluster_tasks.forest, [(group, {"files": group}, None) for group in groups])
            files = [manifest["edges"][0]["file"] for manifest in done]
            merged = True
        width = self._pack_width
        return self._tasks(cluster_tasks.decide, [([files, width], {"file": files[0], "width": width}, None)])

    def _contracted(self, edges: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Forests of as many files together as fit into the memory of one task: most pairs say what others have said."""
        groups: list[list[str]] = []
        held = 0
        for entry in edges:
            size = entry["rows"] * PAIR_MEMORY_BYTES
            if not groups or held + size > self.cluster_bytes:
                groups.append([])
                held = 0
            groups[-1].append(entry["file"])
            held += size
        done = self._tasks(cluster_tasks.forest, [(group, {"files": group}, None) for group in groups])
        return [entry for manifest in done for entry in manifest["edges"] if entry["rows"]]

    def _stars(self, edges: list[dict[str, Any]]) -> list[Manifest]:
        """Clusters by rounds that exchange pairs: no task holds more than one document's state."""
        ranges = range_count(2 * sum(entry["rows"] for entry in edges) * EMITTED_ROW_BYTES, self.range_bytes)
        files = [entry["file"] for entry in edges]
        groups = [files[start : start + FOREST_FAN_IN] for start in range(0, len(files), FOREST_FAN_IN)]
        more = {"ranges": ranges, "width": width_for(ranges, ranges)}
        going = self._tasks(cluster_tasks.spread, [([group, *more.values()], {"files": group} | more, None) for group in groups])
        before = None
        for _ in range(MOST_ROUNDS):
            sent = self._star_ranges(going, more["width"])
            small = self._tasks(
                cluster_tasks.small_stars, [([sent_identity(one), *more.values()], {"sent": one} | more, None) for one in sent]
            )
            now = sum(manifest["sum"] for manifest in small) % 2**64
            if now == before:
                width = self._pack_width
                work = [([sent_identity(one), width], {"sent": one, "width": width}, None) for one in sent]
                return self._tasks(cluster_tasks.decide_stars, work)
            before = now
            sent = self._star_ranges(small, more["width"])
            going = self._tasks(
                cluster_tasks.large_stars, [([sent_identity(one), *more.values()], {"sent": one} | more, None) for one in sent]
            )
        raise RuntimeError(f"{self.stage.label}: clusters are not found after {MOST_ROUNDS} rounds; please report this")

    def _star_ranges(self, manifests: list[Manifest], width: int) -> list[list[Sent]]:
        """What each key range of the neighbours received."""
        return [*received(self._gathered(manifests, cluster_tasks.NEIGHBOURS, width)).values()]
