"""Decontamination in runs: the laws, and what the run folder tells of benchmarks."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.decontaminate import Decontaminate
from gristmill.stages.exact import Exact
from gristmill.stages.stage import StageUnavailable

ITEMS = [" ".join(f"w{item}x{at}" for at in range(20)) for item in range(4)]
WORDS = [item.split() for item in ITEMS]
TEXTS = {
    "web": [f"start {ITEMS[0]} end", "nothing here", " ".join(WORDS[1][:15]), " ".join(WORDS[3][:4])],
    "books": ["a chapter", f"{ITEMS[0]} and {' '.join(WORDS[2][:14])}", " ".join(WORDS[1][2:])],
}


@pytest.fixture
def benchmark(tmp_path) -> str:
    path = tmp_path / "mill.jsonl"
    rows = [{"id": f"mill/{at}", "text": text} for at, text in enumerate([*ITEMS, "too short"])]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def carry_out(folder: Path, stages: list, output: str, size: int = 10**6, texts: dict[str, list[str]] = TEXTS) -> Path:
    sources = {}
    for name, held in texts.items():
        path = folder / f"{name}.jsonl"
        path.write_text("\n".join(json.dumps({"id": f"{name}{at}", "text": text}) for at, text in enumerate(held)))
        sources[name] = {"read": {"format": "jsonl", "id": "column", "paths": [str(path)]}}
    recipe = {"name": "test", "sources": sources, "stages": stages, "partition_bytes": size, "output": {"edits": True}}
    run(recipe_from_resolved(recipe), output=folder / output, workers=0, quiet=True)
    return folder / output


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def findings(folder: Path) -> dict:
    ((stage),) = json.loads((folder / "contamination.json").read_text())["stages"]
    return stage


def test_documents_that_hold_items_are_removed_and_items_told_clean_or_not(tmp_path, benchmark):
    out = carry_out(tmp_path, [Decontaminate(benchmarks=(benchmark,), share=0.8)], "out")
    assert [row["id"] for row in rows(out, "documents")] == ["books0", "web1", "web2", "web3"]
    assert {(row["id"], row["rule"], row["value"], row["threshold"]) for row in rows(out, "removed")} == {
        ("web0", "contaminated", 1.0, 0.8),
        ("books1", "contaminated", 1.0, 0.8),
        ("books2", "contaminated", 0.9, 0.8),
    }
    told = findings(out)
    assert told["documents"] == {"books": 3, "web": 4}
    assert told["documents_left"] == {"books": 1, "web": 3}
    assert told["benchmarks"] == [
        {
            "benchmark": "mill",
            "items": 5,
            "looked_for": 4,
            "found": 2,
            "found_in": {"books": 2, "web": 1},
            "touched": 3,
            "left": 0,
            "clean": 4,
        }
    ]
    # w1: 15 words of it in web, the last 18 in books, all of it in both; 15 are left in web2
    assert [(item["id"], item["share"], item["left"], item["sources"]) for item in told["items"]] == [
        ("mill/0", 1.0, 0.0, {"books": 1.0, "web": 1.0}),
        ("mill/1", 1.0, 0.75, {"books": 0.9, "web": 0.75}),
        ("mill/2", 0.7, 0.0, {"books": 0.7}),
    ]
    assert told["clean"] == {"mill": ["mill/0", "mill/1", "mill/2", "mill/3"]}
    assert told["not_looked_for"] == {"mill": ["mill/4"]}


@pytest.mark.parametrize("action", ["remove", "cut", "report"])
def test_the_outcome_is_the_same_however_the_corpus_is_cut(tmp_path, benchmark, action):
    stage = Decontaminate(benchmarks=(benchmark,), action=action)
    one, many = (carry_out(tmp_path, [stage], f"out{size}", size) for size in (10**6, 1))
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.suffix in (".parquet", ".json"))
    published = [name for name in names if name.parts[0] not in ("work", "run.json")]
    assert Path("contamination.json") in published
    assert all((one / name).read_bytes() == (many / name).read_bytes() for name in published)


@pytest.mark.parametrize("action", ["remove", "cut", "report"])
def test_with_embeddings_too_the_outcome_is_the_same_however_the_corpus_is_cut(tmp_path, benchmark, action, monkeypatch):
    # vectors that equal letters make equal; the library itself is tried in tests/stages
    monkeypatch.setattr("gristmill.stages.contamination_similarity.model_vectors", by_letters)
    (tmp_path / "model").mkdir()
    given = {"method": "embedding", "model": str(tmp_path / "model"), "similarity_at_least": 0.999}
    stage = Decontaminate(benchmarks=(benchmark,), action=action, **given)
    texts = {"web": [f"a chapter\n\n{ITEMS[0]}", "zzz"], "books": [ITEMS[1], "yyy", " ".join(reversed(WORDS[2]))]}
    one, many = (carry_out(tmp_path, [stage], f"out{size}", size, texts) for size in (10**6, 1))
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.suffix in (".parquet", ".json"))
    published = [name for name in names if name.parts[0] not in ("work", "run.json")]
    assert all((one / name).read_bytes() == (many / name).read_bytes() for name in published)
    told = findings(one)
    # the chapter is short and goes with the item: its letters bring the passage below the bound
    assert (told["method"], told["benchmarks"][0]["found_in"]) == ("embedding", {"books": 2, "web": 0})
    assert told["benchmarks"][0]["left"] == (2 if action == "report" else 0)
    removed = {row["id"] for row in rows(one, "removed")}
    assert removed == (set() if action == "report" else {"books0", "books2"})
    assert "similarity to it is at least 0.999" in (one / "report.html").read_text()
    # the third item stands there backwards, with the same letters; the last stands nowhere
    assert told["nearest"] == [
        {"benchmark": "mill", "id": f"mill/{item}", "similarity": likeness(ITEMS[item], texts[source][int(document[-1])])}
        | {"document": document, "source": source, "start": 0, "end": len(texts[source][int(document[-1])])}
        for item, (source, document) in enumerate(
            [("web", "web0"), ("books", "books0"), ("books", "books2"), nearest_by_hand(ITEMS[3], texts)]
        )
    ]
    assert [one["similarity"] for one in told["nearest"][1:3]] == [1.0, 1.0]


def likeness(text: str, other: str) -> float:
    """Cosine similarity of two texts."""
    (first, second), _ = by_letters("", [text, other])
    return round(float(first.astype(float) @ second.astype(float)), 6)


def nearest_by_hand(item: str, texts: dict[str, list[str]]) -> tuple[str, str]:
    """Source and document whose text, taken as one passage, is the most similar."""
    found = [(likeness(item, text), source, f"{source}{at}") for source, held in texts.items() for at, text in enumerate(held)]
    _, source, document = max(found)
    return source, document


def by_letters(folder: str, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Counts of some characters in texts, made vectors of length 1."""
    counts = np.array([[text.count(character) for character in "0123456789xwaz"] for text in texts], dtype=np.float32)
    counts = counts.reshape(len(texts), 14) + np.float32(0.001)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True), np.arange(len(texts))


def test_cut_keeps_the_documents_and_tells_what_was_cut(tmp_path, benchmark):
    out = carry_out(tmp_path, [Decontaminate(benchmarks=(benchmark,), action="cut")], "out")
    texts = {row["id"]: row["text"] for row in rows(out, "documents")}
    assert texts == {
        "web0": "start  end",
        "web1": TEXTS["web"][1],
        "web3": TEXTS["web"][3],
        "books0": "a chapter",
        "books1": " and ",
    }
    assert {(row["id"], row["start"], row["end"]) for row in rows(out, "edits")} >= {("web0", 6, 6 + len(ITEMS[0]))}
    assert {(row["id"], row["rule"]) for row in rows(out, "removed")} == {("web2", "nothing_left"), ("books2", "nothing_left")}
    funnel = json.loads((out / "funnel.json").read_text())["rows"]
    for row in funnel:
        assert row["in"] == row["kept"] + row["removed"]
    assert [row["edited"] for row in funnel if row["stage"] == "decontaminate"] == [1, 1]
    assert findings(out)["benchmarks"][0]["left"] == 0


def test_report_leaves_the_documents_and_the_items_where_they_are(tmp_path, benchmark):
    out = carry_out(tmp_path, [Decontaminate(benchmarks=(benchmark,), action="report")], "out")
    assert len(rows(out, "documents")) == 7
    told = findings(out)
    assert (told["benchmarks"][0]["found"], told["benchmarks"][0]["left"]) == (3, 3)
    assert told["clean"] == {"mill": ["mill/3"]}
    signals = {row["id"]: row["decontaminate.contamination"] for row in rows(out, "signals")}
    assert signals["web2"] == 0.75
    assert signals["web1"] == 0.0


def test_the_report_shows_benchmarks_and_the_items_most_of_which_are_there(tmp_path, benchmark):
    page = (carry_out(tmp_path, [Decontaminate(benchmarks=(benchmark,))], "out") / "report.html").read_text()
    assert "Benchmarks in the corpus" in page
    assert "<b>mill</b> <code>mill/0</code>" in page
    assert "books 3, web 2" in page


def test_a_corpus_without_documents_leaves_all_items_clean(tmp_path, benchmark):
    out = carry_out(tmp_path, [Decontaminate(benchmarks=(benchmark,))], "out", texts={"web": []})
    assert findings(out)["clean"] == {"mill": ["mill/0", "mill/1", "mill/2", "mill/3"]}


def test_a_run_without_the_stage_takes_the_file_of_the_last_run_away(tmp_path, benchmark):
    out = carry_out(tmp_path, [Decontaminate(benchmarks=(benchmark,))], "out")
    assert (out / "contamination.json").exists()
    carry_out(tmp_path, [Exact()], "out")
    assert not (out / "contamination.json").exists()
    assert "Benchmarks in the corpus" not in (out / "report.html").read_text()


def test_two_steps_of_one_run_are_told_one_after_the_other(tmp_path, benchmark):
    stages = [
        Decontaminate(name="first", benchmarks=(benchmark,), action="report"),
        Decontaminate(name="second", benchmarks=(benchmark,), method="ngram", flavour="palm"),
    ]
    told = json.loads((carry_out(tmp_path, stages, "out") / "contamination.json").read_text())["stages"]
    assert [(stage["stage"], stage["method"]) for stage in told] == [("first", "weighted"), ("second", "palm")]


def test_a_changed_benchmark_is_looked_for_anew(tmp_path, benchmark):
    stages = [Decontaminate(benchmarks=(benchmark,))]
    out = carry_out(tmp_path, stages, "out")
    assert len(rows(out, "documents")) == 3
    Path(benchmark).write_text(json.dumps({"id": "other", "text": "an item of another kind that nobody has ever written"}))
    assert len(rows(carry_out(tmp_path, stages, "out"), "documents")) == 7


def test_a_benchmark_without_the_field_stops_the_run_before_it_begins(tmp_path, benchmark):
    Path(benchmark).write_text('{"body": "x"}')
    with pytest.raises(StageUnavailable, match=r"mill.jsonl:1 has no field text"):
        carry_out(tmp_path, [Decontaminate(benchmarks=(benchmark,))], "out")
    assert not (tmp_path / "out").exists()
