"""fastText models that tell languages apart: loading them, and asking about a batch of texts at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gristmill.stages.fasttext_file import check_file
from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_LABEL = "__label__"
# fastText takes a null byte for white space, so it does no harm
_NOT_BLANK = r"[^ \t\n\r\v\f\x00]"
_BYTES_AT_ONCE = 8 << 20
"""Text handed to the library in one call: it wants Python strings, which are not to double a partition."""


class Predictions(NamedTuple):
    """The most likely languages of some texts, the likeliest first."""

    labels: pa.DictionaryArray
    """Labels of all texts one after another, without fastText's `__label__`."""
    scores: np.ndarray
    """Their probabilities, float64 of the same length, rounded to 6 decimals."""
    offsets: np.ndarray
    """int64 of shape (n_texts + 1,): where the labels of each text begin; a blank text has none."""

    @property
    def known(self) -> np.ndarray:
        """bool of shape (n_texts,): the text has a label."""
        known: np.ndarray = self.offsets[1:] > self.offsets[:-1]
        return known

    def nth_scores(self, place: int) -> np.ndarray:
        """Probability of each text's label at a place, 0 where there is none; float64 of shape (n_texts,)."""
        import numpy as np

        at = self.offsets[:-1] + place
        there = at < self.offsets[1:]
        scores = np.zeros(len(at), dtype=np.float64)
        scores[there] = self.scores[at[there]]
        return scores

    def first_numbers(self) -> np.ndarray:
        """Index in `labels.dictionary` of each text's first label, -1 where there is none; int64 of shape (n_texts,)."""
        import numpy as np

        numbers = np.full(len(self.offsets) - 1, -1, dtype=np.int64)
        numbers[self.known] = self.labels.indices.to_numpy()[self.offsets[:-1][self.known]]
        return numbers

    def first_labels(self) -> list[str | None]:
        """The likeliest label of each text, None where there is none."""
        names = [*self.labels.dictionary.to_pylist(), None]
        return [names[number] for number in self.first_numbers().tolist()]


def predict(model: str, texts: pa.Array, k: int = 1) -> Predictions:
    """Ask a model about texts; what it says of one does not depend on the others.

    Args:
        model: name or path.
        texts: string or large_string without nulls. A newline reads as a space.
        k: most labels a text.

    Raises:
        StageUnavailable: as `load`.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    ask = load(model).f.multilinePredict
    not_blank = pc.match_substring_regex(texts, _NOT_BLANK)
    asked = texts.filter(not_blank)
    labels, scores, counts = [], [np.zeros(0, dtype=np.float32)], [np.zeros(0, dtype=np.int64)]
    for piece in _pieces(asked):
        # one line a text, ended by a newline, as the library's own `predict` makes them
        lines = pc.binary_join_element_wise(pc.replace_substring(piece, "\n", " "), *_ending(piece.type))
        found, probabilities = ask(lines.to_pylist(), k, 0.0, "strict")
        nested = pa.array(found, pa.list_(pa.string()))
        labels.append(nested.flatten())
        counts.append(pc.list_value_length(nested).to_numpy().astype(np.int64))
        scores += probabilities
    lengths = np.zeros(len(texts), dtype=np.int64)
    lengths[not_blank.to_numpy(zero_copy_only=False)] = np.concatenate(counts)
    encoded = pa.chunked_array(labels, pa.string()).combine_chunks().dictionary_encode()
    names = pa.array([name.removeprefix(_LABEL) for name in encoded.dictionary.to_pylist()], pa.string())
    # the softmax table of fastText gives up to 1.00001
    rounded = np.round(np.minimum(np.concatenate(scores).astype(np.float64), 1.0), 6)
    return Predictions(
        pa.DictionaryArray.from_arrays(encoded.indices, names),
        rounded,
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def _ending(kind: pa.DataType) -> tuple[pa.Scalar, pa.Scalar]:
    import pyarrow as pa

    return pa.scalar("\n", kind), pa.scalar("", kind)


def _pieces(texts: pa.Array) -> Iterator[pa.Array]:
    """The texts in slices of some megabytes; a longer text is a slice of its own."""
    import numpy as np
    import pyarrow.compute as pc

    ends = np.cumsum(pc.binary_length(texts).to_numpy().astype(np.int64))
    start, done = 0, 0
    while start < len(texts):
        stop = max(start + 1, int(np.searchsorted(ends, done + _BYTES_AT_ONCE, side="right")))
        yield texts.slice(start, stop - start)
        start, done = stop, int(ends[stop - 1])


def model_file(model: str) -> str:
    """Path of a catalogue's model or of the user's own file.

    Raises:
        StageUnavailable: it is missing.
    """
    from gristmill.stages.models import list_models, locate

    if model in {name for known in list_models() for name in known.names}:
        return str(locate(model))
    if Path(model).is_dir():
        raise StageUnavailable(
            f"{model}: is a folder; give the path of a fastText model, a file such as {model.rstrip('/')}/model.bin"
        )
    if not Path(model).is_file():
        names = ", ".join(known.name for known in list_models())
        raise StageUnavailable(f"{model}: no such file; give the path of a fastText model, or the name of one: {names}")
    return model


def load(model: str) -> Any:
    """The fastText model, read once a process and again when its file has changed.

    Raises:
        StageUnavailable: fastText or the model is missing, or the file holds none with labels.
    """
    return _load(model_file(model))


@cached_by_files
def _load(path: str) -> Any:
    try:
        import fasttext
    except ImportError as error:
        raise StageUnavailable(
            f"the stage language needs the library fasttext ({error}); install it with: pip install fasttext"
        ) from error
    try:
        check_file(path)
        return fasttext.load_model(path)
    except (ValueError, RuntimeError, MemoryError, OSError) as error:
        raise StageUnavailable(f"{path}: no fastText model with labels ({error})") from error


def labels_of(model: str) -> list[str]:
    """All labels of a model, without `__label__`.

    Raises:
        StageUnavailable: as `load`.
    """
    return [label.removeprefix(_LABEL) for label in load(model).get_labels()]
