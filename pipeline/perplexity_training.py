"""Training an n-gram model on documents, for the stage `perplexity`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from gristmill.stages.ngram_tokens import Tokens


def train_on_documents(
    paths: Sequence[str], *, output: str, words: str, order: int, min_count: int, sample_bytes: int, seed: int
) -> dict[str, Any]:
    """Train a model on a hash sample of documents, and write its file.

    The model hangs on which documents there are, not on their order or the files that they lie in.

    Args:
        paths: files of documents, folders of them, or run folders.
        output: the file to write.
        words: name of a word splitter.
        order: most words of an n-gram.
        min_count: fewest occurrences of n-grams of three and more words.
        sample_bytes: most bytes of text to learn from; the documents with the lowest keyed hashes of their ids.
        seed: keys the hashes.

    Returns:
        `output`, `sha256`, `bytes` of the file, `documents` and `text_bytes` learned from, `documents_read`, `tokens`, `words`,
        `ngrams` of each length.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: no file of documents, no such columns, or no words to learn from.
    """
    from gristmill.stages.ngram_training import train_model
    from gristmill.tokenizers.documents import batches_of, document_files
    from gristmill.tokenizers.training import lowest_hashes

    files = [file for path in paths for file in document_files(path)]
    sample = lowest_hashes(batches_of(files), sample_bytes, seed)
    if not sample.documents:
        raise ValueError(f"{', '.join(paths)}: holds no document with text of at most {sample_bytes:,} bytes")
    digests: list[bytes] = []
    tokens = list(_tokens(_chosen(batches_of(files), sample.last, seed), words, digests))
    about = {
        "documents": sample.documents,
        "text_bytes": sample.bytes,
        "texts_sha256": sha256(b"".join(sorted(digests))).hexdigest(),
        "seed": seed,
        "sample_bytes": sample_bytes,
    }
    model = train_model(tokens, words=words, order=order, min_count=min_count, about=about)
    model.write(output)
    content = Path(output).read_bytes()
    return {
        "output": output,
        "sha256": sha256(content).hexdigest(),
        "bytes": len(content),
        "documents": sample.documents,
        "text_bytes": sample.bytes,
        "documents_read": sample.read,
        "tokens": model.about["tokens"],
        "words": len(model.vocabulary),
        "ngrams": model.about["ngrams"],
    }


def _chosen(batches: Iterator[pa.RecordBatch], last: int, seed: int) -> Iterator[pa.Array]:
    """The texts of the documents whose hash is at most `last`, some at a time."""
    import numpy as np
    import pyarrow as pa

    from gristmill.tokenizers.sampling import keyed_hashes

    for batch in batches:
        chosen = keyed_hashes(batch["id"].to_pylist(), seed) <= np.uint64(last)
        yield batch["text"].filter(pa.array(chosen))


def _tokens(texts: Iterator[pa.Array], words: str, digests: list[bytes]) -> Iterator[Tokens]:
    """The tokens of texts; notes the sha256 of each text."""
    from gristmill.stages.features import TextFeatures
    from gristmill.stages.ngram_tokens import tokens_of

    for some in texts:
        digests += [sha256(text.encode("utf-8", "surrogatepass")).digest() for text in some.to_pylist()]
        yield tokens_of(TextFeatures(some), words)
