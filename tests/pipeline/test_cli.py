"""The command line: what is printed where, and with which exit status a command ends."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline import cli, display
from gristmill.pipeline.cli_shared import print_table, share
from gristmill.pipeline.errors import GuardrailStop, UserError
from gristmill.pipeline.recipe_errors import nearest_first
from gristmill.pipeline.recipe_file import shipped_recipes
from gristmill.stages.registry import STAGES
from gristmill.stages.stage import StageUnavailable

COMMANDS = [
    "run",
    "plan",
    "clean",
    "funnel",
    "why",
    "sample",
    "train",
    "demo-crawl",
    "recipe list",
    "recipe show",
    "recipe check",
    "tokenizer train",
    "models list",
    "models fetch",
]

OWN_STAGE = '''
from typing import ClassVar
from gristmill.stages.filter import Filter, Rule

class LongEnough(Filter):
    """Drop short documents."""

    least: int = 3
    """Fewest words."""

    def rules(self):
        yield Rule("too_short", "own_words", at_least=self.least)

    def measure(self, batch):
        import numpy as np
        return {"own_words": np.array([len(text.split()) for text in batch.table["text"].to_pylist()], dtype=np.float64)}
'''


@pytest.fixture
def jsonl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three documents of 1, 3 and 5 words, in the current folder, beside a stage of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_stages_of_the_cli.py").write_text(OWN_STAGE)
    texts = ["one", "one two three", "one two three four five"]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return "in.jsonl"


@pytest.mark.parametrize("arguments", [["--help"], [], ["--version"], ["run", "--help"], ["stage", "url_filter", "--help"]])
def test_help_loads_neither_arrow_nor_dask_nor_torch(arguments):
    script = (
        "import sys\nfrom gristmill.pipeline.cli import exit_status\n"
        f"status = exit_status({arguments!r})\n"
        "heavy = ['numpy', 'pyarrow', 'dask', 'distributed', 'torch', 'numba', 'fsspec', 'trafilatura', 'scipy', 'tokenizers']\n"
        "print(status, [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_explained_with_an_example(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.exit_status([*command.split(), "--help"]) == 0
    shown = capsys.readouterr()
    assert f"Example: gristmill {command}" in shown.out
    assert shown.err == ""


def test_the_stages_are_listed_and_each_shows_its_settings_as_flags(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.exit_status(["stage", "--help"]) == 0
    listed = capsys.readouterr().out
    for name in ("url_filter", "extract", "language", "gopher_quality", "gopher_repetition", "exact", "minhash"):
        assert f"│ {name} " in listed
    assert cli.exit_status(["stage", "gopher_quality", "--help"]) == 0
    flags = capsys.readouterr().out
    assert "--min-words INT" in flags
    assert "Fewest words a kept document has." in flags


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], 'Command "run" parameter RECIPE requires an argument.\nSee: gristmill run --help\n'),
        (["run", "demo", "--limt", "3"], "Unknown option: --limt. Did you mean --limit?\nSee: gristmill run --help\n"),
        (
            ["recipe", "shw"],
            'Unknown command "shw". Did you mean "show"? Available commands: list, show, check.\nSee: gristmill recipe --help\n',
        ),
        (["run", "demo"], "demo.yaml: source web names no paths; give --input PATH..., or set read.paths\n"),
        (["run", "demo", "--input", "x", "--sample", "0%"], "--sample 0%: should be a share of the documents, e.g. 1% or 0.01\n"),
        (
            ["stage", "gopher", "a", "b"],
            f"unknown stage gopher; stages are {nearest_first('gopher', STAGES)}, or module:Class of your own\n",
        ),
        (
            ["stage", "language", "a", "b", "--keep.en", "1.5"],
            "--keep.en: is '1.5'; should be less than or equal to 1\nSee: gristmill stage language --help\n",
        ),
        (
            ["stage", "c4", "a", "b", "--bad-words", "words.csv"],
            "bad_words: words.csv: a list of words ends in .txt, .txt.gz, .jsonl or .jsonl.gz, or is one that can be fetched, "
            "e.g. ldnoobw:en\nSee: gristmill stage c4 --help\n",
        ),
        (
            ["stage", "language", "a", "b", "--keep", "{en: 0.5, de"],
            "Invalid value for --keep: JSONDecodeError: {en: 0.5, de ^ Expecting property name enclosed in double quotes: line "
            "1 column 2 (char 1)\nSee: gristmill stage language --help\n",
        ),
        (
            ["recipe", "show", "dmo"],
            f"dmo: no shipped recipe and no file; shipped are {nearest_first('dmo', shipped_recipes())}; a file ends in .yaml\n",
        ),
        (
            ["tokenizer", "train", "x", "--output", "y", "--sample-bytes", "much"],
            "--sample-bytes much: should be a size such as 100MB, 64MiB or a number of bytes\n",
        ),
        (["models", "fetch", "lid.177"], "lid.177: no such model; there is lid.176, lid.176.bin, glotlid\n"),
    ],
)
def test_the_users_mistake_is_one_message_and_exit_status_2(arguments, told, capsys):
    assert cli.exit_status(arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", told)


def test_all_mistakes_of_a_recipe_are_told(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("name: a\nsources: {w: {read: {format: text, paths: x}}}\nseed: x\nsed: 1\n")
    assert cli.exit_status(["recipe", "check", str(tmp_path / "bad.yaml")]) == 2
    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == ["seed", "sed"]


@pytest.mark.parametrize(
    ("raised", "status", "told"),
    [
        (UserError("out holds a run of books"), 2, "out holds a run of books\n"),
        (StageUnavailable("no model; gristmill models fetch lid.176"), 2, "no model; gristmill models fetch lid.176\n"),
        (GuardrailStop("minhash removed 99%"), 3, "minhash removed 99%\n"),
        (KeyboardInterrupt(), 130, "stopped; give the same command again to go on from what is finished\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/x"),
            2,
            "out/x: no space left on device; free some space or choose another place, and give the same command again: what is "
            "finished is kept\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "out"),
            2,
            "out: permission denied; check its permissions, or choose another place\n",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "x.warc"),
            2,
            "x.warc: no such file or directory; check the path\n",
        ),
        (FileNotFoundError("x: nothing is there"), 2, "x: nothing is there\n"),
    ],
)
def test_how_a_run_ends_is_its_exit_status(raised, status, told, monkeypatch, capsys):
    def run(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("gristmill.pipeline.runs.run", run)
    assert cli.exit_status(["run", "demo", "--input", "x.warc.gz"]) == status
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("raised", [ValueError("a bug"), OSError(errno.EIO, "Input/output error")])
def test_anything_else_keeps_its_traceback(raised, monkeypatch):
    def run(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("gristmill.pipeline.runs.run", run)
    with pytest.raises(type(raised)):
        cli.exit_status(["run", "demo", "--input", "x.warc.gz"])


def test_run_is_given_what_the_flags_say(monkeypatch):
    given = {}

    def run(recipe: object, **how: object) -> None:
        given.update(how, recipe=recipe)
        raise GuardrailStop

    monkeypatch.setattr("gristmill.pipeline.runs.run", run)
    changed = ["--input", "a.warc.gz", "b.warc.gz", "--set", "seed=4", "language.keep={de: 0.5}"]
    how = ["--sample", "1%", "--limit", "9", "--workers", "2", "--work", "w", "--verify", "--keep-going"]
    assert cli.exit_status(["run", "demo", *changed, *how]) == 3
    recipe = given.pop("recipe")
    assert recipe.sources["web"].read.paths == ["a.warc.gz", "b.warc.gz"]
    assert (recipe.seed, recipe.sources["web"].stages[2].keep) == (4, {"de": 0.5})
    assert given == {
        "output": "out/demo",
        "workers": 2,
        "scheduler": None,
        "cluster": None,
        "work": "w",
        "limit": 9,
        "sample": 0.01,
        "verify": True,
        "keep_going": True,
    }


def test_a_stage_runs_alone_and_its_funnel_goes_to_stdout(jsonl, capsys):
    stage = "own_stages_of_the_cli:LongEnough"
    assert cli.exit_status(["stage", stage, jsonl, "out", "--least", "4", "--workers", "0"]) == 0
    assert "too_short 2" in capsys.readouterr().out
    assert cli.exit_status(["funnel", "out", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["stage"], row["in"], row["kept"], row["rules"]) for row in rows] == [
        ("read", 3, 3, {}),
        ("long_enough", 3, 1, {"too_short": 2}),
    ]
    assert cli.exit_status(["sample", "out", "--rule", "too_short", "--json"]) == 0
    removed = sorted((row["value"], row["id"]) for row in json.loads(capsys.readouterr().out))
    assert [value for value, _ in removed] == [1.0, 3.0]
    assert cli.exit_status(["why", "out", removed[0][1], "--json"]) == 0
    (fate,) = json.loads(capsys.readouterr().out)
    assert (fate["outcome"], fate["stage"], fate["rule"], fate["threshold"]) == ("removed", "long_enough", "too_short", 4.0)


@pytest.mark.parametrize("given", [["--per-language", "{en: {min_words: 1}}"], ["--per-language={en: {min_words: 1}}"]])
def test_a_mapping_is_given_as_the_help_writes_it(given, jsonl, capsys):
    Path("english.jsonl").write_text('{"text": "with that tree", "language": "en"}\n{"text": "with that tree"}\n')
    assert cli.exit_status(["stage", "gopher_quality", "english.jsonl", "out", *given]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[:4] == ["gopher_quality", "2", "1", "1"]


def test_a_stage_that_needs_text_is_refused_over_pages(jsonl, capsys):
    Path("in.warc.gz").write_bytes(b"")
    assert cli.exit_status(["stage", "gopher_quality", "in.warc.gz", "out", "--workers", "0"]) == 2
    assert capsys.readouterr().err == (
        "in.warc.gz: gopher_quality needs text, and warc documents have none yet; put extract before it\n"
    )


def test_a_recipe_runs_and_can_be_looked_into(jsonl, capsys):
    Path("mine.yaml").write_text(
        "name: mine\nsources:\n  w:\n    read: {format: jsonl}\n    stages: ['own_stages_of_the_cli:LongEnough']\n"
    )
    assert cli.exit_status(["run", "mine.yaml", "--input", jsonl, "--output", "out", "--workers", "0"]) == 0
    shown = capsys.readouterr()
    assert "long_enough" in shown.out
    assert "gristmill why out ID_OR_URL" in shown.err
    assert pq.read_table("out/documents")["text"].to_pylist() == ["one two three", "one two three four five"]
    assert cli.exit_status(["plan", "mine.yaml", "--input", jsonl, "--output", "out", "--json"]) == 0
    assert [step["step"] for step in json.loads(capsys.readouterr().out)["steps"]][-1] == "publish"
    assert cli.exit_status(["clean", "out"]) == 0
    assert not os.path.exists("out/work")
    assert cli.exit_status(["run", "demo", "--input", "x.warc.gz", "--output", "out"]) == 2


def test_a_guardrail_stops_a_run_with_exit_status_3(jsonl, capsys):
    Path("mine.yaml").write_text(
        "name: mine\nsources:\n  w:\n    read: {format: jsonl, paths: in.jsonl}\n"
        "    stages: ['own_stages_of_the_cli:LongEnough': {least: 9}]\nguardrails: {from_documents: 1}\n"
    )
    command = ["run", "mine.yaml", "--output", "out", "--workers", "0"]
    assert cli.exit_status(command) == 3
    assert "long_enough removed 3 of 3 documents of w" in capsys.readouterr().err
    assert cli.exit_status([*command, "--keep-going"]) == 0


def test_recipes_are_listed_shown_and_checked(capsys):
    assert cli.exit_status(["recipe", "list", "--json"]) == 0
    assert [row["recipe"] for row in json.loads(capsys.readouterr().out)] == shipped_recipes()
    assert cli.exit_status(["recipe", "show", "demo"]) == 0
    assert capsys.readouterr().out.startswith("# A small web corpus from the demo crawl")
    assert cli.exit_status(["recipe", "show", "demo", "--set", "seed=7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 7
    assert cli.exit_status(["recipe", "show", "demo", "--set", "seed=7"]) == 0
    assert "seed: 7\n" in capsys.readouterr().out
    assert cli.exit_status(["recipe", "check", "demo"]) == 0
    assert capsys.readouterr().out == (
        "demo: no mistakes\n"
        "  web: url_filter, extract, language, gopher_repetition, gopher_quality\n"
        "  all sources: exact, minhash, tokenize\n"
    )


def test_a_tokenizer_is_trained_on_documents(tmp_path, capsys):
    texts = ["the mill grinds the grist", "the grist of the mill"] * 5
    pq.write_table(
        pa.table({"id": [str(n) for n in range(10)], "text": pa.array(texts, pa.large_string())}), tmp_path / "d.parquet"
    )
    output = str(tmp_path / "tokenizer.json")
    command = ["tokenizer", "train", str(tmp_path / "d.parquet"), "--output", output, "--vocab-size", "270", "--json"]
    assert cli.exit_status(command) == 0
    trained = json.loads(capsys.readouterr().out)
    assert (trained["output"], trained["documents"]) == (output, 10)
    assert cli.exit_status(["tokenizer", "train", str(tmp_path / "none"), "--output", output]) == 2


def test_models_are_listed(capsys):
    assert cli.exit_status(["models", "list", "--json"]) == 0
    assert [row["model"] for row in json.loads(capsys.readouterr().out)] == ["lid.176", "lid.176.bin", "glotlid"]


@pytest.mark.parametrize(("text", "value"), [(None, None), ("1%", 0.01), ("0.01", 0.01), ("100%", 1.0), ("1", 1.0)])
def test_a_share_is_percent_or_a_fraction(text, value):
    assert share(text) == value


@pytest.mark.parametrize("text", ["0", "101%", "1.1", "-1%", "some", "nan"])
def test_no_other_share_is_taken(text):
    with pytest.raises(UserError, match=f"^--sample {text}: should be a share"):
        share(text)


def test_a_table_puts_numbers_to_the_right(capsys):
    print_table([{"step": "read", "documents": 1234, "done": True}, {"step": "minhash", "documents": 7, "done": False}])
    assert capsys.readouterr().out == "step     documents  done\nread         1,234  yes\nminhash          7  no\n"


def test_what_stands_between_colons_is_no_emoji(capsys):
    display.stdout().print("ut1:adult: not fetched", markup=False)
    assert capsys.readouterr().out == "ut1:adult: not fetched\n"


def test_a_reader_that_goes_away_is_no_error():
    script = "import sys; from gristmill.pipeline.cli import main; sys.argv = ['gristmill', 'recipe', 'show', 'demo']; main()"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", script], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
