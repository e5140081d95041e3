"""The driver: takes a recipe through its steps, from input files to published ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from gristmill.pipeline import id_tasks, passes
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.corpus_edits import CorpusEdits
from gristmill.pipeline.dedup_groups import deduplication_of
from gristmill.pipeline.dedup_index import Extension, Index, indexes_of
from gristmill.pipeline.doubts import doubts_of_judging
from gristmill.pipeline.errors import GuardrailStop, UserError
from gristmill.pipeline.exchange import range_count, received, sent_identity
from gristmill.pipeline.forgotten import Forgotten, FoundAgain
from gristmill.pipeline.identity import platform_identity, stage_identity
from gristmill.pipeline.inputs import Unit, reader_module
from gristmill.pipeline.ledger import LedgerText
from gristmill.pipeline.parts import Pack, Part, make_packs
from gristmill.pipeline.publish import Publication
from gristmill.pipeline.recipe import HTML_FORMATS, Recipe, resolved
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.state import RunState
from gristmill.pipeline.steps import Manifest, Task, step_key
from gristmill.pipeline.surveys import CorpusJudgement, publish_findings
from gristmill.pipeline.tokens import Tokenization
from gristmill.pipeline.window_cuts import WindowCuts
from gristmill.stages.corpus_editor import CorpusEditor
from gristmill.stages.corpus_filter import CorpusFilter
from gristmill.stages.corpus_stage import sees_corpus
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.filter import Filter
from gristmill.stages.indexed import Indexed
from gristmill.stages.stage import Stage
from gristmill.stages.window_editor import WindowEditor

IDS_PER_RANGE = 4_000_000
NOTHING = {"in": 0, "kept": 0, "removed": 0, "edited": 0, "rules": {}, "bytes_in": 0, "bytes_kept": 0}


@dataclass(frozen=True)
class Options:
    """What a command adds to a recipe."""

    limit: int | None = None
    """Records to read of each source at most."""
    sample: float | None = None
    """Share of the records to read: the lowest keyed hashes of their ids."""
    run: str = ""
    """Name of the run, by which its own documents are known in an index: its folder."""
    guardrails: bool = True
    """Stop where a stage removes more than its guardrail allows."""
    forgotten: Forgotten = field(default_factory=Forgotten)
    """Documents that are left out, as if the input did not hold them."""
    in_place: bool = False
    """Write this run's documents anew in an index that later runs have extended."""


def segments(stages: Sequence[Stage]) -> list[tuple[Stage, ...]]:
    """Cut per-document stages where documents are written: after extraction and after checkpoints."""
    found: list[tuple[Stage, ...]] = []
    held: list[Stage] = []
    for stage in stages:
        held.append(stage)
        if stage.needs == "html" or stage.checkpoint:
            found.append(tuple(held))
            held = []
    if held:
        found.append(tuple(held))
    return found


def steps_of(stages: Sequence[Stage]) -> list[tuple[Stage, ...]]:
    """Cut stages into steps: each corpus stage alone, per-document stages fused."""
    found: list[tuple[Stage, ...]] = []
    for is_corpus_stage, run in groupby(stages, key=lambda stage: sees_corpus(stage)):
        run_of_one_kind = list(run)
        found += [(stage,) for stage in run_of_one_kind] if is_corpus_stage else segments(run_of_one_kind)
    return found


def source_steps(stages: Sequence[Stage]) -> list[tuple[Stage, ...]]:
    """The steps of a source; the first, which is done while its input is read, holds no corpus stage and may be empty."""
    steps = steps_of(stages)
    return [(), *steps] if not steps or sees_corpus(steps[0][0]) else steps


def recipe_hash(recipe: Recipe) -> str:
    """A hash of all in a recipe that decides the documents; not of how the work is cut, nor of where the input lies."""
    data = resolved(recipe)
    for name in ("partition_bytes", "cluster_bytes", "guardrails", "output", "ledger"):
        del data[name]
    for source in data["sources"].values():
        del source["read"]["paths"]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def stage_labels(recipe: Recipe) -> list[str]:
    """Labels in the order in which documents meet them, `read` first."""
    every = [*(stage for source in recipe.sources.values() for stage in source.stages), *recipe.stages]
    return list(dict.fromkeys([passes.READ, *(stage.label for stage in every)]))


class Driver:
    """Carries out one run."""

    def __init__(self, recipe: Recipe, runner: Runner, options: Options) -> None:
        """Prepare a run of `recipe` whose tasks `runner` carries out."""
        self.recipe, self.runner, self.options = recipe, runner, options
        self.state = RunState(labels=stage_labels(recipe), versions=dict.fromkeys(recipe.sources, 0))
        self.ledger_text = LedgerText(recipe.ledger.text, recipe.ledger.sample_size, recipe.seed)
        self.bridged: list[Manifest] = []
        """Lists of documents of earlier runs that clusters of this run would have removed."""
        self.extensions: list[Extension] = []
        """What this run adds to indexes, once it is published."""
        self.findings: dict[str, list[str]] = {}
        """By name in the run folder the files with what stages learned of the corpus."""
        self._read_files: list[list[str]] = []
        self._code: dict[Any, dict[str, Any]] = {}

    def run(self, units: dict[str, list[Unit]]) -> Publication:
        """Read the units of each source, take them through all stages, tokenize, and write what is to be published."""
        later: dict[str, list[tuple[Stage, ...]]] = {}
        for name, source in self.recipe.sources.items():
            first, *later[name] = source_steps(source.stages)
            self.state.parts += self._read(name, units[name], first)
            self._guard(name, {passes.READ: False} | _extracting(first))
        self._check_ids()
        self._check_forgotten()
        for name, chains in later.items():
            for chain in chains:
                self._step([name], chain)
        for chain in steps_of(self.recipe.stages):
            self._step(list(self.recipe.sources), chain)
        manifests: list[Manifest] = []
        if self.recipe.tokenize is not None:
            tokenization = Tokenization(self.runner, self.state, self.recipe.tokenize, self.recipe.seed, self.recipe.mixture)
            manifests = tokenization.run(recipe_hash(self.recipe))
        publication = Publication(
            self.runner,
            self.state,
            self.ledger_text,
            self.recipe.output.file_bytes,
            self.recipe.output.signals,
            self.recipe.output.edits,
        )
        publication.write()
        publication.add(manifests)
        publication.add(self.bridged)
        publication.add(publish_findings(self.runner, self.findings))
        return publication

    def _settings(self, source: str, chain: tuple[Stage, ...], limit: int | None = None) -> passes.PassSettings:
        return passes.PassSettings(
            source=source,
            stages=chain,
            ledger_text=self.ledger_text,
            chunk_bytes=self.recipe.partition_bytes,
            first_version=self.state.versions[source],
            seed=self.recipe.seed,
            limit=limit,
            sample=self.options.sample,
            name_cuts=self.recipe.output.edits,
        )

    def _pass_key(self, kind: str, settings: passes.PassSettings, *modules: str, **more: Any) -> str:
        text = settings.ledger_text
        # computed once for each chain: there may be 100,000 partitions
        chain = (modules, tuple(id(stage) for stage in settings.stages))
        if chain not in self._code:
            code = code_hash("gristmill.pipeline.passes", *modules)
            self._code[chain] = {"code": code, "stages": [stage_identity(stage) for stage in settings.stages]}
        return step_key(
            kind,
            platform=platform_identity(),
            source=settings.source,
            **self._code[chain],
            ledger=[text.mode, text.per_rule, text.seed],
            chunk_bytes=settings.chunk_bytes,
            first_version=settings.first_version,
            **more,
        )

    def _read(self, source: str, units: list[Unit], chain: tuple[Stage, ...]) -> list[Part]:
        parts: list[Part] = []
        # a limit is a number of records in address order, so units are read one by one until it is reached
        left = self.options.limit
        waves = [units] if left is None else [[unit] for unit in units]
        for wave in waves:
            if left is not None and left <= 0:
                break
            tasks = [self.read_task(source, unit, chain, left) for unit in wave]
            for task, manifest in zip(tasks, self.runner.run(f"read {source}" + _names(chain), tasks), strict=True):
                parts += self.state.take_pass(task.key, source, manifest)
                self._read_files.append([entry["file"] for entry in (*manifest["documents"], manifest["ledger"]) if entry])
                if left is not None:
                    left -= manifest["counts"].get(passes.READ, {}).get("in", 0) - manifest["gaps"]
        self.state.versions[source] += _measures(chain)
        words: int | None = None if self.recipe.sources[source].read.format in HTML_FORMATS else 0
        self._count_nothing(passes.READ, source, words, words)
        for stage in chain:
            kept = 0 if stage.needs == "html" else words
            self._count_nothing(stage.label, source, words, kept)
            words = kept
        return parts

    def _count_nothing(self, label: str, source: str, words_in: int | None = 0, words_kept: int | None = 0) -> None:
        """Let a stage that met no document stand in the funnel too."""
        if (label, source) not in self.state.counts:
            self.state.count(label, source, NOTHING | {"words_in": words_in, "words_kept": words_kept})

    def read_task(self, source: str, unit: Unit, chain: tuple[Stage, ...], limit: int | None) -> Task:
        """The task that reads a unit and takes its documents through the first chain of their source."""
        read = self.recipe.sources[source].read
        settings = self._settings(source, chain, limit)
        left_out = self.options.forgotten.inside(source, unit.slices)
        key = self._pass_key(
            "read",
            settings,
            reader_module(read),
            slices=unit.identity(),
            read=read.model_dump(mode="json", exclude={"paths"}),
            limit=limit,
            sample=[settings.sample, settings.seed] if settings.sample is not None else None,
            # only where there are some: what others have read stays known by its name
            **({"forgotten": left_out} if left_out else {}),
        )
        arguments = {"slices": unit.slices, "read_settings": read, "settings": settings, "forgotten": left_out}
        return Task(key, passes.read_pass, arguments, unit.about)

    def _pass(self, sources: list[str], chain: tuple[Stage, ...]) -> None:
        """Take the documents of some sources through further per-document stages."""
        concerned = [part for part in self.state.parts if part.source in sources]
        tasks = []
        for part in concerned:
            settings = self._settings(part.source, chain)
            key = self._pass_key("pass", settings, part=part.identity())
            about = f"{part.source}: {part.file}"
            tasks.append(Task(key, passes.part_pass, {"part": part, "settings": settings}, about, part.kept))
        manifests = self.runner.run(", ".join(stage.label for stage in chain), tasks)
        written: dict[int, list[Part]] = {}
        for part, task, manifest in zip(concerned, tasks, manifests, strict=True):
            written[id(part)] = self.state.take_pass(task.key, part.source, manifest)
        self.state.parts = [new for part in self.state.parts for new in written.get(id(part), [part])]
        for name in sources:
            self.state.versions[name] += _measures(chain)
            for stage in chain:
                self._count_nothing(stage.label, name)
            self._guard(name, _extracting(chain))

    def _step(self, sources: list[str], chain: tuple[Stage, ...]) -> None:
        """Take the documents of some sources through a corpus stage, or through per-document stages."""
        stage = chain[0]
        if not sees_corpus(stage):
            self._pass(sources, chain)
            return
        concerned = [part for part in self.state.parts if part.source in sources]
        if isinstance(stage, CorpusFilter):
            judgement = CorpusJudgement(self.runner, stage, concerned)
            judged = judgement.run(lambda source: self._settings(source, chain))
            if stage.findings_file and judgement.findings:
                self.findings.setdefault(stage.findings_file, []).append(judgement.findings)
            written = [self.state.take_pass(key, part.source, done) for part, (key, done) in zip(concerned, judged, strict=True)]
            for name in sources:
                self.state.versions[name] += 1
        elif isinstance(stage, CorpusEditor):
            written = self._edit(stage, concerned, self._settings(sources[0], chain))
        elif isinstance(stage, Deduplicator):
            written = self._deduplicate(stage, concerned)
        else:
            raise TypeError(f"{stage.label} is no corpus stage that the engine knows")
        new = {id(part): parts for part, parts in zip(concerned, written, strict=True)}
        self.state.parts = [one for part in self.state.parts for one in new.get(id(part), [part])]
        for name in sources:
            self._count_nothing(stage.label, name)
            self._guard(name, _extracting(chain))

    def _indexed(self, stage: Stage, concerned: list[Part]) -> tuple[list[Pack], Index | None, Index | None]:
        """Packs of the documents, after those of earlier runs; the index that holds those; and the one that is extended."""
        size = self.recipe.partition_bytes
        if not isinstance(stage, Indexed):
            return make_packs(concerned, size), None, None
        against, extended = indexes_of(stage, self.options.run, in_place=self.options.in_place)
        first = against.next_pack if against else 0
        packs = make_packs(concerned, size, first)
        if extended is not None and extended.later:
            packs = extended.fitting(lambda larger: make_packs(concerned, larger, first), size)
        return packs, against or extended, extended

    def _edit(self, stage: CorpusEditor, concerned: list[Part], settings: passes.PassSettings) -> list[list[Part]]:
        """Run a corpus editor, also against the documents of earlier runs; returns for each part what stands in its place."""
        packs, against, extended = self._indexed(stage, concerned)
        size = self.recipe.partition_bytes
        edits = (
            WindowCuts(self.runner, stage, packs, size, settings, against)
            if isinstance(stage, WindowEditor)
            else CorpusEdits(self.runner, stage, packs, size, settings, against)
        )
        written = self.state.take_cuts(stage.label, packs, edits.run())
        self.state.doubts += edits.doubts
        if edits.filters:
            self.state.filters[stage.label] = edits.filters
        if extended is not None:
            self.extensions.append(edits.extension(extended, self.options.run))
        return written

    def _deduplicate(self, stage: Deduplicator, concerned: list[Part]) -> list[list[Part]]:
        """Run a deduplication, also against the documents of earlier runs; returns for each part what is left of it."""
        packs, against, extended = self._indexed(stage, concerned)
        size = self.recipe.partition_bytes
        found = deduplication_of(stage)(self.runner, stage, packs, size, self.ledger_text, self.recipe.cluster_bytes, against)
        written = self.state.take_removals(stage.label, packs, found.run())
        self.state.doubts += found.doubts
        self.state.add_clusters(stage.label, found.clusters)
        self.bridged += found.bridged
        if extended is not None:
            self.extensions.append(found.extension(extended, self.options.run))
        return written

    def _guard(self, source: str, labels: dict[str, bool]) -> None:
        """Tell doubts of steps that are done, and raise where one removed more of a source's documents than it may.

        Args:
            source: whose documents.
            labels: of the steps; whether each extracts.
        """
        rows = [{"stage": label, "source": source} | self.state.counts[label, source] for label in labels]
        for doubt in (*doubts_of_judging(self.recipe, {"rows": rows}), *self.state.doubts):
            self.runner.progress.tell(doubt)
        rails = self.recipe.guardrails
        if not (rails.enabled and self.options.guardrails):
            return
        for label, extracts in labels.items():
            counts, limit = self.state.counts[label, source], rails.limit(label, extracts)
            number, removed = counts["in"], counts["removed"]
            if number >= max(1, rails.from_documents) and removed > limit * number:
                most_first = sorted(counts["rules"].items(), key=lambda item: -int(item[1]))
                rules = ", ".join(f"{rule} {count:,}" for rule, count in most_first)
                raise GuardrailStop(
                    f"{label} removed {removed:,} of {number:,} documents of {source} "
                    f"({removed / number:.1%}; its guardrail is {limit:.0%}): {rules}. "
                    f"If that is right, set guardrails.stages.{label} higher or give --keep-going"
                )

    def _check_ids(self) -> None:
        """Raise where two records of the run share an id."""
        if not any(source.read.id_from in ("record", "column") for source in self.recipe.sources.values()):
            return
        total = sum(counts["in"] for (stage, _), counts in self.state.counts.items() if stage == passes.READ)
        ranges = range_count(total, IDS_PER_RANGE)
        files = [held for held in self._read_files if held]
        emitted = self._id_tasks("check ids", id_tasks.emit_ids, [{"files": held, "ranges": ranges} for held in files])
        found = self._id_tasks("check ids", id_tasks.repeated_ids, [{"sent": sent} for sent in received(emitted).values()])
        repeated = [pair for manifest in found for pair in manifest["repeated"]][: id_tasks.SHOWN]
        if not repeated:
            return
        by_id: dict[str, list[str]] = {}
        of_files = [{"files": held, "hashes": repeated} for held in files]
        for manifest in self._id_tasks("find repeated ids", id_tasks.places_of, of_files):
            for identifier, source, file, position in manifest["places"]:
                by_id.setdefault(identifier, []).append(f"{source}/{file} at {position}")
        lines = [f"  {identifier}: {' and '.join(places[:3])}" for identifier, places in by_id.items()]
        raise UserError(
            f"{sum(manifest['count'] for manifest in found):,} records have an id that another record has already; "
            "ids must be unique in a run. The first:\n"
            + "\n".join(lines)
            + "\nWas a file given twice? If the records differ, set read.id: position"
        )

    def _check_forgotten(self) -> None:
        """Raise where a forgotten document has come back from another place, under the id that its record bears."""
        bears = {name for name, source in self.recipe.sources.items() if source.read.id_from != "position"}
        known = {one.id: one for one in self.options.forgotten.documents if one.source in bears}
        if not known:
            return
        hashes = id_tasks.halves(sorted(known))
        found = [{"files": held, "hashes": hashes} for held in self._read_files if held]
        back = [
            replace(known[identifier], source=source, file=file, position=position)
            for manifest in self._id_tasks("check forgotten ids", id_tasks.places_of, found)
            for identifier, source, file, position in manifest["places"]
            if identifier in known and source in bears
        ]
        if back:
            raise FoundAgain(back)

    def _id_tasks(self, step: str, function: Callable[..., Manifest], arguments: list[dict[str, Any]]) -> list[Manifest]:
        base = {"code": code_hash("gristmill.pipeline.id_tasks"), "platform": platform_identity()}
        tasks = []
        for one in arguments:
            decides = {name: sent_identity(value) if name == "sent" else value for name, value in one.items()}
            tasks.append(Task(step_key(function.__name__, **decides, **base), function, one, "ids"))
        return self.runner.run(step, tasks)


def _names(chain: tuple[Stage, ...]) -> str:
    return "".join(f", {stage.label}" for stage in chain)


def _measures(chain: tuple[Stage, ...]) -> int:
    """Text versions that a chain measures: runs of filters between editors."""
    kinds = [isinstance(stage, Filter) for stage in chain]
    return sum(1 for index, kind in enumerate(kinds) if kind and (index == 0 or not kinds[index - 1]))


def _extracting(stages: Sequence[Stage]) -> dict[str, bool]:
    """Labels of stages, each with whether it makes text of pages: losing many there has a guardrail of its own."""
    return {stage.label: stage.needs == "html" for stage in stages}
