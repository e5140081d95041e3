"""Keys of `meta` in conditions: what a stage has put there decides what a mixture takes."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.mixture.meta_columns import meta_fields, with_meta_columns
from gristmill.pipeline.mixture.planning import make_plan
from gristmill.pipeline.mixture.reading import load_mixture

METAS = [{}, {"topic": "science", "quality": 0.9}, None, {"topic": "sports", "quality": 1, "old": True}, {"topic": 3}]
TABLE = pa.table({"id": list("abcde"), "meta": pa.array([json.dumps(one) if one is not None else None for one in METAS])})


def test_a_key_is_of_the_kind_that_the_first_document_has(tmp_path):
    pq.write_table(TABLE, tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": ["x"]}), tmp_path / "0.parquet")
    files = [tmp_path / "0.parquet", tmp_path / "a.parquet"]
    fields = meta_fields(files, ["meta.topic", "meta.quality", "meta.old", "meta.none"])
    types = {"meta.topic": pa.string(), "meta.quality": pa.float64(), "meta.old": pa.bool_()}
    assert {field.name: field.type for field in fields} == types
    table = with_meta_columns(TABLE, fields)
    # a number where the others have text is null
    assert table["meta.topic"].to_pylist() == [None, "science", None, "sports", None]
    assert table["meta.quality"].to_pylist() == [None, 0.9, None, 1.0, None]
    assert table["meta.old"].to_pylist() == [None, None, None, True, None]


@pytest.mark.parametrize("with_shards", [True, False])
@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ("meta.topic == 'science'", ["d1", "d4"]),
        ("meta.quality >= 0.5 and words.count > 2", ["d3", "d4", "d5"]),
        ("meta.topic is null", ["d0", "d3"]),
    ],
)
def test_where_compares_keys_beside_columns_and_signals(where, chosen, with_shards, run_of, write, tmp_path):
    run = run_of(tmp_path / "run", {"web": [(f"d{n}", 9 + n, "en", None) for n in range(6)]}, with_shards=with_shards)
    file = next((run / "documents").rglob("*.parquet"))
    table = pq.read_table(file)
    metas = [{} if n % 3 == 0 else {"topic": ("science", "sports")[n % 3 - 1]} for n in range(6)]
    told = pa.array([json.dumps(meta | {"quality": n / 5}) for n, meta in enumerate(metas)], table.schema.field("meta").type)
    pq.write_table(table.set_column(table.schema.get_field_index("meta"), table.schema.field("meta"), told), file)
    text = f'name: a\ntokens: 20\nsources:\n  web: {{documents: {run}, weight: 1, where: "{where}"}}\n'
    (source,) = make_plan(load_mixture(write(text))).plan.sources
    assert source.documents == len(chosen)
    assert source.bytes == sum(9 + int(name[1:]) for name in chosen)


def test_a_key_that_no_document_has_is_told(run_of, write, tmp_path):
    run = run_of(tmp_path / "run", {"web": [("d", 9, "en", None)]}, with_shards=False)
    text = f"name: a\ntokens: 20\nsources:\n  web: {{documents: {run}, weight: 1, where: meta.topic == 'x'}}\n"
    with pytest.raises(UserError, match=r"meta\.topic"):
        make_plan(load_mixture(write(text)))
