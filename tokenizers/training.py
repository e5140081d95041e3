"""Training byte-level BPE tokenizers (Sennrich et al. 2016, arXiv:1508.07909; bytes as base alphabet: Radford et al. 2019)."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.tokenizers.sampling import keyed_hashes

if TYPE_CHECKING:
    import pyarrow as pa

END_OF_TEXT = "<|endoftext|>"
BYTES = 256
ROWS_AT_A_TIME = 256


def train_byte_bpe(
    texts: Iterable[str], vocab_size: int, *, special_tokens: Sequence[str] = (END_OF_TEXT,), min_frequency: int = 2
) -> str:
    """Train a byte-level BPE tokenizer: every text can be encoded, and decodes to itself.

    The result depends on the texts alone, not on their order or the number of threads.

    Args:
        texts: what to learn from; read once. Memory follows the number of distinct words in it.
        vocab_size: most tokens, special ones and the 256 bytes included; fewer when the texts offer no more merges.
        special_tokens: get the first ids, in this order.
        min_frequency: fewest occurrences of a pair that is merged.

    Returns:
        The contents of a tokenizer.json.

    Raises:
        ValueError: no text at all, or a vocabulary with no room for the bytes and the special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    least = BYTES + len(special_tokens)
    if vocab_size < least:
        raise ValueError(f"vocab_size is {vocab_size}; 256 bytes and {len(special_tokens)} special tokens need at least {least}")
    if len(set(special_tokens)) < len(special_tokens):
        raise ValueError(f"special_tokens holds a token twice: {', '.join(special_tokens)}")
    seen = 0

    def counted() -> Iterator[str]:
        nonlocal seen
        for text in texts:
            seen += 1
            yield text

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(special_tokens),
        # sorted: the library's own list comes in the order of a hash map
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(counted(), trainer)
    if not seen:
        raise ValueError("no documents to train a tokenizer on")
    return str(tokenizer.to_str())


def fingerprint(tokenizer_json: str) -> str:
    """The sha256 of a tokenizer.json: what a manifest names, and what token ids mean anything under."""
    return sha256(tokenizer_json.encode()).hexdigest()


def train_from_documents(
    paths: Sequence[str | Path], vocab_size: int, *, sample_bytes: int, seed: int = 0, output: str | Path
) -> dict[str, Any]:
    """Train a tokenizer on a hash sample of documents and write its tokenizer.json.

    The documents are read twice, a few hundred at a time: once to choose the sample, once to learn from it.

    Args:
        paths: Parquet files with columns `id` and `text`, folders of them, or run folders.
        vocab_size: most tokens of the vocabulary.
        sample_bytes: most bytes of text to learn from; the documents with the lowest keyed hashes of their ids.
        seed: keys the hashes.
        output: the file to write, or a folder that gets a tokenizer.json.

    Returns:
        `output`, `sha256`, `vocab_size`, `documents` and `bytes` learned from, `documents_read`.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: no Parquet file, no such columns, no document that fits into the sample.
    """
    if sample_bytes < 1:
        raise ValueError(f"sample_bytes is {sample_bytes}; it must be at least 1")
    files = [file for path in paths for file in parquet_files(str(path))]
    last, sampled_bytes, sampled, read = choose_sample(files, sample_bytes, seed)
    if not sampled:
        raise ValueError(
            f"{', '.join(map(str, paths))}: none of {read:,} documents fits into a sample of {sample_bytes:,} bytes; "
            "raise sample_bytes"
        )
    result = train_byte_bpe(_texts_up_to(files, last, seed), vocab_size)
    target = Path(output)
    if target.is_dir() or not target.suffix:
        target = target / "tokenizer.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_text(result, encoding="utf-8")
    temporary.replace(target)

    from tokenizers import Tokenizer

    return {
        "output": str(target),
        "sha256": fingerprint(result),
        "vocab_size": Tokenizer.from_str(result).get_vocab_size(),
        "documents": sampled,
        "bytes": sampled_bytes,
        "documents_read": read,
    }


def parquet_files(path: str) -> list[str]:
    """The Parquet files of documents behind a path, sorted: itself, or those below a folder (of a run, its documents only).

    Raises:
        FileNotFoundError: there is nothing at the path.
        ValueError: the folder holds no Parquet file.
    """
    from fsspec.core import url_to_fs

    fs, where = url_to_fs(path)
    if fs.isfile(where):
        return [str(fs.unstrip_protocol(where))]
    if not fs.isdir(where):
        raise FileNotFoundError(f"{path}: nothing is there; give a Parquet file, a folder of them, or a run folder")
    if fs.isdir(f"{where}/documents"):  # beside it lie removed/ and signals/, which are no documents to learn from
        where = f"{where}/documents"
    found = sorted(str(file) for file in fs.find(where) if str(file).endswith(".parquet"))
    if not found:
        raise ValueError(f"{path}: holds no .parquet file; give a folder of documents or a run folder")
    return [str(fs.unstrip_protocol(file)) for file in found]


def choose_sample(files: Sequence[str], sample_bytes: int, seed: int) -> tuple[int, int, int, int]:
    """Find the highest hash up to which documents fit into the sample.

    Returns:
        That hash, the bytes and documents of the sample, and the documents read. Documents whose hash is equal to or
        lower than it are the sample. Empty documents do not count.
    """
    import pyarrow.compute as pc

    lowest: list[tuple[int, int]] = []  # a heap of (-hash, bytes): the highest hash leaves first
    too_high = 1 << 64  # what left once stays out, and all above it, or the sample would depend on the order
    kept_bytes = read = 0
    for batch in _batches(files):
        lengths = pc.binary_length(batch["text"]).to_pylist()
        hashes = keyed_hashes(batch["id"].to_pylist(), seed).tolist()
        read += len(hashes)
        for hashed, length in zip(hashes, lengths, strict=True):
            if not length or hashed >= too_high:
                continue
            heapq.heappush(lowest, (-hashed, length))
            kept_bytes += length
            while kept_bytes > sample_bytes:
                left, left_bytes = heapq.heappop(lowest)
                too_high = -left
                kept_bytes -= left_bytes
    return (-lowest[0][0] if lowest else -1), kept_bytes, len(lowest), read


def _texts_up_to(files: Sequence[str], last: int, seed: int) -> Iterator[str]:
    import numpy as np
    import pyarrow as pa

    for batch in _batches(files):
        chosen = keyed_hashes(batch["id"].to_pylist(), seed) <= np.uint64(last)
        for text in batch["text"].filter(pa.array(chosen)).to_pylist():
            if text:
                yield text


def _batches(files: Sequence[str]) -> Iterator[pa.RecordBatch]:
    import fsspec
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        with fsspec.open(file, "rb") as stream:
            try:
                parquet = pq.ParquetFile(stream)
            except pa.ArrowInvalid as error:
                raise ValueError(f"{file}: is no readable Parquet file: {error}") from error
            names = parquet.schema_arrow.names
            if missing := [name for name in ("id", "text") if name not in names]:
                raise ValueError(f"{file}: has no column {' and no column '.join(missing)}; it has {', '.join(names)}")
            yield from parquet.iter_batches(batch_size=ROWS_AT_A_TIME, columns=["id", "text"])
