"""Writing a trained classifier as a file that fastText reads (format 12, `.bin`)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from gristmill.stages.fasttext_file import MAGIC, VERSION

if TYPE_CHECKING:
    from gristmill.stages.fasttext_training import LinearModel

_SUPERVISED, _SOFTMAX = 3, 3
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
    for word, count in zip(model.words, model.counts, strict=True):
        file.write(word + b"\0" + struct.pack("<qb", count, _WORD))
    for label, count in zip(model.labels, model.label_counts, strict=True):
        file.write(b"__label__" + label.encode() + b"\0" + struct.pack("<qb", count, _LABEL))
    for matrix in (model.inputs, model.outputs):
        file.write(struct.pack("<?qq", False, *matrix.shape))
        file.write(np.ascontiguousarray(matrix, dtype="<f4").data)
