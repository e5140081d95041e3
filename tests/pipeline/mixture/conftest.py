"""Token shards, documents and a run folder, small enough to count by hand."""

import json
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.stages.documents import DOCUMENTS
from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.shards import doc_hashes, write_manifest, write_shard
from gristmill.tokenizers.training import train_byte_bpe

LOCAL = fsspec.filesystem("file")


def write_shards(folder, documents, *, shards=2, vocab_size=257):
    """Write source -> [(id, number of letters, language, quality)] as token shards: a token a letter, and the end of the text."""
    encoder = Encoder(train_byte_bpe(["abab"], vocab_size))
    entries = {}
    for source, rows in documents.items():
        table = pa.table(
            {
                "doc_id": doc_hashes(row[0] for row in rows),
                "tokens": encoder.encode(["x" * row[1] for row in rows]),
                "n_bytes": pa.array([row[1] for row in rows], pa.int64()),
                "source": [source] * len(rows),
                "lang": [row[2] for row in rows],
                "quality": pa.array([row[3] for row in rows], pa.float32()),
            }
        ).sort_by("doc_id")
        bounds = [len(table) * n // shards for n in range(shards + 1)]
        entries[source] = [
            write_shard(LOCAL, f"{folder}/{source}/{n:05d}", [table.slice(a, b - a)], dtype=encoder.dtype)
            for n, (a, b) in enumerate(pairwise(bounds))
        ]
    write_manifest(
        LOCAL,
        str(folder),
        entries,
        tokenizer_json=encoder.tokenizer_json,
        eos_id=encoder.eos_id,
        vocab_size=encoder.vocab_size,
        dtype=encoder.dtype,
    )
    return folder


# ten documents of 9 letters (10 tokens) each: two German ones, qualities 0.0, 0.1, ... 0.9
WEB = [(f"web-{n}", 9, "de" if n in (3, 7) else "en", n / 10) for n in range(10)]
BOOKS = [(f"book-{n}", 99, "en", None) for n in range(3)]


def write_run(folder, documents, *, with_shards=True):
    """Write a run folder: documents, a signal `words.count` (the document's number) of the kept and some removed, shards."""
    for source, rows in documents.items():
        columns = {name: [None] * len(rows) for name in DOCUMENTS.names}
        columns |= {"id": [row[0] for row in rows], "text": ["x" * row[1] for row in rows], "source": [source] * len(rows)}
        columns |= {"language": [row[2] for row in rows], "file": ["f"] * len(rows), "position": list(range(len(rows)))}
        file = Path(folder) / "documents" / source / "00000.parquet"
        file.parent.mkdir(parents=True)
        pq.write_table(pa.table({name: pa.array(columns[name], DOCUMENTS.field(name).type) for name in DOCUMENTS.names}), file)
    ids = [row[0] for rows in documents.values() for row in rows]
    signals = pa.table(
        {
            "id": [*ids, *ids, "gone"],
            "source": ["web"] * (2 * len(ids) + 1),
            "version": [*([0] * len(ids)), *([1] * len(ids)), 0],
            "words.count": [*map(float, range(len(ids))), *([None] * len(ids)), 3.0],
        }
    )
    (Path(folder) / "signals").mkdir()
    pq.write_table(signals, Path(folder) / "signals" / "web.parquet")
    (Path(folder) / "run.json").write_text(json.dumps({"status": "done"}))
    if with_shards:
        write_shards(Path(folder) / "shards", documents)
    return folder


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """Shards of web (10 documents of 10 tokens) and books (3 of 100)."""
    return write_shards(tmp_path_factory.mktemp("shards"), {"web": WEB, "books": BOOKS})


@pytest.fixture
def write(tmp_path):
    """Write a mixture, `NAME` in it standing for a folder."""

    def write(text, **folders):
        text = dedent(text).lstrip("\n")
        for name, folder in folders.items():
            text = text.replace(name, str(folder))
        path = tmp_path / "m.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def shards_of():
    """`write_shards`."""
    return write_shards


@pytest.fixture
def run_of():
    """`write_run`."""
    return write_run
