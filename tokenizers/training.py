"""Training tokenizers on documents: which of them are learned from, and what is written."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gristmill.tokenizers.model_settings import BYTES, END_OF_TEXT, TokenizerModel
from gristmill.tokenizers.model_training import train_model
from gristmill.tokenizers.sampling import keyed_hashes

if TYPE_CHECKING:
    import pyarrow as pa

    Batches = Callable[[], Iterable[pa.RecordBatch]]

MOST_PASSES = 4
"""Most passes over a source that is smaller than its share of a sample: further repeats teach no new words."""


def train_byte_bpe(
    texts: Iterable[str], vocab_size: int, *, special_tokens: Sequence[str] = (END_OF_TEXT,), min_frequency: int = 2
) -> str:
    """Train a byte-level BPE tokenizer cut as GPT-2 does: every text can be encoded, and decodes to itself.

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
    least = BYTES + len(special_tokens)
    if vocab_size < least:
        raise ValueError(f"vocab_size is {vocab_size}; 256 bytes and {len(special_tokens)} special tokens need at least {least}")
    eos, *others = special_tokens
    settings = TokenizerModel(vocab_size=vocab_size, special_tokens=tuple(others), min_frequency=min_frequency)
    return train_model(lambda: texts, settings, eos=eos)


def fingerprint(tokenizer_json: str) -> str:
    """The sha256 of a tokenizer.json: what a manifest names, and what token ids mean anything under."""
    return sha256(tokenizer_json.encode()).hexdigest()


def check_vocabulary(tokenizer_json: str, vocab_size: int) -> int:
    """The size of a trained vocabulary.

    Raises:
        ValueError: the texts offered fewer tokens than were asked for.
    """
    from tokenizers import Tokenizer

    size = int(Tokenizer.from_str(tokenizer_json).get_vocab_size())
    if size < vocab_size:
        raise ValueError(
            f"vocab_size is {vocab_size:,}; the texts offer no more than {size:,} tokens: "
            "give more text, ask for fewer tokens, or take what there is"
        )
    return size


class WeightedDocuments(NamedTuple):
    """A source to learn from."""

    name: str
    batches: Batches
    """Gives its documents: record batches with columns `id` and `text`, as often as it is called."""
    weight: float
    """Share of the text to learn from, relative to the other sources."""


def train_on_sources(
    sources: Sequence[WeightedDocuments], settings: TokenizerModel, *, sample_bytes: int, seed: int = 0, eos: str = END_OF_TEXT
) -> tuple[str, list[dict[str, Any]]]:
    """Train a tokenizer on documents with weights.

    Each source gives its share of `sample_bytes`: its documents with the lowest keyed hashes of their ids. A source that is
    smaller than its share is repeated, as in training on a mixture, at most `MOST_PASSES` times. No order of sources, files or
    documents shows in the sample.

    Args:
        sources: what to learn from; each is read at least twice.
        settings: what to train.
        sample_bytes: most bytes of text to learn from.
        seed: keys the hashes.
        eos: the token that ends every document.

    Returns:
        The contents of a tokenizer.json, and for each source `source`, `weight` (a share of 1), `bytes`, `share` of the bytes
        learned from, `documents`, `passes` (of all its documents; 0.2 is a fifth of its bytes) and `documents_read`.

    Raises:
        ValueError: weights that are no weights, or no document that fits into the sample.
    """
    if sample_bytes < 1:
        raise ValueError(f"sample_bytes is {sample_bytes}; it must be at least 1")
    if wrong := [f"{one.name} {one.weight}" for one in sources if not 0 <= one.weight < float("inf")]:
        raise ValueError(f"weights must be 0 or more: {', '.join(wrong)}")
    total = sum(one.weight for one in sources)
    if not total:
        raise ValueError("all weights are 0; give at least one source a weight")
    ordered = sorted((one for one in sources if one.weight), key=lambda one: one.name)
    draws = [_draw(one, int(sample_bytes * one.weight / total), seed) for one in ordered]
    if not any(draw.documents for draw in draws):
        read = sum(draw.read for draw in draws)
        raise ValueError(
            f"{', '.join(one.name for one in ordered)}: none of {read:,} documents fits into a sample of {sample_bytes:,} bytes; "
            "raise sample_bytes"
        )

    def texts() -> Iterator[str]:
        for one, draw in zip(ordered, draws, strict=True):
            for _ in range(draw.whole):
                yield from texts_up_to(one.batches(), (1 << 64) - 1, seed)
            yield from texts_up_to(one.batches(), draw.last, seed)

    content = train_model(texts, settings, eos=eos)
    everything = sum(draw.bytes for draw in draws)
    rows = [
        {
            "source": one.name,
            "weight": one.weight / total,
            "bytes": draw.bytes,
            "share": draw.bytes / everything,
            "documents": draw.documents,
            "passes": draw.bytes / draw.available if draw.available else 0.0,
            "documents_read": draw.read,
        }
        for one, draw in zip(ordered, draws, strict=True)
    ]
    return content, rows


class _Draw(NamedTuple):
    whole: int
    """Passes over all documents."""
    last: int
    """Highest hash of one more, partial pass; -1 for none."""
    bytes: int
    documents: int
    """Different documents."""
    available: int
    read: int


def _draw(source: WeightedDocuments, wanted: int, seed: int) -> _Draw:
    import pyarrow.compute as pc

    sample = lowest_hashes(source.batches(), wanted, seed)
    if sample.left_out:
        available = sum(int(pc.sum(pc.binary_length(batch["text"])).as_py() or 0) for batch in source.batches())
        return _Draw(0, sample.last, sample.bytes, sample.documents, available, sample.read)
    available = sample.bytes
    if not available:
        return _Draw(0, -1, 0, 0, 0, sample.read)
    whole = min(MOST_PASSES, wanted // available)
    if whole == MOST_PASSES:
        return _Draw(whole, -1, whole * available, sample.documents, available, sample.read)
    rest = lowest_hashes(source.batches(), wanted - whole * available, seed)
    return _Draw(whole, rest.last, whole * available + rest.bytes, sample.documents, available, sample.read)


def train_from_documents(
    paths: Sequence[str | Path],
    vocab_size: int | None = None,
    *,
    settings: TokenizerModel | None = None,
    eos: str = END_OF_TEXT,
    sample_bytes: int,
    seed: int = 0,
    output: str | Path,
    fewer: bool = True,
) -> dict[str, Any]:
    """Train a tokenizer on a hash sample of documents and write its tokenizer.json.

    The documents are read twice, a few hundred at a time: once to choose the sample, once to learn from it.

    Args:
        paths: files of documents, folders of them, or run folders; see `gristmill.tokenizers.documents`.
        vocab_size: most tokens of the vocabulary, where no settings are given.
        settings: what to train.
        eos: the token that ends every document.
        sample_bytes: most bytes of text to learn from; the documents with the lowest keyed hashes of their ids.
        seed: keys the hashes.
        output: the file to write, or a folder that gets a tokenizer.json.
        fewer: take a smaller vocabulary where the documents offer no more tokens.

    Returns:
        `output`, `sha256`, `vocab_size`, `documents` and `bytes` learned from, `documents_read`.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: no file of documents, no such columns, no document that fits into the sample, or too few tokens to learn.
    """
    from gristmill.tokenizers.documents import batches_of, document_files

    if sample_bytes < 1:
        raise ValueError(f"sample_bytes is {sample_bytes}; it must be at least 1")
    settings = settings or TokenizerModel(vocab_size=vocab_size or 8192)
    files = [file for path in paths for file in document_files(str(path))]
    sample = lowest_hashes(batches_of(files), sample_bytes, seed)
    if not sample.documents:
        raise ValueError(
            f"{', '.join(map(str, paths))}: none of {sample.read:,} documents fits into a sample of {sample_bytes:,} bytes; "
            "raise sample_bytes"
        )
    result = train_model(lambda: texts_up_to(batches_of(files), sample.last, seed), settings, eos=eos)
    return write_tokenizer(result, output, settings.vocab_size, fewer=fewer) | {
        "documents": sample.documents,
        "bytes": sample.bytes,
        "documents_read": sample.read,
    }


def write_tokenizer(tokenizer_json: str, output: str | Path, vocab_size: int, *, fewer: bool) -> dict[str, Any]:
    """Write a trained tokenizer whole or not at all.

    Returns:
        `output`, `sha256`, `vocab_size`.

    Raises:
        ValueError: it has fewer tokens than were asked for, and that is not allowed; nothing is written.
    """
    size = check_vocabulary(tokenizer_json, 0 if fewer else vocab_size)
    target = Path(output)
    if target.is_dir() or not target.suffix:
        target = target / "tokenizer.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_text(tokenizer_json, encoding="utf-8")
    temporary.replace(target)
    return {"output": str(target), "sha256": fingerprint(tokenizer_json), "vocab_size": size}


class Sample(NamedTuple):
    """Which documents a sample holds: those whose hash is at most `last`."""

    last: int
    """-1 for an empty sample."""
    bytes: int
    documents: int
    read: int
    left_out: bool
    """Whether a document that has text is not in it."""


def lowest_hashes(batches: Iterable[pa.RecordBatch], sample_bytes: int, seed: int) -> Sample:
    """Find the highest hash up to which documents fit into a sample. Empty documents do not count."""
    import pyarrow.compute as pc

    lowest: list[tuple[int, int]] = []  # a heap of (-hash, bytes): the highest hash leaves first
    too_high = 1 << 64  # what left once stays out, and all above it, or the sample would depend on the order
    kept_bytes = read = 0
    for batch in batches:
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
    return Sample(-lowest[0][0] if lowest else -1, kept_bytes, len(lowest), read, too_high < 1 << 64)


def texts_up_to(batches: Iterable[pa.RecordBatch], last: int, seed: int) -> Iterator[str]:
    """The texts of the documents whose hash is at most `last`; none for -1."""
    import numpy as np
    import pyarrow as pa

    if last < 0:
        return
    for batch in batches:
        chosen = keyed_hashes(batch["id"].to_pylist(), seed) <= np.uint64(last)
        for text in batch["text"].filter(pa.array(chosen)).to_pylist():
            if text:
                yield text
