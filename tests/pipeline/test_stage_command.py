"""`gristmill stage NAME IN OUT` on whatever it is pointed at."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline import cli

FILTER = ["--min-words", "3", "--min-stop-words", "0", "--min-word-length", "1"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("none").mkdir()
    Path("empty.jsonl").touch()
    Path("in/a.jsonl").write_text('{"id": "x", "text": "one two three"}\n{"id": "y", "text": "one"}\n')


def stage(*arguments: str) -> int:
    return cli.exit_status(["stage", *arguments, "--workers", "0"])


def kept(folder: str) -> list[str]:
    return pq.read_table(f"{folder}/documents")["id"].to_pylist()


def test_a_file_a_folder_and_a_run_folder_are_read(capsys):
    assert stage("gopher_quality", "in/a.jsonl", "one", *FILTER) == 0
    assert stage("gopher_quality", "in", "two", *FILTER, "--id-column", "id") == 0
    assert stage("exact", "two", "three") == 0
    assert (kept("one"), kept("two"), kept("three")) == (["input/a.jsonl#0"], ["x"], ["x"])
    capsys.readouterr()
    assert cli.exit_status(["funnel", "three", "--json"]) == 0
    assert [(row["stage"], row["in"]) for row in json.loads(capsys.readouterr().out)["rows"]] == [("read", 1), ("exact", 1)]


def test_a_name_that_tells_no_format_is_read_with_one(capsys):
    Path("in/a.jsonl").rename("documents.data")
    assert stage("gopher_quality", "documents.data", "out", *FILTER) == 2
    assert capsys.readouterr().err == (
        "documents.data: no file in a format that the name tells (.parquet, .jsonl, .warc.gz, .wet.gz, .txt); give --format\n"
    )
    assert stage("gopher_quality", "documents.data", "out", *FILTER, "--format", "jsonl") == 0
    assert kept("out") == ["input/documents.data#0"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["exact", "nothing", "out"], "nothing does not exist; give a file, a folder of documents or a run folder\n"),
        (["exact", "", "out"], "INPUT does not exist; give a file, a folder of documents or a run folder\n"),
        (["exact", "none", "out"], "none: no file in a format that the name tells"),
        (["exact", "in", "in"], "in: holds a.jsonl but no run.json, so it is no run; choose another --output\n"),
        (["exact", "in", "in/a.jsonl"], "in/a.jsonl: is a file; choose a folder with --output\n"),
        (["exact", "in", "out", "--name", "../x"], "--name ../x: names a folder; use letters, digits, - and _ only\n"),
        (["extract", "in", "out"], "in: extract needs pages, and jsonl documents carry text already; remove it\n"),
        (["exact", "in", "out", "--format", "parquet"], "in holds 1 files, none of which ends in .parquet"),
        (["exact", "in/a.jsonl", "out", "--format", "parquet"], "is no whole Parquet file"),
        (["exact", "in", "out", "--text-column", "body"], "has no body in its first 2 lines; it has id, text. Set text_column"),
        (["exact", "in", "out", "--id-column", "key"], "has no key in its first 2 lines; it has id, text. Set id_column"),
        (["gopher_quality", "in", "out", "--min-words", "9", "--max-words", "3"], "no document can pass both too_few_words"),
        (
            ["minhash", "in", "out", "--bands", "0"],
            "--bands: is '0'; should be greater than 0\nSee: gristmill stage minhash --help\n",
        ),
        (["exact", "in"], "parameter OUTPUT requires an argument.\nSee: gristmill stage exact --help\n"),
        (
            ["minhash", "in"],
            "the folder to write is missing: gristmill stage minhash INPUT OUTPUT, or --calibrate instead of it\n",
        ),
        (["domains", "in", "out"], "domains needs --model\nSee: gristmill stage domains --help\n"),
        (["importance", "in", "out"], "importance needs --weights\nSee: gristmill stage importance --help\n"),
        (["semantic", "in", "out"], "semantic: give embedding, a column such as meta.embedding, or model"),
        (["minhash", "in", "out", "more"], "Unused Tokens: ['more'].\nSee: gristmill stage minhash --help\n"),
    ],
)
def test_what_a_stage_cannot_work_on_is_told(arguments, told, capsys):
    assert stage(*arguments) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.out == ""
    assert sorted(path.name for path in Path().iterdir()) == ["empty.jsonl", "in", "none"]


def test_nothing_in_gives_nothing_out(capsys):
    assert stage("exact", "empty.jsonl", "out") == 0
    assert "source input: read as jsonl, its files hold no records\n" in capsys.readouterr().err
    assert kept("out") == []


def test_a_table_without_an_id_says_what_it_has(capsys):
    pq.write_table(pa.table({"text": ["a"], "key": ["x"]}), "in/d.parquet")
    assert stage("exact", "in/d.parquet", "out") == 2
    assert "has no column id; it has text, key. Set id_column: key" in capsys.readouterr().err


def test_another_stage_in_the_same_folder_is_refused(capsys):
    assert stage("exact", "in", "out") == 0
    assert stage("exact", "in", "out") == 0
    capsys.readouterr()
    assert stage("gopher_quality", "in", "out") == 2
    told = "out holds a run of recipe stage-exact, this one is stage-gopher_quality; choose another --output\n"
    assert capsys.readouterr().err == told


def test_a_value_that_fits_no_form_of_a_setting_is_told_once(capsys):
    assert stage("perplexity", "in", "out", "--model", "en.lm", "--buckets", "language") == 2
    assert capsys.readouterr().err == (
        "--buckets: is 'language'; should be 'corpus' or 'ccnet'; or is 'language'; should be a valid tuple; or is 'language'; "
        "should be a valid dictionary\nSee: gristmill stage perplexity --help\n"
    )
