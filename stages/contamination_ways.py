"""Methods of decontamination as they were published: which runs of tokens are compared, and what makes an item found."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Way(NamedTuple):
    """A method as it was published."""

    tokens: str
    """Kind of tokens, of `contamination_tokens`."""
    length: int
    """Tokens of a run."""
    shortest: int
    """Fewest tokens of an item that is looked for."""
    measure: Literal["rarity", "tokens", "runs", "rare_runs", "similarity"]
    share: float | None
    """Least share of an item's text that makes it found, or least similarity of a passage to it; None: any run of it."""
    common: int | None = None
    """Runs that more documents hold do not count."""
    samples: int = 0
    window: int = 0
    min_piece: int = 0
    max_pieces: int | None = None


WAYS: dict[str, Way] = {
    "weighted": Way("words", 13, 8, "rarity", 0.5),
    # GPT-3, Brown et al. 2020, arXiv:2005.14165, app. C
    "gpt3": Way("plain_words", 13, 13, "rare_runs", None, common=10, window=200, min_piece=200, max_pieces=10),
    # PaLM, Chowdhery et al. 2022, arXiv:2204.02311 (secondhand, through texts that cite it)
    "palm": Way("words", 8, 8, "runs", 0.7),
    # Llama 3, arXiv:2407.21783, sect. 5.1.4 (from memory): the share is chosen for each benchmark; 0.5 is Tulu 3's (from memory)
    "llama3": Way("words", 8, 8, "tokens", 0.5),
    # GPT-4, arXiv:2303.08774, app. C
    "substring": Way("characters", 50, 1, "runs", None, samples=3),
    # ours: about the words of a question, and a similarity that has not been measured on a published model
    "embedding": Way("words", 50, 8, "similarity", 0.85),
}
WORD_VECTORS_SHARE = 0.95
"""Least similarity by word vectors: about one clean document in a thousand reaches it, and few rephrased items do, see
docs/decontamination.md."""
