"""Reading items of benchmarks."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.stages.contamination_items import Item, benchmark_files, fields_of, read_items
from gristmill.stages.stage import StageUnavailable


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def test_an_item_has_the_first_of_the_fields_that_its_benchmark_knows(tmp_path):
    path = write(
        tmp_path / "humaneval.jsonl", [{"task_id": "HumanEval/3", "prompt": "def f():", "canonical_solution": "    pass"}]
    )
    assert read_items(path) == [Item("humaneval", "HumanEval/3", "def f():", "    pass")]


def test_an_item_without_id_is_called_by_its_number(tmp_path):
    path = write(tmp_path / "mine.jsonl", [{"question": "Why?"}, {"question": "How?", "answer": ["a", "b"]}])
    assert read_items(path) == [Item("mine", "mine/0", "Why?", ""), Item("mine", "mine/1", "How?", "a\nb")]


def test_the_field_benchmark_names_the_benchmark_of_a_row(tmp_path):
    path = write(tmp_path / "all.jsonl", [{"benchmark": "gsm8k", "id": "x", "text": "one", "answer": "1"}])
    assert read_items(path) == [Item("gsm8k", "x", "one", "1")]


def test_fields_that_are_named_replace_those_of_the_benchmark(tmp_path):
    path = write(tmp_path / "gsm8k.jsonl", [{"body": "one", "solved": 2, "text": "no"}])
    assert read_items(path, "body", "solved") == [Item("gsm8k", "gsm8k/0", "one", "2")]


def test_a_passage_goes_with_its_question(tmp_path):
    path = write(tmp_path / "boolq.jsonl", [{"passage": "Grain is ground.", "question": "is grain ground", "answer": True}])
    assert read_items(path)[0].question == "Grain is ground.\nis grain ground"


@pytest.mark.parametrize("ending", ["jsonl.gz", "parquet"])
def test_items_may_lie_in_gzip_and_parquet(tmp_path, ending):
    path = tmp_path / f"copa.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"id": ["copa/0"], "premise": ["The mill turned."]}), path)
    else:
        path.write_bytes(gzip.compress(b'{"id": "copa/0", "premise": "The mill turned."}\n'))
    assert read_items(str(path)) == [Item("copa", "copa/0", "The mill turned.", "")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "holds no items"),
        ("\n\n", "holds no items"),
        ('{"body": "x"}', "mine.jsonl:1 has no field text or question or problem or prompt or query or input; it has body"),
        ('{"text": null}', "mine.jsonl:1 has no field"),
        ('{"text": "x"}\n{"te', "mine.jsonl:2: is no JSON"),
        ("[1]", "mine.jsonl:1: is no JSON object"),
        ("\xff", "cannot be read as JSON lines"),
    ],
)
def test_a_file_that_holds_no_items_is_refused_with_its_place(tmp_path, content, told):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(StageUnavailable, match=told.replace("[", r"\[")):
        read_items(str(path))


@pytest.mark.parametrize(("name", "content"), [("a.jsonl.gz", b"no gzip"), ("a.parquet", b"no parquet"), ("a.jsonl.gz", b"")])
def test_a_broken_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StageUnavailable, match=name):
        read_items(str(tmp_path / name))


def test_a_named_answer_that_is_not_there_is_refused(tmp_path):
    path = write(tmp_path / "mine.jsonl", [{"text": "x", "answer": "y"}])
    with pytest.raises(StageUnavailable, match=r"mine.jsonl:1 has no field solution; it has text, answer"):
        read_items(path, None, "solution")


def test_a_folder_stands_for_the_files_of_items_in_it(tmp_path):
    for name in ("b.jsonl", "a.parquet", "notes.md"):
        (tmp_path / name).touch()
    assert benchmark_files((str(tmp_path),)) == [str(tmp_path / "a.parquet"), str(tmp_path / "b.jsonl")]


@pytest.mark.parametrize(
    ("name", "told"), [("none.jsonl", "no such file"), ("notes.md", "by its name"), ("empty", "holds no file")]
)
def test_paths_without_items_are_refused(tmp_path, name, told):
    (tmp_path / "notes.md").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(StageUnavailable, match=told):
        benchmark_files((str(tmp_path / name),))


def test_the_real_sets_are_read_with_the_fields_that_ship(shared_data):
    for path in sorted((shared_data / "benchmarks").glob("*.jsonl.gz")):
        name = path.name.split(".")[0]
        if name not in ("natural_overlaps", "rephrased"):
            items = read_items(str(path))
            assert {item.benchmark for item in items} == {name}
            assert all(item.question and item.id for item in items)
            assert fields_of(name) != fields_of("a set that nobody knows")
