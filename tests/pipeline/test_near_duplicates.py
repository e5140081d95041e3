"""Near-duplicates on labelled revisions of real documents: what goes, what stays, and how similar the ledger says they are."""

import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run


@pytest.fixture(scope="module")
def labelled(shared_data, tmp_path_factory):
    """Removed id -> (kept id, similarity), and the labelled pairs."""
    folder = tmp_path_factory.mktemp("peps") / "run"
    documents = shared_data / "dedup" / "pep_revisions.docs.jsonl.gz"
    recipe = {
        "name": "peps",
        "sources": {"peps": {"read": {"format": "jsonl", "paths": [str(documents)], "id": "column"}}},
        "stages": [{"minhash": {"bands": 14, "rows": 8, "verify": 0.7}}],
        "partition_bytes": "1MB",
    }
    result = run(recipe_from_resolved(recipe), output=folder, workers=0, quiet=True)
    rows = [row for file in Path(result.folder, "removed").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    with gzip.open(shared_data / "dedup" / "pep_revisions.pairs.jsonl.gz", "rt") as file:
        pairs = [json.loads(line) for line in file]
    return {row["id"]: (row["kept_id"], row["similarity"]) for row in rows}, pairs


def test_the_ledger_tells_the_labelled_similarity(labelled):
    removed, pairs = labelled
    by_pair = {frozenset((pair["a"], pair["b"])): pair for pair in pairs}
    assert len(removed) > 300
    for identifier, (kept_id, similarity) in removed.items():
        # the labels have four decimals
        assert by_pair[frozenset((identifier, kept_id))]["jaccard5"] == pytest.approx(similarity, abs=1e-4)


def test_no_two_different_documents_are_taken_for_one(labelled):
    removed, pairs = labelled
    different = {frozenset((pair["a"], pair["b"])) for pair in pairs if not pair["same_cluster"]}
    assert not [one for one, (kept_id, _) in removed.items() if frozenset((one, kept_id)) in different]


def test_every_pair_of_similarity_at_least_eight_tenths_leaves_one_document(labelled):
    removed, pairs = labelled
    kept_of = {identifier: kept_id for identifier, (kept_id, _) in removed.items()}
    alike = [pair for pair in pairs if pair["jaccard5"] >= 0.8]
    assert len(alike) == 582
    assert all(kept_of.get(pair["a"], pair["a"]) == kept_of.get(pair["b"], pair["b"]) for pair in alike)


def test_what_is_kept_was_not_removed_itself(labelled):
    removed, _ = labelled
    assert not {kept_id for kept_id, _ in removed.values()} & set(removed)
