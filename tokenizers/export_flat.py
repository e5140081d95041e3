"""Layouts whose files are headerless tokens, or tokens behind a fixed header: Megatron-LM, OLMo, datatrove, nanoGPT, llm.c."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

from gristmill.tokenizers.megatron import index_parts

if TYPE_CHECKING:
    from gristmill.tokenizers.exporting import Export

LLMC_MAGIC, LLMC_VERSION, LLMC_HEADER = 20240520, 1, 256
TOKENS_AT_A_TIME = 1 << 24


def megatron(export: Export) -> None:
    """`<source>/<nnnnn>.bin` and `.idx`: give Megatron-LM and NeoX the path without its suffix as `--data-path`."""
    import numpy as np

    for source in export.shards.manifest.sources:
        for entry in source.shards:
            export.place(entry, ".bin", f"{entry.path}.bin")
            if entry.megatron_index:
                export.place(entry, ".idx", f"{entry.path}.idx")
            else:
                lengths = np.diff(export.shards.document_ends(entry).astype(np.int64), prepend=0).astype(np.int64)
                export.write(f"{entry.path}.idx", b"".join(index_parts(lengths, export.dtype)))


def olmo(export: Export) -> None:
    """`<source>/part-00-<nnnnn>.npy` (tokens without a header, despite the name) and `.csv.gz`: start, end, id, file, row."""
    import numpy as np
    import pyarrow.parquet as pq

    for source in export.shards.manifest.sources:
        for number, entry in enumerate(source.shards):
            name = f"{source.name}/part-00-{number:05d}"
            export.place(entry, ".bin", f"{name}.npy")
            ends = export.shards.document_ends(entry).astype(np.int64).tolist()
            ids = pq.read_table(export.shards.folder / f"{entry.path}.docs.parquet", columns=["doc_id"])["doc_id"].to_pylist()
            rows = zip([0, *ends], ends, ids, range(len(ids)), strict=False)
            lines = "".join(f"{start},{end},{one.hex()},{entry.path},{row}\n" for start, end, one, row in rows)
            packed = io.BytesIO()
            with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as stream:
                stream.write(lines.encode())
            export.write(f"{name}.csv.gz", packed.getvalue())


def datatrove(export: Export) -> None:
    """`<source>/<nnnnn>.ds`, `.ds.index` and `.ds.metadata`, for datatrove's datasets and nanotron.

    Where tokens are masked, each shard has a `.ds.loss` too, also those in which all tokens count: datatrove has all or none.
    """
    size = 2 if export.dtype == "uint16" else 4
    for source in export.shards.manifest.sources:
        for number, entry in enumerate(source.shards):
            export.place(entry, ".bin", f"{entry.path}.ds")
            export.place(entry, ".ends", f"{entry.path}.ds.index")
            if entry.sha256.mask is not None:
                export.place(entry, ".mask", f"{entry.path}.ds.loss")
            elif export.masks:
                export.write(f"{entry.path}.ds.loss", export.counted(source, number).tobytes())
            about = f"tokenizer.json|{size}\n{entry.tokens}\n{_humanised(entry.tokens)}\n"
            export.write(f"{entry.path}.ds.metadata", about.encode())


def _humanised(tokens: int) -> str:
    for power, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "K")):
        if tokens >= power:
            return f"{tokens / power:.2f} {unit}T"
    return f"{tokens:.2f} T"


def nanogpt(export: Export) -> None:
    """`<source>/train.bin`: all of a source's tokens, uint16, without a header."""
    export.only_uint16("nanogpt")
    for source in export.shards.manifest.sources:
        name = f"{source.name}/train.bin"
        if len(source.shards) == 1:
            export.place(source.shards[0], ".bin", name)
            continue
        (export.target / source.name).mkdir(parents=True, exist_ok=True)
        with (export.target / name).open("wb") as stream:
            for number in range(len(source.shards)):
                tokens = export.tokens(source, number)
                for start in range(0, len(tokens), TOKENS_AT_A_TIME):
                    stream.write(tokens[start : start + TOKENS_AT_A_TIME].tobytes())


def llmc(export: Export) -> None:
    """`<source>/<source>_train_<nnnnnn>.bin`: 256 int32 (magic, version, number of tokens, zeros), then uint16."""
    import numpy as np

    export.only_uint16("llmc")
    for source in export.shards.manifest.sources:
        (export.target / source.name).mkdir(parents=True, exist_ok=True)
        for number, entry in enumerate(source.shards):
            header = np.zeros(LLMC_HEADER, dtype="<i4")
            header[:3] = LLMC_MAGIC, LLMC_VERSION, entry.tokens
            tokens = export.tokens(source, number)
            with (export.target / f"{source.name}/{source.name}_train_{number:06d}.bin").open("wb") as stream:
                stream.write(header.tobytes())
                for start in range(0, len(tokens), TOKENS_AT_A_TIME):
                    stream.write(tokens[start : start + TOKENS_AT_A_TIME].tobytes())
