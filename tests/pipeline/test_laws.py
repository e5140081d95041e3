"""The laws of a run, on real captures: nothing is lost, the same bytes come out, finished work is done once."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.recipe import Recipe, load_recipe
from gristmill.pipeline.runs import RunResult, run

PAGES = [
    "CC-MAIN-20200808-excerpt.warc.gz",
    "bitchmagazine-2014.warc.gz",
    "parseMe.warc.gz",
    "IAH-20080430204825-00000-blackbook.warc.gz",
]
QUICK = ["extract.engine=resiliparse", "language.keep.en=0.5", "tokenize.train.vocab_size=400", "partition_bytes=2MB"]
PUBLISHED = ("documents", "removed", "shards", "signals", "index", "funnel.json")


def quick_recipe(paths: list[Path], *sets: str) -> Recipe:
    return load_recipe("refinedweb-lite", [*QUICK, *sets], [str(path) for path in paths])


def hashes(folder: Path) -> dict[str, str]:
    files = [
        file
        for name in PUBLISHED
        for file in ([folder / name] if name.endswith("json") else (folder / name).rglob("*"))
        if file.is_file()
    ]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


def rows(folder: Path, name: str, columns: list[str]) -> list[dict]:
    return [
        row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file, columns=columns).to_pylist()
    ]


def check_conservation(result: RunResult) -> None:
    folder = Path(result.folder)
    funnel = result.funnel["rows"]
    removed, kept = rows(folder, "removed", ["stage", "source", "rule", "id"]), rows(folder, "documents", ["id"])
    read = sum(row["in"] for row in funnel if row["stage"] == "read")
    assert len(kept) + len(removed) == read
    ids = [row["id"] for row in (*kept, *removed)]
    assert len(set(ids)) == len(ids)
    by_source: dict[str, int] = {}
    for row in funnel:
        assert row["in"] == row["kept"] + row["removed"]
        assert row["removed"] == sum(row["rules"].values())
        assert row["in"] == by_source.get(row["source"], row["in"])
        by_source[row["source"]] = row["kept"]
        for rule, number in row["rules"].items():
            assert number == sum(
                (one["stage"], one["source"], one["rule"]) == (row["stage"], row["source"], rule) for one in removed
            )
    assert sum(by_source.values()) == len(kept)


def warcio_records(path: Path) -> tuple[int, int, bool]:
    """Response and resource records, all records, and whether warcio reached the end."""
    documents = every = 0
    with path.open("rb") as file:
        try:
            for record in ArchiveIterator(file, arc2warc=False):
                every += 1
                documents += record.rec_type in ("response", "resource")
                record.content_stream().read()
        except (ArchiveLoadFailed, ValueError, EOFError, OSError):
            return documents, every, False
    return documents, every, True


@pytest.fixture(scope="module")
def pages(shared_data: Path) -> list[Path]:
    return [shared_data / "web" / "samples" / name for name in PAGES]


@pytest.fixture(scope="module")
def plain_run(pages, tmp_path_factory) -> RunResult:
    """One run in this process, with default partitions."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    return run(quick_recipe(pages), output=folder, workers=0, quiet=True)


def test_documents_and_ledger_are_the_records_that_warcio_counts(plain_run, pages):
    check_conservation(plain_run)
    counted = [warcio_records(path) for path in pages]
    assert all(whole for _, _, whole in counted)
    facts = json.loads((Path(plain_run.folder) / "run.json").read_text())
    read = next(row for row in plain_run.funnel["rows"] if row["stage"] == "read")
    assert read["in"] == sum(documents for documents, _, _ in counted)
    assert read["in"] + sum(facts["other_records"].values()) == sum(every for _, every, _ in counted)


def test_every_stage_of_the_shipped_recipe_had_something_to_do(plain_run):
    stages = {row["stage"]: row for row in plain_run.funnel["rows"]}
    assert list(stages) == [
        "read",
        "url_filter",
        "extract",
        "language",
        "gopher_repetition",
        "gopher_quality",
        "exact",
        "minhash",
    ]
    assert all(stages[name]["removed"] for name in ("read", "language", "gopher_quality"))
    assert (Path(plain_run.folder) / "shards" / "manifest.json").is_file()


@pytest.mark.parametrize(("workers", "sets"), [(1, []), (2, []), (2, ["partition_bytes=500kB"])])
def test_workers_and_partitions_do_not_show_in_the_bytes(plain_run, pages, tmp_path, workers, sets):
    result = run(quick_recipe(pages, *sets), output=tmp_path / "run", workers=workers, quiet=True)
    assert hashes(Path(result.folder)) == hashes(Path(plain_run.folder))


def test_another_run_of_the_same_recipe_computes_nothing(plain_run, pages):
    before = hashes(Path(plain_run.folder))
    again = run(quick_recipe(pages), output=plain_run.folder, workers=0, quiet=True)
    assert again.computed == {}
    assert hashes(Path(again.folder)) == before


def test_a_changed_threshold_extracts_nothing_again(pages, tmp_path):
    run(quick_recipe(pages), output=tmp_path / "run", workers=0, quiet=True)
    result = run(quick_recipe(pages, "gopher_quality.min_words=200"), output=tmp_path / "run", workers=0, quiet=True)
    assert not [step for step in result.computed if "extract" in step]
    assert [step for step in result.computed if "gopher_quality" in step]
    fresh = run(quick_recipe(pages, "gopher_quality.min_words=200"), output=tmp_path / "fresh", workers=0, quiet=True)
    assert hashes(tmp_path / "run") == hashes(Path(fresh.folder))


def test_an_added_file_is_the_only_one_extracted(pages, tmp_path):
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    for path in pages[1:]:
        (crawl / path.name).write_bytes(path.read_bytes())
    first = run(quick_recipe([crawl]), output=tmp_path / "run", workers=0, quiet=True)
    (step,) = [step for step in first.computed if "extract" in step]
    # it sorts before the others, so that all addresses move
    (crawl / "0-added.warc.gz").write_bytes(pages[0].read_bytes())
    second = run(quick_recipe([crawl]), output=tmp_path / "run", workers=0, quiet=True)
    assert (second.computed[step], second.reused[step]) == (1, first.computed[step])
    fresh = run(quick_recipe([crawl]), output=tmp_path / "fresh", workers=0, quiet=True)
    assert hashes(tmp_path / "run") == hashes(Path(fresh.folder))


def test_a_removed_or_shortened_piece_of_finished_work_is_computed_again(pages, tmp_path):
    result = run(quick_recipe(pages), output=tmp_path / "run", workers=0, quiet=True)
    before = hashes(tmp_path / "run")
    documents = sorted((tmp_path / "run" / "work").rglob("*.documents0.arrow"))
    documents[0].write_bytes(documents[0].read_bytes()[:100])
    documents[1].unlink()
    again = run(quick_recipe(pages), output=tmp_path / "run", workers=0, quiet=True)
    assert 0 < sum(again.computed.values()) < sum(result.computed.values())
    assert hashes(tmp_path / "run") == before


def command(output: Path, pages: list[Path], *more: str) -> list[str]:
    sets = [part for one in QUICK for part in ("--set", one)]
    inputs = [part for path in pages for part in ("--input", str(path))]
    return [
        str(Path(sys.executable).parent / "gristmill"),
        "run",
        "refinedweb-lite",
        *inputs,
        "--output",
        str(output),
        *sets,
        *more,
    ]


def manifests(output: Path) -> set[str]:
    return {file.stem for file in (output / "work" / "steps").rglob("*.json")}


def wait_for_manifests(output: Path, number: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while len(manifests(output)) < number and process.poll() is None:
        assert time.monotonic() < deadline, "the run finishes no step"
        time.sleep(0.01)


def test_a_run_that_was_killed_goes_on_where_it_stood(plain_run, pages, tmp_path):
    output = tmp_path / "run"
    # smaller partitions, so that the kill falls into the middle; they do not show in the bytes
    first = subprocess.Popen(command(output, pages, "--workers", "2", "--set", "partition_bytes=1MB"), stderr=subprocess.DEVNULL)
    wait_for_manifests(output, 6, first)
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()
    finished = {file: file.stat().st_mtime_ns for file in (output / "work" / "steps").rglob("*.json")}
    assert finished
    again = run(quick_recipe(pages, "partition_bytes=1MB"), output=output, workers=2, quiet=True)
    assert hashes(output) == hashes(Path(plain_run.folder))
    assert sum(again.reused.values()) >= len(finished)
    # a step done again would have had its manifest written again
    assert {file: file.stat().st_mtime_ns for file in finished} == finished


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds worker processes in /proc")
def test_a_killed_worker_costs_its_own_tasks_and_nothing_else(plain_run, pages, tmp_path):
    output = tmp_path / "run"
    process = subprocess.Popen(
        command(output, pages, "--workers", "2", "--set", "partition_bytes=1MB"), stderr=subprocess.DEVNULL
    )
    wait_for_manifests(output, 3, process)
    workers = [
        pid
        for pid in children(process.pid)
        if b"multiprocessing" in Path(f"/proc/{pid}/cmdline").read_bytes()
        and b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    assert process.wait(timeout=240) == 0
    assert hashes(output) == hashes(Path(plain_run.folder))


def test_two_records_of_one_id_are_refused_and_both_named(shared_data, tmp_path):
    path = shared_data / "web" / "samples" / "IAH-urls-wget.warc.gz"  # a crawler's own mistake
    with pytest.raises(UserError, match=r"web/IAH-urls-wget\.warc\.gz at 41683 and web/IAH-urls-wget\.warc\.gz at 42002"):
        run(quick_recipe([path]), output=tmp_path / "run", workers=0, quiet=True)


def odd_files(shared_data: Path) -> list[Path]:
    files = [*(shared_data / "web" / "odd").iterdir(), *(shared_data / "web" / "samples").iterdir()]
    return sorted(file for file in files if ".warc" in file.name and not file.name.endswith((".wet.gz", ".wat.gz")))


def test_no_record_of_any_odd_file_goes_astray(shared_data, tmp_path):
    refused = {}
    for path in odd_files(shared_data):
        recipe = load_recipe("refinedweb-lite", [*QUICK, "guardrails.enabled=false", "sources.web.read.id=position"], [str(path)])
        recipe = recipe.model_copy(update={"tokenize": None, "stages": []})
        try:
            result = run(recipe, output=tmp_path / path.name, workers=0, quiet=True)
        except UserError as error:
            refused[path.name] = str(error)
            continue
        check_conservation(result)
        documents, every, whole = warcio_records(path)
        facts = json.loads((tmp_path / path.name / "run.json").read_text())
        read = result.funnel["rows"][0]
        gaps = facts["unreadable_gaps"]
        found = read["in"] - gaps + sum(facts["other_records"].values())
        assert found >= every, path.name
        if whole and not gaps:
            assert (found, read["in"]) == (every, documents), path.name
        places = [
            row
            for row in rows(tmp_path / path.name, "removed", ["rule", "position", "detail", "file"])
            if row["rule"] == "unreadable_bytes"
        ]
        assert len(places) == read["rules"].get("unreadable_bytes", 0) >= gaps
        assert all(place["detail"] and place["file"] for place in places)
    # files that are no WARC at all are refused by name, each with what was found there
    assert all(name in message for name, message in refused.items())
    assert {"block-sized-records.warc.lz4", "invalid-warcreader-diagnosis-1.warc"} <= set(refused)
