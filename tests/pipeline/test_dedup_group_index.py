"""SimHash and embeddings against an earlier run: crawl A, then B against A's index, leave what A and B in one run leave."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.forget import forget
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.embeddings import id_hashes
from gristmill.stages.stage import StageUnavailable

SIMHASH = {"distance": 7, "blocks": 9, "keep": "earliest", "cluster": "direct"}
SEMANTIC = {"embedding": "meta.v", "similarity_at_least": 0.9, "clusters": 1, "keep": "earliest", "cluster": "direct"}


def near_copies(seed: int, count: int, prefix: str) -> list[dict]:
    """Texts of 60 words, near copies of a few, also across seeds; none of a meta."""
    random = np.random.default_rng(seed)
    bases = [np.random.default_rng(base).integers(3000, size=60) for base in range(6)]
    found = []
    for number in range(count):
        words = bases[random.integers(6)].copy()
        words[random.integers(60, size=random.integers(0, 8))] = random.integers(3000)
        found.append({"id": f"{prefix}{number:03}", "text": " ".join(f"w{word}" for word in words)})
    return found


def embedded(seed: int, count: int, prefix: str, size: int = 5) -> list[dict]:
    """Documents with embeddings around a few directions, also across seeds; some have none."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(0).normal(size=(8, size))
    vectors = directions[random.integers(8, size=count)] + random.normal(scale=0.22, size=(count, size))
    return [
        {"id": f"{prefix}{at:03}", "text": f"{prefix} {at}"} | ({"v": vector} if at % 11 else {})
        for at, vector in enumerate(vectors.round(3).tolist())
    ]


def carry_out(
    folder: Path, crawls: dict[str, list[dict]], output: str, *stages: dict, size: int = 700, workers: int = 0
) -> dict[str, tuple]:
    """Run deduplications; the fate of each document by id."""
    paths = []
    for name, held in crawls.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in held))
        paths.append(str(path))
    recipe = {
        "name": "test",
        "sources": {"s": {"read": {"format": "jsonl", "id": "column", "paths": paths}}},
        "stages": list(stages),
        "partition_bytes": size,
        "guardrails": {"enabled": False},
    }
    run(recipe_from_resolved(recipe), output=folder / output, workers=workers, quiet=True)
    return fates(folder / output)


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def fates(folder: Path) -> dict[str, tuple]:
    kept = {row["id"]: ("kept",) for row in rows(folder, "documents")}
    return kept | {row["id"]: (row["kept_id"], row["similarity"], row["rule"]) for row in rows(folder, "removed")}


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["simhash", "semantic"]),
    st.integers(0, 10**6),
    st.tuples(*[st.integers(0, 30)] * 3),
    st.sampled_from([150, 10**6]),
)
def test_crawls_one_after_another_leave_what_they_leave_in_one_run(tmp_path_factory, kind, seed, counts, size):
    folder = tmp_path_factory.mktemp("crawls")
    make, stage = (near_copies, SIMHASH) if kind == "simhash" else (embedded, SEMANTIC)
    crawls = {name: make(seed + at, count, name) for at, (name, count) in enumerate(zip("abc", counts, strict=True))}
    whole = carry_out(folder, crawls, "whole", {kind: stage})
    index = str(folder / "index")
    found: dict[str, tuple] = {}
    for at, (name, held) in enumerate(crawls.items()):
        more = {"index": index} if at == 0 else {"index": index, "against": index}
        found |= carry_out(folder, {name: held}, name, {kind: stage | more}, size=size + 100 * at)
    assert found == whole


@pytest.mark.parametrize(("kind", "make", "stage"), [("simhash", near_copies, SIMHASH), ("semantic", embedded, SEMANTIC)])
def test_documents_of_earlier_runs_are_named_also_those_that_went_themselves(tmp_path, kind, make, stage):
    index = str(tmp_path / "index")
    first = carry_out(tmp_path, {"a": make(1, 60, "a")}, "a", {kind: stage | {"index": index}})
    second = carry_out(tmp_path, {"b": make(2, 60, "b")}, "b", {kind: stage | {"against": index}})
    named = {fate[0] for fate in second.values()} - {"kept"}
    assert any(one.startswith("a") and first[one] == ("kept",) for one in named)
    assert any(one.startswith("a") and first[one] != ("kept",) for one in named)
    # A's own outcome is not told again
    assert {one[0] for one in second} == {"b"}


def test_any_number_of_workers_gives_the_same_bytes_and_the_same_index(tmp_path):
    crawls = {
        name: [
            one | {"v": other["v"]}
            for one, other in zip(near_copies(at, 40, name), embedded(at, 40, name), strict=True)
            if "v" in other
        ]
        for at, name in enumerate("ab")
    }
    found = []
    for workers in (0, 2):
        for name, held in crawls.items():
            paths = [str(tmp_path / f"{workers}-{kind}") for kind in ("simhash", "semantic")]
            more = [{"index": path} | ({"against": path} if name == "b" else {}) for path in paths]
            stages = [{"simhash": SIMHASH | more[0]}, {"semantic": SEMANTIC | {"clusters": 3} | more[1]}]
            carry_out(tmp_path, {name: held}, f"{name}-{workers}", *stages, workers=workers)
        folders = [tmp_path / f"b-{workers}" / name for name in ("documents", "removed")] + [Path(path) for path in paths]
        # segments are named by the folder of their run, so only what they hold is compared
        found.append([sorted(file.read_bytes() for file in one.rglob("*.[ap]*r*")) for one in folders])
    assert found[0] == found[1]
    assert all(map(len, found[0]))


def test_the_clusters_of_later_runs_are_those_of_the_first(tmp_path):
    # the k-means learns from the 20 documents with the lowest hashes: those of A here, so that one run learns the same
    made = embedded(3, 80, "d")
    order = np.argsort(id_hashes([one["id"] for one in made], 0))
    low = set(order[:25].tolist())
    crawls = {"a": [one for at, one in enumerate(made) if at in low], "b": [one for at, one in enumerate(made) if at not in low]}
    stage = SEMANTIC | {"clusters": 4, "learn_from": 20}
    whole = carry_out(tmp_path, crawls, "whole", {"semantic": stage})
    index = str(tmp_path / "index")
    found = carry_out(tmp_path, {"a": crawls["a"]}, "a", {"semantic": stage | {"index": index}})
    both = {"semantic": stage | {"index": index, "against": index}}
    found |= carry_out(tmp_path, {"b": crawls["b"]}, "b", both)
    assert found == whole
    assert whole != carry_out(tmp_path, crawls, "one", {"semantic": SEMANTIC})  # clusters do part pairs here
    segments = json.loads((tmp_path / "index" / "index.json").read_text())["segments"]
    assert ["model" in one.get("more", {}) for one in segments] == [True, False]


def test_what_components_would_take_from_the_earlier_run_is_listed(tmp_path):
    index = str(tmp_path / "index")
    angles = {"a1": 0.0, "a2": 0.7, "a3": 2.0, "b": 0.35}
    made = {name: {"id": name, "text": name, "v": [float(np.cos(angle)), float(np.sin(angle))]} for name, angle in angles.items()}
    stage = SEMANTIC | {"similarity_at_least": 0.93}
    carry_out(tmp_path, {"a": [made["a1"], made["a2"], made["a3"]]}, "a", {"semantic": stage | {"index": index}})
    bridging = stage | {"cluster": "components", "against": index}
    found = carry_out(tmp_path, {"b": [made["b"]]}, "b", {"semantic": bridging})
    assert found["b"][0] == "a1"
    listed = [(row["id"], row["kept_id"], row["similarity"]) for row in rows(tmp_path / "b", "against")]
    assert listed == [("a2", "a1", pytest.approx(np.cos(0.7), abs=1e-5))]


def test_a_forgotten_document_leaves_the_index_and_what_was_learned_from_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stage = SEMANTIC | {"clusters": 3}
    crawls = {"a": embedded(5, 30, "a"), "b": embedded(6, 30, "b"), "c": embedded(7, 30, "c")}

    def crawl(name: str, output: str, index: str) -> dict[str, tuple]:
        more = {"index": index} if name == "a" else {"index": index, "against": index}
        return carry_out(tmp_path, {name: crawls[name]}, output, {"semantic": stage | more})

    crawl("a", "a", "index")
    crawl("b", "b", "index")
    before = model_of("index")
    done = forget("a", ids=["a001", "a002"], workers=0, quiet=True)
    assert any("Later runs were judged" in note for note in done.notes)
    assert model_of("index") != before
    crawls["a"] = [one for one in crawls["a"] if one["id"] not in ("a001", "a002")]
    crawl("a", "fresh a", "anew")
    assert fates(tmp_path / "a") == fates(tmp_path / "fresh a")
    crawl("b", "fresh b", "anew")
    assert model_of("index") == model_of("anew")
    # the rows of b in the index have keys of the model that is gone, and get new ones
    assert crawl("c", "c", "index") == crawl("c", "fresh c", "anew")


def model_of(index: str) -> list[str]:
    segments = json.loads(Path(index, "index.json").read_text())["segments"]
    return [one["more"]["model"]["sha256"] for one in segments if "more" in one]


def test_embeddings_of_another_length_than_those_of_the_index_are_refused(tmp_path):
    index = str(tmp_path / "index")
    carry_out(tmp_path, {"a": embedded(1, 20, "a")}, "a", {"semantic": SEMANTIC | {"index": index}})
    with pytest.raises(
        (StageUnavailable, UserError), match="embeddings have 4 numbers, those that its k-means has learned from 5"
    ):
        carry_out(tmp_path, {"b": embedded(2, 20, "b", size=4)}, "b", {"semantic": SEMANTIC | {"against": index}})


@pytest.mark.parametrize(
    ("kind", "stage", "message"),
    [
        ("simhash", SIMHASH | {"distance": 3}, "distance: 7 there, 3 here"),
        ("semantic", SEMANTIC, "was written by another stage"),
    ],
)
def test_an_index_of_other_settings_is_refused_with_both_shown(tmp_path, kind, stage, message):
    index = str(tmp_path / "index")
    carry_out(tmp_path, {"a": near_copies(1, 5, "a")}, "a", {"simhash": SIMHASH | {"index": index}})
    with pytest.raises(UserError, match=message):
        carry_out(tmp_path, {"b": embedded(2, 5, "b")}, "b", {kind: stage | {"against": index}})
    assert not (tmp_path / "b").exists()
