import json
import struct
from hashlib import sha256

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.tokenizers.manifest import ShardError
from gristmill.tokenizers.shards import doc_hash, doc_hashes, open_shards, write_manifest, write_shard

LOCAL = fsspec.filesystem("file")


def rows(count, *, tokens=None, seed=0):
    """Documents in order of their hash; document i has i % 7 tokens unless given."""
    draw = np.random.default_rng(seed)
    ids = doc_hashes(f"{seed}-{i}" for i in range(count))
    tokens = tokens or [draw.integers(1, 500, i % 7).tolist() for i in range(count)]
    table = pa.table(
        {
            "doc_id": ids,
            "tokens": pa.array(tokens, pa.large_list(pa.uint16())),
            "n_bytes": pa.array([3 * len(t) for t in tokens], pa.int64()),
            "source": ["web" if i % 3 else "books" for i in range(count)],
            "lang": ["en" if i % 2 else None for i in range(count)],
            "url_or_path": [f"https://example.org/{i}" for i in range(count)],
        }
    )
    return table.sort_by("doc_id")


def cut(table, *bounds):
    return [table.slice(a, b - a) for a, b in zip((0, *bounds), (*bounds, len(table)), strict=True)]


def write_set(folder, *, shards=2, count=50, dtype="uint16"):
    entries = [write_shard(LOCAL, f"{folder}/web/{n:05d}", [rows(count, seed=n)], dtype=dtype) for n in range(shards)]
    write_manifest(LOCAL, str(folder), {"web": entries}, tokenizer_json="{}", eos_id=0, vocab_size=500, dtype=dtype, seed=4)
    return entries


def test_the_files_hold_what_the_layout_says(tmp_path):
    table = rows(30)
    entry = write_shard(LOCAL, f"{tmp_path}/web/00003", [table], dtype="uint16")
    kept = [t for t in table["tokens"].to_pylist() if t]
    flat = [i for t in kept for i in t]
    raw = (tmp_path / "web/00003.bin").read_bytes()
    assert np.frombuffer(raw, "<u2").tolist() == flat
    ends = np.frombuffer((tmp_path / "web/00003.ends").read_bytes(), "<u8")
    assert ends.tolist() == np.cumsum([len(t) for t in kept]).tolist()
    assert entry == {
        "path": "web/00003",
        "tokens": len(flat),
        "docs": len(kept),
        "bytes_utf8": 3 * len(flat),
        "sha256": {"bin": sha256(raw).hexdigest(), "ends": sha256((tmp_path / "web/00003.ends").read_bytes()).hexdigest()},
        "min_token": min(flat),
        "max_token": max(flat),
        "megatron_index": True,
    }
    documents = pq.read_table(tmp_path / "web/00003.docs.parquet")
    assert documents.schema.field("source").type == pa.dictionary(pa.int32(), pa.string())
    assert documents["n_tokens"].to_pylist() == [len(t) for t in kept]
    assert documents["n_bytes"].to_pylist() == [3 * len(t) for t in kept]
    whole = table.filter(pa.array([len(t) > 0 for t in table["tokens"].to_pylist()]))
    for name in ("doc_id", "source", "lang", "url_or_path"):
        assert documents[name].to_pylist() == whole[name].to_pylist()
    assert set(documents["weight"].to_pylist()) == {1.0}
    assert set(documents["cluster"].to_pylist()) == {None}


@pytest.mark.parametrize(("dtype", "code", "size"), [("uint16", 8, 2), ("uint32", 4, 4)])
def test_the_megatron_index_reads_back_by_its_table(tmp_path, dtype, code, size):
    tokens = [[5, 6, 0], [7, 0], [8, 9, 10, 0]]
    write_shard(LOCAL, f"{tmp_path}/web/0", [rows(3, tokens=tokens)], dtype=dtype)
    in_order = rows(3, tokens=tokens)["tokens"].to_pylist()
    raw = (tmp_path / "web/0.idx").read_bytes()
    assert len(raw) == 34 + 20 * 3 + 8
    assert raw[:9] == b"MMIDIDX\x00\x00"
    assert struct.unpack_from("<Q", raw, 9) == (1,)
    assert raw[17] == code
    assert struct.unpack_from("<QQ", raw, 18) == (3, 4)
    lengths = struct.unpack_from("<3i", raw, 34)
    pointers = struct.unpack_from("<3q", raw, 34 + 12)
    assert list(lengths) == [len(t) for t in in_order]
    assert pointers == (0, size * lengths[0], size * (lengths[0] + lengths[1]))
    assert struct.unpack_from("<4q", raw, 34 + 36) == (0, 1, 2, 3)
    payload = (tmp_path / "web/0.bin").read_bytes()
    kind = "<i4" if code == 4 else "<u2"
    read = [np.frombuffer(payload, kind, n, p).tolist() for n, p in zip(lengths, pointers, strict=True)]
    assert read == in_order


def test_the_bytes_do_not_tell_how_the_rows_came(tmp_path, monkeypatch):
    monkeypatch.setattr("gristmill.tokenizers.shard_writer.ROWS_A_GROUP", 40)
    table = rows(150)
    ways = {
        "one": [table],
        "many": cut(table, 1, 2, 33, 80, 81, 120),
        "chunked": [pa.concat_tables(cut(table, 7, 90))],
        "encoded": [table.set_column(3, "source", table["source"].dictionary_encode())],
    }
    entries = [write_shard(LOCAL, f"{tmp_path}/{way}/0", tables, dtype="uint16", path="web/0") for way, tables in ways.items()]
    assert all(entry == entries[0] for entry in entries)
    for suffix in ("bin", "ends", "idx", "docs.parquet"):
        assert len({(tmp_path / way / f"0.{suffix}").read_bytes() for way in ways}) == 1
    assert pq.ParquetFile(tmp_path / "one/0.docs.parquet").num_row_groups == 4  # 128 documents with tokens: 40, 40, 40, 8


def test_a_shard_without_documents_is_a_shard(tmp_path):
    entry = write_shard(LOCAL, f"{tmp_path}/web/00000", [], dtype="uint16")
    assert (entry["tokens"], entry["docs"], entry["min_token"]) == (0, 0, None)
    write_manifest(LOCAL, str(tmp_path), {"web": [entry]}, tokenizer_json="{}", eos_id=0, vocab_size=500, dtype="uint16")
    assert len(open_shards(tmp_path, verify=True).streams["web"]) == 0


def test_rows_out_of_order_are_refused(tmp_path):
    table = rows(40)
    with pytest.raises(ShardError, match="ascending order"):
        write_shard(LOCAL, f"{tmp_path}/web/0", [table.take([0, 2, 1])], dtype="uint16")
    documents = table.filter(pa.array([len(t) > 0 for t in table["tokens"].to_pylist()]))
    with pytest.raises(ShardError, match="ascending order"):  # also across tables
        write_shard(LOCAL, f"{tmp_path}/web/0", [documents.slice(5, 3), documents.slice(7, 3)], dtype="uint16")


def test_ids_too_large_for_the_dtype_are_refused(tmp_path):
    table = rows(1, tokens=[[1]]).set_column(1, "tokens", pa.array([[70_000]], pa.list_(pa.int64())))
    with pytest.raises(ShardError, match="do not fit uint16"):
        write_shard(LOCAL, f"{tmp_path}/web/0", [table], dtype="uint16")
    table = table.set_column(1, "tokens", pa.array([[2**31]], pa.list_(pa.int64())))
    with pytest.raises(ShardError, match=r"below 2\^31"):
        write_shard(LOCAL, f"{tmp_path}/web/0", [table], dtype="uint32")


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(ShardError, match="rows have no n_bytes; they have doc_id, tokens"):
        write_shard(LOCAL, f"{tmp_path}/web/0", [rows(3).select(["doc_id", "tokens"])], dtype="uint16")


def test_a_stream_is_its_shards_end_to_end(tmp_path):
    write_set(tmp_path, shards=3)
    opened = open_shards(tmp_path, verify=True)
    stream = opened.streams["web"]
    flat = np.concatenate([np.fromfile(tmp_path / f"web/{n:05d}.bin", "<u2") for n in range(3)])
    assert len(stream) == len(flat) == opened.manifest.tokens
    for start, stop in [(0, len(flat)), (0, 0), (100, 160), (len(flat) // 3 - 5, 2 * len(flat) // 3 + 5), (len(flat),) * 2]:
        assert stream.read(start, stop).tolist() == flat[start:stop].tolist()
    with pytest.raises(IndexError):
        stream.read(5, len(flat) + 1)
    assert opened.document_ends(opened.manifest.sources[0].shards[0])[-1] == opened.manifest.sources[0].shards[0].tokens


def test_shards_on_another_filesystem_have_the_same_bytes(tmp_path):
    memory = fsspec.filesystem("memory")
    write_shard(memory, "/shards/web/00000", [rows(20)], dtype="uint16")
    write_shard(LOCAL, f"{tmp_path}/web/00000", [rows(20)], dtype="uint16")
    for suffix in ("bin", "ends", "idx", "docs.parquet"):
        assert memory.cat(f"/shards/web/00000.{suffix}") == (tmp_path / f"web/00000.{suffix}").read_bytes()


def test_the_manifest_says_what_is_there(tmp_path):
    entries = write_set(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["tokenizer"] == {"file": "tokenizer.json", "sha256": sha256(b"{}").hexdigest(), "vocab_size": 500}
    assert (manifest["dtype"], manifest["eos_id"], manifest["seed"], manifest["schema_version"]) == ("uint16", 0, 4, 1)
    assert manifest["sources"][0]["shards"] == entries
    assert manifest["sources"][0]["tokens"] == sum(entry["tokens"] for entry in entries)
    assert (tmp_path / "tokenizer.json").read_text() == "{}"


def test_the_content_hash_follows_the_tokens_only(tmp_path):
    write_set(tmp_path / "a")
    write_set(tmp_path / "b")
    write_set(tmp_path / "c", count=51)
    hashes = [open_shards(tmp_path / name).manifest.content_hash() for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_damage_is_named_file_by_file(tmp_path):
    write_set(tmp_path)
    (tmp_path / "web/00000.idx").unlink()
    payload = bytearray((tmp_path / "web/00001.bin").read_bytes())
    (tmp_path / "web/00001.bin").write_bytes(payload[:-2])
    with pytest.raises(ShardError) as caught:
        open_shards(tmp_path)
    assert "00000.idx: is missing" in str(caught.value)
    assert f"00001.bin: has {len(payload) - 2} bytes, the manifest says {len(payload)}" in str(caught.value)


def test_a_changed_byte_is_found_when_asked_for(tmp_path):
    write_set(tmp_path)
    payload = bytearray((tmp_path / "web/00001.bin").read_bytes())
    payload[10] ^= 1
    (tmp_path / "web/00001.bin").write_bytes(payload)
    open_shards(tmp_path)
    with pytest.raises(ShardError, match=r"00001\.bin: its sha256"):
        open_shards(tmp_path, verify=True)


def test_a_folder_that_holds_no_shards_is_told_what_to_give(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        open_shards(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"has no manifest\.json"):
        open_shards(tmp_path)
    write_set(tmp_path / "shards")
    with pytest.raises(FileNotFoundError, match="shards has one"):
        open_shards(tmp_path)
    (tmp_path / "shards/manifest.json").write_text('{"schema_version": 9}')
    with pytest.raises(ShardError, match="schema_version"):
        open_shards(tmp_path / "shards")
    with pytest.raises(ShardError, match="needs a local path"):
        open_shards("s3://bucket/shards")


def test_the_hash_of_an_id_stays_what_it_is():
    # written shards are found again by it
    assert doc_hash("urn:uuid:1").hex() == doc_hashes(["urn:uuid:1"])[0].as_py().hex()
    assert len({doc_hash(f"{i}") for i in range(1000)}) == 1000
    assert len(doc_hash("ü\ud800")) == 16
