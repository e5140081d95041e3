"""A recipe carried out: small JSONL sources through stages of the tests' own, in this process."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.driver import recipe_hash, segments, steps_of
from gristmill.pipeline.errors import GuardrailStop, UserError
from gristmill.pipeline.recipe import Recipe, recipe_from_resolved
from gristmill.pipeline.runs import RunResult, run
from gristmill.stages.documents import DOCUMENTS, Batch
from gristmill.stages.editor import Edited, Editor, Loss
from gristmill.stages.exact import Exact
from gristmill.stages.filter import Filter, Rule
from gristmill.stages.stage import StageUnavailable
from gristmill.tokenizers.sampling import in_sample


class Size(Filter):
    """Fewest characters of a text."""

    kind: ClassVar[str] = "size"
    least: float = 0

    def rules(self) -> Iterator[Rule]:
        yield Rule("too_short", "characters", at_least=self.least)

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        return {"characters": pc.utf8_length(batch.table["text"]).to_numpy().astype(np.float64)}


class Trim(Editor):
    """Takes the first character away."""

    kind: ClassVar[str] = "trim"

    def edit(self, batch: Batch) -> Edited:
        texts = batch.table["text"].to_pylist()
        place = batch.table.schema.get_field_index("text")
        shorter = pa.array([text[1:] for text in texts], pa.large_string())
        cuts = {
            "row": range(len(texts)),
            "start": [0] * len(texts),
            "end": [1] * len(texts),
            "text": [text[:1] for text in texts],
        }
        return Edited(
            batch.table.set_column(place, DOCUMENTS.field("text"), shorter),
            [Loss(row, "nothing_left") for row, text in enumerate(texts) if len(text) < 2],
            pa.table({name: list(values) for name, values in cuts.items()} | {"text": [text[:1] for text in texts]}),
        )


class Absent(Filter):
    """Needs a module that nobody has."""

    kind: ClassVar[str] = "absent"

    def set_up(self) -> None:
        import no_such_module_anywhere  # noqa: F401

    def rules(self) -> Iterator[Rule]:
        return iter(())


def write(path: Path, documents: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"id": one, "text": text}) + "\n" for one, text in documents.items()))
    return path


def recipe(sources: dict[str, tuple[list[Path], list]], across: list | None = None, **more) -> Recipe:
    return recipe_from_resolved(
        {
            "name": "test",
            "sources": {
                name: {"read": {"format": "jsonl", "id": "column", "paths": [str(path) for path in paths]}, "stages": stages}
                for name, (paths, stages) in sources.items()
            },
            "stages": across or [],
            **more,
        }
    )


def carry_out(recipe: Recipe, output: Path, **more) -> RunResult:
    return run(recipe, output=output, workers=0, quiet=True, **more)


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def ids(folder: Path, name: str = "documents") -> list[str]:
    return [row["id"] for row in rows(folder, name)]


def hashes(folder: Path) -> dict[str, str]:
    names = ("documents", "removed", "signals", "edits", "index", "shards")
    files = [file for name in names for file in (folder / name).rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_documents_are_written_after_checkpoints():
    plain, kept = Size(), Size(name="kept", checkpoint=True)
    assert segments([plain, kept, plain, plain]) == [(plain, kept), (plain, plain)]
    assert segments([kept]) == [(kept,)]
    assert segments([]) == []


def test_across_sources_each_deduplication_is_a_step_and_filters_are_fused():
    size, kept, exact = Size(), Size(name="kept", checkpoint=True), Exact()
    assert steps_of([size, size, exact, exact, kept, size]) == [(size, size), (exact,), (exact,), (kept,), (size,)]
    assert steps_of([]) == []


def test_how_the_work_is_cut_and_where_the_input_lies_do_not_change_the_recipes_hash(tmp_path):
    here = recipe({"a": ([tmp_path / "x.jsonl"], [Size()])})
    there = recipe({"a": ([tmp_path / "y.jsonl"], [Size()])}, partition_bytes=5, guardrails={"enabled": False})
    other = recipe({"a": ([tmp_path / "x.jsonl"], [Size(least=1)])})
    assert recipe_hash(here) == recipe_hash(there) != recipe_hash(other)


@pytest.mark.parametrize("partition_bytes", [50, 10**6])
@pytest.mark.parametrize(("limit", "expected"), [(2, "a0 a1"), (4, "a0 a1 a2 b0"), (99, "a0 a1 a2 b0 b1 b2")])
def test_a_limit_reads_the_first_records_in_address_order_over_files(tmp_path, partition_bytes, limit, expected):
    paths = [write(tmp_path / f"{name}.jsonl", {f"{name}{row}": "some text" for row in range(3)}) for name in "ab"]
    result = carry_out(recipe({"s": (paths, [])}, partition_bytes=partition_bytes), tmp_path / "run", limit=limit)
    assert ids(tmp_path / "run") == expected.split()
    assert result.funnel["rows"][0]["in"] == len(expected.split())


def test_a_sample_is_the_lowest_hashes_and_a_smaller_one_lies_within_it(tmp_path):
    every = {f"d{row}": "some text" for row in range(200)}
    drawn = {}
    for share in (0.1, 0.3):
        one = recipe({"s": ([write(tmp_path / "x.jsonl", every)], [])}, seed=3, partition_bytes=1000)
        carry_out(one, tmp_path / str(share), sample=share)
        drawn[share] = ids(tmp_path / str(share))
        assert drawn[share] == [one for one, inside in zip(every, in_sample(every, 3, share), strict=True) if inside]
    assert 0 < len(drawn[0.1]) < len(drawn[0.3]) < 200
    assert set(drawn[0.1]) < set(drawn[0.3])


def two_sources(folder: Path, **more) -> Recipe:
    """`size` stands after a checkpoint in one source and first in the other."""
    first = write(folder / "a.jsonl", {f"a{row}": "x" * row + f" {row}" for row in range(30)})
    second = write(folder / "b.jsonl", {f"b{row}": "x" * row + f" {row}" for row in range(20)})
    chains = [Trim(checkpoint=True), Size(least=9)], [Size(least=5)]
    return recipe({"a": ([first], chains[0]), "b": ([second], chains[1])}, ["exact", Size(name="last", least=11)], **more)


def test_sources_with_chains_of_their_own_lose_nothing(tmp_path):
    result = carry_out(two_sources(tmp_path), tmp_path / "run")
    funnel = {(row["stage"], row["source"]): (row["in"], row["kept"]) for row in result.funnel["rows"]}
    # a<n> has n + 2 characters (n + 3 from 10 on), one less once trimmed: a8 is out at 9, b3 stays at 5
    assert funnel == {
        ("read", "a"): (30, 30),
        ("trim", "a"): (30, 30),
        ("size", "a"): (30, 22),
        ("read", "b"): (20, 20),
        ("size", "b"): (20, 17),
        ("exact", "a"): (22, 22),
        ("last", "a"): (22, 20),
        ("exact", "b"): (17, 17),
        ("last", "b"): (17, 11),
    }
    removed = rows(tmp_path / "run", "removed")
    assert sorted([*ids(tmp_path / "run"), *(row["id"] for row in removed)]) == sorted(
        [*(f"a{row}" for row in range(30)), *(f"b{row}" for row in range(20))]
    )
    # by stage, then by address, though b's documents met `size` before a's did
    by_size = [row["id"] for row in removed if row["stage"] == "size"]
    assert by_size == [f"a{row}" for row in range(8)] + [f"b{row}" for row in range(3)]


def test_a_partition_shows_nowhere(tmp_path):
    for size in (100, 333, 10**6):
        carry_out(
            two_sources(tmp_path, partition_bytes=size, output={"edits": True}, ledger={"sample_size": 2}), tmp_path / str(size)
        )
    assert hashes(tmp_path / "100") == hashes(tmp_path / "333") == hashes(tmp_path / "1000000")


def test_what_editors_cut_is_published_by_stage_and_address(tmp_path):
    path = write(tmp_path / "x.jsonl", {"d0": "abc", "d1": "de", "d2": "f"})
    stages = [Trim(), Trim(name="again")]
    for edits, size in ((True, 10), (True, 10**6), (False, 10**6)):
        carry_out(recipe({"s": ([path], stages)}, output={"edits": edits}, partition_bytes=size), tmp_path / f"{edits}{size}")
    for size in (10, 10**6):
        cuts = [
            (row["stage"], row["id"], row["start"], row["end"], row["text"]) for row in rows(tmp_path / f"True{size}", "edits")
        ]
        assert cuts == [
            *[("trim", "d0", 0, 1, "a"), ("trim", "d1", 0, 1, "d"), ("trim", "d2", 0, 1, "f")],
            *[("again", "d0", 0, 1, "b"), ("again", "d1", 0, 1, "e")],
        ]
    assert not (tmp_path / "False1000000" / "edits").exists()


def test_documents_without_text_are_kept_like_others(tmp_path):
    path = write(tmp_path / "x.jsonl", {"d0": "", "d1": "", "d2": "abc", "d3": ""})
    carry_out(recipe({"s": ([path], [])}, output={"file_bytes": 3}), tmp_path / "run")
    assert ids(tmp_path / "run") == ["d0", "d1", "d2", "d3"]


def test_two_records_of_one_id_stop_the_run_and_are_both_named(tmp_path):
    paths = [write(tmp_path / f"{name}.jsonl", {name: "text", "same": "text"}) for name in "xy"]
    with pytest.raises(UserError, match=r"1 records have an id.*\n  same: s/x\.jsonl at 28 and s/y\.jsonl at 28\n"):
        carry_out(recipe({"s": (paths, [])}), tmp_path / "run")


@pytest.mark.parametrize(("documents", "least", "stops"), [(1000, 99, True), (999, 99, False), (1000, 9, False)])
def test_a_stage_that_removes_nearly_all_of_many_documents_stops_the_run(tmp_path, documents, least, stops):
    # 20 of 1000 have 9 characters: 98.0% removed at a bound of 9, which is what the guardrail allows
    path = write(tmp_path / "x.jsonl", {f"d{row}": "x" * (9 if row < 20 else 3) for row in range(documents)})
    one = recipe({"s": ([path], [Size(least=least)])})
    if stops:
        with pytest.raises(
            GuardrailStop, match=r"size removed 1,000 of 1,000 documents of s \(100\.0%; .*: too_short 1,000\. If"
        ):
            carry_out(one, tmp_path / "run")
        assert not (tmp_path / "run" / "documents").exists()
    result = carry_out(one, tmp_path / "run", keep_going=True)
    assert result.funnel["rows"][-1]["removed"] == documents - (20 if least == 9 else 0)


def test_a_stage_whose_module_is_missing_stops_the_run_before_a_record_is_read(tmp_path):
    path = write(tmp_path / "x.jsonl", {"d0": "text"})
    with pytest.raises(StageUnavailable, match="absent: the module no_such_module_anywhere is missing"):
        carry_out(recipe({"s": ([path], [Size(), Absent()])}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_weights_of_the_mixture_stand_in_the_manifest_of_the_shards(tmp_path):
    paths = {name: [write(tmp_path / f"{name}.jsonl", {f"{name}{row}": "some words here" for row in range(5)})] for name in "ab"}
    one = recipe(
        {name: (held, []) for name, held in paths.items()},
        mixture={"a": 0.25, "b": 0.75},
        tokenize={"train": {"vocab_size": 260}},
    )
    carry_out(one, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "shards" / "manifest.json").read_text())
    assert manifest["mixture"] == {"a": 0.25, "b": 0.75}
    assert [(source["name"], source["docs"]) for source in manifest["sources"]] == [("a", 5), ("b", 5)]


def test_a_corpus_that_has_grown_finds_duplicates_between_old_and_new_documents(tmp_path):
    paths = [write(tmp_path / "crawl" / "a.jsonl", {f"a{row}": f"text number {row}" for row in range(10)})]
    across = [Exact()]
    # so small that 40 documents are spread over more key ranges than 10
    carry_out(recipe({"s": (paths, [])}, across, partition_bytes=400), tmp_path / "run")
    paths.append(write(tmp_path / "crawl" / "b.jsonl", {f"b{row}": f"text number {row % 15}" for row in range(30)}))
    again = carry_out(recipe({"s": (paths, [])}, across, partition_bytes=400), tmp_path / "run")
    assert sum(again.reused.values())
    assert ids(tmp_path / "run") == [*(f"a{row}" for row in range(10)), *(f"b{row}" for row in range(10, 15))]
    carry_out(recipe({"s": (paths, [])}, across, partition_bytes=400), tmp_path / "fresh")
    assert hashes(tmp_path / "run") == hashes(tmp_path / "fresh")


def test_altered_work_of_the_same_size_is_found_where_a_run_is_told_to_verify(tmp_path):
    path = write(tmp_path / "x.jsonl", {f"d{row}": "some text" for row in range(5)})
    one = recipe({"s": ([path], [])})
    carry_out(one, tmp_path / "run")
    before = hashes(tmp_path / "run")
    (held,) = (tmp_path / "run" / "work").rglob("*.documents0.arrow")
    content = bytearray(held.read_bytes())
    content[len(content) // 2] ^= 1
    held.write_bytes(content)
    assert carry_out(one, tmp_path / "run").computed == {}
    assert carry_out(one, tmp_path / "run", verify=True).computed["read s"] == 1
    assert hashes(tmp_path / "run") == before


OWN_STAGES = """
from typing import ClassVar
from gristmill.stages.filter import Filter, Rule
from {helper} import lengths

class Own(Filter):
    "A stage of the user's own."
    kind: ClassVar[str] = "own"
    def rules(self):
        yield Rule("too_short", "length", at_least=3)
    def measure(self, batch):
        return {{"length": lengths(batch.table["text"].to_pylist())}}
"""
HELPER = "import numpy\ndef lengths(texts):\n    return numpy.array([len(text) for text in texts], dtype=float)\n"
RUN_IT = """
import json, sys
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
stages = [{"first_stage:Own": {"name": "first", "checkpoint": True}}, {"second_stage:Own": {"name": "second"}}]
read = {"format": "jsonl", "id": "column", "paths": ["x.jsonl"]}
recipe = recipe_from_resolved({"name": "own", "sources": {"s": {"read": read, "stages": stages}}})
result = run(recipe, output="run", workers=0, quiet=True)
print(json.dumps([result.computed, result.reused, [row["kept"] for row in result.funnel["rows"]]]))
"""


def test_a_changed_line_of_a_users_stage_computes_it_again_and_nothing_before_it(tmp_path):
    write(tmp_path / "x.jsonl", {"d0": "ab", "d1": "abc", "d2": "abcd"})
    for name in ("first", "second"):
        (tmp_path / f"{name}_stage.py").write_text(OWN_STAGES.format(helper=f"{name}_helper"))
        (tmp_path / f"{name}_helper.py").write_text(HELPER)
    (tmp_path / "main.py").write_text(RUN_IT)

    def outcome() -> list:
        found = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
        computed, reused, kept = json.loads(found.stdout)
        steps = ("read s, first", "second")
        return [[computed.get(step, 0) for step in steps], [reused.get(step, 0) for step in steps], kept]

    assert outcome() == [[1, 1], [0, 0], [3, 2, 2]]
    assert outcome() == [[0, 0], [1, 1], [3, 2, 2]]
    stage = tmp_path / "second_stage.py"
    stage.write_text(stage.read_text().replace("at_least=3", "at_least=4"))
    assert outcome() == [[0, 1], [1, 0], [3, 2, 1]]
    helper = tmp_path / "first_helper.py"
    helper.write_text(helper.read_text().replace("len(text)", "len(text) - 1"))
    assert outcome() == [[1, 1], [0, 0], [3, 1, 1]]
