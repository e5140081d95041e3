"""What the driver knows of a run between steps: where documents, ledger rows and signals lie, and the counts so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from gristmill.pipeline.counts import Counts, add
from gristmill.pipeline.parts import Pack, Part, Removals, Rows
from gristmill.pipeline.steps import Manifest

ALL_SOURCES = ""
"""Stands for the source where documents of all sources are judged together."""


@dataclass
class RunState:
    """Documents as they stand, and all that was recorded on the way here."""

    parts: list[Part] = field(default_factory=list)
    """In address order: sources as the recipe names them, files in sorted order, positions ascending."""
    ledger: dict[tuple[str, str], list[Rows]] = field(default_factory=dict)
    """(stage label, source) -> its ledger rows, in address order."""
    signals: dict[tuple[str, int], list[Rows]] = field(default_factory=dict)
    """(source, text version) -> its signals, in address order."""
    edits: dict[tuple[str, str], list[Rows]] = field(default_factory=dict)
    """(stage label, source) -> what the editor cut, in address order."""
    reports: dict[tuple[str, str], list[Rows]] = field(default_factory=dict)
    """(stage label, source) -> what the filter tells of documents that stay, in address order."""
    signal_columns: dict[str, None] = field(default_factory=dict)
    counts: dict[tuple[str, str], Counts] = field(default_factory=dict)
    """(stage label, source) -> counts."""
    labels: list[str] = field(default_factory=list)
    """Stage labels in the order in which documents meet them."""
    versions: dict[str, int] = field(default_factory=dict)
    """Source -> text versions measured so far."""
    other_records: dict[str, dict[str, int]] = field(default_factory=dict)
    gaps: int = 0
    clusters: dict[str, dict[int, int]] = field(default_factory=dict)
    """Label of a deduplication -> {documents in a cluster: clusters of so many}."""
    filters: dict[str, dict[str, float]] = field(default_factory=dict)
    """Label of a corpus editor -> what its Bloom filters were like."""
    doubts: list[str] = field(default_factory=list)
    """What stages have met that looks like a mistake."""

    def take_pass(self, key: str, source: str, manifest: Manifest) -> list[Part]:
        """Record what a pass over one source did; returns the parts it wrote."""
        for stage, counts in manifest["counts"].items():
            self.count(stage, source, counts)
        _take_rows(self.ledger, source, manifest["ledger"])
        _take_rows(self.edits, source, manifest["edits"])
        _take_rows(self.reports, source, manifest["reports"])
        for entry in manifest["signals"]:
            self.signals.setdefault((source, entry["version"]), []).append(Rows(entry["file"], None, entry["rows"]))
            self.signal_columns |= dict.fromkeys(entry["columns"])
        for kind, number in manifest.get("other_records", {}).items():
            known = self.other_records.setdefault(source, {})
            known[kind] = known.get(kind, 0) + number
        self.gaps += manifest.get("gaps", 0)
        return [
            Part(source, entry["file"], f"{key}.{index}", entry["rows"], entry["rows"], entry["bytes"], entry["words"])
            for index, entry in enumerate(manifest["documents"])
        ]

    def count(self, stage: str, source: str, counts: Counts) -> None:
        """Add to the counts of a stage and source."""
        self.counts[stage, source] = add(self.counts.get((stage, source)), counts)

    def take_removals(self, label: str, packs: list[Pack], manifests: dict[int, Manifest]) -> list[list[Part]]:
        """Record what a deduplication removed; returns for each part of the packs what is left of it."""
        parts: list[list[Part]] = []
        for pack in packs:
            manifest = manifests.get(pack.number)
            for number, part in enumerate(pack.parts):
                gone = (manifest["by_part"].get(str(number)) if manifest else None) or {"rows": 0, "bytes": 0, "words": 0}
                self.count(label, part.source, _removal_counts(part, gone, manifest["rule"] if manifest else ""))
                if gone["rows"] and manifest:
                    part = replace(
                        part,
                        kept=part.kept - gone["rows"],
                        bytes=part.bytes - gone["bytes"],
                        words=part.words - gone["words"],
                        removals=(*part.removals, Removals(manifest["removals"]["file"], number)),
                    )
                parts.append([part])
            if manifest:
                _take_rows(self.ledger, ALL_SOURCES, manifest["ledger"])
        return parts

    def add_clusters(self, label: str, clusters: dict[int, int]) -> None:
        """Add clusters by size to those of a deduplication."""
        known = self.clusters.setdefault(label, {})
        for size, number in clusters.items():
            known[size] = known.get(size, 0) + number

    def take_cuts(self, label: str, packs: list[Pack], cut: dict[int, tuple[str, dict[str, Manifest]]]) -> list[list[Part]]:
        """Record what a corpus editor cut: by pack number the name of its step, and what was made of its parts by their number.

        Returns:
            For each part of the packs, the parts that stand in its place.
        """
        parts: list[list[Part]] = []
        for pack in packs:
            key, made = cut.get(pack.number, ("", {}))
            for number, part in enumerate(pack.parts):
                if str(number) in made:
                    parts.append(self.take_pass(f"{key}.{number}", part.source, made[str(number)]))
                else:
                    self.count(label, part.source, _removal_counts(part, {"rows": 0, "bytes": 0, "words": 0}, ""))
                    parts.append([part])
        return parts

    def by_stage(self, held: dict[tuple[str, str], list[Rows]]) -> dict[str, list[Rows]]:
        """Rows of `ledger`, `edits` or `reports` by stage label, in the order of `labels`; those of a stage in address order."""
        sources = [*self.versions, ALL_SOURCES]
        found = {label: [one for source in sources for one in held.get((label, source), [])] for label in self.labels}
        return {label: rows for label, rows in found.items() if rows}

    def other_totals(self) -> dict[str, int]:
        """Records that are no documents (requests, metadata, ...) by type, over all sources."""
        kinds = sorted({kind for known in self.other_records.values() for kind in known})
        return {kind: sum(known.get(kind, 0) for known in self.other_records.values()) for kind in kinds}

    def funnel(self) -> dict[str, Any]:
        """`funnel.json`."""
        order = {label: index for index, label in enumerate(self.labels)}
        sources = list(self.versions)
        keys = sorted(self.counts, key=lambda key: (order[key[0]], sources.index(key[1])))
        rows = [{"stage": stage, "source": source} | self.counts[stage, source] for stage, source in keys]
        clusters = {stage: {str(size): held[size] for size in sorted(held)} for stage, held in self.clusters.items() if held}
        return {"rows": rows} | ({"clusters": clusters} if clusters else {}) | ({"filters": self.filters} if self.filters else {})


def _take_rows(held: dict[tuple[str, str], list[Rows]], source: str, entry: dict[str, Any] | None) -> None:
    if entry is None:
        return
    for stage, (batch, rows) in entry["stages"].items():
        held.setdefault((stage, source), []).append(Rows(entry["file"], batch, rows))


def _removal_counts(part: Part, gone: dict[str, int], rule: str) -> Counts:
    return {
        "in": part.kept,
        "kept": part.kept - gone["rows"],
        "removed": gone["rows"],
        "edited": 0,
        "rules": {rule: gone["rows"]} if gone["rows"] else {},
        "bytes_in": part.bytes,
        "bytes_kept": part.bytes - gone["bytes"],
        "words_in": part.words,
        "words_kept": part.words - gone["words"],
    }
