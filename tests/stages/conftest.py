"""What tests of stages share: small fastText models, written by hand in the library's own format.

The library's training is not used: release 0.9.3 built with a current compiler ends most trainings with "Encountered NaN".
"""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

SUPERVISED, VECTORS, SOFTMAX = 3, 2, 3


def write_model(path: Path, words: dict[str, str], labels: list[str], strength: float = 3.0, kind: int = SUPERVISED) -> str:
    """Write a model of whole words that gives a text the label of most of its words; it knows no other words.

    Args:
        path: the file.
        words: word -> label.
        labels: all labels, without `__label__`.
        strength: how sure a text of words of one label is.
        kind: `SUPERVISED`, or `VECTORS` for a model without labels.
    """
    dimensions = len(labels)
    arguments = [dimensions, 5, 5, 1, 5, 1, SOFTMAX, kind, 0, 0, 0, 100]
    entries = [(word, 0) for word in words] + [(f"__label__{label}", 1) for label in labels if kind == SUPERVISED]
    n_labels = len(entries) - len(words)
    parts = [struct.pack("<ii12id", 793712314, 12, *arguments, 1e-4)]
    parts.append(struct.pack("<iiiqq", len(entries), len(words), n_labels, 1000, -1))
    parts += [text.encode() + b"\0" + struct.pack("<qb", 10, sort) for text, sort in entries]
    rows = [[strength * (label == other) for other in labels] for label in words.values()]
    ends = [[strength * (label == other) for other in labels] for label in labels]
    for matrix in (rows, ends):
        parts.append(struct.pack("<?qq", False, len(matrix), dimensions))
        parts += [struct.pack(f"<{dimensions}f", *row) for row in matrix]
    path.write_bytes(b"".join(parts))
    return str(path)


@pytest.fixture(scope="session")
def fasttext_model() -> Callable[..., str]:
    """`write_model`: (path, word -> label, labels) to a fastText file."""
    return write_model
