"""Before the first partition: each stage is set up on a worker and tried on a document, so that a broken one stops the run."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from gristmill.pipeline.cluster import Cluster
from gristmill.pipeline.errors import UserError
from gristmill.stages.corpus_editor import CorpusEditor
from gristmill.stages.corpus_filter import CorpusFilter
from gristmill.stages.deduplicator import Deduplicator
from gristmill.stages.documents import DOCUMENTS, WITH_HTML, Batch
from gristmill.stages.editor import Editor
from gristmill.stages.filter import Filter
from gristmill.stages.keeper import ranks
from gristmill.stages.stage import Stage, StageUnavailable

TEXT = (
    "The mill stands where the river bends. Its wheel has turned for two hundred years, and the stones that it drives grind "
    "wheat, rye and barley for the villages around. On market days the carts wait in a row, and the miller weighs each sack "
    "before the grain goes into the hopper and the flour comes out warm below.\n"
) * 3


def sample_document(html: bool) -> pa.Table:
    """One document that every stage must be able to look at."""
    row = dict.fromkeys(DOCUMENTS.names) | {
        "id": "sample",
        "text": "" if html else TEXT,
        "source": "sample",
        "file": "sample",
        "position": 0,
        "url": "https://mill.example/grain",
        "content_type": "text/html; charset=utf-8" if html else None,
    }
    if html:
        page = f"<html><head><title>The mill</title></head><body><article><h1>The mill</h1><p>{TEXT}</p></article></body></html>"
        return pa.Table.from_pylist([row | {"html": page.encode()}], schema=WITH_HTML)
    return pa.Table.from_pylist([row], schema=DOCUMENTS)


def try_stages(stages: Sequence[Stage]) -> None:
    """Set up each stage and give it the sample document.

    Raises:
        StageUnavailable: one of them cannot work here.
    """
    for stage in stages:
        try:
            stage.set_up()
            _try(stage, Batch(sample_document(html=stage.needs in ("html", "page"))))
        except (StageUnavailable, UserError):
            raise
        except ModuleNotFoundError as error:
            raise StageUnavailable(
                f"{stage.label}: the module {error.name} is missing where the workers run; install it there"
            ) from error
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise StageUnavailable(
                f"{stage.label}: fails on a plain document: {type(error).__name__}: {error} ({place.filename}:{place.lineno})"
            ) from error


def _try(stage: Stage, batch: Batch, settled: bool = False) -> None:
    if isinstance(stage, CorpusFilter) and not settled:
        totals = stage.survey(batch)
        batch.given = totals.signals
        _try(stage.settled(totals.totals), batch, settled=True)
    elif isinstance(stage, Filter):
        stage.judge(batch)
        stage.annotate(batch)
    elif isinstance(stage, Editor):
        stage.edit(batch)
    elif isinstance(stage, CorpusEditor):
        stage.emit(batch)
    elif isinstance(stage, Deduplicator):
        ranks(stage.keep, batch.table, np.zeros(len(batch), dtype=np.uint64))
        stage.emit(batch)
        sketches = stage.sketches(batch)
        if sketches is not None:
            stage.similarity(sketches, sketches)


def set_up_stages(cluster: Cluster, stages: Sequence[Stage]) -> None:
    """`try_stages` on one worker."""
    cluster.call(try_stages, list(stages))
