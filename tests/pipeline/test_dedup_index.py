"""An index of what earlier runs have seen: crawl A, then B against A's index, leave what A and B in one run leave."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasketch import MinHash as Reference

from gristmill.pipeline.dedup_index import extension, lean_minhashes, open_index
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.pipeline.storage import Storage
from gristmill.stages.minhash import MinHash

WORDS = [f"w{number}" for number in range(40)]


def documents(seed: int, count: int, prefix: str) -> dict[str, str]:
    """Texts of some words, many of them near copies of each other, also across seeds."""
    random = np.random.default_rng(seed)
    bases = [np.random.default_rng(base).choice(WORDS, 30).tolist() for base in range(8)]
    found = {}
    for number in range(count):
        words = list(bases[random.integers(8)])
        for _ in range(random.integers(0, 4)):
            words[random.integers(30)] = WORDS[random.integers(40)]
        found[f"{prefix}{number}"] = " ".join(words)
    return found


def carry_out(folder: Path, files: dict[str, dict[str, str]], output: str, stage: dict, size: int = 2_000) -> dict:
    """Run one deduplication over JSONL files; the published rows of documents and ledger by id."""
    paths = []
    for name, held in files.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"id": one, "text": text}) + "\n" for one, text in held.items()))
        paths.append(str(path))
    recipe = {
        "name": "test",
        "sources": {"s": {"read": {"format": "jsonl", "id": "column", "paths": paths}}},
        "stages": [stage],
        "partition_bytes": size,
        "guardrails": {"enabled": False},
    }
    run(recipe_from_resolved(recipe), output=folder / output, workers=0, quiet=True)
    return {name: rows(folder / output, name) for name in ("documents", "removed")}


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def fates(outcome: dict) -> dict[str, tuple]:
    removed = {row["id"]: (row["kept_id"], row["similarity"], row["rule"]) for row in outcome["removed"]}
    return {row["id"]: ("kept",) for row in outcome["documents"]} | removed


DIRECT = {"bands": 8, "rows": 2, "ngram": 2, "verify": 0.5, "keep": "earliest", "cluster": "direct"}


@pytest.mark.parametrize(("kind", "settings"), [("minhash", DIRECT), ("exact", {"keep": "earliest"})])
def test_crawls_one_after_another_leave_what_they_leave_in_one_run(tmp_path, kind, settings):
    crawls = {"a": documents(1, 60, "a"), "b": documents(2, 60, "b"), "c": documents(3, 30, "c")}
    whole = fates(carry_out(tmp_path, crawls, "whole", {kind: settings}))
    index = str(tmp_path / "index")
    found: dict[str, tuple] = {}
    for name, held in crawls.items():
        more = {"index": index} if name == "a" else {"index": index, "against": index}
        # partitions of other sizes each time
        found |= fates(carry_out(tmp_path, {name: held}, name, {kind: settings | more}, size=500 * len(found) + 700))
    assert found == whole
    assert any(one[0] != "kept" and one[0].startswith("a") for name, one in found.items() if name.startswith("c"))


def test_a_run_again_is_judged_without_its_own_documents_and_replaces_them(tmp_path):
    index = str(tmp_path / "index")
    first, second = documents(1, 40, "a"), documents(2, 40, "b")
    stage = {"minhash": DIRECT | {"index": index}}
    carry_out(tmp_path, {"a": first}, "a", stage)
    both = {"minhash": DIRECT | {"index": index, "against": index}}
    once = fates(carry_out(tmp_path, {"b": second}, "b", both))
    written = sorted(file.name for file in Path(index).rglob("*"))
    assert fates(carry_out(tmp_path, {"b": second}, "b", both)) == once
    assert sorted(file.name for file in Path(index).rglob("*")) == written
    more = second | documents(4, 10, "x")
    carry_out(tmp_path, {"b": more}, "b", both)
    facts = json.loads((tmp_path / "index" / "index.json").read_text())
    assert [segment["documents"] for segment in facts["segments"]] == [40, 50]
    assert len(list((tmp_path / "index" / "segments").iterdir())) == 2
    with pytest.raises(UserError, match="runs after it"):
        carry_out(tmp_path, {"a": first}, "a", both)


def test_what_components_would_take_from_the_earlier_run_is_listed(tmp_path):
    index = str(tmp_path / "index")
    # a1 and a2 share little; b is like both
    # a4 goes in its own run already, so nothing would be taken from there
    a = {"a1": "p q r s t u v w", "a2": "s t u v w x y z", "a3": "nothing like the others at all here", "a4": "p q r s t u v"}
    b = {"b": "p q r s t u v w x y z"}
    settings = {"bands": 60, "rows": 1, "ngram": 1, "verify": 0.6, "keep": "earliest"}
    carry_out(tmp_path, {"a": a}, "a", {"minhash": settings | {"cluster": "direct", "index": index}})
    assert len(rows(tmp_path / "a", "documents")) == 3
    outcome = carry_out(tmp_path, {"b": b}, "b", {"minhash": settings | {"against": index}})
    assert [(row["id"], row["kept_id"]) for row in outcome["removed"]] == [("b", "a1")]
    listed = rows(tmp_path / "b", "against")
    assert [(row["id"], row["kept_id"]) for row in listed] == [("a2", "a1")]
    assert listed[0]["similarity"] == 5 / 11


def test_the_index_is_read_back_as_datasketch_objects(tmp_path):
    texts = {"a": "one two three four", "b": "five six seven", "c": "short"}
    stage = {"minhash": DIRECT | {"index": str(tmp_path / "index")}}
    carry_out(tmp_path, {"a": texts}, "a", stage)
    found = dict(lean_minhashes(str(tmp_path / "index")))
    assert set(found) == {"a", "b"}  # c has no pair of words
    assert found["a"].jaccard(found["b"]) == 0.0
    assert len(found["a"].hashvalues) == 16
    # its own MinHash objects are comparable with them
    assert found["a"].jaccard(Reference(num_perm=16, seed=1, scheme="affine32")) == 0.0


def test_an_index_of_other_settings_is_refused_with_both_shown(tmp_path):
    index = str(tmp_path / "index")
    carry_out(tmp_path, {"a": documents(1, 5, "a")}, "a", {"minhash": DIRECT | {"index": index}})
    before = sorted(str(file) for file in tmp_path.rglob("*"))
    other = DIRECT | {"bands": 9, "against": index}
    with pytest.raises(UserError, match="bands: 8 there, 9 here"):
        carry_out(tmp_path, {"a": documents(1, 5, "a")}, "b", {"minhash": other})
    with pytest.raises(UserError, match="another stage"):
        carry_out(tmp_path, {"a": documents(1, 5, "a")}, "b", {"exact": {"keep": "earliest", "against": index}})
    assert sorted(str(file) for file in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": "longest", "index": "x"}, "keep: longest with an index"),
        ({"keep": "earliest", "index": "x", "cluster": "components"}, "cluster: direct"),
        ({"keep": "earliest", "cluster": "direct", "against": "nowhere"}, "holds no index"),
    ],
)
def test_what_cannot_go_with_an_index_is_refused(tmp_path, settings, message):
    with pytest.raises(UserError, match=message):
        carry_out(tmp_path, {"a": documents(1, 5, "a")}, "a", {"minhash": settings})
    assert not (tmp_path / "a").exists()


def test_of_two_runs_that_extend_one_index_at_once_the_later_one_is_told(tmp_path):
    path = str(tmp_path / "index")
    stage = MinHash(**DIRECT, index=path, against=path)
    carry_out(tmp_path, {"a": documents(1, 5, "a")}, "a", {"minhash": DIRECT | {"index": path}})
    index = open_index(path, stage, "b", must_exist=True)
    carry_out(tmp_path, {"c": documents(3, 5, "c")}, "c", {"minhash": DIRECT | {"index": path, "against": path}})
    with pytest.raises(UserError, match="another run has extended"):
        extension(index, stage, "b", 16, []).write(Storage(str(tmp_path / "work")))
    assert len(json.loads((tmp_path / "index" / "index.json").read_text())["segments"]) == 2


def test_a_folder_without_an_index_is_neither_read_nor_written_over(tmp_path):
    index = tmp_path / "index"
    with pytest.raises(UserError, match="holds no index"):
        carry_out(tmp_path, {"b": documents(2, 5, "b")}, "b", {"minhash": DIRECT | {"index": str(index), "against": str(index)}})
    index.mkdir()
    (index / "file").write_text("of somebody")
    with pytest.raises(UserError, match="they are no index"):
        carry_out(tmp_path, {"b": documents(2, 5, "b")}, "b", {"minhash": DIRECT | {"index": str(index)}})


def test_urls_of_earlier_runs_are_known_however_they_are_spelled(tmp_path):
    def crawl(name: str, urls: dict[str, str], output: str, stage: dict) -> dict[str, tuple]:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"id": one, "text": one, "url": url}) + "\n" for one, url in urls.items()))
        read = {"format": "jsonl", "id": "column", "paths": [str(path)]}
        off = {"guardrails": {"enabled": False}}
        recipe = {"name": "test", "sources": {"s": {"read": read}}, "stages": [{"url_dedup": stage}]} | off
        run(recipe_from_resolved(recipe), output=tmp_path / output, workers=0, quiet=True)
        return fates({name: rows(tmp_path / output, name) for name in ("documents", "removed")})

    stage = {"keep": "earliest"}
    a = {"a1": "http://mill.example/x", "a2": "http://mill.example/y", "a3": "http://mill.example:80/x"}
    b = {"b1": "http://MILL.example/y#part", "b2": "http://mill.example/z"}
    whole = crawl("ab", a | b, "whole", stage)
    index = str(tmp_path / "index")
    found = crawl("a", a, "a", stage | {"index": index}) | crawl("b", b, "b", stage | {"against": index})
    assert found == whole
    assert {one: fate[0] for one, fate in found.items()} == {"a1": "kept", "a2": "kept", "a3": "a1", "b1": "a2", "b2": "kept"}
    with pytest.raises(UserError, match="keep: newest with an index"):
        crawl("b", b, "c", {"against": index})


@pytest.mark.parametrize("place", ["out/work/index", "out/index", "out/documents/index", "out", ""])
def test_an_index_is_not_written_where_the_run_replaces_files(tmp_path, place):
    a = documents(1, 5, "a")
    with pytest.raises(UserError, match="outlives the run"):
        carry_out(tmp_path, {"a": a}, "all/out", {"exact": {"keep": "earliest", "index": str(tmp_path / "all" / place)}})
    assert not (tmp_path / "all").exists()
    # beside its own folders it may stand
    carry_out(tmp_path, {"a": a}, "all/out", {"exact": {"keep": "earliest", "index": str(tmp_path / "all" / "out" / "mine")}})
    assert (tmp_path / "all" / "out" / "mine" / "index.json").exists()
