"""Division as all signals do it: nothing of nothing is 0, and the rule on length drops the document."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """`part / whole`, 0 where `whole` is 0; shapes alike."""
    result = np.zeros(len(part), dtype=np.float64)
    np.divide(part, whole, out=result, where=whole != 0)
    return result


def ratio_plainly(part: float, whole: float) -> float:
    """What `ratio` computes, for one document."""
    return part / whole if whole else 0.0
