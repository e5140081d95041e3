"""Writing a trained classifier, or word vectors, as a file that fastText reads (format 12, `.bin`)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from gristmill.stages.fasttext_file import MAGIC, VERSION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.stages.fasttext_training import LinearModel
    from gristmill.stages.word_vector_training import VectorModel

_CBOW, _SKIPGRAM, _SUPERVISED = 1, 2, 3
_NEGATIVE_SAMPLING, _SOFTMAX = 2, 3
_WORD, _LABEL = 0, 1
_NOT_PRUNED = -1
# what only training of word vectors looks at, as the library sets it
_WINDOW, _NEGATIVES, _UPDATE_RATE, _SAMPLING = 5, 5, 100, 1e-4


def write_model(model: LinearModel, file: BinaryIO) -> None:
    """Write a model; the library gives its labels the probabilities that the model gives."""
    settings = model.settings
    file.write(
        struct.pack(
            "<ii12id",
            *(MAGIC, VERSION, settings.dimensions, _WINDOW, settings.epochs, settings.min_count, _NEGATIVES),
            *(settings.word_ngrams, _SOFTMAX, _SUPERVISED, settings.rows_of_ngrams, 0, 0, _UPDATE_RATE, _SAMPLING),
        )
    )
    words, labels = len(model.words), len(model.labels)
    file.write(struct.pack("<iiiqq", words + labels, words, labels, model.tokens, _NOT_PRUNED))
    _write_entries(file, zip(model.words, model.counts, strict=True), _WORD)
    _write_entries(
        file, ((b"__label__" + one.encode(), n) for one, n in zip(model.labels, model.label_counts, strict=True)), _LABEL
    )
    _write_matrices(file, model.inputs, model.outputs)


def write_vectors(model: VectorModel, file: BinaryIO) -> None:
    """Write word vectors; the library gives words the vectors that the model gives."""
    settings = model.settings
    kind = _SKIPGRAM if settings.model == "skipgram" else _CBOW
    file.write(
        struct.pack(
            "<ii12id",
            *(MAGIC, VERSION, settings.dimensions, settings.window, settings.epochs, settings.min_count, settings.negatives),
            *(1, _NEGATIVE_SAMPLING, kind, settings.rows_of_parts, settings.shortest, settings.longest, _UPDATE_RATE),
            settings.sampling,
        )
    )
    words = len(model.words)
    file.write(struct.pack("<iiiqq", words, words, 0, model.tokens, _NOT_PRUNED))
    _write_entries(file, zip(model.words, model.counts, strict=True), _WORD)
    _write_matrices(file, model.inputs, model.outputs)


def _write_entries(file: BinaryIO, entries: Iterable[tuple[bytes, int]], kind: int) -> None:
    for word, count in entries:
        file.write(word + b"\0" + struct.pack("<qb", count, kind))


def _write_matrices(file: BinaryIO, *matrices: NDArray[np.float32]) -> None:
    for matrix in matrices:
        file.write(struct.pack("<?qq", False, *matrix.shape))
        file.write(np.ascontiguousarray(matrix, dtype="<f4").data)
