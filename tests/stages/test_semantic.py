"""The stage `semantic`: what it takes, and what it asks of the engine."""

import json
import sys

import pyarrow as pa
import pytest
from pydantic import ValidationError

from gristmill.stages.documents import Batch
from gristmill.stages.registry import stage_class
from gristmill.stages.semantic import Semantic
from gristmill.stages.stage import StageUnavailable


def batch(*embeddings):
    metas = [None if one is None else json.dumps({"embedding": one}) for one in embeddings]
    ids = [f"d{at}" for at in range(len(metas))]
    return Batch(
        pa.table({"id": ids, "text": pa.array(["x"] * len(ids), pa.large_string()), "meta": pa.array(metas, pa.string())})
    )


def test_documents_of_one_cluster_share_a_key_and_equal_embeddings_a_check():
    stage = Semantic(embedding="meta.embedding", clusters=2)
    documents = batch([1, 0], [0.99, 0.1], [0, 1], None, [2, 0])
    model = stage.fit(stage.sample(documents))
    emitted = stage.emit_grouped(documents, 0, model)
    assert emitted["row"].to_pylist() == [0, 1, 2, 4]
    keys, checks = emitted["key"].to_pylist(), emitted["check"].to_pylist()
    assert keys[0] == keys[1] == keys[3] != keys[2]
    assert checks[0] == checks[3] != checks[1]


def test_documents_without_an_embedding_emit_nothing():
    assert Semantic(embedding="meta.embedding").emit(batch(None, None)).num_rows == 0


def test_what_the_engine_asks_of_it():
    stage = Semantic(embedding="meta.embedding", learn_from=7)
    assert (stage.rule, stage.least_similarity, stage.direct, stage.fitted, stage.sample_documents) == (
        *("semantic_duplicate", 0.95, True, True, 7),
    )
    assert stage.library_names() == ("numpy",)
    assert stage_class("semantic") is Semantic


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "give embedding, a column such as meta.embedding, or model"),
        ({"embedding": "meta.a", "model": "b"}, "one of the two"),
        ({"embedding": "url"}, "should be meta.KEY"),
        ({"embedding": "meta.a", "against": "x"}, "it must be keep: earliest"),
        ({"embedding": "meta.a", "index": "x", "keep": "earliest", "cluster": "components"}, "an index needs cluster: direct"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        Semantic(**wrong)


def test_a_missing_library_or_folder_is_told(monkeypatch, tmp_path):
    with pytest.raises(StageUnavailable, match="is no folder"):
        Semantic(model=str(tmp_path / "none")).files()
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(StageUnavailable, match=r"pip install 'gristmill\[semantic\]'"):
        Semantic(model=str(tmp_path / "other")).set_up()
