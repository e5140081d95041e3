"""Token shards in the layouts of other trainers: which there are, and how an export comes into being.

Layouts whose token file is a shard's own are linked and take no room; the others are copies. An export is written beside its
place and moved there when it is whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from gristmill.tokenizers.manifest import ShardEntry, ShardError, SourceEntry
from gristmill.tokenizers.shards import ShardSet, open_shards

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Layout = Literal["megatron", "olmo", "datatrove", "nanogpt", "llmc", "mds", "litdata", "webdataset", "parquet"]
LINKS: frozenset[str] = frozenset({"megatron", "olmo", "datatrove"})
"""Layouts that are links to the shards' own files, and small files beside them."""
MASKED: frozenset[str] = frozenset({"datatrove", "webdataset", "parquet"})
"""Layouts that have a place for which tokens count in the loss."""
LEFTOVER = ".gristmill-export"


@dataclass(frozen=True)
class Export:
    """One export on its way."""

    shards: ShardSet
    target: Path
    seq_len: int
    copy: bool
    """Never link."""

    @property
    def dtype(self) -> str:
        """Of the tokens, "uint16" or "uint32"."""
        return self.shards.manifest.dtype

    def tokens(self, source: SourceEntry, number: int) -> NDArray[Any]:
        """The tokens of a source's shard, in place."""
        return self.shards.streams[source.name].pieces[number]

    @property
    def masks(self) -> bool:
        """Whether there are tokens that do not count in the loss; then all documents and shards say which do."""
        return any(source.masked for source in self.shards.manifest.sources)

    def counted(self, source: SourceEntry, number: int) -> NDArray[np.uint8]:
        """Of each token of a source's shard: 1, or 0 where it does not count in the loss."""
        import numpy as np

        mask = self.shards.streams[source.name].masks[number]
        return np.ones(source.shards[number].tokens, dtype=np.uint8) if mask is None else mask

    def place(self, entry: ShardEntry, suffix: str, name: str) -> None:
        """Let a shard's file also stand at `name`: as a hard link, where that cannot be a symbolic one, else as a copy."""
        source = (self.shards.folder / f"{entry.path}{suffix}").resolve()
        target = self.target / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not self.copy:
            for link in (os.link, os.symlink):
                try:
                    link(source, target)
                    return
                except OSError:
                    continue
        shutil.copyfile(source, target)

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        target = self.target / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def only_uint16(self, layout: str) -> None:
        """Raise where the layout has room for two bytes a token and these ids need more."""
        if self.dtype != "uint16":
            vocabulary = self.shards.manifest.tokenizer.vocab_size
            raise ShardError(
                f"{self.shards.folder}: a vocabulary of {vocabulary:,} does not fit into {layout}, which holds ids below 65,536; "
                "use a smaller one, or export to megatron, olmo, datatrove, mds, litdata, webdataset or parquet"
            )


def layouts() -> dict[str, Callable[[Export], None]]:
    """Each layout, and what writes it."""
    from gristmill.tokenizers import export_chunks, export_flat, export_tables

    return {
        "megatron": export_flat.megatron,
        "olmo": export_flat.olmo,
        "datatrove": export_flat.datatrove,
        "nanogpt": export_flat.nanogpt,
        "llmc": export_flat.llmc,
        "mds": export_chunks.mds,
        "litdata": export_chunks.litdata,
        "webdataset": export_tables.webdataset,
        "parquet": export_tables.parquet,
    }


def export_shards(
    folder: str | Path,
    output: str | Path,
    to: Layout,
    *,
    seq_len: int = 2048,
    copy: bool = False,
    verify: bool = False,
    drop_mask: bool = False,
) -> dict[str, Any]:
    """Write shards in another layout.

    Args:
        folder: of token shards.
        output: a new folder, or an empty one.
        to: the layout.
        seq_len: tokens of a sample, where samples are windows (mds).
        copy: copy token files where they could be linked.
        verify: check the shards' sha256 first.
        drop_mask: let all tokens count in the loss where the layout has no place for which do.

    Returns:
        `output`, `to`, `files`, `bytes` (of links too), `tokens`.

    Raises:
        FileNotFoundError: no shards there.
        ShardError: the shards are damaged or do not fit the layout, which may have no place for masked tokens, or the output is
            taken; nothing is written.
    """
    if to not in get_args(Layout):
        raise ShardError(f"{to}: no such layout; there are {', '.join(get_args(Layout))}")
    if seq_len < 1:
        raise ShardError(f"seq_len is {seq_len}; it must be at least 1")
    shards = open_shards(folder, verify=verify)
    if (masked := sum(source.masked for source in shards.manifest.sources)) and to not in MASKED and not drop_mask:
        raise ShardError(
            f"{folder}: {masked:,} tokens are masked, and {to} has no place for that: they would be learned; "
            f"export to {', '.join(sorted(MASKED))}, or export without the mask (--drop-mask)"
        )
    target = Path(output)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ShardError(f"{target}: is taken; give a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{LEFTOVER}-{target.name}-{os.getpid()}")
    partial.mkdir()
    try:
        layouts()[to](Export(shards, partial, seq_len, copy))
        shutil.copyfile(shards.folder / "tokenizer.json", partial / "tokenizer.json")
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    files = [file for file in target.rglob("*") if file.is_file()]
    return {
        "output": str(target),
        "to": to,
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "tokens": shards.manifest.tokens,
    }
