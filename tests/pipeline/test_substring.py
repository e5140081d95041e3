"""Exact substrings over the engine: what is cut is what a suffix array of the whole corpus finds."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydivsufsort import divsufsort, kasai

from gristmill.pipeline import window_cut_tasks
from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.recipe import Recipe, recipe_from_resolved
from gristmill.pipeline.runs import RunResult, run
from gristmill.stages.substring import Substring
from tokenizers import Tokenizer, models, pre_tokenizers


def repeated(documents: list[list[int]], length: int) -> list[np.ndarray]:
    """Which units of each document stand in windows of `length` that occur twice, by a suffix array of all documents."""
    marked = [np.zeros(len(one), dtype=bool) for one in documents]
    numbers = {value: at for at, value in enumerate(sorted({value for one in documents for value in one}))}
    # numbers of 4 bytes, highest byte first, each document ended by a number of its own: no repeat spans two
    joined = [[numbers[value] for value in one] + [len(numbers) + at] for at, one in enumerate(documents)]
    data = np.concatenate([np.array(one, dtype=">u4") for one in joined]).view(np.uint8).copy()
    suffixes = divsufsort(data)
    shared = kasai(data, suffixes)
    whole = np.flatnonzero(suffixes % 4 == 0)
    # the units that neighbouring suffixes of whole units share: the least over those between them
    common = np.minimum.reduceat(shared, whole)[:-1] // 4 if len(whole) > 1 else np.zeros(0)
    repeats = np.zeros(len(data) // 4 + 1, dtype=np.int64)
    for left, right in zip(whole[:-1][common >= length], whole[1:][common >= length], strict=True):
        for suffix in (left, right):
            begin = suffixes[suffix] // 4
            repeats[begin] = max(repeats[begin], length)
    covered, until = np.zeros(len(repeats), dtype=bool), 0
    for at in range(len(repeats)):
        until = max(until, at + repeats[at])
        covered[at] = at < until
    begin = 0
    for one in marked:
        one[:] = covered[begin : begin + len(one)]
        begin += len(one) + 1
    return marked


def later(documents: list[list[int]], length: int) -> list[np.ndarray]:
    """Which units stand in windows that occurred before, by a dictionary."""
    seen: set[tuple[int, ...]] = set()
    marked = [np.zeros(len(one), dtype=bool) for one in documents]
    for one, marks in zip(documents, marked, strict=True):
        for at in range(len(one) - length + 1):
            window = tuple(one[at : at + length])
            if window in seen:
                marks[at : at + length] = True
            seen.add(window)
    return marked


def recipe(folder: Path, texts: list[str], stage: Substring, **more) -> Recipe:
    path = folder / "s.jsonl"
    path.write_text("".join(json.dumps({"id": f"s{at}", "text": text}) + "\n" for at, text in enumerate(texts)))
    sources = {"s": {"read": {"format": "jsonl", "id": "column", "paths": [str(path)]}}}
    off = {"guardrails": {"enabled": False}, "output": {"edits": True}, "ledger": {"text": "all"}}
    return recipe_from_resolved({"name": "test", "sources": sources, "stages": [stage]} | off | more)


def carry_out(recipe: Recipe, output: Path, workers: int = 0) -> RunResult:
    return run(recipe, output=output, workers=workers, quiet=True)


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def left_of(folder: Path, count: int) -> list[str]:
    """The text of each document, "" for those that were removed."""
    kept = {row["id"]: row["text"] for row in rows(folder, "documents")}
    return [kept.get(f"s{at}", "") for at in range(count)]


PIECES = st.sampled_from(["a", "b", "ab" * 5, "aabbabab", "a" * 20, "babaabbbab", "é", "日本語"])
TEXTS = st.lists(st.lists(PIECES, max_size=8).map("".join), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.sampled_from([8, 11, 16]), st.sampled_from([1, 40, 10**6]), st.booleans())
def test_bytes_that_are_cut_are_those_that_a_suffix_array_finds(tmp_path_factory, texts, length, size, first):
    folder = tmp_path_factory.mktemp("run")
    stage = Substring(unit="bytes", min_length=length, min_characters=0, keep="first" if first else "none")
    carry_out(recipe(folder, texts, stage, partition_bytes=size), folder / "out")
    marked = (later if first else repeated)([list(text.encode()) for text in texts], length)
    expected = []
    for text, marks in zip(texts, marked, strict=True):
        left, at = "", 0
        for character in text:  # a character goes when all of its bytes do
            bytes_ = len(character.encode())
            left += "" if marks[at : at + bytes_].all() else character
            at += bytes_
        expected.append(left)
    assert left_of(folder / "out", len(texts)) == expected


WORDS = st.lists(
    st.lists(st.sampled_from(["a", "b", "cc", "the same words again and", "x"]), max_size=40), min_size=1, max_size=5
)


@settings(max_examples=15, deadline=None)
@given(WORDS, st.sampled_from([1, 60, 10**6]), st.sampled_from([5, 1 << 21]))
def test_words_that_are_cut_are_those_that_a_suffix_array_finds(tmp_path_factory, lists, size, chunk):
    folder = tmp_path_factory.mktemp("run")
    texts = [" ".join(words) for words in lists]
    before = window_cut_tasks.CHUNK_WINDOWS, window_cut_tasks.CHUNK_GRAMS
    window_cut_tasks.CHUNK_WINDOWS = window_cut_tasks.CHUNK_GRAMS = chunk
    try:
        carry_out(recipe(folder, texts, Substring(min_length=8, min_characters=0), partition_bytes=size), folder / "out")
    finally:
        window_cut_tasks.CHUNK_WINDOWS, window_cut_tasks.CHUNK_GRAMS = before
    numbers = {word: at for at, word in enumerate(sorted({word for text in texts for word in text.split()}))}
    marked = repeated([[numbers[word] for word in text.split()] for text in texts], 8)
    left = []
    for text, marks in zip(texts, marked, strict=True):
        left.append([word for word, gone in zip(text.split(), marks, strict=True) if not gone])
    assert [text.split() for text in left_of(folder / "out", len(texts))] == left


def real_texts(shared_data: Path) -> list[str]:
    """Some 600 KB of documentation, a factbook with boilerplate, and questions that are like each other."""
    found = []
    for name, count in (("docs", 12), ("encyclopedic", 8), ("qa", 150)):
        with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            found += [json.loads(line)["text"] for line, _ in zip(file, range(count), strict=False)]
    return found


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory) -> str:
    """A byte-level tokenizer of all pairs of lower-case letters: a character may be several tokens, a token two characters."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pairs = [(one, other) for one in letters for other in letters]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*alphabet, *(one + other for one, other in pairs)])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return str(path)


def expected_by(texts: list[str], unit: str, tokenizer: str) -> list[str]:
    """What is left of the texts when 50 units that repeat go, by a suffix array; each step written for its own sake."""
    if unit == "bytes":
        units = [list(text.encode()) for text in texts]
        places = [[(at, at + 1) for at in range(len(one))] for one in units]
    elif unit == "words":
        numbers: dict[str, int] = {}
        units = [[numbers.setdefault(word, len(numbers)) for word in text.split()] for text in texts]
        places = []
        for text in texts:
            starts, at = [], 0
            for word in text.split():
                at = text.index(word, at)
                starts.append(len(text[:at].encode()))
                at += len(word)
            places.append(list(zip(starts, [*starts[1:], len(text.encode())], strict=True)))
    else:
        encodings = [Tokenizer.from_file(tokenizer).encode(text) for text in texts]
        units = [encoding.ids for encoding in encodings]
        places = []
        for text, encoding in zip(texts, encodings, strict=True):
            ends = np.cumsum([0] + [len(character.encode()) for character in text]).tolist()
            places.append([(ends[begin], ends[end]) for begin, end in encoding.offsets])
    left = []
    for text, one, marks in zip(texts, places, repeated(units, 50), strict=True):
        gone = np.zeros(len(text.encode()), dtype=bool)
        stays = np.zeros(len(gone), dtype=bool)
        for (begin, end), mark in zip(one, marks, strict=True):
            (gone if mark else stays)[begin:end] = True
        if unit == "tokenizer":
            gone &= ~stays  # tokens that are parts of one character
        kept, at = [], 0
        for character in text:
            size = len(character.encode())
            if not gone[at : at + size].all():
                kept.append(character)
            at += size
        left.append("".join(kept))
    return left


@pytest.mark.parametrize("unit", ["words", "bytes", "tokenizer"])
def test_on_real_text_the_same_is_cut_as_by_a_suffix_array(shared_data, tmp_path, tokenizer, unit):
    texts = [
        *real_texts(shared_data),
        "日本語の文章です。" * 30,
        "x日本語の文章です。" * 20,
        "ÄÖÜ" * 40,
        "🙂🙃" * 30 + "ÄÖÜ" * 20,
    ]
    stage = Substring(unit=unit, tokenizer=tokenizer if unit == "tokenizer" else None, min_characters=0)
    carry_out(recipe(tmp_path, texts, stage, partition_bytes=100_000), tmp_path / "out")
    expected = expected_by(texts, unit, tokenizer)
    assert left_of(tmp_path / "out", len(texts)) == expected
    share = 1 - sum(map(len, expected)) / sum(map(len, texts))
    assert 0.02 < share < 0.6  # so that there was something to find
    cuts: dict[str, list[tuple[int, int, str]]] = {}
    for row in rows(tmp_path / "out", "edits"):
        cuts.setdefault(row["id"], []).append((row["start"], row["end"], row["text"]))
    for at, text in enumerate(texts):
        left, end = "", 0
        for start, stop, cut in cuts.get(f"s{at}", []):
            assert text[start:stop] == cut
            assert start >= end
            left, end = left + text[end:start], stop
        assert left + text[end:] == expected[at]


def test_the_first_copy_stays_and_names_itself_for_those_that_fall(tmp_path):
    repeat = "one two three four five six seven eight nine ten"
    texts = [f"Before it. {repeat} And after.", repeat, f"{repeat} is here again, with much that is new behind it."]
    stage = Substring(min_length=10, keep="first")
    carry_out(recipe(tmp_path, texts, stage, partition_bytes=10), tmp_path / "out")
    assert left_of(tmp_path / "out", 3) == [texts[0], "", "is here again, with much that is new behind it."]
    (lost,) = rows(tmp_path / "out", "removed")
    assert [lost[name] for name in ("id", "rule", "value", "threshold", "kept_id")] == ["s1", "too_short", 0.0, 20.0, "s0"]


def test_no_copy_stays_where_none_is_to(tmp_path):
    repeat = "one two three four five six seven eight nine ten"
    texts = [f"Before it there is this. {repeat} And after.", repeat, "Nothing of this is said twice, so it stays."]
    result = carry_out(recipe(tmp_path, texts, Substring(min_length=10)), tmp_path / "out")
    assert left_of(tmp_path / "out", 3) == ["Before it there is this. And after.", "", texts[2]]
    (lost,) = rows(tmp_path / "out", "removed")
    assert lost["kept_id"] is None
    (counts,) = [row for row in result.funnel["rows"] if row["stage"] == "substring"]
    assert [counts[name] for name in ("in", "kept", "removed", "edited", "rules")] == [3, 2, 1, 1, {"too_short": 1}]


@pytest.mark.parametrize(("most", "left"), [(0.0, [False, False, True]), (0.6, [True, False, True])])
def test_documents_are_dropped_by_the_share_that_repeats_and_others_stay_whole(tmp_path, most, left):
    texts = ["0123456789abcdefghij", "0123456789!", "nothing here repeats"]  # ten bytes: a half, 10 of 11, nothing
    stage = Substring(unit="bytes", min_length=10, policy="drop", max_share=most)
    carry_out(recipe(tmp_path, texts, stage), tmp_path / "out")
    assert left_of(tmp_path / "out", 3) == [text if stays else "" for text, stays in zip(texts, left, strict=True)]
    lost = {row["id"]: (row["rule"], row["value"], row["threshold"]) for row in rows(tmp_path / "out", "removed")}
    assert lost["s1"] == ("repeated_text", 10 / 11, most)
    assert rows(tmp_path / "out", "edits") == []


@pytest.mark.parametrize(
    ("texts", "none", "first"),
    [
        ([], [], []),
        (["alone and not long"], ["alone and not long"], ["alone and not long"]),
        (["short"] * 3, ["short"] * 3, ["short"] * 3),
        (["a text that is the same as all others"] * 30, [""] * 30, ["a text that is the same as all others"] + [""] * 29),
        (["a" * 40], [""], ["a"]),
        (["ab" * 20 + "c"], ["c"], ["abc"]),
        (["0123456789", "6789012345"], ["0123456789", "6789012345"], ["0123456789", "6789012345"]),
        (["", "0123456789", "", "0123456789"], [""] * 4, ["", "0123456789", "", ""]),
    ],
)
def test_corpora_at_the_edge_are_no_special_cases(tmp_path, texts, none, first):
    for keep, expected in (("none", none), ("first", first)):
        for size in (1, 10**6):
            stage = Substring(unit="bytes", min_length=10, keep=keep, min_characters=0)
            carry_out(recipe(tmp_path, texts, stage, partition_bytes=size), tmp_path / f"{keep}{size}")
            assert left_of(tmp_path / f"{keep}{size}", len(texts)) == expected


def test_the_same_bytes_come_out_however_the_corpus_is_cut_and_with_two_workers(tmp_path, shared_data):
    texts = real_texts(shared_data)[::3]
    found = []
    for size, workers in ((20_000, 0), (10**7, 0), (150_000, 2)):
        output = tmp_path / f"{size}"
        stage = Substring(unit="bytes", min_length=50, keep="first", max_share=0.5)
        carry_out(recipe(tmp_path, texts, stage, partition_bytes=size), output, workers)
        names = ("documents", "removed", "edits", "signals", "index")
        files = [file for name in names for file in sorted((output / name).rglob("*.parquet"))]
        found.append({str(file.relative_to(output)): file.read_bytes() for file in files})
    assert found[0] == found[1] == found[2]
    assert any(name.startswith("edits/") for name in found[0])
    assert any(name.startswith("removed/") for name in found[0])


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            ["--unit", "tokenizer", "--tokenizer", "none.json"],
            "none.json: No such file or directory; give the path of a tokenizer",
        ),
        (["--unit", "tokenizer", "--tokenizer", "in.jsonl"], "in.jsonl is no tokenizer.json"),
        (["--unit", "tokenizer"], "none is given; unit: tokenizer takes the path of a tokenizer.json"),
        (["--tokenizer", "in.jsonl"], "unit is words; unit: tokenizer takes the path of a tokenizer.json, other units none"),
        (["--min-length", "7"], "should be greater than or equal to 8"),
        (["--policy", "drop"], "policy: drop needs one, 0 drops every document with a repeat"),
        (["--unit", "bytes", "--words", "uax29"], "words: is uax29, and unit is bytes; set unit: words"),
    ],
)
def test_settings_that_cannot_work_are_told_before_anything_is_written(tmp_path, monkeypatch, capsys, flags, told):
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"id": "1", "text": "some words"}\n')
    assert exit_status(["stage", "substring", "in.jsonl", "out", *flags, "--workers", "0"]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert not Path("out").exists()


def test_the_stage_runs_as_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = "The same thing is said here, word for word, as in the other document. "
    texts = [line + "This one has an end of its own.", line + "And so does this, which is another one."]
    Path("in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert exit_status(["stage", "substring", "in.jsonl", "out", "--min-length", "10", "--workers", "0"]) == 0
    assert [row["text"] for row in rows(Path("out"), "documents")] == [text.removeprefix(line) for text in texts]
