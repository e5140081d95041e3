"""Documents of one key that are compared with one another: the same clusters as brute force, whatever the packs."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline import dedup_group_tasks
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.documents import Batch
from gristmill.stages.simhash import SimHash


def outcome(folder, texts, stage, partition_bytes="64MB"):
    """Removed id -> (kept id, similarity, threshold)."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "texts.jsonl"
    source.write_text("".join(json.dumps({"id": f"d{at:03}", "text": text}) + "\n" for at, text in enumerate(texts)))
    recipe = {
        "name": "near",
        "sources": {"web": {"read": {"format": "jsonl", "paths": [str(source)], "id": "column"}}},
        "stages": [stage],
        "partition_bytes": partition_bytes,
        "guardrails": {"enabled": False},
    }
    result = run(recipe_from_resolved(recipe), output=folder / "run", workers=0, quiet=True)
    rows = pq.read_table(f"{result.folder}/removed").to_pylist()
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
