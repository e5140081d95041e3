"""Documents of one key that are compared with one another: the same clusters as brute force, whatever the packs."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline import dedup_group_tasks
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.documents import Batch
from gristmill.stages.simhash import SimHash


def outcome(folder, texts, stage, partition_bytes="64MB", embeddings=None):
    """Removed id -> (kept id, similarity, threshold)."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "texts.jsonl"
    rows = [{"id": f"d{at:03}", "text": text} for at, text in enumerate(texts)]
    if embeddings is not None:
        rows = [row | {"embedding": vector} for row, vector in zip(rows, embeddings.tolist(), strict=True)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "near",
        "sources": {"web": {"read": {"format": "jsonl", "paths": [str(source)], "id": "column"}}},
        "stages": [stage],
        "partition_bytes": partition_bytes,
        "guardrails": {"enabled": False},
    }
    result = run(recipe_from_resolved(recipe), output=folder / "run", workers=0, quiet=True)
    rows = [row for file in Path(result.folder, "removed").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    return {row["id"]: (row["kept_id"], row["similarity"], row["threshold"]) for row in rows}


def varied_texts(seed, count=120):
    """Texts of 200 words, of which many differ from an earlier one in a few words."""
    generator = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        if texts and generator.random() < 0.7:
            words = texts[generator.integers(len(texts))].split()
            for place in generator.integers(len(words), size=generator.integers(0, 5)):
                words[place] = f"w{generator.integers(5000)}"
            words += ["end"] * int(generator.integers(0, 2))
        else:
            words = [f"w{number}" for number in generator.integers(5000, size=200)]
        texts.append(" ".join(words))
    return texts


def brute_force(texts, distance):
    """Removed id -> (kept id, similarity): of each component the longest text stays, the first of equals."""
    hashes = SimHash().hashes(Batch(pa.table({"text": pa.array(texts, pa.large_string())})))[0].tolist()
    cluster = list(range(len(texts)))
    for j in range(len(texts)):
        for i in range(j):
            if (hashes[i] ^ hashes[j]).bit_count() <= distance:
                old, new = cluster[j], cluster[i]
                cluster = [new if one == old else one for one in cluster]
    removed = {}
    for name in set(cluster):
        members = [at for at in range(len(texts)) if cluster[at] == name]
        keeper = min(members, key=lambda at: (-len(texts[at]), at))
        removed |= {
            f"d{at:03}": (f"d{keeper:03}", 1 - (hashes[at] ^ hashes[keeper]).bit_count() / 64) for at in members if at != keeper
        }
    return removed


@pytest.mark.parametrize("seed", range(2))
def test_simhash_clusters_are_those_of_brute_force(tmp_path, seed):
    texts = varied_texts(seed)
    expected = brute_force(texts, 4)
    found = outcome(tmp_path, texts, {"simhash": {"distance": 4}})
    assert {one: (kept, similarity) for one, (kept, similarity, _) in found.items()} == expected
    assert {threshold for _, _, threshold in found.values()} == {0.9375}
    assert 20 < len(expected) < 100


def test_neither_partitions_nor_pieces_show_in_the_result(tmp_path, monkeypatch):
    texts = varied_texts(7) + ["the same seven words again and again"] * 30
    whole = outcome(tmp_path / "whole", texts, {"simhash": {"distance": 7, "blocks": 8}})
    monkeypatch.setattr(dedup_group_tasks, "ROWS_AT_ONCE", 5)
    assert outcome(tmp_path / "cut", texts, {"simhash": {"distance": 7, "blocks": 8}}, "4KB") == whole
    assert len([one for one, (kept, _, _) in whole.items() if kept == "d120"]) == 29


def test_a_direct_one_goes_only_for_one_that_is_close_itself(tmp_path):
    texts = varied_texts(3)
    hashes = SimHash().hashes(Batch(pa.table({"text": pa.array(texts, pa.large_string())})))[0].tolist()
    expected = {}
    for j in range(len(texts)):
        close = [i for i in range(j) if (hashes[i] ^ hashes[j]).bit_count() <= 4]
        if close:
            expected[f"d{j:03}"] = f"d{close[0]:03}"
    found = outcome(tmp_path, texts, {"simhash": {"cluster": "direct", "keep": "earliest"}})
    assert found.keys() == expected.keys()
    # equal SimHashes are told by the first of them
    assert all(similarity >= 0.9375 for _, similarity, _ in found.values())


@pytest.mark.parametrize("cluster", ["direct", "components"])
def test_semantic_duplicates_are_those_of_brute_force(tmp_path, monkeypatch, cluster):
    generator = np.random.default_rng(5)
    vectors = generator.normal(size=(30, 6)).repeat(4, axis=0) + generator.normal(scale=0.15, size=(120, 6))
    vectors[50] = vectors[10]
    texts = [f"text {at}" for at in range(120)]
    settings = {"embedding": "meta.embedding", "clusters": 1, "keep": "earliest", "cluster": cluster}
    whole = outcome(tmp_path / "whole", texts, {"semantic": settings}, embeddings=vectors)
    monkeypatch.setattr(dedup_group_tasks, "ROWS_AT_ONCE", 7)
    assert outcome(tmp_path / "cut", texts, {"semantic": settings}, "100", embeddings=vectors) == whole
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T >= 0.95
    component = list(range(120))
    expected = {}
    for j in range(120):
        close = [i for i in range(j) if alike[i, j]]
        if close:
            expected[f"d{j:03}"] = close[0]
        for i in close:
            old, new = component[j], component[i]
            component = [min(old, new) if one in (old, new) else one for one in component]
    # of equal embeddings the first is named, though another document before the copy is close too
    assert expected["d050"] == 8
    expected["d050"] = 10
    if cluster == "components":
        expected = {f"d{j:03}": first for j, first in enumerate(component) if first != j}
    assert {one: int(kept[1:]) for one, (kept, _, _) in whole.items()} == expected
    for one, (kept, similarity, threshold) in whole.items():
        assert similarity == pytest.approx(unit[int(one[1:])] @ unit[int(kept[1:])], abs=2e-6)
        assert threshold == 0.95
    assert 40 < len(expected) < 110


def test_pairs_of_different_clusters_are_not_compared_and_the_clusters_stand(tmp_path):
    generator = np.random.default_rng(6)
    vectors = generator.normal(size=(200, 5))
    settings = {"embedding": "meta.embedding", "clusters": 12, "similarity_at_least": 0.9, "keep": "earliest"}
    texts = [f"text {at}" for at in range(200)]
    in_clusters = outcome(tmp_path / "clusters", texts, {"semantic": settings}, embeddings=vectors)
    again = outcome(tmp_path / "again", texts, {"semantic": settings}, "300", embeddings=vectors)
    everywhere = outcome(tmp_path / "one", texts, {"semantic": settings | {"clusters": 1}}, embeddings=vectors)
    assert in_clusters == again
    assert 0 < len(in_clusters) <= len(everywhere)
    assert set(in_clusters) <= set(everywhere)


def test_no_embeddings_remove_nothing(tmp_path):
    assert outcome(tmp_path, ["a", "b"], {"semantic": {"embedding": "meta.embedding"}}) == {}


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ({"semantic": {"embedding": "meta.embeding"}}, "semantic: none of the 2 documents has an embedding; all stay"),
        ({"simhash": {"ngram": 3}}, "simhash: none of the 2 documents is as long as a window (ngram); all stay"),
        ({"simhash": {"ngram": 2}}, None),
    ],
)
def test_a_corpus_nothing_of_which_can_be_compared_is_told(tmp_path, stage, told):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"id": text, "text": text, "embedding": [1, 2]}) + "\n" for text in ("a b", "c")))
    recipe = {
        "name": "misspelt",
        "sources": {"web": {"read": {"format": "jsonl", "paths": [str(path)], "id": "column"}}},
        "stages": [stage],
    }
    result = run(recipe_from_resolved(recipe), output=tmp_path / "out", workers=0, quiet=True)
    assert result.doubts == ([told] if told else [])


def test_keys_with_more_documents_than_are_compared_are_told(tmp_path, monkeypatch):
    texts = varied_texts(2, 40)
    stage = {"simhash": {"distance": 32, "blocks": 33}}  # each document shares a key with most others
    recipe = {
        "name": "crowded",
        "sources": {"web": {"read": {"format": "jsonl", "paths": [str(tmp_path / "texts.jsonl")], "id": "column"}}},
        "stages": [stage],
        "guardrails": {"enabled": False},
    }
    (tmp_path / "texts.jsonl").write_text(
        "".join(json.dumps({"id": str(at), "text": one}) + "\n" for at, one in enumerate(texts))
    )
    assert run(recipe_from_resolved(recipe), output=tmp_path / "few", workers=0, quiet=True).doubts == []
    monkeypatch.setattr(SimHash, "most_compared", 3)
    monkeypatch.setattr(dedup_group_tasks, "ROWS_AT_ONCE", 5)
    (doubt,) = run(recipe_from_resolved(recipe), output=tmp_path / "many", workers=0, quiet=True).doubts
    assert doubt.startswith("simhash: more than 3 different documents share a key")
    assert doubt.endswith("duplicates may have stayed. More blocks make longer keys that fewer share")
