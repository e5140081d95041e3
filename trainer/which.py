"""Which documents a step of a training read."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from gristmill.tokenizers.shards import TokenStream
from gristmill.trainer.config import ConfigError
from gristmill.trainer.data import settle
from gristmill.trainer.loader import Loader, share
from gristmill.trainer.run_folder import METRICS_FILE, RUN_FILE
from gristmill.trainer.settings import TrainSettings


def which(run: str | Path, step: int, *, rank: int = 0, ranks: int = 1) -> dict[str, Any]:
    """The documents in a batch, found again from the plan and the seed, and held against the log's order hash.

    Args:
        run: output folder of a training.
        step: from 1; steps that the training has not taken yet may be asked for too.
        rank: whose share of the batch.
        ranks: in how many shares it is cut; all of it with 1.

    Returns:
        `step`, `order_hash` (None where the log does not reach to the step before), `in_log` (whether the log has that hash at
        this step; None where it does not reach so far), and `documents`: a row for each document of each window, in the order of
        the batch, with `window_of_batch`, `source`, `window`, `doc_hash` (32 hexadecimal digits), `url`, `shard` (its files'
        path), `row` in it, `tokens` of it in the window from `first_token` of the document on, and `document_tokens`.

    Raises:
        FileNotFoundError: no such run, or its data is gone.
        ConfigError: it is no training run, its data was changed, or there is no such step or rank.
    """
    folder = Path(run)
    told = _described(folder)
    settings = TrainSettings.model_validate(told["settings"])
    shards, plan, last = settle(settings, lambda line: None)
    if plan.hash() != told["plan_hash"]:
        raise ConfigError(
            f"{settings.data}: is not what {folder} was trained on: the plan's hash differs; give back the shards it had"
        )
    if not 1 <= step <= last:
        raise ConfigError(f"{folder}: has no step {step:,}; the run has {last:,}, from 1")
    windows = plan.windows_at(step)
    if not 0 <= rank < ranks or windows % ranks:
        raise ConfigError(f"a batch of {windows} windows has no share {rank} of {ranks}; shares are counted from 0 and equal")
    loader = Loader(shards, plan, settings.seed)
    before, logged = _order_hashes(folder, step)
    loader.skip(step - 1, before or "")
    draw = loader.draw()
    each = windows // ranks
    micro = settings.micro_windows if settings.micro_windows and each % settings.micro_windows == 0 else each
    documents = [
        {"window_of_batch": place, "source": plan.sources[source], "window": window} | document
        for part in share(draw, micro, rank, ranks)
        for place, source, window in zip(
            range(part.start, part.stop), draw.sources[part].tolist(), draw.windows[part].tolist(), strict=True
        )
        for span in loader.spans(source, window)
        for document in _documents(shards.streams[plan.sources[source]], *span)
    ]
    known = before is not None or step == 1
    return {
        "step": step,
        "order_hash": draw.order_hash if known else None,
        "in_log": None if not known or logged is None else logged == draw.order_hash,
        "documents": documents,
    }


def _described(folder: Path) -> dict[str, Any]:
    file = folder / RUN_FILE
    if not file.is_file():
        raise FileNotFoundError(f"{folder}: holds no {RUN_FILE}; give the output folder of a training")
    try:
        told: dict[str, Any] = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}: is not JSON: {error}") from error
    return told


def _order_hashes(folder: Path, step: int) -> tuple[str | None, str | None]:
    """Of the step before and of the step, as the log has them."""
    found: dict[int, str] = {}
    file = folder / METRICS_FILE
    with file.open(encoding="utf-8") if file.is_file() else io.StringIO() as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                break  # a line that was being written when the run was killed
            if row["step"] in (step - 1, step):
                found[row["step"]] = row["order_hash"]
    return found.get(step - 1), found.get(step)


def _documents(stream: Any, start: int, stop: int) -> Iterator[dict[str, Any]]:
    """Each document with tokens from start to stop of a stream."""
    import numpy as np

    bounds = [start, *stream.document_ends(start, stop).tolist(), stop]
    for first, after in pairwise(bounds):
        shard, place = stream.shard_at(first)
        ends = stream.ends[shard]
        row = int(np.searchsorted(ends, np.uint64(place), side="right"))
        begin, end = int(ends[row - 1]) if row else 0, int(ends[row])
        yield {
            **_known(stream, shard, row),
            "shard": str(stream.files[shard]),
            "row": row,
            "tokens": after - first,
            "first_token": place - begin,
            "document_tokens": end - begin,
        }


def _known(stream: TokenStream, shard: int, row: int) -> dict[str, Any]:
    """What stands beside the shard of a document."""
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(f"{stream.files[shard]}.docs.parquet")
    group = 0
    while row >= (rows := parquet.metadata.row_group(group).num_rows):
        row, group = row - rows, group + 1
    names = [name for name in ("doc_id", "url_or_path") if name in parquet.schema_arrow.names]
    [found] = parquet.read_row_group(group, columns=names).slice(row, 1).to_pylist()
    return {"doc_hash": found["doc_id"].hex(), "url": found.get("url_or_path")}
