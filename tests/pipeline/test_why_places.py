"""What `why` tells of places in a document: cuts of editors, and what filters report."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gristmill.pipeline import publish
from gristmill.pipeline.inspect import print_why, why
from gristmill.pipeline.published import EDITED, ID, PublishedRun
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.pipeline.why_places import SHOWN

QUESTION = " ".join(f"riddle{at}" for at in range(20))
OTHER = " ".join(f"puzzle{at}" for at in range(20))
LINE = "This line of the menu is the same on every page of the mill."
TEXTS = [
    f"{LINE}\nWrite to bob@mill.example or to ann@mill.example today.",
    f"{LINE}\nThe second page.",
    "A page that nobody touches.",
    f"Before it. {QUESTION} After it. {' '.join(OTHER.split()[:15])}",
]


@pytest.fixture
def benchmark(tmp_path) -> str:
    path = tmp_path / "mill.jsonl"
    path.write_text("\n".join(json.dumps({"id": f"mill/{at}", "text": text}) for at, text in enumerate([QUESTION, OTHER])))
    return str(path)


def carry_out(folder: Path, stages: list, output: str = "out", *, edits: bool = True, texts=TEXTS, **more) -> Path:
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"id": f"d{at}", "text": text}) for at, text in enumerate(texts)))
    sources = {"web": {"read": {"format": "jsonl", "id": "column", "paths": [str(folder / "a.jsonl")]}, "stages": [{"pii": {}}]}}
    recipe = {"name": "r", "sources": sources, "stages": stages, "output": {"edits": edits}, **more}
    run(recipe_from_resolved(recipe), output=folder / output, workers=0, quiet=True)
    return folder / output


def test_each_cut_of_each_editor_is_told_with_what_stands_there_now(tmp_path):
    out = carry_out(tmp_path, [{"lines": {}}])
    [fate] = why(out, "d0")
    start = len(LINE) + 1
    assert [edit for edit in fate["edits"] if edit["stage"] == "pii"] == [
        {"stage": "pii", "start": start + 9, "end": start + 25, "text": "bob@mill.example", "put": "<EMAIL>", "detail": None},
        {"stage": "pii", "start": start + 32, "end": start + 48, "text": "ann@mill.example", "put": "<EMAIL>", "detail": None},
    ]
    assert fate["edited_by"] == ["pii"]
    [fate] = why(out, "d1")
    [edit] = fate["edits"]
    assert (edit["stage"], edit["start"], edit["put"]) == ("lines", 0, None)
    assert edit["text"].startswith(LINE)
    assert (fate["edited_by"], fate["maybe_edited_by"]) == (["lines"], [])


def test_a_document_that_nobody_cut_from_is_told_as_it_was(tmp_path):
    [fate] = why(carry_out(tmp_path, []), "d2")
    assert (fate["edits"], fate["edited_by"], fate["maybe_edited_by"], fate["reports"]) == ([], [], [], [])


def test_where_cuts_were_not_kept_the_editors_are_named_that_may_have_made_some(tmp_path, capsys):
    out = carry_out(tmp_path, [], edits=False)
    [fate] = why(out, "d2")
    assert (fate["edits"], fate["edited_by"], fate["maybe_edited_by"]) == ([], [], ["pii"])
    print_why(out, "d2")
    assert "may have changed it" in capsys.readouterr().out


def test_the_cuts_of_a_removed_document_are_told_too(tmp_path):
    out = carry_out(tmp_path, [{"gopher_quality": {"min_words": 1000}}])
    [fate] = why(out, "d0")
    assert (fate["outcome"], fate["edited_by"], len(fate["edits"])) == ("removed", ["pii"], 2)


@pytest.mark.parametrize("rows_of_a_file", [1, 2, 3, 20_000])
def test_cuts_are_found_whole_wherever_files_end(tmp_path, monkeypatch, rows_of_a_file):
    monkeypatch.setattr(publish, "TEXT_FILE_ROWS", rows_of_a_file)
    texts = [" ".join(f"m{at}x{number}@mill.example" for at in range(number)) or "none" for number in range(5)]
    out = carry_out(tmp_path, [], texts=texts)
    assert [len(why(out, f"d{number}")[0]["edits"]) for number in range(5)] == [0, 1, 2, 3, 4]
    assert [edit["text"] for edit in why(out, "d3")[0]["edits"]] == [f"m{at}x3@mill.example" for at in range(3)]
    # by the index: one row for each file that holds cuts of the document
    listed = [place for place in PublishedRun(out).lookup("d4", ID) if place.outcome == EDITED]
    assert len(listed) <= 4


def test_a_cut_of_decontamination_names_benchmark_item_and_place(tmp_path, benchmark):
    out = carry_out(tmp_path, [{"decontaminate": {"benchmarks": [benchmark], "action": "cut"}}])
    [fate] = why(out, "d3")
    first = len("Before it. ")
    second = first + len(QUESTION) + len(" After it. ")
    size = len(" ".join(OTHER.split()[:15]))
    assert fate["edits"] == [
        {
            "stage": "decontaminate",
            "start": first,
            "end": first + len(QUESTION),
            "text": QUESTION,
            "put": None,
            "detail": f"mill mill/0: 100% of its question, characters {first}-{first + len(QUESTION)}",
        },
        {
            "stage": "decontaminate",
            "start": second,
            "end": second + size,
            "text": " ".join(OTHER.split()[:15]),
            "put": None,
            "detail": f"mill mill/1: 75% of its question, characters {second}-{second + size}",
        },
    ]


def test_what_decontamination_only_reports_is_told_without_keeping_edits(tmp_path, benchmark, capsys):
    out = carry_out(tmp_path, [{"decontaminate": {"benchmarks": [benchmark], "action": "report"}}], edits=False)
    [fate] = why(out, "d3")
    first = len("Before it. ")
    assert fate["outcome"] == "kept"
    assert fate["reports"][0] == {
        "stage": "decontaminate",
        "start": first,
        "end": first + len(QUESTION),
        "text": QUESTION,
        "detail": "mill mill/0: 100% of its question",
    }
    assert [report["detail"] for report in fate["reports"]] == [
        "mill mill/0: 100% of its question",
        "mill mill/1: 75% of its question",
    ]
    assert [file.name for file in sorted((out / "reports").iterdir())] == ["02-decontaminate-00000.parquet"]
    assert why(out, "d2")[0]["reports"] == []
    print_why(out, "d3")
    assert f'characters {first}-{first + len(QUESTION)}: "riddle0 ' in capsys.readouterr().out


def test_reports_and_edits_are_the_same_bytes_for_any_partitioning(tmp_path, benchmark):
    stages = [
        {"decontaminate": {"name": "only", "benchmarks": [benchmark], "action": "report"}},
        {"decontaminate": {"name": "all", "benchmarks": [benchmark], "action": "cut"}},
    ]
    texts = TEXTS * 5
    outs = [carry_out(tmp_path, stages, f"out{size}", texts=texts, partition_bytes=size) for size in (100, 10**6)]
    files = [
        {
            str(file.relative_to(out)): file.read_bytes()
            for name in ("edits", "reports", "index")
            for file in (out / name).iterdir()
        }
        for out in outs
    ]
    assert files[0] == files[1]
    assert pq.read_table(outs[0] / "reports").num_rows == 10


def test_cuts_of_one_document_are_found_whole_over_row_groups(tmp_path):
    texts = ["none", " ".join(f"m{at}@mill.example" for at in range(2500)), "one@mill.example"]
    out = carry_out(tmp_path, [], texts=texts)
    (file,) = (out / "edits").iterdir()
    assert pq.ParquetFile(file).num_row_groups == 3
    assert [edit["text"] for edit in why(out, "d1")[0]["edits"]] == texts[1].split()
    assert [edit["text"] for edit in why(out, "d2")[0]["edits"]] == ["one@mill.example"]


def test_only_the_first_of_many_cuts_are_printed(tmp_path, capsys):
    text = " ".join(f"m{at}@mill.example" for at in range(SHOWN + 7))
    out = carry_out(tmp_path, [], texts=[text])
    print_why(out, "d0")
    printed = capsys.readouterr().out
    assert printed.count("<EMAIL>") == SHOWN
    assert "and 7 more; --json has all" in printed


def test_what_is_masked_is_not_told_as_cut(tmp_path, capsys):
    out = carry_out(tmp_path, [{"substring": {"min_length": 10, "policy": "mask"}}], texts=[QUESTION, f"Before it. {QUESTION}"])
    print_why(out, "d1")
    printed = capsys.readouterr().out
    assert f"marked 1 place, {len(QUESTION)} characters, and left the text as it is:" in printed
    assert "(loss masked)" in printed
    assert "cut 1 place" not in printed
    assert "->" not in printed
