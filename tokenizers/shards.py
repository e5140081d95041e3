"""Token shards: headerless token files that are read in place, with an index, document ends and provenance beside them.

    manifest.json, tokenizer.json
    <source>/<nnnnn>.bin            tokens, little-endian, documents end to end, end-of-text after each
    <source>/<nnnnn>.ends           uint64: where each document ends, in tokens
    <source>/<nnnnn>.idx            the index that Megatron-LM and its relatives read
    <source>/<nnnnn>.docs.parquet   one row a document, in the same order
    <source>/<nnnnn>.mask           a byte a token: 1 counts in the loss, 0 does not; only where some do not

Documents of a source stand in the order of `doc_hash`, so that the bytes depend on no partition and no worker.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from gristmill.tokenizers.manifest import (
    FILE_NAME,
    TOKENIZER_NAME,
    Manifest,
    ShardEntry,
    ShardError,
    SourceEntry,
    TokenizerEntry,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from fsspec import AbstractFileSystem
    from numpy.typing import NDArray

HASH_BYTES = 16
_HASH_KEY = b"gristmill doc_id"


def doc_hash(doc_id: str) -> bytes:
    """The 16 bytes that stand for a document in the shards, and by whose order documents are sorted in a source.

    Source: BLAKE2b with a 16-byte digest and a fixed key (RFC 7693).
    """
    return blake2b(doc_id.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES, key=_HASH_KEY).digest()


def doc_hashes(doc_ids: Iterable[str]) -> pa.FixedSizeBinaryArray:
    """`doc_hash` of each id, as an Arrow array of 16 bytes a row."""
    import pyarrow as pa

    return pa.array([doc_hash(doc_id) for doc_id in doc_ids], type=pa.binary(HASH_BYTES))


def write_shard(
    fs: AbstractFileSystem,
    prefix: str,
    tables: Iterable[pa.Table],
    *,
    dtype: str,
    path: str | None = None,
    megatron_index: bool = True,
) -> dict[str, Any]:
    """Write one shard from rows in the order of their `doc_id`, a table at a time.

    Memory follows one table and some 20 bytes a document of the shard. How the rows are cut into tables changes no byte.

    Args:
        fs: the fsspec filesystem to write to.
        prefix: path of the files without their suffixes; the folder is made.
        tables: columns `doc_id` (16 bytes, ascending), `tokens` (list of ids, the end-of-text token last) and `n_bytes` (of the
            text); if present also `source`, `lang`, `url_or_path` (strings), `weight`, `quality` (numbers), `cluster` (int32) and
            `masked` (list of integers: where runs of tokens that do not count in the loss begin and end, one after the other).
            Rows without tokens are left out.
        dtype: "uint16" or "uint32".
        path: what the manifest calls the shard, `<source>/<nnnnn>`; the last two parts of the prefix when None.
        megatron_index: also write `.idx`.

    Returns:
        The shard's entry for the manifest, ready for JSON.

    Raises:
        ShardError: columns are missing, rows are not in order, or an id does not fit the dtype.
    """
    from gristmill.tokenizers.shard_writer import ShardWriter

    with ShardWriter(fs, prefix, dtype=dtype, path=path, megatron_index=megatron_index) as writer:
        for table in tables:
            writer.write(table)
    return writer.entry.model_dump(mode="json")


def write_manifest(
    fs: AbstractFileSystem,
    folder: str,
    shards: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    tokenizer_json: str,
    eos_id: int,
    bos_id: int | None = None,
    vocab_size: int,
    dtype: Literal["uint16", "uint32"],
    seed: int = 0,
    recipe_hash: str | None = None,
    mixture: Mapping[str, float] | None = None,
) -> Manifest:
    """Write tokenizer.json and, last of all, the manifest.json without which the folder holds no shards.

    Args:
        fs: the fsspec filesystem to write to.
        folder: where the shards lie.
        shards: source name -> entries that `write_shard` returned, in the order of their hash ranges.
        tokenizer_json: contents of the tokenizer.json that made the ids.
        eos_id: the id that ends every document.
        bos_id: the id that begins every document; None for none.
        vocab_size: one more than the highest id.
        dtype: "uint16" or "uint32".
        seed: of the run, for the record.
        recipe_hash: of the run, for the record.
        mixture: weights of the sources for training, where the recipe gives them.

    Raises:
        ShardError: entries that contradict each other.
    """
    from gristmill.tokenizers.training import fingerprint

    sources = []
    for name in sorted(shards):
        entries = tuple(ShardEntry.model_validate(entry) for entry in shards[name])
        sums = {what: sum(getattr(entry, what) for entry in entries) for what in ("tokens", "docs", "bytes_utf8")}
        sources.append(SourceEntry(name=name, shards=entries, **sums))
    try:
        manifest = Manifest(
            tokenizer=TokenizerEntry(sha256=fingerprint(tokenizer_json), vocab_size=vocab_size),
            dtype=dtype,
            eos_id=eos_id,
            bos_id=bos_id,
            sources=tuple(sources),
            recipe_hash=recipe_hash,
            seed=seed,
            mixture=None if mixture is None else dict(mixture),
        )
    except ValidationError as error:
        raise ShardError(f"{folder}: {_first_mistake(error)}") from error
    fs.makedirs(folder, exist_ok=True)
    with fs.open(f"{folder}/{TOKENIZER_NAME}", "wb") as stream:
        stream.write(tokenizer_json.encode())
    with fs.open(f"{folder}/{FILE_NAME}", "wb") as stream:
        stream.write((json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode())
    return manifest


class TokenStream:
    """One source's tokens as one logical stream over its shards, read in place."""

    def __init__(
        self,
        entry: SourceEntry,
        pieces: Sequence[NDArray[Any]],
        dtype: np.dtype[Any],
        ends: Sequence[NDArray[Any]] = (),
        files: Sequence[Path] = (),
        masks: Sequence[NDArray[np.uint8] | None] = (),
    ) -> None:
        """Join the shards' tokens, each of shape (n_tokens,), and document ends, (n_docs,), without copying them.

        `files` are the paths of the shards, without their suffixes; `masks` of each shard, shape (n_tokens,), are 0 for tokens
        that do not count in the loss, None where all do.
        """
        import numpy as np

        self.entry = entry
        self.name = entry.name
        # a slice of a plain array takes a fifth of the time that one of a mapped file's own type takes
        self.pieces = [np.asarray(piece) for piece in pieces]
        self.ends = [np.asarray(one) for one in ends]
        self.files = list(files)
        self.masks = [None if one is None else np.asarray(one) for one in masks] or [None] * len(self.pieces)
        self.dtype = dtype
        self._starts = [0, *accumulate(len(piece) for piece in self.pieces)]

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Tokens start to stop, copied; the span may cross shards.

        Raises:
            IndexError: the span leaves the stream. (Readers that do not check return a neighbour's tokens.)
        """
        import numpy as np

        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"tokens {start} to {stop} of {self.name}, which has {len(self)}")
        shard = bisect_right(self._starts, start) - 1
        if shard < len(self.pieces) and stop <= self._starts[shard + 1]:
            return self.pieces[shard][start - self._starts[shard] : stop - self._starts[shard]].copy()
        result = np.empty(stop - start, dtype=self.dtype)
        done = 0
        while done < len(result):
            offset = start + done - self._starts[shard]
            part = self.pieces[shard][offset : offset + len(result) - done]
            result[done : done + len(part)] = part
            done += len(part)
            shard += 1
        return result

    @property
    def is_masked(self) -> bool:
        """Whether there are tokens that do not count in the loss."""
        return any(mask is not None for mask in self.masks)

    def counted(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Which of the tokens start to stop count in the loss; the span may cross shards.

        Raises:
            IndexError: the span leaves the stream.
        """
        import numpy as np

        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"tokens {start} to {stop} of {self.name}, which has {len(self)}")
        result = np.ones(stop - start, dtype=bool)
        for begin, end, mask in zip(self._starts, self._starts[1:], self.masks, strict=False):
            low, high = max(start, begin), min(stop, end)
            if mask is not None and low < high:
                result[low - start : high - start] = mask[low - begin : high - begin] != 0
        return result

    def shard_at(self, token: int) -> tuple[int, int]:
        """Which shard holds a token of the stream, and its place there."""
        shard = bisect_right(self._starts, token) - 1
        return shard, token - self._starts[shard]

    def document_ends(self, start: int, stop: int) -> NDArray[np.int64]:
        """Where documents end between two tokens of the stream, neither of them included; ascending."""
        import numpy as np

        found = []
        shard = max(0, bisect_right(self._starts, start) - 1)
        while shard < len(self.ends) and (base := self._starts[shard]) < stop:
            ends = self.ends[shard]
            # bounds of the array's own type: any other would have all of it copied
            after = ends.searchsorted(np.uint64(max(0, start - base)), side="right")
            before = ends.searchsorted(np.uint64(stop - base), side="left")
            found.append(ends[after:before].astype(np.int64) + base)
            shard += 1
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, dtype=np.int64), *found])


class ShardSet:
    """A folder of token shards, open for reading."""

    def __init__(self, folder: Path, manifest: Manifest, streams: Mapping[str, TokenStream]) -> None:
        """Use `open_shards`."""
        self.folder = folder
        self.manifest = manifest
        self.streams = dict(streams)

    @property
    def tokenizer(self) -> TokenizerEntry:
        """Which made the ids."""
        return self.manifest.tokenizer

    @property
    def content(self) -> str:
        """`Manifest.content_hash`."""
        return self.manifest.content_hash()

    def document_ends(self, shard: ShardEntry) -> NDArray[np.uint64]:
        """Where each document of a shard ends, in tokens from the shard's start; shape (n_docs,)."""
        import numpy as np

        return np.fromfile(self.folder / f"{shard.path}.ends", dtype="<u8")


def open_shards(folder: str | Path, *, verify: bool = False) -> ShardSet:
    """Open a folder of token shards; tokens are mapped into memory, not read.

    Args:
        folder: holds manifest.json; a local path.
        verify: also compare each file's sha256 with the manifest, which reads everything once.

    Raises:
        FileNotFoundError: no such folder, or no manifest.json in it.
        ShardError: the manifest is damaged, or files are missing, cut short or changed; all of them are named.
    """
    import numpy as np

    where = _local(folder)
    manifest = read_manifest(where)
    dtype = np.dtype(manifest.dtype).newbyteorder("<")
    if mistakes := [m for source in manifest.sources for entry in source.shards for m in _mistakes(where, entry, dtype, verify)]:
        raise ShardError("\n".join(mistakes))
    streams = {
        source.name: TokenStream(
            source,
            [_tokens(where / f"{entry.path}.bin", dtype) for entry in source.shards],
            dtype,
            [_tokens(where / f"{entry.path}.ends", np.dtype("<u8")) for entry in source.shards],
            [where / entry.path for entry in source.shards],
            [
                None if entry.sha256.mask is None else _tokens(where / f"{entry.path}.mask", np.dtype(np.uint8))
                for entry in source.shards
            ],
        )
        for source in manifest.sources
    }
    return ShardSet(where, manifest, streams)


def read_manifest(folder: Path) -> Manifest:
    """The manifest.json of a local folder of shards, checked.

    Raises:
        FileNotFoundError: no such folder, or no manifest.json in it.
        ShardError: the manifest is damaged.
    """
    file = folder / FILE_NAME
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; give the shards/ folder of a run that has a tokenize step")
    if not file.is_file():
        inner = folder / "shards"
        hint = (
            f"{inner} has one" if (inner / FILE_NAME).is_file() else "give the shards/ folder of a run that has a tokenize step"
        )
        raise FileNotFoundError(f"{folder}: has no {FILE_NAME}; {hint}")
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise ShardError(f"{file}: {_first_mistake(error)}; write the shards again") from error


def _local(folder: str | Path) -> Path:
    text = str(folder).removeprefix("file://")
    if "://" in text:
        raise ShardError(f"{folder}: token shards are mapped into memory, which needs a local path; copy the folder first")
    return Path(text)


def _tokens(file: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    import numpy as np

    if not file.stat().st_size:  # an empty file cannot be mapped
        return np.empty(0, dtype=dtype)
    return np.memmap(file, dtype=dtype, mode="r")


def _mistakes(folder: Path, entry: ShardEntry, dtype: np.dtype[Any], verify: bool) -> list[str]:
    """What is wrong with a shard's files, a line each."""
    expected = {".bin": entry.tokens * dtype.itemsize, ".ends": entry.docs * 8, ".docs.parquet": None}
    sums = {".bin": entry.sha256.bin, ".ends": entry.sha256.ends}
    if entry.sha256.mask is not None:
        expected[".mask"], sums[".mask"] = entry.tokens, entry.sha256.mask
    if entry.megatron_index:
        from gristmill.tokenizers.megatron import index_size

        expected[".idx"] = index_size(entry.docs)
    found = []
    for suffix, size in expected.items():
        file = folder / f"{entry.path}{suffix}"
        if not file.is_file():
            found.append(f"{file}: is missing, the manifest lists it; write the shards again")
        elif size is not None and file.stat().st_size != size:
            found.append(f"{file}: has {file.stat().st_size:,} bytes, the manifest says {size:,}; write the shards again")
        elif verify and suffix in sums and _file_sha256(file) != sums[suffix]:
            found.append(f"{file}: its sha256 is not the manifest's; write the shards again")
    return found


def _file_sha256(file: Path) -> str:
    from hashlib import file_digest

    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _first_mistake(error: ValidationError) -> str:
    mistake = error.errors()[0]
    where = ".".join(str(part) for part in mistake["loc"])
    return f"{where}: {mistake['msg']}" if where else str(mistake["msg"])
