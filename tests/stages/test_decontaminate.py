"""The stage decontaminate: methods, verdicts and what the ledger says."""

import json

import pyarrow as pa
import pytest

from gristmill.stages.decontaminate import Decontaminate
from gristmill.stages.documents import Batch
from gristmill.stages.editor import Edited
from gristmill.stages.stage import StageUnavailable

WORDS = [f"word{number}" for number in range(60)]
QUESTION = "A mill grinds 12 sacks of rye in 3 hours; how many sacks does it grind in one working day of 9 hours?"


@pytest.fixture
def benchmark(tmp_path):
    path = tmp_path / "mill.jsonl"
    rows = [{"id": "mill/0", "text": QUESTION, "answer": "36"}, {"id": "mill/1", "text": " ".join(WORDS)}]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def settled(stage: Decontaminate, texts: list[str], source: str = "web"):
    """The stage, settled by these documents, and the batch of them."""
    batch = Batch.of(pa.table({"id": [str(at) for at in range(len(texts))], "text": texts, "source": [source] * len(texts)}))
    survey = stage.survey(batch)
    batch.given = survey.signals
    return stage.settled(survey.totals), batch


def kept(stage: Decontaminate, *texts: str) -> list[bool]:
    one, batch = settled(stage, list(texts))
    return one.judge(batch).kept.tolist()


KINDS = {
    "exact": QUESTION,
    "re-cased": QUESTION.upper(),
    "re-punctuated": QUESTION.replace(";", " --").replace("?", "!!!").replace(" rye", " «rye»"),
    "re-wrapped": QUESTION.replace(" ", "\n  "),
    "digits of another script": QUESTION.translate({ord("0") + at: ord("٠") + at for at in range(10)}),
}


@pytest.mark.parametrize("text", KINDS.values(), ids=KINDS)
def test_a_question_is_found_however_it_is_written(benchmark, text):
    assert kept(Decontaminate(benchmarks=(benchmark,)), f"Before. {text} After.", "The mill stands by the river.") == [
        False,
        True,
    ]


def test_less_than_half_of_a_question_does_not_make_it_found(benchmark):
    # of 60 words 30, and 29
    texts = [" ".join(WORDS[:30]), " ".join(WORDS[:29]), "other " * 30]
    assert kept(Decontaminate(benchmarks=(benchmark,)), *texts) == [False, True, True]


@pytest.mark.parametrize(
    ("given", "bound"),
    # 13-grams: 48 in all; 8-grams: 53
    [
        ({"method": "ngram", "flavour": "palm"}, 45),  # 38 of 53 8-grams are 71.7%, 37 are 69.8%
        ({"method": "ngram", "flavour": "llama3"}, 30),
        ({"method": "ngram", "flavour": "gpt3"}, 13),
        ({"method": "ngram"}, 13),
        ({"share": 0.25}, 15),
        ({"words": 5, "share": 0.1}, 6),
    ],
)
def test_the_fewest_words_in_a_row_that_each_method_takes_for_an_item(benchmark, given, bound):
    stage = Decontaminate(benchmarks=(benchmark,), **given)
    assert kept(stage, " ".join(WORDS[:bound])) == [False]
    assert kept(stage, " ".join(WORDS[: bound - 1])) == [True]


def test_gpt3_looks_over_ngrams_of_more_than_ten_documents(benchmark):
    stage = Decontaminate(benchmarks=(benchmark,), method="ngram")
    assert kept(stage, *[QUESTION] * 10) == [False] * 10
    assert kept(stage, *[QUESTION] * 11) == [True] * 11
    assert kept(Decontaminate(benchmarks=(benchmark,), method="ngram", common=11), *[QUESTION] * 11) == [False] * 11


def test_a_common_phrase_in_an_item_does_not_make_it_found(tmp_path):
    phrase = "choose the one alternative that best completes the statement or answers the question"  # 13 words
    path = tmp_path / "exam.jsonl"
    path.write_text(json.dumps({"text": f"{phrase}: the dresser at a mill sharpens which part of it?"}))  # 10 more
    texts = [f"{phrase} number{at}" for at in range(40)]
    # the phrase covers 13 of 23 words, more than half of them
    assert kept(Decontaminate(benchmarks=(str(path),)), *texts) == [True] * 40
    assert kept(Decontaminate(benchmarks=(str(path),), method="ngram", flavour="llama3"), *texts) == [False] * 40


@pytest.mark.parametrize(("words", "found"), [(7, False), (8, True), (12, True)])
def test_a_short_question_is_looked_for_as_a_whole(tmp_path, words, found):
    path = tmp_path / "short.jsonl"
    path.write_text(json.dumps({"text": " ".join(WORDS[:words])}))
    stage = Decontaminate(benchmarks=(str(path),))
    assert kept(stage, " ".join(WORDS)) == [not found]
    assert kept(stage, " ".join(WORDS[: words - 1])) == [True]
    assert kept(Decontaminate(benchmarks=(str(path),), method="ngram"), " ".join(WORDS)) == [True]


def test_substring_keeps_case_and_drops_all_but_letters_and_digits(benchmark):
    stage = Decontaminate(benchmarks=(benchmark,), method="substring")
    texts = [QUESTION, QUESTION.replace(" ", "-"), QUESTION.upper(), QUESTION[:20]]
    assert kept(stage, *texts) == [False, False, True, True]


def test_an_answer_is_found_without_its_question(tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"text": QUESTION, "answer": " ".join(WORDS)}))
    assert kept(Decontaminate(benchmarks=(str(path),)), " ".join(WORDS)) == [False]
    assert kept(Decontaminate(benchmarks=(str(path),), answers=False), " ".join(WORDS)) == [True]


def test_the_ledger_says_which_item_how_much_where_and_what(benchmark):
    stage, batch = settled(Decontaminate(benchmarks=(benchmark,)), [f"Énigme: {QUESTION} Bye.", " ".join(WORDS[:40])])
    verdict = stage.judge(batch)
    assert verdict.first_failed_rule == ["contaminated", "contaminated"]
    assert verdict.signals["contamination"].tolist() == [1.0, 40 / 60]
    told = stage.details(batch, verdict.rules[0], verdict.failed[0].nonzero()[0])
    # the last question mark is no part of a word
    assert told[0] == f"mill mill/0: 100% of its question, characters 8-{8 + len(QUESTION) - 1}: {QUESTION[:-1]}"
    assert told[1].startswith("mill mill/1: 67% of its question, characters 0-")
    assert told[1].endswith("…")


def test_report_changes_nothing_and_measures(benchmark):
    stage, batch = settled(Decontaminate(benchmarks=(benchmark,), action="report"), [QUESTION, "no"])
    verdict = stage.judge(batch)
    assert verdict.kept.tolist() == [True, True]
    assert verdict.signals["contamination"].tolist() == [1.0, 0.0]


def edited(stage: Decontaminate, *texts: str) -> Edited:
    one, batch = settled(stage, list(texts))
    return one.edit(batch)


def test_cut_takes_what_is_found_and_leaves_the_rest(benchmark):
    text = f"Énigme: {QUESTION} Bye."
    found = edited(Decontaminate(benchmarks=(benchmark,), action="cut"), text, "untouched", QUESTION)
    assert found.table["text"].to_pylist() == ["Énigme: ? Bye.", "untouched", "?"]
    end = 8 + len(QUESTION) - 1
    assert found.cuts.to_pylist()[0] == {"row": 0, "start": 8, "end": end, "text": QUESTION[:-1]} | {
        "detail": f"mill mill/0: 100% of its question, characters 8-{end}"
    }
    assert found.losses == []


def test_a_document_that_is_nothing_but_an_item_is_lost_with_its_reason(benchmark):
    found = edited(Decontaminate(benchmarks=(benchmark,), action="cut"), QUESTION.rstrip("?"))
    ((loss),) = found.losses
    assert (loss.row, loss.rule, loss.value, loss.threshold) == (0, "nothing_left", 1.0, 0.5)
    assert loss.detail.startswith("mill mill/0: 100% of its question")


def test_gpt3_cuts_200_characters_on_either_side_and_drops_short_pieces(benchmark):
    filler = "grain " * 100  # 600 characters
    found = edited(
        Decontaminate(benchmarks=(benchmark,), method="ngram", action="cut"), f"{filler}{QUESTION} {filler}", "short " + QUESTION
    )
    # 200 characters back from 600 lie in a word, which goes with them: it begins at 396; 200 from the question mark on end a word
    text = found.table["text"].to_pylist()[0]
    assert text == "grain " * 66 + "grain " * 67
    assert [(loss.row, loss.rule) for loss in found.losses] == [(1, "nothing_left")]


def test_gpt3_drops_a_document_of_more_than_ten_pieces(benchmark):
    filler = "grain " * 200
    stage = Decontaminate(benchmarks=(benchmark,), method="ngram", action="cut")
    of_ten, of_eleven = (filler + f"{QUESTION} {filler}" * cuts for cuts in (9, 10))
    found = edited(stage, of_ten, of_eleven)
    assert [(loss.row, loss.rule, loss.value, loss.threshold) for loss in found.losses] == [(1, "too_many_pieces", 11.0, 10.0)]
    assert 0 < len(found.table["text"][0].as_py()) < len(of_ten)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"flavour": "palm"}, "flavours are of method: ngram"),
        ({"method": "substring", "share": 0.5}, "where one match is enough"),
        ({"method": "ngram", "share": 0.5}, "where one match is enough"),
        ({"method": "substring", "words": 13}, "compares 50 characters"),
        ({"common": 5}, "flavour: gpt3"),
        ({"window": 200}, "one of action: cut"),
        ({"action": "cut", "shortest": 14}, "more than an n-gram of 13"),
        ({"method": "embeddings"}, "Input should be"),
        ({"action": "drop"}, "Input should be"),
        ({"share": 0}, "greater than 0"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given, told):
    with pytest.raises(ValueError, match=told):
        Decontaminate(benchmarks=("x.jsonl",), **given)


def test_a_stage_without_benchmarks_or_before_the_corpus_says_so(benchmark):
    with pytest.raises(StageUnavailable, match="--benchmarks FILE"):
        Decontaminate().set_up()
    with pytest.raises(TypeError, match="has not seen the corpus"):
        Decontaminate(benchmarks=(benchmark,)).judge(Batch.of(pa.table({"text": ["x"], "source": ["s"]})))
