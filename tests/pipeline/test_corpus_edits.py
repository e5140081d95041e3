"""Corpus editors, on stages of the tests' own: words that repeat in the corpus are cut, and a plain loop says which."""

import json
from collections import Counter
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.pipeline.recipe import Recipe, recipe_from_resolved
from gristmill.pipeline.runs import RunResult, run
from gristmill.stages.corpus_editor import Copies, CorpusEditor
from gristmill.stages.documents import Batch
from gristmill.stages.editor import Edited
from gristmill.stages.edits import Cut, cuts_table, losses_of, with_texts


class RepeatedWords(CorpusEditor):
    """Cuts words of the corpus that stand there before; ASCII texts, so that characters are bytes."""

    kind: ClassVar[str] = "repeated_words"
    stay: int = 1
    tolerated: int = 1
    longest_first: bool = False

    def copies(self) -> Copies:
        return Copies(self.stay, self.tolerated)

    def units(self, batch: Batch) -> list[tuple[str, int, int, int]]:
        found = []
        for row, text in enumerate(batch.table["text"].to_pylist()):
            words = text.split(" ")
            starts = [0, *(end + 1 for end in accumulate((len(word) for word in words), lambda a, b: a + b + 1))]
            found += [(word, row, start, start + len(word)) for word, start in zip(words, starts, strict=False) if word]
        return found

    def emit(self, batch: Batch) -> pa.Table:
        units = self.units(batch)
        hashes = [blake2b(word.encode(), digest_size=16).digest() for word, *_ in units]
        lengths = [len(text) for text in batch.table["text"].to_pylist()]
        columns = {
            "key": pa.array([int.from_bytes(one[:8]) for one in hashes], pa.uint64()),
            "check": pa.array([int.from_bytes(one[8:]) for one in hashes], pa.uint64()),
            "row": pa.array([row for _, row, _, _ in units], pa.int64()),
            "start": pa.array([start for _, _, start, _ in units], pa.int64()),
            "end": pa.array([end for _, _, _, end in units], pa.int64()),
        }
        ranks = {"rank": pa.array([-lengths[row] for _, row, _, _ in units], pa.int64())} if self.longest_first else {}
        return pa.table(columns | ranks)

    def cut(self, batch: Batch, units: pa.Table) -> Edited:
        texts = batch.table["text"].to_pylist()
        gone: dict[int, list[tuple[int, int]]] = {}
        for unit in units.to_pylist():
            gone.setdefault(unit["row"], []).append((unit["start"], unit["end"]))
        new = {}
        for row, spans in gone.items():
            left = [word for word, own, start, end in self.units(batch) if own == row and (start, end) not in spans]
            new[row] = " ".join(left)
        cuts = [Cut(row, start, end, texts[row][start:end]) for row, spans in gone.items() for start, end in spans]
        table = with_texts(batch.table, new)
        return Edited(table, losses_of(batch.table, table), cuts_table(cuts))


def plain(texts: list[str], stay: int, tolerated: int, longest_first: bool) -> list[str]:
    """What the stage does, by a loop over the corpus in its memory."""
    order = sorted(range(len(texts)), key=lambda at: (-len(texts[at]) if longest_first else 0, at))
    total = Counter(word for text in texts for word in text.split(" ") if word)
    seen: Counter[str] = Counter()
    left = [""] * len(texts)
    for at in order:
        words = []
        for word in filter(None, texts[at].split(" ")):
            seen[word] += 1
            if total[word] <= tolerated or seen[word] <= stay:
                words.append(word)
        left[at] = " ".join(words) if len(words) < len([one for one in texts[at].split(" ") if one]) else texts[at]
    return left


def recipe(folder: Path, texts: dict[str, list[str]], stages: list, **more) -> Recipe:
    sources = {}
    for name, held in texts.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"id": f"{name}{at}", "text": text}) + "\n" for at, text in enumerate(held)))
        sources[name] = {"read": {"format": "jsonl", "id": "column", "paths": [str(path)]}}
    off = {"guardrails": {"enabled": False}, "output": {"edits": True}, "ledger": {"text": "all"}}
    return recipe_from_resolved({"name": "test", "sources": sources, "stages": stages} | off | more)


def carry_out(recipe: Recipe, output: Path) -> RunResult:
    return run(recipe, output=output, workers=0, quiet=True)


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


TEXTS = st.lists(st.lists(st.sampled_from(["a", "bb", "cc", "ddd", "eee"]), max_size=6).map(" ".join), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.sampled_from([(1, 1), (0, 1), (2, 2), (0, 3)]), st.booleans(), st.sampled_from([1, 20, 10**6]))
def test_what_is_cut_is_what_a_loop_over_the_corpus_cuts(tmp_path_factory, texts, copies, longest_first, size):
    folder = tmp_path_factory.mktemp("run")
    stage = RepeatedWords(stay=copies[0], tolerated=copies[1], longest_first=longest_first)
    carry_out(recipe(folder, {"s": texts}, [stage], partition_bytes=size), folder / "out")
    expected = plain(texts, *copies, longest_first)
    kept = {row["id"]: row["text"] for row in rows(folder / "out", "documents")}
    # a text that was empty before is never cut, and stays unless something else of its batch is
    gone = {row["id"] for row in rows(folder / "out", "removed")}
    for at, text in enumerate(expected):
        assert (f"s{at}" in kept) != (f"s{at}" in gone)
        assert kept.get(f"s{at}", "") == text


def test_cuts_counts_and_the_document_with_the_first_copy_are_recorded(tmp_path):
    texts = {"x": ["one two", "three"], "y": ["two four", "one three", "five five"]}
    result = carry_out(recipe(tmp_path, texts, [RepeatedWords()]), tmp_path / "out")
    documents = {row["id"]: row["text"] for row in rows(tmp_path / "out", "documents")}
    assert documents == {"x0": "one two", "x1": "three", "y0": "four", "y2": "five"}
    (lost,) = rows(tmp_path / "out", "removed")
    assert {name: lost[name] for name in ("id", "stage", "rule", "kept_id", "text")} == {
        "id": "y1",
        "stage": "repeated_words",
        "rule": "nothing_left",
        "kept_id": "x0",
        "text": "one three",
    }
    cuts = [(row["id"], row["start"], row["end"], row["text"]) for row in rows(tmp_path / "out", "edits")]
    assert cuts == [("y0", 0, 3, "two"), ("y1", 0, 3, "one"), ("y1", 4, 9, "three"), ("y2", 5, 9, "five")]
    counts = {(row["stage"], row["source"]): row for row in result.funnel["rows"]}
    y = counts["repeated_words", "y"]
    assert (y["in"], y["kept"], y["removed"], y["edited"], y["words_in"], y["words_kept"]) == (3, 2, 1, 2, 6, 2)
    assert (y["bytes_in"], y["bytes_kept"]) == (8 + 9 + 9, 4 + 4)
    assert counts["repeated_words", "x"]["kept"] == 2


def test_a_corpus_stage_of_one_source_sees_that_source_alone(tmp_path):
    texts = {"x": ["one two", "one"], "y": ["one", "two"]}
    made = recipe(tmp_path, texts, [])
    own = made.sources["x"].model_copy(update={"stages": [RepeatedWords()]})
    made = made.model_copy(update={"sources": made.sources | {"x": own}})
    carry_out(made, tmp_path / "out")
    assert {row["id"]: row["text"] for row in rows(tmp_path / "out", "documents")} == {"x0": "one two", "y0": "one", "y1": "two"}


def test_the_same_bytes_come_out_however_the_corpus_is_cut(tmp_path):
    texts = {"x": [f"w{at % 7} w{at % 3} only{at}" for at in range(50)], "y": [f"w{at % 5}" for at in range(20)]}
    found = []
    for size in (30, 200, 10**6):
        carry_out(
            recipe(tmp_path, texts, [RepeatedWords(stay=0, tolerated=8), "exact"], partition_bytes=size), tmp_path / str(size)
        )
        names = ("documents", "removed", "edits", "signals", "index")
        files = [file for name in names for file in sorted((tmp_path / str(size) / name).rglob("*.parquet"))]
        found.append({str(file.relative_to(tmp_path / str(size))): file.read_bytes() for file in files})
    assert found[0] == found[1] == found[2]
    assert any(name.startswith("edits/") for name in found[0])


@pytest.mark.parametrize("texts", [{"x": []}, {"x": ["alone"]}, {"x": ["same"] * 40}])
def test_an_empty_corpus_one_document_and_equal_documents_are_no_special_cases(tmp_path, texts):
    carry_out(recipe(tmp_path, texts, [RepeatedWords()], partition_bytes=60), tmp_path / "out")
    assert [row["id"] for row in rows(tmp_path / "out", "documents")] == (["x0"] if texts["x"] else [])
    assert {row["kept_id"] for row in rows(tmp_path / "out", "removed")} <= {"x0"}
