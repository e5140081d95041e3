"""Exact substrings against an earlier run: A, then B against A's index, leave what both leave in one run."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.pipeline import window_cut_tasks
from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.forget import forget
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from tokenizers import Tokenizer, models, pre_tokenizers


def prepare(folder: Path, crawls: dict[str, list[str]], stage: dict, size: int):
    paths = []
    for name, texts in crawls.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"id": f"{name}{at:03}", "text": text}) + "\n" for at, text in enumerate(texts)))
        paths.append(str(path))
    return recipe_from_resolved(
        {
            "name": "test",
            "sources": {"s": {"read": {"format": "jsonl", "id": "column", "paths": paths}}},
            "stages": [{"substring": stage}],
            "partition_bytes": size,
            "guardrails": {"enabled": False},
            "output": {"edits": True},
        }
    )


def carry_out(folder: Path, crawls: dict[str, list[str]], output: str, stage: dict, size: int = 60, workers: int = 0):
    return run(prepare(folder, crawls, stage, size), output=folder / output, quiet=True, workers=workers)


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def outcome(folder: Path) -> dict[str, list]:
    """What became of each document by id: its text and what is known of it or its ledger row, and its cuts."""
    found: dict[str, list] = {row["id"]: [row["text"], row["meta"]] for row in rows(folder, "documents")}
    for row in rows(folder, "removed"):
        found[row["id"]] = [tuple(row[name] for name in ("rule", "value", "threshold", "kept_id"))]
    for row in rows(folder, "edits"):
        found[row["id"]].append((row["start"], row["end"], row["text"]))
    return found


def in_turn(folder: Path, crawls: dict[str, list[str]], stage: dict, size: int, workers: int = 0) -> dict[str, list]:
    """What becomes of the crawls one after the other, each but the first against the index of those before."""
    index = str(folder / "index")
    found: dict[str, list] = {}
    for at, (name, texts) in enumerate(crawls.items()):
        paths = {"index": index} | ({"against": index} if at else {})
        carry_out(folder, {name: texts}, name, stage | paths, size + 13 * at, workers if at else 0)
        found |= outcome(folder / name)
    return found


BYTES = {"unit": "bytes", "min_length": 8, "keep": "first", "min_characters": 2}
PIECES = st.sampled_from(["a", "b", "ab" * 5, "aabbabab", "a" * 12, "babaabbbab", "é", "日本語"])
TEXTS = st.lists(st.lists(PIECES, max_size=6).map("".join), max_size=4)


@settings(max_examples=8, deadline=None)
@given(
    st.tuples(TEXTS, TEXTS, TEXTS),
    st.sampled_from([1, 40, 10**6]),
    st.sampled_from([{}, {"policy": "mask"}, {"policy": "drop", "max_share": 0.5}]),
    st.sampled_from([3, 1 << 21]),
)
def test_crawls_one_after_another_leave_what_they_leave_in_one_run(tmp_path_factory, texts, size, how, chunk):
    folder = tmp_path_factory.mktemp("crawls")
    crawls = dict(zip("abc", texts, strict=True))
    before, window_cut_tasks.CHUNK_WINDOWS = window_cut_tasks.CHUNK_WINDOWS, chunk
    try:
        carry_out(folder, crawls, "whole", BYTES | how)
        found = in_turn(folder, crawls, BYTES | how, size)
    finally:
        window_cut_tasks.CHUNK_WINDOWS = before
    assert found == outcome(folder / "whole")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> str:
    made = Tokenizer(
        models.BPE(vocab={token: at for at, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[])
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return str(path)


@pytest.mark.parametrize("unit", ["words", "bytes", "tokenizer"])
def test_so_do_crawls_of_real_text(tmp_path, shared_data, tokenizer, unit):
    texts: list[str] = []
    for name, count in (("docs", 6), ("encyclopedic", 6), ("qa", 60)):
        with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            texts += [json.loads(line)["text"] for line, _ in zip(file, range(count), strict=False)]
    crawls = {"a": texts[::2], "b": texts[1::2]}
    stage = {"unit": unit, "keep": "first"} | ({"tokenizer": tokenizer} if unit == "tokenizer" else {})
    carry_out(tmp_path, crawls, "whole", stage, 100_000)
    found = in_turn(tmp_path, crawls, stage, 60_000)
    assert found == outcome(tmp_path / "whole")
    alone = carry_out(tmp_path, {"b": crawls["b"]}, "alone", stage, 100_000)
    assert alone is not None
    cut = {name for name, one in found.items() if name[0] == "b" and len(one) > 2}
    assert cut > {name for name, one in outcome(tmp_path / "alone").items() if len(one) > 2}  # A's documents mattered


REPEAT = "one two three four five six seven eight nine ten"
WORDS = {"min_length": 10, "keep": "first"}


def test_the_ledger_names_the_document_of_the_earlier_run(tmp_path):
    found = in_turn(tmp_path, {"a": [f"In A it says: {REPEAT}"], "b": [REPEAT, f"{REPEAT}, and a good deal more."]}, WORDS, 60)
    assert found["b000"][0] == ("too_short", 0.0, 20.0, "a000")
    # "ten," is another word than "ten"
    assert found["b001"][0] == f"{REPEAT}, and a good deal more."


def test_what_the_earlier_run_cut_or_removed_still_counts(tmp_path):
    crawls = {
        "a": [f"{REPEAT} and an end", f"{REPEAT} eleven", "eight nine ten eleven"],
        "b": [f"two {REPEAT.split(' ', 2)[2]} eleven"],
    }
    carry_out(tmp_path, crawls, "whole", WORDS | {"min_length": 8})
    assert in_turn(tmp_path, crawls, WORDS | {"min_length": 8}, 60) == outcome(tmp_path / "whole")


def test_against_alone_leaves_the_index_as_it_is(tmp_path):
    index = tmp_path / "index"
    carry_out(tmp_path, {"a": [REPEAT]}, "a", WORDS | {"index": str(index)})
    before = files(index)
    carry_out(tmp_path, {"b": [f"{REPEAT} and this comes after it in B."]}, "b", WORDS | {"against": str(index)})
    assert outcome(tmp_path / "b")["b000"][0] == "and this comes after it in B."
    assert files(index) == before


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_any_number_of_workers_gives_the_same_bytes_and_the_same_index(tmp_path):
    crawls = {name: [f"own {name} {at} " + " ".join(f"l{at * k % 17}" for k in range(30)) for at in range(25)] for name in "ab"}
    found = []
    for workers in (0, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        in_turn(folder, crawls, WORDS, 500, workers)
        published = {kind: files(folder / "b" / kind) for kind in ("documents", "removed", "edits")}
        # segments are named by the folder of their run, so only what they hold is compared
        index = sorted(data for name, data in files(folder / "index").items() if not name.endswith("index.json"))
        found.append((published, index))
    assert found[0] == found[1]
    assert len(found[0][1]) > 10


def test_an_index_holds_the_texts_as_they_came_to_the_stage(tmp_path):
    texts = [REPEAT, f"{REPEAT} again, and with an end."]
    carry_out(tmp_path, {"a": texts}, "a", WORDS | {"index": str(tmp_path / "index")}, 10**6)
    (pack,) = json.loads((tmp_path / "index/index.json").read_text())["segments"][0]["packs"]
    held = pa.ipc.open_file(tmp_path / "index" / pack["held"]["file"]).read_all()
    assert held.select(["id", "text"]).to_pylist() == [{"id": f"a{at:03}", "text": text} for at, text in enumerate(texts)]


def test_forgotten_documents_leave_the_index(tmp_path):
    index = tmp_path / "index"
    texts = [REPEAT, f"{REPEAT} again, and with an end."]
    carry_out(tmp_path, {"a": texts}, "a", WORDS | {"index": str(index)}, 10**6)
    assert outcome(tmp_path / "a")["a001"][0] == "again, and with an end."
    forget(tmp_path / "a", ids=["a000"], workers=0, quiet=True)
    assert outcome(tmp_path / "a")["a001"][0] == texts[1]
    (pack,) = json.loads((index / "index.json").read_text())["segments"][0]["packs"]
    assert pa.ipc.open_file(index / pack["held"]["file"]).read_all()["id"].to_pylist() == ["a001"]
    assert not any(b"a000" in data for data in files(index).values())


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"min_length": 11}, "min_length: 10 there, 11 here"), ({"unit": "bytes"}, "unit: 'words' there, 'bytes' here")],
)
def test_an_index_of_other_settings_is_refused(tmp_path, changed, told):
    index = str(tmp_path / "index")
    carry_out(tmp_path, {"a": [REPEAT]}, "a", WORDS | {"index": index})
    with pytest.raises(UserError, match=told):
        carry_out(tmp_path, {"b": [REPEAT]}, "b", WORDS | changed | {"against": index})
    assert not (tmp_path / "b").exists()


def test_another_policy_reads_the_same_index(tmp_path):
    index = str(tmp_path / "index")
    carry_out(tmp_path, {"a": [REPEAT]}, "a", WORDS | {"index": index})
    carry_out(tmp_path, {"b": [REPEAT]}, "b", WORDS | {"against": index, "policy": "mask"})
    text, meta = outcome(tmp_path / "b")["b000"][:2]
    assert (text, json.loads(meta)["loss_mask"]["spans"]) == (REPEAT, [[0, len(REPEAT)]])


def test_where_no_copy_stays_there_is_no_index(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"id": "1", "text": "some words"}\n')
    assert exit_status(["stage", "substring", "in.jsonl", "out", "--index", "i", "--workers", "0"]) == 2
    assert "keep: none with an index" in " ".join(capsys.readouterr().err.split())
    assert not Path("i").exists()
