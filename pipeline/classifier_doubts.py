"""What the tables of a classifier do not bear: few documents, scores that lie close together, one kind that is rare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENOUGH = 100
"""Documents held out of a kind from which a share is right to 10 points: twice the standard error of one half."""
APART = 0.5
"""Least distance of the two kinds' median scores from which a score means something by itself; ours. Tried on 2,000 characters of
encyclopedic and question-and-answer texts: 0.0002 after learning from 50 of each kind, 0.4 after 200, 0.95 after 1,200 in all."""
_RESTS_ON = 10
"""Fewest documents above a least score that it should rest on."""


def doubts(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], learned_from: Mapping[str, int], shares: tuple[float, ...]
) -> list[str]:
    """What to know before a threshold is taken from the tables; empty where the sets are large enough.

    Args:
        scores: of the documents held out, 0 to 1.
        positive: whether each is of the good kind; both kinds occur.
        learned_from: documents by kind.
        shares: of the negative documents, for which least scores are told.
    """
    return [
        told
        for told in (_few(positive, shares), _close(scores, positive, learned_from), _rare(scores, positive, learned_from))
        if told
    ]


def _few(positive: NDArray[np.bool_], shares: tuple[float, ...]) -> str | None:
    good, rest = int(positive.sum()), int((~positive).sum())
    if min(good, rest) >= ENOUGH:
        return None
    points = 100 * 2 * np.sqrt(0.25 / min(good, rest))
    thin = [share for share in shares if share * rest < _RESTS_ON]
    told = (
        f"held out are only {good:,} positive and {rest:,} negative documents: shares in the tables are right to {points:.0f} "
        "points or so"
    )
    if thin:
        told += f", and least scores of shares up to {max(thin):.0%} rest on fewer than {_RESTS_ON} documents"
    return f"{told}. Give more documents, or a larger --held-out"


def _close(scores: NDArray[np.float64], positive: NDArray[np.bool_], learned_from: Mapping[str, int]) -> str | None:
    good, rest = float(np.median(scores[positive])), float(np.median(scores[~positive]))
    if good - rest >= APART:
        return None
    learned = f"{learned_from['positive']:,} positive and {learned_from['negative']:,} negative documents"
    return (
        f"scores lie close together (median {good:.4f} of positive, {rest:.4f} of negative documents) after learning from "
        f"{learned}: the model has not moved far from knowing nothing. They put documents in order, but `at_least` and `pareto` "
        "mean little; keep a share (`top`), or give more documents or --epochs"
    )


def _rare(scores: NDArray[np.float64], positive: NDArray[np.bool_], learned_from: Mapping[str, int]) -> str | None:
    good, rest = learned_from["positive"], learned_from["negative"]
    reached = float((scores[positive] >= 0.5).mean())
    if good * 5 >= rest or reached >= 0.8:
        return None
    return (
        f"only {reached:.0%} of the positive documents held out reach a score of 0.5: there was one positive document to learn "
        f"from for every {rest / good:,.0f} negative ones, so good ones score low, too. Take a least score of the table, not "
        "0.5, or a share (`top`)"
    )
