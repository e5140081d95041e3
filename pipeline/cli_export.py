"""The command `gristmill export`."""

from __future__ import annotations

from typing import Annotated

from gristmill.pipeline.cli_shards import told
from gristmill.pipeline.cli_shared import AsJson, Flag, show_json
from gristmill.tokenizers.exporting import Layout


def export(
    shards: str,
    output: str,
    /,
    *,
    to: Layout,
    seq_len: int = 2048,
    copy: Annotated[bool, Flag] = False,
    verify: Annotated[bool, Flag] = False,
    drop_mask: Annotated[bool, Flag] = False,
    as_json: AsJson = False,
) -> None:
    """Write token shards in the layout of another trainer.

    megatron, olmo and datatrove are links to the shards' own files, and so is nanogpt where a source has one shard; the others
    are copies. Held-out shards are a folder like any other.

    Example: gristmill export out/web/shards out/megatron --to megatron

    Args:
        shards: folder of token shards.
        output: a new folder.
        to: the layout.
        seq_len: tokens of a sample, for mds.
        copy: copy files that could be linked.
        verify: check the shards' sha256 first.
        drop_mask: let all tokens count in the loss where the layout has no place for which do; datatrove, webdataset and parquet
            have one.
        as_json: print JSON.
    """
    from gristmill.tokenizers.exporting import export_shards

    with told():
        found = export_shards(shards, output, to, seq_len=seq_len, copy=copy, verify=verify, drop_mask=drop_mask)
    if as_json:
        show_json(found)
    else:
        print(f"{output}: {found['tokens']:,} tokens in {found['files']:,} files, {found['bytes']:,} bytes, as {to}")
