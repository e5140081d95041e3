"""Corpus filters, on one of the tests' own: keep the longest share of the corpus."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.pipeline.survey_tasks import HIGHEST, add_totals, highest_of
from gristmill.stages.corpus_filter import CorpusFilter, Survey
from gristmill.stages.documents import Batch
from gristmill.stages.filter import Filter, Rule


class LongestHalf(CorpusFilter):
    """Keeps documents of at least the corpus's median number of characters."""

    kind: ClassVar[str] = "longest_half"
    bound: float | None = None

    def rules(self) -> Iterator[Rule]:
        yield Rule("too_short", "characters", at_least=self.bound)

    def survey(self, batch: Batch) -> Survey:
        lengths = pc.utf8_length(batch.table["text"]).to_numpy()
        return Survey({"lengths": np.bincount(lengths)}, {"characters": lengths.astype(np.float64)})

    def settled(self, totals: Mapping[str, np.ndarray]) -> Filter:
        below = np.cumsum(totals["lengths"]) if totals else np.zeros(1)
        return self.model_copy(update={"bound": float(np.searchsorted(below, below[-1] / 2))})

    def measure(self, batch: Batch) -> dict[str, np.ndarray]:
        return {"characters": batch.given["characters"]}


def carry_out(folder: Path, texts: dict[str, list[str]], size: int, output: str) -> dict:
    sources = {}
    for name, held in texts.items():
        path = folder / f"{name}.txt"
        path.write_text("\n".join(f'{{"id": "{name}{at}", "text": "{text}"}}' for at, text in enumerate(held)))
        sources[name] = {"read": {"format": "jsonl", "id": "column", "paths": [str(path)]}}
    recipe = {"name": "test", "sources": sources, "stages": [LongestHalf()], "partition_bytes": size}
    return run(recipe_from_resolved(recipe), output=folder / output, workers=0, quiet=True).funnel


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


@pytest.mark.parametrize("size", [5, 10**6])
def test_the_threshold_is_that_of_the_whole_corpus_however_it_is_cut(tmp_path, size):
    texts = {"x": ["a", "aa", "aaa"], "y": ["aaaa", "aaaaa", "a"]}
    carry_out(tmp_path, texts, size, "out")
    # lengths 1 1 2 3 4 5: three documents have at most 2 characters
    assert [row["id"] for row in rows(tmp_path / "out", "documents")] == ["x1", "x2", "y0", "y1"]
    assert [(row["id"], row["value"], row["threshold"]) for row in rows(tmp_path / "out", "removed")] == [
        ("x0", 1.0, 2.0),
        ("y2", 1.0, 2.0),
    ]
    signals = {row["id"]: row["longest_half.characters"] for row in rows(tmp_path / "out", "signals")}
    assert signals == {"x0": 1, "x1": 2, "x2": 3, "y0": 4, "y1": 5, "y2": 1}


def test_an_empty_corpus_is_judged_too(tmp_path):
    funnel = carry_out(tmp_path, {"x": []}, 100, "out")
    assert [(row["stage"], row["in"]) for row in funnel["rows"]] == [("read", 0), ("longest_half", 0)]


ARRAYS = st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 9), max_size=4).map(np.array))


@given(st.lists(ARRAYS, max_size=5), st.randoms())
def test_sums_hang_on_no_order(surveys, random):
    def total(of: list) -> dict:
        held: dict = {}
        for one in of:
            held = add_totals(held, {name: counts.astype(np.int64) for name, counts in one.items()})
        return {name: counts.tolist() for name, counts in held.items()}

    shuffled = random.sample(surveys, len(surveys))
    assert total(surveys) == total(shuffled)


def found(*rows: tuple[int, float, str, int, int]) -> pa.Table:
    """Rows of key, value, file, position and start."""
    return pa.table(
        {
            "key": [row[0] for row in rows],
            "value": [row[1] for row in rows],
            "id": [f"{row[2]}{row[3]}" for row in rows],
            "source": ["web"] * len(rows),
            "file": [row[2] for row in rows],
            "position": [row[3] for row in rows],
            "start": [row[4] for row in rows],
            "end": [row[4] + 1 for row in rows],
        },
        schema=HIGHEST,
    )


def test_of_each_key_the_highest_value_is_kept_and_of_equal_ones_the_first():
    first = found((7, 0.5, "b", 0, 0), (2, 0.1, "b", 1, 0))
    second = found((7, 0.5, "a", 9, 4), (7, 0.5, "a", 9, 3), (7, 0.4, "a", 0, 0), (2, 0.2, "c", 1, 0))
    expected = found((2, 0.2, "c", 1, 0), (7, 0.5, "a", 9, 3))
    assert highest_of([first, second]) == highest_of([second, first]) == expected
    assert highest_of([]) == found()


ONE = st.tuples(st.integers(0, 3), st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 2))


@given(st.lists(st.lists(ONE, max_size=6), max_size=5), st.randoms())
def test_the_highest_do_not_hang_on_how_they_were_brought_together(batches, random):
    expected = [
        min((one for batch in batches for one in batch if one[0] == key), key=lambda one: (-one[1], *one[2:]))
        for key in sorted({one[0] for batch in batches for one in batch})
    ]
    tables = [found(*batch) for batch in batches]
    random.shuffle(tables)
    half = random.randint(0, len(tables))
    assert highest_of([highest_of(tables[half:]), highest_of(tables[:half])]) == found(*expected)
