"""Settings by language, made from texts whose language is known.

The least language score is FineWeb-2's: the median of the language's scores less one standard deviation, between 0.3 and 0.9
(Penedo et al. 2025, arXiv:2506.20920, section 4.2, from notes on it). The bounds of `gopher_quality` are Gopher's for English
times how much larger or smaller the language's median is than the English one, measured in the same way on the same sort of text
[ours]: 3 and 10 for the mean length of words, 0.8 for words with a letter, which is never raised. They hold for the flavour they
were made with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LEAST_SCORE, GREATEST_SCORE = 0.3, 0.9
LEAST_RIGHT = 0.5
"""Share of a language's texts that the model must recognise; below it a row would tell of other languages."""
LEAST_TEXTS = 50
FOR_OTHER_LANGUAGES: dict[str, dict[str, Any]] = {
    "gopher_repetition": {"max_duplicate_paragraphs": None, "max_duplicate_paragraph_chars": None},
    "fineweb": {"max_short_lines": None, "max_copied_line_chars": 0.1},
}
"""What FineWeb-2 has for all languages but English. [code: fineweb-2 README and pipeline]"""
TEXTS_TOGETHER = 10
"""Texts joined to one document for the signals: in a sentence of ten words, one word is too much."""


def language_rows(
    texts: Mapping[str, Sequence[str]], model: str = "lid.176", flavour: Any = "datatrove"
) -> dict[str, dict[str, dict[str, Any]]]:
    """A table of languages, in the form of `configs/languages`.

    Args:
        texts: by language, in the model's labels; `en` (or another code of English) must be among them. Sentences will do.
        model: name or path of the model that the least scores are for.
        flavour: way of counting of `gopher_quality`.

    Returns:
        Language -> stage -> settings. Languages with fewer than 50 texts, or of whose texts the model recognises less than half,
        are left out.

    Raises:
        ValueError: there is no English to compare with.
        StageUnavailable: the model is missing.
    """
    from gristmill.stages.language_codes import matching_key

    english = next((language for language in texts if matching_key(language, ["en"])), None)
    if english is None:
        raise ValueError("no texts of English (en), which the bounds of other languages are compared with")
    of_english = _medians(texts[english], flavour)
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for language in sorted(texts):
        least = least_score(language, texts[language], model) if len(texts[language]) >= LEAST_TEXTS else None
        if least is None:
            continue
        length, letters = _medians(texts[language], flavour)
        row: dict[str, Any] = {
            "min_word_length": round(3 * length / of_english[0], 1),
            "max_word_length": round(10 * length / of_english[0], 1),
            "min_words_with_a_letter": round(0.8 * min(1.0, letters / of_english[1]), 2),
        }
        rows[language] = {"language": {"min_score": least}, "gopher_quality": row}
        if language != english:
            row["min_stop_words"] = None  # the words of that rule are English
            rows[language] |= {stage: dict(settings) for stage, settings in FOR_OTHER_LANGUAGES.items()}
    return rows


def least_score(language: str, texts: Sequence[str], model: str) -> float | None:
    """Median less one standard deviation of the scores of those texts that the model gives this language, between 0.3 and 0.9.

    Returns:
        None where it gives it to less than half of them.
    """
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.language_codes import matching_key
    from gristmill.stages.language_model import predict

    found = predict(model, pa.array(list(texts), pa.large_string()))
    right = np.array([label is not None and matching_key(label, [language]) is not None for label in found.first_labels()])
    if not len(texts) or right.mean() < LEAST_RIGHT:
        return None
    scores = found.nth_scores(0)[right]
    return round(float(np.clip(np.median(scores) - np.std(scores), LEAST_SCORE, GREATEST_SCORE)), 3)


def _medians(texts: Sequence[str], flavour: Any) -> tuple[float, float]:
    """Medians of the mean word length and of the share of words with a letter, over ten texts at a time."""
    import numpy as np
    import pyarrow as pa

    from gristmill.stages.gopher_quality import GopherQuality

    together = ["\n".join(texts[start : start + TEXTS_TOGETHER]) for start in range(0, len(texts), TEXTS_TOGETHER)]
    signals = GopherQuality(flavour=flavour).judge(pa.table({"text": pa.array(together, pa.large_string())})).signals
    return float(np.median(signals["mean_word_length"])), float(np.median(signals["words_with_a_letter_fraction"]))
