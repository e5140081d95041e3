"""Mistakes at the command line: one message that says where, what is there and what would be right; exit 2; nothing is harmed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill.pipeline import cli

TEXT = "the mill and the river " * 12

RECIPE = """\
name: small
sources:
  web:
    read: {format: jsonl, paths: [a.jsonl]}
    stages:
      - gopher_quality: {min_words: 50, min_stop_words: 1, min_word_length: 1}
stages:
  - exact
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The current folder: a recipe and its three documents, of 60, 60 and 5 words."""
    monkeypatch.chdir(tmp_path)
    rows = [{"text": TEXT}, {"text": TEXT + "again"}, {"text": "the mill and the river"}]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("r.yaml").write_text(RECIPE)
    return tmp_path


def state(folder: Path) -> dict[str, str]:
    """What is below a folder: files by their hash, folders and links by their kind."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = kind
    return found


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a command that must be refused and change nothing."""
    before = state(Path.cwd())
    assert cli.exit_status(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert state(Path.cwd()) == before
    return shown.err


def run(*more: str, recipe: str = "r.yaml", output: str = "out") -> list[str]:
    return ["run", recipe, "--output", output, "--workers", "0", *more]


def test_the_recipe_of_these_tests_is_fine(capsys):
    assert cli.exit_status(run()) == 0
    assert "2 of 3 records read are kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--limit", "0"], "--limit 0: reads nothing; give 1 or more documents of each source\n"),
        (["--limit", "-3"], "--limit -3: reads nothing; give 1 or more documents of each source\n"),
        (["--sample", "200%"], "--sample 200%: should be a share of the documents, e.g. 1% or 0.01\n"),
        (["--work", "a.jsonl"], "a.jsonl: is a file; choose a folder with --work\n"),
        (["--work", ""], "--work: names no folder; give one, or leave the flag out\n"),
        (
            ["--scheduler", "tcp://127.0.0.1:1"],
            "--scheduler and --workers: a running scheduler has workers of its own; give one of the two\n",
        ),
        (["--cluster", "r.yaml"], "--cluster and --workers 0: a cluster has workers; leave one of the two out\n"),
        (["--input", "b.jsonl"], "b.jsonl does not exist; give a file, a folder, or a pattern such as crawl/*.warc.gz\n"),
        (["--input", "none"], "none is an empty folder; give a folder with jsonl files, or a pattern such as none/*\n"),
        (["--input="], "--input : names no path; write --input web=PATH\n"),
        (
            ["--set", "sources.web.read.text_column=body"],
            "a.jsonl has no body in its first 3 lines; it has text. Set text_column to one of them\n",
        ),
        (
            ["--set", "gopher_quality.min_words=-1"],
            "--set gopher_quality.min_words=-1: is -1; should be greater than or equal to 0\n",
        ),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_anything_is_written(more, told, capsys):
    Path("none").mkdir()
    assert refused(run(*more), capsys).endswith(told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--workers", "-1"], "--workers -1: should be a number of processes; 0 works in this process, without any\n"),
        (
            ["--scheduler", "nonsense"],
            "--scheduler nonsense: should be the address of a running Dask scheduler, tcp://host:port\n",
        ),
        (["--output", ""], "--output: names no folder; give one, or leave the flag out\n"),
        (["--output", "a.jsonl"], "a.jsonl: is a file; choose a folder with --output\n"),
        (["--output", "."], ".: holds a.jsonl and 1 more but no run.json, so it is no run; choose another --output\n"),
    ],
)
def test_no_workers_no_scheduler_and_no_folder_are_refused(arguments, told, capsys):
    assert refused(["run", "r.yaml", *arguments], capsys) == told


@pytest.mark.parametrize("output", ["new/in/new", "old", "old/new"])
def test_a_refused_run_leaves_the_folders_as_they_were(output, capsys):
    Path("old").mkdir()
    refused(run("--input", "b.jsonl", output=output), capsys)


def test_a_stage_that_cannot_work_leaves_no_folder_behind(monkeypatch, capsys):
    from gristmill.stages.stage import StageUnavailable

    def broken(*_: object) -> None:
        raise StageUnavailable("the model is missing; gristmill models fetch lid.176")

    monkeypatch.setattr("gristmill.pipeline.runs.set_up_stages", broken)
    assert refused(run(output="new/in/new"), capsys) == "the model is missing; gristmill models fetch lid.176\n"


def test_somebody_elses_folder_called_work_is_no_run(capsys):
    Path("out/work").mkdir(parents=True)
    Path("out/work/thesis.txt").write_text("years")
    assert refused(run(), capsys) == "out: holds work but no run.json, so it is no run; choose another --output\n"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("name: small", "name: other"), "out holds a run of recipe small, this one is other; choose another --output\n"),
        (("web:", "net:"), "out holds a run of sources web, this one has net; choose another --output\n"),
    ],
)
def test_a_run_of_something_else_stays_as_it_is(changed, told, capsys):
    assert cli.exit_status(run()) == 0
    capsys.readouterr()
    Path("other.yaml").write_text(RECIPE.replace(*changed))
    assert refused(run(recipe="other.yaml"), capsys) == told


@pytest.mark.parametrize("content", ["{", "[]", '{"recipe": []}', '{"recipe": {"name": "small", "sources": null}}', "\x00"])
def test_damaged_facts_are_named_and_the_finished_steps_can_be_taken_over(content, capsys):
    assert cli.exit_status(run()) == 0
    Path("out/run.json").write_text(content)
    capsys.readouterr()
    told = refused(run(), capsys)
    assert told.startswith("out/run.json: cannot be read as the facts of a run (")
    assert "--work out/work takes over what is finished here" in told
    assert cli.exit_status(run("--work", "out/work", output="again")) == 0
    assert "reused=1" in capsys.readouterr().err


def test_a_file_is_read_once(capsys):
    Path("link.jsonl").symlink_to("a.jsonl")
    told = refused(run("--input", "a.jsonl", "link.jsonl"), capsys)
    assert told.endswith(
        "link.jsonl and " + str(Path("a.jsonl").absolute()) + " are one file; its records would be read twice: leave one out\n"
    )
    Path("two.yaml").write_text(
        "name: two\nsources:\n  a: {read: {format: jsonl, paths: a.jsonl}}\n  b: {read: {format: jsonl, paths: '*.jsonl'}}\n"
    )
    Path("link.jsonl").unlink()
    told = refused(run(recipe="two.yaml"), capsys)
    assert told.endswith("a.jsonl is read by source a and by source b; give each file to one source\n")


def test_the_mistakes_of_all_sources_are_told_at_once(capsys):
    Path("two.yaml").write_text(
        "name: two\nsources:\n  a: {read: {format: jsonl, paths: x.jsonl}}\n  b: {read: {format: text, paths: y}}\n"
    )
    told = refused(run(recipe="two.yaml"), capsys).splitlines()
    assert [line.split(" does not exist")[0] for line in told] == ["source a: x.jsonl", "source b: y"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name: x\nsources:\n\tweb: 1\n", "bad.yaml:3: is no valid YAML"),
        (b"", "bad.yaml: holds nothing; a recipe is a mapping with keys name, seed"),
        (b"- a\n", "bad.yaml: holds ['a']; a recipe is a mapping"),
        (b"\xff\xfe\x00", "bad.yaml: is no UTF-8 text (byte 0); save it as UTF-8"),
        (b"a: " + b"[" * 1200 + b"]" * 1200, "bad.yaml: nests mappings and lists deeper than can be read"),
        (b"name: x\n---\nname: y\n", "bad.yaml:2: is no valid YAML: expected a single document"),
        (b"name: x\n", "bad.yaml:1: sources: is missing"),
    ],
)
def test_an_unreadable_recipe_is_told_with_its_line(content, told, capsys):
    Path("bad.yaml").write_bytes(content)
    assert refused(["recipe", "check", "bad.yaml"], capsys).startswith(told)
    assert refused(run(recipe="bad.yaml"), capsys).startswith(told)


def test_a_recipe_saved_on_windows_is_a_recipe(capsys):
    Path("r.yaml").write_bytes(b"\xef\xbb\xbf" + RECIPE.replace("\n", "\r\n").encode())
    assert cli.exit_status(["recipe", "check", "r.yaml"]) == 0


@pytest.mark.parametrize("kind", [":x", "os:", "json:JSONDecoder", "no_such_module_here:X", "..:x"])
def test_a_stage_of_ones_own_that_is_none_is_told(kind, capsys):
    Path("r.yaml").write_text(RECIPE.replace("exact", f"'{kind}'"))
    assert f"r.yaml:8: stages[0]: stage {kind} cannot be used: " in refused(["recipe", "check", "r.yaml"], capsys)
    assert f"stage {kind} cannot be used: " in refused(["stage", kind, "a.jsonl", "out"], capsys)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("min_words: .nan", "min_words: is nan; should be a finite number"),
        ("min_words_with_a_letter: .nan", "min_words_with_a_letter: is nan; should be"),
        ("min_words_with_a_letter: 1.5", "min_words_with_a_letter: is 1.5; should be less than or equal to 1"),
        ("min_words_with_a_letter: -0.1", "min_words_with_a_letter: is -0.1; should be greater than or equal to 0"),
        ("min_words: many", "min_words: is 'many'; should be a valid integer"),
        (
            "min_words: 500, max_words: 50",
            "no document can pass both too_few_words (word_count 500 or more) and too_many_words (word_count 50 or less); move",
        ),
    ],
)
def test_a_threshold_out_of_range_is_told(settings, told, capsys):
    Path("r.yaml").write_text(RECIPE.replace("min_words: 50", settings))
    message = refused(["recipe", "check", "r.yaml"], capsys)
    assert message.startswith("r.yaml:6: sources.web.stages[0]")
    assert told in message


def test_equal_thresholds_leave_something_to_keep(capsys):
    Path("r.yaml").write_text(RECIPE.replace("min_words: 50", "min_words: 50, max_words: 50"))
    assert cli.exit_status(["recipe", "check", "r.yaml"]) == 0


@pytest.fixture
def open_folder(here, monkeypatch) -> Iterator[Path]:
    """The current folder, where a user without rights may enter it."""
    with tempfile.TemporaryDirectory(prefix="gristmill-test-") as name:
        folder = Path(name)
        shutil.copytree(here, folder, dirs_exist_ok=True)
        folder.chmod(0o777)
        monkeypatch.chdir(folder)
        yield folder
        monkeypatch.chdir(here)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a system with users")
def test_what_may_not_be_written_or_read_is_told(open_folder):
    """By a user without rights, also where the tests are root's."""
    Path("closed").mkdir(mode=0o555)
    Path("secret.jsonl").write_text('{"text": "a"}\n')
    Path("secret.jsonl").chmod(0)
    cases = [
        (run(output="closed/out"), "permission denied; check its permissions, or choose another place\n"),
        (run(output="closed"), "closed: may not be written by this user; change its permissions or choose another --output\n"),
        (
            run("--input", "secret.jsonl"),
            "secret.jsonl may not be read by this user; change its permissions or give another path\n",
        ),
        (["recipe", "check", "secret.yaml"], "secret.yaml: may not be read by this user; check its permissions\n"),
    ]
    Path("secret.yaml").write_text(RECIPE)
    Path("secret.yaml").chmod(0)
    before = sorted(path.name for path in Path().iterdir())
    script = (
        "import contextlib, io, json, os, sys\n"
        "from gristmill.pipeline import cli\n"
        # whatever is imported on the way, Python itself too, may lie where that user may not read
        # (twice, since what is loaded late can change where the second run looks)
        "for _ in range(2):\n    cli.exit_status(['run', 'r.yaml', '--output', 'first', '--workers', '0'])\n"
        "print()\n"
        "if os.geteuid() == 0:\n    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    told = io.StringIO()\n"
        "    with contextlib.redirect_stderr(told):\n"
        "        status = cli.exit_status(arguments)\n"
        "    print(json.dumps([status, told.getvalue()]))\n"
    )
    command = [sys.executable, "-c", script, json.dumps([arguments for arguments, _ in cases])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert [status for status, _ in found] == [2, 2, 2, 2], done.stderr
    for (_, told), (_, message) in zip(cases, found, strict=True):
        assert message.endswith(told)
        assert "Traceback" not in message
    assert sorted(path.name for path in Path().iterdir() if path.name != "first") == before


@pytest.mark.parametrize("name", ["with space\nand break", "日本 %20 'a[1]'"])
def test_any_name_is_a_good_name_for_files_and_folders(name, capsys):
    Path(f"./{name}").mkdir()
    Path("a.jsonl").rename(f"./{name}/a.jsonl")
    output = f"./{name}/out"
    assert cli.exit_status(run("--input", f"./{name}/a.jsonl", output=output)) == 0
    assert cli.exit_status(["funnel", output, "--json"]) == 0
    assert cli.exit_status(run("--input", f"./{name}/a.jsonl", output=str(Path(output).absolute()))) == 0
