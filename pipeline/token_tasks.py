"""The tasks of tokenization: a sample to train on, tokens on their way into hash order, shards."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.pipeline.exchange import Sent, key_ranges, merged, write_exchange
from gristmill.pipeline.parts import Part, read_part
from gristmill.pipeline.steps import Manifest, file_entry
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches
from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.sampling import in_sample
from gristmill.tokenizers.shards import doc_hashes, write_shard
from gristmill.tokenizers.training import train_byte_bpe

TOKEN_ORDER = ["high", "low"]
BATCH_DOCUMENTS = 512
"""Documents a record batch of tokens: token lists are long, and a reader holds one batch of each file."""


def draw(work: Storage, prefix: str, *, part: Part, fraction: float, seed: int) -> Manifest:
    """Write the texts of the documents with the lowest keyed id hashes."""
    writer = StreamWriter(work, f"{prefix}.sample.arrow", pa.schema([("text", pa.large_string())]))
    for table, _ in read_part(work, part, ["id", "text"]):
        writer.write(table.filter(pa.array(in_sample(table["id"].to_pylist(), seed, fraction))).select(["text"]))
    return {"files": [writer.close()]}


def train_tokenizer(work: Storage, prefix: str, *, files: list[str], vocab_size: int, special_tokens: list[str]) -> Manifest:
    """Train a byte-level BPE tokenizer on the drawn texts."""

    def texts() -> Iterator[str]:
        for name in files:
            for table in read_batches(work, name):
                yield from table["text"].to_pylist()

    name = f"{prefix}.tokenizer.json"
    work.put(name, train_byte_bpe(texts(), vocab_size, special_tokens=special_tokens).encode())
    return {"files": [file_entry(work, name)]}


def encode(work: Storage, prefix: str, *, part: Part, tokenizer: str, eos: str, shards: int) -> Manifest:
    """Turn the documents of a part into tokens and send them to the shards of their source, by document hash."""
    with work.open(tokenizer) as file:
        encoder = Encoder(file.read().decode(), eos)
    tables = []
    for table, _ in read_part(work, part):
        ids = doc_hashes(table["id"].to_pylist())
        halves = np.frombuffer(ids.buffers()[1], dtype=">u8")[2 * ids.offset : 2 * (ids.offset + len(ids))].reshape(-1, 2)
        tables.append(
            pa.table(
                {
                    "high": halves[:, 0].astype(np.uint64),
                    "low": halves[:, 1].astype(np.uint64),
                    "doc_id": ids,
                    "tokens": encoder.encode(table["text"]),
                    "n_bytes": pc.binary_length(table["text"].combine_chunks()).cast(pa.int32()),
                    "source": table["source"],
                    "lang": table["language"],
                    "url_or_path": table["url"],
                }
            )
        )
    if not tables:
        return {"files": [], "sent": []}
    rows = pa.concat_tables(tables)
    name = f"{prefix}.tokens.arrow"
    entry = write_exchange(work, name, rows, key_ranges(rows["high"].to_numpy(), shards), TOKEN_ORDER, BATCH_DOCUMENTS)
    return {"files": [entry], "sent": [entry]}


def shard(work: Storage, prefix: str, *, sent: list[Sent], path: str, dtype: str) -> Manifest:
    """Write one shard from the tokens that were sent to it."""
    entry = write_shard(work.fs, work.path(prefix), merged(work, sent, TOKEN_ORDER), dtype=dtype, path=path)
    files = {suffix: file_entry(work, f"{prefix}{suffix}") for suffix in (".bin", ".ends", ".idx", ".docs.parquet")}
    published = [one | {"name": f"shards/{path}{suffix}"} for suffix, one in files.items()]
    return {"files": list(files.values()), "entry": entry, "published": published}
