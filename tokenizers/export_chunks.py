"""Layouts of chunks with a table of offsets: MDS (mosaicml-streaming) and litdata.

Both begin with u32 n and u32[n + 1] offsets from the start of the file, little-endian; MDS puts its configuration as JSON between
the table and the samples.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gristmill.tokenizers.manifest import ShardError

if TYPE_CHECKING:
    from gristmill.tokenizers.exporting import Export

MDS_BYTES = 1 << 26
"""Most bytes of samples in an MDS file: the default of its writer."""
MOST_BYTES = (1 << 32) - 1
LITDATA_FORMATS = {"uint16": "no_header_tensor:20", "uint32": "no_header_tensor:15"}
"""litdata's numbers of torch.uint16 and torch.int32, whose bytes are those of uint32 below 2^31."""
LITDATA_SPEC = '[1, {"type": null, "context": null, "children_spec": []}]'
"""A sample is one tensor, as torch.utils._pytree writes it."""


def mds(export: Export) -> None:
    """`<source>/index.json` and `shard.<nnnnn>.mds`; a sample is a column `tokens`, a window of `seq_len` tokens.

    Windows do not overlap and go on over documents and shards; a source's last tokens that fill no window are left out.
    """
    seq_len, size = export.seq_len, 2 if export.dtype == "uint16" else 4
    config = {
        "version": 2,
        "format": "mds",
        "compression": None,
        "hashes": [],
        "size_limit": MDS_BYTES,
        "column_names": ["tokens"],
        "column_encodings": [f"ndarray:{export.dtype}:{seq_len}"],
        "column_sizes": [seq_len * size],
    }
    text = json.dumps(config, sort_keys=True).encode()
    each = max(1, MDS_BYTES // (seq_len * size))
    for source in export.shards.manifest.sources:
        stream = export.shards.streams[source.name]
        windows = len(stream) // seq_len
        if not windows:
            raise ShardError(
                f"{export.shards.folder}: source {source.name} holds {len(stream):,} tokens, no window of {seq_len:,}"
            )
        listed: list[dict[str, Any]] = []
        for first in range(0, windows, each):
            count = min(each, windows - first)
            name = f"shard.{len(listed):05d}.mds"
            samples = stream.read(first * seq_len, (first + count) * seq_len)
            content = _table(count, [seq_len * size] * count, len(text)) + text + samples.tobytes()
            export.write(f"{source.name}/{name}", content)
            about = {"basename": name, "bytes": len(content), "hashes": {}}
            listed.append({"samples": count, "raw_data": about, "zip_data": None} | config)
        export.write(f"{source.name}/index.json", json.dumps({"version": 2, "shards": listed}, sort_keys=True).encode())


def litdata(export: Export) -> None:
    """`<source>/index.json` and `chunk-0-<n>.bin`, a chunk a shard, an item a document, for `TokensLoader(block_size=...)`.

    A block never crosses chunks: the last tokens of each that fill no block are not read.
    """
    import numpy as np

    for source in export.shards.manifest.sources:
        listed = []
        for number, entry in enumerate(source.shards):
            tokens = export.tokens(source, number)
            lengths = np.diff(export.shards.document_ends(entry).astype(np.int64), prepend=0) * tokens.dtype.itemsize
            head = _table(len(lengths), lengths.tolist(), 0)
            size = len(head) + tokens.nbytes
            if size > MOST_BYTES:
                raise ShardError(
                    f"{entry.path}: {size:,} bytes; a chunk ends at {MOST_BYTES:,}; write the shards with fewer bytes each"
                )
            name = f"chunk-0-{number}.bin"
            path = export.target / source.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                stream.write(head)
                np.asarray(tokens).tofile(stream)
            listed.append({"chunk_bytes": size, "chunk_size": len(lengths), "dim": entry.tokens, "filename": name})
        config = {
            "chunk_bytes": None,
            "chunk_size": None,
            "compression": None,
            "data_format": [LITDATA_FORMATS[export.dtype]],
            "data_spec": LITDATA_SPEC,
            "encryption": None,
            "item_loader": "TokensLoader",
        }
        index = {"chunks": listed, "config": config}
        export.write(f"{source.name}/index.json", json.dumps(index, sort_keys=True).encode())


def _table(count: int, sizes: list[int], between: int) -> bytes:
    """u32 count and u32[count + 1] offsets; `between` bytes follow before the first sample."""
    import numpy as np

    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    offsets += 4 + 4 * (count + 1) + between
    return np.array([count], dtype="<u4").tobytes() + offsets.astype("<u4").tobytes()
