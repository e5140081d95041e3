"""Importance weights: how much likelier hashed n-grams are in a target than in the raw text; their estimate and their file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gristmill.stages.importance_ngrams import ngram_buckets
from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

SMOOTHING = 1e-8
"""Added to both probabilities of a bucket [code: p-lambda/dsir]."""
_KIND, _VERSION = "gristmill importance weights", 1


@dataclass(frozen=True)
class ImportanceWeights:
    """The log weight of each bucket."""

    log_ratios: NDArray[np.float64]
    """log(p_target / p_raw), natural, shape (n_buckets,)."""
    about: dict[str, Any] = field(default_factory=dict)
    """What they were estimated from."""

    def score(self, texts: pa.ChunkedArray | pa.Array) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Log importance weight of each text (a sum over its n-grams, rounded to 6 decimals), and its words."""
        found = ngram_buckets(texts, len(self.log_ratios))
        # one after the other, so that a document's sum does not hang on its neighbours
        sums = np.bincount(found.documents, weights=self.log_ratios[found.buckets], minlength=len(found.words))
        return np.round(sums, 6), found.words

    def write(self, path: str) -> None:
        """Write the file, whole or not at all."""
        held = {"kind": _KIND, "version": _VERSION, "about": self.about, "log_ratios": self.log_ratios.tolist()}
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.write_text(json.dumps(held, sort_keys=True), encoding="utf-8")
        temporary.replace(target)


def log_ratios_of(target: NDArray[np.int64], raw: NDArray[np.int64]) -> NDArray[np.float64]:
    """log(p_target / p_raw) of each bucket from how often its n-grams occur in both.

    Raises:
        ValueError: one of them holds no n-gram.
    """
    if not target.sum() or not raw.sum():
        raise ValueError(f"the {'raw' if target.sum() else 'target'} documents hold no words to learn from")
    ratios: NDArray[np.float64] = np.log((target / target.sum() + SMOOTHING) / (raw / raw.sum() + SMOOTHING))
    return ratios


def read_weights(path: str) -> ImportanceWeights:
    """The weights of a file, kept for the process as long as it stays what it is.

    Raises:
        StageUnavailable: it is missing, or no such file.
    """
    try:
        held = os.stat(path)
        return _read(path, held.st_size, held.st_mtime_ns)
    except OSError as error:
        raise StageUnavailable(f"{path}: cannot be read: {error.strerror or error}") from error


@cache
def _read(path: str, size: int, mtime_ns: int) -> ImportanceWeights:
    try:
        held = json.loads(Path(path).read_bytes())
        if (held["kind"], held["version"]) != (_KIND, _VERSION):
            raise ValueError(f"it is a {held['kind']} of version {held['version']}")
        ratios = np.array(held["log_ratios"], dtype=np.float64)
        if ratios.ndim != 1 or not len(ratios) or not np.isfinite(ratios).all():
            raise ValueError("log_ratios should be a list of numbers")
        return ImportanceWeights(ratios, dict(held["about"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StageUnavailable(
            f"{path}: holds no importance weights ({error}); make them with `gristmill importance train`"
        ) from error
