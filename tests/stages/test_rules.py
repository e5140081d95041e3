import json

import pyarrow as pa
import pytest
from pydantic import ValidationError

from gristmill.stages.documents import Batch
from gristmill.stages.rules import Rules

TEXTS = ["one", "one two", "one two three", "one two three four"]


def judge(signals, **columns):
    table = pa.table({"text": pa.array(TEXTS, pa.large_string()), **columns})
    return Rules(signals=signals).judge(Batch(table))


def test_each_bound_is_a_rule_of_its_own_and_a_value_at_it_stays_or_goes_as_it_says():
    assert judge({"word_count": {"at_least": 2, "at_most": 3}}).first_failed_rule == [
        "low_word_count",
        None,
        None,
        "high_word_count",
    ]
    assert judge({"word_count": {"above": 2, "below": 4}}).kept.tolist() == [False, False, True, False]


def test_rules_are_tried_in_the_order_of_the_recipe():
    bounds = {"character_count": {"at_least": 8}, "word_count": {"at_least": 3}}
    assert judge(bounds).first_failed_rule[:2] == ["low_character_count", "low_character_count"]
    assert judge(dict(reversed(bounds.items()))).first_failed_rule[:2] == ["low_word_count", "low_word_count"]


def test_a_number_of_meta_or_a_column_is_bounded_and_a_document_without_it_stays():
    meta = pa.array([json.dumps({"quality": 0.1}), json.dumps({"quality": 0.9}), None, json.dumps({"other": 0})])
    scores = pa.array([0.9, 0.4, None, 0.9])
    verdict = judge({"meta.quality": {"above": 0.5}, "language_score": {"at_least": 0.5}}, meta=meta, language_score=scores)
    assert verdict.first_failed_rule == ["low_meta.quality", "low_language_score", None, None]


def test_a_signal_without_bounds_is_measured_and_drops_nothing():
    verdict = judge({"word_count": {}})
    assert verdict.kept.all()
    assert verdict.signals["word_count"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("signals", "told"),
    [
        ({}, "at least 1"),
        ({"word_cuont": {"at_least": 1}}, "near it are word_count"),
        ({"word_count": {"at_least": 1, "above": 1}}, "bound the same side"),
        ({"word_count": {"least": 1}}, "Extra inputs"),
    ],
)
def test_mistakes_are_told(signals, told):
    with pytest.raises(ValidationError, match=told):
        Rules(signals=signals)
