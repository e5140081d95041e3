"""Tokens find their way into shards in the order of document hashes, whatever the parts."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.exchange import received
from gristmill.pipeline.parts import Part
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches
from gristmill.pipeline.token_tasks import HELD_OUT_KEY, draw, encode, shard, train_tokenizer
from gristmill.stages.documents import DOCUMENTS
from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.model_settings import TokenizerModel
from gristmill.tokenizers.sampling import in_sample
from gristmill.tokenizers.shards import doc_hash

EOS = "<|endoftext|>"
TEXTS = [f"the mill number {number} grinds" for number in range(23)]


def parts_of(work: Storage, rows: int) -> list[Part]:
    parts = []
    for start in range(0, len(TEXTS), rows):
        documents = [
            dict.fromkeys(DOCUMENTS.names) | {"id": f"d{row}", "text": TEXTS[row], "source": "s", "file": "f", "position": row}
            for row in range(start, min(start + rows, len(TEXTS)))
        ]
        writer = StreamWriter(work, f"part{start}", DOCUMENTS)
        writer.write(pa.Table.from_pylist(documents, schema=DOCUMENTS))
        writer.close()
        size = sum(len(row["text"]) for row in documents)
        parts.append(Part("s", f"part{start}", str(start), len(documents), len(documents), size, 0))
    return parts


def shards_of(folder: Path, rows: int, count: int) -> tuple[Storage, list[dict]]:
    work = Storage(str(folder))
    parts = parts_of(work, rows)
    samples = [draw(work, f"draw{part.file}", part=part, fraction=1.0, seed=0)["files"][0]["file"] for part in parts]
    trained = train_tokenizer(work, "bpe", files=samples, settings=TokenizerModel(vocab_size=270), eos=EOS, fewer=False)
    name = trained["files"][0]["file"]
    sent = received([encode(work, f"tokens{part.file}", part=part, tokenizer=name, eos=EOS, buckets=count) for part in parts])
    return work, [shard(work, f"shard{number}", sent=one, path=f"s/{number}", dtype="uint16") for number, one in sent.items()]


@pytest.mark.parametrize("rows", [1, 5])
def test_the_parts_do_not_show_in_the_shards(tmp_path, rows):
    _, whole = shards_of(tmp_path / "whole", 100, 3)
    _, cut = shards_of(tmp_path / "cut", rows, 3)
    assert len(whole) == 3
    assert [[one["sha256"] for one in manifest["files"]] for manifest in cut] == [
        [one["sha256"] for one in manifest["files"]] for manifest in whole
    ]


def test_shards_hold_every_document_in_the_order_of_its_hash(tmp_path):
    _, manifests = shards_of(tmp_path, 5, 3)
    encoder = Encoder((tmp_path / "bpe.tokenizer.json").read_text(), EOS)
    by_hash = [TEXTS[row] for row in sorted(range(len(TEXTS)), key=lambda row: doc_hash(f"d{row}"))]
    expected = [
        one for row in encoder.encode(pa.chunked_array([pa.array(by_hash, pa.large_string())])).to_pylist() for one in row
    ]
    found = np.concatenate([np.fromfile(tmp_path / f"shard{number}.bin", "<u2") for number in range(len(manifests))])
    assert found.tolist() == expected
    assert [one["name"] for one in manifests[0]["published"]] == [
        f"shards/s/0{suffix}" for suffix in (".bin", ".ends", ".idx", ".docs.parquet")
    ]
    assert json.loads(json.dumps(manifests)) == manifests


def test_the_sample_for_the_tokenizer_is_the_lowest_hashes(tmp_path):
    work = Storage(str(tmp_path))
    drawn = [draw(work, f"draw{part.file}", part=part, fraction=0.4, seed=9)["files"][0]["file"] for part in parts_of(work, 4)]
    texts = [text for name in drawn for table in read_batches(work, name) for text in table["text"].to_pylist()]
    inside = in_sample([f"d{row}" for row in range(len(TEXTS))], 9, 0.4)
    assert texts == [text for text, one in zip(TEXTS, inside, strict=True) if one]


def test_held_out_documents_go_to_a_shard_of_their_own_whatever_the_parts(tmp_path):
    found = []
    for rows in (4, 100):
        work = Storage(str(tmp_path / str(rows)))
        parts = parts_of(work, rows)
        samples = [draw(work, f"draw{part.file}", part=part, fraction=1.0, seed=0)["files"][0]["file"] for part in parts]
        trained = train_tokenizer(work, "bpe", files=samples, settings=TokenizerModel(vocab_size=270), eos=EOS, fewer=False)
        name = trained["files"][0]["file"]
        how = {"tokenizer": name, "eos": EOS, "buckets": 1, "held_out": 0.4}
        sent = received([encode(work, f"tokens{part.file}", part=part, **how) for part in parts])
        written = [shard(work, f"{n}", sent=one, path="s/0", dtype="uint16", folder="held_out") for n, one in sent.items()]
        found.append([(one["entry"]["docs"], one["entry"]["sha256"]["bin"]) for one in written])
    outside = int(in_sample([f"d{row}" for row in range(len(TEXTS))], HELD_OUT_KEY, 0.4).sum())
    assert [docs for docs, _ in found[0]] == [len(TEXTS) - outside, outside]
    assert 0 < outside < len(TEXTS)
    assert found[0] == found[1]
    assert written[1]["published"][0]["name"] == "held_out/s/0.bin"


def test_a_vocabulary_too_large_for_the_documents_is_told(tmp_path):
    work = Storage(str(tmp_path))
    samples = [draw(work, "d", part=part, fraction=1.0, seed=0)["files"][0]["file"] for part in parts_of(work, 100)]
    with pytest.raises(UserError, match=r"tokenize.train: vocab_size is 9,000; the texts offer no more than \d+ tokens"):
        train_tokenizer(work, "bpe", files=samples, settings=TokenizerModel(vocab_size=9000), eos=EOS, fewer=False)
