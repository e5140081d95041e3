"""Lines, paragraphs and spans against an earlier run: A, then B against A's index, leave what both leave in one run."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.forget import forget
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import RunResult, run
from gristmill.pipeline.storage import Storage
from gristmill.stages.lines import Lines

STAGES = [
    {"lines": {}},
    {"lines": {"max_copies": 2, "compare": "lowercase", "min_characters": 3}},
    {"lines": {"memory": 1024}},
    {"paragraphs": {"flavour": "dolma", "parted_by": "blank_line"}},
    {"sentence_spans": {"flavour": "datatrove", "sentences": 2, "min_words_left": 3, "min_sentences_left": 0}},
]
LINES = ["One.", "Two.", "two.", "Three is longer.", "Four.", "", "Five and six.", "Seven."]


def prepare(folder: Path, crawls: dict[str, list[str]], stages: list, size: int) -> dict:
    paths = []
    for name, texts in crawls.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"id": f"{name}{at:03}", "text": text}) + "\n" for at, text in enumerate(texts)))
        paths.append(str(path))
    return {
        "name": "test",
        "sources": {"s": {"read": {"format": "jsonl", "id": "column", "paths": paths}}},
        "stages": stages,
        "partition_bytes": size,
        "guardrails": {"enabled": False},
        "output": {"edits": True},
    }


def carry_out(folder: Path, crawls: dict[str, list[str]], output: str, stage: dict, size: int = 60) -> RunResult:
    """Run one editor over JSONL files."""
    recipe = recipe_from_resolved(prepare(folder, crawls, [stage], size))
    return run(recipe, output=folder / output, quiet=True, workers=0)


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def outcome(folder: Path) -> dict[str, list]:
    """What became of each document by id: its text or its ledger row, and its cuts."""
    found: dict[str, list] = {row["id"]: [row["text"]] for row in rows(folder, "documents")}
    for row in rows(folder, "removed"):
        found[row["id"]] = [tuple(row[name] for name in ("rule", "value", "threshold", "kept_id", "detail"))]
    for row in rows(folder, "edits"):
        found[row["id"]].append((row["start"], row["end"], row["text"], row["detail"]))
    return found


def continued(stage: dict, **paths: str) -> dict:
    ((kind, given),) = stage.items()
    return {kind: given | paths}


TEXTS = st.lists(st.lists(st.sampled_from(LINES), max_size=5).map("\n".join).filter(str.strip), max_size=5)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(STAGES), st.tuples(TEXTS, TEXTS, TEXTS), st.sampled_from([1, 40, 10**6]))
def test_crawls_one_after_another_leave_what_they_leave_in_one_run(tmp_path_factory, stage, texts, size):
    folder = tmp_path_factory.mktemp("crawls")
    crawls = dict(zip("abc", texts, strict=True))
    # with `memory` the one run has an index as well: filters that will be extended have another number of functions
    carry_out(folder, crawls, "whole", continued(stage, **({"index": str(folder / "w")} if "memory" in str(stage) else {})))
    index = str(folder / "index")
    found: dict[str, list] = {}
    for at, (name, held) in enumerate(crawls.items()):
        more = {"index": index} if at == 0 else {"index": index, "against": index}
        carry_out(folder, {name: held}, name, continued(stage, **more), size + 13 * at)
        found |= outcome(folder / name)
    assert found == outcome(folder / "whole")


def test_filters_take_the_same_new_lines_for_copies_in_one_run_as_in_three(tmp_path):
    crawls = {name: ["\n".join(f"{name} {at} {line}" for line in range(20)) for at in range(30)] for name in "abc"}
    stage = {"lines": {"memory": 1024}}
    carry_out(tmp_path, crawls, "whole", continued(stage, index=str(tmp_path / "other")), 10**6)
    index = str(tmp_path / "index")
    found: dict[str, list] = {}
    for name, held in crawls.items():
        paths = {"index": index} if name == "a" else {"index": index, "against": index}
        carry_out(tmp_path, {name: held}, name, continued(stage, **paths), 2000)
        found |= outcome(tmp_path / name)
    assert found == outcome(tmp_path / "whole")
    # all lines are different, so what is cut was taken for a copy: more and more as the filters fill
    cut = [sum(len(one) - 1 for name, one in found.items() if name[0] == crawl) for crawl in crawls]
    assert cut[0] < cut[1] < cut[2] < 600


def test_copies_of_earlier_runs_count_and_the_ledger_names_the_document_that_has_the_first(tmp_path):
    index = str(tmp_path / "index")
    stage = {"lines": {"max_copies": 2}}
    carry_out(tmp_path, {"a": ["x\ny", "x\nx\nz"]}, "a", continued(stage, index=index))
    assert outcome(tmp_path / "a") == {"a000": ["x\ny"], "a001": ["x\nz", (2, 4, "x\n", "also in a000")]}
    carry_out(tmp_path, {"b": ["y\nz\ny", "x"]}, "b", continued(stage, against=index))
    lost = ("nothing_left", 0.0, 1.0, "a000", "lines cut: 1")
    assert outcome(tmp_path / "b") == {
        "b000": ["y\nz", (3, 5, "\ny", "also in a000")],
        "b001": [lost, (0, 1, "x", "also in a000")],
    }


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_any_number_of_workers_gives_the_same_bytes_and_the_same_index(tmp_path):
    crawls = {name: [f"own {name} {at}\n" + "\n".join(f"l{at * k % 17}" for k in range(9)) for at in range(25)] for name in "ab"}
    found = []
    for workers in (0, 2):
        index = tmp_path / f"index-{workers}"
        for name in "ab":
            paths = {one: {"index": str(index / one)} | ({"against": str(index / one)} if name == "b" else {}) for one in "pq"}
            stages = [
                {"lines": {"name": "p", "max_copies": 3} | paths["p"]},
                {"lines": {"name": "q", "memory": 4096} | paths["q"]},
            ]
            recipe = recipe_from_resolved(prepare(tmp_path, {name: crawls[name]}, stages, 300))
            run(recipe, output=tmp_path / f"{name}-{workers}", quiet=True, workers=workers)
        published = {kind: files(tmp_path / f"b-{workers}" / kind) for kind in ("documents", "removed", "edits")}
        # segments are named by the folder of their run, so only what they hold is compared
        found.append((published, sorted(data for name, data in files(index).items() if not name.endswith("index.json"))))
    assert found[0] == found[1]
    assert len(found[0][1]) > 40


def test_an_index_holds_no_more_copies_than_count(tmp_path):
    index = tmp_path / "index"
    stage = {"lines": {"max_copies": 2, "index": str(index)}}
    carry_out(tmp_path, {"a": ["same\nsame"] * 50 + ["own"]}, "a", stage, 10**6)
    (pack,) = json.loads((index / "index.json").read_text())["segments"][0]["packs"]
    held = [pa.ipc.open_file(index / entry["file"]).read_all() for entry in pack["emitted"]]
    assert sum(table.num_rows for table in held) == 3
    assert pa.ipc.open_file(index / pack["held"]["file"]).read_all().num_rows == 51


def test_the_filters_of_later_runs_are_told_with_what_was_in_them_before(tmp_path):
    index = str(tmp_path / "index")
    stage = {"lines": {"memory": 65536}}
    a = carry_out(tmp_path, {"a": [f"line {at}" for at in range(400)]}, "a", continued(stage, index=index), 10**6)
    b = carry_out(tmp_path, {"b": [f"other {at}" for at in range(100)]}, "b", continued(stage, index=index, against=index), 10**6)
    before, after = (one.funnel["filters"]["lines"] for one in (a, b))
    assert before["units"] == 400
    assert abs(after["units"] - 500) <= 10  # how many there were before is told from the bits
    assert after["false_positive_rate"] > before["false_positive_rate"]
    assert 0 < after["expected_false_positives"] < 100 * after["worst_false_positive_rate"]


@pytest.mark.parametrize("stage", [{"lines": {}}, {"lines": {"memory": 2048}}])
def test_forgotten_documents_leave_the_index_also_where_later_runs_have_extended_it(tmp_path, monkeypatch, stage):
    monkeypatch.chdir(tmp_path)
    crawls = {"a": ["menu\na0", "menu\nsecret", "a2"], "b": ["menu\nb0", "secret\nb1"], "c": ["secret\nc0", "menu\nc1"]}

    def crawl(name: str, output: str, index: str) -> dict[str, list]:
        more = {"index": index} | ({} if name == "a" else {"against": index})
        carry_out(tmp_path, {name: crawls[name]}, output, continued(stage, **more))
        return outcome(tmp_path / output)

    crawl("a", "a", "index")
    left = tmp_path / "index" / "segments" / "0001-killed" / "0000000.documents.arrow"
    left.parent.mkdir()
    left.write_bytes(b"of a run that was killed")
    assert crawl("b", "b", "index")["b001"][0] == "b1"
    done = forget("a", ids=["a001"], workers=0, quiet=True)
    assert any("Later runs were judged against them" in note for note in done.notes)
    assert "a001" not in contents(tmp_path / "index")
    assert not left.parent.exists()
    # as if a001 had never been there; its line stays in the input as blanks, so that a002 keeps its id
    text = Path("a.jsonl").read_text().split("\n")
    Path("a.jsonl").write_text("\n".join([text[0], " " * len(text[1]), text[2], ""]))
    blanked = Path("a.jsonl").read_text()
    monkeypatch.setattr(
        Path, "write_text", lambda self, held, write=Path.write_text: write(self, blanked if self.name == "a.jsonl" else held)
    )
    crawl("a", "fresh a", "anew")
    assert outcome(tmp_path / "a") == outcome(tmp_path / "fresh a")
    assert crawl("b", "fresh b", "anew")["b001"][0] == "secret\nb1"
    named = "memory" not in stage["lines"]
    # what stands in the index of b is as it was when b ran: its copy of the secret line counts
    assert (
        crawl("c", "c", "index")
        == crawl("c", "fresh c", "anew")
        == {
            "c000": ["c0", (0, 7, "secret\n", "also in b001" if named else None)],
            "c001": ["c1", (0, 5, "menu\n", "also in a000" if named else None)],
        }
    )


def contents(folder: Path) -> str:
    return "\n".join(str(pa.ipc.open_file(path).read_all().to_pylist()) for path in folder.rglob("*.arrow"))


@pytest.mark.parametrize("stage", [{"lines": {}}, {"lines": {"memory": 2048}}])
def test_another_index_in_the_same_place_is_not_taken_for_the_one_before(tmp_path, stage):
    index = tmp_path / "index"
    found = []
    for line in ("x", "y"):
        # the same ids and the same folders, other texts
        carry_out(tmp_path, {"a": [line]}, "a", continued(stage, index=str(index)))
        carry_out(tmp_path, {"b": ["x\ny\nz"]}, "b", continued(stage, against=str(index)))
        found.append(outcome(tmp_path / "b")["b000"][0])
    assert found == ["y\nz", "x\nz"]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"lines": {"flavour": "llama3", "index": "x"}}, "keep: none with an index; what an earlier run left alone"),
        ({"paragraphs": {"against": "x"}}, "keep: none with an index"),
        ({"sentence_spans": {"index": "x"}}, "keep: url_hash with an index; what an earlier run kept cannot be taken back"),
        ({"lines": {"keep": "longest", "index": "x"}}, "keep: longest with an index"),
        ({"lines": {"against": "nowhere"}}, "holds no index"),
    ],
)
def test_what_cannot_go_with_an_index_is_refused(tmp_path, monkeypatch, stage, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        carry_out(tmp_path, {"a": ["x"]}, "a", stage)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_copies": 3}, "max_copies: 1 there, 3 here"),
        ({"compare": "loose"}, "compare: 'exact' there, 'loose' here"),
        ({"memory": 4096}, "memory: None there, 4096 here"),
        ({"min_words_left": 3}, None),
        ({"flavour": "c4", "keep": "first", "compare": "exact", "min_characters": 1}, None),  # another flavour, the same units
    ],
)
def test_an_index_of_other_units_is_refused_with_both_shown(tmp_path, settings, message):
    index = str(tmp_path / "index")
    carry_out(tmp_path, {"a": ["x\ny"]}, "a", {"lines": {"index": index}})
    stage = {"lines": settings | {"against": index}}
    if message is None:
        carry_out(tmp_path, {"b": ["x\nOne is. Two is. Three is."]}, "b", stage)
        assert rows(tmp_path / "b", "documents")[0]["text"] == "One is. Two is. Three is."
        return
    with pytest.raises(UserError, match=message):
        carry_out(tmp_path, {"b": ["x"]}, "b", stage)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("stage", [{"lines": {}}, {"lines": {"memory": 2048}}])
@pytest.mark.parametrize("how", ["cut", "lost", "flipped", "json"])
def test_a_damaged_index_is_told_and_what_is_published_stays(tmp_path, stage, how):
    index = tmp_path / "index"
    carry_out(tmp_path, {"a": ["x\ny"]}, "a", continued(stage, index=str(index)))
    victim = sorted(index.rglob("*.arrow"))[-1]
    data = victim.read_bytes()
    message = f"{victim.name}.*damaged"
    if how == "cut":
        victim.write_bytes(data[:-40])
    elif how == "lost":
        victim.unlink()
        message = f"is damaged: .*{victim.name} that index.json names is not there"
    elif how == "flipped":
        victim.write_bytes(data[:60] + bytes([data[60] ^ 1]) + data[61:])
    else:
        text = (index / "index.json").read_text()
        (index / "index.json").write_text(text[: len(text) // 2])
        message = "index.json: is damaged"
    with pytest.raises(UserError, match=message):
        carry_out(tmp_path, {"b": ["x\nz"]}, "b", continued(stage, against=str(index)))
    assert not (tmp_path / "b" / "documents").exists()


def test_two_stages_cannot_write_one_index(tmp_path):
    index = str(tmp_path / "index")
    stages = [{"lines": {"index": index}}, {"lines": {"name": "again", "index": f"{index}/"}}]
    with pytest.raises(UserError, match="written by two stages, lines and again"):
        run(recipe_from_resolved(prepare(tmp_path, {"a": ["x"]}, stages, 60)), output=tmp_path / "a", workers=0, quiet=True)
    assert not (tmp_path / "a").exists()


def test_an_index_that_was_never_finished_is_no_index_and_is_written_anew(tmp_path, monkeypatch):
    index = tmp_path / "index"
    stage = {"lines": {"index": str(index)}}
    put = Storage.put_json

    def killed(self: Storage, name: str, value: object) -> None:
        if name == "index.json":
            raise KeyboardInterrupt
        put(self, name, value)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "put_json", killed)
        with pytest.raises(KeyboardInterrupt):
            carry_out(tmp_path, {"a": ["x\ny"]}, "a", stage)
    half = sorted(index.rglob("*.arrow"))[0]
    half.write_bytes(half.read_bytes()[:10])
    with pytest.raises(UserError, match="holds no index"):
        carry_out(tmp_path, {"b": ["x\nz"]}, "b", continued(stage, against=str(index)))
    carry_out(tmp_path, {"a": ["x\ny"]}, "a", stage)
    carry_out(tmp_path, {"b": ["x\nz"]}, "b", continued(stage, against=str(index)))
    assert outcome(tmp_path / "b") == {"b000": ["z", (0, 2, "x\n", "also in a000")]}


def test_the_settings_that_say_which_units_are_the_same_are_those_of_the_flavour():
    assert Lines().index_settings() == {
        "memory": None,
        "max_copies": 1,
        "compare": "exact",
        "min_characters": 1,
        "sha1": False,
    }
