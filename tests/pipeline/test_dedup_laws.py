"""Deduplications keep the laws: same bytes whatever the workers, partitions and levels; a killed worker costs its task."""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.pipeline import gather
from gristmill.pipeline.recipe import Recipe, recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.exact import Exact
from gristmill.stages.lines import Lines
from gristmill.stages.minhash import MinHash
from gristmill.stages.url_dedup import UrlDedup

PUBLISHED = ("documents", "removed", "edits", "index", "funnel.json")

RECIPE = """
name: frail
partition_bytes: 4KB
sources:
  a: {read: {format: jsonl, id: column, paths: [a.jsonl]}}
  b: {read: {format: jsonl, id: column, paths: [b.jsonl]}}
stages:
  - "frail_stage:STAGE": {}
guardrails: {enabled: false}
"""

FRAIL_STAGE = '''
"""Stages that see the corpus; each process that knows them ends at the end of the first task of the kind that DIE_IN names."""

import functools
import os
from importlib import import_module

from gristmill.stages.lines import Lines
from gristmill.stages.minhash import MinHash
from gristmill.stages.substring import Substring


class FrailMinHash(MinHash):
    """MinHash."""


class FrailLines(Lines):
    """Lines."""


class FrailSubstring(Substring):
    """Substring, of a line and more."""

    min_length: int = 13


def frail(step):
    @functools.wraps(step)
    def carry_out(*arguments, **named):
        manifest = step(*arguments, **named)
        try:
            os.close(os.open(os.environ["DIED"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return manifest
        os._exit(3)

    return carry_out


if place := os.environ.get("DIE_IN"):
    module, _, name = place.partition(".")
    tasks = import_module(f"gristmill.pipeline.{module}")
    setattr(tasks, name, frail(getattr(tasks, name)))
'''

FRAIL_STEPS = {
    "dedup_tasks.emit": "FrailMinHash",
    "dedup_tasks.resolve": "FrailMinHash",
    "dedup_tasks.remove": "FrailMinHash",
    "corpus_edit_tasks.resolve_units": "FrailLines",
    "corpus_edit_tasks.cut_units": "FrailLines",
    "window_cut_tasks.resolve_windows": "FrailSubstring",
}
"""Task -> stage of FRAIL_STAGE that has it."""


def write_corpus(folder: Path) -> None:
    rng = random.Random(3)
    words = ["".join(rng.choices("abcdefghij", k=rng.randint(2, 8))) for _ in range(400)]
    first = [rng.choices(words, k=60) for _ in range(24)]
    rows = []
    for at in range(96):
        text = list(first[at % 24])
        for _ in range(at % 4):
            text[rng.randrange(60)] = rng.choice(words)
        lines = "\n".join(" ".join(text[start : start + 12]) for start in range(0, 60, 12))
        rows.append({"id": f"d{at}", "text": f"{lines}\nShare this page", "url": f"https://{at % 70}.example/"})
    for name, held in (("a", rows[:60]), ("b", rows[60:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def recipe(corpus: Path, stages: list, partition_bytes: int, **more) -> Recipe:
    read = {"format": "jsonl", "id": "column", "url_column": "url"}
    sources = {name: {"read": read | {"paths": [str(corpus / f"{name}.jsonl")]}} for name in ("a", "b")}
    settings = {"name": "laws", "partition_bytes": partition_bytes, "guardrails": {"enabled": False}, "output": {"edits": True}}
    return recipe_from_resolved(settings | {"sources": sources, "stages": stages} | more)


def hashes(folder: Path) -> dict[str, str]:
    files = [file for name in PUBLISHED for file in ([folder / name] if name.endswith("json") else (folder / name).rglob("*"))]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}


STAGES = [UrlDedup(), Exact(), MinHash(), Lines()]


@pytest.fixture(scope="module")
def expected(corpus, tmp_path_factory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("expected") / "out"
    result = run(recipe(corpus, STAGES, 10**6), output=output, workers=0, quiet=True)
    removed = {row["stage"]: row["removed"] + row["edited"] for row in result.funnel["rows"] if row["source"] == "b"}
    assert all(removed[stage.label] > 0 for stage in STAGES), removed
    return hashes(output)


@pytest.mark.parametrize(("workers", "partition_bytes"), [(0, 1), (1, 10**6), (2, 5000), (4, 2000)])
def test_workers_and_partitions_do_not_show_in_the_bytes(corpus, expected, tmp_path, workers, partition_bytes):
    run(recipe(corpus, STAGES, partition_bytes), output=tmp_path / "out", workers=workers, quiet=True)
    assert hashes(tmp_path / "out") == expected


def test_levels_of_exchange_do_not_show_in_the_bytes(corpus, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(gather, "MOST_SEGMENTS", 20)
    monkeypatch.setattr(gather, "GROUP_FILES", 5)
    run(recipe(corpus, STAGES, 2000), output=tmp_path / "out", workers=0, quiet=True)
    assert hashes(tmp_path / "out") == expected
    assert len([*(tmp_path / "out" / "work").rglob("*.gathered.arrow")]) > 20


def test_clusters_found_out_of_core_are_the_same_on_real_text(shared_data, tmp_path):
    read = {"format": "jsonl", "id": "column", "paths": [str(shared_data / "dedup" / "pep_revisions.docs.jsonl.gz")]}
    found = {}
    for cluster_bytes in (10**9, 1):
        settings = {"sources": {"peps": {"read": read}}, "stages": [MinHash()], "guardrails": {"enabled": False}}
        settings |= {"name": "peps", "partition_bytes": 1_000_000, "cluster_bytes": cluster_bytes}
        output = tmp_path / str(cluster_bytes)
        run(recipe_from_resolved(settings), output=output, workers=0, quiet=True)
        found[cluster_bytes] = hashes(output)
        assert bool([*(output / "work").rglob("*.stars*.arrow")]) == (cluster_bytes == 1)
    assert found[10**9] == found[1]
    assert json.loads((tmp_path / "1" / "funnel.json").read_text())["rows"][-1]["removed"] > 100


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a corpus, and for each of the user's own stages a recipe and its run in one process."""
    folder = tmp_path_factory.mktemp("place")
    write_corpus(folder)
    (folder / "frail_stage.py").write_text(FRAIL_STAGE)
    for stage in set(FRAIL_STEPS.values()):
        (folder / f"{stage}.yaml").write_text(RECIPE.replace("STAGE", stage))
        done = run_here(folder, stage, f"whole-{stage}", "0")
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("step", FRAIL_STEPS)
def test_a_worker_that_is_killed_costs_its_task_and_nothing_else(place, step):
    stage, died, output = FRAIL_STEPS[step], place / f"died-{step}", place / f"frail-{step}"
    done = run_here(place, stage, output.name, "2", DIE_IN=step, DIED=str(died))
    assert done.returncode == 0, done.stderr
    assert died.exists()
    assert hashes(output) == hashes(place / f"whole-{stage}")
    attempts: dict[str, set[str]] = {}
    for file in (output / "work" / "data").glob("*/*"):
        key, _, attempt = file.name.partition(".")[0].rpartition("-")
        attempts.setdefault(key, set()).add(attempt)
    # the task was finished but for its word to the driver, so its files lie there twice
    assert len(attempts) > 20
    assert sorted(len(one) for one in attempts.values())[-2:] == [1, 2]


def run_here(folder: Path, stage: str, output: str, workers: str, **more: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [str(Path(sys.executable).with_name("gristmill")), "run", f"{stage}.yaml", "--output", output, "--workers", workers]
    environment = os.environ | {"PYTHONPATH": path} | more
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False)
