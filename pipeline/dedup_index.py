"""An index of what a corpus stage has seen, for later runs to be judged against.

    PATH/index.json                                 what it was made with, and its segments in order
    PATH/segments/<name>/<pack>.documents.arrow     row and id of each document, kept and removed ones alike; of deduplications
                                                    also its sketch (and signature)
    PATH/segments/<name>/<pack>.<n>.emit.arrow      their emitted rows, in key ranges; of editors the copies that count
    PATH/segments/<name>/model.arrow                what the stage has learned, where it learns and no segment before has it
    PATH/segments/<name>/filter-<range>.arrow       the bits of a Bloom filter, in place of packs

A run's documents become a segment. Packs are numbered through all segments, so addresses ascend with the order of the runs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.exchange import range_count
from gristmill.pipeline.publish import FOLDERS
from gristmill.pipeline.storage import Storage
from gristmill.stages.documents import Batch
from gristmill.stages.indexed import Indexed
from gristmill.stages.stage import Stage

if TYPE_CHECKING:
    from datasketch import LeanMinHash

    from gristmill.pipeline.parts import Pack

FORMAT = 1
INDEX = "index.json"
LEAST_RANGES = 16
ROOM_TO_GROW = 8
"""Key ranges of an index as a multiple of what its first segment needs."""


@dataclass(frozen=True)
class IndexPack:
    """Documents of an earlier run; stands among the packs of this one."""

    number: int
    span: int
    """Addresses of its documents have rows below this."""
    kept: int
    file: str
    """Columns row int64, id string, sketch list<uint64> or null."""

    def identity(self) -> list[Any]:
        """What decides its documents, for the names of steps."""
        return [self.number, self.file]


@dataclass
class Index:
    """An index as a run found it: the segments of earlier runs, without this run's own."""

    storage: Storage
    ranges: int | None = None
    """Key ranges of the emitted rows; None while there is no segment."""
    segments: list[dict[str, Any]] = field(default_factory=list)
    later: list[dict[str, Any]] = field(default_factory=list)
    """Segments of runs after this one, where this run's own is written anew before them."""
    alone: bool = False
    """No other run extends the index meanwhile, so what no segment names is left over from a run that was killed, and goes."""

    @property
    def packs(self) -> list[dict[str, Any]]:
        """The packs of all segments, in order."""
        return [pack for segment in self.segments for pack in segment["packs"]]

    def more(self, name: str) -> list[dict[str, Any]]:
        """Entries of the files called `name` that segments hold beside their packs, in order."""
        return [segment["more"][name] for segment in self.segments if name in segment.get("more", {})]

    @property
    def next_pack(self) -> int:
        """Number of the first pack after those; numbers ascend, and may have holes."""
        return max((int(pack["number"]) + 1 for pack in self.packs), default=0)

    def fitting(self, make: Callable[[int], list[Pack]], pack_bytes: int) -> list[Pack]:
        """This run's packs, so large that they are no more than the numbers before those of later segments.

        How documents are packed changes no outcome, and the later segments keep their addresses.

        Args:
            make: makes packs of about so many bytes.
            pack_bytes: of a pack where there is room.

        Raises:
            UserError: there is no number left at all.
        """
        room = min((int(pack["number"]) for segment in self.later for pack in segment["packs"]), default=None)
        while (packs := make(pack_bytes)) and room is not None and packs[-1].number >= room:
            if len(packs) == 1:
                raise UserError(f"{self.storage.url}: has no room for documents of this run before those of later runs")
            pack_bytes *= 2
        return packs

    def identity(self) -> list[Any]:
        """What decides the outcome of a run against it."""
        return [self.ranges, [segment["name"] for segment in self.segments]]


def made_with(stage: Indexed) -> dict[str, Any]:
    """What two stages must have in common for one to read the other's index: settings, and what they make of a probe."""
    import pyarrow as pa

    words = "Two runs of one crawl share most of their pages, so the later one is judged against the earlier one's index.\n"
    url = "https://User@Crawl.Example:443/a/../b//?id=1&utm_source=probe#part"
    row = {"id": "probe", "source": "s", "file": "f", "position": 0, "text": words * 2, "url": url}
    stage.set_up()
    found = stage.index_probe(Batch.of(pa.Table.from_pylist([row])))
    digest = hashlib.sha256(json.dumps(found).encode()).hexdigest()
    return {"stage": stage.kind, "settings": stage.index_settings(), "probe": digest[:32]}


def open_index(path: str, stage: Indexed, run: str, *, must_exist: bool, in_place: bool = False) -> Index:
    """The index at `path`, as it was before this run.

    Args:
        path: folder, local or remote.
        stage: reads it, or will extend it.
        run: name of this run, by which its own earlier segment is known.
        must_exist: an index that is not there is an error.
        in_place: this run's own segment may stand before those of later runs, and is written anew there.

    Raises:
        UserError: there is none, it was made with other settings, or runs after this one have extended it.
    """
    storage = Storage(path)
    if not storage.exists(INDEX):
        if must_exist:
            raise UserError(f"{path}: holds no index; a run with {stage.label}.index={path} writes one")
        # segments alone are what a run left that was killed before it could name them
        if storage.exists() and any(not name.startswith("segments/") for name in storage.find()):
            raise UserError(f"{path}: holds files, and they are no index; choose another folder for {stage.label}.index")
        return Index(storage, alone=in_place)
    facts = _facts(storage, path)
    mine = made_with(stage)
    for name in ("stage", "settings", "probe"):
        if facts[name] != mine[name]:
            raise UserError(_other(path, name, facts[name], mine[name]))
    names = [segment["run"] for segment in facts["segments"]]
    segments, later = facts["segments"], []
    if run in names:
        at = names.index(run)
        if at != len(names) - 1 and not in_place:
            raise UserError(
                f"{path}: holds this run's own documents, and those of runs after it ({names[-1]}); start those again from an "
                "index without them, or give this run another output folder if its documents are new"
            )
        segments, later = segments[:at], segments[at + 1 :]
    return Index(storage, facts["ranges"] if segments or later else None, segments, later, in_place)


def indexes_of(stage: Indexed, run: str, *, in_place: bool = False) -> tuple[Index | None, Index | None]:
    """The index that a stage reads and the one that it writes, each None where it has none; of one folder they are the same.

    Raises:
        UserError: as for `open_index`; or the two do not go together.
    """
    against = open_index(stage.against, stage, run, must_exist=True, in_place=in_place) if stage.against else None
    extended = open_index(stage.index, stage, run, must_exist=False, in_place=in_place) if stage.index else None
    if extended is not None and against is not None and extended.storage.url != against.storage.url:
        raise UserError(
            f"{stage.label}: index {stage.index} and against {stage.against} are two folders; "
            "copy the earlier index where the new one shall be, and name it in both"
        )
    if extended is not None and extended.segments and against is None:
        raise UserError(
            f"{stage.index}: holds an index of earlier runs; set {stage.label}.against to it too, to be judged against it "
            "and extend it, or choose a new folder"
        )
    return against, extended


def _facts(storage: Storage, path: str) -> dict[str, Any]:
    """What `index.json` says, once it is seen that all files are there which it names; bytes are checked when they are used.

    Raises:
        UserError: something is missing, or it is no index.
    """
    damaged = "bring it back from a copy, or write a new index by running the earlier runs again"
    try:
        facts: dict[str, Any] = storage.get_json(INDEX)
        if facts.get("format") != FORMAT:
            raise UserError(f"{path}/{INDEX}: has format {facts.get('format')!r}; this version reads format {FORMAT}")
        named = {entry["file"] for segment in facts["segments"] for entry in entries_of(segment)}
        _ = [facts[name] for name in ("stage", "settings", "probe", "ranges")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}/{INDEX}: is damaged ({type(error).__name__}: {error}); {damaged}") from None
    if missing := sorted(named - set(storage.find("segments"))):
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise UserError(f"{path}: is damaged: {missing[0]}{more} that {INDEX} names is not there; {damaged}")
    return facts


def entries_of(segment: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The entries of all files of a segment."""
    for pack in segment["packs"]:
        yield pack["held"]
        yield from pack["emitted"]
    yield from segment.get("more", {}).values()


def check_indexes(stages: Iterable[Stage], run: str, *, in_place: bool = False, folder: Storage, work: Storage) -> None:
    """See that each stage of a run can read and write its indexes, before anything is done.

    Args:
        stages: of the run.
        run: its name.
        in_place: as for `open_index`.
        folder: where it publishes.
        work: where its finished steps are.

    Raises:
        UserError: as for `indexes_of`; or two stages would write one index, or one is where the run writes and deletes files.
    """
    own = [_place(folder, name) for name in FOLDERS] + [_place(work)]
    written: dict[str, str] = {}
    for stage in stages:
        if not isinstance(stage, Indexed):
            continue
        _, extended = indexes_of(stage, run, in_place=in_place)
        if extended is None:
            continue
        place = _place(extended.storage)
        if _place(folder).startswith(place) or place.startswith(tuple(own)):
            raise UserError(
                f"{stage.index}: is among the run's own files, which it replaces and `gristmill clean` deletes ({folder.url}); "
                f"choose a folder for {stage.label}.index that outlives the run"
            )
        if place in written:
            raise UserError(f"{stage.index}: written by two stages, {written[place]} and {stage.label}; give each one of its own")
        written[place] = stage.label


def _place(storage: Storage, name: str = "") -> str:
    """Where a folder is, however it is spelled, with a slash at its end: what lies in it begins so."""
    path = storage.path(name)
    return f"{os.path.realpath(path) if storage.local else path}/"


def _other(path: str, name: str, there: Any, mine: Any) -> str:
    if name != "settings":
        what = "another stage" if name == "stage" else "a version that computes other keys"
        return f"{path}: was written by {what} ({there}; this one is {mine}); write a new index"
    names = sorted({*there, *mine})
    shown = [f"{one}: {there.get(one)!r} there, {mine.get(one)!r} here" for one in names if there.get(one) != mine.get(one)]
    return f"{path}: was written with other settings ({'; '.join(shown)}); use those, or write a new index"


def ranges_for(index: Index | None, needed: int) -> int:
    """Key ranges that a run uses: those of the index, or enough for one that is begun."""
    if index is not None and index.ranges is not None:
        return index.ranges
    return needed if index is None else max(LEAST_RANGES, range_count(needed * ROOM_TO_GROW, 1))


@dataclass(frozen=True)
class Extension:
    """A segment that a run adds to an index, once it is published."""

    index: Index
    facts: dict[str, Any]
    """What stands in the index beside its segments."""
    segment: dict[str, Any]
    files: dict[str, str]
    """Name in the index -> file in the run's work folder."""

    def write(self, work: Storage) -> None:
        """Copy the files, then name them in `index.json`, then delete those of this run's earlier segment.

        Raises:
            UserError: another run has extended the index meanwhile.
        """
        storage = self.index.storage
        there = storage.get_json(INDEX)["segments"] if storage.exists(INDEX) else []
        before = [one["name"] for one in (*self.index.segments, *self.index.later)]
        now = [one["name"] for one in there if one["run"] != self.segment["run"]]
        if now != before:
            raise UserError(
                f"{storage.url}: another run has extended the index while this one was at work; run this one again, "
                "to be judged against that one's documents too"
            )
        for name, file in self.files.items():
            if storage.size(name) != work.size(file):
                with work.open(file) as source, storage.create(name) as copy:
                    while block := source.read(1 << 22):
                        copy.write(block)
        segments = [*self.index.segments, self.segment, *self.index.later]
        storage.put_json(INDEX, self.facts | {"format": FORMAT, "segments": segments})
        kept = {entry["file"] for segment in segments for entry in entries_of(segment)}
        known = {entry["file"] for segment in there for entry in entries_of(segment)}
        gone = (set(storage.find("segments")) if self.index.alone else known) - kept
        for old in sorted(gone):
            storage.delete(old)
        for folder in sorted({old.rsplit("/", 1)[0] for old in gone} - {name.rsplit("/", 1)[0] for name in kept}):
            storage.delete(folder)


def extension(
    index: Index,
    stage: Indexed,
    run: str,
    ranges: int,
    packs: Sequence[tuple[int, int, int, Any, list[Any]]],
    more: Mapping[str, dict[str, Any]] | None = None,
) -> Extension:
    """What a run adds to an index.

    Args:
        index: as the run found it.
        stage: wrote the rows.
        run: name of the run.
        ranges: key ranges of the emitted rows.
        packs: for each (number, span, documents, entry of the documents' file, entries of the emitted rows' files).
        more: entries of other files, by name.
    """
    more = more or {}
    held_files = [*([one["sha256"] for one in [held, *rows]] for *_, held, rows in packs)]
    hashed = [run, held_files, *([more[name]["sha256"]] for name in sorted(more))]
    digest = hashlib.sha256(json.dumps(hashed).encode())
    name = f"{len(index.segments):04d}-{digest.hexdigest()[:16]}"
    files: dict[str, str] = {}
    described = []
    for number, span, documents, held, emitted in packs:
        stem = f"segments/{name}/{number:07d}"
        named = f"{stem}.documents.arrow"
        files[named] = held["file"]
        rows = []
        for at, entry in enumerate(emitted):
            files[f"{stem}.{at}.emit.arrow"] = entry["file"]
            rows.append(entry | {"file": f"{stem}.{at}.emit.arrow"})  # with the wave it belongs to
        described.append(
            {"number": number, "span": span, "documents": documents, "held": held | {"file": named}, "emitted": rows}
        )
    segment = {"name": name, "run": run, "documents": sum(one["documents"] for one in described), "packs": described}
    if more:
        files |= {f"segments/{name}/{one}.arrow": entry["file"] for one, entry in more.items()}
        segment["more"] = {one: entry | {"file": f"segments/{name}/{one}.arrow"} for one, entry in more.items()}
    return Extension(index, made_with(stage) | {"ranges": ranges}, segment, files)


def lean_minhashes(path: str) -> Iterator[tuple[str, LeanMinHash]]:
    """The documents of a MinHash index as datasketch's objects, with their ids; those without a shingle are left out.

    Raises:
        UserError: there is no index of MinHash signatures at `path`.
    """
    from datasketch import LeanMinHash

    from gristmill.pipeline.tables import read_batches

    storage = Storage(path)
    facts = storage.get_json(INDEX) if storage.exists(INDEX) else {}
    if facts.get("stage") != "minhash":
        raise UserError(f"{path}: holds no index of the stage minhash")
    seed = facts["settings"]["seed"]
    for segment in facts["segments"]:
        for pack in segment["packs"]:
            for table in read_batches(storage, pack["held"]["file"], ["id", "signature"]):
                for identifier, signature in zip(*(table[name].to_pylist() for name in ("id", "signature")), strict=True):
                    if signature is not None:
                        yield identifier, LeanMinHash(seed=seed, hashvalues=signature, scheme="affine32")
