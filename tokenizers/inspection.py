"""Looking into folders of token shards: whether they are whole, what they hold, and single documents and windows as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.tokenizers.loss_mask import runs_of
from gristmill.tokenizers.manifest import TOKENIZER_NAME, ShardEntry, ShardError, SourceEntry
from gristmill.tokenizers.shards import ShardSet, TokenStream, doc_hash, open_shards

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
TOKENS_AT_A_TIME = 1 << 22


def verify(folder: str | Path) -> dict[str, Any]:
    """Read everything once, and compare it with the manifest and with each other.

    Sizes and sha256 of all files; that the tokenizer is the one named; that every document ends with the end-of-text token (and
    begins with the beginning token, where there is one); that ids lie where the manifest says, and so many tokens are masked;
    that `.ends`, `.idx` and `.docs.parquet` tell the same documents, in ascending order of their hashes.

    Returns:
        `folder`, `sources`, `shards`, `documents`, `tokens`, `content_hash`.

    Raises:
        FileNotFoundError: no such folder, or no manifest.json in it.
        ShardError: what is wrong, a line each, with the file's name.
    """
    from gristmill.tokenizers.training import fingerprint

    shards = open_shards(folder, verify=True)
    mistakes = []
    tokenizer = shards.folder / TOKENIZER_NAME
    if not tokenizer.is_file():
        mistakes.append(f"{tokenizer}: is missing, the manifest names it")
    elif fingerprint(tokenizer.read_text(encoding="utf-8")) != shards.manifest.tokenizer.sha256:
        mistakes.append(f"{tokenizer}: its sha256 is not the manifest's; these ids mean something else under it")
    for source in shards.manifest.sources:
        last = b""
        stream = shards.streams[source.name]
        for entry, tokens, mask in zip(source.shards, stream.pieces, stream.masks, strict=True):
            found, last = _shard_mistakes(shards, entry, tokens, last)
            mistakes += found + _mask_mistakes(f"{shards.folder}/{entry.path}.mask", entry, mask)
    if mistakes:
        raise ShardError("\n".join(mistakes))
    manifest = shards.manifest
    return {
        "folder": str(folder),
        "sources": len(manifest.sources),
        "shards": sum(len(source.shards) for source in manifest.sources),
        "documents": sum(source.docs for source in manifest.sources),
        "tokens": manifest.tokens,
        "content_hash": manifest.content_hash(),
    }


def _shard_mistakes(shards: ShardSet, entry: ShardEntry, tokens: NDArray[Any], last: bytes) -> tuple[list[str], bytes]:
    """What does not agree in a shard, a line each, and the hash of its last document."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    where = f"{shards.folder}/{entry.path}"
    ends = shards.document_ends(entry).astype(np.int64)
    lengths = np.diff(ends, prepend=0)
    found = []
    if len(ends) and (lengths.min() < 1 or ends[-1] != len(tokens)):
        return [f"{where}.ends: does not cut {len(tokens):,} tokens into {len(ends):,} documents"], last
    manifest = shards.manifest
    if len(ends) and (wrong := int((tokens[ends - 1] != manifest.eos_id).sum())):
        found.append(f"{where}.bin: {wrong:,} documents do not end with token {manifest.eos_id}")
    if manifest.bos_id is not None and (wrong := int((tokens[ends - lengths] != manifest.bos_id).sum())):
        found.append(f"{where}.bin: {wrong:,} documents do not begin with token {manifest.bos_id}")
    spans = [tokens[i : i + TOKENS_AT_A_TIME] for i in range(0, len(tokens), TOKENS_AT_A_TIME)]
    extremes = (min(int(span.min()) for span in spans), max(int(span.max()) for span in spans)) if spans else (None, None)
    if extremes != (entry.min_token, entry.max_token):
        found.append(f"{where}.bin: ids are from {extremes[0]} to {extremes[1]}; manifest: {entry.min_token}, {entry.max_token}")
    if entry.megatron_index and not _index_agrees(f"{where}.idx", lengths, manifest.dtype):
        found.append(f"{where}.idx: is not the index of these documents")
    try:
        rows = pq.read_table(f"{where}.docs.parquet", columns=["doc_id", "n_tokens", "n_bytes"])
    except (pa.ArrowInvalid, OSError) as error:
        return [*found, f"{where}.docs.parquet: cannot be read: {error}"], last
    if not np.array_equal(rows["n_tokens"].to_numpy(), lengths):
        found.append(f"{where}.docs.parquet: n_tokens does not agree with {entry.path}.ends")
    if (pc.sum(rows["n_bytes"]).as_py() or 0) != entry.bytes_utf8:
        found.append(f"{where}.docs.parquet: n_bytes does not add up to the manifest's {entry.bytes_utf8:,}")
    ids = rows["doc_id"].to_pylist()
    if any(before >= after for before, after in zip([last, *ids], ids, strict=False)):
        found.append(f"{where}.docs.parquet: doc_id does not ascend")
    return found, ids[-1] if ids else last


def _mask_mistakes(file: str, entry: ShardEntry, mask: NDArray[np.uint8] | None) -> list[str]:
    if mask is None:
        return []
    spans = [mask[i : i + TOKENS_AT_A_TIME] for i in range(0, len(mask), TOKENS_AT_A_TIME)]
    zeros, ones = (sum(int((span == value).sum()) for span in spans) for value in (0, 1))
    if (zeros, ones) == (entry.masked, entry.tokens - entry.masked):
        return []
    told = f"{zeros:,} tokens are 0 and {ones:,} are 1; the manifest says {entry.masked:,} of {entry.tokens:,} are masked"
    return [f"{file}: {told}"]


def _index_agrees(path: str, lengths: NDArray[np.int64], dtype: str) -> bool:
    from gristmill.tokenizers.megatron import index_parts

    with open(path, "rb") as stream:
        return all(stream.read(len(part)) == part for part in index_parts(lengths, dtype)) and not stream.read(1)


def stats(folder: str | Path) -> dict[str, Any]:
    """What shards hold, per source: documents, tokens, bytes of text, and how long documents are.

    Returns:
        `tokens`, `documents`, `dtype`, `vocab_size`, `tokenizer`, `content_hash`, and `sources`: rows of `source`, `shards`,
        `documents`, `tokens`, `masked` (tokens that do not count in the loss), `share`, `bytes`, `bytes_per_token`, `min_token`,
        `max_token`, `mean_tokens` of a document, and quantiles `p01` to `p99` of it with `longest`.

    Raises:
        FileNotFoundError, ShardError: as `open_shards`.
    """
    shards = open_shards(folder)
    manifest = shards.manifest
    return {
        "folder": str(folder),
        "documents": sum(source.docs for source in manifest.sources),
        "tokens": manifest.tokens,
        "dtype": manifest.dtype,
        "vocab_size": manifest.tokenizer.vocab_size,
        "tokenizer": manifest.tokenizer.sha256,
        "content_hash": manifest.content_hash(),
        "sources": [_source_stats(shards, source) for source in manifest.sources],
    }


def _source_stats(shards: ShardSet, source: SourceEntry) -> dict[str, Any]:
    import numpy as np

    parts = [np.diff(shards.document_ends(entry).astype(np.int64), prepend=0) for entry in source.shards]
    lengths = np.concatenate(parts) if parts else np.empty(0, np.int64)
    total = shards.manifest.tokens
    known = [entry for entry in source.shards if entry.max_token is not None]
    quantiles = np.quantile(lengths, QUANTILES, method="lower").tolist() if len(lengths) else [None] * len(QUANTILES)
    return {
        "source": source.name,
        "shards": len(source.shards),
        "documents": source.docs,
        "tokens": source.tokens,
        "masked": source.masked,
        "share": round(source.tokens / total, 6) if total else 0.0,
        "bytes": source.bytes_utf8,
        "bytes_per_token": round(source.bytes_utf8 / source.tokens, 4) if source.tokens else None,
        "min_token": min((entry.min_token or 0 for entry in known), default=None),
        "max_token": max((entry.max_token or 0 for entry in known), default=None),
        "mean_tokens": round(float(lengths.mean()), 2) if len(lengths) else None,
        **{f"p{round(100 * share):02d}": value for share, value in zip(QUANTILES, quantiles, strict=True)},
        "longest": int(lengths.max()) if len(lengths) else None,
    }


def _located(shards: ShardSet, source: str | None) -> Iterator[tuple[SourceEntry, ShardEntry, int]]:
    """Each shard, with the number of its first document: in one source, or over all of them."""
    names = [one.name for one in shards.manifest.sources]
    if source is not None and source not in names:
        raise ShardError(f"{shards.folder}: has no source {source}; it has {', '.join(names) or 'none'}")
    first = 0
    for one in shards.manifest.sources:
        if source not in (None, one.name):
            continue
        for entry in one.shards:
            yield one, entry, first
            first += entry.docs


def show_document(folder: str | Path, number: int, source: str | None = None) -> dict[str, Any]:
    """A document by its number: its ids beside the text they stand for, and what is known of it.

    Args:
        folder: of shards.
        number: of the document, from 0, in the order of the shards.
        source: count in this source; over all sources, in the order of the manifest, when None.

    Returns:
        `source`, `shard`, `row`, `first_token` (in the source's stream), the columns of `.docs.parquet`, `ids`, `pieces`,
        `text` and, in a source where some tokens do not count in the loss, `masked`: where runs of those begin and end.

    Raises:
        FileNotFoundError, ShardError: as `open_shards`; also where there is no such source or document.
    """
    shards = open_shards(folder)
    documents = 0
    for one, entry, first in _located(shards, source):
        if first <= number < first + entry.docs:
            return _document(shards, one, entry, number - first)
        documents = first + entry.docs
    raise ShardError(
        f"{folder}: has no document {number:,}; {f'source {source}' if source else 'it'} holds {documents:,}, from 0"
    )


def _document(shards: ShardSet, source: SourceEntry, entry: ShardEntry, row: int) -> dict[str, Any]:
    import pyarrow.parquet as pq

    ends = shards.document_ends(entry)
    begin, end = int(ends[row - 1]) if row else 0, int(ends[row])
    before = 0
    for other in source.shards:
        if other.path == entry.path:
            break
        before += other.tokens
    known: dict[str, Any] = pq.read_table(shards.folder / f"{entry.path}.docs.parquet").slice(row, 1).to_pylist()[0]
    known["doc_id"] = known["doc_id"].hex()
    tokens = shards.streams[source.name].read(before + begin, before + end)
    return (
        {"source": source.name, "shard": entry.path, "row": row, "first_token": before + begin}
        | known
        | _masked(shards.streams[source.name], before + begin, before + end)
        | _as_text(shards, tokens)
    )


def show_window(folder: str | Path, number: int, seq_len: int, source: str | None = None) -> dict[str, Any]:
    """A window as the trainer reads it: window i are the tokens from i * seq_len, seq_len + 1 of them.

    Args:
        folder: of shards.
        number: of the window, from 0.
        seq_len: tokens that a window predicts.
        source: whose window; may be None where there is one source only.

    Returns:
        `source`, `window`, `first_token`, `ids`, `pieces`, `text`, and `masked` as of `show_document`.

    Raises:
        FileNotFoundError, ShardError: as `open_shards`; also where there is no such window.
    """
    shards = open_shards(folder)
    names = list(shards.streams)
    if source is None and len(names) != 1:
        raise ShardError(f"{folder}: has the sources {', '.join(names)}; say whose window, with source")
    chosen = source or names[0]
    if chosen not in shards.streams:
        raise ShardError(f"{folder}: has no source {chosen}; it has {', '.join(names)}")
    stream = shards.streams[chosen]
    if seq_len < 1:
        raise ShardError(f"seq_len is {seq_len}; it must be at least 1")
    count = max(0, (len(stream) - 1) // seq_len)
    if not 0 <= number < count:
        raise ShardError(f"{folder}: source {chosen} has no window {number:,}; of {seq_len:,} tokens it holds {count:,}, from 0")
    first = number * seq_len
    tokens = stream.read(first, first + seq_len + 1)
    return (
        {"source": chosen, "window": number, "first_token": first}
        | _masked(stream, first, first + seq_len + 1)
        | _as_text(shards, tokens)
    )


def _masked(stream: TokenStream, start: int, stop: int) -> dict[str, Any]:
    """Which of the tokens shown do not count in the loss, in a source where there are such."""
    if not stream.is_masked:
        return {}
    runs = runs_of(~stream.counted(start, stop))
    return {"masked": [list(run) for run in zip(runs[::2], runs[1::2], strict=True)]}


def _as_text(shards: ShardSet, tokens: NDArray[Any]) -> dict[str, Any]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(shards.folder / TOKENIZER_NAME))
    ids = [int(i) for i in tokens]
    return {
        "ids": ids,
        "pieces": [tokenizer.decode([i], skip_special_tokens=False) for i in ids],
        "text": tokenizer.decode(ids, skip_special_tokens=False),
    }


def find_document(folder: str | Path, doc_id: str) -> list[dict[str, Any]]:
    """Where a document lies.

    Args:
        folder: of shards.
        doc_id: its id in the pipeline, or the 32 hexadecimal digits that stand for it in the shards.

    Returns:
        For each place (one a source at most): `source`, `shard`, `row`, `document` (its number over all sources), `doc_id`, and
        in a source where some tokens do not count in the loss how many of the document are `masked`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    shards = open_shards(folder)
    wanted = [doc_hash(doc_id)]
    if len(doc_id) == 32 and all(digit in "0123456789abcdef" for digit in doc_id):
        wanted.append(bytes.fromhex(doc_id))
    values = pa.array(wanted, pa.binary(16))
    found = []
    for source, entry, first in _located(shards, None):
        ids = pq.read_table(shards.folder / f"{entry.path}.docs.parquet", columns=["doc_id"])["doc_id"]
        for row in pc.indices_nonzero(pc.is_in(ids, value_set=values)).to_pylist():
            place = {"source": source.name, "shard": entry.path, "row": row, "document": first + row}
            place |= _masked_tokens(shards, source, entry, row)
            found.append(place | {"doc_id": ids[row].as_py().hex()})
    return found


def _masked_tokens(shards: ShardSet, source: SourceEntry, entry: ShardEntry, row: int) -> dict[str, int]:
    stream = shards.streams[source.name]
    if not stream.is_masked:
        return {}
    mask, ends = stream.masks[source.shards.index(entry)], shards.document_ends(entry)
    begin = int(ends[row - 1]) if row else 0
    return {"masked": 0 if mask is None else int((mask[begin : int(ends[row])] == 0).sum())}
