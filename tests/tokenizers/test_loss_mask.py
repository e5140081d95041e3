"""Masked characters become masked tokens, and those a byte each beside the shard."""

import json
import tarfile
from hashlib import sha256
from io import BytesIO

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.pipeline.cli import exit_status
from gristmill.tokenizers import inspection
from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.exporting import MASKED, export_shards, layouts
from gristmill.tokenizers.loss_mask import masked_tokens, runs_of
from gristmill.tokenizers.manifest import ShardError
from gristmill.tokenizers.mixture_plan import SelectedStream
from gristmill.tokenizers.shards import doc_hash, doc_hashes, open_shards, write_manifest, write_shard
from gristmill.tokenizers.training import train_byte_bpe

LOCAL = fsspec.filesystem("file")
TEXT = "one two  three"
OFFSETS = [(0, 3), (3, 7), (7, 8), (8, 14)]  # "one", " two", " ", " three"


@pytest.mark.parametrize(
    ("spans", "masked"),
    [
        ([], []),
        ([(0, 3)], [0]),
        ([(0, 4)], [0]),  # " two" shares but the blank
        ([(0, 5)], [0, 1]),  # a part of a word masks its token
        ([(4, 7)], [1]),
        ([(4, 9)], [1, 2]),  # the blank between is masked as a whole
        ([(2, 3), (13, 14)], [0, 3]),
        ([(7, 8)], [2]),
        ([(0, 14)], [0, 1, 2, 3]),
    ],
)
def test_a_token_is_masked_for_its_masked_letters_or_where_all_of_it_is(spans, masked):
    assert np.flatnonzero(masked_tokens(TEXT, spans, np.array(OFFSETS))).tolist() == masked


def test_a_token_without_characters_counts():
    assert masked_tokens("ab", [(0, 2)], np.array([(0, 0), (0, 2), (2, 2)])).tolist() == [False, True, False]


@given(st.lists(st.booleans()), st.integers(0, 5))
def test_runs_are_where_masked_tokens_begin_and_end(marks, first):
    runs = runs_of(np.array(marks, dtype=bool), first)
    assert [at for start, end in zip(runs[::2], runs[1::2], strict=True) for at in range(start, end)] == [
        first + at for at, marked in enumerate(marks) if marked
    ]


@pytest.fixture(scope="module")
def tokenizer_json():
    return train_byte_bpe(["one two three", "日本語 é"] * 3, 300)


@pytest.mark.parametrize(("bos", "ahead"), [(None, 0), ("<|endoftext|>", 1)])
def test_the_tokens_of_masked_words_and_no_others_are_masked(tokenizer_json, bos, ahead):
    encoder = Encoder(tokenizer_json, bos=bos)
    text = "日本語 one two é three"
    (ids,) = encoder.encode([text]).to_pylist()

    def runs_masked(spans):
        tokens, runs = encoder.encode_masked(["another text", text, "", text], {1: spans})
        assert tokens.to_pylist() == encoder.encode(["another text", text, "", text]).to_pylist()
        assert [one for at, one in enumerate(runs.to_pylist()) if at != 1] == [None] * 3
        return runs[1].as_py()

    for masked in ("日本語 ", "one two ", "é", text):
        start = text.index(masked)
        runs = runs_masked([(start, start + len(masked))])
        assert len(runs) == 2
        assert encoder.decode(ids[runs[0] : runs[1]]).strip() == masked.strip()
        assert ahead <= runs[0] < runs[1] < len(ids)  # the end of text counts
    assert runs_masked([(0, len(text))]) == [ahead, len(ids) - 1]


TOKENS = {"a": [5, 6, 7, 0], "b": [8, 0], "c": [9, 10, 0], "d": [], "e": [11, 12, 13, 14, 0]}
RUNS = {"c": [0, 2], "e": [0, 1, 2, 4]}
# two documents that come after those in the order of shards
LATER = [name for name in map(str, range(100)) if doc_hash(name) > max(map(doc_hash, TOKENS))][:2]
TOKENS |= dict(zip(LATER, ([15, 0], [16, 17, 18, 0]), strict=True))


def table(names, runs):
    rows = {
        "doc_id": doc_hashes(names),
        "tokens": pa.array([TOKENS[name] for name in names], pa.large_list(pa.uint16())),
        "n_bytes": pa.array([len(TOKENS[name]) for name in names]),
        "masked": pa.array([runs.get(name) for name in names], pa.large_list(pa.int32())),
    }
    return pa.table(rows).sort_by("doc_id")


def in_order(names):
    """Documents with tokens, as they stand in a shard."""
    return sorted((name for name in names if TOKENS[name]), key=doc_hash)


def expected(names, runs):
    marks = []
    for name in in_order(names):
        own = [1] * len(TOKENS[name])
        for start, end in zip(runs.get(name, [])[::2], runs.get(name, [])[1::2], strict=True):
            own[start:end] = [0] * (end - start)
        marks += own
    return marks


def write_set(folder, runs=RUNS):
    """A source of two shards, the second without a masked token."""
    entries = [
        write_shard(LOCAL, f"{folder}/web/00000", [table("abcde", runs)], dtype="uint16"),
        write_shard(LOCAL, f"{folder}/web/00001", [table(LATER, {})], dtype="uint16"),
    ]
    tokenizer = train_byte_bpe(["abc"], 260)
    write_manifest(LOCAL, str(folder), {"web": entries}, tokenizer_json=tokenizer, eos_id=0, vocab_size=300, dtype="uint16")
    return folder


def test_the_mask_is_a_byte_a_token_and_the_manifest_says_so(tmp_path):
    entry = write_shard(LOCAL, f"{tmp_path}/web/00000", [table("abcde", RUNS)], dtype="uint16")
    raw = (tmp_path / "web/00000.mask").read_bytes()
    assert list(raw) == expected("abcde", RUNS)
    assert entry["masked"] == 5
    assert entry["sha256"]["mask"] == sha256(raw).hexdigest()


@pytest.mark.parametrize("bounds", [(0,), (1, 2, 3, 4), (4,)])
def test_how_rows_are_cut_into_tables_changes_no_byte(tmp_path, bounds):
    rows = table("abcde", RUNS)
    parts = [rows.slice(a, b - a) for a, b in zip((0, *bounds), (*bounds, 5), strict=True)]
    for name, tables in (("one", [rows]), ("more", parts)):
        write_shard(LOCAL, f"{tmp_path}/{name}/00000", tables, dtype="uint16", path="web/00000")
    assert (tmp_path / "one/00000.mask").read_bytes() == (tmp_path / "more/00000.mask").read_bytes()


@pytest.mark.parametrize("runs", [{}, {"a": []}, None])
def test_a_shard_in_which_all_tokens_count_is_as_one_without_masks(tmp_path, runs):
    plain = write_shard(LOCAL, f"{tmp_path}/plain/0", [table("abcde", {}).drop_columns("masked")], dtype="uint16", path="web/0")
    rows = table("abcde", runs or {})
    entry = write_shard(LOCAL, f"{tmp_path}/other/0", [rows], dtype="uint16", path="web/0")
    assert entry == plain
    assert set(entry) == {"path", "tokens", "docs", "bytes_utf8", "sha256", "min_token", "max_token", "megatron_index"}
    assert set(entry["sha256"]) == {"bin", "ends"}
    for file in (tmp_path / "plain").iterdir():
        assert file.read_bytes() == (tmp_path / "other" / file.name).read_bytes()
    assert not (tmp_path / "other/0.mask").exists()


@pytest.mark.parametrize("run", [[0], [2, 1], [0, 5], [-1, 1], [0, 1, 1, 2]])
def test_runs_that_are_none_are_told(tmp_path, run):
    with pytest.raises(ShardError, match="are no runs of a document of 3 tokens"):
        write_shard(LOCAL, f"{tmp_path}/web/0", [table("c", {"c": run})], dtype="uint16")


def test_a_stream_says_which_tokens_count_over_shards_and_choices_of_documents(tmp_path):
    stream = open_shards(write_set(tmp_path), verify=True).streams["web"]
    marks = expected("abcde", RUNS) + [1] * 6
    assert stream.is_masked
    for start in range(len(marks) + 1):
        for stop in range(start, len(marks) + 1):
            assert stream.counted(start, stop).tolist() == [mark == 1 for mark in marks[start:stop]]
    with pytest.raises(IndexError):
        stream.counted(0, len(marks) + 1)
    ends = stream.document_ends(0, len(stream) + 1).tolist()
    chosen = [[ends[0], ends[2]], [ends[3], ends[4]]]
    selected = SelectedStream(stream, np.array(chosen, dtype=np.int64))
    wanted = [mark == 1 for start, end in chosen for mark in marks[start:end]]
    assert selected.is_masked
    assert selected.counted(0, len(selected)).tolist() == wanted
    assert selected.counted(1, len(selected) - 1).tolist() == wanted[1:-1]


def test_the_content_hash_changes_with_the_mask_alone(tmp_path):
    hashes = [
        open_shards(write_set(tmp_path / name, runs)).content for name, runs in (("x", RUNS), ("y", {"c": [0, 1]}), ("z", {}))
    ]
    assert len(set(hashes)) == 3


def test_verification_finds_a_mask_that_was_changed_or_lost(tmp_path):
    write_set(tmp_path)
    assert inspection.verify(tmp_path)["tokens"] == 20
    file = tmp_path / "web/00000.mask"
    marks = bytearray(file.read_bytes())
    marks[0] = 1 - marks[0]
    file.write_bytes(marks)
    with pytest.raises(ShardError, match=r"00000\.mask: its sha256 is not the manifest's"):
        inspection.verify(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["sources"][0]["shards"][0]["sha256"]["mask"] = sha256(marks).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        ShardError, match=r"00000\.mask: [46] tokens are 0 and (10|8) are 1; the manifest says 5 of 14 are masked"
    ):
        inspection.verify(tmp_path)
    file.unlink()
    with pytest.raises(ShardError, match=r"00000\.mask: is missing"):
        open_shards(tmp_path)


def test_a_manifest_whose_mask_has_no_file_is_refused(tmp_path):
    write_set(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["sources"][0]["shards"][0]["sha256"]["mask"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ShardError, match="5 of 14 tokens are masked"):
        open_shards(tmp_path)


def test_what_is_masked_is_shown(tmp_path):
    write_set(tmp_path)
    (row,) = inspection.stats(tmp_path)["sources"]
    assert row["masked"] == 5
    place = in_order("abce").index("e")
    assert inspection.show_document(tmp_path, place)["masked"] == [[0, 1], [2, 4]]
    assert [found["masked"] for found in inspection.find_document(tmp_path, "e")] == [3]
    assert [found["masked"] for found in inspection.find_document(tmp_path, LATER[0])] == [0]
    window = inspection.show_window(tmp_path, 0, 13)
    marks = expected("abcde", RUNS)
    assert [at for start, end in window["masked"] for at in range(start, end)] == [
        at for at, mark in enumerate(marks) if not mark
    ]


def test_datatrove_gets_the_mask_as_its_loss_file(tmp_path):
    export_shards(write_set(tmp_path / "shards"), tmp_path / "out", "datatrove")
    assert list((tmp_path / "out/web/00000.ds.loss").read_bytes()) == expected("abcde", RUNS)
    assert list((tmp_path / "out/web/00001.ds.loss").read_bytes()) == [1] * 6


def test_parquet_and_webdataset_carry_the_mask_of_each_document(tmp_path):
    write_set(tmp_path / "shards")
    export_shards(tmp_path / "shards", tmp_path / "parquet", "parquet")
    found = [
        row["mask"] for number in (0, 1) for row in pq.read_table(tmp_path / f"parquet/web/0000{number}.parquet").to_pylist()
    ]
    assert [mark for own in found for mark in own] == expected("abcde", RUNS) + [1] * 6
    export_shards(tmp_path / "shards", tmp_path / "tar", "webdataset")
    read = []
    for number in (0, 1):
        with tarfile.open(tmp_path / f"tar/web/web-00000{number}.tar") as archive:
            names = [name for name in archive.getnames() if name.endswith(".mask.npy")]
            read += [np.load(BytesIO(archive.extractfile(name).read())).tolist() for name in names]
    assert read == found


@pytest.mark.parametrize("layout", sorted(set(layouts()) - MASKED))
def test_other_layouts_are_refused_unless_the_mask_is_dropped(tmp_path, layout, capsys):
    write_set(tmp_path / "shards")
    status = exit_status(["export", str(tmp_path / "shards"), str(tmp_path / "out"), "--to", layout, "--seq-len", "4"])
    assert status == 2
    assert f"5 tokens are masked, and {layout} has no place for that" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    export_shards(tmp_path / "shards", tmp_path / "out", layout, seq_len=4, drop_mask=True)
    assert (tmp_path / "out/tokenizer.json").is_file()


def test_without_masks_an_export_says_nothing_of_them(tmp_path):
    export_shards(write_set(tmp_path / "shards", {}), tmp_path / "out", "datatrove")
    assert not list((tmp_path / "out").rglob("*.loss"))
