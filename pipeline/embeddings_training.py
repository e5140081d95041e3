"""Training of word vectors on documents, for the stages `semantic` and `decontaminate`."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.pipeline.embeddings_settings import EmbeddingsTraining
from gristmill.pipeline.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class TextSample:
    """Texts with the lowest hashes, each once, in the order of these hashes."""

    texts: list[str]
    bytes: int
    read: int
    digest: str
    """sha256 of the hashes."""


def train_embeddings(inputs: Sequence[str], settings: EmbeddingsTraining, output: str) -> dict[str, Any]:
    """Train vectors on documents, write their file and `<output>.json`.

    The file hangs on which texts there are, not on their order or the files that they lie in.

    Args:
        inputs: files of documents, folders of them, or run folders.
        settings: how.
        output: the file to write, replaced where there is one.

    Returns:
        What is written beside the file.

    Raises:
        UserError: there is nothing at a place, no document with text, or too little of it.
    """
    from gristmill.pipeline.storage import Storage
    from gristmill.stages.fasttext_writer import write_vectors
    from gristmill.stages.word_vector_training import VectorSettings, train_vectors
    from gristmill.tokenizers.documents import batches_of, document_files

    folder, _, name = output.rpartition("/")
    if not name or Path(output).is_dir():
        raise UserError(f"--output {output}: is a folder; give the file of the vectors, e.g. {output.rstrip('/')}/vectors.bin")
    if not name.endswith(".bin"):
        raise UserError(f"--output {output}: should end in .bin, by which stages know word vectors")
    if not inputs:
        raise UserError("--input: names no documents; give files, folders of documents or run folders")
    try:
        files = [file for path in inputs for file in document_files(path)]
        sample = lowest_texts((batch.column("text") for batch in batches_of(files)), settings.sample_bytes, settings.seed)
    except (ValueError, FileNotFoundError) as error:
        raise UserError(f"--input: {error}") from error
    if not sample.texts:
        raise UserError(f"--input {' '.join(inputs)}: holds no document with text of at most {settings.sample_bytes:,} bytes")
    named = settings.model_dump(exclude={"sample_bytes"})
    try:
        model = train_vectors(sample.texts, VectorSettings(**named))
    except ValueError as error:
        raise UserError(f"--min-count {settings.min_count}: {error}") from error
    held = BytesIO()
    write_vectors(model, held)
    content = held.getvalue()
    facts = {
        "vectors": name,
        "sha256": sha256(content).hexdigest(),
        "bytes": len(content),
        "settings": settings.model_dump(mode="json"),
        "paths": list(inputs),
        "documents_read": sample.read,
        "documents": len(sample.texts),
        "text_bytes": sample.bytes,
        "sha256_of_hashes": sample.digest,
        "tokens": model.tokens,
        "words": len(model.words),
    }
    storage = Storage(folder or ".")
    storage.put(name, content)
    storage.put(f"{name}.json", json.dumps(facts, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace"))
    return facts


def lowest_texts(columns: Iterable[pa.Array], most_bytes: int, seed: int) -> TextSample:
    """Different texts with the lowest keyed hashes: as many, in the order of these, as have at most `most_bytes` together."""
    key = b"embeddings" + seed.to_bytes(8, "little")
    held: dict[int, str] = {}
    highest: list[tuple[int, int]] = []
    read = size = 0
    refused = 1 << 128  # what does not fit ends the sample: smaller texts after it do not come in, whatever their order
    for column in columns:
        read += len(column)
        for text in column.to_pylist():
            if not text or text.isspace():
                continue
            content = text.encode()
            hashed = int.from_bytes(blake2b(content, digest_size=16, key=key).digest(), "big")
            if hashed >= refused or hashed in held:
                continue
            held[hashed] = text
            heapq.heappush(highest, (-hashed, len(content)))
            size += len(content)
            while size > most_bytes:
                dropped, length = heapq.heappop(highest)
                size, refused = size - length, -dropped
                del held[refused]
    digest = sha256(b"".join(hashed.to_bytes(16, "big") for hashed in sorted(held))).hexdigest()
    return TextSample([held[hashed] for hashed in sorted(held)], size, read, digest)
