"""What was cut names who has it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.pipeline.corpus_edit_naming import first_unit_of_cuts
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.documents import Batch
from gristmill.stages.edits import Cut, cuts_table


def carry_out(folder: Path, texts: list[str], stage: dict, *, size: int = 10**6, edits: bool = True) -> list[tuple]:
    """Run an editor; (id, start, end, text, detail) of each cut."""
    path = folder / "s.jsonl"
    path.write_text("".join(json.dumps({"id": f"d{at}", "text": text}) + "\n" for at, text in enumerate(texts)))
    recipe = {
        "name": "test",
        "sources": {"s": {"read": {"format": "jsonl", "id": "column", "paths": [str(path)]}}},
        "stages": [stage],
        "partition_bytes": size,
        "guardrails": {"enabled": False},
        "output": {"edits": edits},
    }
    run(recipe_from_resolved(recipe), output=folder / "out", workers=0, quiet=True)
    files = sorted((folder / "out" / "edits").rglob("*.parquet"))
    columns = ("id", "start", "end", "text", "detail")
    return [tuple(row[name] for name in columns) for file in files for row in pq.read_table(file).to_pylist()]


SENTENCES = ["Wir mahlen Körner.", "Das Rad dreht sich.", "Müller schlafen nie.", "Ende gut."]


@pytest.mark.parametrize("size", [1, 60, 10**6])
def test_each_cut_names_the_document_with_the_first_copy(tmp_path, size):
    texts = ["Ä one\nß two", "own\nÄ one\nown\nß two", "ß two\nlast", "Ä one"]
    assert carry_out(tmp_path, texts, {"lines": {}}, size=size) == [
        ("d1", 3, 9, "\nÄ one", "also in d0"),
        ("d1", 9, 13, "\nown", "also before it in this document"),
        ("d1", 13, 19, "\nß two", "also in d0"),
        ("d2", 0, 6, "ß two\n", "also in d0"),
        ("d3", 0, 5, "Ä one", "also in d0"),
    ]


def test_of_spans_that_are_cut_together_the_first_says_where(tmp_path):
    texts = [" ".join(SENTENCES[:2]), " ".join(SENTENCES[1:3]), " ".join(["Neu.", *SENTENCES[:3], "Noch neu."])]
    stage = {"sentence_spans": {"flavour": "datatrove", "sentences": 2, "min_words_left": 0, "min_sentences_left": 0}}
    (cut,) = carry_out(tmp_path, texts, stage)
    assert cut[0] == "d2"
    assert cut[3].strip() == " ".join(SENTENCES[:3])
    assert cut[4] == "also in d0"


@pytest.mark.parametrize(
    "stage",
    [{"lines": {"flavour": "llama3", "max_copies": 1}}, {"lines": {"memory": 4096}}],
)
def test_where_no_copy_stays_or_none_is_known_nothing_is_named(tmp_path, stage):
    cuts = carry_out(tmp_path, ["same\nown", "same\nother"], stage)
    assert [(one[0], one[4]) for one in cuts][-1] == ("d1", None)


def test_nothing_is_asked_where_cuts_are_not_published(tmp_path):
    assert carry_out(tmp_path, ["same\nown", "same\nother"], {"lines": {}}, edits=False) == []
    steps = [json.loads(path.read_text()) for path in (tmp_path / "out" / "work" / "steps").rglob("*.json")]
    assert not any("edits" in manifest and "ledger" in manifest and "documents" not in manifest for manifest in steps)


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "ä", "漢字", "𝄞x", ""]), max_size=6), min_size=1, max_size=5), st.data())
def test_the_unit_that_begins_in_a_cut_is_found_whatever_the_characters(texts, data):
    table = pa.table({"text": pa.array(["\n".join(units) for units in texts], pa.large_string())})
    units, cuts = [], []
    for row, lines in enumerate(texts):
        character = byte = 0
        for line in lines:
            if data.draw(st.booleans()):
                cuts.append(Cut(row, character, character + len(line) + 1, line))
                units.append((row, byte))
            character, byte = character + len(line) + 1, byte + len(line.encode()) + 1
    if not units:
        return
    rows, starts = (np.array(column, dtype=np.int64) for column in zip(*units, strict=True))
    # the last character of a document has no newline behind it, and is no place where a unit begins
    found = first_unit_of_cuts(Batch(table), rows, starts, cuts_table(cuts))
    assert found.tolist() == list(range(len(units)))
