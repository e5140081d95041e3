"""Estimating importance weights from documents, for the stage `importance`."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def train_on_documents(target: Sequence[str], raw: Sequence[str], *, output: str, buckets: int) -> dict[str, Any]:
    """Estimate weights towards `target`, and write their file; memory does not grow with the documents.

    Args:
        target: files of documents, folders of them, or run folders, of the kind that is wanted.
        raw: likewise, the documents to choose from, or a sample of them.
        output: the file to write.
        buckets: how many the n-grams are hashed into.

    Returns:
        `output`, `sha256`, `buckets`, and for `target` and `raw` the `documents` and `ngrams` that were counted.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: no file of documents, no such columns, or no words to learn from.
    """
    from gristmill.stages.importance_weights import ImportanceWeights, log_ratios_of

    counted = {name: _count(paths, buckets) for name, paths in (("target", target), ("raw", raw))}
    ratios = log_ratios_of(counted["target"][0], counted["raw"][0])
    told = {name: {"documents": documents, "ngrams": int(counts.sum())} for name, (counts, documents) in counted.items()}
    ImportanceWeights(ratios, told).write(output)
    return {"output": output, "sha256": sha256(Path(output).read_bytes()).hexdigest(), "buckets": buckets} | told


def _count(paths: Sequence[str], buckets: int) -> tuple[np.ndarray, int]:
    """How often the n-grams of each bucket occur in documents, and how many documents there are."""
    import numpy as np

    from gristmill.stages.importance_ngrams import ngram_buckets
    from gristmill.tokenizers.documents import batches_of, document_files

    counts, documents = np.zeros(buckets, dtype=np.int64), 0
    for batch in batches_of([file for path in paths for file in document_files(path)]):
        counts += np.bincount(ngram_buckets(batch["text"], buckets).buckets, minlength=buckets)
        documents += batch.num_rows
    return counts, documents
