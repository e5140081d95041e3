"""Layouts of whole documents: WebDataset (tar) and Parquet."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from gristmill.tokenizers.exporting import Export
    from gristmill.tokenizers.manifest import ShardEntry, SourceEntry

DOCUMENTS_AT_A_TIME = 1024


def webdataset(export: Export) -> None:
    """`<source>/<source>-<nnnnnn>.tar`: of each document `<doc_id>.tokens.npy` and `<doc_id>.json`, what is known of it.

    Where tokens are masked, also `<doc_id>.mask.npy`: uint8, 0 for those that do not count in the loss.
    """
    import numpy as np

    for source in export.shards.manifest.sources:
        (export.target / source.name).mkdir(parents=True, exist_ok=True)
        for number, entry in enumerate(source.shards):
            path = export.target / f"{source.name}/{source.name}-{number:06d}.tar"
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
                for batch in _documents(export, source, number, entry):
                    for row in batch.to_pylist():
                        key = row["doc_id"].hex()
                        tokens = np.array(row.pop("tokens"), dtype=np.dtype(export.dtype).newbyteorder("<"))
                        mask = row.pop("mask", None)
                        known = {name: value for name, value in (row | {"doc_id": key}).items() if value is not None}
                        _add(archive, f"{key}.tokens.npy", _packed(tokens))
                        if mask is not None:
                            _add(archive, f"{key}.mask.npy", _packed(np.array(mask, dtype=np.uint8)))
                        _add(archive, f"{key}.json", json.dumps(known, ensure_ascii=False, sort_keys=True).encode())


def _packed(values: NDArray[Any]) -> bytes:
    import numpy as np

    packed = io.BytesIO()
    np.save(packed, values)
    return packed.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)  # its time, owner and mode are TarInfo's defaults: the same bytes every time
    archive.addfile(member, io.BytesIO(content))


def parquet(export: Export) -> None:
    """`<source>/<nnnnn>.parquet`: the rows of `.docs.parquet` and a list `tokens`; for exchange, slow to train from.

    Where tokens are masked, also a list `mask`, 0 for those that do not count in the loss.
    """
    import pyarrow.parquet as pq

    for source in export.shards.manifest.sources:
        (export.target / source.name).mkdir(parents=True, exist_ok=True)
        for number, entry in enumerate(source.shards):
            writer = None
            for batch in _documents(export, source, number, entry):
                writer = writer or pq.ParquetWriter(
                    export.target / f"{entry.path}.parquet", batch.schema, compression="zstd", compression_level=3
                )
                writer.write_table(batch)
            if writer is not None:
                writer.close()


def _documents(export: Export, source: SourceEntry, number: int, entry: ShardEntry) -> Iterator[pa.Table]:
    """A shard's documents with their tokens, some at a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = pq.read_table(export.shards.folder / f"{entry.path}.docs.parquet")
    bounds = np.concatenate([[0], export.shards.document_ends(entry).astype(np.int64)])
    tokens: Any = export.tokens(source, number)
    counted = export.counted(source, number) if export.masks else None
    for first in range(0, len(known), DOCUMENTS_AT_A_TIME):
        rows = known.slice(first, DOCUMENTS_AT_A_TIME)
        inside = bounds[first : first + len(rows) + 1]
        values = pa.array(np.ascontiguousarray(tokens[inside[0] : inside[-1]]))
        lists = pa.LargeListArray.from_arrays(pa.array(inside - inside[0]), values)
        rows = rows.append_column("tokens", lists)
        if counted is not None:
            values = pa.array(np.ascontiguousarray(counted[inside[0] : inside[-1]]))
            rows = rows.append_column("mask", pa.LargeListArray.from_arrays(pa.array(inside - inside[0]), values))
        yield rows.combine_chunks()
