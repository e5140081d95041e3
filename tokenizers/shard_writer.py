"""Writing one token shard as a stream of tables."""

from __future__ import annotations

from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gristmill.tokenizers.loss_mask import MaskFile
from gristmill.tokenizers.manifest import Sha256, ShardEntry, ShardError
from gristmill.tokenizers.megatron import MOST, index_parts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from fsspec import AbstractFileSystem
    from numpy.typing import NDArray

ROWS_A_GROUP = 65_536
ZSTD_LEVEL = 3
REQUIRED = ("doc_id", "tokens", "n_bytes")


def documents_schema() -> pa.Schema:
    """The columns of `.docs.parquet`."""
    import pyarrow as pa

    labels = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            pa.field("doc_id", pa.binary(16), nullable=False),
            pa.field("n_tokens", pa.int32(), nullable=False),
            pa.field("n_bytes", pa.int32(), nullable=False),
            pa.field("source", labels),
            pa.field("weight", pa.float32()),
            pa.field("lang", labels),
            pa.field("quality", pa.float32()),
            pa.field("url_or_path", pa.string()),
            pa.field("cluster", pa.int32()),
        ]
    )


class ShardWriter:
    """Writes `.bin`, `.ends`, `.idx`, `.docs.parquet` and, where tokens are masked, `.mask` of one shard.

    `entry` is there after a clean exit.
    """

    def __init__(
        self, fs: AbstractFileSystem, prefix: str, *, dtype: str, path: str | None = None, megatron_index: bool = True
    ) -> None:
        """Say where the shard goes; see `gristmill.tokenizers.shards.write_shard`.

        Raises:
            ShardError: the dtype is neither "uint16" nor "uint32".
        """
        if dtype not in ("uint16", "uint32"):
            raise ShardError(f"{prefix}: dtype is {dtype}; tokens are stored as uint16 or uint32")
        self._fs, self._prefix, self._dtype, self._megatron_index = fs, prefix, dtype, megatron_index
        self._path = path or "/".join(prefix.rstrip("/").split("/")[-2:])
        self._lengths: list[NDArray[np.int64]] = []
        self._hash = sha256()
        self._mask = MaskFile(fs, f"{prefix}.mask")
        self._bytes_utf8 = 0
        self._min: int | None = None
        self._max: int | None = None
        self._last_id = b""
        self._waiting: list[pa.Table] = []
        self.entry: ShardEntry

    def __enter__(self) -> Self:
        import pyarrow.parquet as pq

        self._fs.makedirs(self._prefix.rsplit("/", 1)[0], exist_ok=True)
        self._bin = self._fs.open(f"{self._prefix}.bin", "wb")
        self._docs_stream = self._fs.open(f"{self._prefix}.docs.parquet", "wb")
        self._docs = pq.ParquetWriter(
            self._docs_stream,
            documents_schema(),
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=["source", "lang"],
        )
        return self

    def write(self, table: pa.Table) -> None:
        """Add rows that follow those written so far.

        Raises:
            ShardError: columns are missing, rows are not in ascending order of `doc_id`, an id does not fit the dtype, or runs of
                masked tokens are none.
        """
        import numpy as np

        if missing := [name for name in REQUIRED if name not in table.column_names]:
            raise ShardError(f"{self._prefix}: rows have no {', '.join(missing)}; they have {', '.join(table.column_names)}")
        tokens, lengths = self._tokens(table)
        kept = lengths > 0
        if not kept.all():
            import pyarrow as pa

            table, lengths = table.filter(pa.array(kept)), lengths[kept]
        if not len(lengths):
            return
        self._check_order(table)
        if int(lengths.max()) > MOST:
            raise ShardError(f"{self._prefix}: a document has {int(lengths.max()):,} tokens; at most {MOST:,} can be stored")
        low, high = int(tokens.min()), int(tokens.max())
        self._min = low if self._min is None else min(low, self._min)
        self._max = high if self._max is None else max(high, self._max)
        data = np.ascontiguousarray(tokens, dtype=np.dtype(self._dtype).newbyteorder("<"))
        self._bin.write(data.data)
        self._hash.update(data.data)
        try:
            self._mask.add(table["masked"] if "masked" in table.column_names else None, lengths)
        except ValueError as error:
            raise ShardError(str(error)) from error
        self._lengths.append(lengths)
        self._document_rows(table, lengths)

    def _tokens(self, table: pa.Table) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The rows' tokens end to end, and how many each has (null counts as none)."""
        import numpy as np
        import pyarrow as pa

        column = table["tokens"]
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            raise ShardError(f"{self._prefix}: tokens is {column.type}; it must be a list of integers")
        flat, lengths = [np.empty(0, dtype=self._dtype)], [np.empty(0, dtype=np.int64)]
        for chunk in column.chunks:
            lengths.append(chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))
            values = chunk.flatten()
            if values.type != pa.type_for_alias(self._dtype):
                try:
                    values = values.cast(self._dtype)
                except pa.ArrowInvalid as error:
                    raise ShardError(f"{self._prefix}: token ids do not fit {self._dtype}: {error}") from error
            flat.append(values.to_numpy(zero_copy_only=False))
        tokens = np.concatenate(flat) if len(flat) > 2 else flat[-1]
        if len(tokens) and self._dtype == "uint32" and int(tokens.max()) > MOST:
            raise ShardError(f"{self._prefix}: token id {int(tokens.max()):,}; ids must stay below 2^31 for other readers")
        return tokens, np.concatenate(lengths)

    def _check_order(self, table: pa.Table) -> None:
        import numpy as np
        import pyarrow as pa

        try:
            ids = pa.concat_arrays(table["doc_id"].cast(pa.binary(16)).chunks)
        except pa.ArrowInvalid as error:
            raise ShardError(f"{self._prefix}: doc_id must be 16 bytes in every row: {error}") from error
        if ids.null_count:
            raise ShardError(f"{self._prefix}: doc_id must be 16 bytes in every row; {ids.null_count} rows have none")
        raw = memoryview(ids.buffers()[1])[ids.offset * 16 : (ids.offset + len(ids)) * 16]
        joined = self._last_id + raw.tobytes()
        halves = np.frombuffer(joined, dtype=">u8").reshape(-1, 2)
        before, after = halves[:-1], halves[1:]
        fine = (before[:, 0] < after[:, 0]) | ((before[:, 0] == after[:, 0]) & (before[:, 1] < after[:, 1]))
        if not fine.all():
            where = int(np.argmin(fine))
            raise ShardError(
                f"{self._prefix}: doc_id {joined[16 * (where + 1) : 16 * (where + 2)].hex()} follows "
                f"{joined[16 * where : 16 * (where + 1)].hex()}; rows must come in ascending order, each id once"
            )
        self._last_id = joined[-16:]

    def _document_rows(self, table: pa.Table, lengths: NDArray[np.int64]) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        columns = []
        for field in documents_schema():
            if field.name == "n_tokens":
                columns.append(pa.chunked_array([pa.array(lengths.astype("int32"))]))
            elif field.name in table.column_names:
                # labels stay plain strings until a whole row group is together
                plain = pa.string() if pa.types.is_dictionary(field.type) else field.type
                columns.append(table[field.name].cast(plain))
            elif field.name == "weight":
                columns.append(pa.chunked_array([pa.repeat(pa.scalar(1.0, pa.float32()), len(lengths))]))
            else:
                plain = pa.string() if pa.types.is_dictionary(field.type) else field.type
                columns.append(pa.chunked_array([pa.nulls(len(lengths), plain)]))
        rows = pa.table(columns, names=documents_schema().names)
        self._bytes_utf8 += int(pc.sum(rows["n_bytes"]).as_py() or 0)
        self._waiting.append(rows)
        if sum(len(part) for part in self._waiting) >= ROWS_A_GROUP:
            self._write_groups(ROWS_A_GROUP)

    def _write_groups(self, least: int) -> None:
        """Write the waiting rows in groups of `ROWS_A_GROUP`, as long as at least this many wait."""
        import pyarrow as pa

        rows = pa.concat_tables(self._waiting)
        start = 0
        while len(rows) - start >= max(least, 1):
            # one chunk, and a dictionary built from it: the bytes then do not tell how the rows came
            group = rows.slice(start, ROWS_A_GROUP).combine_chunks()
            for label in ("source", "lang"):
                index = group.column_names.index(label)
                encoded = pa.concat_arrays(group[label].chunks).dictionary_encode()
                group = group.set_column(index, documents_schema().field(label), encoded)
            self._docs.write_table(group.cast(documents_schema()), row_group_size=ROWS_A_GROUP)
            start += len(group)
        rest = rows.slice(start)
        self._waiting = [rest] if len(rest) else []

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the files, and after success write the two indexes."""
        import numpy as np

        try:
            if kind is None and self._waiting:
                self._write_groups(1)
        finally:
            self._docs.close()
            self._docs_stream.close()
            self._bin.close()
            mask = self._mask.close()
        if kind is not None:
            return
        lengths = np.concatenate(self._lengths) if self._lengths else np.empty(0, dtype=np.int64)
        ends = np.cumsum(lengths).astype("<u8").tobytes()
        with self._fs.open(f"{self._prefix}.ends", "wb") as stream:
            stream.write(ends)
        if self._megatron_index:
            with self._fs.open(f"{self._prefix}.idx", "wb") as stream:
                for part in index_parts(lengths, self._dtype):
                    stream.write(part)
        self.entry = ShardEntry(
            path=self._path,
            tokens=int(lengths.sum()),
            docs=len(lengths),
            bytes_utf8=self._bytes_utf8,
            sha256=Sha256(bin=self._hash.hexdigest(), ends=sha256(ends).hexdigest(), mask=mask),
            min_token=self._min,
            max_token=self._max,
            megatron_index=self._megatron_index,
            masked=self._mask.masked,
        )
