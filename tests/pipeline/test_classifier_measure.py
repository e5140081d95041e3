"""Tables of a classifier, worked out by hand."""

import numpy as np
import pytest

from gristmill.pipeline.classifier_measure import SHARES, auc, kept_at, least_of, measures

SCORES = np.array([0.9, 0.8, 0.8, 0.3, 0.1, 1.0])
POSITIVE = np.array([True, True, False, False, False, True])


def test_auc_counts_pairs_in_the_right_order_and_half_of_the_equal_ones():
    # of 3 x 3 pairs, 0.8 against 0.8 is the only one that is not won
    assert auc(SCORES, POSITIVE) == pytest.approx(8.5 / 9)
    assert auc(np.array([0.2, 0.1]), np.array([False, True])) == 0.0
    assert auc(np.full(4, 0.5), np.array([True, False, True, False])) == 0.5


def test_precision_and_recall_count_the_bound_itself():
    assert kept_at(0.8, SCORES, POSITIVE) == {
        "least_score": 0.8,
        "precision": 0.75,
        "recall": 1.0,
        "negative_kept": pytest.approx(1 / 3, abs=1e-6),
    }
    assert kept_at(1.0, np.array([0.5, 0.2]), np.array([True, False]))["precision"] is None


@pytest.mark.parametrize(("share", "least"), [(0.1, 0.9), (0.2, 0.8), (0.21, 0.7), (1.0, 0.0), (0.001, 0.9)])
def test_the_least_score_keeps_at_least_the_share(share, least):
    assert least_of(np.arange(10) / 10, share) == least


def test_the_tables_count_every_document_once():
    found = measures(SCORES, POSITIVE)
    assert (found["positive"], found["negative"]) == (3, 3)
    assert [row["keep"] for row in found["thresholds"]] == list(SHARES)
    assert sum(row["documents"] for row in found["reliability"]) == 6
    eight = found["reliability"][8]
    assert eight == {"from": 0.8, "documents": 2, "mean_score": 0.8, "positive_share": 0.5}
    assert found["reliability"][5] == {"from": 0.5, "documents": 0, "mean_score": None, "positive_share": None}
    # a score of 1 counts in the last bin
    assert found["histogram"][19] == {"from": 0.95, "positive": 1, "negative": 0}
    assert sum(row["positive"] for row in found["histogram"]) == sum(row["negative"] for row in found["histogram"]) == 3
