"""Reading multiple-choice items."""

import gzip
import json

import pytest

from gristmill.trainer.config import ConfigError
from gristmill.trainer.settings import EvaluationSettings, TaskSettings
from gristmill.trainer.tasks import Item, read_items


def write(path, rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return str(path)


def items(path, **settings):
    return read_items(TaskSettings(file=path, **settings))


def test_an_item_is_its_question_its_choices_and_the_right_one(tmp_path):
    path = write(
        tmp_path / "mills.jsonl", [{"id": "m1", "question": "Mills grind", "choices": ["grain", "boats"], "answer": "boats"}]
    )
    assert items(path) == [Item("m1", ("Mills grind", "Mills grind"), ("grain", "boats"), 1)]


def test_fields_and_the_prompt_may_be_named_and_items_without_id_are_numbered(tmp_path):
    rows = [{"q": "a {question}", "of": ["x", "y", "z"], "gold": 2}, {"q": "b", "of": ["x", "y"], "gold": 0}]
    path = write(tmp_path / "m.jsonl", ["", *rows])
    found = items(path, question="q", choices="of", answer="gold", prompt="Q: {question}\nA:", name="mine")
    assert [item.id for item in found] == ["mine/0", "mine/1"]
    assert [item.contexts[0] for item in found] == ["Q: a {question}\nA:", "Q: b\nA:"]
    assert [item.right for item in found] == [2, 0]


@pytest.mark.parametrize(
    ("answers", "right"),
    [
        # as text, also where the texts are numbers; as a number from 0; as a letter
        (["3", "1"], [0, 1]),
        ([1, 0], [1, 0]),
        (["1", "0"], [1, 0]),
        (["B", "A"], [1, 0]),
        ([True, False], [1, 0]),
        # the question and the choice together
        (["How many? 1", "How many? 3"], [1, 0]),
    ],
)
def test_the_right_choice_is_told_in_one_way_in_the_whole_file(tmp_path, answers, right):
    path = write(tmp_path / "m.jsonl", [{"question": "How many?", "choices": ["3", "1"], "answer": answer} for answer in answers])
    assert [item.right for item in items(path)] == right


def test_labels_of_the_choices_go_before_all_else(tmp_path):
    choices = {"text": ["one", "two", "three"], "label": ["1", "2", "3"]}
    path = write(tmp_path / "arc_easy.jsonl", [{"question": "Which?", "choices": choices, "answerKey": key} for key in "13"])
    assert [item.right for item in items(path)] == [0, 2]
    assert items(path)[0].contexts[0] == "Question: Which?\nAnswer:"


def test_the_beginnings_may_differ_where_the_end_is_the_same(tmp_path):
    row = {"context_options": ["The mill", "The boat"], "continuation": "grinds.", "text": "The mill grinds."}
    found = items(write(tmp_path / "winogrande.jsonl", [row]))
    assert found == [Item("winogrande/0", ("The mill", "The boat"), ("grinds.", "grinds."), 0)]


def test_choices_may_be_the_same_for_all(tmp_path):
    rows = [{"passage": "Mills grind.", "question": "do mills grind", "answer": True}]
    found = items(write(tmp_path / "boolq.jsonl", rows))
    assert found == [Item("boolq/0", ("Mills grind.\ndo mills grind\nAnswer:",) * 2, ("no", "yes"), 1)]
    rows = [{"question": "do mills grind", "answer": "always"}]
    found = items(write(tmp_path / "mine.jsonl", rows), choices=["never", "at times", "always"])
    assert (found[0].choices, found[0].right) == (("never", "at times", "always"), 2)


def test_a_hash_of_the_ids_chooses_some_and_more_are_a_superset(tmp_path):
    rows = [{"id": f"i{n}", "question": "q", "choices": ["a", "b"], "answer": 0} for n in range(50)]
    path, turned = write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", rows[::-1])
    few, more = ({item.id for item in items(path, items=count)} for count in (5, 20))
    assert (len(few), len(more)) == (5, 20)
    assert few < more
    assert {item.id for item in items(turned, items=5)} == few
    assert len(items(path, items=99)) == 50


def test_only_clean_items_are_asked(tmp_path):
    rows = [{"id": f"i{n}", "text": "q", "choices": ["a", "b"], "answer": 0} for n in range(4)]
    path = tmp_path / "copa.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    # what one stage found is not clean, whatever another says
    stages = [{"clean": {"copa": ["i0", "i2", "i3"]}}, {"clean": {"copa": ["i0", "i3"], "piqa": []}}, {"clean": {"piqa": ["p1"]}}]
    (tmp_path / "contamination.json").write_text(json.dumps({"stages": stages}))
    for given in (tmp_path, tmp_path / "contamination.json"):
        assert [item.id for item in items(str(path), clean=str(given))] == ["i0", "i3"]
    with pytest.raises(ConfigError, match="says nothing of mine; it speaks of copa, piqa"):
        items(str(path), clean=str(tmp_path), name="mine")
    with pytest.raises(ConfigError, match=r"calls no item of .* clean"):
        items(str(path), clean=str(tmp_path), name="piqa")
    with pytest.raises(FileNotFoundError, match=r"give the contamination\.json of a run"):
        items(str(path), clean=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "holds no items"),
        (["{"], r"m\.jsonl:1: is not JSON"),
        (["[1]"], r"m\.jsonl:1: is no object but \[1\]"),
        (
            [{"body": "q", "choices": ["a", "b"], "answer": 0}],
            r"m\.jsonl:1 has no field .*question.* for the question; it has body, choi",
        ),
        ([{"question": "q", "answer": 0}], r"m\.jsonl:1 has no field choices .* for the choices; it has question, answer"),
        ([{"question": "q", "choices": ["a", "b"]}], r"m\.jsonl:1 has no field answer .* for the answer"),
        (
            [{"question": "q", "choices": ["a"], "answer": 0}],
            r'm\.jsonl:1: has no list of two or more choices .*; it holds \["a"\]',
        ),
        ([{"question": "q", "choices": ["a", " "], "answer": 0}], r"m\.jsonl:1: choice 1, counted from 0, is empty"),
        (
            [{"question": "q", "choices": ["a", "b"], "answer": n} for n in (0, 1, 2)],
            r"m\.jsonl:3: the answer 2 is none of its 2 choices",
        ),
        ([{"question": ["q", "r", "s"], "choices": ["a", "b"], "answer": 0}], "has 3 questions and 2 choices"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(tmp_path, rows, told):
    with pytest.raises(ConfigError, match=told):
        items(write(tmp_path / "m.jsonl", rows))


def test_a_file_that_is_no_text_or_not_there_is_told(tmp_path):
    (tmp_path / "m.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"m\.jsonl:1: cannot be read"):
        items(str(tmp_path / "m.jsonl"))
    (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 999)[:-9])
    with pytest.raises(ConfigError, match=r"m\.jsonl\.gz:\d+: "):
        items(str(tmp_path / "m.jsonl.gz"))
    with pytest.raises(FileNotFoundError, match="a task is a file of JSON lines"):
        items(str(tmp_path / "none.jsonl"))


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match="has neither data nor tasks"):
        EvaluationSettings()
    with pytest.raises(ValueError, match="tasks called the same: copa; give each a name"):
        EvaluationSettings(tasks=[{"file": "a/copa.jsonl"}, {"file": "b/copa.jsonl.gz"}])
    with pytest.raises(ValueError, match=r"has no \{question\} in it"):
        TaskSettings(file="a", prompt="Answer:")


@pytest.mark.parametrize(
    ("name", "count", "chance"),
    [("piqa", 1838, 2), ("arc_easy", 2376, 4), ("boolq", 3270, 2), ("copa", 100, 2), ("winogrande", 1267, 2), ("mmlu", 14042, 4)],
)
def test_the_shipped_descriptions_read_their_sets(shared_data, name, count, chance):
    path = shared_data / "benchmarks" / f"{name}.jsonl.gz"
    found = items(str(path))
    assert len(found) == count
    with gzip.open(path, "rt") as lines:
        for item, row in zip(found, map(json.loads, lines), strict=True):
            right = item.choices[item.right]
            if name == "winogrande":
                assert f"{item.contexts[item.right]} {right}" == row["text"]
            else:
                assert right == row["answer"]
    assert sum(len(item.choices) == chance for item in found) > 0.98 * count
