"""`gristmill classifier train`: what is written, what is held out, and what is refused."""

import json
from pathlib import Path

import pytest

from gristmill.pipeline.classifier import is_held_out, read_set, train_classifier
from gristmill.pipeline.classifier_settings import RECIPES, ClassifierTraining
from gristmill.pipeline.cli import exit_status

SMALL = ["--dimensions", "4", "--buckets", "500"]


def write(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


@pytest.fixture
def sets(tmp_path):
    good = [f"the study measured {number} samples of the population" for number in range(80)]
    rest = [f"click here to win {number} at the casino" for number in range(60)]
    return write(tmp_path / "good.jsonl", good), write(tmp_path / "rest.jsonl", rest)


def trained(sets, output: Path, *flags: str) -> dict:
    arguments = ["classifier", "train", "--positive", sets[0], "--negative", sets[1], "--output", str(output), *SMALL, *flags]
    assert exit_status(arguments) == 0
    return json.loads(output.with_name(output.name + ".json").read_text())


def test_kinds_are_told_apart_and_the_tables_are_stored(sets, tmp_path, capsys):
    facts = trained(sets, tmp_path / "m" / "quality.bin", "--epochs", "20")
    printed = capsys.readouterr().out
    for words in ("AUC 1.0000", "reliability:", "scores:", "share  least score", "quality_classifier: {model: "):
        assert words in printed
    assert facts["held_out"]["auc"] == 1.0
    assert facts["sets"]["positive"]["documents_read"] == 80
    asked = facts["held_out"]
    assert facts["learned_from"]["positive"] + asked["positive"] == 80
    assert facts["learned_from"]["negative"] + asked["negative"] == 60
    # binomial: 140 documents at a tenth
    assert 4 <= asked["positive"] + asked["negative"] <= 28


def test_the_same_documents_in_any_order_and_files_give_the_same_model(sets, tmp_path):
    first = trained(sets, tmp_path / "a.bin")
    lines = Path(sets[0]).read_text().splitlines(keepends=True)
    folder = tmp_path / "split"
    folder.mkdir()
    (folder / "x.jsonl").write_text("".join(reversed(lines[:30])))
    (folder / "y.jsonl").write_text("".join(lines[20:]))
    again = trained((str(folder), sets[1]), tmp_path / "b.bin")
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()
    assert again["held_out"] == first["held_out"]
    assert again["sets"]["positive"]["documents_read"] == 90
    assert again["sets"]["positive"]["sha256_of_hashes"] == first["sets"]["positive"]["sha256_of_hashes"]
    assert trained(sets, tmp_path / "c.bin", "--seed", "1")["sha256"] != first["sha256"]


def test_what_is_known_to_be_good_is_no_example_of_the_rest(sets, tmp_path):
    mixed = write(
        tmp_path / "mixed.jsonl", [json.loads(line)["text"] for name in sets for line in Path(name).read_text().splitlines()]
    )
    facts = trained((sets[0], mixed), tmp_path / "m.bin")
    assert facts["in_both_sets"] == 80
    assert facts["learned_from"]["negative"] + facts["held_out"]["negative"] == 60


def test_documents_are_those_with_the_lowest_hashes_and_their_ends(tmp_path):
    path = write(tmp_path / "d.jsonl", [f"{number:03d}" * 4 for number in range(50)] + ["", " \n", "short"])
    every = read_set([path], "positive", ClassifierTraining(min_characters=6))
    some = read_set([path], "positive", ClassifierTraining(min_characters=6, documents=7, max_characters=3, last_characters=2))
    assert len(every.texts) == 50
    assert list(every.texts) == sorted(every.texts)
    assert list(some.texts) == list(every.texts)[:7]
    assert [text[:3] + " " + text[-2:] for text in every.texts.values()][:7] == list(some.texts.values())


def test_held_out_is_a_share_by_hash():
    assert [is_held_out(hashed, 0.5) for hashed in (0, (1 << 63) - 1, 1 << 63, 1 << 64)] == [True, True, False, True]


def test_a_recipe_sets_what_is_not_given():
    llama = ClassifierTraining.model_validate({"recipe": "llama", "epochs": 2})
    assert (llama.dimensions, llama.word_ngrams, llama.min_characters, llama.epochs) == (100, 1, 1000, 2)
    assert all(ClassifierTraining.model_validate({"recipe": name}) for name in RECIPES)
    with pytest.raises(ValueError, match="set max_characters too"):
        ClassifierTraining(last_characters=5)


def test_what_cannot_be_learned_from_is_the_users_to_mend(sets, tmp_path, capsys):
    empty = write(tmp_path / "empty.jsonl", [])
    (tmp_path / "no_text.jsonl").write_text('{"body": "x"}\n')
    cases = [
        (empty, sets[1], [], "--positive", "holds no document with text among 0"),
        (sets[0], str(tmp_path / "gone"), [], "--negative", "nothing is there"),
        (str(tmp_path / "no_text.jsonl"), sets[1], [], "no_text.jsonl:1", "has no string text"),
        (sets[0], sets[1], ["--min-characters", "9999"], "--positive", "9,999 characters or more among 80"),
        (sets[0], write(tmp_path / "one.jsonl", ["one text"]), [], "--negative", "1 documents are too few"),
        (sets[0], sets[1], ["--min-count", "99999"], "--min-count", "no word occurs 99999 times"),
        (sets[0], sets[1], ["--recipe", "gpt5"], "--recipe", "'gpt3'"),
    ]
    for positive, negative, flags, *words in cases:
        output = str(tmp_path / "none.bin")
        status = exit_status(["classifier", "train", "--positive", positive, "--negative", negative, "--output", output, *flags])
        said = capsys.readouterr().err
        assert status == 2, said
        for word in words:
            assert word in said
        assert not Path(output).exists()
    given = ["--positive", sets[0], "--negative", sets[1], "--output", str(tmp_path)]
    assert exit_status(["classifier", "train", *given]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_real_textbooks_are_told_from_real_web_pages(shared_data, tmp_path):
    web = str(shared_data / "web" / "gold_text.jsonl.gz")
    books = str(shared_data / "text" / "textbooks.jsonl.gz")
    settings = ClassifierTraining(documents=250, dimensions=8, buckets=1 << 16, max_characters=3000)
    facts = train_classifier([books], [web], settings, str(tmp_path / "q.bin"))
    assert facts["held_out"]["auc"] > 0.95
