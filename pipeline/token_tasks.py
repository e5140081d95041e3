"""The tasks of tokenization: a sample to train on, tokens on their way into hash order, shards."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.exchange import Sent, key_ranges, merged, write_exchange
from gristmill.pipeline.parts import Part, read_part
from gristmill.pipeline.steps import Manifest, file_entry
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches
from gristmill.stages.loss_mask import masked_spans
from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.model_settings import TokenizerModel
from gristmill.tokenizers.model_training import train_model
from gristmill.tokenizers.sampling import in_sample
from gristmill.tokenizers.shards import doc_hashes, write_shard
from gristmill.tokenizers.training import check_vocabulary

TOKEN_ORDER = ["high", "low"]
HELD_OUT_KEY = 0x68656C64
"""Keys the hash that decides which documents are held out: not the run's seed, so that all runs hold the same ones out."""
BATCH_DOCUMENTS = 512
"""Documents a record batch of tokens: token lists are long, and a reader holds one batch of each file."""


def draw(work: Storage, prefix: str, *, part: Part, fraction: float, seed: int) -> Manifest:
    """Write the texts of the documents with the lowest keyed id hashes."""
    writer = StreamWriter(work, f"{prefix}.sample.arrow", pa.schema([("text", pa.large_string())]))
    for table, _ in read_part(work, part, ["id", "text"]):
        writer.write(table.filter(pa.array(in_sample(table["id"].to_pylist(), seed, fraction))).select(["text"]))
    return {"files": [writer.close()]}


def train_tokenizer(work: Storage, prefix: str, *, files: list[str], settings: TokenizerModel, eos: str, fewer: bool) -> Manifest:
    """Train a tokenizer on the drawn texts.

    Raises:
        UserError: the texts offer fewer tokens than asked for, and `fewer` is not set.
    """

    def texts() -> Iterator[str]:
        for name in files:
            for table in read_batches(work, name):
                yield from table["text"].to_pylist()

    name = f"{prefix}.tokenizer.json"
    trained = train_model(texts, settings, eos=eos)
    if not fewer:
        try:
            check_vocabulary(trained, settings.vocab_size)
        except ValueError as error:
            raise UserError(f"tokenize.train: {error} with fewer: true") from error
    work.put(name, trained.encode())
    return {"files": [file_entry(work, name)]}


def encode(
    work: Storage,
    prefix: str,
    *,
    part: Part,
    tokenizer: str,
    eos: str,
    buckets: int,
    bos: str | None = None,
    held_out: float = 0,
    held_out_buckets: int = 1,
) -> Manifest:
    """Turn the documents of a part into tokens and send them to buckets of their source, by document hash.

    Buckets are equal ranges of hashes, finer than shards: these are cut between buckets once all tokens are counted. Those of
    held-out documents stand after the others.

    Returns:
        Of each bucket, `tokens` says how many were sent there.
    """
    with work.open(tokenizer) as file:
        encoder = Encoder(file.read().decode(), eos, bos)
    tables = []
    for table, _ in read_part(work, part):
        names = table["id"].to_pylist()
        ids = doc_hashes(names)
        halves = np.frombuffer(ids.buffers()[1], dtype=">u8")[2 * ids.offset : 2 * (ids.offset + len(ids))].reshape(-1, 2)
        tokens, masked = encoder.encode_masked(table["text"], dict(masked_spans(table)))
        tables.append(
            pa.table(
                {
                    "high": halves[:, 0].astype(np.uint64),
                    "held_out": in_sample(names, HELD_OUT_KEY, held_out),
                    "low": halves[:, 1].astype(np.uint64),
                    "doc_id": ids,
                    "tokens": tokens,
                    "masked": masked,
                    "n_bytes": pc.binary_length(table["text"].combine_chunks()).cast(pa.int32()),
                    "source": table["source"],
                    "lang": table["language"],
                    "url_or_path": table["url"],
                }
            )
        )
    if not tables:
        return {"files": [], "sent": [], "tokens": {}}
    rows = pa.concat_tables(tables)
    high, outside = rows["high"].to_numpy(), rows["held_out"].to_numpy()
    destinations = np.where(outside, buckets + key_ranges(high, held_out_buckets), key_ranges(high, buckets))
    rows = rows.drop_columns("held_out")
    lengths = pc.list_value_length(rows["tokens"]).to_numpy()
    sums = np.bincount(destinations, weights=lengths, minlength=buckets).astype(np.int64)
    name = f"{prefix}.tokens.arrow"
    # not compressed: that costs more than all else the exchange does, and saves a tenth
    entry = write_exchange(work, name, rows, destinations, TOKEN_ORDER, BATCH_DOCUMENTS, compression=None)
    return {"files": [entry], "sent": [entry], "tokens": {str(bucket): int(sums[bucket]) for bucket in np.flatnonzero(sums)}}


def shard(work: Storage, prefix: str, *, sent: list[Sent], path: str, dtype: str, folder: str = "shards") -> Manifest:
    """Write one shard from the tokens that were sent to it; `folder` of the run is where it is published."""
    entry = write_shard(work.fs, work.path(prefix), merged(work, sent, TOKEN_ORDER), dtype=dtype, path=path)
    suffixes = (".bin", ".ends", ".idx", ".docs.parquet", *([".mask"] if entry["sha256"].get("mask") else []))
    files = {suffix: file_entry(work, f"{prefix}{suffix}") for suffix in suffixes}
    published = [one | {"name": f"{folder}/{path}{suffix}"} for suffix, one in files.items()]
    return {"files": list(files.values()), "entry": entry, "published": published}
