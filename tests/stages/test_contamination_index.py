"""Finding runs of items in documents."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.contamination_index import Looks, index_of, make_index
from gristmill.stages.contamination_items import Item
from gristmill.stages.contamination_kernels import beginning
from gristmill.stages.contamination_tokens import tokens_plainly
from gristmill.stages.features import TextFeatures


def features(texts: list[str]) -> TextFeatures:
    return TextFeatures(pa.array(texts, pa.large_string()))


def runs_plainly(text: str, length: int, shortest: int) -> list[tuple[str, ...]]:
    """All runs by which a question is looked for."""
    words = [word for word, _, _ in tokens_plainly(text, "words")]
    if not words or len(words) < shortest:
        return []
    size = min(length, len(words))
    return [tuple(words[first : first + size]) for first in range(len(words) - size + 1)]


TEXTS = st.lists(st.text(st.sampled_from("ab "), max_size=30), max_size=4)


@given(TEXTS, TEXTS, st.integers(1, 5), st.integers(1, 5))
def test_hits_are_those_of_a_search_word_by_word(questions, texts, length, shortest):
    shortest = min(shortest, length)
    index = make_index(
        [Item("b", str(at), text, "") for at, text in enumerate(questions)], Looks("words", length, shortest, False)
    )
    wanted: dict[tuple[str, ...], set[tuple[int, int]]] = {}
    for number, question in enumerate(questions):
        for place, run in enumerate(runs_plainly(question, length, shortest)):
            wanted.setdefault(run, set()).add((number, place))
    expected = []
    for row, text in enumerate(texts):
        tokens = tokens_plainly(text, "words")
        for first in range(len(tokens)):
            for last in range(first + 1, len(tokens) + 1):
                run = tuple(word for word, _, _ in tokens[first:last])
                if run in wanted:
                    expected.append((row, tokens[first][1], tokens[last - 1][2], wanted[run]))
    found = features(texts)
    hits = index.find(found)
    told = []
    for row, start, end, number in hits.tolist():
        span = slice(index.offsets[number], index.offsets[number + 1])
        holders = set(zip(index.holders[span].tolist(), index.places[span].tolist(), strict=True))
        told.append((row, start - int(found.offsets[row]), end - int(found.offsets[row]), holders))
    key = lambda hit: hit[:3]  # noqa: E731
    assert sorted(told, key=key) == sorted(expected, key=key)


def test_only_the_rows_that_are_asked_for_are_looked_at():
    index = make_index([Item("b", "0", "the mill turns", "")], Looks("words", 3, 3, False))
    found = features(["the mill turns", "the mill turns", "no"])
    assert index.find(found)[:, 0].tolist() == [0, 1]
    assert index.find(found, np.array([1, 2]))[:, 0].tolist() == [1]


def test_answers_are_looked_for_that_are_as_long_as_a_run():
    items = [Item("b", "0", "one two three", "four five six"), Item("b", "1", "one two", "seven eight")]
    index = make_index(items, Looks("words", 3, 2, True))
    assert index.text_runs.tolist() == [1, 1, 1, 0]
    assert index.text_item.tolist() == [0, 0, 1, 1]
    assert len(make_index(items, Looks("words", 3, 2, False)).text_item) == 2


def test_samples_are_drawn_from_the_text_alone():
    text = "".join(chr(ord("a") + at * 7 % 26) for at in range(300))
    looks = Looks("characters", 50, 1, False, 3)
    one = make_index([Item("b", "0", text, "")], looks)
    two = make_index([Item("c", "x", "short", ""), Item("b", "7", text, "")], looks)
    assert 1 <= len(one.keys) <= 3
    assert set(one.keys.tolist()) < set(two.keys.tolist())
    assert two.run_lengths.tolist() == [5, 50]


def test_benchmarks_without_a_text_to_look_for_find_nothing():
    for items in ([], [Item("b", "0", "...", "")], [Item("b", "0", "too short", "")]):
        assert len(make_index(items, Looks("words", 13, 8, True)).find(features(["too short ..."]))) == 0


@pytest.mark.parametrize(("length", "first"), [(1, 1), (2, 2), (3, 2), (8, 8), (13, 8), (50, 32)])
def test_a_run_is_looked_for_by_a_power_of_two_of_its_tokens(length, first):
    assert beginning(length) == first


def test_the_overlaps_known_by_nature_are_found(shared_data):
    """`natural_overlaps` was computed apart, on sets of 13 lower-cased `\\w+` words."""
    folder = shared_data / "benchmarks"
    names = ("mmlu", "boolq")
    index = index_of(tuple(str(folder / f"{name}.jsonl.gz") for name in names), Looks("words", 13, 13, False), None, None)
    with gzip.open(folder / "natural_overlaps.jsonl.gz", "rt") as lines:
        known = [row for row in map(json.loads, lines) if row["benchmark"] in names and row["source"] == "textbooks"]
    with gzip.open(shared_data / "text" / "textbooks.jsonl.gz", "rt") as lines:
        documents = {row["id"]: row["text"] for row in map(json.loads, lines)}
    wanted = sorted({row["doc"] for row in known})
    hits = index.find(features([documents[name] for name in wanted]))
    found = set()
    for row, number in {(row, number) for row, _, _, number in hits.tolist()}:
        for holder in index.holders[index.offsets[number] : index.offsets[number + 1]].tolist():
            found.add((wanted[row], index.items[index.text_item[holder]].id))
    assert len(known) > 10
    assert {(row["doc"], row["item"]) for row in known} <= found
