"""The golden cases are those of OSCAR 22.01 (ungoliant v1.2.3)."""

import numpy as np
import pyarrow as pa
import pytest

from gristmill.stages.language_lines import Lines, lines_of, summarize
from gristmill.stages.language_model import Predictions


def summary(*documents, own=None, least_share=0.1):
    """Add up lines that are given as (bytes, language, score)."""
    rows = [(number, *line) for number, document in enumerate(documents) for line in document]
    lines = Lines(
        pa.array([""] * len(rows), pa.large_string()),
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
    )
    found = Predictions(
        pa.array([row[2] for row in rows], pa.string()).dictionary_encode(),
        np.array([row[3] for row in rows], dtype=np.float64),
        np.arange(len(rows) + 1, dtype=np.int64),
    )
    return summarize(lines, found, own or [None] * len(documents), 0.8, least_share)


def test_confidence_is_bytes_times_probability_of_the_lines_in_the_language():
    found = summary([(120, "en", 0.9), (80, "en", 0.8), (100, "fr", 0.5)])
    assert found.largest == ["en"]
    assert found.confidence[0] == pytest.approx((108 + 64) / 300, abs=1e-6)
    assert found.unknown_share[0] == pytest.approx(1 / 3)


def test_a_document_of_mostly_unknown_lines_has_no_language():
    found = summary([(100, "en", 0.9), (150, "fr", 0.79)])
    assert found.largest == [None]
    assert found.confidence.tolist() == [0]


@pytest.mark.parametrize(
    ("english", "french", "unknown", "multilingual"),
    [(5, 5, 2, 1), (6, 4, 0, 0), (5, 5, 0, 1), (5, 4, 0, 0), (5, 5, 3, 0), (12, 0, 0, 0), (4, 4, 2, 0)],
)
def test_multilingual_by_definition(english, french, unknown, multilingual):
    # (4, 4, 2) has 10 lines, of which 0.8 and not more are identified
    lines = [(100, "en", 0.9)] * english + [(100, "fr", 0.8)] * french + [(100, "de", 0.7)] * unknown
    assert summary(lines).multilingual.tolist() == [multilingual]


def test_six_languages_are_too_many_to_be_multilingual():
    lines = [(100, language, 0.9) for language in ("en", "fr", "de", "es", "it", "pt") for _ in range(2)]
    assert summary(lines[:10], lines).multilingual.tolist() == [1, 0]


def test_shares_are_of_the_bytes_of_each_document():
    found = summary([(90, "en", 0.9), (10, "fr", 0.9)], [(91, "fr", 0.9), (9, "en", 1.0)], own=["en", "en"])
    assert found.own_share.tolist() == [0.9, 0.09]
    assert found.languages.tolist() == [2, 1]


def test_of_languages_with_as_many_bytes_the_first_by_name_wins_beside_any_other_documents():
    even = [(50, "fr", 0.9), (50, "en", 0.9)]
    assert summary(even).largest == ["en"]
    assert summary([(10, "zh", 0.9)], even, [(10, "en", 0.9)]).largest == ["zh", "en", "en"]


def test_a_document_without_lines_has_no_shares():
    found = summary([], [(10, "en", 0.9)], own=[None, "en"])
    np.testing.assert_array_equal(found.own_share, [np.nan, 1])
    np.testing.assert_array_equal(found.unknown_share, [np.nan, 0])
    assert (found.languages.tolist(), found.largest, found.confidence.tolist()) == ([0, 1], [None, "en"], [0, 0.9])


def test_blank_lines_are_no_lines():
    lines = lines_of(pa.array(["a\n\n \t\nbß", "", "\n", "c"], pa.large_string()))
    assert lines.texts.to_pylist() == ["a", "bß", "c"]
    assert lines.documents.tolist() == [0, 0, 3]
    assert lines.bytes.tolist() == [1, 3, 1]
