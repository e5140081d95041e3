"""What a classifier of two kinds is worth, by its scores on documents that it has not learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.5)
"""Shares of the negative documents, as of a crawl, for which the least scores are told."""
RELIABILITY_BINS, HISTOGRAM_BINS = 10, 20
_DIGITS = 6


def measures(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> dict[str, Any]:
    """Tables of a classifier, as JSON.

    Args:
        scores: 0 to 1, of shape (n_documents,).
        positive: whether each is of the good kind; both kinds occur.
    """
    return {
        "positive": int(positive.sum()),
        "negative": int((~positive).sum()),
        "auc": round(auc(scores, positive), _DIGITS),
        "at_0.5": kept_at(0.5, scores, positive),
        "thresholds": [{"keep": share} | kept_at(least_of(scores[~positive], share), scores, positive) for share in SHARES],
        "reliability": reliability(scores, positive),
        "histogram": histogram(scores, positive),
    }


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Probability that a positive document has a higher score than a negative one, an equal one counting half."""
    _, at, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[at]
    n_positive = int(positive.sum())
    above = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * (len(scores) - n_positive)))


def least_of(scores: NDArray[np.float64], share: float) -> float:
    """The highest score at which at least a share of the documents stay."""
    # 1e-9: 0.1 * 30 is a little above 3
    stay = max(1, int(np.ceil(share * len(scores) - 1e-9)))
    return float(np.sort(scores)[::-1][stay - 1])


def kept_at(least: float, scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> dict[str, float | None]:
    """What staying from a least score on would mean: precision (None where nothing stays), recall, and negatives that stay."""
    kept = scores >= least
    right = int((kept & positive).sum())
    return {
        "least_score": round(least, _DIGITS),
        "precision": round(right / int(kept.sum()), _DIGITS) if kept.any() else None,
        "recall": round(right / int(positive.sum()), _DIGITS),
        "negative_kept": round(int((kept & ~positive).sum()) / int((~positive).sum()), _DIGITS),
    }


def _binned(scores: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    return np.minimum((scores * bins).astype(np.int64), bins - 1)


def reliability(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Of documents with like scores: how many, their mean score and the share that is positive, None where there are none."""
    at = _binned(scores, RELIABILITY_BINS)
    rows = []
    for number in range(RELIABILITY_BINS):
        here = at == number
        some = bool(here.any())
        rows.append(
            {
                "from": number / RELIABILITY_BINS,
                "documents": int(here.sum()),
                "mean_score": round(float(scores[here].mean()), _DIGITS) if some else None,
                "positive_share": round(float(positive[here].mean()), _DIGITS) if some else None,
            }
        )
    return rows


def histogram(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Documents of each kind by score."""
    at = _binned(scores, HISTOGRAM_BINS)
    counts = [np.bincount(at[kind], minlength=HISTOGRAM_BINS) for kind in (positive, ~positive)]
    return [
        {"from": number / HISTOGRAM_BINS, "positive": int(counts[0][number]), "negative": int(counts[1][number])}
        for number in range(HISTOGRAM_BINS)
    ]
