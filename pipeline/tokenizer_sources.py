"""The sources of a mixture, for those who learn from their documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from gristmill.pipeline.mixture.folders import Folder
    from gristmill.pipeline.mixture.reading import ReadMixture
    from gristmill.tokenizers.training import WeightedDocuments


def mixture_sources(path: str) -> list[WeightedDocuments]:
    """The chosen documents of each source of a mixture (of each bucket, where it has such), with their weight.

    Weights that the mixture gives are taken as they are, and a source's is spread over its buckets by their bytes and repeat
    counts. Where weights come about otherwise, by sizes or epochs, they are the shares of the mixture's plan.

    Raises:
        UserError: the file is no mixture, a source has no documents, or the documents are not such as it says.
    """
    from gristmill.pipeline.mixture.folders import columns_named, open_folder
    from gristmill.pipeline.mixture.reading import load_mixture
    from gristmill.tokenizers.training import WeightedDocuments

    read = load_mixture(path)
    folders: dict[str, Folder] = {}
    for name, source in read.mixture.sources.items():
        if source.documents is None or (folder := open_folder(read, name)) is None or not folder.documents:
            raise read.error(("sources", name), "has no documents; a tokenizer learns from documents, not from token shards")
        # a source of a run's shards is told by its folder, a document by its column
        folders[name] = folder
    weights = _weights(read, folders)
    sources = []
    for name, folder in folders.items():
        labels = _labels(read, name)
        for number, label in enumerate(labels):
            bucket = number if columns_named(read, name) else None

            def batches(name: str = name, folder: Folder = folder, bucket: int | None = bucket) -> Iterator[pa.RecordBatch]:
                return _batches(read, name, folder, bucket)

            if weights[label]:
                sources.append(WeightedDocuments(label, batches, weights[label]))
    return sources


def _labels(read: ReadMixture, name: str) -> list[str]:
    buckets = read.mixture.sources[name].quality_buckets
    return [name] if buckets is None else [f"{name}:{label}" for label, _ in buckets.labels()]


def _weights(read: ReadMixture, folders: dict[str, Folder]) -> dict[str, float]:
    """Weight of each source or bucket."""
    from gristmill.pipeline.mixture.planning import make_plan
    from gristmill.pipeline.mixture.sizes import document_bytes

    given = {name: source.weight for name, source in read.mixture.sources.items()}
    if read.mixture.weights.way != "given" or None in given.values():
        return {source.source: source.weight for source in make_plan(read).plan.sources}
    weights: dict[str, float] = {}
    for name, weight in given.items():
        buckets = read.mixture.sources[name].quality_buckets
        if buckets is None:
            weights[name] = weight or 0.0
            continue
        sizes = [
            size * repeat for size, (_, repeat) in zip(document_bytes(read, name, folders[name]), buckets.labels(), strict=True)
        ]
        whole = sum(sizes)
        for label, size in zip(_labels(read, name), sizes, strict=True):
            weights[label] = (weight or 0.0) * size / whole if whole else 0.0
    return weights


def _batches(read: ReadMixture, name: str, folder: Folder, bucket: int | None) -> Iterator[pa.RecordBatch]:
    """Columns `id` and `text` of the documents in a bucket; of all when None."""
    import pyarrow as pa

    from gristmill.pipeline.mixture.choosing import chosen_documents
    from gristmill.pipeline.mixture.folders import document_batches

    if bucket is None:
        for table in document_batches(folder, ["id", "text"]):
            yield from table.select(["id", "text"]).to_batches()
        return
    for table, chosen in chosen_documents(read, name, folder, ["text"]):
        yield from table.filter(pa.array(chosen == bucket)).select(["id", "text"]).to_batches()
