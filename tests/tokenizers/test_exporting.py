"""Each export is read back: by a reader written here from its table, and by the layout's own reader where that is installed."""

import csv
import gzip
import io
import itertools
import json
import os
import struct
import tarfile

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.tokenizers.exporting import export_shards
from gristmill.tokenizers.manifest import ShardError
from gristmill.tokenizers.shards import doc_hash, doc_hashes, open_shards, write_manifest, write_shard

LOCAL = fsspec.filesystem("file")
SOURCES = ("books", "web")
EOS = 0


def documents(name, dtype):
    """(hash, tokens) in the order of the shards; ids reach beyond 16 bits where the dtype does."""
    draw = np.random.default_rng(len(name))
    top = 60_000 if dtype == "uint16" else 200_000
    made = {doc_hash(f"{name}{i}"): [*draw.integers(1, top, 3 + i % 9).tolist(), EOS] for i in range(40)}
    return sorted(made.items())


def write(folder, dtype, shards=2):
    entries = {}
    for name in SOURCES:
        rows = documents(name, dtype)
        cut = [rows[: len(rows) // 3], rows[len(rows) // 3 :]] if shards == 2 else [rows]
        entries[name] = []
        for number, part in enumerate(cut):
            table = pa.table(
                {
                    "doc_id": pa.array([key for key, _ in part], pa.binary(16)),
                    "tokens": pa.array([tokens for _, tokens in part], pa.large_list(pa.type_for_alias(dtype))),
                    "n_bytes": pa.array([len(tokens) for _, tokens in part]),
                    "url_or_path": [f"https://example.org/{key.hex()}" for key, _ in part],
                }
            )
            entries[name].append(write_shard(LOCAL, f"{folder}/{name}/{number:05d}", [table], dtype=dtype))
    vocab = 60_000 if dtype == "uint16" else 200_000
    write_manifest(LOCAL, str(folder), entries, tokenizer_json="{}", eos_id=EOS, vocab_size=vocab, dtype=dtype)
    return folder


@pytest.fixture(params=["uint16", "uint32"])
def dtype(request):
    return request.param


@pytest.fixture
def shards(tmp_path, dtype):
    return write(tmp_path / "shards", dtype)


def stream(name, dtype):
    return [i for _, tokens in documents(name, dtype) for i in tokens]


def test_megatron(shards, tmp_path, dtype):
    found = export_shards(shards, tmp_path / "out", "megatron")
    assert (found["files"], found["tokens"]) == (9, sum(len(stream(name, dtype)) for name in SOURCES))
    for name in SOURCES:
        read = [document for number in range(2) for document in megatron_documents(tmp_path / f"out/{name}/{number:05d}")]
        assert read == [tokens for _, tokens in documents(name, dtype)]
    assert os.stat(tmp_path / "out/web/00000.bin").st_ino == os.stat(shards / "web/00000.bin").st_ino


def megatron_documents(prefix):
    """Read as Megatron-LM does: its table of dtype codes, lengths and byte offsets."""
    index = prefix.with_suffix(".idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, count, documents_length = struct.unpack_from("<QBQQ", index, 9)
    assert (version, documents_length, len(index)) == (1, count + 1, 34 + 20 * count + 8)
    kind = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}[code]
    lengths = np.frombuffer(index, "<i4", count, 34)
    pointers = np.frombuffer(index, "<i8", count, 34 + 4 * count)
    assert np.frombuffer(index, "<i8", count + 1, 34 + 12 * count).tolist() == list(range(count + 1))
    payload = prefix.with_suffix(".bin").read_bytes()
    return [np.frombuffer(payload, kind, n, at).tolist() for n, at in zip(lengths, pointers, strict=True)]


def test_olmo(shards, tmp_path, dtype):
    export_shards(shards, tmp_path / "out", "olmo")
    for name in SOURCES:
        read = []
        for path in sorted((tmp_path / "out" / name).glob("*.npy")):
            tokens = np.memmap(path, dtype=np.dtype(dtype).newbyteorder("<"), mode="r")
            with gzip.open(str(path).replace(".npy", ".csv.gz"), "rt") as rows:
                for start, end, key, file, row in csv.reader(rows):
                    read.append((bytes.fromhex(key), tokens[int(start) : int(end)].tolist()))
                    assert (file, int(row)) == (f"{name}/{int(path.stem[-5:]):05d}", int(row))
        assert read == documents(name, dtype)
    assert [path.name for path in sorted((tmp_path / "out/web").iterdir())][:2] == ["part-00-00000.csv.gz", "part-00-00000.npy"]


def test_datatrove(shards, tmp_path, dtype):
    size = np.dtype(dtype).itemsize
    export_shards(shards, tmp_path / "out", "datatrove")
    path = tmp_path / "out/web/00001.ds"
    rows = documents("web", dtype)[40 // 3 :]
    assert np.fromfile(f"{path}.index", "<u8").tolist() == np.cumsum([len(tokens) for _, tokens in rows]).tolist()
    total = sum(len(tokens) for _, tokens in rows)
    assert (tmp_path / "out/web/00001.ds.metadata").read_text() == f"tokenizer.json|{size}\n{total}\n{total}.00 T\n"
    assert np.fromfile(path, np.dtype(dtype)).tolist() == [i for _, tokens in rows for i in tokens]


def test_datatrove_by_its_own_reader(shards, tmp_path, dtype):
    dataset = pytest.importorskip("datatrove.utils.dataset", reason="pip install 'gristmill[readers]'")
    export_shards(shards, tmp_path / "out", "datatrove")
    path, size = str(tmp_path / "out/web/00001.ds"), np.dtype(dtype).itemsize
    windows = dataset.DatatroveFileDataset(path, seq_len=9, token_size=size, return_positions=True)
    flat = [i for _, tokens in documents("web", dtype)[40 // 3 :] for i in tokens]
    positions = [i for _, tokens in documents("web", dtype)[40 // 3 :] for i in range(len(tokens))]
    assert len(windows) == len(flat) // 10
    for number in range(len(windows)):
        assert windows[number]["input_ids"].tolist() == flat[10 * number : 10 * number + 10]
        # a window's first document counts from the window's start there
        found = windows[number]["positions"].tolist()
        begins = [at for at, position in enumerate(positions[10 * number : 10 * number + 10]) if position == 0]
        assert [at for at, position in enumerate(found) if position == 0 and at] == [at for at in begins if at]


@pytest.mark.parametrize("number_of_shards", [1, 2])
def test_nanogpt(tmp_path, number_of_shards):
    export_shards(write(tmp_path / "shards", "uint16", number_of_shards), tmp_path / "out", "nanogpt")
    for name in SOURCES:
        data = np.memmap(tmp_path / f"out/{name}/train.bin", dtype=np.uint16, mode="r")  # as its get_batch does
        assert data.tolist() == stream(name, "uint16")


def test_llmc(tmp_path):
    export_shards(write(tmp_path / "shards", "uint16"), tmp_path / "out", "llmc")
    read = []
    for path in sorted((tmp_path / "out/web").glob("web_train_*.bin")):
        raw = path.read_bytes()
        header = np.frombuffer(raw[:1024], "<i4")
        assert header[:2].tolist() == [20240520, 1]
        assert not header[3:].any()
        tokens = np.frombuffer(raw[1024:], "<u2")
        assert len(tokens) == header[2]
        read += tokens.tolist()
    assert read == stream("web", "uint16")


def test_layouts_of_two_bytes_refuse_larger_vocabularies(tmp_path):
    folder = write(tmp_path / "shards", "uint32")
    for to in ("nanogpt", "llmc"):
        with pytest.raises(ShardError, match=rf"a vocabulary of 200,000 does not fit into {to}, which holds ids below 65,536"):
            export_shards(folder, tmp_path / "out", to)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards"]


def mds_samples(folder):
    index = json.loads((folder / "index.json").read_text())
    assert index["version"] == 2
    for shard in index["shards"]:
        raw = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert len(raw) == shard["raw_data"]["bytes"]
        (count,) = struct.unpack_from("<I", raw)
        offsets = np.frombuffer(raw, "<u4", count + 1, 4)
        config = json.loads(raw[4 + 4 * (count + 1) : offsets[0]])
        assert (config["column_names"], config["column_encodings"]) == (shard["column_names"], shard["column_encodings"])
        assert (count, int(offsets[-1])) == (shard["samples"], len(raw))
        _, kind, length = config["column_encodings"][0].split(":")
        for start, stop in itertools.pairwise(offsets):
            yield np.frombuffer(raw[start:stop], np.dtype(kind)).tolist()
            assert stop - start == int(length) * np.dtype(kind).itemsize


@pytest.mark.parametrize("shard_bytes", [1 << 26, 100])
def test_mds(shards, tmp_path, dtype, shard_bytes, monkeypatch):
    monkeypatch.setattr("gristmill.tokenizers.export_chunks.MDS_BYTES", shard_bytes)
    export_shards(shards, tmp_path / "out", "mds", seq_len=8)
    for name in SOURCES:
        tokens = stream(name, dtype)
        expected = [tokens[i : i + 8] for i in range(0, len(tokens) - 7, 8)]
        assert list(mds_samples(tmp_path / "out" / name)) == expected


def test_mds_by_its_own_reader(shards, tmp_path, dtype):
    streaming = pytest.importorskip("streaming", reason="pip install mosaicml-streaming", exc_type=ImportError)
    export_shards(shards, tmp_path / "out", "mds", seq_len=8)
    data = streaming.LocalDataset(local=str(tmp_path / "out/web"))
    tokens = stream("web", dtype)
    assert [data[i]["tokens"].tolist() for i in range(len(data))] == [tokens[i : i + 8] for i in range(0, len(tokens) - 7, 8)]


def test_a_source_without_a_window_is_told(shards, tmp_path):
    with pytest.raises(ShardError, match="no window of 9,000"):
        export_shards(shards, tmp_path / "out", "mds", seq_len=9000)
    assert not (tmp_path / "out").exists()


def test_litdata(shards, tmp_path, dtype):
    export_shards(shards, tmp_path / "out", "litdata")
    index = json.loads((tmp_path / "out/web/index.json").read_text())
    read = []
    for chunk in index["chunks"]:
        raw = (tmp_path / "out/web" / chunk["filename"]).read_bytes()
        (count,) = struct.unpack_from("<I", raw)
        offsets = np.frombuffer(raw, "<u4", count + 1, 4)
        assert (count, len(raw), int(offsets[0])) == (chunk["chunk_size"], chunk["chunk_bytes"], 4 * (count + 2))
        items = [np.frombuffer(raw[start:stop], dtype).tolist() for start, stop in itertools.pairwise(offsets)]
        assert sum(map(len, items)) == chunk["dim"]
        read += items
    assert read == [tokens for _, tokens in documents("web", dtype)]


def test_litdata_by_its_own_reader(shards, tmp_path, dtype):
    litdata = pytest.importorskip("litdata", reason="pip install litdata")
    export_shards(shards, tmp_path / "out", "litdata")
    data = litdata.StreamingDataset(str(tmp_path / "out/web"), item_loader=litdata.TokensLoader(block_size=8), shuffle=False)
    expected = []
    for part in (documents("web", dtype)[: 40 // 3], documents("web", dtype)[40 // 3 :]):
        flat = [i for _, tokens in part for i in tokens]
        expected += [flat[i : i + 8] for i in range(0, len(flat) - 7, 8)]
    assert [data[i].tolist() for i in range(len(data))] == expected


def test_webdataset(shards, tmp_path, dtype):
    export_shards(shards, tmp_path / "out", "webdataset")
    read = []
    for path in sorted((tmp_path / "out/web").glob("*.tar")):
        with tarfile.open(path) as archive:
            members = archive.getmembers()
            for tokens, known in zip(members[::2], members[1::2], strict=True):
                key = tokens.name.split(".", 1)[0]
                assert (tokens.name, known.name) == (f"{key}.tokens.npy", f"{key}.json")
                row = json.load(archive.extractfile(known))
                assert (row["doc_id"], row["url_or_path"]) == (key, f"https://example.org/{key}")
                array = np.load(io.BytesIO(archive.extractfile(tokens).read()))
                assert array.dtype == np.dtype(dtype)
                read.append((bytes.fromhex(key), array.tolist()))
    assert read == documents("web", dtype)


def test_parquet(shards, tmp_path, dtype, monkeypatch):
    monkeypatch.setattr("gristmill.tokenizers.export_tables.DOCUMENTS_AT_A_TIME", 7)
    export_shards(shards, tmp_path / "out", "parquet")
    table = pa.concat_tables([pq.read_table(path) for path in sorted((tmp_path / "out/web").iterdir())])
    assert list(zip(table["doc_id"].to_pylist(), table["tokens"].to_pylist(), strict=True)) == documents("web", dtype)
    assert table["tokens"].type.value_type == pa.type_for_alias(dtype)


@pytest.mark.parametrize("to", ["megatron", "olmo", "datatrove", "nanogpt", "llmc", "mds", "litdata", "webdataset", "parquet"])
def test_an_export_has_the_same_bytes_each_time_linked_or_copied(tmp_path, to):
    folder = write(tmp_path / "shards", "uint16")
    for name in ("one", "two"):
        export_shards(folder, tmp_path / name, to, seq_len=8, copy=name == "two", verify=True)
    found = [
        {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        for name in ("one", "two")
    ]
    assert found[0] == found[1]
    assert "tokenizer.json" in found[0]


def test_where_no_link_can_be_made_files_are_copied(shards, tmp_path, monkeypatch):
    def refused(*_):
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refused)
    export_shards(shards, tmp_path / "soft", "megatron")
    assert (tmp_path / "soft/web/00000.bin").is_symlink()
    monkeypatch.setattr("os.symlink", refused)
    export_shards(shards, tmp_path / "hard", "megatron")
    assert not (tmp_path / "hard/web/00000.bin").is_symlink()
    assert (tmp_path / "hard/web/00000.bin").read_bytes() == (shards / "web/00000.bin").read_bytes()


def test_what_cannot_be_exported_is_told_and_leaves_nothing(shards, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").write_text("x")
    with pytest.raises(ShardError, match="taken: is taken; give a new folder"):
        export_shards(shards, tmp_path / "taken", "parquet")
    raw = bytearray((shards / "web/00001.bin").read_bytes())
    raw[0] ^= 1
    (shards / "web/00001.bin").write_bytes(bytes(raw))
    with pytest.raises(ShardError, match=r"web/00001\.bin: its sha256 is not the manifest's"):
        export_shards(shards, tmp_path / "out", "parquet", verify=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards", "taken"]
    assert open_shards(shards).manifest.tokens


def test_every_shard_has_the_hashes_of_its_documents():
    assert [key for key, _ in documents("web", "uint16")] == sorted(doc_hashes(f"web{i}" for i in range(40)).to_pylist())
