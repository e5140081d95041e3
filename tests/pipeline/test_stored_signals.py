"""`signals/` holds the values of all documents that came to a filter, kept and removed alike, before and after each editor."""

import gzip
import json

import pyarrow.parquet as pq

from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run

SENTENCE = "The mill stands where the river bends and have turned to grind of that with the wheat. "
TEXTS = {"kept": SENTENCE * 10 + "\n3 likes", "edited_away": "the of and to\nHELLO WORLD", "removed": "a short one"}


def words(name, least):
    off = ("max_words", "min_word_length", "max_word_length", "max_symbols_per_word", "max_bullet_lines", "max_ellipsis_lines")
    more = ("min_words_with_a_letter", "min_stop_words")
    return {"gopher_quality": {"name": name, **dict.fromkeys((*off, *more)), "min_words": least}}


def test_each_version_of_the_text_has_its_rows_and_each_step_its_columns(tmp_path):
    rows = [{"id": name, "text": text} for name, text in TEXTS.items()]
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    stages = [words("before", 4), words("strict", 5), {"line_corrections": {"max_removed_words": None}}, words("after", 10)]
    source = {"read": {"format": "jsonl", "paths": [str(tmp_path / "in.jsonl.gz")], "id": "column"}, "stages": stages}
    run(
        recipe_from_resolved({"name": "signals", "sources": {"a": source}, "guardrails": {"enabled": False}}),
        output=tmp_path / "run",
        workers=0,
        quiet=True,
    )
    before, after = (pq.read_table(path).to_pylist() for path in sorted((tmp_path / "run" / "signals").glob("*.parquet")))
    # the second filter measured what the first one removes, too
    assert {row["id"]: (row["before.word_count"], row["strict.word_count"]) for row in before} == {
        "kept": (172, 172),
        "edited_away": (6, 6),
        "removed": (3, 3),
    }
    assert {row["id"]: row["after.word_count"] for row in after} == {"kept": 170, "edited_away": 4}
    assert {row["id"] for row in pq.read_table(tmp_path / "run" / "documents").to_pylist()} == {"kept"}
