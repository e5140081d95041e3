"""How many bands, rows and which n-grams: what published corpora took, and what a similarity asks for."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

Preset = Literal[
    "refinedweb",
    "fineweb",
    "dclm",
    "dolma3",
    "redpajama_v2_0.7",
    "redpajama_v2_0.8",
    "redpajama_v2_0.9",
    "nemotron_cc",
    "starcoder",
    "pile",
]

PRESETS: dict[str, dict[str, Any]] = {
    # Penedo et al. 2023, arXiv:2306.01116, app. G.3: n-grams of GPT-2 tokens, here of words; its main text swaps bands and rows
    "refinedweb": {"bands": 450, "rows": 20, "ngram": 5},
    # Penedo et al. 2024, arXiv:2406.17557, app. E.1, and datatrove's examples/fineweb.py
    "fineweb": {"bands": 14, "rows": 8, "ngram": 5},
    # Li et al. 2024, arXiv:2406.11794, app. L.1, the ablations; the published corpus has a Bloom filter instead
    "dclm": {"bands": 93, "rows": 15, "ngram": 5},
    # Dolma 3 of OLMo 3; the size of the n-grams is from memory, and they are of tokens there
    "dolma3": {"bands": 26, "rows": 11, "ngram": 5},
    # RedPajama-V2's signatures of 128 values at three of its four thresholds; the fourth, 1.0, is `exact`
    "redpajama_v2_0.7": {"bands": 14, "rows": 9, "ngram": 13},
    "redpajama_v2_0.8": {"bands": 9, "rows": 13, "ngram": 13},
    "redpajama_v2_0.9": {"bands": 5, "rows": 25, "ngram": 13},
    # Su et al. 2024, arXiv:2412.02595: 24-grams of characters; how the text is normalised before is from memory
    "nemotron_cc": {"bands": 20, "rows": 13, "ngram": 24, "shingle": "characters"},
    # Li et al. 2023, arXiv:2305.06161: datasketch's choice for 0.7 with 256 permutations
    "starcoder": {"bands": 25, "rows": 10, "ngram": 5},
    # Gao et al. 2020, arXiv:2101.00027, and OpenWebText2: datasketch's choice for 0.5 with 10 permutations
    "pile": {"bands": 3, "rows": 3, "ngram": 5},
}
"""What each corpus took; none of them verified its candidates. Its n-grams are of other words than ours, but for `pile`."""


def chance_to_meet(similarity: Any, bands: int, rows: Any) -> Any:
    """Probability that two documents of a Jaccard similarity (a number or an array, 0 to 1) agree in at least one band."""
    return 1 - (1 - similarity**rows) ** bands


@cache
def bands_and_rows(threshold: float, permutations: int) -> tuple[int, int]:
    """Bands and rows whose false positives below a similarity and false negatives above it have the smallest sum.

    Both are areas under the curve of `chance_to_meet`, weighted alike.

    Args:
        threshold: similarity, above 0 and below 1.
        permutations: most values of a signature, at least 1.

    Returns:
        Bands and rows; bands * rows is at most `permutations`.

    Source: datasketch 2, `lsh._optimal_param`, which is what the Pile, OpenWebText2 and StarCoder went by.
    """
    import numpy as np

    # the curve is a polynomial of degree bands * rows, so this many nodes integrate it exactly
    nodes, weights = np.polynomial.legendre.leggauss(permutations // 2 + 1)
    below, above = (nodes + 1) / 2 * threshold, threshold + (nodes + 1) / 2 * (1 - threshold)
    best = (float("inf"), 0, 0)
    for bands in range(1, permutations + 1):
        rows = np.arange(1, permutations // bands + 1)[:, None]
        false_positives = chance_to_meet(below, bands, rows) @ weights * threshold / 2
        false_negatives = (1 - chance_to_meet(above, bands, rows)) @ weights * (1 - threshold) / 2
        errors = 0.5 * false_positives + 0.5 * false_negatives
        least = int(np.argmin(errors))
        if errors[least] < best[0]:
            best = (float(errors[least]), bands, least + 1)
    return best[1], best[2]
