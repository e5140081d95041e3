"""A small corpus with something to learn in it, as token shards."""

import random
from itertools import pairwise

import fsspec
import pyarrow as pa
import pytest

from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.shards import doc_hashes, write_manifest, write_shard
from gristmill.tokenizers.training import train_byte_bpe

LOCAL = fsspec.filesystem("file")
PLACES = ["the old mill", "the river", "a market", "the harbour", "some village"]
DEEDS = ["grinds grain", "carries boats", "sells bread", "waits for rain", "wakes early"]


def sentences(seed, count):
    """Texts in which a deed always follows from its place."""
    draw = random.Random(seed)
    return [
        ". ".join(f"Near {PLACES[i]} one {DEEDS[i]} on day {draw.randint(1, 9)}" for i in draw.choices(range(5), k=30)) + "."
        for _ in range(count)
    ]


def write_corpus(folder, documents, *, shards=2, vocab_size=300):
    """Write source name -> texts as token shards; each source in so many of them."""
    encoder = Encoder(train_byte_bpe([text for texts in documents.values() for text in texts], vocab_size))
    entries = {}
    for source, texts in documents.items():
        table = pa.table(
            {
                "doc_id": doc_hashes(f"{source}#{i}" for i in range(len(texts))),
                "tokens": encoder.encode(texts),
                "n_bytes": pa.array([len(text.encode()) for text in texts], pa.int64()),
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


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Shards of two sources: web, and books with half as many documents."""
    return write_corpus(tmp_path_factory.mktemp("shards"), {"web": sentences(1, 40), "books": sentences(2, 20)})


@pytest.fixture(scope="session")
def make_corpus():
    """`write_corpus`."""
    return write_corpus
