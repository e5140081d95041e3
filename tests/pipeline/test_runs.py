"""Runs: from Python, again from their facts, beside each other, and when they end before their time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gristmill.pipeline
import gristmill.stages
from gristmill.pipeline import run_folder, runs
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.published import PublishedRun
from gristmill.pipeline.recipe import load_recipe, recipe_from_resolved
from gristmill.pipeline.run_folder import FUNNEL, NEXT, RUN, clean
from gristmill.stages.registry import STAGES

WORDS = ["the mill", "and the river", "of wheat", "to market", "that have grain"]
TEXTS = [" ".join(WORDS[number % 5 :] * (1 + number)) for number in range(12)]

RECIPE = {
    "name": "small",
    "sources": {
        "web": {
            "read": {"format": "jsonl", "paths": ["a.jsonl"]},
            "stages": [{"gopher_quality": {"min_words": 20, "min_word_length": 1}}],
        }
    },
    "stages": ["exact"],
    "tokenize": {"train": {"vocab_size": 280}},
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))


def run(*sets: str, **how: object) -> runs.RunResult:
    return gristmill.pipeline.run(RECIPE, set=sets, **{"output": "out", "workers": 0, "quiet": True} | how)


def published(folder: str = "out") -> dict[str, bytes]:
    """All that a run published, byte for byte."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in ("work", "lock.json", RUN)
    }


def facts(folder: str = "out") -> dict:
    return json.loads((Path(folder) / RUN).read_text())


def listed(folder: str = "out") -> set[str]:
    """Files in the folders of a run that hold what it published."""
    return {name for name in published(folder) if "/" in name}


def test_what_the_library_offers_loads_nothing_by_itself():
    script = (
        "import sys, gristmill.pipeline, gristmill.stages\n"
        "print([name for name in ('pyarrow', 'dask', 'numpy', 'pydantic') if name in sys.modules])\n"
        "from gristmill.pipeline import run\nimport gristmill.pipeline.runs\n"
        "print(gristmill.pipeline.run is run is gristmill.pipeline.runs.run)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True"]


def test_every_stage_of_the_registry_is_offered():
    for name, target in STAGES.items():
        assert getattr(gristmill.stages, target.partition(":")[2]).kind == name
        assert target.partition(":")[2] in dir(gristmill.stages)
    for name in gristmill.pipeline.__all__:
        assert getattr(gristmill.pipeline, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute Nothing"):
        _ = gristmill.stages.Nothing


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_filter_judges_a_table_of_texts(kind):
    table = pa.table({"text": pa.array(["one two", "one two three"], kind), "more": [1, 2]})
    verdict = gristmill.stages.GopherQuality(min_words=3, min_stop_words=0, min_word_length=1).judge(table)
    assert verdict.first_failed_rule == ["too_few_words", None]
    addresses = pa.table({"text": ["", ""], "url": ["http://bad.example/", None]})
    assert gristmill.stages.UrlFilter(domains=("bad.example",)).judge(addresses).kept.tolist() == [False, True]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (pa.table({"body": ["a"]}), "the table has no column text; it has body"),
        (pa.table({"text": ["a", None]}), "column text has 1 nulls; a document without text has the empty string"),
        (pa.table({"text": [["a"]]}), r"column text \(of type list<.*>\) does not hold large_string"),
    ],
)
def test_a_table_without_texts_is_refused(table, told):
    with pytest.raises(ValueError, match=told):
        gristmill.stages.GopherQuality().judge(table)


def test_a_recipe_may_be_a_mapping_a_file_a_name_or_a_recipe():
    from ruamel.yaml import YAML

    with Path("r.yaml").open("w") as file:
        YAML(typ="safe").dump(RECIPE, file)
    forms = [RECIPE, "r.yaml", Path("r.yaml"), load_recipe("r.yaml"), recipe_from_resolved(RECIPE)]
    for number, form in enumerate(forms):
        gristmill.pipeline.run(form, output=f"out{number}", workers=0, quiet=True)
        assert published(f"out{number}") == published("out0")
    changed = gristmill.pipeline.run(
        load_recipe("r.yaml"), input=["./a.jsonl"], set=["gopher_quality.min_words=21"], output="changed", workers=0, quiet=True
    )
    fresh = run("gopher_quality.min_words=21", output="fresh")
    assert changed.funnel == fresh.funnel
    own = {**RECIPE, "stages": [gristmill.stages.Exact()]}
    assert gristmill.pipeline.run(own, set=["exact.name=same"], workers=0, quiet=True).folder == "out/small"
    with pytest.raises(UserError, match=r"demo.yaml: source web names no paths; give --input PATH"):
        gristmill.pipeline.run("demo", workers=0, quiet=True)
    with pytest.raises(UserError, match=r"^a recipe is a name, a file, a mapping or a Recipe, not 3$"):
        gristmill.pipeline.run(3, workers=0, quiet=True)


def test_the_facts_of_a_run_are_enough_to_run_it_again():
    run("gopher_quality.min_words=21", "seed=5")
    again = recipe_from_resolved(facts()["recipe"])
    gristmill.pipeline.run(again, output="again", workers=0, quiet=True)
    assert published("again") == published("out")
    assert {**facts("again"), "inputs": 0} == {**facts("out"), "inputs": 0}
    assert facts()["started_in"] == str(Path.cwd())


def test_published_folders_hold_what_the_facts_list_and_nothing_else():
    run()
    assert listed() == set(facts()["final"])
    assert any(name.startswith("shards/") for name in listed())
    for name, one in facts()["final"].items():
        assert (Path("out") / name).stat().st_size == one["size"]
    Path("out/documents/web/stray.parquet").write_text("stray")
    run("output.signals=false")
    assert listed() == set(facts()["final"])
    assert not Path("out/signals").exists()
    assert not Path("out", NEXT).exists()


@pytest.mark.parametrize("gone", ["documents", "shards", "index", FUNNEL, "report.html", "removed", "work"])
def test_what_a_user_deleted_is_there_again_after_the_same_command(gone):
    run()
    before = published()
    os.system(f"rm -r out/{gone}")
    result = run()
    assert published() == before
    assert bool(result.computed) == (gone == "work")


@pytest.mark.parametrize("status", ["done", "stopped"])
def test_a_run_that_fails_leaves_what_was_published(status, monkeypatch):
    if status == "done":
        run()
    before, known = published() if status == "done" else {}, facts() if status == "done" else None
    with pytest.raises(UserError, match="no document is left to train a tokenizer on"):
        run("gopher_quality.min_words=99999")
    if status == "done":
        assert (published(), facts()) == (before, known)
    else:
        assert facts()["status"] == "stopped"
        assert listed() == set()
    run("gopher_quality.min_words=19")
    assert facts()["status"] == "done"


@pytest.mark.parametrize("place_of_failure", ["place", "write_report"])
def test_a_publication_that_finds_no_space_leaves_the_last_one_whole(place_of_failure, monkeypatch):
    run()
    before, known = published(), facts()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "out")

    with monkeypatch.context() as patch:
        if place_of_failure == "place":
            patch.setattr(run_folder, "place", full)
        else:
            patch.setattr("gristmill.pipeline.report.write_report", full)
        with pytest.raises(OSError, match="No space left"):
            run("gopher_quality.min_words=30")
        assert (published(), facts()) == (before, known)
        with pytest.raises(OSError, match="No space left"):
            run(output="fresh")
        assert facts("fresh")["status"] == "stopped"
        assert listed("fresh") == set()
    run(output="fresh")
    assert published("fresh") == before


def kill_at(number: int, min_words: int) -> None:
    """Carry out the run in a process of its own, which dies at the given renaming of its publication."""
    script = (
        "import os, json, signal, sys\n"
        "import gristmill.pipeline\nfrom gristmill.pipeline import run_folder\n"
        f"left = [{number}]\n"
        "def dying(function):\n"
        "    def step(*arguments, **more):\n"
        "        if left[0] == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        left[0] -= 1\n"
        "        return function(*arguments, **more)\n"
        "    return step\n"
        "real = run_folder.publish\n"
        "def publish(*arguments):\n"
        "    os.replace = dying(os.replace)\n"
        "    real(*arguments)\n"
        "import gristmill.pipeline.runs as runs\n"
        "runs.publish = publish\n"
        f"gristmill.pipeline.run(json.loads(sys.argv[1]), set=['gopher_quality.min_words={min_words}'],"
        " output='out', workers=0, quiet=True)"
    )
    done = subprocess.run([sys.executable, "-c", script, json.dumps(RECIPE)], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("number", [0, 2, 3, 4, 9])
def test_a_run_killed_while_it_publishes_is_completed_by_the_same_command(number):
    run()
    before, known = published(), facts()
    kill_at(number, 30)
    if number <= 3:  # funnel, facts and report of the next outcome; then the facts say that it is being published
        assert facts() == known
        left = {name: data for name, data in published().items() if not name.startswith((f"{NEXT}/", f"{RUN}."))}
        assert left == before
    else:
        assert facts()["status"] == "publishing"
        assert "final" not in facts()
        with pytest.raises(UserError, match="a run is being published there, or was stopped while it was; give the same"):
            _ = PublishedRun("out").funnel
    again = run("gopher_quality.min_words=30")
    assert again.computed == {}
    run("gopher_quality.min_words=30", output="fresh")
    assert published() == published("fresh")
    assert (facts()["status"], listed()) == ("done", set(facts()["final"]))


def test_a_second_command_on_a_live_run_is_refused_and_the_first_goes_on():
    stage = (
        "import time\nfrom pathlib import Path\nfrom gristmill.stages.filter import Filter, Rule\n"
        "class Slow(Filter):\n"
        "    def rules(self):\n        yield Rule('short', 'own', at_least=1)\n"
        "    def measure(self, batch):\n"
        "        import numpy as np\n"
        "        while len(batch) > 1 and not Path('go').exists():\n            time.sleep(0.05)\n"
        "        return {'own': np.ones(len(batch))}\n"
    )
    Path("slow_stage_of_the_runs.py").write_text(stage)
    recipe = {**RECIPE, "sources": {"web": {**RECIPE["sources"]["web"], "stages": ["slow_stage_of_the_runs:Slow"]}}}
    script = (
        "import json, sys; import gristmill.pipeline; sys.path.insert(0, '.')\n"
        "gristmill.pipeline.run(json.loads(sys.argv[1]), output='out', workers=0, quiet=True)"
    )
    first = subprocess.Popen([sys.executable, "-c", script, json.dumps(recipe)])
    try:
        while not (Path("out") / RUN).exists() and first.poll() is None:
            time.sleep(0.05)
        before = (Path("out") / RUN).read_bytes()
        for command in (run, lambda: clean("out")):
            with pytest.raises(UserError, match=rf"another command works on this run .process {first.pid}"):
                command()
        assert (Path("out") / RUN).read_bytes() == before
        with pytest.raises(UserError, match=r"has published nothing yet .status: running"):
            _ = PublishedRun("out").funnel
        Path("go").touch()
        assert first.wait(timeout=120) == 0
    finally:
        first.kill()
    assert facts()["status"] == "done"
    assert not Path("out/lock.json").exists()


def test_a_stopped_run_may_go_on_with_other_settings():
    with pytest.raises(UserError):
        run("gopher_quality.min_words=99999")
    result = run()
    assert result.reused["read web, gopher_quality"] == 0
    run(output="fresh")
    assert published() == published("fresh")


def test_nothing_to_read_ends_well_and_is_told():
    Path("a.jsonl").write_text("")
    result = run("tokenize=null")
    assert result.funnel["rows"][0]["in"] == 0
    assert result.doubts == ["source web: read as jsonl, its files hold no records"]
    Path("a.jsonl").write_text('{"text": 1}\n' * 3)
    assert run("tokenize=null").doubts == [
        "source web: read as jsonl, all 3 records are removed (no_text_field 3); are its read settings right?"
    ]


def test_what_a_run_published_is_no_input_of_its_next_time():
    Path("in").mkdir()
    pq.write_table(pa.table({"id": ["a", "b"], "text": TEXTS[-2:]}), "in/d.parquet")
    recipe = {"name": "tables", "sources": {"web": {"read": {"format": "parquet", "paths": ["in"], "id": "column"}}}}
    for _ in range(2):
        result = gristmill.pipeline.run(recipe, output="in/out", workers=0, quiet=True)
        assert result.funnel["rows"][0]["in"] == 2
    assert [one["file"] for one in facts("in/out")["inputs"]] == ["d.parquet"]
    with pytest.raises(UserError, match=r"^in/out: lies in the run folder in/out, which this run would replace; choose another"):
        gristmill.pipeline.run(recipe, input=["in/out"], output="in/out", workers=0, quiet=True)
    for paths in (["in"], ["in/out"]):
        with pytest.raises(
            UserError, match=r"belongs to the run in .*/in/out and holds none of its documents; give .*/documents"
        ):
            gristmill.pipeline.run(recipe, input=paths, output="other", workers=0, quiet=True)
    result = gristmill.pipeline.run(recipe, input=["in/out/documents"], output="other", workers=0, quiet=True)
    assert result.funnel["rows"][0]["in"] == 2


def test_cleaning_frees_the_finished_steps_and_keeps_what_is_published():
    run()
    before = published()
    sizes = {path: path.stat() for path in Path("out/work").rglob("*") if path.is_file()}
    assert clean("out") == sum(one.st_size for one in sizes.values() if one.st_nlink == 1)
    assert not Path("out/work").exists()
    assert published() == before
    assert clean("out") == 0
    for name in ("nothing", "a.jsonl", ""):
        with pytest.raises(UserError, match=r"holds no run.json, so it is no run; give a folder that gristmill run wrote"):
            clean(name)
