"""A step is done when its manifest and its files are there, or it is not done."""

import pytest

from gristmill.pipeline.steps import StepStore, Task, attempt_name, carry_out, file_entry, step_key
from gristmill.pipeline.storage import Storage


def finished(folder, verify: bool = False) -> tuple[Storage, StepStore]:
    work = Storage(str(folder))
    work.put("data/a", b"content")
    store = StepStore(work, verify)
    store.put("key", {"files": [file_entry(work, "data/a")], "answer": 42})
    return work, store


def test_a_finished_step_is_found_again_by_another_run(tmp_path):
    work, _ = finished(tmp_path)
    assert StepStore(work).get("key") == {
        "files": [{"file": "data/a", "size": 7, "sha256": "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"}],
        "answer": 42,
    }
    assert StepStore(work).get("other") is None


@pytest.mark.parametrize("content", [b"", b"conten", b"content and more"])
def test_a_step_whose_file_has_another_size_is_not_done(tmp_path, content):
    work, store = finished(tmp_path)
    work.put("data/a", content)
    assert store.get("key") is None


def test_a_step_whose_file_is_missing_is_not_done(tmp_path):
    work, store = finished(tmp_path)
    work.delete("data/a")
    assert store.get("key") is None


def test_altered_content_of_the_same_size_is_found_with_verify(tmp_path):
    work, trusting = finished(tmp_path)
    work.put("data/a", b"c0ntent")
    assert trusting.get("key") is not None
    assert StepStore(work, verify=True).get("key") is None


@pytest.mark.parametrize("content", [b"", b'{"files": [', b"\xff"])
def test_a_manifest_that_cannot_be_read_is_none(tmp_path, content):
    work, store = finished(tmp_path)
    work.put("steps/ke/key.json", content)
    assert store.get("key") is None


def test_a_step_is_named_by_its_kind_and_all_that_decides_it():
    assert step_key("emit", a=1, b=[2]) == step_key("emit", b=[2], a=1)
    names = {
        step_key("emit", a=1),
        step_key("emit", a=2),
        step_key("resolve", a=1),
        step_key("emit", a="1"),
        step_key("emit", b=1),
    }
    assert len(names) == 5


def test_what_is_no_json_cannot_decide_a_name():
    with pytest.raises(TypeError, match="cannot decide a step's name"):
        step_key("emit", a=object())


def test_attempts_share_no_file_names(tmp_path):
    assert attempt_name("abcdef") != attempt_name("abcdef")
    manifest = carry_out(
        Storage(str(tmp_path)), Task("abcdef", lambda work, prefix, more: {"prefix": prefix, "more": more}, {"more": 1})
    )
    assert manifest["prefix"].startswith("data/ab/abcdef-")
    assert manifest["more"] == 1
