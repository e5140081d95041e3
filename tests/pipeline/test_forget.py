"""Takedown: what is left is what a run over the input without the documents leaves, and nothing of them stays in the folder."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gristmill.pipeline
from gristmill.pipeline import runs
from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.forget import Forgetting, forget
from gristmill.pipeline.forgotten import FORGOTTEN, Forgotten
from gristmill.pipeline.inspect import why
from gristmill.pipeline.plan import plan
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.run_folder import clean
from gristmill.pipeline.storage import Storage
from tokenizers import Tokenizer

SECRET = "the heron of Wexcombe counted seven brass thimbles"
"""Stands in one document, and in nothing else."""
COMMON = ["the river that have grain to the mill and of the stones", "to market with the bread and that of wheat have been"]


def text_of(number: int) -> str:
    """A line that every second document has, and lines that only this one has."""
    own = " ".join(f"w{number}x{place}" for place in range(14))
    return "\n".join([COMMON[number % 2], own, *([SECRET] if number == 3 else []), f"write to miller{number}@mill.example"])


def write_inputs(without: tuple[str, ...] = ()) -> None:
    """Four files; documents d3 to d5 have copies. What is left out stands as blanks, so that all others keep their places."""
    rows = {f"d{number}": text_of(number) for number in range(20)}
    rows |= {"copy of d3": rows["d3"], "copy of d4": rows["d4"], "second copy of d3": rows["d3"], "near d5": rows["d5"] + " now"}
    rows["short"] = "the bread and the flour"
    Path("in").mkdir(exist_ok=True)
    for file in range(4):
        lines = []
        for identifier, text in list(rows.items())[7 * file : 7 * file + 7]:
            host = "blog.Private.example:80" if identifier in ("d6", "d10") else "mill.example"
            line = json.dumps({"id": identifier, "url": f"http://{host}/pages/{identifier.replace(' ', '-')}", "text": text})
            lines.append(" " * len(line) if identifier in without else line)
        Path(f"in/{file}.jsonl").write_text("\n".join(lines) + "\n")


RECIPE = {
    "name": "small",
    "sources": {
        "web": {
            "read": {"format": "jsonl", "id": "column", "paths": ["in/*.jsonl"]},
            "stages": ["pii", {"gopher_quality": {"min_words": 8, "min_word_length": 1}}],
        }
    },
    "stages": [
        {"exact": {"keep": "earliest"}},
        {"minhash": {"bands": 20, "rows": 2, "ngram": 2, "verify": 0.6, "keep": "earliest"}},
        {"lines": {"min_characters": 1}},
    ],
    "partition_bytes": 6000,
    "output": {"signals": True, "edits": True, "file_bytes": 2000},
    "ledger": {"text": "all"},
    "guardrails": {"enabled": False},
}

TOKENIZED = RECIPE | {"tokenize": {"train": {"vocab_size": 300}}}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs()


def run(output: str = "out", recipe: dict = RECIPE, **how: object) -> runs.RunResult:
    return gristmill.pipeline.run(recipe, output=output, workers=0, quiet=True, **how)


def taken_down(*ids: str, output: str = "out", **how: object) -> Forgetting:
    return forget(output, ids=ids, workers=0, quiet=True, **how)


def published(folder: str = "out") -> dict[str, bytes]:
    """All that tells of documents, byte for byte; run.json and the report also tell when and of which files."""
    others = ("work", "run.json", "report.html", FORGOTTEN, "lock.json")
    paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.relative_to(folder).parts[0] not in others}


def fresh(*without: str, recipe: dict = RECIPE) -> dict[str, bytes]:
    """What a run leaves over inputs without these documents; the inputs are put back."""
    times = {path: path.stat().st_mtime_ns for path in Path("in").iterdir()}
    write_inputs(without)
    run("fresh", recipe)
    write_inputs()
    for path, time in times.items():
        os.utime(path, ns=(time, time))
    return published("fresh")


def contents(*folders: str) -> str:
    """All bytes of all files, tables and token ids decoded, as one text."""
    tokenizer = Tokenizer.from_file("out/shards/tokenizer.json") if Path("out/shards/tokenizer.json").exists() else None
    found = []
    for path in sorted(path for folder in folders for path in Path(folder).rglob("*") if path.is_file()):
        found += [str(path), path.read_bytes().decode("utf-8", "replace")]
        if path.suffix not in (".parquet", ".arrow"):
            if tokenizer and path.suffix == ".bin":
                raw = path.read_bytes()
                found.append(tokenizer.decode(memoryview(raw[: len(raw) // 2 * 2]).cast("H").tolist()))
            continue
        table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()
        for column in table.columns:
            values = column.to_pylist()
            found.append(repr(values))
            for value in values:
                if tokenizer and isinstance(value, list) and all(isinstance(one, int) and one < 300 for one in value):
                    found.append(tokenizer.decode(value))
                elif tokenizer and isinstance(value, bytes) and len(value) % 2 == 0:
                    found.append(tokenizer.decode([one for one in memoryview(value).cast("H") if one < 300]))
    return "\n".join(found)


def rows(name: str, folder: str = "out") -> dict[str, dict]:
    tables = [pq.read_table(file).to_pylist() for file in sorted(Path(folder, name).rglob("*.parquet"))]
    return {row["id"]: row for table in tables for row in table}


def test_what_is_left_is_what_a_run_without_the_documents_leaves():
    run(recipe=TOKENIZED)
    before = rows("removed")
    assert before["copy of d3"]["kept_id"] == before["second copy of d3"]["kept_id"] == "d3"
    assert before["near d5"]["kept_id"] == "d5"
    done = taken_down("d3", "d5", "short", reason="asked for by letter")
    assert published() == fresh("d3", "d5", "short", recipe=TOKENIZED)
    assert done.counts == [
        {"source": "web", "outcome": "kept", "documents": 2},
        {"source": "web", "outcome": "removed at gopher_quality", "documents": 1},
    ]
    # one copy of d3 and the near copy of d5 are kept now, the other copy is a duplicate of the first
    assert (done.forgotten, done.kept_before, done.kept, done.back) == (3, 20, 20, 2)
    assert {"copy of d3", "near d5"} <= set(rows("documents"))
    assert rows("removed")["second copy of d3"]["kept_id"] == "copy of d3"
    facts = json.loads(Path("out/run.json").read_text())
    assert (facts["forgotten"], facts["status"]) == (3, "done")
    assert "documents forgotten" in Path("out/report.html").read_text()


def test_nothing_of_them_stays_in_the_folder():
    run(recipe=TOKENIZED)
    run(recipe=TOKENIZED, set=["gopher_quality.min_words=9"])  # leaves finished steps of its own
    before = contents("out")
    assert before.count(SECRET) > 5
    assert SECRET in contents("out/shards")
    assert any(SECRET in contents(str(path)) for path in Path("out/work/data").iterdir())
    taken_down("d3", "copy of d3", "second copy of d3", "d6")
    after = contents("out")
    assert SECRET not in after
    assert "thimbles" not in after
    assert "http://blog.Private.example:80/pages/d6" in before
    assert "pages/d6" not in after
    Path("out", FORGOTTEN).unlink()
    after = contents("out")
    assert [name for name in ("'d3'", '"d3"', "pages/d3", "copy of d3", "w3x1") if name in after] == []


def test_only_units_with_such_documents_are_read_again_and_all_that_is_left_is_used():
    first = run()
    reads = next(step for step in first.computed if step.startswith("read web"))
    units = first.computed[reads]
    assert units == 4
    os.remove("in/1.jsonl")  # holds none of them, so it need not be there
    taken_down("d3")
    facts = json.loads(Path("out/run.json").read_text())
    assert {one["file"] for one in facts["inputs"]} == {"0.jsonl", "1.jsonl", "2.jsonl", "3.jsonl"}
    steps = {path.stem: json.loads(path.read_text()) for path in Path("out/work/steps").rglob("*.json")}
    listed = {entry["file"] for manifest in steps.values() for entry in manifest["files"]}
    assert {str(path.relative_to("out/work")) for path in Path("out/work/data").rglob("*") if path.is_file()} == listed


def test_the_recipe_given_again_leaves_them_out_and_reuses_everything():
    run()
    taken_down("d3", "d5")
    after = published()
    again = run()
    assert again.computed == {}
    assert published() == after
    assert [row["finished"] for row in plan(recipe_from_resolved(RECIPE), output="out")][:1] == [4]
    run(set=["gopher_quality.min_words=2"])
    assert {"d3", "d5"}.isdisjoint({**rows("documents"), **rows("removed")})
    assert "short" in rows("documents")
    run("elsewhere")
    assert {"d3", "d5"} <= set(rows("documents", "elsewhere"))


def test_one_after_another_is_as_all_at_once():
    run()
    taken_down("d3")
    second = taken_down("d3", "copy of d3", "never was")
    assert (second.forgotten, second.already, second.unknown) == (1, 1, ["never was"])
    assert published() == fresh("d3", "copy of d3")
    third = taken_down("d3")
    assert (third.forgotten, third.already) == (0, 1)


def test_urls_and_domains_mean_what_lies_below_them():
    run()
    done = forget("out", domains=["Private.example"], url_prefixes=["http://mill.example/pages/d1"], dry_run=True)
    # d6, d10; d1 and d11 to d19, of which none is a duplicate
    assert sum(row["documents"] for row in done.counts) == 2 + 10
    assert not Path("out", FORGOTTEN).exists()
    with pytest.raises(UserError, match=r"no record has vate\.example"):
        forget("out", domains=["vate.example"])
    forget("out", domains=["private.example"], workers=0, quiet=True)
    assert published() == fresh("d6", "d10")


def test_what_cannot_be_is_said_and_nothing_is_changed(capsys):
    run()
    before = contents("out")
    Path("ids.txt").write_text("\n\n")
    for arguments, said in [
        (["out"], "what shall be forgotten"),
        (["out", "--id", "d77", "d78"], "no record has d77, d78"),
        (["out", "--url-prefix", "mill.example/"], "scheme and host"),
        (["out", "--domain", "http://mill.example/x"], "name of a host"),
        (["out", "--ids", "ids.txt"], "holds no id"),
        (["out", "--ids", "none.txt"], "no such file"),
        (["nowhere", "--id", "d1"], "no such folder"),
    ]:
        assert exit_status(["forget", *arguments]) == 2
        assert said in capsys.readouterr().err
    Path("in/0.jsonl").rename("moved.jsonl")  # holds d3
    with pytest.raises(UserError, match=r"in/0\.jsonl is gone"):
        taken_down("d3")
    Path("moved.jsonl").rename("in/0.jsonl")
    os.utime("in/0.jsonl")
    with pytest.raises(UserError, match=r"in/0\.jsonl has changed"):
        taken_down("d3")
    assert contents("out") == before


def test_the_command_prints_what_it_did(capsys):
    run()
    Path("ids.txt").write_text("d3\r\nd77\n", newline="")
    assert exit_status(["forget", "out", "--ids", "ids.txt", "--workers", "0", "--reason", "a letter"]) == 0
    told = capsys.readouterr()
    assert "1 forgotten. The run has 20 documents, before it had 20; +1 because others went" in told.out
    assert "d77" in told.err
    assert exit_status(["why", "out", "d3"]) == 0
    said = capsys.readouterr().out
    assert "forgotten 20" in said
    assert ": a letter" in said
    fate = why("out", "d3")
    assert [(one["outcome"], one["reason"], one["url"], one["file"]) for one in fate] == [
        ("forgotten", "a letter", None, "0.jsonl")
    ]
    with pytest.raises(UserError, match="of 1 forgotten ones only the ids are remembered"):
        why("out", "http://mill.example/pages/d3")


def test_a_shared_folder_of_finished_steps_is_purged_too():
    run(work="steps one")
    run(work="steps two")
    assert SECRET in contents("steps one")
    taken_down("d3", "copy of d3", "second copy of d3")
    assert SECRET not in contents("out", "steps one", "steps two")
    assert published() == fresh("d3", "copy of d3", "second copy of d3")


def test_after_clean_all_is_read_again():
    run()
    clean("out")
    taken_down("d3")
    assert published() == fresh("d3")


def test_a_document_that_comes_back_in_another_file_stays_forgotten():
    run()
    taken_down("d3", "copy of d3", "second copy of d3")
    for number in range(4):
        Path(f"in/{number}.jsonl").rename(f"in/moved-{number}.jsonl")
    run()
    assert SECRET not in contents("out")
    assert {"d3", "copy of d3"}.isdisjoint({**rows("documents"), **rows("removed")})
    assert [one.file for one in Forgotten.of(Storage("out")).by_id["d3"]] == ["0.jsonl", "moved-0.jsonl"]
    assert run().computed == {}


def test_places_of_a_file_that_has_changed_are_told():
    by_place = json.loads(json.dumps(RECIPE))
    by_place["sources"]["web"]["read"]["id"] = "position"
    run(recipe=by_place)
    gone = next(row["id"] for row in rows("documents").values() if row["url"].endswith("/d3"))
    assert gone.startswith("web/0.jsonl#")
    assert taken_down(gone).notes == []
    assert published() == fresh("d3", recipe=by_place)
    with open("in/0.jsonl", "a") as file:
        file.write(json.dumps({"id": "new", "text": text_of(33)}) + "\n")
    doubts = run(recipe=by_place).doubts
    assert gone not in rows("documents")
    assert len(doubts) == 1
    assert "0.jsonl has changed since 1 of its documents were forgotten by their position" in doubts[0]


def test_under_a_limit_the_documents_after_them_move_up():
    run(limit=5)
    assert set(rows("documents")) == {"d0", "d1", "d2", "d3", "d4"}
    taken_down("d0")
    assert set(rows("documents")) == {"d1", "d2", "d3", "d4", "d5"}
    write_inputs(("d0",))
    run("fresh", limit=5)
    assert published() == published("fresh")


DYING = """
import json, os, signal, sys
import gristmill.pipeline.forget as module
from gristmill.pipeline import run_folder, runs
from gristmill.pipeline.forgotten import Forgotten
from gristmill.pipeline.storage import Storage

def die(*arguments, **more):
    os.kill(os.getpid(), signal.SIGKILL)

def dying_after(function, number):
    left = [number]
    def step(*arguments, **more):
        if left[0] == 0:
            die()
        left[0] -= 1
        return function(*arguments, **more)
    return step

moment = sys.argv[1]
if moment == "when the tombstones are written":
    runs._driven = die
elif moment == "while publishing":
    run_folder._take_away = dying_after(run_folder._take_away, 0)
elif moment == "half published":
    real = run_folder._take_away
    def armed(*arguments):
        real(*arguments)
        os.replace = dying_after(os.replace, 3)
    run_folder._take_away = armed
elif moment == "before the purge":
    runs.purge = die
elif moment == "during the purge":
    real_purge = runs.purge
    def purge(*arguments):
        Storage.delete = dying_after(Storage.delete, 5)
        real_purge(*arguments)
    runs.purge = purge
module.forget("out", ids=["d3", "copy of d3", "second copy of d3"], workers=0, quiet=True)
"""


@pytest.mark.parametrize(
    ("moment", "how"),
    [
        ("when the tombstones are written", "recipe"),
        ("while publishing", "forget"),
        ("half published", "recipe"),
        ("half published", "same"),
        ("before the purge", "forget"),
        ("during the purge", "recipe"),
    ],
)
def test_what_a_kill_interrupted_is_brought_to_its_end(moment, how):
    light = RECIPE | {"stages": [{"exact": {"keep": "earliest"}}]}
    run(recipe=light)
    done = subprocess.run([sys.executable, "-c", DYING, moment], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert Forgotten.of(Storage("out")).pending
    if how == "recipe":
        run(recipe=light)
    elif how == "forget":
        forget("out", workers=0, quiet=True)
    else:
        assert taken_down("d3", "copy of d3").already == 2
    assert SECRET not in contents("out")
    assert not Forgotten.of(Storage("out")).pending
    assert published() == fresh("d3", "copy of d3", "second copy of d3", recipe=light)


def crawl(name: str, texts: dict[str, str], without: str = "") -> None:
    lines = {identifier: json.dumps({"id": identifier, "text": text}) for identifier, text in texts.items()}
    shown = [" " * len(line) if identifier == without else line for identifier, line in lines.items()]
    Path(f"{name}.jsonl").write_text("\n".join(shown) + "\n")


def indexed(name: str, index: str, *, output: str, first: bool = False) -> None:
    stage = {"bands": 8, "rows": 2, "ngram": 2, "verify": 0.5, "keep": "earliest", "cluster": "direct", "index": index}
    recipe = {
        "name": "indexed",
        "sources": {"s": {"read": {"format": "jsonl", "id": "column", "paths": [f"{name}.jsonl"]}}},
        "stages": [{"exact": {"keep": "earliest"}}, {"minhash": stage | ({} if first else {"against": index})}],
        "partition_bytes": 400,
        "guardrails": {"enabled": False},
    }
    run(output, recipe)


def index_rows(index: str) -> list[tuple]:
    """Ids and sketches of all documents of an index, in the order of their addresses."""
    facts = json.loads(Path(index, "index.json").read_text())
    packs = [pack for segment in facts["segments"] for pack in segment["packs"]]
    assert [pack["number"] for pack in packs] == sorted({pack["number"] for pack in packs})
    held = [pa.ipc.open_file(Path(index, pack["held"]["file"])).read_all().to_pylist() for pack in packs]
    return [(row["id"], row["sketch"]) for table in held for row in table]


@pytest.mark.parametrize("later", [False, True])
def test_an_index_forgets_them_also_where_later_runs_have_extended_it(later):
    a = {f"a{number}": text_of(number) for number in range(8)} | {"copy of a3": text_of(3)}
    b = {f"b{number}": text_of(number) for number in range(6, 12)} | {"like a3": f"{text_of(3)} too"}
    c = {f"c{number}": text_of(number) for number in range(12)}
    for name, texts in (("a", a), ("b", b), ("c", c)):
        crawl(name, texts)
    indexed("a", "index", output="run a", first=True)
    if later:
        indexed("b", "index", output="run b")
        assert rows("removed", "run b")["like a3"]["kept_id"] == "a3"
    done = taken_down("a3", output="run a")
    assert [str(Path("run b").resolve()) in note for note in done.notes] == [True] * later
    crawl("a", a, without="a3")
    assert set(dict(index_rows("index"))) == (set(a) | (set(b) if later else set())) - {"a3"}
    assert "'a3'" not in contents("index", "run a/work")
    # as if a3 had never been there
    indexed("a", "anew", output="fresh a", first=True)
    if later:
        indexed("b", "anew", output="fresh b")
    assert index_rows("index") == index_rows("anew")
    assert published("run a") == published("fresh a")
    indexed("c", "index", output="run c")
    indexed("c", "anew", output="fresh c")
    assert published("run c") == published("fresh c")
    assert rows("removed", "run c")["c3"]["kept_id"] == "copy of a3"


def test_a_run_is_known_from_wherever_it_is_looked_at(monkeypatch):
    crawl("a", {f"a{number}": text_of(number) for number in range(8)})
    indexed("a", "index", output="run a", first=True)
    Path("below").mkdir()
    monkeypatch.chdir("below")
    taken_down("a3", output="../run a")
    monkeypatch.chdir("..")
    assert [row for row, _ in index_rows("index")] == ["a0", "a1", "a2", "a4", "a5", "a6", "a7"]
    assert sorted(path.name for path in Path("below").iterdir()) == []


def warc(kinds: dict[int, str]) -> bytes:
    """Twelve records without compression; pages 4 and 8 are alike, 11 is gone from its server."""
    records = []
    for number in range(12):
        text = "".join(f"<p>{line}</p>" for line in (text_of(number % 4 if number == 8 else number) * 4).split("\n"))
        body = f"<html><head><title>{number}</title></head><body><article>{text}</article></body></html>".encode()
        status = "404 Not Found" if number == 11 else "200 OK"
        block = f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n".encode() + body
        head = (
            f"WARC/1.0\r\nWARC-Type: {kinds.get(number, 'response')}\r\n"
            f"WARC-Record-ID: <urn:uuid:{number:08}-0000-0000-0000-0>\r\n"
            f"WARC-Date: 2026-01-01T00:00:00Z\r\nWARC-Target-URI: http://site{number}.example/\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
        )
        records.append(head.encode() + block + b"\r\n\r\n")
    return b"".join(records)


def test_records_of_a_crawl_are_left_out_pages_and_others_alike():
    recipe = {
        "name": "crawl",
        "sources": {"web": {"read": {"format": "warc", "paths": ["in.warc"]}, "stages": ["extract"]}},
        "stages": [{"exact": {"keep": "earliest"}}],
        "partition_bytes": 6000,
        "guardrails": {"enabled": False},
    }
    Path("in.warc").write_bytes(warc({}))
    run(recipe=recipe)
    done = taken_down("00000003-0000-0000-0000-0", "<urn:uuid:00000011-0000-0000-0000-0>")
    assert [row["outcome"] for row in done.counts] == ["kept", "removed at read"]
    assert SECRET not in contents("out/documents", "out/removed", "out/work")
    # a record of another kind in its place is no document, and moves no other
    Path("in.warc").write_bytes(warc({3: "metadata", 11: "metadata"}))
    run("fresh", recipe)
    assert published() == published("fresh")
    assert [one["outcome"] for one in why("out", "00000011-0000-0000-0000-0")] == ["forgotten"]
